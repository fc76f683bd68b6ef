//! A stranger that has an id and nothing else.

use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::{AuthorSecret, BlockId, BlockKind, ChainId, Draft, Hash, Place, RawBlock, Timestamp, VerifiedBlock};
use walytis_engine::public::{ChainCode, ChainInviter, PublicMessage};
use walytis_engine::sync::{SyncMessage, WireBlock};

use crate::common::*;

pub(crate) struct Stranger {
    pub(crate) puppet: Puppet,
    pub(crate) node: NodeId,
}

impl Stranger {
    pub(crate) fn at(world: &mut World, node: NodeId) -> Self {
        Self { puppet: Puppet::possess(world, node).expect("a store"), node }
    }

    /// A public code for any id, with which the stranger is asked.
    pub(crate) fn code(&self, world: &World, chain: ChainId) -> String {
        let peer = world.identity(self.node).peer;
        let inviter = ChainInviter { peer, addresses: vec![world.address(self.node)] };
        ChainCode { chain, secret: [7; 16].into(), shareable: true, inviters: vec![inviter] }.to_text()
    }

    pub(crate) fn say(&mut self, world: &mut World, to: NodeId, message: &PublicMessage) {
        self.puppet.connect(world, to);
        self.puppet.send(world, to, message.frame());
        world.run_for(50);
    }

    /// Lets a victim in, and keeps its join going for so long.
    pub(crate) fn hold_join(&mut self, world: &mut World, victim: NodeId, chain: ChainId, seconds: u64) {
        world.run_for(200);
        self.say(world, victim, &PublicMessage::Joined { chain });
        let heads = SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] };
        self.say(world, victim, &PublicMessage::Sync(heads));
        for _ in 0..seconds / 4 {
            let portion = SyncMessage::Portion { chain, blocks: Vec::new(), left: 5 };
            self.say(world, victim, &PublicMessage::Sync(portion));
            world.run_for(4_000);
        }
    }

    /// Everything that can be said about a chain in public frames.
    pub(crate) fn everything(chain: ChainId) -> Vec<PublicMessage> {
        let genesis = BlockId(chain.0);
        let block = || WireBlock { block: block(chain, vec![genesis]), attachment: None, foreign: Vec::new() };
        let sync = [
            SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] },
            SyncMessage::Heads { chain, heads: vec![genesis] },
            SyncMessage::Pull { chain, have: Vec::new() },
            SyncMessage::Pull { chain, have: vec![genesis] },
            SyncMessage::More { chain },
            SyncMessage::Portion { chain, blocks: vec![block()], left: 5 },
            SyncMessage::Push { chain, block: block() },
        ];
        let mut all = vec![
            PublicMessage::Greeting { marks: vec![Hash([4; 32])] },
            PublicMessage::Join { chain, proof: Hash([5; 32]) },
            PublicMessage::Joined { chain },
            PublicMessage::Refused { chain, reason: walytis_engine::public::JoinRefusal::Unknown },
            PublicMessage::Pushed { chain, blocks: vec![block(), block()] },
        ];
        all.extend(sync.map(PublicMessage::Sync));
        all
    }
}

/// A well-formed block of content by a new key under any chain's id.
pub(crate) fn block(chain: ChainId, parents: Vec<BlockId>) -> RawBlock {
    verified(chain, parents).raw().clone()
}

/// The same as whoever writes rows takes it.
pub(crate) fn verified(chain: ChainId, parents: Vec<BlockId>) -> VerifiedBlock {
    let place = Place::After { chain, parents, previous: None };
    let content = b"a stranger's".to_vec();
    let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics: Vec::new(), content };
    let author = AuthorSecret::from_seed(&[3; 32]);
    draft.sign_alone(&author, Timestamp(1)).expect("a well-formed block")
}

/// A founder with a group of three posts, and two more nodes that are not in it.
pub(crate) fn scene(seed: u64) -> (World, [NodeId; 2], Stranger, ChainId) {
    let mut world = calm(seed);
    let [founder, victim, stranger] = nodes(&mut world);
    group_of(&mut world, "friends", founder, &[]);
    for content in [&b"one"[..], b"two", b"three"] {
        post(&mut world, founder, "friends", content);
    }
    let group = group_id(&mut world, founder, "friends");
    world.guard_chain(group);
    let stranger = Stranger::at(&mut world, stranger);
    (world, [founder, victim], stranger, group)
}
