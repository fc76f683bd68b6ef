//! Private content: what stands on the chain, and what is sealed off it.

use orion::hazardous::aead::xchacha20poly1305::{Nonce, SecretKey, XChaCha20Poly1305};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use walytis_core::codec::{self, AtMost, CodecError};
use walytis_core::limits::{CONTENT_BYTES_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use walytis_core::{BlockId, ChainId, Hash, planted};
use walytis_identities::EpochKey;
use zeroize::Zeroizing;

/// The format version of private bodies, of sealed and of opened content.
pub const CONTENT_VERSION: u8 = 1;
/// The suite of sealed content: XChaCha20-Poly1305 under a key derived for this content alone.
const SEALING_SUITE: u8 = 1;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 2 + SALT_BYTES + NONCE_BYTES;

/// Why content is not what its block commits to.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentError {
    /// The encoding is not the strict one, or of an unknown version.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The content is sealed by an unknown suite.
    #[error("content sealed by suite {0} is not known: update the program")]
    Suite(u8),
    /// The content or its topics are too large.
    #[error("content has at most 1 MiB and 32 topics of at most 256 bytes")]
    TooLarge,
    /// The content does not open under the epoch's key, for this block.
    #[error("the content does not open")]
    Sealed,
    /// The content opens, but it is not the one that the block commits to.
    #[error("the content is not the one that its block commits to")]
    Commitment,
}

impl ContentError {
    /// Whether it is of a version or suite that this program does not know: whoever made it may be honest, and newer.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        match self {
            Self::Codec(error) => error.is_newer(),
            Self::Suite(_) => true,
            _ => false,
        }
    }

    /// The version or suite that is not known.
    pub(crate) fn number(&self) -> u32 {
        match self {
            Self::Codec(error) => error.number(),
            Self::Suite(suite) => u32::from(*suite),
            _ => 0,
        }
    }
}

/// What a private block shows on the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateBody {
    version: u8,
    /// Which overlay of the chain the content belongs to; 0 is the group's own.
    pub overlay: u32,
    /// The epoch under which the content is sealed.
    pub epoch: BlockId,
    /// The size class of the content: all that is shown of its length.
    pub size_class: u8,
    /// A keyed hash of topics, length and content. Without the key, which is sealed, nobody can confirm a guess.
    pub commitment: Hash,
}

impl PrivateBody {
    /// The body of a private block with this content.
    #[must_use]
    pub fn new(epoch: BlockId, content: &OpenContent) -> Self {
        let size_class = size_class(content.padded_from()).0;
        Self { version: CONTENT_VERSION, overlay: 0, epoch, size_class, commitment: content.commitment() }
    }

    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`ContentError`] if the bytes are not a body of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        Self::decode_as_of(bytes, CONTENT_VERSION)
    }

    /// As [`PrivateBody::decode`], by a program whose newest version is `newest`.
    pub(crate) fn decode_as_of(bytes: &[u8], newest: u8) -> Result<Self, ContentError> {
        codec::expect_version(bytes, CONTENT_VERSION.min(newest))?;
        Ok(codec::decode(bytes)?)
    }
}

/// Content in the clear, with the salt that proves that its block commits to it. Members keep it so, resealed at rest,
/// and give it so to members who may read it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenContent {
    version: u8,
    salt: [u8; SALT_BYTES],
    #[serde(with = "AtMost::<TOPICS_MAX, 1>")]
    topics: Vec<ByteBuf>,
    content: ByteBuf,
}

impl std::fmt::Debug for OpenContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenContent").field("bytes", &self.content.len()).finish_non_exhaustive()
    }
}

impl OpenContent {
    /// New content, with a fresh salt.
    ///
    /// # Errors
    /// [`ContentError::TooLarge`] beyond the limits of a block.
    pub fn new(topics: Vec<Vec<u8>>, content: Vec<u8>, rng: &mut dyn CryptoRng) -> Result<Self, ContentError> {
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let topics = topics.into_iter().map(ByteBuf::from).collect();
        Self { version: CONTENT_VERSION, salt, topics, content: ByteBuf::from(content) }.bounded()
    }

    fn bounded(self) -> Result<Self, ContentError> {
        let topics = self.topics.len() <= TOPICS_MAX && self.topics.iter().all(|topic| topic.len() <= TOPIC_BYTES_MAX);
        if topics && self.content.len() <= CONTENT_BYTES_MAX { Ok(self) } else { Err(ContentError::TooLarge) }
    }

    /// The content's topics, in its author's order.
    pub fn topics(&self) -> impl Iterator<Item = &[u8]> {
        self.topics.iter().map(|topic| topic.as_slice())
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The bytes in which members keep and give the content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads content and checks it against what its block commits to.
    ///
    /// # Errors
    /// [`ContentError`] if it is anything else.
    pub fn decode(bytes: &[u8], body: &PrivateBody) -> Result<Self, ContentError> {
        codec::expect_version(bytes, CONTENT_VERSION)?;
        let content = codec::decode::<Self>(bytes)?.bounded()?;
        let commits = content.commitment() == body.commitment || planted!(SkipCommitment);
        if !commits || (size_class(content.padded_from()).0 != body.size_class && !walytis_core::mutant!(ShowAnySize)) {
            return Err(ContentError::Commitment);
        }
        Ok(content)
    }

    fn commitment(&self) -> Hash {
        let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX).to_le_bytes();
        let mut hasher = blake3::Hasher::new_keyed(&self.salt);
        hasher.update(b"walytis/content-commitment\0");
        hasher.update(&[CONTENT_VERSION]);
        hasher.update(&length(self.topics.len()));
        for topic in &self.topics {
            hasher.update(&length(topic.len()));
            hasher.update(topic);
        }
        hasher.update(&length(self.content.len()));
        hasher.update(&self.content);
        Hash(*hasher.finalize().as_bytes())
    }

    /// Bytes of the plaintext before it is padded: a length, then the encoding.
    fn padded_from(&self) -> usize {
        codec::encoded_bytes(self).saturating_add(4)
    }

    /// Seals the content for the readers of its epoch. Each sealing draws its own key and nonce, so nothing is counted
    /// and a restored snapshot repeats nothing.
    #[must_use]
    pub fn seal(&self, key: &EpochKey, place: &SealedPlace, rng: &mut dyn CryptoRng) -> Vec<u8> {
        let encoded = Zeroizing::new(self.encode());
        let padded = size_class(self.padded_from()).1;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(padded));
        plaintext.extend_from_slice(&u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_le_bytes());
        plaintext.extend_from_slice(&encoded);
        plaintext.resize(padded, 0);

        let mut random = [0; SALT_BYTES + NONCE_BYTES];
        if !planted!(ReuseNonce) {
            rng.fill_bytes(&mut random);
        }
        let mut sealed = vec![CONTENT_VERSION, SEALING_SUITE];
        sealed.extend_from_slice(&random);
        let (salt, nonce) = random.split_at(SALT_BYTES);
        let mut ciphertext = vec![0; padded + TAG_BYTES];
        let done = content_key(key, salt).zip(Nonce::try_from(nonce).ok()).is_some_and(|(key, nonce)| {
            XChaCha20Poly1305::seal(&key, &nonce, &plaintext, Some(&place.bytes()), &mut ciphertext).is_ok()
        });
        debug_assert!(done, "keys and nonces have their sizes");
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens sealed content and checks it against what its block commits to.
    ///
    /// # Errors
    /// [`ContentError`] if it does not open, or is not the block's.
    pub fn open(sealed: &[u8], key: &EpochKey, place: &SealedPlace, body: &PrivateBody) -> Result<Self, ContentError> {
        codec::expect_version(sealed, CONTENT_VERSION)?;
        match sealed.get(1) {
            Some(&SEALING_SUITE) => {}
            Some(suite) => return Err(ContentError::Suite(*suite)),
            None => return Err(ContentError::Sealed),
        }
        let (head, ciphertext) = sealed.split_at_checked(HEAD_BYTES).ok_or(ContentError::Sealed)?;
        let (salt, nonce) =
            head.get(2..).and_then(|rest| rest.split_at_checked(SALT_BYTES)).ok_or(ContentError::Sealed)?;
        let bytes = ciphertext.len().checked_sub(TAG_BYTES).ok_or(ContentError::Sealed)?;
        if class_bytes(body.size_class) != Some(bytes) {
            return Err(ContentError::Sealed);
        }
        let mut plaintext = Zeroizing::new(vec![0; bytes]);
        let key = content_key(key, salt).ok_or(ContentError::Sealed)?;
        let nonce = Nonce::try_from(nonce).map_err(|_| ContentError::Sealed)?;
        XChaCha20Poly1305::open(&key, &nonce, ciphertext, Some(&place.bytes()), &mut plaintext)
            .map_err(|_| ContentError::Sealed)?;
        let (length, rest) = plaintext.split_first_chunk::<4>().ok_or(ContentError::Sealed)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| ContentError::Sealed)?;
        let (encoded, padding) = rest.split_at_checked(length).ok_or(ContentError::Sealed)?;
        if padding.iter().any(|byte| *byte != 0) && !walytis_core::mutant!(PadWithAnything) {
            return Err(ContentError::Sealed);
        }
        Self::decode(encoded, body)
    }
}

/// Where sealed content belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedPlace {
    /// The chain.
    pub chain: ChainId,
    /// The block that commits to the content.
    pub block: BlockId,
    /// The epoch under which it is sealed.
    pub epoch: BlockId,
}

impl SealedPlace {
    fn bytes(&self) -> Vec<u8> {
        let block = if planted!(SealWithoutBlock) { [0; 32] } else { self.block.0 };
        let chain = if walytis_core::mutant!(SealWithoutChain) { [0; 32] } else { self.chain.0 };
        [&b"walytis/sealed-content\0"[..], &[CONTENT_VERSION, SEALING_SUITE], &chain, &block, &self.epoch.0].concat()
    }
}

fn content_key(epoch: &EpochKey, salt: &[u8]) -> Option<SecretKey> {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 content key");
    hasher.update(epoch.as_bytes());
    hasher.update(salt);
    let key = Zeroizing::new(*hasher.finalize().as_bytes());
    SecretKey::try_from(&key[..]).ok()
}

/// The smallest size class: 64 bytes.
const SMALLEST_BITS: u32 = 6;
/// From here on, classes are eighths of a power of two: 4 KiB.
const EIGHTHS_BITS: u32 = 12;

/// The class of a length, and the bytes to which it is padded: powers of two up to 4 KiB, then eighths of them.
fn size_class(bytes: usize) -> (u8, usize) {
    let mut class = 0_u8;
    loop {
        match class_bytes(class) {
            Some(padded) if padded < bytes => class = class.saturating_add(1),
            Some(padded) => return (class, padded),
            None => return (u8::MAX, bytes),
        }
    }
}

fn class_bytes(class: u8) -> Option<usize> {
    let powers = EIGHTHS_BITS - SMALLEST_BITS;
    let class = u32::from(class);
    if class <= powers {
        return 1_usize.checked_shl(SMALLEST_BITS + class);
    }
    let step = class - powers - 1;
    let base = 1_usize.checked_shl(EIGHTHS_BITS + step / 8).filter(|base| *base <= 2 * CONTENT_BYTES_MAX)?;
    let eighths = usize::try_from(step % 8 + 1).ok()?;
    Some(base + base / 8 * eighths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_grow_by_at_most_an_eighth_above_4_kib() {
        let mut last = 0;
        for class in 0..=u8::MAX {
            let Some(bytes) = class_bytes(class) else { break };
            assert!(bytes > last, "class {class}");
            assert!(bytes <= 4096 || (bytes - last) * 8 <= last, "class {class}: {last} -> {bytes}");
            assert_eq!(size_class(bytes), (class, bytes));
            assert_eq!(size_class(last + 1), (class, bytes));
            last = bytes;
        }
        assert!(last > CONTENT_BYTES_MAX + CONTENT_BYTES_MAX / 8);
    }
}
