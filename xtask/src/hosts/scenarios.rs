//! The scenarios, in their order: each leaves behind a group that agrees, and works links.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::host::{Host, Place, key_file};
use super::network::{self, Deaf, Means};
use super::relay::{Deeds, Weather};
use super::run::{Played, Run};
use super::{Arguments, Part, moving, reach};

/// The hosts on the bridge from the beginning.
const FOUNDERS: [&str; 4] = ["a", "b", "c", "d"];

/// The host behind the relay.
const APART: &str = "e";

/// Who joins when much is there already.
const LATE: &str = "f";

/// How long a link is down, or one-way.
const DOWN: Duration = Duration::from_secs(20);

/// A down link that every transport notices: twice the longest that one of them waits.
const DOWN_LONG: Duration = Duration::from_secs(120);

/// Lines that each side posts in a scenario that is about something else than many lines.
pub(super) const FEW: u32 = 50;

/// Nearly the most that a content has.
const LARGE: usize = 1_000_000;

/// What an id may take to be printed, at the very worst.
const ID: Duration = Duration::from_secs(60);

/// Runs all scenarios.
pub(super) fn run(arguments: &Arguments, binary: &Path) -> Result<()> {
    std::fs::write(key_file(), [7; 32])?;
    network::build()?;
    let means = Means::find();
    if arguments.json {
        println!("{}", serde_json::json!({ "lacks": means.to_string() }));
    } else {
        println!("This machine lacks: {means}\n");
    }
    let mut run = Run::new(arguments, binary, means);
    if matches!(arguments.part, Part::All | Part::Links) {
        failing_links(&mut run)?;
    }
    if matches!(arguments.part, Part::All | Part::Reach) {
        run.play("mDNS: both moved", reach::moved)?;
        run.play("only a walytis relay between", reach::relayed)?;
        run.play("hole punching, two routers", reach::hole_punched)?;
    }
    if matches!(arguments.part, Part::All | Part::Moving) {
        moving::run(&mut run)?;
    }
    run.conclude()
}

fn failing_links(run: &mut Run<'_>) -> Result<()> {
    run.play("a group of four", found)?;
    run.play("all up, everybody posts", all_up)?;
    run.play("a link down for 20 s", link_down)?;
    run.play("a link down for 120 s", link_down_long)?;
    run.play("one hears nobody", hears_nobody)?;
    run.play("nobody hears one", unheard)?;
    run.play("256 kbit/s, many lines", slow_link)?;
    run.play("256 kbit/s, a large one", slow_large)?;
    run.play("joins through a relay, QUIC", join_apart)?;
    run.play("QUIC: loss, late, reordered", lossy)?;
    run.play("TCP: late, slow, cut", cut_connections)?;
    run.play("kill -9 while it posts", killed)?;
    run.play("late joiner", late_joiner)?;
    run.play("kill -9 of all", restart_all)
}

pub(super) fn add(run: &mut Run<'_>, name: &'static str, address: Ipv4Addr, place: Place) -> Result<()> {
    network::add(name, address, place)?;
    let host = Host::new(name, address, run.binary);
    host.init()?;
    run.hosts.push(host);
    Ok(())
}

fn serve(run: &mut Run<'_>, name: &str, peers: &[String]) -> Result<()> {
    let host = run.host_mut(name)?;
    let listen = host.listen();
    host.serve(&listen, peers)
}

fn found(run: &mut Run<'_>) -> Result<Played> {
    for (number, name) in (1..).zip(FOUNDERS) {
        add(run, name, Ipv4Addr::new(10, 77, 0, number), Place::Bridge)?;
    }
    run.host("a")?.found_group()?;
    serve(run, "a", &[])?;
    for name in FOUNDERS.iter().skip(1) {
        let code = run.host("a")?.invite()?;
        run.host(name)?.join(&code)?;
        // The others hear of it by themselves.
        serve(run, name, &[])?;
    }
    run.post(&FOUNDERS, 1)?;
    Ok(Played::Done(Instant::now(), "one founds, three join; a line from each".to_owned()))
}

fn all_up(run: &mut Run<'_>) -> Result<Played> {
    let lines = run.arguments.lines;
    run.post(&FOUNDERS, lines)?;
    Ok(Played::Done(Instant::now(), format!("{lines} lines from each at once")))
}

fn link_down(run: &mut Run<'_>) -> Result<Played> {
    cable_out(run, DOWN)
}

fn link_down_long(run: &mut Run<'_>) -> Result<Played> {
    cable_out(run, DOWN_LONG)
}

fn cable_out(run: &mut Run<'_>, down: Duration) -> Result<Played> {
    network::set_link("d", "down")?;
    let apart = apart_for(run, down);
    network::set_link("d", "up")?;
    apart.map(|()| Played::Done(Instant::now(), format!("d apart; {FEW} lines from a and from d meanwhile")))
}

/// Posts on both sides of a cut, waits, and makes sure that it was one.
fn apart_for(run: &mut Run<'_>, down: Duration) -> Result<()> {
    let began = Instant::now();
    run.post(&["a", "d"], FEW)?;
    thread::sleep(down.saturating_sub(began.elapsed()));
    run.expect_apart("a", "d")?;
    run.expect_apart("d", "a")
}

fn hears_nobody(run: &mut Run<'_>) -> Result<Played> {
    let Some(by) = run.means.deafen("d", Deaf::ToAll)? else { return Ok(no_filter()) };
    let began = Instant::now();
    let posted = run.post(&["a", "d"], FEW);
    thread::sleep(DOWN.saturating_sub(began.elapsed()));
    let apart = run.expect_apart("d", "a");
    run.means.hear("d")?;
    posted.and(apart)?;
    Ok(Played::Done(Instant::now(), format!("{} s, by {by}: d gets no packet, all get those of d", DOWN.as_secs())))
}

fn unheard(run: &mut Run<'_>) -> Result<Played> {
    let (address, others) = (run.host("d")?.address, ["a", "b", "c"]);
    for other in others {
        if run.means.deafen(other, Deaf::To(address))?.is_none() {
            return Ok(no_filter());
        }
    }
    let began = Instant::now();
    let posted = run.post(&["a", "d"], FEW);
    thread::sleep(DOWN.saturating_sub(began.elapsed()));
    let apart = run.expect_apart("a", "d");
    others.iter().try_for_each(|other| run.means.hear(other))?;
    posted.and(apart)?;
    Ok(Played::Done(Instant::now(), format!("{} s: d gets every packet, nobody gets those of d", DOWN.as_secs())))
}

fn no_filter() -> Played {
    Played::Impossible("neither nft nor iptables works here".to_owned())
}

fn slow_link(run: &mut Run<'_>) -> Result<Played> {
    let lines = run.arguments.lines;
    let note = format!("tbf on d's link, both ways; {lines} lines from a and from d");
    slowly(run, note, |run| run.post(&["a", "d"], lines))
}

fn slow_large(run: &mut Run<'_>) -> Result<Played> {
    let note =
        format!("tbf on d's link; one content of {LARGE} bytes from a: {} s for its bytes alone", LARGE * 8 / 256_000);
    slowly(run, note, |run| run.post_large("a", LARGE))
}

/// Posts while d's link is slow, and waits until all is there.
fn slowly(run: &mut Run<'_>, note: String, post: impl FnOnce(&mut Run<'_>) -> Result<()>) -> Result<Played> {
    if !run.means.limit("d", 256)? {
        return Ok(Played::Impossible("this kernel has no tbf; see the slow TCP connection below".to_owned()));
    }
    let before = network::sent_to("d")?;
    let posted = post(run);
    let since = Instant::now();
    let agreed = posted.and_then(|()| run.agree(since));
    run.means.unlimit("d")?;
    let kilobytes = network::sent_to("d")?.saturating_sub(before) / 1_000;
    Ok(Played::Agreed(agreed?, format!("{note}; {kilobytes} kB went to d")))
}

/// Relays towards each founder, as addresses for `--peer`.
fn relays(run: &Run<'_>, transport: &str) -> Result<Vec<String>> {
    let mut peers = Vec::new();
    for (number, name) in (0_u64..).zip(FOUNDERS) {
        let host = run.host(name)?;
        let found = host.addresses().iter().find(|address| address.contains(&format!("/{transport}/")));
        let address = found.with_context(|| format!("{name} does not listen by {transport}"))?;
        let parts: Vec<&str> = address.split('/').collect();
        let port: u16 = parts.get(4).context("an address without a port")?.parse()?;
        let (at, to) = (SocketAddr::from((network::APART, 0)), SocketAddr::from((host.address, port)));
        let seed = run.arguments.seed.wrapping_mul(1_000).wrapping_add(number);
        let port = match transport {
            "udp" => run.sky.relay_datagrams(at, to, seed)?,
            _ => run.sky.relay_connections(at, to, seed)?,
        };
        let rest = parts.get(5..).unwrap_or_default().join("/");
        peers.push(format!("/ip4/{}/{transport}/{port}/{rest}", network::APART));
    }
    Ok(peers)
}

fn join_apart(run: &mut Run<'_>) -> Result<Played> {
    add(run, APART, Ipv4Addr::new(10, 78, 0, 1), Place::Apart)?;
    let peers = relays(run, "udp")?;
    let code = run.host("a")?.invite()?;
    let host = run.host_mut(APART)?;
    let listen = format!("/ip4/{}/udp/0/quic-v1", host.address);
    host.serve(&[listen], &peers)?;
    host.join(&code)?;
    run.sky.take_deeds();
    Ok(Played::Done(Instant::now(), "e reaches the others through our relay alone".to_owned()))
}

fn lossy(run: &mut Run<'_>) -> Result<Played> {
    let weather = Weather { loss_percent: 5, delay_ms: 50, jitter_ms: 30, ..Weather::default() };
    let lines = run.arguments.lines;
    through(run, weather, lines).map(|(agreed, deeds)| {
        let did = format!("{} datagrams, {} lost", deeds.carried, deeds.lost);
        Played::Agreed(agreed, format!("relay: 5 % lost, 50-80 ms each way; {lines} lines from a and from e; {did}"))
    })
}

fn cut_connections(run: &mut Run<'_>) -> Result<Played> {
    let peers = relays(run, "tcp")?;
    let host = run.host_mut(APART)?;
    let listen = format!("/ip4/{}/tcp/0", host.address);
    let weather =
        Weather { delay_ms: 50, rate_bytes: Some(64_000), life_bytes: Some((100_000, 400_000)), ..Weather::default() };
    run.sky.change(weather);
    run.host_mut(APART)?.serve(&[listen], &peers)?;
    let lines = run.arguments.lines;
    through(run, weather, lines).map(|(agreed, deeds)| {
        let did = format!("{} connections cut", deeds.cut);
        Played::Agreed(
            agreed,
            format!("relay: 50 ms, 64 kB/s each way, cut after 100-400 kB; {lines} lines from a and from e; {did}"),
        )
    })
}

/// Posts on both sides of the relay in such weather, and waits in it until all is there.
fn through(run: &mut Run<'_>, weather: Weather, lines: u32) -> Result<(Duration, Deeds)> {
    run.sky.change(weather);
    let posted = run.post(&["a", APART], lines);
    let since = Instant::now();
    let agreed = posted.and_then(|()| run.agree(since));
    let deeds = run.sky.take_deeds();
    run.sky.change(Weather::default());
    agreed.map(|agreed| (agreed, deeds))
}

fn killed(run: &mut Run<'_>) -> Result<Played> {
    let lines = run.lines("c", 1_000);
    let (mut posting, ids) = run.host("c")?.begin_post(&lines)?;
    let mut count = 0;
    while count < 100 {
        ids.recv_timeout(ID).context("c prints no ids")?;
        count += 1;
    }
    run.host_mut("c")?.kill()?;
    loop {
        match ids.recv_timeout(ID) {
            Ok(_) => count += 1,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => bail!("the command goes on without its node"),
        }
    }
    let status = posting.wait()?;
    ensure!(!status.success() || count == lines.len(), "the command does not tell that the node is gone");
    // Ids are printed in the order of the lines.
    run.ledger.acknowledge(lines.get(..count).context("more ids than lines")?);
    run.post(&["b"], FEW)?;
    run.host_mut("c")?.serve(&[], &[])?;
    Ok(Played::Done(Instant::now(), format!("c killed after {count} ids of 1000, started again")))
}

fn late_joiner(run: &mut Run<'_>) -> Result<Played> {
    add(run, LATE, Ipv4Addr::new(10, 77, 0, 6), Place::Bridge)?;
    // Only the founder may invite.
    let code = run.host("a")?.invite()?;
    let since = Instant::now();
    run.host(LATE)?.join(&code)?;
    serve(run, LATE, &[])?;
    run.post(&[LATE], FEW)?;
    Ok(Played::Done(since, format!("f joins by a code of a, posts {FEW} lines; from the join on")))
}

fn restart_all(run: &mut Run<'_>) -> Result<Played> {
    run.hosts.iter_mut().try_for_each(Host::kill)?;
    let names: Vec<&str> = run.hosts.iter().map(|host| host.name).collect();
    run.post(&names, FEW)?;
    let since = Instant::now();
    for name in FOUNDERS.iter().chain(&[LATE]) {
        run.host_mut(name)?.serve(&[], &[])?;
    }
    // The relay is no address that it can remember: members tell of their own.
    let peers = relays(run, "tcp")?;
    run.host_mut(APART)?.serve(&[], &peers)?;
    Ok(Played::Done(
        since,
        format!("{FEW} lines from each without a node, then all start again, without --peer but for e"),
    ))
}
