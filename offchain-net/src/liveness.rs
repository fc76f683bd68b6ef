//! Asks quiet connections for a sign of life, and answers those who ask: libp2p's ping protocol.
//!
//! libp2p's own behaviour keeps the first failure to itself and then waits a whole interval, so its interval counts
//! twice; and it cannot ask at once. Here one failure is enough, and a connection that may be dead is asked at once.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::ping::PROTOCOL_NAME;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, ToSwarm,
};
use libp2p::{PeerId, futures};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use walytis_core::Carrier;

use crate::address::{carrier, relay_of};
use crate::config::PING_TIMEOUT;

/// Bytes of a ping, and of its answer, which are the same.
const PING_BYTES: usize = 32;

/// A peer does not answer on a connection.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
}

/// Asks a connection for a sign of life now, with little time to answer.
#[derive(Debug)]
pub(crate) struct Probe;

/// How long what takes.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// How long a connection may be quiet before it is asked. None where the transport itself sees to that.
    quiet: Option<Duration>,
    /// How long the answer to a probe may take.
    probe: Duration,
}

/// See the module's documentation.
pub(crate) struct Liveness {
    quiet: Duration,
    probe: Duration,
    events: VecDeque<ToSwarm<Unanswered, Probe>>,
}

impl Liveness {
    /// Asks what was quiet for `quiet`; an answer to [`Liveness::probe`] has to come within `probe`.
    pub(crate) fn new(quiet: Duration, probe: Duration) -> Self {
        Self { quiet, probe, events: VecDeque::new() }
    }

    /// Asks now whether a peer is still there on a connection. [`Unanswered`] follows if it is not.
    pub(crate) fn probe(&mut self, peer: PeerId, connection: ConnectionId) {
        let handler = NotifyHandler::One(connection);
        self.events.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: Probe });
    }

    fn handler(&self, remote: &Multiaddr) -> Handler {
        // QUIC keeps itself alive, and gives a dead connection up, in packets of its own.
        let is_quic = carrier(remote) == Carrier::Quic && relay_of(remote).is_none();
        Handler::new(Times { quiet: (!is_quic).then_some(self.quiet), probe: self.probe })
    }
}

impl NetworkBehaviour for Liveness {
    type ConnectionHandler = Handler;
    type ToSwarm = Unanswered;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(remote))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(remote))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, _: Silent) {
        self.events.push_back(ToSwarm::GenerateEvent(Unanswered { peer, connection }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Unanswered, Probe>> {
        // No waker: the swarm polls again after each call that can add an event.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The peer does not answer.
#[derive(Debug)]
pub(crate) struct Silent;

type Exchange = futures::future::BoxFuture<'static, io::Result<Stream>>;

/// Where our own question stands.
enum Asking {
    /// Nothing is asked. The stream of the last question, if there was one, serves the next.
    Idle(Option<Stream>),
    /// A stream for it is to be opened.
    Wanted,
    /// It is being opened.
    Opening,
    /// The answer is awaited.
    Sent(Exchange),
    /// The peer does not know the protocol, or was found silent: it is asked no more.
    Over,
}

/// One connection's part.
pub(crate) struct Handler {
    times: Times,
    asking: Asking,
    /// Whether the question under way has begun anew on another stream: once is enough.
    renewed: bool,
    /// Numbers the questions, so that a late answer is not that of the next one.
    number: u64,
    /// When the next question is due.
    due: Pin<Box<Sleep>>,
    /// By when the answer has to be here.
    deadline: Option<Pin<Box<Sleep>>>,
    answering: Option<Exchange>,
}

impl Handler {
    fn new(times: Times) -> Self {
        let due = Box::pin(sleep(times.quiet.unwrap_or(PING_TIMEOUT)));
        Self { times, asking: Asking::Idle(None), renewed: false, number: 0, due, deadline: None, answering: None }
    }

    /// Something came from the peer: it need not be asked for a while.
    fn heard(&mut self) {
        if let Some(quiet) = self.times.quiet {
            self.due.as_mut().reset(Instant::now() + quiet);
        }
    }

    fn ask(&mut self, stream: Option<Stream>, limit: Duration) {
        self.renewed = false;
        self.deadline = Some(Box::pin(sleep(limit)));
        self.asking = match stream {
            Some(stream) => self.send(stream),
            None => Asking::Wanted,
        };
    }

    fn send(&mut self, mut stream: Stream) -> Asking {
        self.number = self.number.wrapping_add(1);
        let mut ping = [0; PING_BYTES];
        ping.iter_mut().zip(self.number.to_le_bytes()).for_each(|(to, from)| *to = from);
        Asking::Sent(Box::pin(async move {
            stream.write_all(&ping).await?;
            stream.flush().await?;
            let mut answer = [0; PING_BYTES];
            stream.read_exact(&mut answer).await?;
            if answer == ping { Ok(stream) } else { Err(io::ErrorKind::InvalidData.into()) }
        }))
    }

    /// The stream of the question broke. Another one is tried, once.
    fn broke(&mut self) {
        if std::mem::replace(&mut self.renewed, true) {
            self.deadline = Some(Box::pin(sleep(Duration::ZERO)));
            self.asking = Asking::Opening;
        } else {
            self.asking = Asking::Wanted;
        }
    }

    fn poll_answering(&mut self, cx: &mut Context<'_>) {
        while let Some(answering) = &mut self.answering {
            match answering.as_mut().poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(stream)) => {
                    self.answering = Some(Box::pin(answer(stream)));
                    self.heard();
                }
                Poll::Ready(Err(_)) => self.answering = None,
            }
        }
    }

    fn poll_asking(&mut self, cx: &mut Context<'_>) {
        if let Asking::Sent(exchange) = &mut self.asking
            && let Poll::Ready(answered) = exchange.as_mut().poll(cx)
        {
            match answered {
                Ok(stream) => {
                    self.asking = Asking::Idle(Some(stream));
                    self.deadline = None;
                    self.heard();
                }
                Err(_) => self.broke(),
            }
        }
        if let (Some(_), Asking::Idle(_)) = (self.times.quiet, &self.asking)
            && self.due.as_mut().poll(cx).is_ready()
            && let Asking::Idle(stream) = std::mem::replace(&mut self.asking, Asking::Over)
        {
            self.ask(stream, PING_TIMEOUT);
            self.poll_asking(cx);
        }
    }
}

/// Sends the next ping of the peer back.
async fn answer(mut stream: Stream) -> io::Result<Stream> {
    let mut ping = [0; PING_BYTES];
    stream.read_exact(&mut ping).await?;
    stream.write_all(&ping).await?;
    stream.flush().await?;
    Ok(stream)
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Probe;
    type ToBehaviour = Silent;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL_NAME), ()).with_timeout(PING_TIMEOUT)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Silent>> {
        self.poll_answering(cx);
        self.poll_asking(cx);
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            self.deadline = None;
            self.asking = Asking::Over;
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Silent));
        }
        if let Asking::Wanted = self.asking {
            self.asking = Asking::Opening;
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol: self.listen_protocol() });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, _: Probe) {
        let limit = Instant::now() + self.times.probe;
        match std::mem::replace(&mut self.asking, Asking::Over) {
            Asking::Idle(stream) => self.ask(stream, self.times.probe),
            asking => {
                self.asking = asking;
                // What is asked already has less time from now on.
                if let Some(deadline) = self.deadline.as_mut().filter(|deadline| deadline.deadline() > limit) {
                    *deadline = Box::pin(sleep_until(limit));
                }
            }
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: mut stream, .. }) => {
                // A connection on which nothing but pings passes is of no use.
                stream.ignore_for_keep_alive();
                self.answering = Some(Box::pin(answer(stream)));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: mut stream, .. }) => {
                stream.ignore_for_keep_alive();
                if let Asking::Opening = self.asking {
                    self.asking = self.send(stream);
                }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => match error {
                StreamUpgradeError::NegotiationFailed => {
                    self.asking = Asking::Over;
                    self.deadline = None;
                }
                _ => self.broke(),
            },
            _ => {}
        }
    }
}
