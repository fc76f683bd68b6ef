//! What is to be measured.

use crate::measure::Shape;

const HELP: &str = "\
What appending to a chain and reading it cost, as lines of JSON.

Usage: cargo bench -p offchain-store --bench chains -- [OPTION...] [PICK...]

  --blocks=N,...  blocks of the chain; else 1000,10000 of both sizes and 100000 of 100 bytes
  --bytes=N,...   bytes of each of them; else 100,10240, or 100 with --blocks
  --full          also 100000 blocks of 10240 bytes and 1000000 of 100: takes hours
  --runs=N        how often each is measured, of which the best and the worst are told; else 5
  --quick         1000 blocks of 100 bytes, once
  --help          this

A PICK is the beginning of a metric's name; without one, all are measured.
";

#[derive(Default)]
pub(crate) struct Options {
    blocks: Vec<usize>,
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
            let numbers =
                |list: &str| list.split(',').map(|number| number.parse().ok()).collect::<Option<Vec<usize>>>();
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
        let all: Vec<String> = Shape::ALL.iter().flat_map(|shape| shape.metrics()).collect();
        match options.picks.iter().find(|pick| !all.iter().any(|metric| metric.starts_with(pick.as_str()))) {
            Some(pick) => Err((true, format!("no metric begins with {pick}\n{}", metrics()))),
            None => Ok(options),
        }
    }

    /// How many blocks of how many bytes.
    pub(crate) fn sizes(&self) -> Vec<(usize, usize)> {
        if self.blocks.is_empty() && self.bytes.is_empty() {
            let usual = &[(1_000, 100), (10_000, 100), (100_000, 100), (1_000, 10_240), (10_000, 10_240)];
            let long: &[(usize, usize)] = if self.full { &[(100_000, 10_240), (1_000_000, 100)] } else { &[] };
            return if self.quick { vec![(1_000, 100)] } else { [&usual[..], long].concat() };
        }
        let usual = if self.quick { vec![1_000] } else { vec![1_000, 10_000] };
        let blocks = if self.blocks.is_empty() { usual } else { self.blocks.clone() };
        let bytes = if self.bytes.is_empty() { vec![100] } else { self.bytes.clone() };
        bytes.iter().flat_map(|bytes| blocks.iter().map(|blocks| (*blocks, *bytes))).collect()
    }

    pub(crate) fn want(&self, metric: &str) -> bool {
        self.picks.is_empty() || self.picks.iter().any(|pick| metric.starts_with(pick.as_str()))
    }
}

fn metrics() -> String {
    let lines: Vec<String> = Shape::ALL.iter().map(|shape| format!("  {}", shape.metrics().join(" "))).collect();
    format!("Metrics:\n{}\n", lines.join("\n"))
}
