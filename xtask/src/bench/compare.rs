//! A run beside an earlier one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::Measurement;

/// What behind a metric's name says that it is the worst of several runs.
const WORST: &str = "_worst";

/// What tells two figures apart: their system, metric, number and bytes.
type Key = (String, String, u64, u64);

/// A figure: the best of its runs, and the worst if there were several.
#[derive(Clone, Debug, PartialEq)]
struct Figure {
    unit: String,
    best: f64,
    worst: Option<f64>,
}

impl Figure {
    /// Whether more is better.
    fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }

    /// The lowest and the highest of its runs.
    fn ends(&self) -> (f64, f64) {
        let worst = self.worst.unwrap_or(self.best);
        (self.best.min(worst), self.best.max(worst))
    }

    /// What it says about a change to another figure of the same unit.
    fn verdict(&self, now: &Self) -> &'static str {
        let ((low, high), (now_low, now_high)) = (self.ends(), now.ends());
        let (Some(_), Some(_)) = (self.worst, now.worst) else { return "of one run: noise is not known" };
        match (now_low > high, now_high < low) {
            (false, false) => "within the spread",
            (more, _) if more == self.is_rate() => "better",
            _ => "worse",
        }
    }

    fn shown(&self) -> String {
        match self.worst {
            Some(worst) => format!("{} ({})", number(self.best), number(worst)),
            None => number(self.best),
        }
    }
}

/// Four digits that count, without an exponent.
fn number(value: f64) -> String {
    let decimals = match value {
        value if value >= 1000.0 => 0,
        value if value >= 100.0 => 1,
        value if value >= 10.0 => 2,
        value if value >= 1.0 => 3,
        _ => 5,
    };
    format!("{value:.decimals$}")
}

/// Reads the lines that a run printed.
///
/// # Errors
/// The file cannot be read, has a line that is no measurement, or has none at all.
pub(super) fn read(path: &Path) -> Result<Vec<Measurement>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the run in {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is no run: save one with `cargo xtask bench > FILE`", path.display()))
}

fn parse(text: &str) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match Measurement::read(line) {
            Ok(measurement) => measurements.push(measurement),
            Err(error) => bail!("line {} is no measurement: {error}", place + 1),
        }
    }
    ensure!(!measurements.is_empty(), "it has no measurement");
    Ok(measurements)
}

/// Puts the best and the worst of each figure together. Of a figure that comes more than once, all runs count.
fn figures(measurements: &[Measurement]) -> BTreeMap<Key, Figure> {
    let mut figures: BTreeMap<Key, Figure> = BTreeMap::new();
    for each in measurements {
        let is_worst = each.metric.ends_with(WORST);
        let metric = each.metric.strip_suffix(WORST).unwrap_or(&each.metric).to_owned();
        let key = (each.system.clone(), metric, each.n, each.bytes);
        let Some(figure) = figures.get_mut(&key) else {
            let worst = is_worst.then_some(each.value);
            figures.insert(key, Figure { unit: each.unit.clone(), best: each.value, worst });
            continue;
        };
        let (low, high) = figure.ends();
        let (low, high) = (low.min(each.value), high.max(each.value));
        let (best, worst) = if figure.is_rate() { (high, low) } else { (low, high) };
        (figure.best, figure.worst) = (best, Some(worst));
    }
    figures
}

/// A line for each figure: its best (and worst) earlier and now, and the ratio of the two best; then the figures that
/// only one of the runs has.
pub(super) fn table(earlier: &[Measurement], now: &[Measurement]) -> String {
    let (earlier, now) = (figures(earlier), figures(now));
    let mut text = format!(
        "{:<8} {:<26} {:>8} {:>6} {:<10} {:>22} {:>22} {:>6}  best (worst); ratio: now / earlier\n",
        "system", "metric", "n", "bytes", "unit", "earlier", "now", "ratio"
    );
    let mut only = [Vec::new(), Vec::new()];
    for (key, before) in &earlier {
        let (system, metric, n, bytes) = key;
        let Some(after) = now.get(key) else {
            only[0].push(name(key));
            continue;
        };
        let head = format!("{system:<8} {metric:<26} {n:>8} {bytes:>6}");
        // Writing to a text cannot fail.
        let _ = if before.unit == after.unit {
            let ratio = if before.best > 0.0 { format!("{:.2}", after.best / before.best) } else { "-".to_owned() };
            let (unit, verdict) = (&before.unit, before.verdict(after));
            writeln!(text, "{head} {unit:<10} {:>22} {:>22} {ratio:>6}  {verdict}", before.shown(), after.shown())
        } else {
            writeln!(text, "{head} its unit was {}, and is {}: not compared", before.unit, after.unit)
        };
    }
    only[1].extend(now.keys().filter(|key| !earlier.contains_key(*key)).map(name));
    for (what, names) in ["earlier", "now"].iter().zip(only).filter(|(_, names)| !names.is_empty()) {
        let _ = writeln!(text, "only {what}: {}", names.join(", "));
    }
    text
}

fn name((system, metric, n, bytes): &Key) -> String {
    format!("{system} {metric} (n {n}, {bytes} B)")
}

#[cfg(test)]
mod tests {
    use super::{Measurement, Path, parse, read, table};

    fn measured(metric: &str, n: u64, value: f64, unit: &str) -> Measurement {
        let (system, metric, unit) = ("walytis".to_owned(), metric.to_owned(), unit.to_owned());
        Measurement { system, metric, n, bytes: 100, value, unit, cpu_s: 0.1 }
    }

    /// The lines about figures, from the ratio on.
    fn said(earlier: &[Measurement], now: &[Measurement]) -> Vec<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        table(earlier, now).lines().skip(1).map(words).collect()
    }

    #[test]
    fn each_figure_is_compared_with_the_spread_of_both() {
        let run = |rate: (f64, f64), time: (f64, f64)| {
            vec![
                measured("w1_append", 1_000, rate.0, "entries/s"),
                measured("w1_append_worst", 1_000, rate.1, "entries/s"),
                measured("w2_open", 1_000, time.0, "s"),
                measured("w2_open_worst", 1_000, time.1, "s"),
            ]
        };
        let earlier = run((20_000.0, 15_000.0), (0.5, 0.6));
        let check = |rate, time, expected: [&str; 2]| {
            let lines = said(&earlier, &run(rate, time));
            for (line, expected) in lines.iter().zip(expected) {
                assert!(line.ends_with(expected), "{line}, expected {expected}");
            }
            assert_eq!(lines.len(), 2);
        };
        check((30_000.0, 25_000.0), (0.25, 0.3), ["1.50 better", "0.50 better"]);
        check((10_000.0, 8_000.0), (1.0, 1.5), ["0.50 worse", "2.00 worse"]);
        check((18_000.0, 9_000.0), (0.55, 0.9), ["0.90 within the spread", "1.10 within the spread"]);
        let line = &said(&earlier, &earlier)[0];
        assert_eq!(line, "walytis w1_append 1000 100 entries/s 20000 (15000) 20000 (15000) 1.00 within the spread");
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let earlier = [measured("a", 1, 2.0, "s"), measured("gone", 1, 1.0, "s"), measured("u", 1, 1.0, "s")];
        let now = [measured("a", 1, 3.0, "s"), measured("a", 2, 3.0, "s"), measured("u", 1, 1.0, "ms")];
        let expected = [
            "walytis a 1 100 s 2.000 3.000 1.50 of one run: noise is not known",
            "walytis u 1 100 its unit was s, and is ms: not compared",
            "only earlier: walytis gone (n 1, 100 B)",
            "only now: walytis a (n 2, 100 B)",
        ];
        assert_eq!(said(&earlier, &now), expected);
        let nothing = said(&[measured("a", 1, 0.0, "s")], &[measured("a", 1, 0.5, "s")]);
        assert_eq!(nothing, ["walytis a 1 100 s 0.00000 0.50000 - of one run: noise is not known"]);
    }

    #[test]
    fn runs_in_one_file_are_runs_of_one_figure() {
        let earlier = [measured("a", 1, 4.0, "s"), measured("a", 1, 2.0, "s"), measured("a_worst", 1, 9.0, "s")];
        let now = [measured("a", 1, 1.0, "s"), measured("a_worst", 1, 1.5, "s")];
        assert_eq!(said(&earlier, &now), ["walytis a 1 100 s 2.000 (9.000) 1.000 (1.500) 0.50 better"]);
    }

    #[test]
    fn a_file_that_is_no_run_is_refused_with_its_line() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        };
        let good = serde_json::to_string(&measured("a", 1, 1.0, "s")).expect("JSON");
        check("", "no measurement");
        check(&format!("{good}\n\nnonsense\n"), "line 3 is no measurement");
        assert_eq!(parse(&format!("{good}\n\n{good}\n")).expect("a run").len(), 2);
        let missing = read(Path::new("no such folder/run")).expect_err("refused").to_string();
        assert_eq!(missing, "cannot read the run in no such folder/run");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let other = format!("{:#}", read(&manifest).expect_err("refused"));
        assert!(other.contains("is no run: save one with") && other.contains("line 1 is no measurement"), "{other}");
    }
}
