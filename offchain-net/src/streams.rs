//! The libp2p behaviour that opens and accepts frame streams, connection by connection.
//!
//! libp2p-stream does nearly this, but it picks a connection at random, drops an accepted stream when two arrive at
//! once, and keeps a channel for every connection that ever was, which lets a stranger fill our memory by reconnecting.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, SubstreamProtocol, ToSwarm,
};

use crate::wire::STREAM_PROTOCOL;

/// What happened to a frame stream.
#[derive(Debug)]
pub(crate) enum Negotiated {
    /// The peer opened one.
    Inbound(Stream),
    /// The one that we asked for is open.
    Outbound(Stream),
    /// The one that we asked for could not be opened.
    Failed,
}

/// [`Negotiated`], with whom and where.
#[derive(Debug)]
pub(crate) struct StreamEvent {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) negotiated: Negotiated,
}

/// Asks a connection to open a frame stream.
#[derive(Debug)]
pub(crate) struct Open;

/// Opens and accepts frame streams. It decides nothing: whether a stream is wanted is up to `links`.
pub(crate) struct Streams {
    open_timeout: Duration,
    events: VecDeque<ToSwarm<StreamEvent, Open>>,
}

impl Streams {
    pub(crate) fn new(open_timeout: Duration) -> Self {
        Self { open_timeout, events: VecDeque::new() }
    }

    /// Opens a frame stream on this connection. `Outbound` or `Failed` follows, unless the connection closes first.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId) {
        let handler = NotifyHandler::One(connection);
        self.events.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: Open });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.open_timeout))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.open_timeout))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, negotiated: Negotiated) {
        self.events.push_back(ToSwarm::GenerateEvent(StreamEvent { peer, connection, negotiated }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<StreamEvent, Open>> {
        // No waker: the swarm polls again after each call that can add an event.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection's part.
pub(crate) struct Handler {
    open_timeout: Duration,
    wanted: bool,
    /// The latest stream of the peer. If it opens several before we look, the earlier ones are dropped.
    inbound: Option<Stream>,
    outbound: Option<Option<Stream>>,
}

impl Handler {
    fn new(open_timeout: Duration) -> Self {
        Self { open_timeout, wanted: false, inbound: None, outbound: None }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Negotiated;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(STREAM_PROTOCOL), ()).with_timeout(self.open_timeout)
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        // No waker: the connection polls again after each call that can change these fields.
        if std::mem::take(&mut self.wanted) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol: self.listen_protocol() });
        }
        if let Some(stream) = self.inbound.take() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Negotiated::Inbound(stream)));
        }
        match self.outbound.take() {
            Some(Some(stream)) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Negotiated::Outbound(stream))),
            Some(None) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Negotiated::Failed)),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, _: Open) {
        self.wanted = true;
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.inbound = Some(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.outbound = Some(Some(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                tracing::debug!(%error, "a peer did not open the frame stream");
                self.outbound = Some(None);
            }
            _ => {}
        }
    }
}
