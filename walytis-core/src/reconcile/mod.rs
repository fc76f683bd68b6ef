//! What one set of blocks has and another lacks, found by comparing ranges of them.
//!
//! Blocks are ordered by (generation, id). One side, which lacks something, tells for some ranges how many blocks it has
//! there and a mark of them; the other answers where its own are others, and tells the marks of parts of these ranges, or
//! asks for a list; once the ranges that differ are short, the first side lists what it has in them, and the other knows
//! what to send. This is range-based set reconciliation (Meyer, "Range-Based Set Reconciliation", 2023), with what chains
//! allow: sets that are closed under ancestors differ at their ends, so the first message has ranges that grow from the
//! highest generation down, each twice as long as the one above it, and not equal parts of the whole. One more round, and
//! the difference is known, however long the chain is.
//!
//! The answering side keeps nothing between two messages, and the asking side gives up after [`ROUNDS_MAX`].
//!
//! **Invariant:** the outcome is a hint. Marks are of sums, and who may write many blocks may make sums collide; so
//! whoever asked looks whether it holds the other's heads in the end, and asks in another way if it does not.

mod ask;
mod index;
mod message;
mod reply;
mod span;
mod sum;

pub use ask::{Asking, Next};
pub use index::{Index, Item};
pub use message::{Compare, Differ, Holding, Open, Part, Told, Where};
pub use reply::{Reply, reply};
pub(crate) use span::Sums;
pub use span::{Bound, Grid, Span};
pub use sum::{Key, Mark, Salt, Short, Sum};

/// The most ranges in one message. A ladder has 64 at most; more come of ranges that were divided.
pub const RANGES_MAX: usize = 512;

/// The most parts into which one message divides ranges, all together: at most 11 bytes each for counts below 2^21.
pub const PARTS_MAX: usize = 2048;

/// The most short names in one message, all lists together: 18 KiB.
pub const SHORTS_MAX: usize = 3072;

/// Ranges with at most so many blocks are listed, and not divided: a list of them is shorter than another round is worth.
pub const LISTED_MAX: u64 = 256;

/// About how many blocks a part has into which a range is divided. With fewer, there are more marks; with more, each part
/// that differs has a longer list.
const PART_BLOCKS: u64 = 8;

/// The most messages that the asking side sends to find one difference: each makes ranges shorter by a factor of 16 or
/// more, so an honest comparison of 2^40 blocks takes fewer.
pub const ROUNDS_MAX: u32 = 8;

/// The most blocks that are looked at one by one for one message, and the most that are sent for one comparison.
pub const LOOKED_AT_MAX: usize = 1 << 17;
