//! What can be typed about finding peers and being found.

use clap::Args;
use walytis_node::{Address, Reach, RelayLimits};

use crate::arguments::address;

/// How peers are found, and find this node.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How peers are found")]
pub(crate) struct ReachArguments {
    /// Neither look for nodes on the local network nor answer those that do. Without this, everybody on it can learn this
    /// node's peer id and addresses
    #[arg(long)]
    no_mdns: bool,
    /// A node by which to look up peers that are not where they were, and which is told where this one is; it has to run
    /// with --bootstrap-server. May be given more than once
    #[arg(long = "bootstrap", value_name = "MULTIADDR", value_parser = address)]
    bootstrap: Vec<Address>,
    /// Be such a node for others
    #[arg(long)]
    bootstrap_server: bool,
    /// A relay through which others reach this node, if it cannot be dialled itself; it has to run with --relay-server. May
    /// be given more than once
    #[arg(long = "relay", value_name = "MULTIADDR", value_parser = address, conflicts_with = "no_relay")]
    relays: Vec<Address>,
    /// Dial no address that leads through a relay
    #[arg(long)]
    no_relay: bool,
    /// Do not try to turn relayed connections into direct ones. Trying tells the other side the address at which others
    /// see this node
    #[arg(long)]
    no_hole_punching: bool,
    /// Ask connected nodes to dial this one, to learn which of its addresses work from outside, and do so for them
    #[arg(long)]
    autonat: bool,
    /// Ask the router to let connections in (UPnP)
    #[arg(long)]
    upnp: bool,
    /// Relay the connections of others, whoever they are, within the limits below
    #[arg(long)]
    relay_server: bool,
    /// The most connections relayed at once
    #[arg(long, value_name = "N", requires = "relay_server", default_value_t = limits().connections_max,
        value_parser = connections)]
    relay_connections: usize,
    /// The most mebibytes that one of them carries; then it is ended
    #[arg(long, value_name = "MIB", requires = "relay_server", default_value_t = limits().connection_bytes_max / MEBIBYTE,
        value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    relay_mebibytes: u64,
    /// The most seconds that one of them lasts
    #[arg(long, value_name = "S", requires = "relay_server", default_value_t = limits().connection_seconds_max,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    relay_seconds: u32,
}

/// How a node that is started to join reaches the inviter.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct JoinArguments {
    /// Accept no connections meanwhile. Through a relay, nothing but the relay's limit is left then for what comes
    #[arg(long)]
    pub(crate) no_listen: bool,
}

const MEBIBYTE: u64 = 1024 * 1024;

fn limits() -> RelayLimits {
    RelayLimits::default()
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        _ => Err("not a number from 1 to 10000".to_owned()),
    }
}

impl ReachArguments {
    /// As the node takes it.
    pub(crate) fn reach(self) -> Reach {
        let mut reach = by_code();
        reach.mdns = !self.no_mdns;
        reach.relay = !self.no_relay;
        reach.hole_punching = !self.no_hole_punching && !self.no_relay;
        reach.bootstrap = self.bootstrap;
        reach.lookup_server = self.bootstrap_server;
        reach.relays = self.relays;
        reach.autonat = self.autonat;
        reach.upnp = self.upnp;
        reach.relay_server = self.relay_server.then(|| {
            let mut limits = limits();
            limits.connections_max = self.relay_connections;
            limits.connection_bytes_max = self.relay_mebibytes.saturating_mul(MEBIBYTE);
            limits.connection_seconds_max = self.relay_seconds;
            limits
        });
        reach
    }
}

/// What a node needs that is started to join by a code: the code may have an address that leads through a relay, and
/// names everybody whom it has to find.
pub(crate) fn by_code() -> Reach {
    let mut reach = Reach::default();
    reach.relay = true;
    reach.hole_punching = true;
    reach
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reach: ReachArguments,
    }

    fn reach(line: &[&str]) -> Reach {
        Line::parse_from(std::iter::once("x").chain(line.iter().copied())).reach.reach()
    }

    #[test]
    fn each_can_be_turned_off() {
        let plain = reach(&[]);
        assert_eq!((plain.mdns, plain.relay, plain.hole_punching), (true, true, true));
        assert_eq!((plain.autonat, plain.upnp, plain.relay_server, plain.lookup_server), (false, false, None, false));
        assert_eq!(reach(&["--no-mdns", "--no-relay"]), Reach::default());
        let punching = reach(&["--no-hole-punching"]);
        assert_eq!((punching.relay, punching.hole_punching), (true, false));
    }

    #[test]
    fn a_relay_takes_its_limits_from_the_line() {
        let line = ["--relay-server", "--relay-connections", "8", "--relay-mebibytes", "2", "--relay-seconds", "60"];
        let limits = reach(&line).relay_server.expect("on");
        assert_eq!((limits.connections_max, limits.connection_bytes_max), (8, 2 * MEBIBYTE));
        assert_eq!(limits.connection_seconds_max, 60);
        assert_eq!(reach(&["--relay-server"]).relay_server, Some(RelayLimits::default()));
        for bad in [["--relay-seconds", "60"], ["--relay-connections", "8"]] {
            assert!(Line::try_parse_from(std::iter::once("x").chain(bad)).is_err(), "{bad:?} without --relay-server");
        }
    }
}
