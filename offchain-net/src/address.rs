//! Addresses as libp2p knows them, and failures in words.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::dns::ResolveError;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use walytis_core::{Address, Carrier, NetworkError, PeerId};

/// The most characters of a reason that we pass on: parts of it may come from a name server.
const REASON_CHARS_MAX: usize = 200;

/// Why dialling ourselves fails.
pub(crate) const OWN: &str = "the address is this node's own";

/// Which addresses there are.
const SHAPES: &str =
    "only /tcp/<port> and /udp/<port>/quic-v1 are supported, and /p2p/<relay>/p2p-circuit/p2p/<peer> behind";

/// Which transport an address uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Quic,
}

/// An address in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The address without the peer.
    pub(crate) place: Multiaddr,
    /// The peer that must answer there, if the address names one.
    pub(crate) peer: Option<libp2p::PeerId>,
    pub(crate) transport: Transport,
    /// The IP address and port, unless there is a host name; the relay's, if there is one.
    pub(crate) socket: Option<SocketAddr>,
    /// The relay through which the address leads.
    pub(crate) relay: Option<libp2p::PeerId>,
}

impl Target {
    /// Reads an address: a host, its TCP port or its UDP port with QUIC, and perhaps a peer. Before that peer there may
    /// be a relay: its own peer id, and `/p2p-circuit`.
    ///
    /// # Errors
    /// [`NetworkError::Address`] if it cannot be read, or has any other shape.
    pub(crate) fn parse(address: &Address) -> Result<Self, NetworkError> {
        let mut place: Multiaddr =
            address.as_str().parse().map_err(|_| unusable(address, "it is not a multiaddress"))?;
        let peer = match place.iter().last() {
            Some(Protocol::P2p(peer)) => {
                place.pop();
                Some(peer)
            }
            _ => None,
        };
        if peer.is_some_and(|peer| core_peer(peer).is_none()) {
            return Err(unusable(address, "its peer has no Ed25519 key"));
        }
        let mut parts = place.iter().peekable();
        let ip: Option<IpAddr> = match parts.next() {
            Some(Protocol::Ip4(ip)) => Some(ip.into()),
            Some(Protocol::Ip6(ip)) => Some(ip.into()),
            Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)) => None,
            _ => return Err(unusable(address, "it does not begin with an IP address or a host name")),
        };
        let (transport, port) = match parts.next() {
            Some(Protocol::Tcp(port)) => (Transport::Tcp, port),
            Some(Protocol::Udp(port)) if parts.next_if_eq(&Protocol::QuicV1).is_some() => (Transport::Quic, port),
            _ => return Err(unusable(address, SHAPES)),
        };
        let relay = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(Protocol::P2p(relay)), Some(Protocol::P2pCircuit), None) if peer.is_some() => Some(relay),
            _ => return Err(unusable(address, SHAPES)),
        };
        let socket = ip.map(|ip| SocketAddr::new(ip, port));
        Ok(Self { place, peer, transport, socket, relay })
    }
}

/// Says why an address cannot be used.
pub(crate) fn unusable(address: &Address, reason: impl Into<String>) -> NetworkError {
    NetworkError::Address { address: address.clone(), reason: reason.into() }
}

/// The address as others dial it; `None` if it is absurdly long.
pub(crate) fn full(place: &Multiaddr, peer: PeerId) -> Option<Address> {
    Address::new(format!("{place}/p2p/{peer}"))
}

/// The relay through which an address leads: `None` if it leads through none, `Some(None)` if it does not name it.
pub(crate) fn relay_of(place: &Multiaddr) -> Option<Option<libp2p::PeerId>> {
    let mut last = None;
    for part in place {
        match part {
            Protocol::P2p(peer) => last = Some(peer),
            Protocol::P2pCircuit => return Some(last),
            _ => {}
        }
    }
    None
}

/// What carries a direct connection to or from there.
pub(crate) fn carrier(place: &Multiaddr) -> Carrier {
    if place.iter().any(|part| matches!(part, Protocol::QuicV1)) { Carrier::Quic } else { Carrier::Tcp }
}

/// Whether only this machine can reach the address.
pub(crate) fn is_local(place: &Multiaddr) -> bool {
    match place.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// The IP address of this machine or another one, where nothing lies between.
pub(crate) fn ip_of(place: &Multiaddr) -> Option<IpAddr> {
    match place.iter().next() {
        _ if relay_of(place).is_some() => None,
        Some(Protocol::Ip4(ip)) => Some(ip.into()),
        Some(Protocol::Ip6(ip)) => Some(ip.into()),
        _ => None,
    }
}

/// An address without the peer that it ends in.
pub(crate) fn bare(mut place: Multiaddr) -> Multiaddr {
    if matches!(place.iter().last(), Some(Protocol::P2p(_))) {
        place.pop();
    }
    place
}

/// Our form of a libp2p peer id, if its key is an Ed25519 one.
pub(crate) fn core_peer(peer: libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_multihash(&peer.to_bytes()).ok()
}

/// The libp2p form of a peer id; `None` if the bytes are not accepted as one.
pub(crate) fn libp2p_peer(peer: PeerId) -> Option<libp2p::PeerId> {
    libp2p::PeerId::from_bytes(&peer.to_multihash()).ok()
}

/// Says on one line why dialling failed.
pub(crate) fn dial_reason(error: &DialError) -> String {
    match error {
        DialError::LocalPeerId { .. } | DialError::NoAddresses => OWN.into(),
        DialError::WrongPeerId { obtained, .. } => format!("another peer answered there: {obtained}"),
        DialError::Denied { .. } => innermost(error),
        DialError::Transport(attempts) => {
            attempts.first().map_or_else(|| "no transport could be tried".into(), |(_, error)| transport_reason(error))
        }
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => "dialling was given up".into(),
    }
}

/// Says on one line why a transport failed.
pub(crate) fn transport_reason(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => "no transport here can use the address".into(),
        TransportError::Other(error) => innermost(error),
    }
}

/// The message of the first cause, on one line.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        if source.is::<ResolveError>() {
            // Its own words are a dump of the query.
            return "the host name cannot be resolved".into();
        }
        cause = source;
    }
    let words = cause.to_string();
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reachable_shapes_are_taken() {
        let peer = PeerId([7; 32]);
        let cases = [
            ("/ip4/127.0.0.1/tcp/1", Some((Transport::Tcp, true))),
            ("/ip6/::1/udp/1/quic-v1", Some((Transport::Quic, true))),
            ("/dns4/example.org/tcp/4001", Some((Transport::Tcp, false))),
            ("/ip4/127.0.0.1/udp/1", None),
            ("/ip4/127.0.0.1/udp/1/quic", None),
            ("/ip4/127.0.0.1/tcp/1/ws", None),
            ("/memory/7", None),
            ("/ip4/127.0.0.1", None),
            ("", None),
            ("127.0.0.1:80", None),
        ];
        for (text, expected) in cases {
            for (text, named) in [(text.to_owned(), None), (format!("{text}/p2p/{peer}"), Some(peer))] {
                let target = Target::parse(&Address::new(&*text).unwrap()).ok();
                let seen = target.as_ref().map(|target| (target.transport, target.socket.is_some()));
                assert_eq!(seen, expected, "{text}");
                if let Some(target) = target {
                    assert_eq!(target.peer.and_then(core_peer), named, "{text}");
                }
            }
        }
    }

    #[test]
    fn addresses_through_a_relay_name_both() {
        let (relay, peer) = (PeerId([8; 32]), PeerId([7; 32]));
        let cases = [
            (format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit/p2p/{peer}"), true),
            (format!("/dns4/example.org/udp/1/quic-v1/p2p/{relay}/p2p-circuit/p2p/{peer}"), true),
            (format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit"), false),
            (format!("/ip4/192.0.2.1/tcp/1/p2p-circuit/p2p/{peer}"), false),
            (format!("/p2p/{relay}/p2p-circuit/p2p/{peer}"), false),
            (format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit/p2p-circuit/p2p/{peer}"), false),
            (format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit/tcp/1/p2p/{peer}"), false),
            (format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p/{peer}"), false),
        ];
        for (text, fits) in cases {
            let target = Target::parse(&Address::new(&*text).unwrap()).ok();
            let named = target.map(|target| (target.relay.and_then(core_peer), target.peer.and_then(core_peer)));
            assert_eq!(named, fits.then_some((Some(relay), Some(peer))), "{text}");
        }
    }

    #[test]
    fn reasons_are_one_line_from_the_first_cause() {
        type DnsError = libp2p::dns::Error<std::io::Error>;
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let cases = [
            (std::io::Error::other("two\n lines"), "two lines"),
            (std::io::Error::other(DnsError::Transport(refused)), "connection refused"),
            (std::io::Error::other(DnsError::ResolveError("no answer".into())), "the host name cannot be resolved"),
        ];
        for (error, expected) in cases {
            assert_eq!(transport_reason(&TransportError::Other(error)), expected);
        }
    }

    #[test]
    fn peers_survive_their_libp2p_form() {
        // The second is not a point of the curve: a peer id is only proven when somebody connects with it.
        for bytes in [[7; 32], [2; 32]] {
            let peer = PeerId(bytes);
            assert_eq!(libp2p_peer(peer).and_then(core_peer), Some(peer));
        }
    }
}
