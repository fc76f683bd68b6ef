//! What the tests of the swarm share.
#![expect(dead_code, reason = "each test file uses a part of it")]

use offchain_testkit::{NodeId, World, WorldConfig};
use walytis_core::BlockId;
use walytis_identities::History;
use walytis_offchain::{Answer, Command, EngineError, Entry, GroupDetails};

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
    let code = invite(world, founder, name, u32::try_from(others.len()).unwrap());
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
    for _ in 0..600 {
        let all: Vec<GroupDetails> = nodes.iter().map(|node| details(world, *node, group)).collect();
        let first = &all[0];
        if all.iter().all(|other| other.heads == first.heads && other.summary.missing == 0) {
            return;
        }
        world.run_for(100);
    }
    let all: Vec<GroupDetails> = nodes.iter().map(|node| details(world, *node, group)).collect();
    panic!("no convergence within a minute: {all:#?}");
}

/// The ids of a listing.
pub(crate) fn ids(entries: &[Entry]) -> Vec<BlockId> {
    entries.iter().map(|entry| entry.id).collect()
}
