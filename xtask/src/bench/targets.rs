//! The bench targets and what each measures.

use anyhow::{Result, ensure};

/// A bench target. It prints JSON lines, takes `--quick`, and measures what it is asked for by picks.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) package: &'static str,
    pub(super) name: &'static str,
    /// How its metrics begin; a shape, a percentile or `_worst` may stand behind.
    metrics: &'static [&'static str],
}

const TARGETS: &[Target] = &[
    Target {
        package: "offchain-store",
        name: "floor",
        metrics: &["f_single_commit", "f_group_commit_100", "sealed_single_commit", "sealed_group_commit_100"],
    },
    Target {
        package: "offchain-store",
        name: "chains",
        metrics: &[
            "w1_append",
            "w1_alone",
            "w1_alone_commit",
            "w1_disk",
            "w1_disk_parents",
            "w1_peak_rss",
            "w2_open",
            "w2_scan",
            "w2_rss",
            "f_append",
            "f_open",
            "f_scan",
        ],
    },
    Target {
        package: "offchain-net",
        name: "floor",
        metrics: &["f_transfer_100B", "f_transfer_100B_quic", "tcp_pingpong_100B", "f_sign_verify"],
    },
    Target {
        package: "walytis-node",
        name: "sync",
        metrics: &[
            "w3_cold_join",
            "w3_join_cpu",
            "w3_wire",
            "w3_wire_parents",
            "w4_latency_median",
            "w4_latency_p99",
            "w4_burst1000",
            "w5_catchup",
            "w5_catchup_cpu",
            "w5_wire",
            "f_join",
            "f_join_cpu",
            "f_latency_median",
            "f_latency_p99",
            "f_burst1000",
            "f_catchup",
            "f_catchup_cpu",
        ],
    },
    Target {
        package: "walytis-cli",
        name: "walytis",
        metrics: &["p1_private_append", "p4_private_latency", "p7_idle_cpu"],
    },
    Target { package: "offchain-testkit", name: "swarm", metrics: &["sim_seeds_per_second"] },
    Target { package: "offchain-testkit", name: "strangers", metrics: &["h_stranger_frame", "h_first_flight"] },
];

impl Target {
    /// Whether a metric is one that the target is known for.
    pub(super) fn measures(&self, metric: &str) -> bool {
        self.metrics.iter().any(|known| metric.starts_with(known))
    }

    fn is_meant_by(&self, pick: &str) -> bool {
        self.metrics.iter().any(|known| known.starts_with(pick)) || self.measures(pick)
    }
}

/// The targets that measure what is picked, each with the picks that mean something to it.
///
/// # Errors
/// A pick means nothing to any of them.
pub(super) fn chosen(picks: &[String]) -> Result<Vec<(&'static Target, Vec<&String>)>> {
    let lost: Vec<&str> = picks
        .iter()
        .filter(|pick| !TARGETS.iter().any(|target| target.is_meant_by(pick)))
        .map(String::as_str)
        .collect();
    let known: Vec<String> = TARGETS.iter().map(|target| format!("  {}", target.metrics.join(" "))).collect();
    ensure!(lost.is_empty(), "no metric begins with {}; there are:\n{}", lost.join(", "), known.join("\n"));
    let with_picks = |target: &'static Target| {
        let meant: Vec<&String> = picks.iter().filter(|pick| target.is_meant_by(pick)).collect();
        (picks.is_empty() || !meant.is_empty()).then_some((target, meant))
    };
    Ok(TARGETS.iter().filter_map(with_picks).collect())
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn each_pick_goes_where_it_means_something() {
        let check = |picks: &[&str], expected: &[(&str, &[&str])]| {
            let picks: Vec<String> = picks.iter().map(|pick| (*pick).to_owned()).collect();
            let found = chosen(&picks).expect("they mean something");
            let found: Vec<_> = found.iter().map(|(target, picks)| (target.name, picks.as_slice())).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((name, picks), (expected_name, expected)) in found.iter().zip(expected) {
                assert_eq!((name, picks.len()), (expected_name, expected.len()));
                assert!(picks.iter().zip(*expected).all(|(pick, expected)| pick == expected), "{picks:?}");
            }
        };
        check(&["w1", "w3_wire"], &[("chains", &["w1"]), ("sync", &["w3_wire"])]);
        check(&["w5_catchup_cpu_heads"], &[("sync", &["w5_catchup_cpu_heads"])]);
        check(&["f_sign_verify_median"], &[("floor", &["f_sign_verify_median"])]);
        let all: [(&str, &[&str]); 7] =
            ["floor", "chains", "floor", "sync", "walytis", "swarm", "strangers"].map(|name| (name, &[][..]));
        check(&[], &all);
    }

    #[test]
    fn a_pick_that_means_nothing_is_named_beside_what_there_is() {
        let error = chosen(&["w1".to_owned(), "w9".to_owned()]).expect_err("w9 is none").to_string();
        assert!(
            error.starts_with("no metric begins with w9; there are:") && error.contains("w3_wire_parents"),
            "{error}"
        );
    }
}
