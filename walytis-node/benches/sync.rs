//! What it costs that two nodes come to have the same public chain, as lines of JSON; see `--help` for the options.
//!
//! Two processes with an unsealed redb store each, over TCP on the loopback interface; both read the same monotonic clock.
//!
//! - `w3_cold_join`: from the call that joins a chain of n blocks until all of them are verified and durable. `w3_join_cpu`
//!   is the processor time of both processes, a block; `w3_wire` the bytes of all frames both ways, a block;
//!   `w3_wire_parents` those of them that name parents and previous blocks.
//! - `w4_latency_median` and `_p99`: from the call that adds a block at one until the application at the other has it, one at
//!   a time, 1,000 times, on a chain of n blocks. `w4_burst1000`: 1,000 blocks, 64 under way, until the last is there.
//! - `w5_catchup`: two nodes with n blocks in common and 100 more each, from the start of one until both have all.
//!   `w5_wire` are the bytes of all frames both ways, `w5_catchup_cpu` the processor time of both.
//!
//! The floors are the same work without nodes: two processes with blocking sockets and plain threads, no encryption, and
//! nothing to find out.
//!
//! - `f_join`, `f_join_cpu`: the n blocks are read from the store, sent raw in frames of the same size, verified, and written
//!   a row each in groups.
//! - `f_latency_median` and `_p99`: a block is signed, inserted into the chain and committed, sent, verified, inserted and
//!   committed. `f_burst1000`: the same with 64 under way, in groups, and a row each.
//! - `f_catchup`, `f_catchup_cpu`: one opens its store, each sends its 100 blocks, verifies the other's, inserts them into the
//!   chain and commits them as one batch.
//!
//! Frames are counted as they are handed to the transport: encryption and multiplexing add about 1 % and 28 bytes a frame.
//! Shapes have a name behind: `_authors` is a chain of 200 authors who take turns; `_heads` one whose last blocks, up to
//! 10,000, are concurrent; `_deep` is n blocks deep as the plain one, by two authors in turn, so that each block has two
//! parents.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

#[cfg(unix)]
#[path = "sync/floor.rs"]
mod floor;

#[cfg(unix)]
#[path = "sync/measure.rs"]
mod measure;

#[cfg(unix)]
#[path = "sync/node.rs"]
mod node;

#[cfg(unix)]
#[path = "sync/options.rs"]
mod options;

#[cfg(unix)]
#[path = "sync/second.rs"]
mod second;

#[cfg(unix)]
#[path = "sync/shape.rs"]
mod shape;

#[cfg(unix)]
fn main() {
    measure::main();
}

#[cfg(not(unix))]
fn main() {}
