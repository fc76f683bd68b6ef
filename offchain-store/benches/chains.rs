//! What appending to a chain and reading it cost, as lines of JSON.
//!
//! - `w1_append`: blocks of public content, signed by one author, each behind the one before, inserted by one task and made
//!   durable by another in groups of what waits, 64 under way; in an unsealed redb store. `w1_append_cpu` is the processor
//!   time of the last tenth of them, a block.
//! - `w1_alone`: the median of appending 1,000 more to that chain one at a time, from before a block is signed until it is
//!   durable; `w1_alone_commit` is that of their commits alone. No node is in it: `w4_latency` has one on each side.
//! - `w1_disk` is the file after it, `w1_disk_parents` what the ids of parents and previous blocks in headers and their
//!   positions in rows take of it; `w1_peak_rss` the most that the process held.
//! - `w2_open` is opening that file and asking for its heads, `w2_scan` reading every block of it then, `w2_rss` the most
//!   that a process that does both holds.
//! - `f_append` is the floor of `w1_append`: the same signatures and bytes under the same grouping, a row a block. `f_open`
//!   is redb alone opening that file and reading its last row, `f_scan` reading all of them.
//!
//! Other shapes have a name behind: `_sealed` is the same in a sealed store; `_deep` is as deep as the plain one, by two
//! authors in turn, so that each block has two parents; `_authors` has 200 authors who take turns, each behind all heads;
//! `_heads` keeps 10,000 concurrent heads, which are there before the first block that counts.
//!
//! Each is the best of several runs, each run a process of its own, and `_worst` is the worst of them. `--help` says which
//! options there are; picks choose metrics.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

#[cfg(unix)]
#[path = "chains/measure.rs"]
mod measure;

#[cfg(unix)]
#[path = "chains/options.rs"]
mod options;

#[cfg(unix)]
fn main() {
    measure::main();
}

#[cfg(not(unix))]
fn main() {}
