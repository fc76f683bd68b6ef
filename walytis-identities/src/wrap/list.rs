//! The list of all wraps of one epoch, and its encoding.

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use walytis_core::codec::AtMost;
use walytis_core::{Hash, codec};

use super::{Wrap, WrapError};
use crate::epoch_seed::{EpochContext, EpochSeed};
use crate::kem::KemSuite;
use crate::leaf::{LeafKey, LeafSecret};
use crate::merkle::{self, WrapProof};

/// The version byte of the encoded list.
const VERSION: u8 = 1;

/// All wraps of one epoch, in the order of the leaf keys' names, each name once.
#[derive(Clone, PartialEq, Eq)]
pub struct Wraps {
    pub(super) wraps: Vec<Wrap>,
}

/// The list as it is encoded.
#[derive(Serialize, Deserialize)]
struct Listed(#[serde(with = "AtMost::<{ Wraps::DEVICES_MAX }, { Wrap::BYTES }>")] Vec<Wrap>);

impl Wraps {
    /// The most devices of one epoch: the list has 4.9 MB then, and making it takes about a second.
    pub const DEVICES_MAX: usize = 4096;

    /// Wraps a seed to each device that may read, whose keys [`LeafKey::check`] has accepted.
    ///
    /// # Errors
    /// [`WrapError`] if there are no devices or too many, or if a key is there twice or nothing can be encapsulated to it.
    pub fn make(
        seed: &EpochSeed,
        keys: &[LeafKey],
        context: &EpochContext,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, WrapError> {
        check_count(keys.len())?;
        let mut wraps = Vec::with_capacity(keys.len());
        for key in keys {
            wraps.push(Wrap::make(seed, key, context, rng)?);
        }
        wraps.sort_unstable_by_key(|wrap| wrap.leaf);
        let twice = wraps.windows(2).find_map(|pair| match pair {
            [one, next] if one.leaf == next.leaf => Some(one.leaf),
            _ => None,
        });
        if let Some(leaf) = twice {
            return Err(WrapError::Twice { leaf });
        }
        Ok(Self { wraps })
    }

    /// The encoding: a version byte, then the wraps.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(codec::encode(&self.wraps));
        bytes
    }

    /// Takes a list that a peer gave: it must have exactly one wrap for each device that the epoch names, and the root
    /// that the epoch's operation commits to.
    ///
    /// # Errors
    /// [`WrapError`] if anything about it is otherwise.
    pub fn decode(bytes: &[u8], expected_root: &Hash, expected_leaves: &[Hash]) -> Result<Self, WrapError> {
        let mut expected = expected_leaves.to_vec();
        expected.sort_unstable();
        expected.dedup();
        check_count(expected.len())?;
        codec::expect_version(bytes, VERSION)?;
        let length = encoded_bytes(expected.len());
        if bytes.len() != length {
            return Err(WrapError::Length { found: bytes.len(), expected: length, devices: expected.len() });
        }
        let Listed(wraps) = codec::decode(bytes.get(1..).unwrap_or_default())?;
        let named = |leaf: &Hash| expected.binary_search(leaf).is_ok();
        for (position, leaf) in expected.iter().enumerate() {
            match wraps.get(position) {
                Some(wrap) if KemSuite::from_number(wrap.suite).is_none() => {
                    return Err(WrapError::Suite { found: wrap.suite });
                }
                Some(wrap) if wrap.leaf == *leaf => {}
                Some(wrap) if !named(&wrap.leaf) || wrap.leaf < *leaf => {
                    return Err(WrapError::Unexpected { leaf: wrap.leaf });
                }
                _ => return Err(WrapError::Missing { leaf: *leaf }),
            }
        }
        let wraps = Self { wraps };
        let found = wraps.root();
        if found != *expected_root && !walytis_core::mutant!(SkipWrapsRoot) {
            return Err(WrapError::Root { expected: *expected_root, found });
        }
        Ok(wraps)
    }

    /// The Merkle root over all wraps, which the epoch's operation carries.
    #[must_use]
    pub fn root(&self) -> Hash {
        merkle::root(&self.wraps.iter().map(codec::encode).collect::<Vec<_>>())
    }

    /// What proves that the wrap for a leaf key is one of these, so that it can be given out alone.
    #[must_use]
    pub fn proof(&self, leaf: &Hash) -> Option<WrapProof> {
        let position = self.wraps.binary_search_by_key(leaf, |wrap| wrap.leaf).ok()?;
        merkle::proof(&self.wraps.iter().map(codec::encode).collect::<Vec<_>>(), position)
    }

    /// A proof for each wrap, in their order.
    pub(super) fn proofs(&self) -> Vec<WrapProof> {
        merkle::proofs(&self.wraps.iter().map(codec::encode).collect::<Vec<_>>())
    }

    /// The wrap for a leaf key.
    #[must_use]
    pub fn get(&self, leaf: &Hash) -> Option<&Wrap> {
        self.wraps.get(self.wraps.binary_search_by_key(leaf, |wrap| wrap.leaf).ok()?)
    }

    /// All wraps, in the order of their leaf keys' names.
    pub fn iter(&self) -> impl Iterator<Item = &Wrap> {
        self.wraps.iter()
    }

    /// Takes the seed out of this device's wrap.
    ///
    /// # Errors
    /// [`WrapError::Missing`] if there is none for this secret; otherwise as [`Wrap::open`].
    pub fn open(
        &self,
        secret: &LeafSecret,
        context: &EpochContext,
        expected_seed_hash: &Hash,
    ) -> Result<EpochSeed, WrapError> {
        let leaf = secret.public().id();
        self.get(&leaf).ok_or(WrapError::Missing { leaf })?.open(secret, context, expected_seed_hash)
    }
}

impl fmt::Debug for Wraps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wraps(for {} devices)", self.wraps.len())
    }
}

fn check_count(devices: usize) -> Result<(), WrapError> {
    match devices {
        0 => Err(WrapError::Empty),
        1..=Wraps::DEVICES_MAX => Ok(()),
        _ => Err(WrapError::TooMany { devices }),
    }
}

/// The length of the list of so many wraps: the version, the count as a varint, the wraps.
pub(super) const fn encoded_bytes(devices: usize) -> usize {
    let count = if devices < 128 { 1 } else { 2 };
    1 + count + devices.saturating_mul(Wrap::BYTES)
}
