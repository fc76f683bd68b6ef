//! What appending to a chain and reading it cost, as lines of JSON.
//!
//! `w1_append`: blocks of public content, signed by one author, inserted by one task and made durable by another in groups
//! of what waits, 64 under way; in an unsealed redb store. `w1_append_cpu` is the processor time of the last tenth of
//! them, a block. `w1_disk` is the file after it, `w1_peak_rss` the most that the process held. `w2_open` is opening that
//! file and asking for its heads, `w2_scan` reading every block of it then, `w2_rss` the most that a process that does
//! both holds. `f_append` is the floor of `w1_append`: the same signatures and bytes under the same grouping, a row a
//! block. Other shapes have a name behind: `_sealed` is the same in a sealed store, `_heads` keeps 10,000 concurrent
//! heads, `_authors` has 200 authors who take turns, each behind all heads.
//!
//! Each is the best of several runs, each run a process of its own, and `_worst` is the worst of them. `--blocks=1000,...`
//! and `--bytes=100,...` choose sizes, `--runs=5` how often; picks choose metrics.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

#[cfg(unix)]
#[path = "chains/measure.rs"]
mod measure;

#[cfg(unix)]
fn main() {
    measure::main();
}

#[cfg(not(unix))]
fn main() {}
