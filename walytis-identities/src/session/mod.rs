//! Sessions between two devices, inside a transport that has proven both PeerIds.
//!
//! Three flights, of which the third carries data (SIGMA-I with a KEM): [`Initiator`] makes the first and becomes
//! [`Ready`] by the second; [`Responder`] answers the first; the third gives both a [`Session`].
//!
//! **Invariant:** every signature is over a transcript of our own that names both PeerIds, both device keys and both
//! sides' fresh keys, directly or by a hash; a responder serves and changes nothing before the third flight holds.

mod error;
mod flight;
mod frames;
mod initiator;
mod responder;
mod schedule;
#[cfg(test)]
mod tests;

use walytis_core::{ChainId, Hash, HybridKey, HybridSecret, PeerId};

pub use error::SessionError;
pub use frames::Session;
pub use initiator::{Initiator, Ready};
pub use responder::{Asks, FirstFlight, Responder};

use crate::invitation::InvitationId;

/// The most bytes of operations in a first flight: what a responder must look at for a device that it does not know.
pub const OPERATIONS_BYTES_MAX: usize = 64 * 1024;

/// This device, in one handshake.
#[derive(Clone, Copy, Debug)]
pub struct LocalDevice<'a> {
    /// The device's key.
    pub secret: &'a HybridSecret,
    /// The key by which the transport knows this node.
    pub peer: PeerId,
}

/// What a responder's current view says about who may open sessions.
pub trait Directory {
    /// The key with this name, if it is of a device that is a member now and whose binding names this transport peer.
    fn device(&self, key: &Hash, peer: &PeerId) -> Option<HybridKey>;

    /// Whether this group has an invitation of this name that is open, and that this node may admit by.
    fn invites(&self, group: &ChainId, invitation: &InvitationId) -> bool;

    /// As [`Directory::device`], for a key that is newer than the view: `operations`, which a peer sent and nobody has
    /// verified, may lead to it. Nothing may change by them.
    fn newer_device(&self, key: &Hash, peer: &PeerId, operations: &[u8]) -> Option<HybridKey> {
        let _ = (key, peer, operations);
        None
    }
}

/// Whether a first flight says that it is a joiner's. Nothing of it is verified.
#[must_use]
pub fn asks_to_join(first: &[u8]) -> bool {
    // Behind version and suite.
    first.get(2) == Some(&flight::JOIN)
}

/// What a session is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// 1: two members' devices, for every chain that both hold.
    Member,
    /// 2: a joiner asks to be admitted, and is served nothing else.
    Join {
        /// The group.
        group: ChainId,
        /// The invitation whose secret the joiner has.
        invitation: InvitationId,
    },
}

impl Purpose {
    /// The purpose's number in a first flight.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Member => flight::MEMBER,
            Self::Join { .. } => flight::JOIN,
        }
    }
}

/// Which of two sessions that were started at the same time stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// The one that this node started.
    Mine,
    /// The one that the peer started.
    Theirs,
}

/// Of two sessions that two nodes started with each other at the same time, the one started by the lower PeerId stays.
/// Both nodes decide alike without a word.
#[must_use]
pub fn choose(me: &PeerId, them: &PeerId) -> Stays {
    if me < them { Stays::Mine } else { Stays::Theirs }
}
