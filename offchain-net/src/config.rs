//! The limits of a network, with their reasons.

use std::time::Duration;

use crate::reach::Reach;

/// Settings of a network. The defaults suit a node that talks to tens of peers.
///
/// ```
/// let mut config = offchain_net::NetConfig::default();
/// config.incoming_max = 16; // A phone.
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetConfig {
    /// How many connections from others may be open at once. A fourth of them is kept for peers that have earned something
    /// ([`Merit`](walytis_core::Merit)), an eighth is what strangers from one IPv4 address or IPv6 /64 have, and three
    /// eighths what those from one /24 or /48 have.
    pub incoming_max: u32,
    /// How many connections that we dialled may be open at once. Counted apart from those of others, so that strangers
    /// cannot take the places that we need for reaching our own peers.
    pub outgoing_max: u32,
    /// How long a connection may last without carrying the frame stream, in milliseconds. It ends connections that
    /// speak another protocol, and the spare ones when two nodes have dialled each other at once.
    pub open_timeout_ms: u64,
    /// How long a peer may make no progress, in milliseconds, while bytes to it wait or a frame of it is incomplete.
    /// Then it is disconnected, so that sending never hangs for ever.
    pub stall_timeout_ms: u64,
    /// After how many quiet milliseconds a connection over TCP, or through a relay, is asked for a sign of life. Every 10 s
    /// cost a quiet pair of nodes two small packets each way, some 50 bytes a second, and a phone's radio its sleep: a host
    /// that must save power raises this and [`NetConfig::silence_timeout_ms`], and then notices later that a peer is gone.
    pub ping_interval_ms: u64,
    /// After how many milliseconds without a byte from a peer its connection is given up. Longer than
    /// [`NetConfig::ping_interval_ms`] by several round trips on a bad link; what arrives of a long transfer counts as well
    /// as an answer does. A dead connection is so noticed within 20 s.
    pub silence_timeout_ms: u64,
    /// How long the answer to a question may take that is asked because a connection may be dead: an address of this
    /// machine is gone, or the peer connects anew. In milliseconds; several round trips on a bad link.
    pub probe_timeout_ms: u64,
    /// How peers are found, and how they find us.
    pub reach: Reach,
    /// The number of the protocol that is spoken, which is [`PROTOCOL_NUMBER`](crate::PROTOCOL_NUMBER). Another one is for
    /// tests: such a network and one of this build tell each other both numbers, and part.
    pub protocol: u32,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            incoming_max: 128,
            outgoing_max: 128,
            open_timeout_ms: 20_000,
            stall_timeout_ms: 60_000,
            ping_interval_ms: 10_000,
            silence_timeout_ms: 18_000,
            probe_timeout_ms: 3_000,
            reach: Reach::default(),
            protocol: crate::PROTOCOL_NUMBER,
        }
    }
}

impl NetConfig {
    pub(crate) fn open_timeout(&self) -> Duration {
        Duration::from_millis(self.open_timeout_ms)
    }

    pub(crate) fn stall_timeout(&self) -> Duration {
        Duration::from_millis(self.stall_timeout_ms)
    }

    pub(crate) fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }

    pub(crate) fn silence_timeout(&self) -> Duration {
        Duration::from_millis(self.silence_timeout_ms)
    }

    pub(crate) fn probe_timeout(&self) -> Duration {
        Duration::from_millis(self.probe_timeout_ms)
    }

    /// How often QUIC proves a quiet connection alive. What it sends then starts its idle time anew, so that a dead
    /// connection is given up after both, which is the silence that is allowed. Home routers forget a quiet UDP flow after
    /// 30 s.
    pub(crate) fn quic_keep_alive(&self) -> Duration {
        self.silence_timeout() / 3
    }

    /// After how many milliseconds without a packet QUIC gives a connection up: two keep-alives.
    pub(crate) fn quic_idle_ms(&self) -> u32 {
        u32::try_from(self.silence_timeout_ms / 3 * 2).unwrap_or(u32::MAX)
    }
}

/// Connections per peer: TCP and QUIC, each dialled by both sides at once. Honest nodes never need more.
pub(crate) const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// Handshakes of others under way. One costs a millisecond of work and a socket, and ends after [`HANDSHAKE_TIMEOUT`]
/// at the latest. As many as this, so that a few sleepy strangers do not keep everybody else out.
pub(crate) const HANDSHAKES_INCOMING_MAX: usize = 256;

/// Addresses being dialled at once. More would only compete for the same link; the caller is told, and can try later.
pub(crate) const HANDSHAKES_OUTGOING_MAX: u32 = 64;

/// How long a connection's handshake may take: several round trips around the world, on a bad link.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a stream may take to open before another connection to the same peer, if there is one, gets its turn: the
/// first may be that of a process which is gone. Several round trips on a bad link.
pub(crate) const OPEN_TURN: Duration = Duration::from_secs(3);

/// Streams that a peer may have open on one connection: the frames, identify and ping need five, finding each other some
/// more. Over TCP whoever comes and is no member has only those five, unless this node finds others for it: see `muxer`.
pub(crate) const STREAMS_MAX: u16 = 16;

/// Bytes in flight to us on one QUIC stream: 80 Mbit/s over a round trip of 100 ms. QUIC takes one size for all peers, so it
/// is what strangers may hold.
pub(crate) const QUIC_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes in flight to us on all streams of one QUIC connection: pings pass even while the frames are held up. 96 that are no members
/// hold 108 MiB by them at most.
pub(crate) const QUIC_WINDOW_BYTES: u32 = QUIC_STREAM_WINDOW_BYTES + 128 * 1024;

/// How long the answer to a ping may take, where bytes do arrive meanwhile: it may wait behind megabytes of ours.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How often the listening addresses of a connected peer are asked for again. They are told on connecting.
pub(crate) const IDENTIFY_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How long a relay is not asked for a place while we do not listen by the transport that leads to it.
pub(crate) const RELAY_PATIENCE: Duration = Duration::from_secs(3);

/// The first pause before a relay is asked again for a place; it doubles up to [`RELAY_PAUSE_MAX`].
pub(crate) const RELAY_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
pub(crate) const RELAY_PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// Nodes of the local network that are known at once. More are not honest: mDNS is turned off then, since it keeps what
/// it hears for as long as that says.
pub(crate) const LOCAL_NODES_MAX: usize = 1024;

/// Addresses that were discovered, and are remembered only to tell later how a peer was found.
pub(crate) const DISCOVERED_MAX: usize = 1024;

/// Discovered addresses that callers are told in [`DISCOVERY_WINDOW`] at most: a home's devices, and few enough that
/// nobody on the local network keeps us busy.
pub(crate) const DISCOVERIES_MAX: u32 = 128;

/// See [`DISCOVERIES_MAX`].
pub(crate) const DISCOVERY_WINDOW: Duration = Duration::from_secs(60);

/// Addresses of one peer that a lookup gives; more are no honest answer.
pub(crate) const FOUND_ADDRESSES_MAX: usize = 8;

/// Lookups under way at once.
pub(crate) const LOOKUPS_MAX: usize = 16;

/// How long a lookup may take.
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

/// Peers that a lookup server keeps the addresses of: with eight addresses each, about 16 MiB.
pub(crate) const LOOKUP_PEERS_MAX: usize = 4096;

/// Peers of one neighbourhood (IPv4 /24, IPv6 /48) that a lookup server keeps the addresses of: a 16th of all.
pub(crate) const LOOKUP_PREFIX_MAX: usize = 256;

/// How long a lookup server keeps where a peer is, if it is not told again: three times [`LOOKUP_REFRESH`].
pub(crate) const LOOKUP_LIFE: Duration = Duration::from_secs(30 * 60);

/// How often those who look others up are told again where this node is: one that began anew has forgotten it.
pub(crate) const LOOKUP_REFRESH: Duration = Duration::from_secs(10 * 60);
