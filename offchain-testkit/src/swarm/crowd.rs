//! Many nodes and many blocks, in peace: how the engines do as a group grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walytis_core::{Pending, Store, chains};
use walytis_identities::History;
use walytis_offchain::{Answer, Command};

use super::GROUP;
use crate::{NodeId, World, WorldConfig};

/// How long a crowd may take to become equal, in virtual milliseconds.
const LIMIT_MS: u64 = 600_000;

/// How a crowd did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// How long it took to found the group and to let all join, in real time.
    pub gathering: Duration,
    /// How long it took until all had all blocks, in real time.
    pub converging: Duration,
    /// The same in virtual time, in milliseconds.
    pub converging_ms: u64,
    /// How many bytes were sent meanwhile.
    pub bytes: u64,
}

/// Lets so many nodes form a group, then so many blocks be posted in turn by all, and waits until each has each.
/// `watch` is told how far it is.
///
/// # Errors
/// What did not work, as a person reads it.
pub fn crowd(seed: u64, nodes: usize, blocks: usize, watch: &mut dyn FnMut(&str)) -> Result<Crowd, String> {
    let mut world = World::new(WorldConfig::calm(seed));
    let began = Instant::now();
    let all: Vec<NodeId> =
        (0..nodes).map(|_| world.add_node().map_err(|error| error.to_string())).collect::<Result<_, _>>()?;
    let founder = *all.first().ok_or("a crowd has at least one node")?;
    let group = match world.call(founder, Command::NewGroup { name: GROUP.into(), history: History::All }, LIMIT_MS) {
        Some(Ok(Answer::Group(group))) => group.group,
        other => return Err(format!("no group: {other:?}")),
    };
    let uses = u32::try_from(nodes).map_err(|error| error.to_string())?;
    let code = match world.call(founder, Command::Invite { group: GROUP.into(), uses }, LIMIT_MS) {
        Some(Ok(Answer::Invitation(code))) => code,
        other => return Err(format!("no invitation: {other:?}")),
    };
    for (number, node) in all.iter().enumerate().skip(1) {
        let command = Command::Join { code: code.clone(), name: Some(GROUP.into()) };
        match world.call(*node, command, LIMIT_MS) {
            Some(Ok(_)) => {}
            other => return Err(format!("{node:?} cannot join: {other:?}")),
        }
        // Besides the founder each knows the two who came before it.
        for other in all.iter().take(number).rev().take(2) {
            let address = world.address(*other);
            world.ask(*node, Command::Connect { address });
        }
        if number.checked_rem(20) == Some(0) {
            watch(&format!("{number} nodes have joined, {:.1} s", began.elapsed().as_secs_f64()));
        }
    }
    let length = |world: &World, node: NodeId| {
        let store: Arc<dyn Store> = world.store(node);
        chains::length(&Pending::new(store), group).unwrap_or_default()
    };
    let equal = |world: &World| {
        let heads = |node: NodeId| {
            let store: Arc<dyn Store> = world.store(node);
            chains::heads(&Pending::new(store), group).unwrap_or_default()
        };
        let first = heads(founder);
        all.iter().all(|node| heads(*node) == first)
    };
    wait(&mut world, &equal)?;
    let gathering = began.elapsed();
    let before = length(&world, founder);

    let began = Instant::now();
    let (began_us, sent) = (world.now_us(), world.traffic().1);
    let mut tickets = Vec::new();
    for (number, node) in all.iter().cycle().take(blocks).enumerate() {
        let content = format!("block {number}").into_bytes();
        tickets.push((*node, world.ask(*node, Command::Post { group: GROUP.into(), topics: Vec::new(), content })));
        world.run_for(5);
    }
    wait(&mut world, &equal)?;
    for (node, ticket) in tickets {
        match world.take_answer(node, ticket) {
            Some(Ok(Answer::Posted(_))) => {}
            other => return Err(format!("{node:?} cannot post: {other:?}")),
        }
    }
    let least = before.saturating_add(u64::try_from(blocks).unwrap_or(u64::MAX));
    if all.iter().any(|node| length(&world, *node) < least) {
        return Err("equal, and blocks are missing".to_owned());
    }
    Ok(Crowd {
        gathering,
        converging: began.elapsed(),
        converging_ms: world.now_us().saturating_sub(began_us) / 1_000,
        bytes: world.traffic().1.saturating_sub(sent),
    })
}

fn wait(world: &mut World, equal: &dyn Fn(&World) -> bool) -> Result<(), String> {
    let end_us = world.now_us().saturating_add(LIMIT_MS.saturating_mul(1_000));
    while !equal(world) {
        if world.now_us() > end_us {
            return Err("no convergence".to_owned());
        }
        world.run_for(100);
    }
    Ok(())
}
