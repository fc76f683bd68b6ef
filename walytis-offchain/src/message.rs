//! What devices say to each other inside a session.

use serde::{Deserialize, Serialize};
use walytis_core::codec::{self, AtMost, CodecError};
use walytis_core::limits::FOREIGN_ANCESTORS_MAX;
use walytis_core::{Address, HybridKey, HybridSignature, RawBlock};
use walytis_engine::sync::{self, SyncMessage};
use walytis_identities::SignedBinding;

/// The version of messages. Sessions with another version are not spoken.
const MESSAGE_VERSION: u8 = 1;

/// The most addresses that a device is believed to have.
pub const ADDRESSES_MAX: usize = 8;

/// Frames outside of a session, and the frames of sessions: the first byte says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The first flight of a handshake follows.
    Flight1 = 1,
    /// The second flight of a handshake follows.
    Flight2 = 2,
    /// The third flight of a handshake follows, with its first message.
    Flight3 = 3,
    /// The number of the session on this connection follows, in one byte, then a sealed message.
    Data = 4,
    /// A message about public chains follows, outside of any session.
    Public = 5,
}

const _: () = assert!(FrameKind::Public as u8 == walytis_engine::public::FRAME_KIND, "one number for both engines");

impl FrameKind {
    /// The kind that a frame's first byte names, if it names one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Flight1),
            2 => Some(Self::Flight2),
            3 => Some(Self::Flight3),
            4 => Some(Self::Data),
            5 => Some(Self::Public),
            _ => None,
        }
    }
}

/// What a joiner asks with. It travels with the handshake's third flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The joiner's keys for the group, signed by its device.
    pub joiner: SignedBinding,
    /// The invitation's public key.
    pub invitation: HybridKey,
    /// By the invitation's key, over the join transcript.
    pub proof: HybridSignature,
    /// The joiner's identity chains, parents first.
    #[serde(with = "AtMost::<FOREIGN_ANCESTORS_MAX, { RawBlock::BYTES_MIN }>")]
    pub identities: Vec<RawBlock>,
}

/// Why a joiner was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(from = "u32", into = "u32")]
#[non_exhaustive]
pub enum JoinRefusal {
    /// The invitation was used as often as it allows.
    #[error("the invitation is spent: ask for a new one")]
    Spent,
    /// The invitation has expired by the inviter's clock.
    #[error("the invitation has expired: ask for a new one")]
    Expired,
    /// What the joiner sent does not hold.
    #[error("the inviter found the request not valid: ask for a new invitation, and update both programs")]
    Invalid,
    /// The inviter cannot admit anybody, for a reason of its own.
    #[error("the inviter cannot admit anybody now: try again later, or another inviter")]
    Unable,
    /// The joiner is a member already, by keys that it does not have any more.
    #[error(
        "you are a member already, by keys that this home does not have: put back a copy of it that was made after you \
         joined, or make a new home and join with that"
    )]
    OtherKeys,
    /// The inviter's disk has no room to write that it admits anybody.
    #[error("the inviter's disk is full: try again once there is room, or another inviter")]
    NoRoom,
    /// For a reason of this number, which this program does not know. It is never sent.
    #[error("the inviter's program is newer, and so is its reason (number {0}): update this program")]
    Newer(u32),
}

impl From<u32> for JoinRefusal {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Spent,
            1 => Self::Expired,
            2 => Self::Invalid,
            3 => Self::Unable,
            4 => Self::OtherKeys,
            5 => Self::NoRoom,
            newer => Self::Newer(newer),
        }
    }
}

impl From<JoinRefusal> for u32 {
    fn from(refusal: JoinRefusal) -> Self {
        match refusal {
            JoinRefusal::Spent => 0,
            JoinRefusal::Expired => 1,
            JoinRefusal::Invalid => 2,
            JoinRefusal::Unable => 3,
            JoinRefusal::OtherKeys => 4,
            JoinRefusal::NoRoom => 5,
            JoinRefusal::Newer(number) => number,
        }
    }
}

/// The highest number of a [`Message`] that is known.
const MESSAGE_MAX: u32 = 4;
/// The number of [`Message::Sync`].
const SYNC: u8 = 1;
/// The highest number of an [`Attachment`] that is known.
const ATTACHMENT_MAX: u32 = 2;

/// One message inside a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Where I can be dialled.
    Hello {
        /// At most [`ADDRESSES_MAX`] addresses.
        #[serde(with = "AtMost::<ADDRESSES_MAX, 1>")]
        addresses: Vec<Address>,
    },
    /// About a chain's blocks.
    Sync(SyncMessage),
    /// Admit me.
    Join(Box<JoinRequest>),
    /// You are a member.
    Joined,
    /// You are not admitted.
    JoinRefused(JoinRefusal),
}

impl Message {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![MESSAGE_VERSION];
        bytes.extend_from_slice(&codec::encode(self));
        bytes
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not the one encoding of a message, or a list exceeds its bound. If the message is of
    /// a version or kind that this program does not know, [`CodecError::is_newer`] says so.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::expect_version(bytes, MESSAGE_VERSION)?;
        let encoded = bytes.get(1..).unwrap_or_default();
        codec::expect_kind(encoded, MESSAGE_MAX)?;
        if let Some((&SYNC, sync)) = encoded.split_first() {
            codec::expect_kind(sync, sync::MESSAGE_MAX)?;
        }
        let message: Self = codec::decode(bytes.get(1..).unwrap_or_default())?;
        let bounded = match &message {
            Self::Sync(sync) => sync.is_bounded(),
            _ => true,
        };
        if bounded { Ok(message) } else { Err(CodecError::Malformed) }
    }
}

/// What travels beside a block.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attachment {
    /// Private content, sealed under its epoch.
    Sealed(serde_bytes::ByteBuf),
    /// Private content in the clear, with what proves it; inside a session, to a member that may read it.
    Open(serde_bytes::ByteBuf),
    /// The receiver's wrap of an epoch.
    Wrap(serde_bytes::ByteBuf),
}

impl std::fmt::Debug for Attachment {
    /// Says what it is and how long: it may be content in the clear.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, bytes) = match self {
            Self::Sealed(bytes) => ("Sealed", bytes),
            Self::Open(bytes) => ("Open", bytes),
            Self::Wrap(bytes) => ("Wrap", bytes),
        };
        write!(f, "{name}({} bytes)", bytes.len())
    }
}

impl Attachment {
    /// The attachment's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads an attachment.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not one. If they are of a kind that this program does not know,
    /// [`CodecError::is_newer`] says so.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::expect_kind(bytes, ATTACHMENT_MAX)?;
        codec::decode(bytes)
    }
}
