//! Scenarios of finding each other: on a local network, through a relay, and from behind routers.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::host::{Host, Place};
use super::network;
use super::run::{Played, Run};
use super::scenarios::{FEW, add};

/// How long two that should not meet are given to.
const APART: Duration = Duration::from_secs(10);

/// How long a way may take to become another one: several tries of three.
const WAY: Duration = Duration::from_secs(60);

fn plain(run: &mut Run<'_>, name: &str) -> Result<()> {
    let host = run.host_mut(name)?;
    let listen = host.listen();
    host.serve(&listen, &[])
}

/// Two members that have moved, so that neither knows where the other is.
pub(super) fn moved(run: &mut Run<'_>) -> Result<Played> {
    run.start_over()?;
    let names = ["p", "q"];
    for (number, name) in (21..).zip(names) {
        add(run, name, Ipv4Addr::new(10, 77, 0, number), Place::Bridge)?;
    }
    run.host("p")?.found_group()?;
    plain(run, "p")?;
    let code = run.host("p")?.invite()?;
    run.host("q")?.join(&code)?;
    plain(run, "q")?;
    run.agree(Instant::now())?;
    for (number, name) in (31..).zip(names) {
        let host = run.host_mut(name)?;
        host.kill()?;
        let to = Ipv4Addr::new(10, 77, 0, number);
        network::readdress(name, host.address, to)?;
        host.address = to;
    }
    for name in names {
        plain(run, name)?;
    }
    run.post(&names, FEW)?;
    thread::sleep(APART);
    run.expect_apart("p", "q")?;
    let since = Instant::now();
    for name in names {
        let host = run.host_mut(name)?;
        let listen = host.listen();
        host.serve_with(&listen, &[])?;
    }
    let agreed = run.agree(since)?;
    let ways = ways(run, &names)?;
    ensure!(ways.contains("direct (mdns)"), "not by mDNS: {ways}");
    Ok(Played::Agreed(agreed, format!("both have new addresses; apart with --no-mdns; then {ways}")))
}

/// Two between which there is no way but a node that is a member of nothing.
pub(super) fn relayed(run: &mut Run<'_>) -> Result<Played> {
    run.start_over()?;
    let public = Ipv4Addr::new(10, 77, 0, 40);
    let relay = add_relay(run, "r", public)?;
    let names = ["s", "t"];
    add(run, "s", Ipv4Addr::new(10, 77, 0, 41), Place::Bridge)?;
    let (address, near) = (Ipv4Addr::new(10, 79, 0, 1), Ipv4Addr::new(10, 79, 0, 254));
    network::add_behind("t", address, "r", near, public)?;
    let there = run.host("s")?.address;
    ensure!(network::has_no_route("t", there) && network::has_no_route("s", address), "there is a route");
    begin(run, "t", address)?;
    let ways = meet(run, names, &relay, &["--no-hole-punching"], "relayed")?;
    end(run, names, format!("no route between s and t, and r is no member; {ways}"))
}

/// Two behind routers, which let nobody in that was not asked.
pub(super) fn hole_punched(run: &mut Run<'_>) -> Result<Played> {
    run.start_over()?;
    let relay = add_relay(run, "x", Ipv4Addr::new(10, 77, 0, 50))?;
    let names = ["u", "v"];
    for (name, router, number) in [("u", "ru", 51), ("v", "rv", 52)] {
        let outside = Ipv4Addr::new(10, 77, 0, number);
        let (inside, near) = (Ipv4Addr::new(10, number, 0, 1), Ipv4Addr::new(10, number, 0, 254));
        if !network::add_router(router, outside, name, inside, near)? {
            run.start_over()?;
            return Ok(Played::Impossible("nft does not translate addresses here".to_owned()));
        }
        begin(run, name, inside)?;
    }
    let ways = meet(run, names, &relay, &[], "hole-punched")?;
    end(run, names, format!("each behind a router that translates addresses and drops what comes unasked; {ways}"))
}

/// A node that relays, and belongs to nobody: it is not asked what it lists. Gives its address.
fn add_relay(run: &Run<'_>, name: &'static str, at: Ipv4Addr) -> Result<String> {
    network::add(name, at, Place::Bridge)?;
    let mut relay = Host::new(name, at, run.binary);
    relay.init()?;
    let listen = relay.listen();
    relay.serve_with(&listen, &["--no-mdns", "--relay-server"])?;
    let address = relay.addresses().iter().find(|address| address.contains("/quic-v1/"));
    // It goes on until all is over.
    address.cloned().context("it does not listen by QUIC")
}

fn begin(run: &mut Run<'_>, name: &'static str, address: Ipv4Addr) -> Result<()> {
    let host = Host::new(name, address, run.binary);
    host.init()?;
    run.hosts.push(host);
    Ok(())
}

/// The first founds a group and invites the second, which knows nothing but the code. Gives how they reach each other,
/// once it is as wanted.
fn meet(run: &mut Run<'_>, names: [&str; 2], relay: &str, more: &[&str], wanted: &str) -> Result<String> {
    let options = [&["--no-mdns", "--relay", relay], more].concat();
    let [first, second] = names;
    run.host(first)?.found_group()?;
    for name in names {
        let host = run.host_mut(name)?;
        let listen = host.listen();
        host.serve_with(&listen, &options)?;
    }
    run.host(first)?.relayed_address()?;
    let code = run.host(first)?.invite()?;
    run.host(second)?.join(&code)?;
    let since = Instant::now();
    loop {
        let ways = ways(run, &names)?;
        if ways.matches(wanted).count() >= 2 {
            return Ok(ways);
        }
        ensure!(since.elapsed() < WAY, "not {wanted}: {ways}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn end(run: &mut Run<'_>, names: [&str; 2], note: String) -> Result<Played> {
    run.post(&names, FEW)?;
    let since = Instant::now();
    let agreed = run.agree(since)?;
    Ok(Played::Agreed(agreed, note))
}

fn ways(run: &Run<'_>, names: &[&str]) -> Result<String> {
    let mut told = Vec::new();
    for name in names {
        told.push(format!("{name}: {}", run.host(name)?.ways()?.join(", ")));
    }
    Ok(told.join("; "))
}
