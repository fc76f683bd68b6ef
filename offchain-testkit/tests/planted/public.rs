//! The planted bugs of public chains.

use std::sync::Arc;

use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::planted::Fault;
use walytis_core::query::{Order, Query};
use walytis_core::{
    AuthorSecret, BlockId, BlockKind, ChainId, Draft, Pending, Place, Store, Timestamp, VerifiedBlock, chains,
};
use walytis_engine::Ticket;
use walytis_engine::public::{
    ChainAnswer, ChainCommand, ChainDetails, ChainEntry, ChainInvitation, DeliveryAnswer, DeliveryCommand,
    PublicMessage, Rule, Sharing, Start,
};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_offchain::{Answer, Command, Delivery};

use crate::common::*;
use crate::{SECOND_MS, SOON_MS, meet};

const CHAIN: &str = "public";

/// Whether the world behaves as it should, in a scenario in which it would not with this fault. `None`: it is none of
/// public chains.
pub(crate) fn holds(fault: Fault) -> Option<bool> {
    Some(match fault {
        Fault::NameWrongPlace => {
            let (mut world, [a, b]) = followers();
            let posted = apart(&mut world, [a, b], [5, 0]);
            let known = list(&mut world, b);
            posted.iter().all(|id| known.iter().any(|entry| entry.id == *id))
        }
        Fault::PublicDropOrphan => {
            let mut peer = Peer::new();
            let orphan = peer.block(1, vec![BlockId([7; 32])], None);
            peer.push(&orphan);
            peer.heard(asks)
        }
        Fault::ForgetWaiting => {
            let mut peer = Peer::new();
            let parent = peer.block(1, vec![peer.chain.into()], None);
            let child = peer.block(1, vec![], Some((parent.id(), 0)));
            peer.push(&child);
            peer.push(&parent);
            peer.has(child.id())
        }
        Fault::PublicDeliverTwice => {
            let mut peer = Peer::new();
            let subscription = peer.subscribe();
            let block = peer.block(1, vec![peer.chain.into()], None);
            peer.push(&block);
            peer.push(&block);
            peer.delivered(subscription) == [block.id()]
        }
        Fault::MissFork => {
            let mut peer = Peer::new();
            for parents in [vec![peer.chain.into()], heads(&peer.world, peer.victim, peer.chain)] {
                let block = peer.block(1, parents, None);
                peer.push(&block);
            }
            details(&mut peer.world, peer.victim).equivocations.len() == 1
        }
        Fault::ForgetSums => {
            let mut peer = Peer::new();
            for _ in 0..70 {
                post(&mut peer.world, peer.victim);
            }
            let late = peer.block(1, vec![peer.chain.into()], None);
            peer.push(&late);
            assert!(peer.has(late.id()));
            problems(&peer.world, peer.victim).is_empty()
        }
        Fault::PublicIgnoreHeads => {
            let mut peer = Peer::new();
            peer.tell_heads(9);
            peer.heard(asks)
        }
        Fault::PublicSilentShare => {
            let mut peer = Peer::silent();
            let chain = peer.chain;
            peer.send(SyncMessage::More { chain });
            peer.heard(|message| matches!(message, SyncMessage::Heads { .. }))
        }
        Fault::PublicChildFirst => {
            let (mut world, [a, b]) = followers();
            let subscription = subscribe(&mut world, b);
            let posted = apart(&mut world, [a, b], [3, 0]);
            delivered(&world, b, subscription) == posted
        }
        Fault::ShowBlocked => {
            let mut peer = Peer::new();
            let subscription = peer.subscribe();
            let below = peer.block(1, vec![peer.chain.into()], None);
            let above = peer.block(2, vec![below.id()], None);
            let rule = Rule::BlockAuthor(below.header().author);
            call(&mut peer.world, peer.victim, ChainCommand::Rule { chain: CHAIN.into(), rule });
            peer.push(&below);
            peer.push(&above);
            assert!(peer.has(below.id()) && peer.has(above.id()));
            peer.delivered(subscription) == [above.id()]
        }
        Fault::ForgetCursor => {
            let (mut world, [a, _]) = followers();
            post(&mut world, a);
            let (subscription, _) = open(&mut world, a);
            deliver(&mut world, a, DeliveryCommand::Acknowledge { subscription, position: 1 });
            restart(&mut world, a);
            open(&mut world, a).1 == 2
        }
        Fault::SkipBetweenPages => {
            let (mut world, [a, _]) = followers();
            let posted: Vec<BlockId> = (0..10).map(|_| post(&mut world, a)).collect();
            let (subscription, mut from) = open(&mut world, a);
            let mut read = Vec::new();
            loop {
                let page = DeliveryCommand::Read { subscription, from, held: vec![], topics: vec![], limit: 4 };
                let ChainAnswer::Delivery(DeliveryAnswer::Blocks { entries, next, .. }) = deliver(&mut world, a, page)
                else {
                    panic!("a page")
                };
                if entries.is_empty() {
                    break;
                }
                read.extend(entries.iter().map(|entry| entry.id));
                from = next;
            }
            read == posted
        }
        Fault::LoseLetter => {
            let (mut world, [a, _]) = followers();
            post(&mut world, a);
            let (subscription, _) = open(&mut world, a);
            let fail = DeliveryCommand::Fail { subscription, position: 1, reason: "no".into(), tries_max: 1 };
            deliver(&mut world, a, fail);
            let letters = DeliveryCommand::Letters { chain: CHAIN.into(), name: "reader".into(), from: 0 };
            let letters = deliver(&mut world, a, letters);
            matches!(letters, ChainAnswer::Delivery(DeliveryAnswer::Letters { letters, .. }) if letters.len() == 1)
        }
        Fault::ReuseInvitation => {
            let (mut world, [a, _]) = followers();
            invitations(&mut world, a)[0].uses == Some(0)
        }
        Fault::ForgetUse => {
            let (mut world, [a, b]) = two();
            let code = founded(&mut world, a);
            call(&mut world, b, ChainCommand::Join { code, name: Some(CHAIN.into()) });
            restart(&mut world, a);
            invitations(&mut world, a)[0].uses == Some(0)
        }
        Fault::ForgetRules => {
            let (mut world, [a, b]) = followers();
            let rule = Rule::BlockAuthor(details(&mut world, b).author);
            call(&mut world, a, ChainCommand::Rule { chain: CHAIN.into(), rule });
            restart(&mut world, a);
            details(&mut world, a).blocked_authors.len() == 1
        }
        Fault::ForgetRemoval => {
            let (mut world, [a, _]) = followers();
            world.ask(a, Command::Chain(ChainCommand::Delete { chain: CHAIN.into() }));
            world.run_until(SOON_MS, |world| world.writing(a) > 0);
            world.kill_keeping(a, 1);
            world.start(a).expect("its store is sound");
            world.run_for(SECOND_MS);
            matches!(call(&mut world, a, ChainCommand::Chains), ChainAnswer::Chains(chains) if chains.is_empty())
        }
        _ => return None,
    })
}

/// Whether a message asks for blocks.
fn asks(message: &SyncMessage) -> bool {
    matches!(message, SyncMessage::Pull { .. } | SyncMessage::Compare { .. })
}

fn is(frame: &[u8], such: fn(&SyncMessage) -> bool) -> bool {
    let message = PublicMessage::decode(frame.get(1..).unwrap_or_default());
    matches!(message, Ok(PublicMessage::Sync(sync)) if such(&sync))
}

fn two() -> (World, [NodeId; 2]) {
    let mut world = calm(1);
    let both = nodes(&mut world);
    (world, both)
}

/// Two nodes that follow a public chain of the first, by an invitation for one.
fn followers() -> (World, [NodeId; 2]) {
    let (mut world, [a, b]) = two();
    let code = founded(&mut world, a);
    call(&mut world, b, ChainCommand::Join { code, name: Some(CHAIN.into()) });
    world.run_for(SECOND_MS);
    (world, [a, b])
}

/// A new chain, and the code of an invitation for one.
fn founded(world: &mut World, node: NodeId) -> String {
    call(world, node, ChainCommand::New { name: CHAIN.into() });
    let invite = ChainCommand::Invite { chain: CHAIN.into(), uses: Some(1), sharing: Sharing::Inviter };
    match call(world, node, invite) {
        ChainAnswer::Invitation(invitation) => invitation.code.expect("it listens"),
        other => panic!("{other:?}"),
    }
}

fn call(world: &mut World, node: NodeId, command: ChainCommand) -> ChainAnswer {
    match ok(world.call(node, Command::Chain(command), LONG_MS)) {
        Answer::Chain(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn deliver(world: &mut World, node: NodeId, command: DeliveryCommand) -> ChainAnswer {
    call(world, node, ChainCommand::Delivery(command))
}

fn post(world: &mut World, node: NodeId) -> BlockId {
    let post = ChainCommand::Post { chain: CHAIN.into(), topics: Vec::new(), content: b"a post".to_vec() };
    match call(world, node, post) {
        ChainAnswer::Posted(id) => id,
        other => panic!("{other:?}"),
    }
}

fn list(world: &mut World, node: NodeId) -> Vec<ChainEntry> {
    let query = Box::new(Query { order: Order::Listing, ..Query::default() });
    let list = ChainCommand::List { chain: CHAIN.into(), query, after: None, limit: 256 };
    match call(world, node, list) {
        ChainAnswer::Page(page) => page.entries,
        other => panic!("{other:?}"),
    }
}

fn details(world: &mut World, node: NodeId) -> ChainDetails {
    match call(world, node, ChainCommand::Show { chain: CHAIN.into() }) {
        ChainAnswer::Details(details) => *details,
        other => panic!("{other:?}"),
    }
}

fn invitations(world: &mut World, node: NodeId) -> Vec<ChainInvitation> {
    match call(world, node, ChainCommand::Invitations { chain: CHAIN.into() }) {
        ChainAnswer::Invitations(invitations) => invitations,
        other => panic!("{other:?}"),
    }
}

/// Posts on both sides of a cut that is mended. Gives what the first wrote.
fn apart(world: &mut World, [a, b]: [NodeId; 2], posts: [usize; 2]) -> Vec<BlockId> {
    world.cut(a, b);
    world.run_for(SOON_MS);
    let first = (0..posts[0]).map(|_| post(world, a)).collect();
    for _ in 0..posts[1] {
        post(world, b);
    }
    meet(world, a, b);
    first
}

fn restart(world: &mut World, node: NodeId) {
    world.kill(node);
    world.start(node).expect("its store is sound");
    world.run_for(SOON_MS);
}

fn subscribe(world: &mut World, node: NodeId) -> Ticket {
    let ticket = world.ask(node, Command::Chain(ChainCommand::Subscribe { chain: CHAIN.into() }));
    world.run_for(SOON_MS);
    ticket
}

/// Begins to read under a name, and tells from where on.
fn open(world: &mut World, node: NodeId) -> (Ticket, u64) {
    let open = DeliveryCommand::Open { chain: CHAIN.into(), name: "reader".into(), start: Start::Beginning };
    let ticket = world.ask(node, Command::Chain(ChainCommand::Delivery(open)));
    world.run_for(SOON_MS);
    match ok(world.take_answer(node, ticket)) {
        Answer::Chain(ChainAnswer::Subscribed { from, .. }) => (ticket, from),
        other => panic!("{other:?}"),
    }
}

fn delivered(world: &World, node: NodeId, subscription: Ticket) -> Vec<BlockId> {
    let of = world.deliveries(node).iter().filter(|(ticket, _)| *ticket == subscription);
    let ids = of.filter_map(|(_, delivery)| match delivery {
        Delivery::Chain(entry) => Some(entry.id),
        _ => None,
    });
    ids.collect()
}

fn heads(world: &World, node: NodeId, chain: ChainId) -> Vec<BlockId> {
    let store: Arc<dyn Store> = world.store(node);
    chains::heads(&Pending::new(store), chain).expect("a sound store")
}

fn problems(world: &World, node: NodeId) -> Vec<String> {
    walytis_offchain::check(world.store(node), &mut |_, _| {}).expect("it can be read").problems
}

/// Somebody who knows the chain of a victim.
struct Peer {
    world: World,
    victim: NodeId,
    puppet: Puppet,
    chain: ChainId,
}

impl Peer {
    /// The victim has two blocks, and knows that the peer follows the chain, too.
    fn new() -> Self {
        let mut peer = Self::silent();
        let chain = peer.chain;
        peer.send(SyncMessage::More { chain });
        peer.heard(asks);
        peer
    }

    fn silent() -> Self {
        let mut world = calm(1);
        let [victim, other] = nodes(&mut world);
        founded(&mut world, victim);
        post(&mut world, victim);
        let chain = details(&mut world, victim).summary.chain;
        let mut puppet = Puppet::possess(&mut world, other).expect("a store");
        assert!(puppet.connect(&mut world, victim));
        world.run_for(SOON_MS);
        puppet.raw_mail(&mut world);
        Self { world, victim, puppet, chain }
    }

    fn block(&self, author: u8, parents: Vec<BlockId>, previous: Option<(BlockId, u64)>) -> VerifiedBlock {
        let place = Place::After { chain: self.chain, parents, previous };
        let content = b"a block".to_vec();
        let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics: Vec::new(), content };
        draft.sign_alone(&AuthorSecret::from_seed(&[author; 32]), Timestamp(1)).expect("a block that keeps the rules")
    }

    fn send(&mut self, message: SyncMessage) {
        self.puppet.send(&mut self.world, self.victim, PublicMessage::Sync(message).frame());
        self.world.run_for(SOON_MS);
    }

    fn push(&mut self, block: &VerifiedBlock) {
        let block = WireBlock { block: block.raw().clone(), attachment: None, foreign: Vec::new() };
        self.send(SyncMessage::Push { chain: self.chain, block });
    }

    fn tell_heads(&mut self, head: u8) {
        self.send(SyncMessage::Heads { chain: self.chain, heads: vec![BlockId([head; 32])] });
    }

    /// Whether the victim said such a thing since this was asked last.
    fn heard(&mut self, such: fn(&SyncMessage) -> bool) -> bool {
        self.puppet.raw_mail(&mut self.world).iter().any(|(_, frame)| is(frame, such))
    }

    fn has(&self, id: BlockId) -> bool {
        let store: Arc<dyn Store> = self.world.store(self.victim);
        chains::contains(&Pending::new(store), id).expect("a sound store")
    }

    fn subscribe(&mut self) -> Ticket {
        subscribe(&mut self.world, self.victim)
    }

    fn delivered(&self, subscription: Ticket) -> Vec<BlockId> {
        delivered(&self.world, self.victim, subscription)
    }
}
