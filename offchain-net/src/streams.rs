//! The libp2p behaviour that opens and accepts frame streams, connection by connection.
//!
//! libp2p-stream does nearly this, but it picks a connection at random, drops an accepted stream when two arrive at
//! once, and keeps a channel for every connection that ever was, which lets a stranger fill our memory by reconnecting.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure, ListenFailure};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, ToSwarm, dummy,
};

/// What happened to a frame stream.
#[derive(Debug)]
pub(crate) enum Negotiated {
    /// The peer opened one.
    Inbound(Stream),
    /// The one that we asked for is open.
    Outbound(Stream),
    /// The one that we asked for could not be opened.
    Failed,
    /// The peer takes no frames on that connection.
    Unsupported,
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
///
/// Not every connection is for frames: the parts that find peers open some for themselves, to relays and to nodes that
/// look others up. On those of them that we opened frames are neither opened nor accepted, and the peer is told so.
pub(crate) struct Streams {
    protocol: StreamProtocol,
    open_timeout: Duration,
    events: VecDeque<ToSwarm<StreamEvent, Either<Open, Infallible>>>,
    /// Dials of the caller.
    dials: HashSet<ConnectionId>,
    /// Connections that may carry frames.
    carriers: HashSet<ConnectionId>,
    /// Relayed connections: a direct one that comes beside one of them is for frames, too.
    relayed: HashMap<ConnectionId, PeerId>,
}

impl Streams {
    pub(crate) fn new(protocol: StreamProtocol, open_timeout: Duration) -> Self {
        Self {
            protocol,
            open_timeout,
            events: VecDeque::new(),
            dials: HashSet::new(),
            carriers: HashSet::new(),
            relayed: HashMap::new(),
        }
    }

    /// What comes of this dial is for frames.
    pub(crate) fn dialled(&mut self, connection: ConnectionId) {
        self.dials.insert(connection);
    }

    /// Whether a connection may carry frames.
    pub(crate) fn carries(&self, connection: ConnectionId) -> bool {
        self.carriers.contains(&connection)
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.dials.remove(&connection);
        self.carriers.remove(&connection);
        self.relayed.remove(&connection);
    }

    fn carrier(&mut self, connection: ConnectionId) -> Either<Handler, dummy::ConnectionHandler> {
        self.carriers.insert(connection);
        Either::Left(Handler::new(self.protocol.clone(), self.open_timeout))
    }

    /// Opens a frame stream on this connection. `Outbound` or `Failed` follows, unless the connection closes first.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId) {
        if self.carries(connection) {
            let (handler, event) = (NotifyHandler::One(connection), Either::Left(Open));
            self.events.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event });
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Either<Handler, dummy::ConnectionHandler>;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        // What it is for is known to the peer.
        Ok(self.carrier(connection))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        let ours = self.dials.remove(&connection);
        let beside = self.relayed.values().any(|other| *other == peer);
        Ok(if ours || beside { self.carrier(connection) } else { Either::Right(dummy::ConnectionHandler) })
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. })
                if endpoint.is_relayed() =>
            {
                self.relayed.insert(connection_id, peer_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::DialFailure(DialFailure { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => self.forget(connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        negotiated: Either<Negotiated, Infallible>,
    ) {
        let Either::Left(negotiated) = negotiated;
        self.events.push_back(ToSwarm::GenerateEvent(StreamEvent { peer, connection, negotiated }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<StreamEvent, Either<Open, Infallible>>> {
        // No waker: the swarm polls again after each call that can add an event.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection's part.
pub(crate) struct Handler {
    protocol: StreamProtocol,
    open_timeout: Duration,
    wanted: bool,
    /// The latest stream of the peer. If it opens several before we look, the earlier ones are dropped.
    inbound: Option<Stream>,
    outbound: Option<Negotiated>,
}

impl Handler {
    fn new(protocol: StreamProtocol, open_timeout: Duration) -> Self {
        Self { protocol, open_timeout, wanted: false, inbound: None, outbound: None }
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
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ()).with_timeout(self.open_timeout)
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
            Some(negotiated) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(negotiated)),
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
                self.outbound = Some(Negotiated::Outbound(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                tracing::debug!(%error, "a peer did not open the frame stream");
                self.outbound = Some(match error {
                    StreamUpgradeError::NegotiationFailed => Negotiated::Unsupported,
                    _ => Negotiated::Failed,
                });
            }
            _ => {}
        }
    }
}
