//! What it costs that two nodes come to have the same public chain, as lines of JSON.
//!
//! Two processes with an unsealed redb store each, over TCP on the loopback interface; both read the same monotonic clock.
//!
//! - `w3_cold_join`: from the call that joins a chain of n blocks until all of them are verified and durable. `w3_join_cpu`
//!   is the processor time of both processes, a block; `w3_wire` the bytes of all frames both ways, a block.
//! - `w4_latency_median` and `_p99`: from the call that adds a block at one until the application at the other has it, one at
//!   a time. `w4_burst1000`: 1,000 blocks, 64 under way, until the last is there.
//! - `w5_catchup`: two nodes with n blocks in common and 100 more each, from the start of one until both have all.
//!   `w5_wire` are the bytes of all frames both ways, `w5_catchup_cpu` the processor time of both.
//!
//! Frames are counted as they are handed to the transport: encryption and multiplexing add about 1 % and 28 bytes a frame.
//! `_authors` is a chain of 200 authors who take turns, `_heads` one with 10,000 concurrent heads.
//!
//! Each is the best of several runs, and `_worst` the worst of them. `--blocks=1000,...` and `--bytes=100,...` choose
//! sizes, `--runs=5` how often; picks choose metrics.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

#[cfg(unix)]
#[path = "sync/measure.rs"]
mod measure;

#[cfg(unix)]
#[path = "sync/node.rs"]
mod node;

#[cfg(unix)]
fn main() {
    measure::main();
}

#[cfg(not(unix))]
fn main() {}
