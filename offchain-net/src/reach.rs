//! How a network finds peers and is found by them, beyond the addresses that it is given.

use walytis_core::Address;

/// The most relays at which a node asks for a place, and the most nodes by which it looks others up. Each costs a
/// connection, and each relay one of the few addresses that peers are told.
pub const HELPERS_MAX: usize = 4;

/// How a network finds peers and is found by them. By default it does nothing of this: it dials what it is told to, and
/// accepts who comes.
///
/// What is off does not run: peers are not even told that the protocol is known. What each shows to whom is in the
/// project's `SECURITY.md`.
///
/// ```
/// use offchain_net::{Reach, RelayLimits};
///
/// let mut at_home = Reach::default();
/// at_home.mdns = true;
/// let mut public = Reach::default();
/// public.relay_server = Some(RelayLimits::default());
/// public.lookup_server = true;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// Finds nodes on the local network, and answers their questions there (mDNS): everybody on that network learns this
    /// node's peer id and addresses. Without multicast it finds nobody, and says so in the log.
    pub mdns: bool,
    /// Nodes by which peers are looked up, and which are told where this node is (Kademlia); empty: nobody is looked up.
    /// Full addresses, that end in `/p2p/<peer id>`. There are no others: no public network is joined. At most
    /// [`HELPERS_MAX`].
    pub bootstrap: Vec<Address>,
    /// Answers those who look peers up, and keeps what they tell of themselves: the other side of `bootstrap`.
    pub lookup_server: bool,
    /// Asks connected nodes to dial this one's addresses, to learn which work from outside; and does so for others
    /// (AutoNAT, version 2).
    pub autonat: bool,
    /// Dials addresses that lead through a relay.
    pub relay: bool,
    /// Relays at which this node asks for a place, so that others reach it through them. Full addresses, that end in
    /// `/p2p/<peer id>`. At most [`HELPERS_MAX`]. Counts as `relay`.
    pub relays: Vec<Address>,
    /// Relays the connections of others, within these limits.
    pub relay_server: Option<RelayLimits>,
    /// Tries to turn a relayed connection into a direct one: both sides dial each other at the same moment (DCUtR). Each
    /// is told the addresses at which third nodes see the other.
    pub hole_punching: bool,
    /// Asks the router to pass connections on to this node (UPnP).
    pub upnp: bool,
}

impl Reach {
    /// Whether addresses that lead through a relay are dialled.
    pub(crate) fn uses_relays(&self) -> bool {
        self.relay || !self.relays.is_empty()
    }

    /// Whether strangers may use connections to this node for more than frames.
    pub(crate) fn serves(&self) -> bool {
        self.looks_up() || self.autonat || self.relay_server.is_some()
    }

    /// Whether anything to do with looking peers up runs.
    pub(crate) fn looks_up(&self) -> bool {
        self.lookup_server || !self.bootstrap.is_empty()
    }
}

/// What a relay does for others at most. What is beyond is refused; a connection that reaches a limit is ended, and the
/// two nodes may ask for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayLimits {
    /// How many nodes may have a place, at which others reach them.
    pub places_max: usize,
    /// How many relayed connections there are at once; a fourth of them for one peer.
    pub connections_max: usize,
    /// How many bytes one relayed connection carries, both ways together.
    pub connection_bytes_max: u64,
    /// How many seconds one relayed connection lasts.
    pub connection_seconds_max: u32,
}

impl Default for RelayLimits {
    /// 128 places; 32 connections of 64 MiB and an hour. A node that catches up with more continues in its next one.
    fn default() -> Self {
        Self {
            places_max: 128,
            connections_max: 32,
            connection_bytes_max: 64 * 1024 * 1024,
            connection_seconds_max: 60 * 60,
        }
    }
}
