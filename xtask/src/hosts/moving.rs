//! Scenarios of moving: a host gets another address while it serves, as a laptop does on another network.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::host::Place;
use super::network;
use super::run::{Played, Run};
use super::scenarios::{FEW, add};

/// How long what is posted may take after a move.
const ARRIVES: Duration = Duration::from_secs(25);

/// Two hosts on one network.
struct Pair {
    names: [&'static str; 2],
    /// The last part of the address of the first; the second has the next.
    number: u8,
    listen: &'static [&'static str],
    options: &'static [&'static str],
}

const TCP: Pair = Pair { names: ["ma", "mb"], number: 60, listen: &["/ip4/0.0.0.0/tcp/4001"], options: &["--no-mdns"] };

const QUIC: Pair =
    Pair { names: ["na", "nb"], number: 70, listen: &["/ip4/0.0.0.0/udp/4001/quic-v1"], options: &["--no-mdns"] };

const BOTH: Pair = Pair {
    names: ["oa", "ob"],
    number: 80,
    listen: &["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"],
    options: &[],
};

/// Plays all.
pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    run.play("TCP: two meet", |run| meet(run, &TCP))?;
    run.play("TCP: who joined moves", |run| one_moves(run, &TCP, 1))?;
    run.play("TCP: who invited moves", |run| one_moves(run, &TCP, 0))?;
    run.play("QUIC: two meet", |run| meet(run, &QUIC))?;
    run.play("QUIC: who joined moves", |run| one_moves(run, &QUIC, 1))?;
    run.play("QUIC: who invited moves", |run| one_moves(run, &QUIC, 0))?;
    run.play("mDNS: two meet", |run| meet(run, &BOTH))?;
    run.play("mDNS: both move at once", |run| both_move(run, &BOTH))
}

/// The first founds a group and the second joins it; both serve.
fn meet(run: &mut Run<'_>, pair: &Pair) -> Result<Played> {
    run.start_over()?;
    let [first, second] = pair.names;
    let listen: Vec<String> = pair.listen.iter().map(|place| (*place).to_owned()).collect();
    for (number, name) in (pair.number..).zip(pair.names) {
        add(run, name, Ipv4Addr::new(10, 77, 0, number), Place::Bridge)?;
    }
    run.host(first)?.found_group()?;
    run.host_mut(first)?.serve_with(&listen, pair.options)?;
    let code = run.host(first)?.invite()?;
    run.host(second)?.join(&code)?;
    run.host_mut(second)?.serve_with(&listen, pair.options)?;
    run.post(&pair.names, 1)?;
    Ok(Played::Done(Instant::now(), "a line from each".to_owned()))
}

/// Gives a host that serves an address that nobody had. Gives the one that is gone.
fn move_host(run: &mut Run<'_>, name: &str) -> Result<Ipv4Addr> {
    let host = run.host_mut(name)?;
    let [a, b, c, number] = host.address.octets();
    let (from, to) = (host.address, Ipv4Addr::new(a, b, c, number.saturating_add(100)));
    network::readdress(host.name, from, to)?;
    host.address = to;
    Ok(from)
}

fn one_moves(run: &mut Run<'_>, pair: &Pair, which: usize) -> Result<Played> {
    let name = pair.names[which];
    let since = Instant::now();
    let gone = move_host(run, name)?;
    let note = arrives(run, pair, since)?;
    is_not_named(run, name, gone)?;
    Ok(Played::Agreed(note.0, note.1))
}

fn both_move(run: &mut Run<'_>, pair: &Pair) -> Result<Played> {
    let since = Instant::now();
    let mut gone = Vec::new();
    for name in pair.names {
        gone.push(move_host(run, name)?);
    }
    let note = arrives(run, pair, since)?;
    for (name, gone) in pair.names.into_iter().zip(gone) {
        is_not_named(run, name, gone)?;
    }
    Ok(Played::Agreed(note.0, note.1))
}

/// Posts on both at once, and waits until both have all. The time counts from the move on.
fn arrives(run: &mut Run<'_>, pair: &Pair, since: Instant) -> Result<(Duration, String)> {
    run.post(&pair.names, FEW)?;
    let agreed = run.agree(since)?;
    ensure!(agreed <= ARRIVES, "it took {:.1} s, and {} s are allowed", agreed.as_secs_f64(), ARRIVES.as_secs());
    let mut ways = Vec::new();
    for name in pair.names {
        ways.push(format!("{name}: {}", run.host(name)?.ways()?.join(", ")));
    }
    Ok((agreed, format!("from the move on, in both directions; {}", ways.join("; "))))
}

/// Fails if a host still says that it can be reached where it was.
fn is_not_named(run: &Run<'_>, name: &str, gone: Ipv4Addr) -> Result<()> {
    let told = run.host(name)?.told_addresses()?;
    let named = |address: &String| address.contains(&format!("/{gone}/")) || address.contains("/127.0.0.1/");
    ensure!(!told.iter().any(named), "{name} is at none of these any more: {told:?}");
    ensure!(!told.is_empty(), "{name} is nowhere");
    Ok(())
}
