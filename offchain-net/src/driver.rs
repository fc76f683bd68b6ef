//! The task that owns the swarm. It holds no decision of its own: commands and the swarm's events go to `links`, and
//! what `links` asks for is done here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use libp2p::futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Stream, SwarmEvent};
use libp2p::{PeerId as LibPeer, Swarm, ping};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use walytis_core::{Address, Dialer, NetworkError, NetworkEvent, PeerId};

use crate::address::{self, Target, Transport, core_peer, libp2p_peer, unusable};
use crate::config::{NetConfig, OPEN_TURN};
use crate::links::{Action, Ended, Link, Opener};
use crate::queues::{Events, Registry};
use crate::session::Session;
use crate::streams::{Negotiated, StreamEvent};
use crate::transport::{Behaviour, BehaviourEvent};

type Answer<T> = oneshot::Sender<T>;

/// What a handle asks for.
pub(crate) enum Command {
    Listen { address: Address, answer: Answer<Result<(), NetworkError>> },
    Dial { address: Address, answer: Answer<Result<(), NetworkError>> },
    Disconnect { peer: PeerId, answer: Answer<()> },
    Close(Answer<()>),
}

/// A peer with the session that it has, if any. Dropping `stop` stops it.
struct Peer {
    link: Link<Stream>,
    stop: Option<oneshot::Sender<()>>,
}

pub(crate) struct Driver {
    local: PeerId,
    config: NetConfig,
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    events: Events,
    registry: Arc<Registry>,
    peers: HashMap<PeerId, Peer>,
    /// Every connection with its peer and the time by which it must carry frames.
    connections: HashMap<ConnectionId, (PeerId, Instant)>,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
    dials: HashMap<ConnectionId, Address>,
    sessions: JoinSet<(PeerId, Ended)>,
}

impl Driver {
    pub(crate) fn new(
        local: PeerId,
        swarm: Swarm<Behaviour>,
        config: NetConfig,
        commands: mpsc::Receiver<Command>,
        events: Events,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            local,
            config,
            swarm,
            commands,
            events,
            registry,
            peers: HashMap::new(),
            connections: HashMap::new(),
            deadlines: BTreeSet::new(),
            dials: HashMap::new(),
            sessions: JoinSet::new(),
        }
    }

    /// Runs until the network is closed or its last handle is dropped.
    pub(crate) async fn run(mut self) {
        let closed = loop {
            let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Close(answer)) => break Some(answer),
                    Some(command) => self.command(command),
                    None => break None,
                },
                event = self.swarm.select_next_some() => self.swarm_event(event),
                Some(session) = self.sessions.join_next() => match session {
                    Ok((peer, ended)) => self.advance(peer, |link| link.session_ended(ended)),
                    Err(error) => tracing::error!(%error, "a session broke off, which is a bug"),
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.expire(),
            }
        };
        self.commands.close();
        self.registry.close();
        self.sessions.shutdown().await;
        drop(self);
        if let Some(answer) = closed {
            let _ = answer.send(());
        }
    }

    fn command(&mut self, command: Command) {
        // An answer that nobody waits for any more is nobody's loss.
        match command {
            Command::Listen { address, answer } => drop(answer.send(self.listen(&address))),
            Command::Dial { address, answer } => drop(answer.send(self.dial(address))),
            Command::Disconnect { peer, answer } => {
                self.registry.remove(peer);
                self.advance(peer, Link::close_all);
                let _ = answer.send(());
            }
            Command::Close(answer) => {
                let _ = answer.send(());
            }
        }
    }

    fn listen(&mut self, address: &Address) -> Result<(), NetworkError> {
        let target = Target::parse(address)?;
        if target.peer.is_some_and(|peer| peer != *self.swarm.local_peer_id()) {
            return Err(unusable(address, "it names another peer"));
        }
        let Some(socket) = target.socket else {
            return Err(unusable(address, "listening needs an IP address, not a host name"));
        };
        if target.transport == Transport::Tcp && socket.port() != 0 {
            // libp2p lets several sockets of one user listen on one TCP port, so that a second node would start and
            // take half of the first one's connections. A socket without that option finds out.
            std::net::TcpListener::bind(socket).map_err(|error| unusable(address, error.to_string()))?;
        }
        let listening = self.swarm.listen_on(target.place);
        listening.map(drop).map_err(|error| unusable(address, address::transport_reason(&error)))
    }

    fn dial(&mut self, address: Address) -> Result<(), NetworkError> {
        let target = Target::parse(&address)?;
        if target.socket.is_some_and(|socket| socket.port() == 0 || socket.ip().is_unspecified()) {
            return Err(unusable(&address, "it has no port or host that can be reached"));
        }
        if target.peer == Some(*self.swarm.local_peer_id()) {
            let reason = address::OWN.into();
            self.events.push_now(NetworkEvent::DialFailed { address, reason });
            return Ok(());
        }
        let known = target.peer.and_then(core_peer).and_then(|peer| self.peers.get(&peer));
        if known.is_some_and(|peer| peer.link.is_connected()) {
            return Ok(());
        }
        // Dialling from the listening port would let two TCP nodes that dial each other at the same moment meet halfway
        // in one connection, in which both are the initiator and the handshake fails. QUIC has no such trouble, and
        // gains from the open port in the router.
        let port_is_new = target.transport == Transport::Tcp;
        let options: DialOpts = match target.peer {
            Some(peer) => {
                let options = DialOpts::peer_id(peer).condition(PeerCondition::Always);
                let options = options.addresses(vec![target.place]);
                if port_is_new { options.allocate_new_port().build() } else { options.build() }
            }
            None => {
                let options = DialOpts::unknown_peer_id().address(target.place);
                if port_is_new { options.allocate_new_port().build() } else { options.build() }
            }
        };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => drop(self.dials.insert(connection, address)),
            Err(error) => {
                let reason = address::dial_reason(&error);
                self.events.push_now(NetworkEvent::DialFailed { address, reason });
            }
        }
        Ok(())
    }

    fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => self.stream_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { connection, result: Err(error), .. })) => {
                tracing::debug!(%connection, %error, "a peer does not answer");
                if !matches!(error, ping::Failure::Unsupported) {
                    self.swarm.close_connection(connection);
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                self.established(peer_id, connection_id);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                if let Some((peer, deadline)) = self.connections.remove(&connection_id) {
                    self.deadlines.remove(&(deadline, connection_id));
                    self.advance(peer, |link| link.closed(connection_id));
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(address) = self.dials.remove(&connection_id) {
                    let reason = address::dial_reason(&error);
                    self.events.push_now(NetworkEvent::DialFailed { address, reason });
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                if let Some(address) = address::full(&address, self.local) {
                    self.events.push_now(NetworkEvent::Listening { address });
                }
            }
            SwarmEvent::ListenerError { error, .. } | SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                tracing::warn!(%error, "a listener failed");
            }
            _ => {}
        }
    }

    fn established(&mut self, peer: LibPeer, connection: ConnectionId) {
        let dialled = self.dials.remove(&connection);
        let Some(peer) = core_peer(peer) else {
            self.swarm.close_connection(connection);
            if let Some(address) = dialled {
                let reason = "the peer has no Ed25519 key".into();
                self.events.push_now(NetworkEvent::DialFailed { address, reason });
            }
            return;
        };
        let deadline = Instant::now() + self.config.open_timeout();
        self.connections.insert(connection, (peer, deadline));
        self.deadlines.insert((deadline, connection));
        let local = self.local;
        self.peers.entry(peer).or_insert_with(|| Peer { link: Link::new(local, peer), stop: None });
        self.advance(peer, |link| link.established(connection, dialled));
    }

    fn stream_event(&mut self, StreamEvent { peer, connection, negotiated }: StreamEvent) {
        let Some(peer) = core_peer(peer) else { return };
        self.advance(peer, |link| match negotiated {
            Negotiated::Inbound(stream) => link.opened(connection, Opener::Peer, stream),
            Negotiated::Outbound(stream) => link.opened(connection, Opener::Us, stream),
            Negotiated::Failed => link.open_failed(connection),
        });
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((deadline, connection)) = self.deadlines.pop_first() {
            if deadline > now {
                self.deadlines.insert((deadline, connection));
                return;
            }
            // An earlier one than the connection's own is that of a stream on it.
            match self.connections.get(&connection).copied() {
                Some((peer, end)) if deadline < end => self.advance(peer, |link| link.overdue(connection)),
                Some((peer, _)) => self.advance(peer, |link| link.expired(connection)),
                None => {}
            }
        }
    }

    /// Lets a peer's link decide, and does what it asks for.
    fn advance(&mut self, peer: PeerId, decide: impl FnOnce(&mut Link<Stream>) -> Vec<Action<Stream>>) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let actions = decide(&mut entry.link);
        if entry.link.is_empty() {
            self.peers.remove(&peer);
        }
        for action in actions {
            match action {
                Action::Open(connection) => {
                    self.deadlines.insert((Instant::now() + OPEN_TURN, connection));
                    if let Some(peer) = libp2p_peer(peer) {
                        self.swarm.behaviour_mut().streams.open(peer, connection);
                    }
                }
                Action::Start { stream, dialled } => self.start(peer, stream, dialled),
                Action::Stop => {
                    if let Some(entry) = self.peers.get_mut(&peer) {
                        entry.stop = None;
                    }
                }
                Action::Close(connection) => drop(self.swarm.close_connection(connection)),
                Action::DialFailed(address) => {
                    let reason = "the connection ended before frames could be sent".into();
                    self.events.push_now(NetworkEvent::DialFailed { address, reason });
                }
            }
        }
    }

    fn start(&mut self, peer: PeerId, stream: Stream, dialled: Option<Address>) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let (stop, stopped) = oneshot::channel();
        entry.stop = Some(stop);
        let dialer = if dialled.is_some() { Dialer::Us } else { Dialer::Peer };
        let session = Session {
            peer,
            stream,
            connected: NetworkEvent::Connected { peer, dialer, address: dialled },
            frames: self.registry.add(peer),
            events: self.events.clone(),
            registry: Arc::clone(&self.registry),
            stall: self.config.stall_timeout(),
        };
        self.sessions.spawn(session.run(stopped));
    }
}
