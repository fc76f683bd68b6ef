//! `cargo xtask ci`: the whole gate.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;

use crate::workspace::Workspace;
use crate::{cpu_time, deny, process, tidy};

/// Run the whole gate: what must pass before a change goes in
///
/// It needs Rust with rustfmt and clippy, a C compiler, and the registry for what is not downloaded yet. It stops at the
/// first step that fails; `--only` repeats that step. With CI=true in the environment it writes no files for incremental
/// builds.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask ci\n  cargo xtask ci --only clippy --only test")]
pub(crate) struct Arguments {
    /// Run this step alone; may be given more than once
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(STEPS.iter().map(|step| step.name)))]
    only: Vec<String>,
    /// List the steps in their order, and run none
    #[arg(long)]
    list: bool,
}

/// One part of the gate.
struct Step {
    name: &'static str,
    purpose: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

/// The gate. What fails fast and often comes first. Clippy and rustdoc share one check of the dependencies; the tests
/// share one build, and running them shows the test runner's own closing lines.
const STEPS: &[Step] = &[
    Step { name: "fmt", purpose: "the code is formatted", run: |workspace| cargo(workspace, "fmt --all -- --check") },
    Step { name: "tidy", purpose: "the rules of the house hold", run: |_| tidy::run(&tidy::Arguments {}) },
    Step { name: "deny", purpose: "bans, version floors, licences and sources", run: deny::run },
    Step {
        name: "clippy",
        purpose: "no warning, in no target",
        run: |workspace| cargo(workspace, "clippy --workspace --all-targets -- -D warnings"),
    },
    Step { name: "features", purpose: "walytis-node builds with each combination of features", run: features },
    Step { name: "doc", purpose: "the documentation builds without a warning", run: document },
    Step {
        name: "build",
        purpose: "everything that the tests need builds",
        run: |workspace| cargo(workspace, "test --workspace --no-run"),
    },
    Step {
        name: "test",
        purpose: "tests, then examples in the documentation",
        run: |workspace| cargo(workspace, "test --workspace"),
    },
    Step {
        name: "swarm",
        purpose: "1,000 fixed seeds of the simulated swarm",
        run: |workspace| cargo(workspace, "run --package offchain-testkit --bin sim -- --seeds 1000"),
    },
    Step { name: "package", purpose: "each published crate can be packaged", run: package },
];

/// How a step went.
struct Outcome {
    name: &'static str,
    wall: Duration,
    cpu: Duration,
    result: Result<()>,
}

/// Runs the steps until one fails, then prints the table.
///
/// # Errors
/// A step failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let chosen =
        STEPS.iter().filter(|step| arguments.only.is_empty() || arguments.only.iter().any(|name| name == step.name));
    if arguments.list {
        chosen.for_each(|step| println!("{:<8} {}", step.name, step.purpose));
        return Ok(());
    }
    let workspace = Workspace::load()?;
    let mut outcomes = Vec::new();
    for step in chosen {
        println!("\n== {}: {}", step.name, step.purpose);
        std::io::stdout().flush()?;
        let outcome = measure(step, &workspace);
        println!("-- {}: {} s, {} s of CPU", step.name, seconds(outcome.wall), seconds(outcome.cpu));
        let failed = outcome.result.is_err();
        outcomes.push(outcome);
        if failed {
            break;
        }
    }
    println!("\n{}", table(&outcomes));
    std::io::stdout().flush()?;
    conclude(outcomes)
}

fn measure(step: &Step, workspace: &Workspace) -> Outcome {
    let (begin, cpu_before) = (Instant::now(), cpu_time::so_far());
    let result = (step.run)(workspace);
    Outcome { name: step.name, wall: begin.elapsed(), cpu: cpu_time::so_far().saturating_sub(cpu_before), result }
}

/// The closing line, or the failed step as an error.
fn conclude(outcomes: Vec<Outcome>) -> Result<()> {
    let passed = outcomes.len();
    for outcome in outcomes {
        if let Err(error) = outcome.result {
            eprintln!("{error:#}");
            bail!("step {} failed", outcome.name);
        }
    }
    println!("ci: passed, {passed} of {} steps", STEPS.len());
    Ok(())
}

/// Steps with their times, and the sum.
fn table(outcomes: &[Outcome]) -> String {
    let mut lines = vec![format!("{:<10} {:>8} {:>8}  result", "step", "wall s", "CPU s")];
    for outcome in outcomes {
        let result = if outcome.result.is_ok() { "ok" } else { "FAILED" };
        lines.push(row(outcome.name, outcome.wall, outcome.cpu, result));
    }
    let wall = outcomes.iter().map(|outcome| outcome.wall).sum();
    let cpu = outcomes.iter().map(|outcome| outcome.cpu).sum();
    lines.push(row("all", wall, cpu, ""));
    lines.join("\n")
}

fn row(name: &str, wall: Duration, cpu: Duration, result: &str) -> String {
    format!("{name:<10} {:>8} {:>8}  {result}", seconds(wall), seconds(cpu)).trim_end().to_owned()
}

fn seconds(length: Duration) -> String {
    format!("{:.1}", length.as_secs_f64())
}

/// Runs a cargo command, written as typed.
fn cargo(workspace: &Workspace, line: &str) -> Result<()> {
    cargo_with(workspace, line, &[])
}

fn cargo_with(workspace: &Workspace, line: &str, environment: &[(&str, &str)]) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    command.args(line.split(' ')).envs(environment.iter().copied());
    if std::env::var_os("CI").is_some() && std::env::var_os("CARGO_INCREMENTAL").is_none() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    process::run(&mut command)
}

/// Checks `walytis-node` with each combination of its features: the three layers, with and without a store and a network.
/// The rest of the workspace names what it needs, so it is the only crate of ours with a choice.
fn features(workspace: &Workspace) -> Result<()> {
    for layer in ["", "identities", "offchain"] {
        for parts in ["", "redb", "libp2p", "redb,libp2p"] {
            let line = "clippy --package walytis-node --lib --no-default-features --features";
            let mut words: Vec<&str> = line.split(' ').collect();
            let both = [layer, parts].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
            words.extend([both.as_str(), "--", "-D", "warnings"]);
            process::run(process::cargo(&workspace.root).args(words))?;
        }
    }
    // What needs no identities is built without them.
    cargo(workspace, "check --package walytis-node --example public_chain --no-default-features --features redb,libp2p")
}

/// Documents our crates. Naming `--examples` makes cargo resolve features with the development dependencies, as clippy's
/// `--all-targets` did; without it, it would check most of the dependencies a second time.
fn document(workspace: &Workspace) -> Result<()> {
    let line = "doc --workspace --no-deps --lib --bins --examples";
    cargo_with(workspace, line, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// Packages what is published. The files end up below the target folder.
fn package(workspace: &Workspace) -> Result<()> {
    let published = workspace.packages.iter().filter(|package| package.is_published());
    let names: Vec<String> = published.map(|package| format!("--package {}", package.name)).collect();
    cargo(workspace, &format!("package --no-verify --allow-dirty {}", names.join(" ")))
        .context("a published crate cannot be packaged")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::anyhow;

    use super::{Outcome, STEPS, conclude, table};

    fn outcomes(second: anyhow::Result<()>) -> Vec<Outcome> {
        let outcome = |name, wall, result| Outcome {
            name,
            wall: Duration::from_millis(wall),
            cpu: Duration::from_secs(2),
            result,
        };
        vec![outcome("fmt", 1_500, Ok(())), outcome("tidy", 61_250, second)]
    }

    #[test]
    fn the_table_has_a_row_for_each_step_and_the_sum() {
        let expected = "\
step         wall s    CPU s  result
fmt             1.5      2.0  ok
tidy           61.2      2.0  FAILED
all            62.8      4.0";
        assert_eq!(table(&outcomes(Err(anyhow!("broken")))), expected);
    }

    #[test]
    fn a_failed_step_fails_the_gate() {
        conclude(outcomes(Ok(()))).expect("both passed");
        let error = conclude(outcomes(Err(anyhow!("broken")))).expect_err("tidy failed");
        assert_eq!(error.to_string(), "step tidy failed");
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
