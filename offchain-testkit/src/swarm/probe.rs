//! What a healed swarm has to do quickly, and without many words: bounds of C3 that a run under faults cannot have.

use walytis_core::chains;

use super::check;
use super::invariant::{Broken, Invariant};
use super::run::Run;
use crate::NodeId;

/// Within how much virtual time everybody has what all post at once, in milliseconds: a push, and a pull for whoever got a
/// child before its parent.
const POST_MS: u64 = 5_000;

/// Within how much everybody has what was posted on both sides of a cut that was mended: the first pauses before a peer is
/// dialled again, a session, and an exchange. Less than the exchange in quiet would take, which makes up for much else.
const RECONNECT_MS: u64 = 15_000;

/// For how long a swarm in which nothing happens is watched, in milliseconds.
const QUIET_MS: u64 = 120_000;

/// How many frames each node may send each minute then: two or three exchanges of heads, each answered, and the lookups of
/// who was not connected.
const QUIET_FRAMES: u64 = 40;

/// Asks a healed swarm without malicious peers for what it owes in peace.
pub(super) fn probe(run: &mut Run) -> Result<(), Broken> {
    let members: Vec<NodeId> = run.members.iter().copied().collect();
    let slow_ms = run.world.slowest_ms().saturating_mul(20);
    for node in &members {
        run.post(*node, 40);
    }
    soon(run, POST_MS.saturating_add(slow_ms), "everybody posted at once")?;

    if let [first, .., last] = members.as_slice() {
        let (first, last) = (*first, *last);
        for other in members.iter().copied().filter(|other| *other != last) {
            run.world.cut(other, last);
        }
        run.world.run_for(50);
        run.post(first, 10);
        run.post(last, 10);
        run.world.run_for(1_000);
        for other in members.iter().copied().filter(|other| *other != last) {
            run.world.mend(other, last);
        }
        soon(run, RECONNECT_MS.saturating_add(slow_ms), "a cut was mended")?;
    }

    let (frames, nodes) = (run.world.traffic().0, u64::try_from(members.len()).unwrap_or(u64::MAX));
    run.world.run_for(QUIET_MS);
    let sent = run.world.traffic().0.saturating_sub(frames);
    let most = nodes.saturating_mul(QUIET_FRAMES).saturating_mul(QUIET_MS / 60_000);
    run.outcome.asked.ask(Invariant::C3, sent <= most, || format!("{sent} frames in a quiet swarm, more than {most}"))
}

/// Everybody is equal soon, and whoever posted has been answered.
fn soon(run: &mut Run, most_ms: u64, when: &str) -> Result<(), Broken> {
    let began_us = run.world.now_us();
    loop {
        run.world.run_for(100);
        run.look()?;
        if !run.is_waiting() && check::converged(run) {
            run.outcome.asked.add(Invariant::C3, 1);
            return Ok(());
        }
        let spent_ms = run.world.now_us().saturating_sub(began_us) / 1_000;
        let lengths = || {
            let length = |node: &NodeId| chains::length(&run.view(*node), run.group).unwrap_or_default();
            run.members.iter().map(length).collect::<Vec<_>>()
        };
        if spent_ms > most_ms {
            let what = format!("not equal {spent_ms} ms after {when}: {:?} blocks", lengths());
            return Err(Broken { invariant: Invariant::C3, what });
        }
    }
}
