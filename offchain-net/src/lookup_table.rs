//! Which peers a lookup server keeps the addresses of: for half an hour, and not too many of one neighbourhood.
//!
//! PeerIds are free, and addresses of a neighbourhood are not. So a server that somebody fills has room for others.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId as LibPeer};
use tokio::time::Instant;

use crate::config::{LOOKUP_LIFE, LOOKUP_PEERS_MAX, LOOKUP_PREFIX_MAX};

/// A neighbourhood: an IPv4 address without its last 8 bits, an IPv6 address without its last 80, both of which one person may
/// have. Whoever comes through a relay is the relay's neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Prefix {
    V4([u8; 3]),
    V6([u8; 6]),
    /// No address of IP.
    Other,
}

impl Prefix {
    /// Of where a connection comes from, or leads to.
    pub(crate) fn of(endpoint: &ConnectedPoint) -> Self {
        Self::of_place(endpoint.get_remote_address())
    }

    fn of_place(place: &Multiaddr) -> Self {
        let ip = match place.iter().next() {
            Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::V6(ip).to_canonical(),
            _ => return Self::Other,
        };
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }
}

/// What became of a peer that tells where it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is to be kept, and these are to be forgotten.
    Yes { forgotten: Vec<LibPeer> },
    /// There is no room for it; these are to be forgotten all the same.
    No { forgotten: Vec<LibPeer> },
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct LookupTable {
    /// When each was told last, by a number that only grows.
    peers: HashMap<LibPeer, (Prefix, u64)>,
    order: BTreeMap<u64, (LibPeer, Instant)>,
    prefixes: HashMap<Prefix, usize>,
    told: u64,
}

impl LookupTable {
    /// A peer tells where it is, over a connection from there.
    pub(crate) fn told(&mut self, peer: LibPeer, prefix: Prefix, now: Instant) -> Kept {
        self.forget(peer);
        let mut forgotten = self.forget_old(now);
        let of_prefix = self.count(prefix);
        if of_prefix >= LOOKUP_PREFIX_MAX && !walytis_core::mutant!(FillLookups) {
            // Of its own neighbourhood, who was there first stays.
            return Kept::No { forgotten };
        }
        if self.peers.len() >= LOOKUP_PEERS_MAX {
            let most = self.prefixes.values().copied().max().unwrap_or_default();
            let crowded = |peer: &LibPeer| {
                self.peers.get(peer).is_some_and(|(prefix, _)| self.count(*prefix) == most && most > of_prefix)
            };
            let Some(last) = self.order.values().rev().map(|(peer, _)| *peer).find(crowded) else {
                return Kept::No { forgotten };
            };
            self.forget(last);
            forgotten.push(last);
        }
        self.told = self.told.saturating_add(1);
        self.peers.insert(peer, (prefix, self.told));
        self.order.insert(self.told, (peer, now));
        let count = self.prefixes.entry(prefix).or_insert(0);
        *count = count.saturating_add(1);
        Kept::Yes { forgotten }
    }

    /// Forgets those that have not told for as long as one is remembered.
    fn forget_old(&mut self, now: Instant) -> Vec<LibPeer> {
        let mut forgotten = Vec::new();
        while let Some((_, (peer, told))) = self.order.first_key_value()
            && now.saturating_duration_since(*told) >= LOOKUP_LIFE
        {
            forgotten.push(*peer);
            self.forget(*peer);
        }
        forgotten
    }

    fn forget(&mut self, peer: LibPeer) {
        let Some((prefix, number)) = self.peers.remove(&peer) else { return };
        self.order.remove(&number);
        if let Some(count) = self.prefixes.get_mut(&prefix) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }

    fn count(&self, prefix: Prefix) -> usize {
        self.prefixes.get(&prefix).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn peer(number: usize) -> LibPeer {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap().public().to_peer_id()
    }

    fn prefix(place: &str) -> Prefix {
        Prefix::of_place(&place.parse().unwrap())
    }

    #[test]
    fn neighbours_are_those_that_one_person_may_have() {
        assert_eq!(prefix("/ip4/192.0.2.1/tcp/1"), prefix("/ip4/192.0.2.250/udp/4/quic-v1"));
        assert_ne!(prefix("/ip4/192.0.2.1/tcp/1"), prefix("/ip4/192.0.3.1/tcp/1"));
        assert_eq!(prefix("/ip6/2001:db8:1:2::3/tcp/1"), prefix("/ip6/2001:db8:1:ffff::4/tcp/1"));
        assert_ne!(prefix("/ip6/2001:db8:1::3/tcp/1"), prefix("/ip6/2001:db8:2::3/tcp/1"));
        assert_eq!(prefix("/ip6/::ffff:192.0.2.9/tcp/1"), prefix("/ip4/192.0.2.1/tcp/1"));
        assert_eq!(prefix("/memory/7"), Prefix::Other);
    }

    #[tokio::test(start_paused = true)]
    async fn who_fills_a_lookup_server_from_one_neighbourhood_leaves_room_for_others() {
        let mut table = LookupTable::default();
        let (now, crowd) = (Instant::now(), prefix("/ip4/192.0.2.1/tcp/1"));
        let kept = (0..2 * LOOKUP_PREFIX_MAX).filter(|number| table.told(peer(*number), crowd, now) == yes()).count();
        assert_eq!(kept, LOOKUP_PREFIX_MAX);
        assert_eq!(table.told(peer(10_000), prefix("/ip4/198.51.100.1/tcp/1"), now), yes());

        // As many neighbourhoods as it takes to fill it: each new one takes a place from the largest.
        let mut number = 20_000;
        for third in 0..=255_u8 {
            for _ in 0..LOOKUP_PREFIX_MAX {
                number += 1;
                if table.peers.len() < LOOKUP_PEERS_MAX {
                    table.told(peer(number), Prefix::V4([10, 0, third]), now);
                }
            }
        }
        assert_eq!(table.peers.len(), LOOKUP_PEERS_MAX);
        let newcomer = table.told(peer(90_000), prefix("/ip6/2001:db8::1/tcp/1"), now);
        assert!(matches!(newcomer, Kept::Yes { forgotten } if forgotten.len() == 1));
        assert_eq!(table.peers.len(), LOOKUP_PEERS_MAX);

        // Who does not tell again is forgotten within half an hour.
        let later = now + Duration::from_secs(30 * 60);
        let last = table.told(peer(90_001), crowd, later);
        assert!(matches!(last, Kept::Yes { forgotten } if forgotten.len() == LOOKUP_PEERS_MAX));
        assert_eq!((table.peers.len(), table.order.len(), table.prefixes.len()), (1, 1, 1));
    }

    fn yes() -> Kept {
        Kept::Yes { forgotten: Vec::new() }
    }
}
