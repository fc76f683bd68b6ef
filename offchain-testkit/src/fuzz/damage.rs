//! Damage of encodings, from a seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Half of the damage goes to so many first bytes, where numbers and lengths are dense.
const HEAD_BYTES: usize = 48;

/// Makes malformed inputs of honest ones. The same seed makes the same.
#[derive(Debug)]
pub struct Damager {
    rng: ChaCha20Rng,
}

impl Damager {
    /// A generator from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: ChaCha20Rng::seed_from_u64(seed) }
    }

    /// Another input than this one: one to three places of it are damaged.
    #[must_use]
    pub fn damaged(&mut self, honest: &[u8]) -> Vec<u8> {
        loop {
            let mut bytes = honest.to_vec();
            for _ in 0..=self.below(3) {
                self.damage(&mut bytes);
            }
            if bytes != honest {
                return bytes;
            }
        }
    }

    /// A number below a bound, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.rng.next_u64() % bound).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.rng.next_u32().to_le_bytes()[0]
    }

    fn place(&mut self, length: usize) -> usize {
        if self.rng.next_u32().is_multiple_of(2) { self.below(length.min(HEAD_BYTES)) } else { self.below(length) }
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(self.byte());
            return;
        }
        let at = self.place(bytes.len());
        match self.below(9) {
            0 => bytes[at] = self.byte(),
            1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes.insert(at, self.byte()),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => {
                for _ in 0..=self.below(8) {
                    bytes.push(self.byte());
                }
            }
            // A number that ends here goes on for no reason: how an overlong integer is made.
            6 => {
                bytes[at] |= 0x80;
                bytes.insert(at + 1, 0);
            }
            // A part of the bytes again, behind itself.
            7 => {
                let to = self.place(bytes.len());
                let part = bytes[at.min(to)..at.max(to)].to_vec();
                bytes.splice(at.max(to)..at.max(to), part);
            }
            // A length of nearly everything.
            _ => {
                let end = bytes.len().min(at + 5);
                bytes.splice(at..end, [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
            }
        }
    }
}
