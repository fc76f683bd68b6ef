//! What a command shows of a node's peers.

use serde::{Deserialize, Serialize};
use walytis_node::{Carrier, Found, PeerDetails, Way};

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerView {
    pub(crate) peer: String,
    pub(crate) connected: bool,
    /// `direct`, `hole-punched` or `relayed`; none while it is not connected.
    pub(crate) way: Option<String>,
    /// `tcp` or `quic`; none through a relay.
    pub(crate) transport: Option<String>,
    /// The relay's peer id.
    pub(crate) relay: Option<String>,
    /// `given`, `told`, `mdns`, `kademlia` or `incoming`; none while it is not connected.
    pub(crate) found: Option<String>,
    /// The address of the connection.
    pub(crate) address: Option<String>,
    /// By this node's clock; none if it shared nothing with this node so far.
    pub(crate) last_seen_ms: Option<u64>,
    /// Where it was reached, or said that it can be.
    pub(crate) addresses: Vec<String>,
}

impl From<PeerDetails> for PeerView {
    fn from(peer: PeerDetails) -> Self {
        let PeerDetails { known, route } = peer;
        let (way, transport, relay) = match route.as_ref().map(|route| route.way) {
            Some(Way::Direct(carrier)) => (Some("direct"), transport(carrier), None),
            Some(Way::HolePunched(carrier)) => (Some("hole-punched"), transport(carrier), None),
            Some(Way::Relayed { relay }) => (Some("relayed"), None, relay),
            _ => (None, None, None),
        };
        let found = route.as_ref().map(|route| match route.found {
            Found::LocalNetwork => "mdns",
            Found::LookedUp => "kademlia",
            Found::CameToUs => "incoming",
            _ if known.given => "given",
            _ => "told",
        });
        Self {
            peer: known.peer.to_string(),
            connected: route.is_some(),
            way: way.map(str::to_owned),
            transport: transport.map(str::to_owned),
            relay: relay.map(|relay| relay.to_string()),
            found: found.map(str::to_owned),
            address: route.and_then(|route| route.address).map(|address| address.to_string()),
            last_seen_ms: known.last_seen_ms,
            addresses: known.addresses.iter().map(ToString::to_string).collect(),
        }
    }
}

fn transport(carrier: Carrier) -> Option<&'static str> {
    match carrier {
        Carrier::Tcp => Some("tcp"),
        Carrier::Quic => Some("quic"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use walytis_node::{Address, KnownPeer, PeerId, Route};

    use super::*;

    #[test]
    fn a_peer_is_told_as_it_is_reached() {
        let peer = PeerId([7; 32]);
        let view = |given, way, found| {
            let known = KnownPeer { given, ..KnownPeer::new(peer) };
            let route = Route { peer, way, found, address: Address::new("/a") };
            let view = PeerView::from(PeerDetails { known, route: Some(route) });
            [view.way, view.transport, view.found].map(Option::unwrap_or_default)
        };
        let relay = Some(PeerId([8; 32]));
        let cases = [
            (view(true, Way::Direct(Carrier::Quic), Found::Told), ["direct", "quic", "given"]),
            (view(false, Way::Direct(Carrier::Tcp), Found::Told), ["direct", "tcp", "told"]),
            (view(true, Way::HolePunched(Carrier::Quic), Found::CameToUs), ["hole-punched", "quic", "incoming"]),
            (view(false, Way::Relayed { relay }, Found::LookedUp), ["relayed", "", "kademlia"]),
            (view(false, Way::Direct(Carrier::Quic), Found::LocalNetwork), ["direct", "quic", "mdns"]),
        ];
        for (shown, expected) in cases {
            assert_eq!(shown, expected);
        }
        let away = PeerView::from(PeerDetails { known: KnownPeer::new(peer), route: None });
        assert_eq!((away.connected, away.way, away.found), (false, None, None));
    }
}
