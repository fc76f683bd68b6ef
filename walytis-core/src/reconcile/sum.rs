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
        let mut carry = false;
        for (ours, theirs) in self.ids.as_chunks_mut::<8>().0.iter_mut().zip(other.ids.as_chunks::<8>().0).rev() {
            let (sum, over) = u64::from_be_bytes(*ours).overflowing_add(u64::from_be_bytes(*theirs));
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            *ours = sum.to_be_bytes();
            carry = over || over_by_carry;
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

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    /// As on paper, a byte at a time.
    fn on_paper(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
        let (mut sum, mut carry) = ([0; 32], 0_u16);
        for place in (0..32).rev() {
            let [high, low] = (u16::from(left[place]) + u16::from(right[place]) + carry).to_be_bytes();
            (sum[place], carry) = (low, u16::from(high));
        }
        sum
    }

    #[test]
    fn sums_are_as_on_paper() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        // Of each three bytes one is 0 and one is 255, so that much is carried, and far.
        let mut id = || {
            let mut id = [0; 32];
            rng.fill_bytes(&mut id);
            id.map(|byte| match byte % 3 {
                0 => 0,
                1 => 255,
                _ => byte,
            })
        };
        for _ in 0..10_000 {
            let (left, right) = (id(), id());
            let mut sum = Sum::of(BlockId(left));
            sum.add(Sum::of(BlockId(right)));
            assert_eq!(sum, Sum { count: 2, ids: on_paper(left, right) });
        }
    }
}
