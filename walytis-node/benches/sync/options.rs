//! What is to be measured, and how figures are told.

use std::io::Write;

use rustix::time::{ClockId, clock_gettime};

use crate::shape::Shape;

pub(crate) const JOIN: &[&str] = &["w3_cold_join", "w3_join_cpu", "w3_wire", "w3_wire_parents"];
pub(crate) const PROPAGATION: &[&str] = &["w4_latency_median", "w4_latency_p99", "w4_burst1000"];
pub(crate) const CATCH_UP: &[&str] = &["w5_catchup", "w5_catchup_cpu", "w5_wire"];
pub(crate) const JOIN_FLOOR: &[&str] = &["f_join", "f_join_cpu"];
pub(crate) const LATENCY_FLOOR: &[&str] = &["f_latency_median", "f_latency_p99"];
pub(crate) const BURST_FLOOR: &[&str] = &["f_burst1000"];
pub(crate) const CATCH_UP_FLOOR: &[&str] = &["f_catchup", "f_catchup_cpu"];

/// The longest chain on which propagation is measured, unless sizes are given.
const PROPAGATION_BLOCKS_MAX: u64 = 10_000;

const HELP: &str = "\
What it costs that two nodes come to have the same public chain, as lines of JSON.

Usage: cargo bench -p walytis-node --bench sync -- [OPTION...] [PICK...]

  --blocks=N,...  blocks of the chain; else 1000,10000 of both sizes and 100000 of 100 bytes
  --bytes=N,...   bytes of each of them; else 100,10240, or 100 with --blocks
  --full          also 100000 blocks of 10240 bytes and, for w5, 1000000 of 100: takes hours
  --runs=N        how often each is measured, of which the best and the worst are told; else 5
  --quick         1000 blocks of 100 bytes, once
  --help          this

A PICK is the beginning of a metric's name; without one, all are measured. Shapes other than the plain one have a name behind.
";

#[derive(Default)]
pub(crate) struct Options {
    blocks: Vec<u64>,
    bytes: Vec<usize>,
    pub(crate) runs: usize,
    quick: bool,
    full: bool,
    picks: Vec<String>,
}

impl Options {
    /// What the command line says, or what to answer at once: whether that is an error, and its text.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, (bool, String)> {
        let mut options = Self { runs: 5, ..Self::default() };
        for argument in arguments {
            let wrong = || (true, format!("{argument}: not understood; see --help\n"));
            match argument.split_once('=') {
                Some(("--blocks", list)) => options.blocks = numbers(list).ok_or_else(wrong)?,
                Some(("--bytes", list)) => options.bytes = numbers(list).ok_or_else(wrong)?,
                Some(("--runs", runs)) => {
                    options.runs = runs.parse().ok().filter(|runs| *runs > 0).ok_or_else(wrong)?;
                }
                _ if argument == "--help" => return Err((false, format!("{HELP}\n{}", metrics()))),
                _ if argument == "--quick" => (options.quick, options.runs) = (true, 1),
                _ if argument == "--full" => options.full = true,
                // Cargo says it to every benchmark.
                _ if argument == "--bench" => {}
                _ if argument.starts_with("--") => return Err(wrong()),
                _ => options.picks.push(argument),
            }
        }
        let met = |pick: &String| all().any(|(metric, shape)| format!("{metric}{}", shape.suffix()).starts_with(pick));
        match options.picks.iter().find(|pick| !met(pick)) {
            Some(pick) => Err((true, format!("no metric begins with {pick}\n{}", metrics()))),
            None => Ok(options),
        }
    }

    /// How many blocks of how many bytes.
    pub(crate) fn sizes(&self) -> Vec<(u64, usize)> {
        if self.blocks.is_empty() && self.bytes.is_empty() {
            let brief: &[(u64, usize)] = &[(1_000, 100)];
            let usual = &[(1_000, 100), (10_000, 100), (100_000, 100), (1_000, 10_240), (10_000, 10_240)];
            let long: &[(u64, usize)] = if self.full { &[(100_000, 10_240), (1_000_000, 100)] } else { &[] };
            return if self.quick { brief.to_vec() } else { [&usual[..], long].concat() };
        }
        let of = |given: &[u64], usual: &[u64]| if given.is_empty() { usual.to_vec() } else { given.to_vec() };
        let blocks = of(&self.blocks, if self.quick { &[1_000] } else { &[1_000, 10_000] });
        let bytes = if self.bytes.is_empty() { vec![100] } else { self.bytes.clone() };
        bytes.iter().flat_map(|bytes| blocks.iter().map(|blocks| (*blocks, *bytes))).collect()
    }

    /// Whether propagation is measured on a chain of so many blocks.
    pub(crate) fn propagates(&self, blocks: u64) -> bool {
        !self.blocks.is_empty() || blocks <= PROPAGATION_BLOCKS_MAX
    }

    /// Whether one of these metrics is wanted of a shape. Floors are of the plain one.
    pub(crate) fn want(&self, metrics: &[&str], shape: Shape) -> bool {
        let is_picked = |name: &str| self.picks.is_empty() || self.picks.iter().any(|pick| name.starts_with(pick));
        let mut of_shape = metrics.iter().filter(|metric| shape == Shape::Plain || has_shapes(metric));
        of_shape.any(|metric| is_picked(&format!("{metric}{}", shape.suffix())))
    }
}

fn numbers<T: std::str::FromStr>(list: &str) -> Option<Vec<T>> {
    list.split(',').map(|number| number.parse().ok()).collect()
}

fn has_shapes(metric: &str) -> bool {
    JOIN.iter().chain(CATCH_UP).any(|with| *with == metric)
}

/// Every metric of every shape.
fn all() -> impl Iterator<Item = (&'static str, Shape)> {
    let groups = [JOIN, PROPAGATION, CATCH_UP, JOIN_FLOOR, LATENCY_FLOOR, BURST_FLOOR, CATCH_UP_FLOOR];
    let of_all = |metric| Shape::ALL.iter().map(move |shape| (metric, *shape));
    let metrics = groups.into_iter().flatten().flat_map(move |metric| of_all(*metric));
    metrics.filter(|(metric, shape)| *shape == Shape::Plain || has_shapes(metric))
}

fn metrics() -> String {
    let shapes: Vec<&str> = Shape::ALL.iter().map(|shape| shape.suffix()).filter(|suffix| !suffix.is_empty()).collect();
    let lines: Vec<String> = all()
        .filter(|(_, shape)| *shape == Shape::Plain)
        .map(|(metric, _)| format!("  {metric}{}", if has_shapes(metric) { " *" } else { "" }))
        .collect();
    format!("Metrics (*: also of the shapes {}):\n{}\n", shapes.join(", "), lines.join("\n"))
}

/// What is measured of one case, in the order in which it came.
pub(crate) struct Figures {
    shape: Shape,
    n: u64,
    bytes: usize,
    series: Vec<Series>,
}

/// Several runs' values of one metric, with their processor times.
struct Series {
    metric: &'static str,
    unit: &'static str,
    values: Vec<(f64, f64)>,
}

impl Figures {
    pub(crate) fn new(shape: Shape, n: u64, bytes: usize) -> Self {
        Self { shape, n, bytes, series: Vec::new() }
    }

    pub(crate) fn add(&mut self, metric: &'static str, unit: &'static str, value: f64, cpu_s: f64) {
        match self.series.iter_mut().find(|series| series.metric == metric) {
            Some(series) => series.values.push((value, cpu_s)),
            None => self.series.push(Series { metric, unit, values: vec![(value, cpu_s)] }),
        }
    }

    /// Says of each that is wanted the best, and the worst if there are several. More is better where it is a rate.
    pub(crate) fn report(self, options: &Options) {
        for mut series in self.series.into_iter().filter(|series| options.want(&[series.metric], self.shape)) {
            series.values.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            if series.unit.ends_with("/s") {
                series.values.reverse();
            }
            let say = |behind: &str, (value, cpu_s): (f64, f64)| {
                let system = if series.metric.starts_with("f_") { "floor" } else { "walytis" };
                let metric = format!("{}{}{behind}", series.metric, self.shape.suffix());
                let (n, bytes, unit) = (self.n, self.bytes, series.unit);
                let line = format!(
                    r#"{{"system":"{system}","metric":"{metric}","n":{n},"bytes":{bytes},"value":{value:.4},"unit":"{unit}","cpu_s":{cpu_s:.4}}}"#
                );
                writeln!(std::io::stdout().lock(), "{line}").unwrap();
            };
            say("", series.values[0]);
            if series.values.len() > 1 {
                say("_worst", series.values[series.values.len() - 1]);
            }
        }
    }
}

/// The clock that both processes read, in nanoseconds.
pub(crate) fn clock_ns() -> u64 {
    read_ns(ClockId::Monotonic)
}

/// Processor time of this process so far, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    read_ns(ClockId::ProcessCPUTime) as f64 / 1e9
}

fn read_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
