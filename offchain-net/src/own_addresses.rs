//! The addresses at which this node accepts connections: which there are now.

use std::collections::BTreeMap;
use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use walytis_core::{Address, NetworkEvent, PeerId};

use crate::address;

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A socket listens there.
    Listener(ListenerId),
    /// It was proven that others reach this node there: by a relay, a router, or somebody who tried.
    Outside,
}

#[derive(Default)]
struct Own {
    sources: Vec<Source>,
    /// The machine has lost the IP address, though a socket is still bound to it.
    is_lost: bool,
}

impl Own {
    fn works(&self) -> bool {
        let works = |source: &Source| *source == Source::Outside || !self.is_lost;
        self.sources.iter().any(works)
    }
}

/// Keeps the addresses, and says what the caller has to hear of each change. At most as many as the machine has
/// addresses, times the listeners; and as the behaviours confirm.
pub(crate) struct OwnAddresses {
    local: PeerId,
    known: BTreeMap<Address, (Option<IpAddr>, Own)>,
}

impl OwnAddresses {
    pub(crate) fn new(local: PeerId) -> Self {
        Self { local, known: BTreeMap::new() }
    }

    /// There is an address.
    pub(crate) fn add(&mut self, place: &Multiaddr, source: Source) -> Option<NetworkEvent> {
        let address = address::full(&address::bare(place.clone()), self.local)?;
        let (_, own) = self.known.entry(address.clone()).or_insert_with(|| (address::ip_of(place), Own::default()));
        let before = own.works();
        if !own.sources.contains(&source) {
            own.sources.push(source);
        }
        own.is_lost &= source == Source::Outside;
        (!before && own.works()).then_some(NetworkEvent::Listening { address })
    }

    /// An address is gone, as far as this source goes.
    pub(crate) fn remove(&mut self, place: &Multiaddr, source: Source) -> Option<NetworkEvent> {
        let address = address::full(&address::bare(place.clone()), self.local)?;
        self.change(&address, |own| own.sources.retain(|known| *known != source))
    }

    /// The machine has lost an IP address.
    pub(crate) fn lost(&mut self, ip: IpAddr) -> Vec<NetworkEvent> {
        self.at(ip).iter().filter_map(|address| self.change(address, |own| own.is_lost = true)).collect()
    }

    /// The machine has an IP address, perhaps again.
    pub(crate) fn gained(&mut self, ip: IpAddr) -> Vec<NetworkEvent> {
        self.at(ip).iter().filter_map(|address| self.change(address, |own| own.is_lost = false)).collect()
    }

    fn at(&self, ip: IpAddr) -> Vec<Address> {
        let there = self.known.iter().filter(|(_, (known, _))| *known == Some(ip));
        there.map(|(address, _)| address.clone()).collect()
    }

    fn change(&mut self, address: &Address, change: impl FnOnce(&mut Own)) -> Option<NetworkEvent> {
        let (_, own) = self.known.get_mut(address)?;
        let before = own.works();
        change(own);
        let after = own.works();
        if own.sources.is_empty() {
            self.known.remove(address);
        }
        let address = address.clone();
        match (before, after) {
            (true, false) => Some(NetworkEvent::ListenEnded { address }),
            (false, true) => Some(NetworkEvent::Listening { address }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    /// What the caller hears, in short.
    fn heard(events: impl IntoIterator<Item = NetworkEvent>) -> Vec<String> {
        let short = |address: &Address| address.as_str().split("/p2p/").next().unwrap_or_default().to_owned();
        let words = events.into_iter().map(|event| match &event {
            NetworkEvent::Listening { address } => format!("+{}", short(address)),
            NetworkEvent::ListenEnded { address } => format!("-{}", short(address)),
            other => panic!("{other:?}"),
        });
        words.collect()
    }

    #[test]
    fn an_address_is_told_while_it_is_there() {
        let mut own = OwnAddresses::new(PeerId([7; 32]));
        let (all, one) = (Source::Listener(ListenerId::next()), Source::Listener(ListenerId::next()));
        let (tcp, quic) = (place("/ip4/192.0.2.1/tcp/1"), place("/ip4/192.0.2.1/udp/1/quic-v1"));
        let ip: IpAddr = [192, 0, 2, 1].into();
        assert_eq!(heard(own.add(&tcp, all)), ["+/ip4/192.0.2.1/tcp/1"]);
        assert_eq!(heard(own.add(&tcp, all)), [""; 0]);
        assert_eq!(heard(own.add(&quic, one)), ["+/ip4/192.0.2.1/udp/1/quic-v1"]);
        // The listener on every interface says it itself, before or after; the one on this address does not.
        assert_eq!(heard(own.remove(&tcp, all)), ["-/ip4/192.0.2.1/tcp/1"]);
        assert_eq!(heard(own.lost(ip)), ["-/ip4/192.0.2.1/udp/1/quic-v1"]);
        assert_eq!(heard(own.lost(ip)), [""; 0]);
        assert_eq!(heard(own.gained(ip)), ["+/ip4/192.0.2.1/udp/1/quic-v1"]);
        assert_eq!(heard(own.add(&tcp, all)), ["+/ip4/192.0.2.1/tcp/1"]);
        assert_eq!(heard(own.lost(ip)), ["-/ip4/192.0.2.1/tcp/1", "-/ip4/192.0.2.1/udp/1/quic-v1"]);
        assert_eq!(heard(own.remove(&tcp, all)), [""; 0], "it was told already");
        assert_eq!(heard(own.add(&tcp, all)), ["+/ip4/192.0.2.1/tcp/1"]);
        assert_eq!(heard(own.lost([192, 0, 2, 9].into())), [""; 0], "others are not touched");
    }

    #[test]
    fn an_address_goes_with_the_last_that_says_so() {
        let mut own = OwnAddresses::new(PeerId([7; 32]));
        let listener = Source::Listener(ListenerId::next());
        let tcp = place("/ip4/192.0.2.1/tcp/1");
        assert_eq!(heard(own.add(&tcp, listener)), ["+/ip4/192.0.2.1/tcp/1"]);
        assert_eq!(heard(own.add(&tcp, Source::Outside)), [""; 0]);
        assert_eq!(heard(own.remove(&tcp, listener)), [""; 0]);
        assert_eq!(heard(own.remove(&tcp, Source::Outside)), ["-/ip4/192.0.2.1/tcp/1"]);
        assert!(own.known.is_empty());
    }
}
