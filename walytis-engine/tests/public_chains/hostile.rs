//! What hostile peers and authors send.

use std::collections::VecDeque;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use walytis_core::reconcile::{Compare, Salt};
use walytis_core::{
    Address, AuthorSecret, BlockId, BlockKind, ChainId, Draft, Hash, HybridSecret, PeerId, Place, RawBlock, Store,
    Timestamp, VerifiedBlock, chains,
};
use walytis_engine::engine::{Command, Effect, Event};
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainLimit, JoinRefusal, PublicMessage, Sharing};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_engine::{Engine, ORPHAN_BYTES_PER_PEER_MAX, Ticket};

use crate::net::{Memory, Net};

pub(crate) fn author(seed: u8) -> AuthorSecret {
    AuthorSecret::from_seed(&[seed; 32])
}

fn draft(chain: ChainId, parents: Vec<BlockId>, previous: Option<(BlockId, u64)>, content: &[u8]) -> Draft {
    let place = Place::After { chain, parents, previous };
    Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics: Vec::new(), content: content.to_vec() }
}

pub(crate) fn block(
    chain: ChainId,
    parents: Vec<BlockId>,
    previous: Option<(BlockId, u64)>,
    by: &AuthorSecret,
    content: &[u8],
) -> VerifiedBlock {
    draft(chain, parents, previous, content).sign_alone(by, Timestamp(1)).unwrap()
}

fn pushed(chain: ChainId, block: RawBlock) -> Vec<u8> {
    let block = WireBlock { block, attachment: None, foreign: Vec::new() };
    PublicMessage::Sync(SyncMessage::Push { chain, block }).frame()
}

pub(crate) fn push(net: &mut Net, from: usize, to: usize, block: &VerifiedBlock) {
    net.send(from, to, pushed(block.chain(), block.raw().clone()));
}

/// So many blocks by as many authors, each behind the genesis.
pub(crate) fn fan(net: &mut Net, from: usize, to: usize, blocks: u32) {
    let chain = net.details(to).summary.chain;
    net.link(from, to);
    net.run(50);
    for number in 0..blocks {
        let mut seed = [3; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let block = block(chain, vec![chain.into()], None, &AuthorSecret::from_seed(&seed), b"");
        push(net, from, to, &block);
    }
}

/// A network of nodes that follow one chain, of which the last is in the test's hands and connected to the first.
pub(crate) fn with_enemy(seed: u64, nodes: usize) -> (Net, ChainId, usize) {
    let mut net = Net::new(seed, nodes);
    let enemy = nodes - 1;
    net.all_join();
    net.post(0, b"honest");
    net.run(500);
    let chain = net.details(0).summary.chain;
    net.take_over(enemy);
    net.run(10);
    net.link(enemy, 0);
    net.run(50);
    (net, chain, enemy)
}

/// B1 to B3, D3: what does not hold is never kept, and costs its sender the connection.
#[test]
fn what_does_not_hold_is_refused_and_its_sender_shunned() {
    type Forge = fn(ChainId) -> Vec<Vec<u8>>;
    let cases: &[(&str, Forge)] = &[
        ("a forged signature", |chain| {
            let mut raw = block(chain, vec![chain.into()], None, &author(1), b"x").raw().clone();
            raw.signature[5] ^= 1;
            vec![pushed(chain, raw)]
        }),
        ("another author's signature", |chain| {
            let mut raw = block(chain, vec![chain.into()], None, &author(1), b"x").raw().clone();
            raw.signature = block(chain, vec![chain.into()], None, &author(2), b"x").raw().signature.clone();
            vec![pushed(chain, raw)]
        }),
        ("other content", |chain| {
            let mut raw = block(chain, vec![chain.into()], None, &author(1), b"x").raw().clone();
            raw.content = b"y".to_vec();
            vec![pushed(chain, raw)]
        }),
        ("a block of another chain", |chain| {
            let other = ChainId([9; 32]);
            vec![pushed(chain, block(other, vec![chain.into()], None, &author(1), b"x").raw().clone())]
        }),
        ("a sequence number that does not follow", |chain| {
            let first = block(chain, vec![chain.into()], None, &author(1), b"x");
            let skipping = block(chain, vec![], Some((first.id(), 5)), &author(1), b"y");
            vec![pushed(chain, first.raw().clone()), pushed(chain, skipping.raw().clone())]
        }),
        ("a previous block of another author", |chain| {
            let first = block(chain, vec![chain.into()], None, &author(1), b"x");
            let stolen = block(chain, vec![], Some((first.id(), 0)), &author(2), b"y");
            vec![pushed(chain, first.raw().clone()), pushed(chain, stolen.raw().clone())]
        }),
        ("a private block", |chain| {
            let draft = Draft { kind: BlockKind::Private, ..draft(chain, vec![chain.into()], None, b"x") };
            vec![pushed(chain, draft.sign_alone(&author(1), Timestamp(1)).unwrap().raw().clone())]
        }),
        ("an operation", |chain| {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let device = HybridSecret::generate(&mut rng);
            let draft = Draft { kind: BlockKind::Operation, ..draft(chain, vec![chain.into()], None, b"x") };
            vec![pushed(chain, draft.sign(&author(1), &device, Timestamp(1), &mut rng).unwrap().raw().clone())]
        }),
        ("a block with something beside it", |chain| {
            let block = block(chain, vec![chain.into()], None, &author(1), b"x").raw().clone();
            let block = WireBlock { block, attachment: Some(vec![1].into()), foreign: Vec::new() };
            vec![PublicMessage::Sync(SyncMessage::Push { chain, block }).frame()]
        }),
        ("a genesis of another chain", |chain| {
            let place = Place::Genesis([8; 32]);
            let draft = Draft { place, ..draft(chain, vec![], None, &[1, 0]) };
            vec![pushed(chain, draft.sign_alone(&author(1), Timestamp(1)).unwrap().raw().clone())]
        }),
        ("a bad signature of a block without parents here", |chain| {
            let mut raw = block(chain, vec![BlockId([7; 32])], None, &author(1), b"x").raw().clone();
            raw.signature[5] ^= 1;
            vec![pushed(chain, raw)]
        }),
        ("noise", |_| vec![vec![5, 1, 0, 3]]),
        ("an unknown kind of frame", |_| vec![vec![99]]),
    ];
    for (what, forge) in cases {
        let (mut net, chain, enemy) = with_enemy(11, 2);
        let before = net.list(0).len();
        let frames = forge(chain);
        let held = frames.len() - 1;
        for frame in frames {
            net.send(enemy, 0, frame);
        }
        net.run(200);
        assert!(!net.connected(enemy, 0), "{what}: the sender is disconnected");
        assert_eq!(net.list(0).len(), before + held, "{what}: only what holds is kept");
        // It is not spoken to for a while, and then is again.
        net.link(enemy, 0);
        net.run(100);
        net.mail(enemy);
        let pull = PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() }).frame();
        net.send(enemy, 0, pull.clone());
        net.run(100);
        assert!(net.mail(enemy).is_empty(), "{what}: it is shunned");
        net.run(61_000);
        net.link(enemy, 0);
        net.run(100);
        net.send(enemy, 0, pull);
        net.run(100);
        assert!(!net.mail(enemy).is_empty(), "{what}: it is forgiven");
        net.check(0);
    }
}

/// C5: an author that forks is kept on both sides, and told.
#[test]
fn forks_converge_and_are_told_as_evidence() {
    let (mut net, chain, enemy) = with_enemy(12, 4);
    let first = block(chain, vec![chain.into()], None, &author(1), b"first");
    let left = block(chain, vec![], Some((first.id(), 0)), &author(1), b"left");
    let right = block(chain, vec![], Some((first.id(), 0)), &author(1), b"right");
    let below = block(chain, vec![], Some((left.id(), 1)), &author(1), b"on the left");
    net.link(enemy, 1);
    net.run(20);
    // A different story to each.
    for (to, blocks) in [(0, [&first, &left, &below].as_slice()), (1, &[&first, &right])] {
        blocks.iter().for_each(|block| push(&mut net, enemy, to, block));
    }
    net.run(60_000);
    let all = net.list(0);
    assert_eq!(all.len(), 5);
    for node in 0..3 {
        assert_eq!(net.list(node).len(), 5);
        let told = net.details(node).equivocations;
        assert_eq!(told.len(), 1, "node {node}: {told:?}");
        assert_eq!((told[0].author, told[0].sequence), (author(1).public(), 1));
        let mut blocks = told[0].blocks;
        blocks.sort_unstable();
        let mut expected = [left.id(), right.id()];
        expected.sort_unstable();
        assert_eq!(blocks, expected);
        // The evidence is kept.
        net.kill(node);
        net.start(node);
        assert_eq!(net.details(node).equivocations, told);
        net.check(node);
    }
}

#[test]
fn a_store_that_is_an_old_copy_writes_by_a_new_key() {
    let mut net = Net::new(13, 2);
    net.all_join();
    net.post(0, b"one");
    net.run(500);
    let copy = net.store(0).copy();
    net.post(0, b"two");
    net.run(500);
    let before = net.details(0).author;
    net.kill(0);
    net.put_back(0, copy);
    net.start(0);
    net.run(10_000);
    assert_eq!(net.list(0).len(), 2);
    assert_ne!(net.details(0).author, before);
    net.post(0, b"three");
    net.run(500);
    assert!(net.details(1).equivocations.is_empty(), "no more forks come of it");
}

/// R1, R3: orphans fill their sender's share, and no more.
#[test]
fn a_flood_of_orphans_is_bounded_and_holds_nobody_up() {
    let (mut net, chain, enemy) = with_enemy(14, 3);
    for number in 0..40_u32 {
        let mut missing = [1; 32];
        missing[..4].copy_from_slice(&number.to_le_bytes());
        let orphan = block(chain, vec![BlockId(missing)], None, &author(1), &vec![7; 200_000]);
        push(&mut net, enemy, 0, &orphan);
    }
    net.run(3_000);
    let held = net.engine(0).public().orphan_bytes();
    assert!(held > 0 && held <= ORPHAN_BYTES_PER_PEER_MAX, "{held}");
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Orphans));
    net.post(1, b"meanwhile");
    net.run(30_000);
    assert_eq!(net.list(0).len(), 2);
    net.take_over(enemy);
    net.run(100);
    assert_eq!(net.engine(0).public().orphan_bytes(), 0, "who is gone holds nothing");
}

#[test]
fn blocks_that_came_before_their_parents_enter_behind_them() {
    let (mut net, chain, enemy) = with_enemy(15, 2);
    let mut blocks = vec![block(chain, vec![chain.into()], None, &author(1), b"0")];
    for number in 1..50_u64 {
        let last = blocks.last().unwrap();
        blocks.push(block(chain, vec![], Some((last.id(), number - 1)), &author(1), b"n"));
    }
    for block in blocks.iter().rev() {
        push(&mut net, enemy, 0, block);
    }
    net.run(5_000);
    assert_eq!(net.list(0).len(), 51);
    net.check(0);
}

/// C5: heads that nobody serves hold up neither others nor this peer's other chains.
#[test]
fn heads_that_are_not_served_stall_nobody() {
    let (mut net, chain, enemy) = with_enemy(17, 3);
    net.cut(0, 1);
    let heads = PublicMessage::Sync(SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] });
    net.send(enemy, 0, heads.frame());
    net.run(100);
    net.post(1, b"news");
    net.mend();
    net.run(30_000);
    assert_eq!(net.list(0).len(), 2);
    // It is given up once nobody else can be asked for long enough.
    net.send(enemy, 0, heads.frame());
    net.run(70_000);
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Waits));
}

/// R2: questions that say nothing end, and a greeting tells nobody a chain that it does not know.
#[test]
fn strangers_learn_nothing_and_are_let_go() {
    let mut net = Net::new(18, 2);
    net.found(0);
    net.post(0, b"x");
    let chain = net.details(0).summary.chain;
    net.take_over(1);
    net.link(1, 0);
    net.run(100);
    let told = net.mail(1);
    assert!(told.iter().all(|(_, frame)| !frame.windows(32).any(|bytes| bytes == chain.0)), "{told:?}");
    let wrong = ChainId([1; 32]);
    net.send(1, 0, PublicMessage::Sync(SyncMessage::Pull { chain: wrong, have: Vec::new() }).frame());
    net.send(1, 0, PublicMessage::Greeting { marks: vec![Hash([4; 32])] }.frame());
    net.run(100);
    let unknown = PublicMessage::Refused { chain: wrong, reason: JoinRefusal::Unknown };
    let told: Vec<Vec<u8>> = net.mail(1).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(told, [unknown.frame()], "no more than that it is not served");
    net.run(31_000);
    assert!(!net.connected(1, 0), "who shares nothing does not stay");
    net.link(1, 0);
    net.run(10);
    net.mail(1);
    for _ in 0..100 {
        net.send(1, 0, PublicMessage::Sync(SyncMessage::More { chain: wrong }).frame());
    }
    net.run(200);
    assert_eq!(net.engine(0).public().limits_reached().get(&ChainLimit::Strays), Some(&1));
    assert!(!net.connected(1, 0), "who goes on about what is nothing here is let go");
    // And not shunned.
    net.link(1, 0);
    net.run(100);
    net.mail(1);
    net.send(1, 0, PublicMessage::Sync(SyncMessage::More { chain: wrong }).frame());
    net.run(100);
    assert_eq!(net.mail(1).into_iter().map(|(_, frame)| frame).collect::<Vec<_>>(), [unknown.frame()]);
}

/// R2: greetings are work, too. What questions cost is counted in `shares.rs`.
#[test]
fn greetings_beyond_a_share_are_passed_over_and_questions_heard_again_later() {
    let (mut net, chain, enemy) = with_enemy(19, 2);
    net.send(enemy, 0, PublicMessage::Sync(SyncMessage::Heads { chain, heads: Vec::new() }).frame());
    let mut marks: Vec<Hash> =
        (0..1_024_u32).map(|number| Hash(*blake3::hash(&number.to_le_bytes()).as_bytes())).collect();
    marks.sort();
    let greeting = PublicMessage::Greeting { marks }.frame();
    // Each is some 160 looks.
    for _ in 0..60 {
        (0..500).for_each(|_| net.send(enemy, 0, greeting.clone()));
        net.run(50);
    }
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Work));
    net.mail(enemy);
    net.run(10_000);
    net.send(enemy, 0, PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() }).frame());
    net.run(100);
    assert!(!net.mail(enemy).is_empty(), "and served again later");
}

/// A chain of another kind is not drawn into the open by an invitation.
#[test]
fn an_invitation_does_not_publish_a_chain_of_another_kind() {
    let mut net = Net::new(20, 2);
    net.found(1);
    let code = net.invite(1, None, Sharing::Inviter);
    // The chain is in the store, and is not one of the public ones there.
    let genesis = chains::block_at(&net.view(1), net.details(1).summary.chain, 0).unwrap().unwrap();
    let mut view = net.view(0);
    chains::insert(&mut view, &genesis.block).unwrap();
    let (_, batch) = view.close_step().unwrap();
    net.kill(0);
    walytis_core::Store::commit(net.store(0), &batch).unwrap();
    net.start(0);
    let joined = net.join(0, &code);
    assert!(matches!(joined, Err(walytis_engine::public::PublicError::NotPublic)), "{joined:?}");
    assert!(matches!(net.call(0, ChainCommand::Chains), Ok(ChainAnswer::Chains(chains)) if chains.is_empty()));
}

#[test]
fn strangers_that_are_said_to_be_near_are_dialled_a_few_at_a_time() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let mut rng = ChaCha20Rng::seed_from_u64(72);
    Engine::create(&store, &mut rng).unwrap();
    let mut engine = Engine::open(Arc::clone(&store), Timestamp(0), Box::new(rng)).unwrap();
    let mut dialled = |now: u64, events: Vec<Event>| {
        let (mut queue, mut dials) = (VecDeque::from(events), 0);
        while let Some(event) = queue.pop_front() {
            let mut out = Vec::new();
            engine.handle(Timestamp(now), event, &mut out);
            for effect in out {
                match effect {
                    Effect::Commit { number, batch } => {
                        store.commit(&batch).unwrap();
                        queue.push_back(Event::Committed(number));
                    }
                    Effect::Dial(_) => dials += 1,
                    _ => {}
                }
            }
        }
        dials
    };
    let near = |from: u8| -> Vec<Event> {
        let address = |peer: u8| Address::new(format!("/memory/1/p2p/{}", PeerId([peer; 32]))).unwrap();
        (from..from + 50).map(|peer| Event::Discovered(address(peer))).collect()
    };
    assert_eq!(dialled(0, near(0)), 0, "nothing is followed");
    let new = Command::Chain(ChainCommand::New { name: "c".into() });
    dialled(0, vec![Event::Online, Event::Command { ticket: Ticket(1), command: new }]);
    assert_eq!(dialled(0, near(0)), 16);
    assert_eq!(dialled(59_000, near(50)), 0);
    assert_eq!(dialled(600_000, near(100)), 10, "one a minute");
}

/// Whoever shares a public chain learns nothing about what else is kept here: a block of another chain is answered for like
/// one that is nowhere.
#[test]
fn what_is_kept_of_other_chains_changes_no_answer() {
    let group = Draft {
        kind: BlockKind::Operation,
        place: Place::Genesis([5; 32]),
        foreign: Vec::new(),
        topics: Vec::new(),
        content: b"a group".to_vec(),
    };
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let genesis = group.sign(&author(5), &HybridSecret::generate(&mut rng), Timestamp(1), &mut rng).unwrap();
    let id = genesis.id();
    type Question = fn(ChainId, BlockId, &VerifiedBlock) -> Vec<u8>;
    let questions: &[(&str, Question)] = &[
        ("heads", |chain, id, _| PublicMessage::Sync(SyncMessage::Heads { chain, heads: vec![id] }).frame()),
        ("some of its heads", |chain, id, _| {
            let mut heads = vec![chain.into(), id];
            heads.sort_unstable();
            PublicMessage::Sync(SyncMessage::Heads { chain, heads }).frame()
        }),
        ("what the peer has", |chain, id, _| PublicMessage::Sync(SyncMessage::Pull { chain, have: vec![id] }).frame()),
        ("heads of a comparison", |chain, id, _| {
            let compare = Compare { salt: Salt([1; 8]), goes_on: false, told: Vec::new().into() };
            PublicMessage::Sync(SyncMessage::Compare { chain, heads: vec![id], compare }).frame()
        }),
        ("a parent", |chain, id, _| pushed(chain, block(chain, vec![id], None, &author(1), b"x").raw().clone())),
        ("the previous block", |chain, id, _| {
            pushed(chain, block(chain, vec![], Some((id, 0)), &author(5), b"x").raw().clone())
        }),
        ("the block itself", |chain, _, genesis| pushed(chain, genesis.raw().clone())),
    ];
    for (what, question) in questions {
        let answers = [false, true].map(|held| {
            let (mut net, chain, enemy) = with_enemy(21, 2);
            net.kill(0);
            if held {
                let mut view = net.view(0);
                chains::insert(&mut view, &genesis).unwrap();
                let (_, batch) = view.close_step().unwrap();
                net.store(0).commit(&batch).unwrap();
            }
            net.start(0);
            net.link(enemy, 0);
            net.run(1_000);
            net.mail(enemy);
            net.send(enemy, 0, question(chain, id, &genesis));
            net.run(15_000);
            (net.mail(enemy), net.connected(enemy, 0), net.engine(0).public().orphan_bytes())
        });
        assert!(!answers[1].0.is_empty() || *what != "what the peer has", "there is an answer");
        assert_eq!(answers[0], answers[1], "{what}");
    }
}
