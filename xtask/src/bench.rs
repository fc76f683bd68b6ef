//! `cargo xtask bench`: measures the system, and the floor that the machine sets.

mod against;
mod binaries;
mod compare;
mod ratios;
mod targets;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::workspace::Workspace;
use targets::Target;

/// Measure the system and its floor, as JSON lines on standard output
///
/// Each line is `{"system":...,"metric":...,"n":...,"bytes":...,"value":...,"unit":...,"cpu_s":...}`; `floor` is the
/// system of what the machine itself allows: a durable commit, a transfer, a signature, the same work without a chain or
/// a node. Progress and tables go to standard error. The builds are release builds; nothing else should run meanwhile. Each
/// value is the best of several runs, and `_worst` behind a metric's name the worst of them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench > today.jsonl
  cargo xtask bench --quick p4 f_
  cargo xtask bench w3_join_cpu f_join_cpu
  cargo xtask bench --blocks 1000000 --runs 1 w1 w2 w5
  cargo xtask bench --compare today.jsonl w1 w2 f_append > later.jsonl
  cargo xtask bench --compare today.jsonl --now later.jsonl
  cargo xtask bench --keep ../before              (the programs of this build, for later)
  cargo xtask bench --against ../before           (that build and this one in turns)

Metrics (a pick is the beginning of one):
  w1_append w1_disk w1_peak_rss    appending to a chain; w1_append_cpu a block, w1_disk_parents of w1_disk
  w1_alone                         appending one at a time to that chain; w1_alone_commit its commit
  w2_open w2_scan w2_rss           opening it, and reading every block
  w3_cold_join w3_wire             joining it from another process; w3_join_cpu a block, w3_wire_parents of w3_wire
  w4_latency w4_burst1000          from adding a block here to having it there, on chains of up to 10000
  w5_catchup w5_wire               100 blocks apart on each side; w5_catchup_cpu of both
  p1_ p4_ p7_                      appending, latency and idling of private groups
  f_append f_open f_scan f_join f_latency f_burst1000 f_catchup
                                   the floor of each: the same work without chain or node
  f_                               all floors: also commits, transfers, signatures
  sim_                             the simulated swarm
  h_stranger_frame                 the dearest frame of 2 MiB of a stranger, in processor time
  h_first_flight                   a first flight of an unknown device to a node with 600 groups

w1, w3 and w5 are also measured of other shapes: _sealed (w1_append), _deep (two authors in turn: as deep as the plain chain,
which is one block behind another), _authors (200), _heads (10000 concurrent ones). A table says how often as dear each is
as its floor, as the plain shape of the same length, and as the shortest plain chain.

Without options: 1000 and 10000 blocks of 100 and 10240 bytes, and 100000 of 100; each shape five times: about an hour.

--compare tells of each figure the ratio of the best values, now / earlier, and whether the runs' ranges overlap: then the
difference may be noise. A floor (f_append beside w1_append) that changed as much says that the machine did.

--against measures both builds in turns, so that the machine's moods are those of both: five times each, w1 w3 w4 w5 p1 p4
of 10000 blocks unless something else is said. It fails if bytes or memory are above 1.03 of what they were, or processor
time is and none of its runs was as quick as the earlier build's slowest.")]
pub(crate) struct Arguments {
    /// Measure briefly: for trying out, not for quoting
    #[arg(long)]
    quick: bool,
    /// Also 100000 blocks of 10240 bytes and, but for w4, 1000000 of 100: takes hours, and 10 GB of the temporary folder
    #[arg(long, conflicts_with_all = ["quick", "blocks", "bytes"])]
    full: bool,
    /// Blocks of a chain (w1 to w5 and their floors), instead of the usual ones
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    blocks: Vec<u64>,
    /// Bytes of each of them, instead of the usual ones; 100 with --blocks
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    bytes: Vec<u64>,
    /// How often each is measured, of which the best counts, instead of 5
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// Compare with an earlier run, whose lines are in FILE
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Measure nothing, and compare the run whose lines are in FILE
    #[arg(long, value_name = "FILE", requires = "compare", conflicts_with_all = ["quick", "full", "blocks", "bytes", "runs", "picks"])]
    now: Option<PathBuf>,
    /// Measure the build whose programs are in DIR and this one in turns, and fail if this one is dearer
    #[arg(long, value_name = "DIR", conflicts_with_all = ["quick", "full", "compare"])]
    against: Option<PathBuf>,
    /// Measure nothing, and copy this build's programs into DIR for --against
    #[arg(long, value_name = "DIR", conflicts_with_all = ["quick", "full", "blocks", "bytes", "runs", "compare", "against"])]
    keep: Option<PathBuf>,
    /// Measure only metrics whose names begin with this
    #[arg(value_name = "PICK")]
    picks: Vec<String>,
}

impl Arguments {
    /// The options of the targets that have sizes to choose; the others pass over them.
    fn sizes(&self) -> Vec<String> {
        let runs: Vec<u64> = self.runs.into_iter().collect();
        options(&[("--blocks", &self.blocks), ("--bytes", &self.bytes), ("--runs", &runs)])
    }

    /// The same for a comparison in turns, whose rounds are no matter of the targets.
    fn sizes_against(&self) -> Vec<String> {
        let blocks = if self.blocks.is_empty() { vec![against::BLOCKS] } else { self.blocks.clone() };
        options(&[("--blocks", &blocks), ("--bytes", &self.bytes)])
    }
}

/// Options with their numbers; one without numbers is left out.
fn options(given: &[(&str, &Vec<u64>)]) -> Vec<String> {
    let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let given = given.iter().filter(|(_, numbers)| !numbers.is_empty());
    given.map(|(name, numbers)| format!("{name}={}", list(numbers))).collect()
}

/// What must happen between adding a private block here and seeing it there: a commit on both sides, the transfer, and
/// one signature with its verification. Each with how often; a name stands for the metric itself or for its `_median`.
const LATENCY_FLOOR: &[(f64, &str)] = &[(2.0, "f_single_commit"), (1.0, "f_transfer_100B"), (1.0, "f_sign_verify")];

/// The metric that is compared with that floor.
const LATENCY: &str = "p4_private_latency";

/// One measurement.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Measurement {
    system: String,
    metric: String,
    n: u64,
    bytes: u64,
    value: f64,
    unit: String,
    cpu_s: f64,
}

impl Measurement {
    fn read(line: &str) -> Result<Self> {
        let measurement: Self = serde_json::from_str(line)?;
        let sound = |value: f64| value.is_finite() && value >= 0.0;
        ensure!(sound(measurement.value) && sound(measurement.cpu_s), "a value is negative or no number");
        ensure!(!measurement.metric.is_empty() && !measurement.system.is_empty(), "a name is empty");
        Ok(measurement)
    }

    /// The value in milliseconds, if it is a time.
    fn milliseconds(&self) -> Option<f64> {
        let factor = match self.unit.as_str() {
            "s" => 1e3,
            "ms" => 1.0,
            "us" => 1e-3,
            "ns" => 1e-6,
            _ => return None,
        };
        Some(self.value * factor)
    }
}

/// Runs every target that exists, and prints the measurements and the table.
///
/// # Errors
/// The earlier run cannot be read, or a pick means nothing; or a target does not exist, fails, or prints a line that is no
/// measurement of its own: the others run all the same.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let earlier = arguments.compare.as_deref().map(compare::read).transpose()?;
    if let (Some(earlier), Some(now)) = (&earlier, &arguments.now) {
        print!("{}", compare::table(earlier, &compare::read(now)?));
        return Ok(());
    }
    let chosen = targets::chosen(&arguments.picks)?;
    let workspace = Workspace::load()?;
    if let Some(folder) = &arguments.keep {
        let targets: Vec<&Target> = chosen.iter().map(|(target, _)| *target).collect();
        return binaries::keep(&workspace.root, &targets, folder);
    }
    if let Some(folder) = &arguments.against {
        return against::run(
            &workspace.root,
            folder,
            &arguments.picks,
            &arguments.sizes_against(),
            arguments.runs.unwrap_or(against::RUNS),
        );
    }
    let mut measurements = Vec::new();
    let mut troubles = Vec::new();
    for (target, picks) in chosen {
        let Target { package, name, .. } = target;
        let exists = workspace.package(package).is_some_and(|package| package.has_target("bench", name));
        if !exists {
            troubles.push(format!("{package} has no bench target `{name}`"));
        } else if let Err(error) = measure(&workspace, target, &picks, arguments, &mut measurements) {
            troubles.push(format!("{package}, {name}: {error:#}"));
        }
    }
    eprintln!("\n{}", table(&measurements));
    if let Some(ratios) = ratios::table(&measurements) {
        eprintln!("\n{ratios}");
    }
    if let Some(mut earlier) = earlier {
        // What is not picked is not missed.
        let is_picked = |metric: &str| arguments.picks.iter().any(|pick| metric.starts_with(pick.as_str()));
        earlier.retain(|each| arguments.picks.is_empty() || is_picked(&each.metric));
        eprintln!("\n{}", compare::table(&earlier, &measurements));
    }
    if !troubles.is_empty() {
        bail!("not everything was measured: {}", troubles.join("; "));
    }
    Ok(())
}

fn measure(
    workspace: &Workspace,
    target: &Target,
    picks: &[&String],
    arguments: &Arguments,
    measurements: &mut Vec<Measurement>,
) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    command.args(["bench", "--package", target.package, "--bench", target.name, "--"]);
    command.args(arguments.quick.then_some("--quick")).args(arguments.full.then_some("--full"));
    command.args(arguments.sizes()).args(picks);
    let line = process::typed(&command);
    eprintln!("== {line}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut wrong = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match Measurement::read(&line) {
            Ok(measurement) => {
                if !target.measures(&measurement.metric) {
                    wrong.push(format!("{} is not among the metrics of its target", measurement.metric));
                }
                println!("{}", serde_json::to_string(&measurement)?);
                std::io::stdout().flush()?;
                measurements.push(measurement);
            }
            Err(error) if line.trim_start().starts_with('{') => wrong.push(format!("{line} ({error})")),
            Err(_) => eprintln!("{line}"),
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{line}` ended with {status}");
    ensure!(wrong.is_empty(), "not as it should be: {}", wrong.join(", "));
    Ok(())
}

/// The measurements, and how far the latency is above its floor.
fn table(measurements: &[Measurement]) -> String {
    let mut lines = vec![format!(
        "{:<8} {:<30} {:>8} {:>6} {:>14} {:<10} {:>8}",
        "system", "metric", "n", "bytes", "value", "unit", "CPU s"
    )];
    for Measurement { system, metric, n, bytes, value, unit, cpu_s } in measurements {
        lines.push(format!("{system:<8} {metric:<30} {n:>8} {bytes:>6} {value:>14.3} {unit:<10} {cpu_s:>8.2}"));
    }
    match latency_ratio(measurements) {
        Ok((latency, floor)) => {
            lines.push(format!("{LATENCY}: {latency:.3} ms, its floor {floor:.3} ms, ratio {:.2}", latency / floor));
        }
        // It was not measured.
        Err(LATENCY) => {}
        Err(missing) => lines.push(format!("{LATENCY} to its floor: not known without {missing}")),
    }
    lines.join("\n")
}

/// The latency and its floor in milliseconds, or the first metric that is missing.
fn latency_ratio(measurements: &[Measurement]) -> Result<(f64, f64), &'static str> {
    let find = |metric: &'static str| {
        let is_meant = |name: &str| name.strip_prefix(metric).is_some_and(|rest| rest.is_empty() || rest == "_median");
        let found = measurements.iter().find(|each| is_meant(&each.metric));
        found.and_then(Measurement::milliseconds).ok_or(metric)
    };
    let latency = find(LATENCY)?;
    let floor = LATENCY_FLOOR.iter().try_fold(0.0, |sum, (times, metric)| Ok(sum + times * find(metric)?))?;
    Ok((latency, floor))
}

#[cfg(test)]
mod tests {
    use super::{Measurement, table};

    fn line(metric: &str, value: f64, unit: &str) -> String {
        format!(
            r#"{{"system":"floor","metric":"{metric}","n":10,"bytes":100,"value":{value:?},"unit":"{unit}","cpu_s":0.5}}"#
        )
    }

    #[test]
    fn a_measurement_is_read_and_written_alike() {
        let line = line("f_sign_verify", 31.5, "us");
        let measurement = Measurement::read(&line).expect("a measurement");
        assert_eq!(serde_json::to_string(&measurement).expect("JSON"), line);
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        let good = line("m", 1.0, "ms");
        for (from, to) in
            [("\"n\":10,", ""), ("\"n\"", "\"m\""), ("1.0", "-1.0"), ("1.0", "1e999"), ("0.5", "\"x\""), ("}", "")]
        {
            let bad = good.replace(from, to);
            assert!(Measurement::read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ratio_is_that_to_two_commits_a_transfer_and_a_signature() {
        let read = |lines: &[String]| -> Vec<Measurement> {
            lines.iter().map(|line| Measurement::read(line).expect("a measurement")).collect()
        };
        let mut lines = vec![
            line("p4_private_latency_p99", 9.0, "ms"),
            line("p4_private_latency_median", 2.0, "ms"),
            line("f_single_commit_median", 0.3, "ms"),
            line("f_transfer_100B_quic_median", 7.0, "s"),
            line("f_transfer_100B_median", 0.0001, "s"),
            line("f_sign_verify", 100.0, "us"),
        ];
        assert!(table(&read(&lines)).ends_with("2.000 ms, its floor 0.800 ms, ratio 2.50"));
        lines.pop();
        assert!(table(&read(&lines)).ends_with("not known without f_sign_verify"));
        lines.drain(..2);
        assert!(!table(&read(&lines)).contains("p4_private_latency"));
    }
}
