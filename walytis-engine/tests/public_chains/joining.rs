//! What a join and an import that broke off come to.

use walytis_core::{BlockId, ChainId, RawBlock, chains};
use walytis_engine::Ticket;
use walytis_engine::public::{
    ArchiveAnswer, ArchiveCommand, ChainAnswer, ChainCommand, ImportError, PublicError, PublicMessage, Sharing,
    Standing,
};
use walytis_engine::sync::{SyncMessage, WireBlock};

use crate::hostile::{author, block};
use crate::net::Net;

const INVITER: usize = 0;
const JOINER: usize = 1;
const OTHER: usize = 2;

/// A chain of five blocks at an inviter, who is in the test's hands from now on, as is another peer; both are connected to
/// the joiner, who has a code.
struct Scene {
    net: Net,
    chain: ChainId,
    blocks: Vec<RawBlock>,
    code: String,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut net = Net::new(seed, 3);
        net.found(INVITER);
        for number in 0..4 {
            net.post(INVITER, &[number; 100]);
        }
        let code = net.invite(INVITER, None, Sharing::Inviter);
        let chain = net.details(INVITER).summary.chain;
        let view = net.view(INVITER);
        let raw = |position| chains::block_at(&view, chain, position).unwrap().unwrap().block.raw().clone();
        let blocks = (0..5).map(raw).collect();
        net.take_over(INVITER);
        net.take_over(OTHER);
        net.link(INVITER, JOINER);
        net.link(OTHER, JOINER);
        net.run(100);
        Self { net, chain, blocks, code }
    }

    fn join(&mut self) -> Ticket {
        let join = ChainCommand::Join { code: self.code.clone(), name: Some("c".into()) };
        let ticket = self.net.ask(JOINER, join);
        self.net.run(100);
        ticket
    }

    fn tell(&mut self, from: usize, message: &PublicMessage) {
        self.net.send(from, JOINER, message.frame());
        self.net.run(100);
    }

    fn tip(&self) -> BlockId {
        walytis_core::Header::id_of(&self.blocks[4].header)
    }

    fn heads(&mut self, from: usize, heads: Vec<BlockId>) {
        let chain = self.chain;
        self.tell(from, &PublicMessage::Sync(SyncMessage::Heads { chain, heads }));
    }

    fn portion(&mut self, from: usize, blocks: std::ops::Range<usize>, left: u64) {
        let wire = |block: &RawBlock| WireBlock { block: block.clone(), attachment: None, foreign: Vec::new() };
        let blocks = self.blocks[blocks].iter().map(wire).collect();
        let chain = self.chain;
        self.tell(from, &PublicMessage::Sync(SyncMessage::Portion { chain, blocks, left }));
    }

    fn joined(&mut self, ticket: Ticket) -> Option<Result<ChainAnswer, PublicError>> {
        self.net.answer(JOINER, ticket)
    }
}

/// An inviter that is slow has not lost what it told: nobody else ends the join with a part of the chain.
#[test]
fn a_join_is_done_when_all_is_here_that_its_inviter_told_of_however_slow_it_is() {
    let mut scene = Scene::new(61);
    let ticket = scene.join();
    scene.tell(INVITER, &PublicMessage::Joined { chain: scene.chain });
    let tip = scene.tip();
    scene.heads(INVITER, vec![tip]);
    // Its exchange has had its turn before the other tells of something, and its next portion takes too long.
    scene.net.run(5_000);
    scene.portion(INVITER, 0..2, 3);
    scene.net.run(7_000);
    scene.heads(OTHER, vec![BlockId([9; 32])]);
    scene.net.run(4_000);
    // Now the other is asked, in both ways, and has nothing to give.
    scene.portion(OTHER, 0..0, 0);
    scene.portion(OTHER, 0..0, 0);
    assert_eq!(scene.joined(ticket), None, "two of five blocks are here");
    scene.portion(INVITER, 2..5, 0);
    assert!(matches!(scene.joined(ticket), Some(Ok(ChainAnswer::Chain(summary))) if summary.blocks == 5));
}

/// An inviter that tells of what nobody has, and sends portions with nothing in them, does not keep a join going for ever.
#[test]
fn a_join_ends_whose_inviter_sends_nothing_without_end() {
    let mut scene = Scene::new(68);
    let ticket = scene.join();
    scene.tell(INVITER, &PublicMessage::Joined { chain: scene.chain });
    for number in 0..100 {
        scene.heads(INVITER, vec![BlockId([number; 32])]);
        scene.portion(INVITER, 0..0, 7);
        scene.net.run(6_000);
    }
    assert!(matches!(scene.joined(ticket), Some(Err(PublicError::Interrupted))));
}

/// Before an inviter has told what it has, nothing says that this is all.
#[test]
fn a_join_that_goes_on_waits_for_what_its_inviter_tells() {
    let mut scene = Scene::new(62);
    let first = scene.join();
    scene.tell(INVITER, &PublicMessage::Joined { chain: scene.chain });
    let tip = scene.tip();
    scene.heads(INVITER, vec![tip]);
    scene.portion(INVITER, 0..2, 3);
    scene.net.run(60_000);
    assert!(matches!(scene.joined(first), Some(Err(PublicError::Interrupted))));
    scene.net.cut(INVITER, JOINER);
    scene.net.mend();
    scene.net.link(INVITER, JOINER);
    scene.net.link(OTHER, JOINER);
    scene.net.run(100);
    let second = scene.join();
    scene.tell(INVITER, &PublicMessage::Joined { chain: scene.chain });
    let genesis = scene.chain.into();
    scene.heads(OTHER, vec![genesis]);
    assert_eq!(scene.joined(second), None, "two of five blocks are here");
    scene.heads(INVITER, vec![tip]);
    scene.portion(INVITER, 2..5, 0);
    assert!(matches!(scene.joined(second), Some(Ok(ChainAnswer::Chain(summary))) if summary.blocks == 5));
}

/// What was refused changes nothing: the join can still go on, and the chain is not taken for whole.
#[test]
fn a_refused_import_leaves_a_join_that_broke_off_as_it_was() {
    let mut scene = Scene::new(63);
    let ticket = scene.join();
    scene.tell(INVITER, &PublicMessage::Joined { chain: scene.chain });
    let tip = scene.tip();
    scene.heads(INVITER, vec![tip]);
    scene.portion(INVITER, 0..2, 3);
    scene.net.run(60_000);
    assert!(matches!(scene.joined(ticket), Some(Err(PublicError::Interrupted))));
    // A number that does not follow.
    let first = block(scene.chain, vec![scene.chain.into()], None, &author(1), b"first");
    let skipping = block(scene.chain, vec![], Some((first.id(), 5)), &author(1), b"skipping");
    let mut take = |blocks: &[&RawBlock]| {
        let blocks = blocks.iter().map(|block| (*block).clone()).collect();
        let take = ArchiveCommand::Take { chain: scene.chain, name: None, blocks };
        match scene.net.call(JOINER, ChainCommand::Archive(take)).unwrap() {
            ChainAnswer::Archive(ArchiveAnswer::Taken { new, refused, .. }) => {
                (new, refused, scene.net.details(JOINER).summary.standing)
            }
            other => panic!("{other:?}"),
        }
    };
    let stolen = block(scene.chain, vec![scene.chain.into()], None, &author(2), b"stolen");
    let follows_other = block(scene.chain, vec![], Some((scene.chain.into(), 0)), &author(2), b"not its own");
    let (new, refused, standing) = take(&[follows_other.raw()]);
    assert!(matches!((new, refused), (0, Some(ImportError::Rule { .. }))));
    assert_eq!(standing, Standing::Joining);
    let (new, refused, standing) = take(&[stolen.raw(), skipping.raw()]);
    assert!(matches!((new, refused), (1, Some(ImportError::Parents { .. }))));
    assert_eq!(standing, Standing::Followed, "what was taken before it counts");
}
