//! Runs the simulated swarm. `cargo xtask sim` builds and starts it, and says what its options mean.
#![expect(clippy::print_stdout, reason = "a command's results go to standard output")]

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;
use offchain_testkit::enemies;
use offchain_testkit::swarm::{self, Failure, NODES_MAX, Outcome, Plan, Ranges, Totals};

/// One of so many seeds is run twice, and has to leave the same trace.
const TWICE: u64 = 20;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);

/// Run the simulated swarm: production engines under every fault, a plan for each seed
///
/// Each run is chaos, then healing, then everything that must hold is asked. A run that fails is shrunk to the steps that
/// matter. The closing table says what happened, how often each invariant was asked, and which limits were reached.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask sim",
    after_help = "Examples:
  cargo xtask sim --seeds 100
  cargo xtask sim --seeds 1000 --from 5000000    (seeds that nobody has run)
  cargo xtask sim --from 17 --trace              (one seed, step by step)
  cargo xtask sim --plan offchain-testkit/regressions/NAME.plan --trace"
)]
struct Arguments {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// How many nodes, malicious ones included: the fewest and the most
    #[arg(long, value_name = "MIN..MAX", default_value = "5..12", value_parser = range)]
    nodes: (usize, usize),
    /// Show the run of one seed, step by step
    #[arg(long)]
    trace: bool,
    /// Run this plan instead of drawn ones
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Runs at a time; by default as many as there are processors
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Try each planted bug until a seed finds it, at most --seeds of them; needs `--cfg planted`
    #[arg(long)]
    planted: bool,
    /// With --planted: this bug alone; can be given more than once
    #[arg(long, value_name = "NAME", requires = "planted")]
    fault: Vec<String>,
    /// Draw from these classes of malicious peers alone
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',')]
    enemies: Vec<String>,
    /// Let so many nodes converge on --blocks blocks in peace, instead of running plans
    #[arg(long, value_name = "NODES")]
    crowd: Option<usize>,
    /// How many blocks a crowd posts
    #[arg(long, value_name = "N", default_value_t = 1000)]
    blocks: usize,
    /// Where plans that fail are kept, once shrunk
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn range(text: &str) -> Result<(usize, usize), String> {
    let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
    let (least, most) = match text.split_once("..") {
        Some((least, most)) => (number(least)?, number(most.trim_start_matches('='))?),
        None => (number(text)?, number(text)?),
    };
    if least < 2 || most < least || most > NODES_MAX {
        return Err(format!("2 to {NODES_MAX} nodes, the smaller number first"));
    }
    Ok((least, most))
}

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<()> {
    let (nodes_min, nodes_max) = arguments.nodes;
    let all: Vec<String> = enemies::all().into_iter().map(|class| class.name.to_owned()).collect();
    for name in &arguments.enemies {
        ensure!(all.contains(name), "no class of malicious peers is called {name:?}; there are {}", all.join(", "));
    }
    let enemies = if arguments.enemies.is_empty() { all } else { arguments.enemies.clone() };
    let ranges = Ranges { nodes_min, nodes_max, enemies };
    if let Some(nodes) = arguments.crowd {
        let crowd = swarm::crowd(arguments.from, nodes, arguments.blocks, &mut |line| eprintln!("{line}"));
        let crowd = crowd.map_err(|what| anyhow!(what))?;
        println!("{nodes} nodes gathered in {:.1} s", crowd.gathering.as_secs_f64());
        let (real, mib) = (crowd.converging.as_secs_f64(), crowd.bytes as f64 / 1_048_576.0);
        println!(
            "{} blocks at all of them after {real:.1} s ({} virtual ms, {mib:.1} MiB sent)",
            arguments.blocks, crowd.converging_ms
        );
        return Ok(());
    }
    if let Some(file) = &arguments.plan {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        return one(&text.parse().with_context(|| file.display().to_string())?);
    }
    if arguments.trace {
        return one(&Plan::drawn(arguments.from, &ranges));
    }
    ensure!(arguments.seeds > 0, "no seed is no run: give --seeds at least 1");
    if arguments.planted {
        return planted::find(arguments, &ranges);
    }
    many(arguments, &ranges)
}

/// Shows one run.
fn one(plan: &Plan) -> Result<()> {
    println!("{}", serde_json::to_string(&plan.setting)?);
    let mut out = std::io::stdout();
    let outcome = swarm::run_watched(plan, &mut |line| {
        // Whoever reads only the beginning ends the pipe, not the run.
        let _ = writeln!(out, "{line}");
    });
    match outcome {
        Ok(outcome) => {
            let hash: String = outcome.trace.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("equal after {} ms; trace {hash}", outcome.convergence_ms);
            Ok(())
        }
        Err(failure) => bail!("{failure}"),
    }
}

/// What the runs have come to so far.
#[derive(Default)]
struct Progress {
    totals: Totals,
    twice: u64,
    failed: Vec<(u64, Plan, Failure)>,
}

fn many(arguments: &Arguments, ranges: &Ranges) -> Result<()> {
    let end = arguments.from.saturating_add(arguments.seeds);
    let next = AtomicU64::new(arguments.from);
    let progress = Mutex::new(Progress::default());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    // A run that fails by a panic is told of as a failure, with its text.
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.unwrap_or(processors).max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let plan = Plan::drawn(seed, ranges);
                    let outcome = run(seed, &plan);
                    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok((outcome, twice)) => {
                            progress.totals.add(seed, &outcome);
                            progress.twice += u64::from(twice);
                        }
                        Err(failure) => {
                            eprintln!("seed {seed} failed {failure}");
                            progress.failed.push((seed, plan, failure));
                        }
                    }
                }
            });
        }
        tell(&progress, arguments.seeds, began);
    });
    let progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    conclude(arguments, progress, began.elapsed())
}

/// A run, and whether it was repeated to compare the traces.
fn run(seed: u64, plan: &Plan) -> Result<(Outcome, bool), Failure> {
    let outcome = swarm::run(plan)?;
    let twice = seed.is_multiple_of(TWICE);
    if twice {
        swarm::same_trace(plan, &outcome)?;
    }
    Ok((outcome, twice))
}

fn tell(progress: &Mutex<Progress>, seeds: u64, began: Instant) {
    let live = std::io::stderr().is_terminal();
    let mut told = 0;
    loop {
        let (done, failed) = {
            let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            let failed = progress.failed.len();
            (progress.totals.runs.saturating_add(u64::try_from(failed).unwrap_or(u64::MAX)), failed)
        };
        // A log gets a line for each tenth.
        if live || done.saturating_mul(10) / seeds > told {
            told = done.saturating_mul(10) / seeds;
            let line = format!("{done} of {seeds} seeds, {failed} failed, {} s", began.elapsed().as_secs());
            if live { eprint!("\r{line}  ") } else { eprintln!("{line}") }
        }
        if done >= seeds {
            if live {
                eprintln!();
            }
            return;
        }
        std::thread::sleep(TELL);
    }
}

/// Measuring how many planted bugs the swarm finds.
#[cfg(planted)]
mod planted {
    use super::*;
    use walytis_core::planted::{Fault, activate};

    pub(super) fn find(arguments: &Arguments, ranges: &Ranges) -> Result<()> {
        std::panic::set_hook(Box::new(|_| {}));
        let named = |name: &String| {
            let names = || Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
            Fault::from_name(name).ok_or_else(|| anyhow!("no planted bug is called {name:?}; there are {}", names()))
        };
        let mut faults = arguments.fault.iter().map(named).collect::<Result<Vec<Fault>>>()?;
        if faults.is_empty() {
            faults = Fault::ALL.to_vec();
        }
        let next = AtomicU64::new(0);
        let found = Mutex::new(0_usize);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        println!("{:<22} {:>8}  {}", "planted bug", "seeds", "found by");
        std::thread::scope(|scope| {
            for _ in 0..arguments.jobs.unwrap_or(processors).max(1) {
                scope.spawn(|| {
                    while let Some(fault) =
                        usize::try_from(next.fetch_add(1, Ordering::Relaxed)).ok().and_then(|index| faults.get(index))
                    {
                        let failed = first(arguments, ranges, *fault);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        match failed {
                            Some((seeds, failure)) => {
                                *found += 1;
                                let what: String = failure.broken.what.chars().take(70).collect();
                                println!("{:<22} {seeds:>8}  {:?}: {what}", fault.name(), failure.broken.invariant);
                            }
                            None => println!("{:<22} {:>8}  not found", fault.name(), arguments.seeds),
                        }
                    }
                });
            }
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        println!("{found} of {} planted bugs found", faults.len());
        Ok(())
    }

    /// How many seeds it took, and how the last of them failed.
    fn first(arguments: &Arguments, ranges: &Ranges, fault: Fault) -> Option<(u64, Failure)> {
        (0..arguments.seeds).find_map(|tried| {
            let plan = Plan::drawn(arguments.from.saturating_add(tried), ranges);
            activate(Some(fault));
            let outcome = swarm::run(&plan);
            activate(None);
            outcome.err().map(|failure| (tried.saturating_add(1), failure))
        })
    }
}

#[cfg(not(planted))]
mod planted {
    use super::*;

    pub(super) fn find(_: &Arguments, _: &Ranges) -> Result<()> {
        bail!("nothing is planted in this build: use `cargo xtask sim --planted`, which builds one of its own")
    }
}

fn conclude(arguments: &Arguments, progress: Progress, took: Duration) -> Result<()> {
    let Progress { totals, twice, failed } = progress;
    println!("{totals}");
    println!("run twice, same trace {twice:>11}");
    println!("seeds per second     {:>12.2}", arguments.seeds as f64 / took.as_secs_f64());
    for (seed, plan, failure) in &failed {
        println!("\nseed {seed}");
        // One of each kind is enough to begin with, and shrinking takes its time.
        let first = failed.iter().find(|(_, _, other)| other.broken.invariant == failure.broken.invariant);
        if first.is_some_and(|(first, ..)| first == seed) {
            eprintln!("shrinking seed {seed}");
            match swarm::shrunk(plan) {
                Some((plan, failure)) => keep(arguments.keep.as_deref(), *seed, &plan, &failure)?,
                None => println!("it does not fail again: something is not drawn from the seed"),
            }
        }
    }
    ensure!(failed.is_empty(), "{} of {} seeds failed", failed.len(), arguments.seeds);
    let shortcomings = if arguments.seeds >= 100 { totals.shortcomings() } else { Vec::new() };
    ensure!(shortcomings.is_empty(), "every run passed, but they are worth little: {}", shortcomings.join("; "));
    let count = arguments.seeds;
    println!("\nsim: {count} passed, 0 failed");
    Ok(())
}

fn keep(folder: Option<&Path>, seed: u64, plan: &Plan, failure: &Failure) -> Result<()> {
    println!("shrunk: {failure}\n{plan}");
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!("{:?}-{seed}.plan", failure.broken.invariant).to_lowercase());
    let why: String = failure.to_string().chars().take(400).collect();
    std::fs::write(&file, format!("# {}\n{plan}", why.replace('\n', " ")))?;
    println!("kept in {}", file.display());
    Ok(())
}
