//! What a shell needs of a network: peers proven by key, and ordered frames between them.

use std::fmt;

use crate::{Address, PeerId};

/// The most bytes that one frame may have, its own framing aside. It carries a block with 1 MiB of content, its sealed
/// form padded by an eighth, keys and signatures; and it bounds what one peer can make us hold.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The most addresses that a code names. A joiner needs one that works, tries all at once, and waits for those that do not;
/// and people pass codes on by hand: each address adds some 130 characters.
pub const CODE_ADDRESSES_MAX: usize = 4;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialer {
    /// This node did.
    Us,
    /// The peer did.
    Peer,
}

/// What a peer has earned, the least first. A network that has more visitors than places, or more bytes to hold than it may,
/// lets go of those first that have earned least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Merit {
    /// Nothing. To name a chain that is followed here earns nothing.
    #[default]
    Stranger,
    /// A person here invited or allowed it, or joins by its invitation.
    Invited,
    /// It let this node in on a public chain, or brought blocks there before others did.
    Follower,
    /// Its device is a member's of a private group of this node.
    Member,
}

impl Merit {
    /// What a peer counts as that had earned this, once somebody says that it has earned `said`: the greater of the two, for
    /// there are several ways to earn something. [`Merit::Stranger`] takes back all of it.
    #[must_use]
    pub fn once_said(self, said: Self) -> Self {
        if said == Self::Stranger { said } else { self.max(said) }
    }
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
    /// The node no longer accepts connections at this address: it, or the machine's network interface, has lost it.
    ListenEnded {
        /// The full address, as it was given by `Listening`.
        address: Address,
    },
    /// This machine has lost an address, or got one: whom it could not reach before, it may reach now. What was connected
    /// from an address that is gone is closed. Given at most every few seconds.
    AddressesChanged,
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
    /// A peer speaks another protocol than this node, so no frames can be exchanged with it; the connection ends. Given once
    /// for each such connection, if this node dialled the peer or the peer has merit.
    OtherProtocol(OtherProtocol),
    /// Somebody says that a peer is at this address, which ends in `/p2p/<peer id>`. Nothing is proven by it: whoever
    /// answers there still has to be that peer.
    Discovered {
        /// The full address.
        address: Address,
    },
}

/// A peer speaks a protocol of another number than this build. Neither side has done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherProtocol {
    /// The peer.
    pub peer: PeerId,
    /// The number that the peer speaks.
    pub theirs: u32,
    /// The number that this build speaks.
    pub ours: u32,
}

impl fmt::Display for OtherProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, theirs, ours } = self;
        let older = if theirs < ours { "that peer" } else { "this one" };
        write!(
            f,
            "peer {peer} speaks protocol {theirs}, and this build speaks {ours}: {older} needs a newer build of walytis"
        )
    }
}

/// What carries the frames of a direct connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// QUIC, over UDP.
    Quic,
}

/// How a connected peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// One side dialled the other.
    Direct(Carrier),
    /// Both sides met over a relay, and then dialled each other at the same moment, through their routers.
    HolePunched(Carrier),
    /// Everything passes through another node, which sees sizes and times, and no content.
    Relayed {
        /// That node; `None` if the peer's address names none.
        relay: Option<PeerId>,
    },
}

/// Where the address of a peer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// The caller gave it.
    Told,
    /// The peer answered a question to everybody on the local network (mDNS).
    LocalNetwork,
    /// It was looked up at other nodes (Kademlia).
    LookedUp,
    /// None was needed: the peer came to us.
    CameToUs,
}

/// How one connected peer was found and is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The peer.
    pub peer: PeerId,
    /// How it is reached.
    pub way: Way,
    /// Where its address came from.
    pub found: Found,
    /// The address as the connection shows it: the one dialled, or the one from which the peer came.
    pub address: Option<Address>,
}

/// What an engine remembers of a peer with which it shares something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// The peer.
    pub peer: PeerId,
    /// Whether it is connected and known as such: by a session, or by a chain that both follow.
    pub connected: bool,
    /// Whether it was found at an address that a person gave.
    pub given: bool,
    /// When it was heard of last, by this node's clock; `None` if it never was.
    pub last_seen_ms: Option<u64>,
    /// Where it was reached, or said that it can be.
    pub addresses: Vec<Address>,
}

impl KnownPeer {
    /// A peer of which nothing is known yet.
    #[must_use]
    pub const fn new(peer: PeerId) -> Self {
        Self { peer, connected: false, given: false, last_seen_ms: None, addresses: Vec::new() }
    }

    /// Adds what is known from elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.connected |= other.connected;
        self.given |= other.given;
        self.last_seen_ms = self.last_seen_ms.max(other.last_seen_ms);
        for address in other.addresses {
            if !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
    }
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

    /// Starts to accept connections at an address; `Listening` follows for each address that results, and `ListenEnded`
    /// when one is gone.
    async fn listen(&self, address: Address) -> Result<(), NetworkError>;

    /// Starts to dial an address; `Connected` or `DialFailed` follows. If it ends in `/p2p/<peer id>`, another peer
    /// that answers there is refused. Dialling a peer that is connected already changes nothing, silently.
    async fn dial(&self, address: Address) -> Result<(), NetworkError>;

    /// Hands a frame to the transport, waiting while too many bytes to that peer are under way.
    async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError>;

    /// Ends every connection to a peer; `Disconnected` follows if there was one.
    async fn disconnect(&self, peer: PeerId);

    /// Looks for addresses of a peer, as far as this network can: `Discovered` follows for each that is found. Nothing
    /// follows if none is, or if such a search is under way already.
    async fn find(&self, _peer: PeerId) {}

    /// Says what a peer has earned, connected or not, which counts for its later connections, too: see [`Merit::once_said`].
    /// A network may forget the peers that have earned least; each is a stranger again then.
    async fn set_merit(&self, _peer: PeerId, _merit: Merit) {}

    /// How each connected peer is reached. Empty if this network cannot tell.
    async fn routes(&self) -> Vec<Route> {
        Vec::new()
    }

    /// Waits for the next event; `None` once the network is closed. Only one caller may wait at a time.
    async fn next(&self) -> Option<NetworkEvent>;
}
