use orion::hazardous::kdf::argon2::{Argon2, CostParams, ID, Sequential};
use zeroize::Zeroizing;

use crate::open_error::OpenError;

/// What guessing one passphrase costs: Argon2id's parameters.
///
/// The bounds hold for what is read from a file too: whoever can write the file makes its owner spend half a gibibyte
/// and some ten seconds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    iterations: u32,
    memory_kib: u32,
    lanes: u32,
}

impl KdfCost {
    /// Most passes over the memory.
    pub const ITERATIONS_MAX: u32 = 16;
    /// Most memory, in KiB (512 MiB).
    pub const MEMORY_KIB_MAX: u32 = 512 * 1024;
    /// Most lanes. They are computed one after the other.
    pub const LANES_MAX: u32 = 16;

    /// Three passes over 64 MiB in one lane: RFC 9106's second choice, but for its lanes, which would not run in
    /// parallel here. About 0.2 s.
    pub const DEFAULT: Self = Self { iterations: 3, memory_kib: 64 * 1024, lanes: 1 };

    /// The cheapest that Argon2id allows (one pass over 8 KiB). For tests, and for secrets that are random anyway.
    pub const MINIMUM: Self = Self { iterations: 1, memory_kib: 8, lanes: 1 };

    /// A cost of `iterations` (1 to 16) passes over `memory_kib` KiB (8 per lane to 524,288) in `lanes` (1 to 16).
    ///
    /// # Errors
    /// [`OpenError::Cost`] outside these bounds.
    pub fn new(iterations: u32, memory_kib: u32, lanes: u32) -> Result<Self, OpenError> {
        let within = (1..=Self::ITERATIONS_MAX).contains(&iterations)
            && (1..=Self::LANES_MAX).contains(&lanes)
            && memory_kib >= lanes.saturating_mul(8)
            && (memory_kib <= Self::MEMORY_KIB_MAX || walytis_core::mutant!(PayAnyCost));
        if within {
            Ok(Self { iterations, memory_kib, lanes })
        } else {
            Err(OpenError::Cost { iterations, memory_kib, lanes })
        }
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Lanes.
    #[must_use]
    pub const fn lanes(&self) -> u32 {
        self.lanes
    }

    /// Argon2id, version 1.3.
    pub(crate) fn stretch(&self, passphrase: &str, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let refused =
            |_| OpenError::Cost { iterations: self.iterations, memory_kib: self.memory_kib, lanes: self.lanes };
        let cost = CostParams::new(self.iterations, self.memory_kib, self.lanes).map_err(refused)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::<ID, Sequential>::derive_key(passphrase.as_bytes(), salt, &cost, None, None, key.as_mut_slice())
            .map_err(refused)?;
        Ok(key)
    }
}

impl Default for KdfCost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_out_of_bounds_are_refused() {
        let check = |iterations, memory_kib, lanes, expected: bool| {
            let cost = KdfCost::new(iterations, memory_kib, lanes);
            assert_eq!(cost.is_ok(), expected, "{iterations} {memory_kib} {lanes}");
        };
        check(1, 8, 1, true);
        check(16, 524_288, 16, true);
        check(0, 8, 1, false);
        check(17, 8, 1, false);
        check(1, 7, 1, false);
        check(1, 15, 2, false);
        check(1, 524_289, 1, false);
        check(1, u32::MAX, u32::MAX, false);
        check(1, 8, 0, false);
        check(1, 1024, 17, false);
    }
}
