//! `cargo xtask hosts`: real processes on hosts of their own, over links that fail.

mod host;
mod ledger;
mod moving;
mod network;
mod reach;
mod relay;
mod run;
mod sandbox;
mod scenarios;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::value_parser;

/// Run `walytis` on several hosts whose links fail, and compare what they hold
///
/// Each host is a network namespace of this machine with an address, a home and a serving `walytis` of its own. Links
/// go down, become one-way, slow, lossy and late; hosts are killed, join late and start again. After each scenario every
/// host has to list exactly the same, nothing lost that was acknowledged, and `walytis check` has to pass on all.
///
/// Then others find each other: by mDNS, through a node that relays, and by hole punching from behind routers. At last
/// hosts get another address while they serve; what is posted then has 25 seconds to arrive.
///
/// It prints a line for each scenario: how long it took from the end of the trouble (or of the posts) until the last
/// host listed all. It begins with what this machine lacks, and what cannot be done without that is printed as such.
///
/// It needs Linux, root, `ip` (Debian's iproute2) and `unshare` (util-linux); `tc`, and `nft` or `iptables`, for some of
/// it. It installs nothing. Traffic stays inside the namespaces; those, the processes and the homes (in memory) go when
/// the command ends, however it ends. It takes about five minutes, and is no part of the gate.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask hosts\n  cargo xtask hosts --lines 20 --json > today.jsonl\n  \
    cargo xtask hosts --part reach")]
pub(crate) struct Arguments {
    /// Print each scenario as a JSON object
    #[arg(long)]
    json: bool,
    /// How many lines each host posts when it posts many
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
    lines: u32,
    /// How many seconds the hosts have to agree after each scenario
    #[arg(long, value_name = "S", default_value_t = 240, value_parser = value_parser!(u64).range(1..=3_600))]
    limit_s: u64,
    /// What the relay's losses, delays and cuts are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Use this `walytis` instead of building a release
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Which scenarios to run
    #[arg(long, value_enum, default_value_t = Part::All)]
    part: Part,
    /// Run inside the namespaces: the command calls itself so
    #[arg(long, hide = true, requires = "binary")]
    inside: bool,
}

/// The scenarios of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Those below, one after the other
    All,
    /// Links that fail, hosts that are killed
    Links,
    /// Hosts that find each other: on a local network, through a relay, from behind routers
    Reach,
    /// Hosts that get another address while they serve
    Moving,
}

impl Arguments {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit_s)
    }
}

/// Runs all scenarios, in namespaces that go with us.
///
/// # Errors
/// The machine lacks what nothing can replace, or a scenario did not go well. The others run all the same.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.binary {
        Some(binary) if arguments.inside => {
            sandbox::settle_in()?;
            scenarios::run(arguments, binary)
        }
        _ => sandbox::enter(arguments),
    }
}
