//! Leaf keys: what a device publishes on a group's chain so that epochs' seeds can be wrapped to it.

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use walytis_core::Hash;
use walytis_core::codec::array;
use zeroize::Zeroizing;

use crate::kem::{self, KemSuite};

/// Why a leaf key is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeafError {
    /// The key is of a suite that this program does not know.
    #[error("leaf key suite {found} is not known: update the program")]
    Suite {
        /// The suite's number.
        found: u8,
    },
    /// The bytes are not a key to which anything can be encapsulated.
    #[error("leaf key {key} is malformed")]
    Malformed {
        /// The key's name.
        key: Hash,
    },
}

/// The public key of one device for one group. It may be any bytes until [`LeafKey::check`] has accepted it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafKey {
    suite: u8,
    #[serde(with = "array")]
    xwing: [u8; Self::XWING_BYTES],
}

impl LeafKey {
    /// Bytes of an X-Wing public key; an encoded leaf key has one more, its suite's number, in front.
    pub const XWING_BYTES: usize = kem::PUBLIC_BYTES;

    /// The X-Wing key with these bytes, not checked yet.
    #[must_use]
    pub const fn from_bytes(xwing: [u8; Self::XWING_BYTES]) -> Self {
        Self { suite: KemSuite::XWing.number(), xwing }
    }

    /// The key's bytes without the suite.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::XWING_BYTES] {
        &self.xwing
    }

    /// The name of the key: a hash over its suite and its bytes.
    #[must_use]
    pub fn id(&self) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key("walytis v1 leaf key id");
        hasher.update(&[self.suite]);
        hasher.update(&self.xwing);
        Hash(*hasher.finalize().as_bytes())
    }

    /// Refuses what no device can hold: coefficients over ML-KEM's modulus, X25519 points of low order, and second
    /// encodings of a point.
    ///
    /// # Errors
    /// [`LeafError`] says which.
    pub fn check(&self) -> Result<(), LeafError> {
        self.suite()?;
        if !kem::is_public(&self.xwing) {
            return Err(LeafError::Malformed { key: self.id() });
        }
        Ok(())
    }

    pub(crate) fn suite(&self) -> Result<KemSuite, LeafError> {
        KemSuite::from_number(self.suite).ok_or(LeafError::Suite { found: self.suite })
    }
}

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeafKey({})", self.id())
    }
}

/// The secret of a [`LeafKey`], as a seed. It is made for one group and never leaves the device.
pub struct LeafSecret {
    seed: Zeroizing<[u8; Self::SEED_BYTES]>,
    expanded: kem::Expanded,
    public: LeafKey,
}

impl LeafSecret {
    /// Bytes of the stored form.
    pub const SEED_BYTES: usize = kem::SECRET_BYTES;

    /// Makes a new one.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::from_seed(&kem::generate(rng))
    }

    /// The one that a stored seed gives.
    #[must_use]
    pub fn from_seed(seed: &[u8; Self::SEED_BYTES]) -> Self {
        let expanded = kem::Expanded::new(seed);
        let public = LeafKey::from_bytes(expanded.public());
        Self { seed: Zeroizing::new(*seed), expanded, public }
    }

    /// The seed, to be stored sealed.
    #[must_use]
    pub fn seed(&self) -> &[u8; Self::SEED_BYTES] {
        &self.seed
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &LeafKey {
        &self.public
    }

    /// The shared secret that a ciphertext brings; `None` if its X25519 half has low order.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; kem::CIPHERTEXT_BYTES]) -> Option<kem::Shared> {
        self.expanded.decapsulate(ciphertext)
    }
}

impl fmt::Debug for LeafSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use walytis_core::codec::{decode, encode};

    use super::*;

    #[test]
    fn keys_survive_storage_and_the_wire() {
        let secret = LeafSecret::generate(&mut ChaCha20Rng::seed_from_u64(1));
        assert_eq!(LeafSecret::from_seed(secret.seed()).public(), secret.public());
        assert_eq!(secret.public().check(), Ok(()));
        let bytes = encode(secret.public());
        assert_eq!(bytes.len(), 1 + LeafKey::XWING_BYTES);
        assert_eq!(decode::<LeafKey>(&bytes).as_ref(), Ok(secret.public()));
    }

    #[test]
    fn malformed_keys_and_unknown_suites_are_refused_by_number() {
        let key = LeafSecret::generate(&mut ChaCha20Rng::seed_from_u64(2)).public().clone();
        let mut bytes = encode(&key);
        bytes[0] = 9;
        let other: LeafKey = decode(&bytes).unwrap();
        assert_eq!(other.check(), Err(LeafError::Suite { found: 9 }));
        assert_ne!(other.id(), key.id(), "the name binds the suite");
        let zero = LeafKey::from_bytes([0; LeafKey::XWING_BYTES]);
        assert_eq!(zero.check(), Err(LeafError::Malformed { key: zero.id() }));
    }

    #[test]
    fn the_secret_shows_nothing() {
        assert_eq!(format!("{:?}", LeafSecret::from_seed(&[7; 32])), "LeafSecret(..)");
    }
}
