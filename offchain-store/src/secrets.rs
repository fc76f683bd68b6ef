use std::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What a passphrase's or a raw key's holder proves, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlockKind {
    /// Words that a person remembers, stretched by Argon2id.
    Passphrase,
    /// 32 random bytes that something else keeps (the system's key ring, a hardware token).
    Key,
}

impl fmt::Display for UnlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase => "passphrase",
            Self::Key => "raw key",
        })
    }
}

/// The secret that unlocks a key file. Zeroised when dropped; `Debug` shows nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Unlock(pub(crate) UnlockSecret);

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) enum UnlockSecret {
    Passphrase(String),
    Key([u8; 32]),
}

impl Unlock {
    /// A passphrase, taken byte by byte as it is: the same words in another Unicode normal form are another passphrase.
    #[must_use]
    pub fn passphrase(words: impl Into<String>) -> Self {
        Self(UnlockSecret::Passphrase(words.into()))
    }

    /// A raw key. It must be 32 uniformly random bytes: no Argon2id stretches it.
    #[must_use]
    pub fn key(bytes: [u8; 32]) -> Self {
        Self(UnlockSecret::Key(bytes))
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> UnlockKind {
        match self.0 {
            UnlockSecret::Passphrase(_) => UnlockKind::Passphrase,
            UnlockSecret::Key(_) => UnlockKind::Key,
        }
    }
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unlock(..)")
    }
}

/// The random secret from which every key of a store comes, with the store's random id. Zeroised when dropped; `Debug`
/// shows nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey {
    pub(crate) key: [u8; 32],
    pub(crate) store: [u8; RootKey::STORE_ID_BYTES],
}

impl RootKey {
    pub(crate) const STORE_ID_BYTES: usize = 16;
    /// The key and then the store's id, as the key file seals them.
    pub(crate) const BYTES: usize = 32 + Self::STORE_ID_BYTES;

    /// A new root key and store id.
    #[must_use]
    pub fn generate(random: &mut dyn CryptoRng) -> Self {
        let mut root = Self { key: [0; 32], store: [0; Self::STORE_ID_BYTES] };
        random.fill_bytes(&mut root.key);
        random.fill_bytes(&mut root.store);
        root
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; Self::BYTES]> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        let (key, store) = bytes.split_at_mut(32);
        key.copy_from_slice(&self.key);
        store.copy_from_slice(&self.store);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut root = Self { key: [0; 32], store: [0; Self::STORE_ID_BYTES] };
        let (key, store) = bytes.split_at(32);
        root.key.copy_from_slice(key);
        root.store.copy_from_slice(store);
        root
    }

    /// A key for one purpose; `context` is a constant that no other purpose uses.
    pub(crate) fn derive(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, &self.key))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let root = RootKey::from_bytes(&[0xAB; RootKey::BYTES]);
        let shown = [
            format!("{root:?}"),
            format!("{:?}", Unlock::passphrase("correct horse")),
            format!("{:#?}", Unlock::key([0xAB; 32])),
        ];
        assert_eq!(shown, ["RootKey(..)", "Unlock(..)", "Unlock(..)"]);
    }

    #[test]
    fn zeroising_leaves_nothing_behind() {
        let mut root = RootKey::from_bytes(&[0xAB; RootKey::BYTES]);
        root.zeroize();
        assert_eq!((root.key, root.store), ([0; 32], [0; 16]));
    }
}
