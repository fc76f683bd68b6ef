//! The libp2p behaviour that lets incoming connections in, and ends those that make room: `places` and `handshakes` decide.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::behaviour::{ConnectionClosed, ListenFailure};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, ToSwarm, dummy,
};
use tokio::time::Instant;
use walytis_core::{Merit, PeerId};

use crate::address::core_peer;
use crate::handshakes::Handshakes;
use crate::lines::Lines;
use crate::merits::Merits;
use crate::origin::Origin;
use crate::places::Places;

/// The peer's key is of a kind that no peer here has.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the peer has no Ed25519 key")]
struct OtherKey;

/// Lets incoming connections in.
pub(crate) struct Admission {
    handshakes: Handshakes,
    places: Places,
    lines: Lines,
    /// Who is where, of those that were let in.
    ends: HashMap<ConnectionId, (libp2p::PeerId, Multiaddr, Multiaddr)>,
    closing: VecDeque<(libp2p::PeerId, ConnectionId)>,
}

impl Admission {
    pub(crate) fn new(incoming_max: u32, merits: Merits, lines: Lines) -> Self {
        Self {
            handshakes: Handshakes::default(),
            places: Places::new(incoming_max, merits),
            lines,
            ends: HashMap::new(),
            closing: VecDeque::new(),
        }
    }

    /// What a peer has earned.
    pub(crate) fn merit(&self, peer: PeerId) -> Merit {
        self.places.merit(peer)
    }

    /// Notes what a peer has earned.
    pub(crate) fn set_merit(&mut self, peer: PeerId, merit: Merit) {
        self.places.set_merit(peer, merit);
    }

    fn end(&mut self, connection: ConnectionId) {
        if let Some((peer, local, remote)) = self.ends.get(&connection) {
            tracing::debug!(%peer, "a connection makes room for another");
            self.lines.cut(local, remote);
            self.closing.push_back((*peer, connection));
        }
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.handshakes.end(connection);
        self.places.leave(connection);
        self.ends.remove(&connection);
    }
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let begun = self.handshakes.begin(connection, (local.clone(), remote.clone()), Instant::now());
        if let Some((local, remote)) = begun.map_err(ConnectionDenied::new)? {
            tracing::debug!(%remote, "a handshake makes room for another");
            self.lines.cut(&local, &remote);
        }
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        self.handshakes.end(connection);
        let known = core_peer(peer).ok_or_else(|| ConnectionDenied::new(OtherKey))?;
        let arrived = self.places.arrive(connection, known, Origin::of(remote), Instant::now());
        let victim = arrived.map_err(ConnectionDenied::new)?;
        self.ends.insert(connection, (peer, local.clone(), remote.clone()));
        if let Some(victim) = victim {
            self.end(victim);
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
        | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) = event
        {
            self.forget(connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: libp2p::PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        // No waker: the swarm polls again after each call that can add one.
        self.closing.pop_front().map_or(Poll::Pending, |(peer_id, connection)| {
            Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(connection) })
        })
    }
}
