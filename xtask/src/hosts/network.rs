//! The network: a bridge with a link to each host, and a host apart behind our relay.

use std::fmt;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::host::Place;

/// Our own address on the bridge.
pub(super) const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// Our own address on the link to the host apart.
pub(super) const APART: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);

/// What drops packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Nft,
    Iptables,
}

/// The means that this machine has.
#[derive(Debug)]
pub(super) struct Means {
    filter: Option<Filter>,
    /// Whether the kernel can limit a link's rate.
    tbf: bool,
    netem: bool,
}

/// Which packets a host does not get.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deaf {
    /// Any at all.
    ToAll,
    /// Those from one address.
    To(Ipv4Addr),
}

impl Means {
    /// Tries each, in our own namespace.
    pub(super) fn find() -> Self {
        let works = |lines: &[&str]| lines.iter().all(|line| run(line).is_ok());
        let nft = works(&["nft add table inet probe", "nft delete table inet probe"]);
        let iptables = works(&["iptables -I INPUT -i none -j DROP", "iptables -F INPUT"]);
        let shapes =
            |discipline: &str| works(&[&format!("tc qdisc add dev lo root {discipline}"), "tc qdisc del dev lo root"]);
        Self {
            filter: if nft { Some(Filter::Nft) } else { iptables.then_some(Filter::Iptables) },
            tbf: shapes("tbf rate 1mbit burst 32kbit latency 400ms"),
            netem: shapes("netem delay 1ms"),
        }
    }

    /// Makes a host deaf without telling the senders.
    ///
    /// # Errors
    /// A command failed. `Ok(None)` if this machine has nothing to do it with; otherwise what did it.
    pub(super) fn deafen(&self, host: &str, deaf: Deaf) -> Result<Option<&'static str>> {
        let Some(filter) = self.filter else { return Ok(None) };
        match (filter, deaf) {
            (Filter::Nft, deaf) => {
                let from = match deaf {
                    Deaf::ToAll => String::new(),
                    Deaf::To(address) => format!("ip saddr {address}"),
                };
                let rules = format!(
                    "add table inet deaf; add chain inet deaf input {{ type filter hook input priority 0 ; }}; \
                     add rule inet deaf input iifname eth0 {from} drop"
                );
                execute(Command::new("ip").args(["netns", "exec", host, "nft"]).arg(rules))?;
                Ok(Some("nft"))
            }
            (Filter::Iptables, Deaf::ToAll) => {
                run(&format!("ip netns exec {host} iptables -I INPUT -i eth0 -j DROP")).map(|()| Some("iptables"))
            }
            (Filter::Iptables, Deaf::To(address)) => {
                run(&format!("ip netns exec {host} iptables -I INPUT -i eth0 -s {address} -j DROP"))
                    .map(|()| Some("iptables"))
            }
        }
    }

    /// Lets a host hear everything again.
    pub(super) fn hear(&self, host: &str) -> Result<()> {
        match self.filter {
            Some(Filter::Nft) => run(&format!("ip netns exec {host} nft delete table inet deaf")),
            Some(Filter::Iptables) => run(&format!("ip netns exec {host} iptables -F INPUT")),
            None => Ok(()),
        }
    }

    /// Limits the rate of a host's link in both directions. `Ok(false)` if this kernel cannot.
    pub(super) fn limit(&self, host: &str, kbit: u32) -> Result<bool> {
        if self.tbf {
            let shape = format!("root tbf rate {kbit}kbit burst 16kb latency 400ms");
            run(&format!("tc qdisc add dev to-{host} {shape}"))?;
            run(&format!("ip netns exec {host} tc qdisc add dev eth0 {shape}"))?;
        }
        Ok(self.tbf)
    }

    pub(super) fn unlimit(&self, host: &str) -> Result<()> {
        run(&format!("tc qdisc del dev to-{host} root"))?;
        run(&format!("ip netns exec {host} tc qdisc del dev eth0 root"))
    }
}

impl fmt::Display for Means {
    /// What this machine lacks, and what that means.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lacks = Vec::new();
        if !self.netem {
            lacks.push("netem: loss, delay and reordering come from our relay, for the one host behind it");
        }
        if !self.tbf {
            lacks.push("tbf: no link's rate is limited but by our relay");
        }
        match self.filter {
            None => lacks.push("nft and iptables: no one-way link (on Debian: `apt-get install nftables`)"),
            Some(Filter::Iptables) => lacks.push("nft: iptables drops packets in its place"),
            Some(Filter::Nft) => {}
        }
        if lacks.is_empty() {
            return f.write_str("nothing that a scenario needs");
        }
        f.write_str(&lacks.join("; "))
    }
}

/// Makes the bridge. Our own namespace has no way out, and passes nothing on by itself.
pub(super) fn build() -> Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").context("cannot forbid forwarding")?;
    run("ip link set lo up")?;
    run("ip link add bridge type bridge")?;
    run(&format!("ip address add {BRIDGE}/24 dev bridge"))?;
    run("ip link set bridge up")
}

/// Makes a host's namespace and link.
pub(super) fn add(name: &str, address: Ipv4Addr, place: Place) -> Result<()> {
    run(&format!("ip netns add {name}"))?;
    run(&format!("ip link add to-{name} type veth peer name eth0 netns {name}"))?;
    match place {
        Place::Bridge => run(&format!("ip link set to-{name} master bridge"))?,
        Place::Apart => run(&format!("ip address add {APART}/24 dev to-{name}"))?,
    }
    run(&format!("ip link set to-{name} up"))?;
    run(&format!("ip -n {name} link set lo up"))?;
    run(&format!("ip -n {name} address add {address}/24 dev eth0"))?;
    run(&format!("ip -n {name} link set eth0 up"))
}

/// Gives a host another address in place of its own.
pub(super) fn readdress(name: &str, from: Ipv4Addr, to: Ipv4Addr) -> Result<()> {
    run(&format!("ip -n {name} address del {from}/24 dev eth0"))?;
    run(&format!("ip -n {name} address add {to}/24 dev eth0"))
}

/// Makes a host that only `through` is a neighbour of, over a link of its own, and lets it reach one address there beside
/// the link's. Nothing is passed on between the two links of `through`.
pub(super) fn add_behind(name: &str, address: Ipv4Addr, through: &str, near: Ipv4Addr, public: Ipv4Addr) -> Result<()> {
    run(&format!("ip netns add {name}"))?;
    run(&format!("ip link add eth0 netns {name} type veth peer name to-{name} netns {through}"))?;
    run(&format!("ip -n {through} address add {near}/24 dev to-{name}"))?;
    run(&format!("ip -n {through} link set to-{name} up"))?;
    run(&format!("ip -n {name} link set lo up"))?;
    run(&format!("ip -n {name} address add {address}/24 dev eth0"))?;
    run(&format!("ip -n {name} link set eth0 up"))?;
    run(&format!("ip -n {name} route add {public}/32 dev eth0"))?;
    execute(
        Command::new("ip").args(["netns", "exec", through, "sh", "-c"]).arg("echo 0 > /proc/sys/net/ipv4/ip_forward"),
    )
}

/// Makes the link of `inside` to the bridge that of a router, which hides what is behind it: a new namespace between the
/// two, that translates addresses. `Ok(false)` if this machine cannot.
pub(super) fn add_router(
    router: &str,
    outside: Ipv4Addr,
    name: &str,
    inside: Ipv4Addr,
    near: Ipv4Addr,
) -> Result<bool> {
    add(router, outside, Place::Bridge)?;
    run(&format!("ip netns add {name}"))?;
    run(&format!("ip link add eth0 netns {name} type veth peer name to-{name} netns {router}"))?;
    run(&format!("ip -n {router} address add {near}/24 dev to-{name}"))?;
    run(&format!("ip -n {router} link set to-{name} up"))?;
    run(&format!("ip -n {name} link set lo up"))?;
    run(&format!("ip -n {name} address add {inside}/24 dev eth0"))?;
    run(&format!("ip -n {name} link set eth0 up"))?;
    run(&format!("ip -n {name} route add default via {near}"))?;
    let exec = |line: &str| execute(Command::new("ip").args(["netns", "exec", router, "sh", "-c"]).arg(line));
    exec("echo 1 > /proc/sys/net/ipv4/ip_forward")?;
    // Nothing comes in but answers.
    let rules = "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100 ; }; \
                 add rule ip nat out oifname eth0 masquerade; add table inet wall; \
                 add chain inet wall pass { type filter hook forward priority 0 ; policy drop ; }; \
                 add chain inet wall input { type filter hook input priority 0 ; }; \
                 add rule inet wall input iifname eth0 ct state new drop; \
                 add rule inet wall pass ct state established,related accept; \
                 add rule inet wall pass oifname eth0 accept";
    Ok(execute(Command::new("ip").args(["netns", "exec", router, "nft"]).arg(rules)).is_ok())
}

/// Whether a host has no way to an address.
pub(super) fn has_no_route(name: &str, to: Ipv4Addr) -> bool {
    run(&format!("ip -n {name} route get {to}")).is_err()
}

/// Pulls a host's cable, or puts it back.
pub(super) fn set_link(host: &str, state: &str) -> Result<()> {
    run(&format!("ip link set to-{host} {state}"))
}

/// How many bytes were sent to a host so far, all headers included.
pub(super) fn sent_to(host: &str) -> Result<u64> {
    let table = std::fs::read_to_string("/proc/net/dev")?;
    sent_by(&table, &format!("to-{host}")).with_context(|| format!("no count of bytes sent to {host}"))
}

/// The bytes sent by an interface, from the kernel's table: after the name eight columns of what came, then they.
fn sent_by(table: &str, interface: &str) -> Option<u64> {
    let columns = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    columns.split_ascii_whitespace().nth(8)?.parse().ok()
}

/// Runs a command, written as typed. What it says is part of the error.
fn run(line: &str) -> Result<()> {
    let mut words = line.split(' ');
    execute(Command::new(words.next().unwrap_or_default()).args(words))
}

fn execute(command: &mut Command) -> Result<()> {
    let line = crate::process::typed(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Filter, Means, sent_by};

    #[test]
    fn bytes_sent_are_read_from_the_kernels_table() {
        let table = "Inter-| Receive\n to-d: 1 2 3 4 5 6 7 8 900 10\nto-da:1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!((sent_by(table, "to-d"), sent_by(table, "to-da"), sent_by(table, "to")), (Some(900), Some(9), None));
    }

    #[test]
    fn what_is_lacking_is_said() {
        let all = Means { filter: Some(Filter::Nft), tbf: true, netem: true };
        assert_eq!(all.to_string(), "nothing that a scenario needs");
        let none = Means { filter: None, tbf: false, netem: false }.to_string();
        assert!(["netem: ", "tbf: ", "nft and iptables: "].iter().all(|lacking| none.contains(lacking)), "{none}");
    }
}
