//! The three flights' bytes, and what is signed over them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use walytis_core::codec::{self, CodecError, array};
use walytis_core::{
    ChainId, FRAME_BYTES_MAX, HYBRID_SIGNATURE_BYTES, Hash, HybridKey, HybridSignature, PeerId, Suite, Transcript,
};

use super::{OPERATIONS_BYTES_MAX, SessionError};
use crate::{aead, kem};

/// The version byte of every flight.
pub(super) const VERSION: u8 = 1;
/// Suite 1: X-Wing, hybrid signatures of suite 2, HKDF-SHA512, XChaCha20-Poly1305, BLAKE3.
pub(super) const SUITE: u8 = 1;
/// The number of purpose `Member`.
pub(super) const MEMBER: u8 = 1;
/// The number of purpose `Join`.
pub(super) const JOIN: u8 = 2;

/// Bytes of a key confirmation.
pub(super) const CONFIRMATION_BYTES: usize = 32;
/// The most bytes of a first flight, which is looked at before anything is known of its sender. The largest is one
/// with operations; all else in it takes less than 2 KiB.
const FIRST_BYTES_MAX: usize = OPERATIONS_BYTES_MAX + 2048;
/// The most bytes of a second flight: the one for a joiner has 6,511.
const SECOND_BYTES_MAX: usize = 8 * 1024;
/// The most bytes of first data: the third flight is one frame.
pub(super) const FIRST_DATA_BYTES_MAX: usize = FRAME_BYTES_MAX - 1 - HYBRID_SIGNATURE_BYTES - aead::TAG_BYTES;

/// The first flight between members.
#[derive(Serialize, Deserialize)]
pub(super) struct MemberFirst {
    pub(super) version: u8,
    pub(super) suite: u8,
    pub(super) purpose: u8,
    pub(super) initiator: PeerId,
    pub(super) responder: PeerId,
    pub(super) initiator_key: Hash,
    pub(super) responder_key: Hash,
    #[serde(with = "array")]
    pub(super) fresh: [u8; kem::PUBLIC_BYTES],
    #[serde(with = "serde_bytes")]
    pub(super) operations: Vec<u8>,
}

/// The first flight of a joiner: fields, and a signature over them by the invitation's key.
#[derive(Serialize, Deserialize)]
pub(super) struct JoinFirst {
    pub(super) fields: JoinFields,
    pub(super) signature: HybridSignature,
}

/// What a joiner's first flight says.
#[derive(Serialize, Deserialize)]
pub(super) struct JoinFields {
    pub(super) version: u8,
    pub(super) suite: u8,
    pub(super) purpose: u8,
    pub(super) initiator: PeerId,
    pub(super) responder: PeerId,
    pub(super) group: ChainId,
    pub(super) initiator_key: HybridKey,
    pub(super) invitation_key: HybridKey,
    #[serde(with = "array")]
    pub(super) fresh: [u8; kem::PUBLIC_BYTES],
}

/// The second flight: fields, the responder's signature over flight 1 and them, and its key confirmation.
#[derive(Serialize, Deserialize)]
pub(super) struct Second<K> {
    pub(super) fields: SecondFields<K>,
    pub(super) signature: HybridSignature,
    pub(super) confirmation: [u8; CONFIRMATION_BYTES],
}

/// What a second flight says; `K` is the responder's device key, by hash for a member and by value for a joiner.
#[derive(Serialize, Deserialize)]
pub(super) struct SecondFields<K> {
    pub(super) version: u8,
    pub(super) suite: u8,
    #[serde(with = "array")]
    pub(super) ciphertext: [u8; kem::CIPHERTEXT_BYTES],
    pub(super) responder_key: K,
}

/// A first flight that is encoded as one, and of a version, suite and purpose that are known.
pub(super) enum First {
    Member(Box<MemberFirst>),
    Join(Box<JoinFirst>),
}

impl First {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SessionError> {
        check_head(1, bytes, FIRST_BYTES_MAX)?;
        match bytes.get(2) {
            Some(&MEMBER) => {
                let first: Box<MemberFirst> = Box::new(parse(1, bytes)?);
                check_length(first.operations.len(), OPERATIONS_BYTES_MAX)?;
                Ok(Self::Member(first))
            }
            Some(&JOIN) => Ok(Self::Join(Box::new(parse(1, bytes)?))),
            Some(&found) => Err(SessionError::Purpose { found }),
            None => Err(SessionError::Codec { flight: 1, source: CodecError::Malformed }),
        }
    }

    pub(super) const fn peers(&self) -> (&PeerId, &PeerId) {
        match self {
            Self::Member(first) => (&first.initiator, &first.responder),
            Self::Join(first) => (&first.fields.initiator, &first.fields.responder),
        }
    }

    pub(super) const fn fresh(&self) -> &[u8; kem::PUBLIC_BYTES] {
        match self {
            Self::Member(first) => &first.fresh,
            Self::Join(first) => &first.fields.fresh,
        }
    }
}

impl<K: Serialize + DeserializeOwned> Second<K> {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SessionError> {
        check_head(2, bytes, SECOND_BYTES_MAX)?;
        parse(2, bytes)
    }
}

/// The bytes of a second flight in front of the confirmation.
pub(super) fn without_confirmation(second: &[u8]) -> &[u8] {
    second.split_last_chunk::<CONFIRMATION_BYTES>().map_or(second, |(unconfirmed, _)| unconfirmed)
}

/// Checks what a first or second flight begins with.
fn check_head(flight: u8, bytes: &[u8], max: usize) -> Result<(), SessionError> {
    check_length(bytes.len(), max)?;
    codec::expect_version(bytes, VERSION).map_err(|source| SessionError::Codec { flight, source })?;
    match bytes.get(1) {
        None | Some(&SUITE) => Ok(()),
        Some(&found) => Err(SessionError::Suite { found }),
    }
}

pub(super) const fn check_length(bytes: usize, max: usize) -> Result<(), SessionError> {
    if bytes > max { Err(SessionError::TooLong { bytes, max }) } else { Ok(()) }
}

fn parse<T: Serialize + DeserializeOwned>(flight: u8, bytes: &[u8]) -> Result<T, SessionError> {
    codec::decode(bytes).map_err(|source| SessionError::Codec { flight, source })
}

/// What the invitation's key signs: the encoded fields of a joiner's first flight.
pub(super) fn invitation_transcript(fields: &[u8]) -> Transcript {
    Transcript::new("session/invitation", Suite::Hybrid).field(fields)
}

/// What the responder signs: the first flight's hash, and the encoded fields of the second.
pub(super) fn responder_transcript(first: &Hash, fields: &[u8]) -> Transcript {
    Transcript::new("session/responder", Suite::Hybrid)
        .field(if walytis_core::mutant!(SignWithoutFirst) { &[] } else { first.as_bytes() })
        .field(fields)
}

/// What the initiator signs: the hash of flights 1 and 2, and what the third flight has besides.
pub(super) fn initiator_transcript(session: &Hash, first_data: &[u8]) -> Transcript {
    Transcript::new("session/initiator", Suite::Hybrid)
        .field(if walytis_core::mutant!(SignWithoutSession) { &[] } else { session.as_bytes() })
        .field(&[VERSION])
        .field(&blake3::derive_key(
            "walytis v1 session first data",
            if walytis_core::mutant!(SignWithoutFirstData) { &[] } else { first_data },
        ))
}

/// The hash of a first flight.
pub(super) fn first_hash(first: &[u8]) -> Hash {
    Hash(blake3::derive_key("walytis v1 session flight 1", first))
}

/// The hash of flight 1, and of flight 2 without the key confirmation.
pub(super) fn unconfirmed_hash(first: &Hash, second_unconfirmed: &[u8]) -> Hash {
    both("walytis v1 session unconfirmed", first, second_unconfirmed)
}

/// The hash of flights 1 and 2, which names the session.
pub(super) fn session_hash(first: &Hash, second: &[u8]) -> Hash {
    both("walytis v1 session flights 1 and 2", first, second)
}

fn both(context: &'static str, first: &Hash, second: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(first.as_bytes()).update(second);
    Hash(*hasher.finalize().as_bytes())
}
