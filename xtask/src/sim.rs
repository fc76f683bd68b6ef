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
  cargo xtask sim --release --seeds 100000
  cargo xtask sim --planted --seeds 1000         (which of the planted bugs are found)")]
pub(crate) struct Arguments {
    /// Build with optimisations: slower to begin with, and worth it for many seeds
    #[arg(long)]
    release: bool,
    /// Try each planted bug until a seed finds it, at most --seeds of them. Builds with `--cfg planted`, in a target folder
    /// of its own, with optimisations
    #[arg(long)]
    planted: bool,
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
    if arguments.planted {
        command
            .env("RUSTFLAGS", "--cfg planted")
            .env("CARGO_TARGET_DIR", workspace.root.join("target").join("planted"));
    }
    command.args(["run", "--quiet", "--package", "offchain-testkit", "--bin", "sim"]);
    if arguments.release || arguments.planted {
        command.arg("--release");
    }
    command.arg("--");
    if arguments.planted {
        command.arg("--planted");
    } else {
        command.args(["--keep", REGRESSIONS]);
    }
    command.args(&arguments.options);
    process::run(&mut command)
}
