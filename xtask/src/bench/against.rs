//! An earlier build and this one, measured in turns in one run: what the machine does meanwhile, it does to both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::Measurement;
use super::binaries;
use super::targets::{self, Target};

/// What is compared unless picks say otherwise: appending, joining, latency and catching up, of both kinds of chain.
pub(super) const PICKS: &[&str] = &["w1", "w3", "w4", "w5", "p1", "p4"];

/// The length of the chains, unless sizes are given.
pub(super) const BLOCKS: u64 = 10_000;

/// How often each build is measured, unless it is given.
pub(super) const RUNS: u64 = 5;

/// From this ratio of the best values on, now / earlier, a figure is no longer as it was.
const RATIO_MAX: f64 = 1.03;

/// What tells two figures apart: their metric, number and bytes.
type Key = (String, u64, u64);

/// What a figure counts, which decides how it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Bytes on disk, on the wire or in memory, which hardly depend on what else the machine does: the ratio decides.
    Bytes,
    /// Processor time: the ratio decides, unless the ranges overlap.
    Processor,
    /// Time by the clock, and rates: judged as processor time is, and held against nobody.
    Clock,
}

/// How a figure stands to the earlier build's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    WithinSpread,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::WithinSpread => "within the spread",
        }
    }
}

/// The values of one figure in all rounds, of both builds.
#[derive(Debug, Default)]
struct Series {
    unit: String,
    earlier: Vec<f64>,
    now: Vec<f64>,
    /// Processor time of the runs, in seconds.
    earlier_cpu_s: Vec<f64>,
    now_cpu_s: Vec<f64>,
}

impl Series {
    fn kind(&self, metric: &str) -> Kind {
        match self.unit.as_str() {
            "B" => Kind::Bytes,
            _ if metric.contains("_cpu") => Kind::Processor,
            _ => Kind::Clock,
        }
    }

    /// Whether more is better.
    fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }

    /// The processor time beside a time by the clock, where it was measured.
    fn has_cpu(&self, kind: Kind) -> bool {
        let measured = |values: &[f64]| values.iter().all(|value| *value > 0.0);
        kind == Kind::Clock && measured(&self.earlier_cpu_s) && measured(&self.now_cpu_s)
    }
}

/// Both builds' values of one figure, and how they are judged.
#[derive(Debug, PartialEq)]
struct Judged {
    earlier: (f64, f64),
    now: (f64, f64),
    ratio: f64,
    verdict: Verdict,
}

/// Judges values of which less is better; of a rate, more is.
fn judge(kind: Kind, is_rate: bool, earlier: &[f64], now: &[f64]) -> Judged {
    let ends = |values: &[f64]| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if is_rate { (high, low) } else { (low, high) }
    };
    let ((best, worst), (now_best, now_worst)) = (ends(earlier), ends(now));
    // As if less were better: a rate counts by what one takes.
    let cost = |value: f64| if is_rate { value.recip() } else { value };
    let ratio = if cost(best) == cost(now_best) { 1.0 } else { cost(now_best) / cost(best) };
    let (above, below) = (cost(now_best) > cost(worst), cost(now_worst) < cost(best));
    let decides = |apart: bool| apart || kind == Kind::Bytes;
    let verdict = match ratio {
        ratio if ratio > RATIO_MAX && decides(above) => Verdict::Worse,
        ratio if ratio < RATIO_MAX.recip() && decides(below) => Verdict::Better,
        _ => Verdict::WithinSpread,
    };
    Judged { earlier: (best, worst), now: (now_best, now_worst), ratio, verdict }
}

/// What both builds measured.
#[derive(Debug, Default)]
struct Comparison(BTreeMap<Key, Series>);

impl Comparison {
    fn add(&mut self, measurements: &[Measurement], is_now: bool) {
        for each in measurements {
            let series = self.0.entry((each.metric.clone(), each.n, each.bytes)).or_default();
            series.unit.clone_from(&each.unit);
            let (values, cpu_s) = match is_now {
                true => (&mut series.now, &mut series.now_cpu_s),
                false => (&mut series.earlier, &mut series.earlier_cpu_s),
            };
            values.push(each.value);
            cpu_s.push(each.cpu_s);
        }
    }

    /// The table, and the figures that must not be worse and are, or that this build does not measure any more.
    fn judged(&self) -> (String, Vec<String>) {
        let mut text = format!(
            "{:<28} {:>7} {:>6} {:<10} {:>22} {:>22} {:>6}  best (worst); above 1 is dearer\n",
            "metric", "n", "bytes", "unit", "earlier", "now", "ratio"
        );
        let mut worse = Vec::new();
        for ((metric, n, bytes), series) in &self.0 {
            let kind = series.kind(metric);
            let head = |name: &str| format!("{name:<28} {n:>7} {bytes:>6}");
            // Writing to a text cannot fail.
            if series.now.is_empty() || series.earlier.is_empty() {
                let who = if series.now.is_empty() { "only earlier" } else { "only now" };
                let _ = writeln!(text, "{} {who}", head(metric));
                if series.now.is_empty() {
                    worse.push(format!("{metric} is not measured any more"));
                }
                continue;
            }
            let mut line = |name: &str, unit: &str, kind: Kind, judged: Judged| {
                let Judged { earlier, now, ratio, verdict } = judged;
                let shown = |(best, worst): (f64, f64)| format!("{best:.4} ({worst:.4})");
                let (head, said) = (head(name), verdict.text());
                let _ =
                    writeln!(text, "{head} {unit:<10} {:>22} {:>22} {ratio:>6.3}  {said}", shown(earlier), shown(now));
                if verdict == Verdict::Worse && kind != Kind::Clock {
                    worse.push(format!("{name} (n {n}, {bytes} B) is {ratio:.3} of what it was"));
                }
            };
            line(metric, &series.unit, kind, judge(kind, series.is_rate(), &series.earlier, &series.now));
            if series.has_cpu(kind) {
                let judged = judge(Kind::Processor, false, &series.earlier_cpu_s, &series.now_cpu_s);
                line(&format!("{metric}: processor"), "s", Kind::Processor, judged);
            }
        }
        (text, worse)
    }
}

/// The programs of one target in both builds, and the picks that mean something to it.
struct Pair {
    earlier: PathBuf,
    now: PathBuf,
    options: Vec<String>,
}

/// Measures both builds in turns, earlier, now, earlier, now, each as often as is said, and prints how each figure stands.
///
/// # Errors
/// A program is missing, cannot be built, or fails; or a figure of bytes, memory or processor time is worse than it was.
pub(super) fn run(root: &Path, folder: &Path, picks: &[String], sizes: &[String], runs: u64) -> Result<()> {
    let usual: Vec<String> = PICKS.iter().map(|pick| (*pick).to_owned()).collect();
    let chosen = targets::chosen(if picks.is_empty() { &usual } else { picks })?;
    let pair = |(target, picks): &(&'static Target, Vec<&String>)| {
        // One run of each a round: the rounds are ours.
        let mut options: Vec<String> = sizes.to_vec();
        options.push("--runs=1".to_owned());
        options.extend(picks.iter().map(|pick| (*pick).clone()));
        Ok(Pair { earlier: binaries::kept(folder, target)?, now: binaries::build(root, target)?, options })
    };
    // All are there before anything is measured, which takes minutes.
    let pairs = chosen.iter().map(pair).collect::<Result<Vec<Pair>>>()?;
    let mut comparison = Comparison::default();
    for round in 1..=runs {
        for Pair { earlier, now, options } in &pairs {
            for (program, is_now) in [(earlier, false), (now, true)] {
                eprintln!("== round {round} of {runs}: {}", program.display());
                comparison.add(&binaries::run(program, options)?, is_now);
            }
        }
    }
    let (text, worse) = comparison.judged();
    print!("{text}");
    if !worse.is_empty() {
        bail!("worse than the earlier build: {}", worse.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Kind, Measurement, Verdict, judge};

    fn measured(metric: &str, unit: &str, value: f64, cpu_s: f64) -> Measurement {
        let (system, metric, unit) = ("walytis".to_owned(), metric.to_owned(), unit.to_owned());
        Measurement { system, metric, n: 10_000, bytes: 100, value, unit, cpu_s }
    }

    #[test]
    fn each_kind_is_judged_by_its_own_rule() {
        use Kind::{Bytes, Clock, Processor};
        use Verdict::{Better, WithinSpread, Worse};
        let check = |kind: Kind, is_rate: bool, earlier: &[f64], now: &[f64], expected: Verdict| {
            assert_eq!(judge(kind, is_rate, earlier, now).verdict, expected, "{kind:?}: {earlier:?}, {now:?}");
        };
        // Bytes: the best values' ratio alone, however wide the ranges are.
        check(Bytes, false, &[100.0, 150.0], &[103.0, 104.0], WithinSpread);
        check(Bytes, false, &[100.0, 150.0], &[103.1, 104.0], Worse);
        check(Bytes, false, &[100.0, 150.0], &[97.2, 200.0], WithinSpread);
        check(Bytes, false, &[100.0, 150.0], &[97.0, 200.0], Better);
        check(Bytes, false, &[0.0], &[0.0], WithinSpread);
        check(Bytes, false, &[0.0], &[1.0], Worse);
        // Processor time: only if the whole range lies above, too.
        for kind in [Processor, Clock] {
            check(kind, false, &[100.0, 110.0], &[105.0, 120.0], WithinSpread);
            check(kind, false, &[100.0, 110.0], &[110.0, 120.0], WithinSpread);
            check(kind, false, &[100.0, 110.0], &[110.1, 120.0], Worse);
            check(kind, false, &[100.0, 101.0], &[102.0, 103.0], WithinSpread);
            check(kind, false, &[110.1, 120.0], &[100.0, 110.0], Better);
            check(kind, false, &[110.0, 120.0], &[100.0, 110.0], WithinSpread);
            check(kind, false, &[102.0, 103.0], &[100.0, 101.0], WithinSpread);
        }
        // Of a rate, more is better.
        check(Clock, true, &[100.0, 90.0], &[89.0, 80.0], Worse);
        check(Clock, true, &[100.0, 90.0], &[91.0, 80.0], WithinSpread);
        check(Clock, true, &[89.0, 80.0], &[100.0, 90.0], Better);
        check(Clock, true, &[100.0, 99.0], &[98.0, 97.5], WithinSpread);
    }

    #[test]
    fn the_best_of_all_rounds_and_the_worst_are_told() {
        let judged = judge(Kind::Processor, false, &[3.0, 2.0, 4.0], &[8.0, 5.0, 6.0]);
        assert_eq!((judged.earlier, judged.now, judged.ratio), ((2.0, 4.0), (5.0, 8.0), 2.5));
        let rate = judge(Kind::Clock, true, &[3.0, 4.0], &[1.0, 2.0]);
        assert_eq!((rate.earlier, rate.now, rate.ratio), ((4.0, 3.0), (2.0, 1.0), 2.0));
    }

    /// What two rounds of each say of one metric: the lines below the head, and what is worse.
    fn said(metric: &str, unit: &str, earlier: [(f64, f64); 2], now: [(f64, f64); 2]) -> (Vec<String>, Vec<String>) {
        let mut comparison = Comparison::default();
        for (before, after) in earlier.into_iter().zip(now) {
            comparison.add(&[measured(metric, unit, before.0, before.1)], false);
            comparison.add(&[measured(metric, unit, after.0, after.1)], true);
        }
        let (text, worse) = comparison.judged();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        (text.lines().skip(1).map(words).collect(), worse)
    }

    #[test]
    fn processor_time_stands_beside_the_clocks_and_alone_decides() {
        // By the clock it is worse, by the processor as before.
        let (lines, worse) = said("w4_burst1000", "entries/s", [(90.0, 1.0), (99.0, 1.2)], [(50.0, 1.1), (60.0, 1.0)]);
        let expected = [
            "w4_burst1000 10000 100 entries/s 99.0000 (90.0000) 60.0000 (50.0000) 1.650 worse",
            "w4_burst1000: processor 10000 100 s 1.0000 (1.2000) 1.0000 (1.1000) 1.000 within the spread",
        ];
        assert_eq!((lines.as_slice(), worse.len()), (expected.map(str::to_owned).as_slice(), 0));
        // And the other way round.
        let (lines, worse) = said("w3_cold_join", "s", [(1.0, 1.0), (1.0, 1.2)], [(0.5, 1.3), (0.5, 1.4)]);
        assert!(lines[0].ends_with("better") && lines[1].ends_with("worse"), "{lines:?}");
        assert_eq!(worse, ["w3_cold_join: processor (n 10000, 100 B) is 1.300 of what it was"]);
        // A figure that is processor time is told once, and one without any has no second line.
        let (lines, worse) = said("w3_join_cpu", "us", [(1.0, 1.0), (1.0, 1.0)], [(2.0, 2.0), (2.0, 2.0)]);
        assert_eq!((lines.len(), worse.len()), (1, 1));
        let (lines, worse) = said("w1_alone", "ms", [(1.0, 0.0), (1.0, 0.0)], [(2.0, 0.0), (2.0, 0.0)]);
        assert_eq!((lines.len(), worse.len()), (1, 0));
    }

    #[test]
    fn bytes_decide_and_a_figure_that_is_gone_is_told() {
        let (_, worse) = said("w3_wire", "B", [(100.0, 1.0), (120.0, 1.0)], [(104.0, 9.0), (104.0, 9.0)]);
        assert_eq!(worse, ["w3_wire (n 10000, 100 B) is 1.040 of what it was"]);
        let mut comparison = Comparison::default();
        comparison.add(&[measured("gone", "B", 1.0, 0.0)], false);
        comparison.add(&[measured("new", "B", 1.0, 0.0)], true);
        let (text, worse) = comparison.judged();
        assert!(text.contains("only earlier") && text.contains("only now"), "{text}");
        assert_eq!(worse, ["gone is not measured any more"]);
    }
}
