//! The format versions of blocks. A version fixes the hash, so that one header has one id.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::Hash;

/// The version of the format of a block's header.
///
/// A block's version is never below any parent's, so a chain that was moved to a newer one stays there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FormatVersion {
    /// 1: the id and the content's hash are BLAKE3. What chains begin with.
    #[default]
    V1,
    /// 2: they are SHA-256.
    V2,
}

impl FormatVersion {
    /// Every version that this program reads and writes, ascending.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];
    /// The newest of them.
    pub const NEWEST: Self = Self::V2;

    /// Its number, which is a header's first byte.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The version of a number, if this program knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// What the hash is called.
    #[must_use]
    pub const fn hash_name(self) -> &'static str {
        match self {
            Self::V1 => "BLAKE3",
            Self::V2 => "SHA-256",
        }
    }

    /// The version of the header that these bytes encode.
    pub(crate) fn of_header(bytes: &[u8]) -> Option<Self> {
        Self::from_number(*bytes.first()?)
    }

    /// The hash that the version fixes.
    pub(crate) fn hash(self, bytes: &[u8]) -> [u8; 32] {
        match self {
            Self::V1 => *blake3::hash(bytes).as_bytes(),
            Self::V2 => Sha256::digest(bytes).into(),
        }
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// In which format a block is made, and what it says for that about its ancestors;
/// [`format_at`](crate::chains::format_at) computes it. The default is version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// The version.
    pub version: FormatVersion,
    /// See [`Header::ancestry`](crate::Header::ancestry).
    pub ancestry: Option<Hash>,
}

/// A block of version 1, and through its parents' digests all below it, in the hash of version 2: its header and its
/// content, but not its signature, of which several can be right. A block of version 2 is its own digest by its id.
pub(crate) fn ancestor_digest(header: &[u8], content: &[u8], parents: impl Iterator<Item = Hash>) -> Hash {
    let length = u64::try_from(header.len()).unwrap_or(u64::MAX);
    let mut hasher = Sha256::new();
    // No header begins like this, so no digest is another block's id.
    hasher.update(b"walytis/ancestor\x00\x02");
    hasher.update(length.to_le_bytes());
    hasher.update(header);
    hasher.update(Sha256::digest(content));
    parents.for_each(|parent| hasher.update(parent.0));
    Hash(hasher.finalize().into())
}

/// All ancestors of a block, from its parents' digests in the header's order.
pub(crate) fn ancestry(parents: impl Iterator<Item = Hash>) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"walytis/ancestry\x00\x02");
    parents.for_each(|parent| hasher.update(parent.0));
    Hash(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A content that has the same old hash as another one, should somebody find it, is not bound by the header.
    #[test]
    fn a_digest_binds_the_content_beside_the_header_that_names_it() {
        let parents = || std::iter::once(Hash([1; 32]));
        let digest = |content: &[u8]| ancestor_digest(b"one header", content, parents());
        assert_eq!(digest(b"content"), digest(b"content"));
        assert_ne!(digest(b"content"), digest(b"another"));
    }
}
