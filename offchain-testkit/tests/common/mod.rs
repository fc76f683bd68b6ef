//! What the tests of the swarm share.
#![expect(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

pub(crate) mod counting;

use std::collections::BTreeSet;
use std::sync::Arc;

use offchain_testkit::{NodeId, Puppet, World, WorldConfig};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use walytis_core::{
    BlockId, BlockKind, ChainId, Draft, FORMAT_VERSION, ForeignHead, Header, Pending, RawBlock, Store, Suite,
    Transcript, chains,
};
use walytis_engine::sync::WireBlock;
use walytis_identities::{
    Epoch, EpochContext, EpochKey, Fold, History, InvitationCode, Membership, Operation, keyring,
};
use walytis_offchain::{
    Answer, Attachment, Command, Delivery, EngineError, Entry, GroupDetails, Newer, NewerKind, Ticket, check,
};

/// Longer than anything in a calm world takes, in virtual milliseconds.
pub(crate) const LONG_MS: u64 = 60_000;

pub(crate) fn calm(seed: u64) -> World {
    World::new(WorldConfig::calm(seed))
}

pub(crate) fn nodes<const N: usize>(world: &mut World) -> [NodeId; N] {
    std::array::from_fn(|_| world.add_node().expect("a new store takes an identity"))
}

pub(crate) fn ok(answer: Option<Result<Answer, EngineError>>) -> Answer {
    answer.expect("the command is answered in time").expect("the command works")
}

/// Members of a group, each connected with each, of whom the last is in the attacker's hands and has a session with each of
/// those in `spoken_to`.
pub(crate) fn possessed<const N: usize>(
    seed: u64,
    name: &str,
    spoken_to: std::ops::Range<usize>,
) -> (World, [NodeId; N], Puppet, ChainId) {
    let mut world = calm(seed);
    let all: [NodeId; N] = nodes(&mut world);
    group_of(&mut world, name, all[0], &all[1..]);
    post(&mut world, all[0], name, b"first");
    for (place, later) in all.iter().enumerate() {
        for earlier in &all[..place] {
            if !world.connected(*earlier, *later) {
                world.link(*earlier, *later);
            }
        }
    }
    world.run_for(2_000);
    converge(&mut world, name, &all);
    let group = group_id(&mut world, all[0], name);
    let mut puppet = Puppet::possess(&mut world, all[N - 1]).expect("a store");
    for node in &all[spoken_to] {
        assert!(puppet.open_session(&mut world, *node, group), "a member is spoken to");
    }
    world.run_for(200);
    (world, all, puppet, group)
}

pub(crate) fn invite(world: &mut World, node: NodeId, group: &str, uses: u32) -> String {
    match ok(world.call(node, Command::Invite { group: group.into(), uses }, LONG_MS)) {
        Answer::Invitation(code) => code,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn join(world: &mut World, node: NodeId, code: &str, name: &str) -> Result<Answer, EngineError> {
    let command = Command::Join { code: code.into(), name: Some(name.into()) };
    world.call(node, command, LONG_MS).expect("a join ends")
}

/// A group of that name, founded by one and joined by the others.
pub(crate) fn group_of(world: &mut World, name: &str, founder: NodeId, others: &[NodeId]) {
    ok(world.call(founder, Command::NewGroup { name: name.into(), history: History::All }, LONG_MS));
    if others.is_empty() {
        return;
    }
    let code = invite(world, founder, name, u32::try_from(others.len()).expect("a small number"));
    for other in others {
        join(world, *other, &code, name).expect("the invitation admits");
    }
}

pub(crate) fn post(world: &mut World, node: NodeId, group: &str, content: &[u8]) -> BlockId {
    post_about(world, node, group, &[], content)
}

pub(crate) fn post_about(world: &mut World, node: NodeId, group: &str, topics: &[&[u8]], content: &[u8]) -> BlockId {
    let topics = topics.iter().map(|topic| topic.to_vec()).collect();
    let command = Command::Post { group: group.into(), topics, content: content.to_vec() };
    match ok(world.call(node, command, LONG_MS)) {
        Answer::Posted(id) => id,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn list(world: &mut World, node: NodeId, group: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let command = Command::List { group: group.into(), after, below: None, topic: None };
        let Answer::Page(page) = ok(world.call(node, command, LONG_MS)) else { panic!("not a page") };
        entries.extend(page.entries);
        let Some(next) = page.next else { return entries };
        after = Some(next);
    }
}

pub(crate) fn details(world: &mut World, node: NodeId, group: &str) -> GroupDetails {
    match ok(world.call(node, Command::Group { group: group.into() }, LONG_MS)) {
        Answer::GroupDetails(details) => details,
        other => panic!("{other:?}"),
    }
}

/// Lets the world run until all these nodes have the same heads and lack nothing.
pub(crate) fn converge(world: &mut World, group: &str, nodes: &[NodeId]) {
    for _ in 0..400 {
        let all: Vec<GroupDetails> = nodes.iter().map(|node| details(world, *node, group)).collect();
        let first = &all[0];
        if all.iter().all(|other| other.heads == first.heads && other.summary.missing == 0) {
            return;
        }
        world.run_for(500);
    }
    let all: Vec<GroupDetails> = nodes.iter().map(|node| details(world, *node, group)).collect();
    panic!("no convergence: {all:#?}");
}

/// The ids of a listing.
pub(crate) fn ids(entries: &[Entry]) -> Vec<BlockId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// Longer than a peer that misbehaved is shunned, in virtual milliseconds.
pub(crate) const FORGIVEN_MS: u64 = 61_000;

/// What a node has of a group: whatever an attack must not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) entries: Vec<Entry>,
    pub(crate) details: GroupDetails,
}

pub(crate) fn seen(world: &mut World, node: NodeId, group: &str) -> Seen {
    Seen { entries: list(world, node, group), details: details(world, node, group) }
}

pub(crate) fn group_id(world: &mut World, node: NodeId, group: &str) -> ChainId {
    details(world, node, group).summary.group
}

/// A block as it goes over the wire, with what travels beside it.
pub(crate) fn wire(block: RawBlock, attachment: Option<&Attachment>) -> WireBlock {
    WireBlock { block, attachment: attachment.map(|attachment| attachment.encode().into()), foreign: Vec::new() }
}

/// Pushes a block that is to be refused: the victim ends the connection, and nothing changes. Afterwards it has forgiven.
pub(crate) fn assert_refused(
    world: &mut World,
    puppet: &mut Puppet,
    victim: NodeId,
    group: &str,
    block: WireBlock,
    what: &str,
) {
    let before = seen(world, victim, group);
    let chain = before.details.summary.group;
    assert!(puppet.open_session(world, victim, chain), "{what}: no session");
    world.run_for(200);
    assert!(puppet.push(world, victim, chain, block), "{what}: not sent");
    world.run_for(100);
    assert!(!world.connected(puppet.node(), victim), "{what}: the connection goes on");
    assert_eq!(seen(world, victim, group), before, "{what}: something changed");
    world.run_for(FORGIVEN_MS);
    assert_eq!(seen(world, victim, group), before, "{what}: something changed later");
}

/// Pushes a block that is to be accepted.
pub(crate) fn assert_accepted(
    world: &mut World,
    puppet: &mut Puppet,
    node: NodeId,
    group: &str,
    block: WireBlock,
    what: &str,
) {
    let before = details(world, node, group);
    assert!(puppet.open_session(world, node, before.summary.group), "{what}: no session");
    world.run_for(200);
    let id = Header::id_of(&block.block.header);
    assert!(puppet.push(world, node, before.summary.group, block), "{what}: not sent");
    world.run_for(200);
    assert!(world.connected(puppet.node(), node), "{what}: the connection ended");
    let after = details(world, node, group);
    assert!(after.heads.contains(&id), "{what}: not accepted");
    assert_eq!(after.summary.blocks, before.summary.blocks + 1, "{what}");
}

/// Verifies a node's whole store.
pub(crate) fn assert_sound(world: &World, node: NodeId) {
    let report = check(world.store(node), &mut |_, _| {}).expect("the store can be read");
    assert!(report.problems.is_empty(), "{node:?}: {:#?}", report.problems);
    assert!(report.blocks > 0);
}

pub(crate) fn subscribe(world: &mut World, node: NodeId, group: &str) -> Ticket {
    let ticket = world.ask(node, Command::Subscribe { group: group.into() });
    world.run_until(LONG_MS, |world| world.has_answer(node, ticket));
    match ok(world.take_answer(node, ticket)) {
        Answer::Subscribed { .. } => ticket,
        other => panic!("{other:?}"),
    }
}

/// What a subscription handed out, in order.
pub(crate) fn delivered(world: &World, node: NodeId, subscription: Ticket) -> Vec<Delivery> {
    let all = world.deliveries(node).iter().filter(|(ticket, _)| *ticket == subscription);
    all.map(|(_, delivery)| delivery.clone()).collect()
}

/// Each block once, after its parents as far as they were delivered too, and content only after its block.
pub(crate) fn assert_delivered_in_order(world: &World, node: NodeId, deliveries: &[Delivery]) {
    let store: Arc<dyn Store> = world.store(node);
    let view = Pending::new(store);
    let of = |delivery: &Delivery| match delivery {
        Delivery::Block(entry) => entry.id,
        _ => BlockId([0; 32]),
    };
    let all: BTreeSet<BlockId> = deliveries.iter().map(of).collect();
    let mut given = BTreeSet::new();
    let mut lacking = BTreeSet::new();
    for delivery in deliveries {
        match delivery {
            Delivery::Block(entry) => {
                let block =
                    chains::block(&view, entry.id).expect("a sound store").expect("what is delivered is stored");
                for parent in block.block.header().all_parents() {
                    assert!(!all.contains(&parent) || given.contains(&parent), "{node:?}: a block before its parent");
                }
                assert!(given.insert(entry.id), "{node:?}: a block twice");
                if entry.content.is_none() {
                    lacking.insert(entry.id);
                }
            }
            // A block that was there when the subscription began was not delivered by it, but its content may be.
            Delivery::Content(entry) => {
                assert!(lacking.remove(&entry.id) || !all.contains(&entry.id), "{node:?}: content twice, or too early");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The membership that a node's store gives.
pub(crate) fn membership(world: &World, node: NodeId, group: ChainId) -> Membership {
    let store: Arc<dyn Store> = world.store(node);
    let found = Fold::default().current(&Pending::new(store), group).expect("the group is here");
    Membership::clone(&found)
}

/// A runner whose cases are the same in every run.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// A new invitation's code, as a joiner reads it.
pub(crate) fn code_of(world: &mut World, node: NodeId, group: &str, uses: u32) -> InvitationCode {
    invite(world, node, group, uses).parse().expect("our own code")
}

/// A signed block of the puppet's with this operation behind the heads of its view, whatever anybody thinks of it.
pub(crate) fn unjudged(
    puppet: &mut Puppet,
    world: &World,
    group: ChainId,
    operation: &Operation,
    foreign: Vec<ForeignHead>,
) -> RawBlock {
    let now = world.wall_clock(puppet.node());
    let (device, desk) = puppet.desk(world);
    let (author, place) = device.place(&desk, group).expect("a member");
    let draft = Draft { kind: BlockKind::Operation, place, foreign, topics: vec![], content: operation.encode() };
    draft.sign(&author, &device.secret, now, desk.rng).expect("a well-formed block").parsed().raw().clone()
}

/// A block as it goes over the wire, with all blocks of other chains that it rests on.
pub(crate) fn wire_of(puppet: &Puppet, block: RawBlock) -> WireBlock {
    let heads = Header::decode(&block.header).expect("an honest header").foreign;
    let foreign = chains::foreign_ancestors(&puppet.view, &heads).expect("a store").expect("small identities");
    WireBlock { block, attachment: None, foreign }
}

/// What a block's signature is over.
pub(crate) fn transcript(suite: Suite, header: &[u8]) -> Transcript {
    Transcript::new("block", suite).field(&[FORMAT_VERSION]).field(&Header::id_of(header).0)
}

/// A private block by the puppet behind the heads of its view, with this body. The puppet builds on it from then on.
pub(crate) fn private(puppet: &mut Puppet, world: &World, content: Vec<u8>, group: ChainId) -> RawBlock {
    let now = world.wall_clock(puppet.node());
    let (device, desk) = puppet.desk(world);
    let (author, place) = device.place(&desk, group).expect("a member");
    let draft = Draft { kind: BlockKind::Private, place, foreign: vec![], topics: vec![], content };
    let raw = draft.sign_alone(&author, now).expect("a well-formed block").parsed().raw().clone();
    puppet.take_in(std::slice::from_ref(&raw)).expect("its header holds");
    raw
}

/// An epoch that the puppet's device has opened, and its key.
pub(crate) fn opened(puppet: &mut Puppet, group: ChainId) -> (BlockId, EpochKey) {
    let membership = puppet.fold.current(&puppet.view, group).expect("a group");
    let key = |(id, epoch): (&BlockId, &Arc<Epoch>)| {
        let seed = keyring::epoch(&puppet.view, *id).expect("a store")?;
        Some((*id, seed.epoch_key(&EpochContext::new(group, &epoch.view))))
    };
    membership.epochs.iter().find_map(key).expect("it was admitted")
}

/// How many of each number a node shows, as `(kind, number, count)`.
pub(crate) fn newer(world: &mut World, node: NodeId, group: &str) -> (Vec<Newer>, Vec<Newer>) {
    let kept = details(world, node, group).summary.newer;
    let Answer::Status(status) = ok(world.call(node, Command::Status, LONG_MS)) else { unreachable!("a status") };
    assert_eq!(status.groups[0].newer, kept, "the same in both places");
    (kept, status.newer)
}

pub(crate) fn of(kind: NewerKind, number: u32, count: u64) -> Newer {
    Newer { kind, number: Some(number), count }
}
