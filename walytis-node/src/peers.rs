//! What a node knows of its peers.

use std::collections::BTreeMap;

use walytis_core::{KnownPeer, PeerId, Route};

/// A peer, as the engine remembers it and as the network reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDetails {
    /// What is remembered.
    pub known: KnownPeer,
    /// How it is reached, while it is connected. A peer that is, and shares nothing with this node, is let go soon.
    pub route: Option<Route>,
}

/// Puts both together.
pub(crate) fn together(known: Vec<KnownPeer>, routes: Vec<Route>) -> Vec<PeerDetails> {
    let mut peers: BTreeMap<PeerId, PeerDetails> =
        known.into_iter().map(|known| (known.peer, PeerDetails { known, route: None })).collect();
    for route in routes {
        let entry = peers.entry(route.peer);
        let known = KnownPeer::new(route.peer);
        entry.or_insert(PeerDetails { known, route: None }).route = Some(route);
    }
    peers.into_values().collect()
}

#[cfg(test)]
mod tests {
    use walytis_core::{Carrier, Found, Way};

    use super::*;

    #[test]
    fn peers_that_either_side_knows_are_listed_once() {
        let [one, two, three] = [1, 2, 3].map(|byte| PeerId([byte; 32]));
        let route = |peer| Route { peer, way: Way::Direct(Carrier::Quic), found: Found::CameToUs, address: None };
        let known = vec![KnownPeer::new(two), KnownPeer::new(one)];
        let peers = together(known, vec![route(three), route(two)]);
        let listed: Vec<_> = peers.iter().map(|peer| (peer.known.peer, peer.route.is_some())).collect();
        assert_eq!(listed, [(one, false), (two, true), (three, true)]);
    }
}
