//! Sums of ids, and what is told of them.

use serde::{Deserialize, Serialize};

use crate::{BlockId, ChainId};

/// How many blocks there are, and the sum of their ids modulo 2^256, most significant byte first. Sums of parts add up to
/// the sum of the whole, so that a store keeps sums of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many blocks.
    pub count: u64,
    /// The sum of their ids.
    pub ids: [u8; 32],
}

impl Sum {
    /// The sum of one id.
    #[must_use]
    pub const fn of(id: BlockId) -> Self {
        Self { count: 1, ids: id.0 }
    }

    /// Adds the blocks of another set that has none in common with this one.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        let mut carry = 0_u16;
        for (ours, theirs) in self.ids.iter_mut().zip(other.ids).rev() {
            let [high, low] = (u16::from(*ours) + u16::from(theirs) + carry).to_be_bytes();
            *ours = low;
            carry = u16::from(high);
        }
    }
}

/// What makes the marks of one comparison: who asks draws it, so that nobody can prepare blocks whose marks are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salt(pub [u8; 8]);

/// The key of the marks and short names of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// What stands for the blocks of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark(pub [u8; 8]);

/// What stands for a block in a list. Two of 10,000 blocks share one in one comparison of five million, and then one block
/// comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Short(pub [u8; 6]);

impl Key {
    /// The key for a chain and a salt.
    #[must_use]
    pub fn new(chain: ChainId, salt: Salt) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("walytis v1 comparison of sets");
        hasher.update(&salt.0).update(&chain.0);
        Self(*hasher.finalize().as_bytes())
    }

    /// The mark of a set.
    #[must_use]
    pub fn mark(&self, sum: &Sum) -> Mark {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&sum.count.to_be_bytes()).update(&sum.ids);
        Mark(hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// The short name of a block.
    #[must_use]
    pub fn short(&self, id: BlockId) -> Short {
        Short(blake3::keyed_hash(&self.0, &id.0).as_bytes().first_chunk().copied().unwrap_or_default())
    }
}
