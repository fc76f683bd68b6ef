//! `cargo xtask sim`: the simulated swarm.

use std::ffi::OsString;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Where plans that failed are kept, shrunk, and replayed by every run of the tests.
const REGRESSIONS: &str = "offchain-testkit/regressions";

/// Run the simulated swarm, and keep what fails as a regression
///
/// `cargo xtask sim -- --help` lists the options of the swarm itself: --seeds, --from, --nodes, --trace, --plan, --jobs.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask sim --seeds 1000 --from 5000000    (seeds that nobody has run)
  cargo xtask sim --from 17 --trace              (one seed, step by step)
  cargo xtask sim --release --seeds 100000")]
pub(crate) struct Arguments {
    /// Build with optimisations: slower to begin with, and worth it for many seeds
    #[arg(long)]
    release: bool,
    /// Options of the swarm
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<OsString>,
}

/// Builds the simulator and runs it.
///
/// # Errors
/// A run failed, or the runs were worth too little.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut command = process::cargo(&workspace.root);
    command.args(["run", "--quiet", "--package", "offchain-testkit", "--bin", "sim"]);
    if arguments.release {
        command.arg("--release");
    }
    command.args(["--", "--keep", REGRESSIONS]).args(&arguments.options);
    process::run(&mut command)
}
