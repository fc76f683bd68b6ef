//! Randomness for this crate's own tests.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// Repeatable bytes: BLAKE3 over a counter.
pub(crate) struct Counter {
    output: blake3::OutputReader,
}

impl Counter {
    pub(crate) fn new(seed: u64) -> Self {
        Self { output: blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof() }
    }
}

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.output.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.output.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.output.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Counter {}
