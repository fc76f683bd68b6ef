//! What a healed swarm has to do quickly, and without many words: bounds of C3 that a run under faults cannot have.

use walytis_core::{BlockId, chains};

use super::check;
use super::invariant::{Broken, Invariant};
use super::run::{FORGIVEN_MS, Run};
use crate::NodeId;

/// Within how much virtual time everybody has what all post at once, in milliseconds: a push, and a pull for whoever got a
/// child before its parent.
const POST_MS: u64 = 5_000;

/// Within how much everybody has what was posted on both sides of a cut that was mended: the first pauses before a peer is
/// dialled again, a session, and an exchange. Less than the exchange in quiet would take, which makes up for much else.
const RECONNECT_MS: u64 = 15_000;

/// What is transferred while others post: several portions.
const TRANSFER_BLOCKS: usize = 5;
const TRANSFER_BLOCK_BYTES: usize = 135_000;

/// How often malicious peers lie to somebody to whom something is on its way.
const LIES: usize = 6;

/// How long a peer that was asked for blocks may take before another one is asked, in milliseconds, as the engine has it.
const PULL_MS: u64 = 10_000;

/// How many blocks both sides of a cut write to the public chain.
const PUBLIC_APART: usize = 6;

/// For how long a swarm in which nothing happens is watched, in milliseconds.
const QUIET_MS: u64 = 120_000;

/// How many frames each node may send each minute then: two or three exchanges of heads, each answered, and the lookups of
/// who was not connected.
const QUIET_FRAMES: u64 = 40;

/// Asks a healed swarm without malicious peers for what it owes in peace.
pub(super) fn probe(run: &mut Run) -> Result<(), Broken> {
    let mut members: Vec<NodeId> = run.members.iter().copied().collect();
    // Who is cut off below follows the public chain, if there is one.
    if let Some(follower) = run.public.followers.last().copied() {
        members.retain(|member| *member != follower);
        members.push(follower);
    }
    let slow_ms = run.world.slowest_ms().saturating_mul(20);
    for node in &members {
        run.post(*node, 40);
        run.post_publicly(*node, 40);
    }
    soon(run, POST_MS.saturating_add(slow_ms), "everybody posted at once")?;

    let (frames, nodes) = (run.world.traffic().0, u64::try_from(members.len()).unwrap_or(u64::MAX));
    run.world.run_for(QUIET_MS);
    let sent = run.world.traffic().0.saturating_sub(frames);
    let most = nodes.saturating_mul(QUIET_FRAMES).saturating_mul(QUIET_MS / 60_000);
    run.outcome
        .asked
        .ask(Invariant::C3, sent <= most, || format!("{sent} frames in a quiet swarm, more than {most}"))?;

    // One of the two: each costs a session with everybody. Whoever was not listened to for a minute is forgiven by now.
    if run.circle.is_some() { a_cut(run, &members) } else { beside_a_transfer(run, &members) }
}

/// C5: what malicious peers answer, or do not, keeps nobody from what honest members write, for longer than each of them may
/// take for an answer. It comes by a third member, so it has to be asked for.
pub(super) fn held_back(run: &mut Run) -> Result<(), Broken> {
    let Some((writer, reader)) = apart(run) else { return Ok(()) };
    run.world.cut(writer, reader);
    let others: Vec<NodeId> = run.members.iter().copied().filter(|other| *other != reader).collect();
    // The public chain goes from one to the other if somebody between them follows it, too.
    let between =
        |third: &&NodeId| [writer, reader].iter().all(|end| *third != end && run.world.connected(*end, **third));
    let ends = [writer, reader].iter().all(|end| run.public.followers.contains(end));
    let public = ends && run.public.followers.iter().find(between).is_some();
    for round in 0..LIES {
        run.world.run_for(FORGIVEN_MS);
        run.greeted(round, reader);
        let before: Vec<BlockId> = run.acknowledged.keys().copied().collect();
        run.post(writer, 10);
        let publicly: Vec<BlockId> = run.public.acknowledged.keys().copied().collect();
        if public {
            run.post_publicly(writer, 10);
        }
        let other = round.checked_rem(others.len()).and_then(|place| others.get(place));
        run.lie(round, &[reader, other.copied().unwrap_or(writer)]);
        let bound_ms = POST_MS
            .saturating_add(run.world.slowest_ms().saturating_mul(20))
            .saturating_add(PULL_MS.saturating_mul(u64::try_from(run.hostile.len()).unwrap_or(u64::MAX)));
        let began_us = run.world.now_us();
        loop {
            run.look()?;
            let mut fresh = run.acknowledged.keys().filter(|id| !before.contains(id));
            let mut openly = run.public.acknowledged.keys().filter(|id| !publicly.contains(id));
            let all = fresh.all(|id| run.has(reader, *id)) && openly.all(|id| run.has(reader, *id));
            if !run.is_waiting() && all {
                run.outcome.asked.add(Invariant::C5, 1);
                run.outcome.public.add(Invariant::C5, u64::from(public));
                break;
            }
            let spent_ms = run.world.now_us().saturating_sub(began_us) / 1_000;
            if spent_ms > bound_ms {
                let what = format!("{reader:?} lacks what {writer:?} wrote {spent_ms} ms ago, among malicious peers");
                return Err(Broken { invariant: Invariant::C5, what });
            }
            run.world.run_for(100);
        }
    }
    run.world.mend(writer, reader);
    Ok(())
}

/// Two members that a third one is connected with.
fn apart(run: &Run) -> Option<(NodeId, NodeId)> {
    let linked = |a: NodeId, b: NodeId| a != b && run.world.connected(a, b) && run.world.connected(b, a);
    let between = |a: NodeId, b: NodeId| run.members.iter().any(|third| linked(a, *third) && linked(*third, b));
    let pairs = run.members.iter().flat_map(|a| run.members.iter().rev().map(|b| (*a, *b)));
    pairs.into_iter().find(|(a, b)| a != b && between(*a, *b))
}

/// What was posted on both sides of a cut is everywhere soon after it is mended.
fn a_cut(run: &mut Run, members: &[NodeId]) -> Result<(), Broken> {
    let [first, .., last] = members else { return Ok(()) };
    let others: Vec<NodeId> = members.iter().copied().filter(|other| other != last).collect();
    for other in &others {
        run.world.cut(*other, *last);
    }
    run.world.run_for(50);
    run.post(*first, 10);
    run.post(*last, 10);
    for _ in 0..PUBLIC_APART {
        run.post_publicly(*first, 10);
        run.post_publicly(*last, 10);
    }
    run.world.run_for(1_000);
    for other in others {
        run.world.mend(other, *last);
    }
    let slow_ms = run.world.slowest_ms().saturating_mul(20);
    soon(run, RECONNECT_MS.saturating_add(slow_ms), "a cut was mended")
}

/// What is posted while another member catches up is there when it has: a block that came before its parents waits for them,
/// or is asked for. The one that catches up is connected with nobody else who could tell it.
fn beside_a_transfer(run: &mut Run, members: &[NodeId]) -> Result<(), Broken> {
    let Some(last) = members.last().copied() else { return Ok(()) };
    // Who is connected is dialled again at once.
    let linked = |other: &&NodeId| run.world.connected(**other, last) && run.world.connected(last, **other);
    let Some(first) = members.iter().find(linked).copied() else { return Ok(()) };
    let slow_ms = run.world.slowest_ms();
    for other in members.iter().copied().filter(|other| *other != last) {
        run.world.cut(other, last);
    }
    run.world.run_for(50);
    for _ in 0..TRANSFER_BLOCKS {
        run.post(first, TRANSFER_BLOCK_BYTES);
        run.post_publicly(first, TRANSFER_BLOCK_BYTES);
    }
    run.world.run_for(1_000);
    run.look()?;
    run.world.mend(first, last);
    let length = |run: &Run, chain| chains::length(&run.view(last), chain).unwrap_or_default();
    let mut chains = vec![(run.group, length(run, run.group))];
    chains.extend(run.public_of(&[first, last]).map(|chain| (chain, length(run, chain))));
    let began_us = run.world.now_us();
    let within = |run: &Run, most_ms: u64| run.world.now_us().saturating_sub(began_us) / 1_000 <= most_ms;
    while !chains.is_empty() && within(run, RECONNECT_MS.saturating_add(slow_ms.saturating_mul(20))) {
        run.world.run_for(5);
        // The first portion of a chain is there, and others are on their way.
        while let Some(place) = chains.iter().position(|(chain, before)| length(run, *chain) > *before) {
            let (chain, _) = chains.swap_remove(place);
            for _ in 0..3 {
                if chain == run.group {
                    run.post(first, 10);
                } else {
                    run.post_publicly(first, 10);
                }
                run.world.run_for(2);
            }
        }
    }
    let result =
        soon_of(run, &[first, last], POST_MS.saturating_add(slow_ms.saturating_mul(40)), "a post beside a transfer");
    for other in members.iter().copied().filter(|other| *other != last) {
        run.world.mend(other, last);
    }
    result?;
    soon(run, RECONNECT_MS.saturating_add(slow_ms.saturating_mul(20)), "a cut was mended")
}

/// Everybody is equal soon, and whoever posted has been answered.
fn soon(run: &mut Run, most_ms: u64, when: &str) -> Result<(), Broken> {
    let members: Vec<NodeId> = run.members.iter().copied().collect();
    soon_of(run, &members, most_ms, when)
}

/// The same of some.
fn soon_of(run: &mut Run, nodes: &[NodeId], most_ms: u64, when: &str) -> Result<(), Broken> {
    let began_us = run.world.now_us();
    loop {
        run.world.run_for(100);
        run.look()?;
        if !run.is_waiting() && check::equal(run, nodes) && run.public_equal(nodes) {
            run.outcome.asked.add(Invariant::C3, 1);
            run.outcome.public.add(Invariant::C3, u64::from(run.public.chain.is_some()));
            return Ok(());
        }
        let spent_ms = run.world.now_us().saturating_sub(began_us) / 1_000;
        let lengths = || {
            let length = |node: &NodeId| chains::length(&run.view(*node), run.group).unwrap_or_default();
            run.members.iter().map(length).collect::<Vec<_>>()
        };
        if spent_ms > most_ms {
            let public = if check::equal(run, nodes) { run.public_state() } else { String::new() };
            let what = format!("not equal {spent_ms} ms after {when}: {:?} blocks{public}", lengths());
            return Err(Broken { invariant: Invariant::C3, what });
        }
    }
}
