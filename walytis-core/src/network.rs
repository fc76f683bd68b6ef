//! What a shell needs of a network: peers proven by key, and ordered frames between them.

use crate::{Address, PeerId};

/// The most bytes that one frame may have, its own framing aside. It carries a block with 1 MiB of content, its sealed
/// form padded by an eighth, keys and signatures; and it bounds what one peer can make us hold.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialer {
    /// This node did.
    Us,
    /// The peer did.
    Peer,
}

/// What happens on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// The node accepts connections at this address, which others can dial (it ends in `/p2p/<peer id>`).
    Listening {
        /// The full address.
        address: Address,
    },
    /// A peer, whose key the transport has proven, can be sent frames. Given once per peer, until `Disconnected`.
    Connected {
        /// The peer.
        peer: PeerId,
        /// Who opened the connection.
        dialer: Dialer,
        /// The peer's address as it was dialled, if we dialled it.
        address: Option<Address>,
    },
    /// The last connection to a peer is gone; frames under way may be lost.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// A frame arrived whole. Frames of one peer arrive in the order in which it sent them.
    Frame {
        /// Who sent it.
        peer: PeerId,
        /// Its bytes, at most [`FRAME_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// Dialling an address did not lead to a connection.
    DialFailed {
        /// The address that was dialled.
        address: Address,
        /// Why.
        reason: String,
    },
}

/// Why a network could not do what was asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// The address cannot be parsed or uses a transport that this network lacks.
    #[error("the address {address} cannot be used: {reason}")]
    Address {
        /// The address as given.
        address: Address,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer is not connected.
    #[error("peer {peer} is not connected")]
    NotConnected {
        /// The peer.
        peer: PeerId,
    },
    /// The frame is longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The network was shut down.
    #[error("the network is closed")]
    Closed,
}

/// Ordered, reliable frames between peers that are proven by their keys.
///
/// A frame that was sent either arrives whole, after all earlier ones to the same peer, or the peer is reported as
/// disconnected. Every queue inside is bounded: [`Network::send`] waits while the peer is slow.
#[async_trait::async_trait]
pub trait Network: Send + Sync {
    /// The key by which peers know this node.
    fn local_peer(&self) -> PeerId;

    /// Starts to accept connections at an address; `Listening` follows for each address that results.
    async fn listen(&self, address: Address) -> Result<(), NetworkError>;

    /// Starts to dial an address; `Connected` or `DialFailed` follows. If it ends in `/p2p/<peer id>`, another peer
    /// that answers there is refused. Dialling a peer that is connected already changes nothing, silently.
    async fn dial(&self, address: Address) -> Result<(), NetworkError>;

    /// Hands a frame to the transport, waiting while too many bytes to that peer are under way.
    async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError>;

    /// Ends every connection to a peer; `Disconnected` follows if there was one.
    async fn disconnect(&self, peer: PeerId);

    /// Waits for the next event; `None` once the network is closed. Only one caller may wait at a time.
    async fn next(&self) -> Option<NetworkEvent>;
}
