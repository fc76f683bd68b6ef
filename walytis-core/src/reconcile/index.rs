//! What is asked of a set of blocks.

use super::{Span, Sum};
use crate::BlockId;

/// A block in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Its generation.
    pub generation: u64,
    /// Its id.
    pub id: BlockId,
    /// Where the set keeps it.
    pub position: u64,
}

/// A set of blocks, as it is compared with another.
pub trait Index {
    /// Why it could not be read.
    type Error;

    /// One more than the highest generation; 0 for the empty set.
    fn generations(&self) -> u64;

    /// The sum of each of these ranges, which are ascending and do not overlap. `None` if more blocks would have to be
    /// looked at than [`LOOKED_AT_MAX`](super::LOOKED_AT_MAX).
    ///
    /// # Errors
    /// The store's.
    fn sums(&mut self, spans: &[Span]) -> Result<Option<Vec<Sum>>, Self::Error>;

    /// The blocks in these ranges, which are ascending and do not overlap, by generation: at most `limit`, the lowest
    /// generations first. Each comes with the number of its range.
    ///
    /// # Errors
    /// The store's.
    fn items(&mut self, spans: &[Span], limit: usize) -> Result<Vec<(usize, Item)>, Self::Error>;
}
