//! Why a session does not come about or ends.

use walytis_core::{BadSignature, ChainId, CodecError, Hash, PeerId};

use crate::invitation::InvitationId;

/// Why a flight or a frame is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// A flight or a frame is longer than one may be.
    #[error("{bytes} bytes are more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that there may be.
        max: usize,
    },
    /// A flight is not encoded as one, or is of a version that this program does not know.
    #[error("flight {flight}: {source}")]
    Codec {
        /// Which flight, from 1.
        flight: u8,
        /// What is wrong.
        source: CodecError,
    },
    /// A flight is of a suite that this program does not know.
    #[error("session suite {found} is not known: update the program")]
    Suite {
        /// The suite's number.
        found: u8,
    },
    /// A first flight is for a purpose that this program does not know.
    #[error("session purpose {found} is not known: update the program")]
    Purpose {
        /// The purpose's number.
        found: u8,
    },
    /// Both ends are this node.
    #[error("a node opens no session with itself")]
    Myself,
    /// A flight came from another peer than the one that it names.
    #[error("the flight is by peer {named}, but came from {connected}")]
    OtherSender {
        /// Who it says that it is from.
        named: PeerId,
        /// Who is at the other end of the connection.
        connected: PeerId,
    },
    /// A flight is for another peer.
    #[error("the flight is for peer {named}")]
    OtherReceiver {
        /// Whom it is for.
        named: PeerId,
    },
    /// A flight is for, or by, another device key than the one that is meant: a key may have been renewed.
    #[error("the flight names device key {named}, expected {expected}")]
    OtherKey {
        /// The key that it names.
        named: Hash,
        /// The key that it should name.
        expected: Hash,
    },
    /// The view knows no member's device with this key behind this peer.
    #[error("no member's device has key {key} and peer {peer}")]
    UnknownDevice {
        /// The key's name.
        key: Hash,
        /// The peer.
        peer: PeerId,
    },
    /// The group has no such invitation, or it is closed.
    #[error("group {group} has no open invitation {invitation}")]
    NotInvited {
        /// The group.
        group: ChainId,
        /// The invitation.
        invitation: InvitationId,
    },
    /// A signature does not hold.
    #[error("flight {flight}: {source}")]
    Signature {
        /// Which flight, from 1.
        flight: u8,
        /// What is wrong.
        source: BadSignature,
    },
    /// The fresh key of a first flight is malformed.
    #[error("the fresh key is malformed")]
    FreshKey,
    /// The responder does not have the session's keys.
    #[error("the responder has not confirmed the session's keys")]
    Confirmation,
    /// A third flight or a frame does not open: it was changed, repeated, moved or left out.
    #[error("a sealed frame does not open")]
    Sealed,
    /// A frame has failed before, or all numbers are used up; the session is over.
    #[error("the session is over")]
    Over,
}

impl SessionError {
    /// Whether the flight is of a version, suite or purpose that this program does not know: whoever sent it may be honest,
    /// and newer.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        match self {
            Self::Codec { source, .. } => source.is_newer(),
            Self::Suite { .. } | Self::Purpose { .. } => true,
            _ => false,
        }
    }
}
