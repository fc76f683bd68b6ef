//! Figures beside others of the same run: the floor, the plain shape, and the shortest chain.

use super::Measurement;

/// A metric that is compared.
struct Compared {
    metric: &'static str,
    floor: &'static str,
    /// Whether it is of one block, or of a number of blocks that is always the same, so that a longer chain should not
    /// cost more.
    is_of_one_size: bool,
}

const fn compared(metric: &'static str, floor: &'static str, is_of_one_size: bool) -> Compared {
    Compared { metric, floor, is_of_one_size }
}

const COMPARED: &[Compared] = &[
    compared("w1_append", "f_append", true),
    compared("w1_append_cpu", "f_append_cpu", true),
    compared("w2_open", "f_open", true),
    compared("w2_scan", "f_scan", false),
    compared("w3_cold_join", "f_join", false),
    compared("w3_join_cpu", "f_join_cpu", true),
    compared("w4_latency_median", "f_latency_median", true),
    compared("w4_latency_p99", "f_latency_p99", true),
    compared("w4_burst1000", "f_burst1000", true),
    compared("w5_catchup", "f_catchup", true),
    compared("w5_catchup_cpu", "f_catchup_cpu", true),
];

/// What stands behind, or before `_cpu`, in the name of a metric of another shape than the plain one.
const SHAPES: &[&str] = &["", "_sealed", "_deep", "_authors", "_heads"];

/// The name of a metric of a shape.
fn shaped(metric: &str, shape: &str) -> [String; 2] {
    let before_cpu = metric.strip_suffix("_cpu").map(|metric| format!("{metric}{shape}_cpu"));
    [format!("{metric}{shape}"), before_cpu.unwrap_or_default()]
}

/// How much dearer a figure is than another, above 1 also where more is better.
fn ratio(figure: &Measurement, other: &Measurement) -> Option<f64> {
    let (above, below) = if figure.unit.ends_with("/s") { (other, figure) } else { (figure, other) };
    (figure.unit == other.unit && below.value > 0.0).then(|| above.value / below.value)
}

/// A line for each figure beside which there is another; nothing if there is none.
pub(super) fn table(measurements: &[Measurement]) -> Option<String> {
    let find = |metric: &str, n: u64, bytes: u64| {
        measurements.iter().find(|each| each.metric == metric && each.n == n && each.bytes == bytes)
    };
    let mut lines = Vec::new();
    for Compared { metric, floor, is_of_one_size } in COMPARED {
        for shape in SHAPES {
            let names = shaped(metric, shape);
            for each in measurements.iter().filter(|each| names.contains(&each.metric)) {
                let plain = measurements.iter().filter(|plain| plain.metric == *metric && plain.bytes == each.bytes);
                let shortest = plain.min_by_key(|plain| plain.n).filter(|plain| *is_of_one_size && plain.n < each.n);
                let others = [
                    find(floor, each.n, each.bytes),
                    find(metric, each.n, each.bytes).filter(|_| !shape.is_empty()),
                    shortest,
                ];
                let ratios = others.map(|other| ratio(each, other?));
                if ratios.iter().any(Option::is_some) {
                    let [floor, plain, shortest] =
                        ratios.map(|ratio| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")));
                    let (metric, n, bytes) = (&each.metric, each.n, each.bytes);
                    lines.push(format!("{metric:<26} {n:>8} {bytes:>6} {floor:>9} {plain:>9} {shortest:>9}"));
                }
            }
        }
    }
    let head = format!(
        "{:<26} {:>8} {:>6} {:>9} {:>9} {:>9}  how often as dear: as the floor, as the plain shape, as the shortest plain chain",
        "metric", "n", "bytes", "floor", "plain", "shortest"
    );
    (!lines.is_empty()).then(|| format!("{head}\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::super::Measurement;
    use super::table;

    fn measured(metric: &str, n: u64, value: f64, unit: &str) -> Measurement {
        let (system, metric, unit) = (String::new(), metric.to_owned(), unit.to_owned());
        Measurement { system, metric, n, bytes: 100, value, unit, cpu_s: 0.0 }
    }

    #[test]
    fn figures_stand_beside_their_floor_the_plain_shape_and_the_shortest_chain() {
        let measurements = [
            measured("w1_append_cpu", 1_000, 50.0, "us"),
            measured("w1_append_cpu", 100_000, 60.0, "us"),
            measured("w1_append_deep_cpu", 100_000, 75.0, "us"),
            measured("w3_cold_join", 1_000, 0.1, "s"),
            measured("w3_cold_join", 100_000, 10.0, "s"),
            measured("f_join", 1_000, 0.05, "s"),
            measured("w4_burst1000", 1_000, 10_000.0, "entries/s"),
            measured("f_burst1000", 1_000, 25_000.0, "entries/s"),
            measured("w5_catchup_cpu_heads", 1_000, 30.0, "ms"),
            measured("w5_catchup_cpu_worst", 1_000, 30.0, "ms"),
        ];
        let table = table(&measurements).expect("some stand beside others");
        let lines: Vec<String> =
            table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "w1_append_cpu 100000 100 - - 1.20",
            "w1_append_deep_cpu 100000 100 - 1.25 1.50",
            "w3_cold_join 1000 100 2.00 - -",
            "w4_burst1000 1000 100 2.50 - -",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_stands_alone_has_no_line() {
        assert_eq!(
            table(&[measured("w1_append", 1_000, 1.0, "entries/s"), measured("f_append", 1_000, 1.0, "s")]),
            None
        );
    }
}
