//! Wraps: an epoch's seed, encapsulated to each device that may read.

mod given;
mod list;

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use walytis_core::codec::{self, array};
use walytis_core::{CodecError, Hash};
use zeroize::{Zeroize, Zeroizing};

use crate::aead;
use crate::epoch_seed::{EpochContext, EpochSeed};
use crate::kem::{self, KemSuite};
use crate::leaf::{LeafError, LeafKey, LeafSecret};
use crate::merkle::WrapProof;

pub use given::GivenWrap;
pub use list::Wraps;

/// Bytes of a sealed seed.
const SEALED_BYTES: usize = 32 + aead::TAG_BYTES;

/// Why wraps are refused or do not open.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrapError {
    /// There is no device to wrap to.
    #[error("an epoch without devices")]
    Empty,
    /// There are more devices than one epoch may name.
    #[error("{devices} devices are more than the {max} of one epoch", max = Wraps::DEVICES_MAX)]
    TooMany {
        /// How many.
        devices: usize,
    },
    /// Two devices have the same leaf key.
    #[error("leaf key {leaf} is there twice")]
    Twice {
        /// The key's name.
        leaf: Hash,
    },
    /// A leaf key is malformed.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The list has another length than one with a wrap for each device.
    #[error("{found} bytes, where the wraps of {devices} devices have {expected}")]
    Length {
        /// The list's length.
        found: usize,
        /// The length that it should have.
        expected: usize,
        /// How many devices were expected.
        devices: usize,
    },
    /// The bytes are not a list of wraps.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A wrap is of a suite that this program does not know.
    #[error("wrap suite {found} is not known: update the program")]
    Suite {
        /// The suite's number.
        found: u8,
    },
    /// There is no wrap for a device that the epoch names.
    #[error("there is no wrap for leaf key {leaf}")]
    Missing {
        /// The key's name.
        leaf: Hash,
    },
    /// There is a wrap for a device that the epoch does not name, or the wraps are not in the order of their names.
    #[error("the wrap for leaf key {leaf} does not belong here")]
    Unexpected {
        /// The key's name.
        leaf: Hash,
    },
    /// The wraps are not those that the epoch's operation commits to.
    #[error("the wraps have the root {found}, the epoch names {expected}")]
    Root {
        /// The root in the operation.
        expected: Hash,
        /// The root of what was given.
        found: Hash,
    },
    /// A wrap does not open with this device's key in this epoch.
    #[error("the wrap for leaf key {leaf} does not open")]
    Sealed {
        /// The key's name.
        leaf: Hash,
    },
    /// What came out of a wrap is not the seed that the epoch's operation names.
    #[error("the wrap holds the seed {found}, the epoch names {expected}")]
    Seed {
        /// The hash in the operation.
        expected: Hash,
        /// The hash of what was wrapped.
        found: Hash,
    },
}

/// An epoch's seed for one device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrap {
    suite: u8,
    leaf: Hash,
    #[serde(with = "array")]
    ciphertext: [u8; kem::CIPHERTEXT_BYTES],
    #[serde(with = "array")]
    sealed_seed: [u8; SEALED_BYTES],
}

impl Wrap {
    /// Bytes of an encoded wrap: suite, name of the leaf key, ciphertext, sealed seed.
    pub const BYTES: usize = 1 + 32 + kem::CIPHERTEXT_BYTES + SEALED_BYTES;

    /// Wraps a seed to one device, whose key [`LeafKey::check`] has accepted.
    ///
    /// # Errors
    /// [`WrapError::Leaf`] if nothing can be encapsulated to the key.
    pub fn make(
        seed: &EpochSeed,
        key: &LeafKey,
        context: &EpochContext,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, WrapError> {
        let (suite, leaf) = (key.suite()?, key.id());
        let sent = kem::encapsulate(key.as_bytes(), rng);
        let (ciphertext, shared) = sent.ok_or(LeafError::Malformed { key: leaf })?;
        let associated = associated(suite, &leaf, &seed.hash(), context);
        let sealed = aead::seal(&sealing_key(&shared, &ciphertext, &associated), 0, &associated, seed.as_bytes());
        let mut sealed_seed = [0; SEALED_BYTES];
        if sealed.len() == SEALED_BYTES {
            sealed_seed.copy_from_slice(&sealed);
        }
        Ok(Self { suite: suite.number(), leaf, ciphertext, sealed_seed })
    }

    /// The name of the leaf key that opens it.
    #[must_use]
    pub const fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// Takes the seed out.
    ///
    /// # Errors
    /// [`WrapError::Suite`], [`WrapError::Sealed`] if the secret or the context is another one, or
    /// [`WrapError::Seed`] if the maker wrapped something else than the operation says.
    pub fn open(
        &self,
        secret: &LeafSecret,
        context: &EpochContext,
        expected_seed_hash: &Hash,
    ) -> Result<EpochSeed, WrapError> {
        let suite = KemSuite::from_number(self.suite).ok_or(WrapError::Suite { found: self.suite })?;
        let refused = || WrapError::Sealed { leaf: self.leaf };
        if self.leaf != secret.public().id() {
            return Err(refused());
        }
        let shared = secret.decapsulate(&self.ciphertext).ok_or_else(refused)?;
        let associated = associated(suite, &self.leaf, expected_seed_hash, context);
        let key = sealing_key(&shared, &self.ciphertext, &associated);
        let mut opened = aead::open(&key, 0, &associated, &self.sealed_seed).ok_or_else(refused)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if opened.len() == bytes.len() {
            bytes.copy_from_slice(&opened);
        }
        opened.zeroize();
        let seed = EpochSeed::from_bytes(&bytes);
        let found = seed.hash();
        if found != *expected_seed_hash && !walytis_core::mutant!(SkipSeedHash) {
            return Err(WrapError::Seed { expected: *expected_seed_hash, found });
        }
        Ok(seed)
    }

    /// Checks that this is one of the wraps that an epoch's operation commits to.
    ///
    /// # Errors
    /// [`WrapError::Root`] if it is not, or if the proof is of another shape.
    pub fn verify_proof(&self, proof: &WrapProof, expected_root: &Hash) -> Result<(), WrapError> {
        let found = proof.root(&codec::encode(self));
        // A proof of a wrong shape gives zeros, which no tree has as its root, whatever an operation claims.
        if (found != *expected_root || found == Hash([0; 32])) && !walytis_core::mutant!(SkipWrapProof) {
            return Err(WrapError::Root { expected: *expected_root, found });
        }
        Ok(())
    }
}

impl fmt::Debug for Wrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrap(to {})", self.leaf)
    }
}

/// What a wrap is bound to: suite, leaf key, seed hash and epoch.
fn associated(suite: KemSuite, leaf: &Hash, seed_hash: &Hash, context: &EpochContext) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 wrap context");
    hasher.update(&[suite.number()]);
    hasher.update(leaf.as_bytes());
    hasher.update(seed_hash.as_bytes());
    if !walytis_core::mutant!(WrapForAnyEpoch) {
        context.update(&mut hasher);
    }
    *hasher.finalize().as_bytes()
}

/// The key that seals a single seed: should randomness ever repeat, the seed's hash still keeps two seeds from being
/// sealed under one key.
fn sealing_key(shared: &kem::Shared, ciphertext: &[u8; kem::CIPHERTEXT_BYTES], associated: &[u8; 32]) -> aead::Key {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 wrap key");
    hasher.update(shared.as_ref());
    hasher.update(ciphertext);
    hasher.update(associated);
    Zeroizing::new(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests;
