//! The seed of an epoch, and the key that it gives.

use std::fmt;

use rand_core::CryptoRng;
use walytis_core::{BlockId, ChainId, Hash};
use zeroize::Zeroizing;

/// What an epoch is of: a group, and the view of its maker. Everything derived or sealed for an epoch is bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochContext {
    group: ChainId,
    view: Vec<BlockId>,
}

impl EpochContext {
    /// The epoch of a group in the view with these heads of operations. Their order is of no matter.
    #[must_use]
    pub fn new(group: ChainId, view: &[BlockId]) -> Self {
        let mut view = view.to_vec();
        view.sort_unstable();
        view.dedup();
        Self { group, view }
    }

    /// The group.
    #[must_use]
    pub const fn group(&self) -> &ChainId {
        &self.group
    }

    /// The heads, in ascending order, each once.
    #[must_use]
    pub fn view(&self) -> &[BlockId] {
        &self.view
    }

    /// Adds the context to a hash: the group, the number of heads, the heads.
    pub(crate) fn update(&self, hasher: &mut blake3::Hasher) {
        hasher.update(self.group.as_bytes());
        hasher.update(&u64::try_from(self.view.len()).unwrap_or(u64::MAX).to_le_bytes());
        for head in &self.view {
            hasher.update(head.as_bytes());
        }
    }
}

/// The 32 random bytes of one epoch, from which its key derives. They are wrapped to each device that may read.
pub struct EpochSeed(Zeroizing<[u8; 32]>);

impl EpochSeed {
    /// Makes a new one.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self(seed)
    }

    /// The one that was stored.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*seed))
    }

    /// The bytes, to be stored sealed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash that the epoch's operation carries, so that every device can check what it was given.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(blake3::derive_key("walytis v1 epoch seed hash", self.0.as_ref()))
    }

    /// The epoch's key. No earlier epoch's secret enters, so one wrap is always enough.
    #[must_use]
    pub fn epoch_key(&self, context: &EpochContext) -> EpochKey {
        let mut hasher = blake3::Hasher::new_derive_key("walytis v1 epoch key");
        hasher.update(self.0.as_ref());
        if !walytis_core::mutant!(KeyForAnyView) {
            context.update(&mut hasher);
        }
        EpochKey(Zeroizing::new(*hasher.finalize().as_bytes()))
    }
}

impl fmt::Debug for EpochSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochSeed(..)")
    }
}

/// The key of one epoch, from which the key of each content derives.
pub struct EpochKey(Zeroizing<[u8; 32]>);

impl EpochKey {
    /// The one that was stored.
    #[must_use]
    pub fn from_bytes(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_bound_to_group_and_view() {
        let seed = EpochSeed::from_bytes(&[1; 32]);
        let (group, a, b) = (ChainId([2; 32]), BlockId([3; 32]), BlockId([4; 32]));
        let key = |group, view: &[BlockId]| *seed.epoch_key(&EpochContext::new(group, view)).as_bytes();
        assert_eq!(key(group, &[a, b]), key(group, &[b, a, a]), "a view is a set");
        let keys = [key(group, &[a, b]), key(group, &[a]), key(group, &[]), key(ChainId([5; 32]), &[a, b])];
        for (position, one) in keys.iter().enumerate() {
            assert!(!keys[position + 1..].contains(one), "two contexts share a key");
        }
        assert_ne!(EpochSeed::from_bytes(&[2; 32]).hash(), seed.hash());
    }

    #[test]
    fn the_secrets_show_nothing() {
        assert_eq!(format!("{:?}", EpochSeed::from_bytes(&[7; 32])), "EpochSeed(..)");
        assert_eq!(format!("{:?}", EpochKey::from_bytes(&[7; 32])), "EpochKey(..)");
    }
}
