//! What is done when addresses of this machine come and go, and when a peer falls silent.

use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;
use walytis_core::{Carrier, NetworkEvent, PeerId, Way};

use super::Driver;
use crate::address::{self, core_peer, libp2p_peer};
use crate::interfaces::Change;
use crate::links::Link;
use crate::liveness::Unanswered;
use crate::own_addresses::Source;

impl Driver {
    pub(super) fn tell(&self, events: impl IntoIterator<Item = NetworkEvent>) {
        events.into_iter().for_each(|event| self.events.push_now(event));
    }

    pub(super) fn interface_changed(&mut self, change: Change) {
        match change {
            Change::Lost(ip) => self.address_lost(ip),
            Change::Gained(ip) => {
                let events = self.own.gained(ip);
                self.tell(events);
                self.settling.note(change, Instant::now());
            }
        }
    }

    /// Closes what was connected from an address that is gone. Connections from other addresses go on.
    pub(super) fn address_lost(&mut self, ip: IpAddr) {
        tracing::debug!(%ip, "this machine has lost an address");
        let events = self.own.lost(ip);
        self.tell(events);
        self.sockets.cut(ip);
        // QUIC does not say which address a connection uses, so those that do not answer are closed.
        let is_tcp = |way| matches!(way, Way::Direct(Carrier::Tcp) | Way::HolePunched(Carrier::Tcp));
        let others = self.connections.iter().filter(|(_, connection)| !is_tcp(connection.way));
        let others: Vec<_> = others.map(|(id, connection)| (*id, connection.peer)).collect();
        for (connection, peer) in others {
            self.probe(peer, connection);
        }
        self.settling.note(Change::Lost(ip), Instant::now());
    }

    /// The changes are over, for now.
    pub(super) fn settled(&mut self) {
        self.settling.told(Instant::now());
        self.events.push_now(NetworkEvent::AddressesChanged);
    }

    pub(super) fn listen_ended(&mut self, listener: ListenerId, place: &Multiaddr) {
        if address::relay_of(place).is_some() {
            return;
        }
        if !(self.everywhere.contains(&listener) && address::is_local(place)) {
            self.discovery.stopped_listening(&mut self.swarm, place);
        }
        let event = self.own.remove(place, Source::Listener(listener));
        self.tell(event);
    }

    /// A peer that connects again may have lost the connection that we believe in.
    pub(super) fn probe_carrying(&mut self, peer: PeerId) {
        if let Some(connection) = self.peers.get(&peer).and_then(|known| known.link.carrying()) {
            self.probe(peer, connection);
        }
    }

    fn probe(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(peer) = libp2p_peer(peer) {
            self.swarm.behaviour_mut().liveness.probe(peer, connection);
        }
    }

    pub(super) fn unanswered(&mut self, Unanswered { peer, connection }: &Unanswered) {
        tracing::debug!(%peer, %connection, "a peer does not answer");
        let known = core_peer(*peer).filter(|_| self.swarm.behaviour().streams.carries(*connection));
        match known {
            Some(peer) => self.advance(peer, |link: &mut Link<_>| link.unanswered(*connection)),
            None => drop(self.swarm.close_connection(*connection)),
        }
    }
}
