//! The task that owns the swarm. It holds no decision of its own: commands and the swarm's events go to `links`, and
//! what `links` asks for is done here.

mod moving;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use libp2p::core::transport::ListenerId;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId as LibPeer, Swarm, identify};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use walytis_core::{Address, Dialer, Found, Merit, NetworkError, NetworkEvent, OtherProtocol, PeerId, Route, Way};

use crate::address::{self, Target, Transport, core_peer, libp2p_peer, unusable};
use crate::config::{NetConfig, OPEN_TURN};
use crate::discovery::Discovery;
use crate::interfaces::{Interfaces, Settling};
use crate::links::{Action, Ended, Link, Opener};
use crate::origin::Origin;
use crate::own_addresses::{OwnAddresses, Source};
use crate::protocol::{self, PARTING};
use crate::queues::{Events, Registry};
use crate::session::Session;
use crate::sockets::Sockets;
use crate::streams::{Negotiated, StreamEvent};
use crate::transport::{Behaviour, BehaviourEvent};

type Answer<T> = oneshot::Sender<T>;

/// What a handle asks for.
pub(crate) enum Command {
    Listen { address: Address, answer: Answer<Result<(), NetworkError>> },
    Dial { address: Address, answer: Answer<Result<(), NetworkError>> },
    Disconnect { peer: PeerId, answer: Answer<()> },
    Find { peer: PeerId, answer: Answer<()> },
    SetMerit { peer: PeerId, merit: Merit, answer: Answer<()> },
    Routes(Answer<Vec<Route>>),
    AddressLost { address: IpAddr, answer: Answer<()> },
    Close(Answer<()>),
}

/// Why a dial came to nothing, if nothing else is known.
const ENDED: &str = "the connection ended before frames could be sent";

/// A connection.
struct Connection {
    peer: PeerId,
    /// By when it must carry frames.
    deadline: Instant,
    dialer: Dialer,
    way: Way,
    found: Found,
    address: Option<Address>,
    /// What it speaks, if that is another protocol than ours.
    theirs: Option<u32>,
    identified: bool,
    /// It takes no frames, as it said before it told what else it has.
    unsupported: bool,
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
    connections: HashMap<ConnectionId, Connection>,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
    dials: HashMap<ConnectionId, Address>,
    sessions: JoinSet<(PeerId, Ended)>,
    discovery: Discovery,
    /// Listeners on every interface: what they say of the loopback interface is of no use to others.
    everywhere: HashSet<ListenerId>,
    own: OwnAddresses,
    interfaces: Interfaces,
    settling: Settling,
    sockets: Sockets,
}

impl Driver {
    pub(crate) fn new(
        local: PeerId,
        swarm: Swarm<Behaviour>,
        config: NetConfig,
        (commands, events, registry): (mpsc::Receiver<Command>, Events, Arc<Registry>),
        discovery: Discovery,
        sockets: Sockets,
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
            discovery,
            everywhere: HashSet::new(),
            own: OwnAddresses::new(local),
            interfaces: Interfaces::watch(),
            settling: Settling::new(Instant::now()),
            sockets,
        }
    }

    /// Runs until the network is closed or its last handle is dropped.
    pub(crate) async fn run(mut self) {
        let closed = loop {
            let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
            let waking = self.discovery.deadline();
            let settled = self.settling.due();
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
                change = self.interfaces.next() => self.interface_changed(change),
                () = sleep_until(settled.unwrap_or_else(Instant::now)), if settled.is_some() => self.settled(),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.expire(),
                () = sleep_until(waking.unwrap_or_else(Instant::now)), if waking.is_some() => {
                    self.discovery.wake(&mut self.swarm);
                }
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
            Command::Find { peer, answer } => {
                for address in self.discovery.find(&mut self.swarm, peer) {
                    self.events.push_now(NetworkEvent::Discovered { address });
                }
                let _ = answer.send(());
            }
            Command::SetMerit { peer, merit, answer } => {
                let admission = &mut self.swarm.behaviour_mut().admission;
                admission.set_merit(peer, merit);
                self.registry.set_merit(peer, admission.merit(peer));
                let _ = answer.send(());
            }
            Command::Routes(answer) => drop(answer.send(self.routes())),
            Command::AddressLost { address, answer } => {
                self.address_lost(address);
                let _ = answer.send(());
            }
            Command::Close(answer) => {
                let _ = answer.send(());
            }
        }
    }

    fn routes(&self) -> Vec<Route> {
        let carrying = self.peers.values().filter_map(|peer| self.connections.get(&peer.link.carrying()?));
        let routes = carrying.map(|connection| {
            let Connection { peer, way, found, address, .. } = connection;
            Route { peer: *peer, way: *way, found: *found, address: address.clone() }
        });
        routes.collect()
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
        if target.relay.is_some() {
            return Err(unusable(address, "a place at a relay is asked for when the network starts"));
        }
        let listening = self.swarm.listen_on(target.place);
        let listener = listening.map_err(|error| unusable(address, address::transport_reason(&error)))?;
        if socket.ip().is_unspecified() {
            self.everywhere.insert(listener);
        }
        Ok(())
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
        // A session that has ended is told of before it is known here, and who hears it may dial again at once.
        let known = target.peer.and_then(core_peer).filter(|peer| self.registry.contains(*peer));
        if known.and_then(|peer| self.peers.get(&peer)).is_some_and(|peer| peer.link.is_connected()) {
            return Ok(());
        }
        // Dialling from the listening port would let two TCP nodes that dial each other at the same moment meet halfway
        // in one connection, in which both are the initiator and the handshake fails. QUIC has no such trouble, and
        // gains from the open port in the router.
        let port_is_new = target.transport == Transport::Tcp;
        let place = match (target.relay, target.peer) {
            (Some(_), Some(peer)) => target.place.with(Protocol::P2p(peer)),
            _ => target.place,
        };
        let options: DialOpts = match target.peer {
            Some(peer) => {
                let options = DialOpts::peer_id(peer).condition(PeerCondition::Always);
                let options = options.addresses(vec![place]);
                if port_is_new { options.allocate_new_port().build() } else { options.build() }
            }
            None => {
                let options = DialOpts::unknown_peer_id().address(place);
                if port_is_new { options.allocate_new_port().build() } else { options.build() }
            }
        };
        let connection = options.connection_id();
        self.swarm.behaviour_mut().streams.dialled(connection);
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
            SwarmEvent::Behaviour(BehaviourEvent::Liveness(unanswered)) => self.unanswered(&unanswered),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.identify_event(event),
            SwarmEvent::Behaviour(event) => {
                for address in self.discovery.event(&mut self.swarm, event) {
                    self.events.push_now(NetworkEvent::Discovered { address });
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.discovery.established(peer_id, &endpoint);
                self.established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, peer_id, num_established, .. } => {
                if num_established == 0 {
                    self.discovery.gone(&peer_id);
                }
                if let Some(Connection { peer, deadline, theirs, .. }) = self.connections.remove(&connection_id) {
                    self.deadlines.remove(&(deadline, connection_id));
                    let ours = self.config.protocol;
                    let reason = theirs.map(|theirs| OtherProtocol { peer, theirs, ours }.to_string());
                    self.advance_saying(peer, reason.as_deref().unwrap_or(ENDED), |link| link.closed(connection_id));
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(address) = self.dials.remove(&connection_id) {
                    let reason = address::dial_reason(&error);
                    self.events.push_now(NetworkEvent::DialFailed { address, reason });
                }
            }
            // What a relay says of our address is passed over: the one that we gave works, and is confirmed.
            SwarmEvent::NewListenAddr { address, .. } if address::relay_of(&address).is_some() => {}
            SwarmEvent::NewListenAddr { listener_id, address } => {
                if !(self.everywhere.contains(&listener_id) && address::is_local(&address)) {
                    self.discovery.listening(&mut self.swarm, &address);
                }
                let event = self.own.add(&address, Source::Listener(listener_id));
                self.tell(event);
            }
            SwarmEvent::ExpiredListenAddr { listener_id, address } => self.listen_ended(listener_id, &address),
            SwarmEvent::ExternalAddrConfirmed { address } => {
                tracing::debug!(%address, "can be reached");
                self.discovery.announce(&mut self.swarm);
                let event = self.own.add(&address, Source::Outside);
                self.tell(event);
            }
            SwarmEvent::ExternalAddrExpired { address } => {
                let event = self.own.remove(&address, Source::Outside);
                self.tell(event);
            }
            SwarmEvent::ListenerClosed { listener_id, reason, addresses } => {
                for address in &addresses {
                    self.listen_ended(listener_id, address);
                }
                self.everywhere.remove(&listener_id);
                if !self.discovery.listener_closed(listener_id)
                    && let Err(error) = reason
                {
                    tracing::warn!(%error, "a listener failed");
                }
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed"),
            _ => {}
        }
    }

    fn established(&mut self, peer: LibPeer, connection: ConnectionId, endpoint: &ConnectedPoint) {
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
        let entry = self.describe(peer, deadline, dialled.clone(), endpoint);
        self.connections.insert(connection, entry);
        self.deadlines.insert((deadline, connection));
        if self.swarm.behaviour().streams.carries(connection) {
            let local = self.local;
            self.peers.entry(peer).or_insert_with(|| Peer { link: Link::new(local, peer), stop: None });
            self.probe_carrying(peer);
            self.advance(peer, |link| link.established(connection, dialled, endpoint.is_relayed()));
        }
    }

    /// Whether connections of ours lead through a peer.
    fn is_relay(&self, peer: PeerId) -> bool {
        self.connections.values().any(|entry| entry.way == Way::Relayed { relay: Some(peer) })
    }

    /// What is known of a new connection.
    fn describe(
        &self,
        peer: PeerId,
        deadline: Instant,
        dialled: Option<Address>,
        endpoint: &ConnectedPoint,
    ) -> Connection {
        let (dialer, place) = match endpoint {
            // Of two that dial each other through their routers one is the dialer.
            ConnectedPoint::Dialer { address, role_override: Endpoint::Dialer, .. } => (Dialer::Us, address),
            ConnectedPoint::Dialer { address, .. } => (Dialer::Peer, address),
            ConnectedPoint::Listener { local_addr, .. } if endpoint.is_relayed() => (Dialer::Peer, local_addr),
            ConnectedPoint::Listener { send_back_addr, .. } => (Dialer::Peer, send_back_addr),
        };
        // A direct connection that nobody asked for beside a relayed one has come of it, and was found as that was.
        let mut beside = self.connections.values().filter(|entry| entry.peer == peer);
        let beside = beside.find(|entry| matches!(entry.way, Way::Relayed { .. })).filter(|_| dialled.is_none());
        let way = match (address::relay_of(place), beside) {
            (Some(relay), _) => Way::Relayed { relay: relay.and_then(core_peer) },
            (None, Some(_)) => Way::HolePunched(address::carrier(place)),
            (None, None) => Way::Direct(address::carrier(place)),
        };
        let found = match (&dialled, beside) {
            (Some(address), _) => self.discovery.source(address),
            (None, Some(relayed)) => relayed.found,
            (None, None) => Found::CameToUs,
        };
        let address = dialled.or_else(|| address::full(&address::bare(place.clone()), peer));
        let (theirs, identified, unsupported) = (None, false, false);
        Connection { peer, deadline, dialer, way, found, address, theirs, identified, unsupported }
    }

    fn stream_event(&mut self, StreamEvent { peer, connection, negotiated }: StreamEvent) {
        let Some(peer) = core_peer(peer) else { return };
        if let (Negotiated::Unsupported, Some(entry)) = (&negotiated, self.connections.get_mut(&connection)) {
            entry.unsupported = true;
            // What it speaks instead it tells any moment, or the connection has had its time.
            if !entry.identified || entry.theirs.is_some() {
                return;
            }
        }
        self.advance(peer, |link| match negotiated {
            Negotiated::Inbound(stream) => link.opened(connection, Opener::Peer, stream),
            Negotiated::Outbound(stream) => link.opened(connection, Opener::Us, stream),
            Negotiated::Failed => link.open_failed(connection),
            Negotiated::Unsupported => link.unsupported(connection),
        });
    }

    /// Reads off what a peer says of itself which protocol it speaks. From one that speaks another one than ours we part, once
    /// it has had the time to learn our number; it is no reason to think ill of it.
    fn identify_event(&mut self, event: identify::Event) {
        let (connection, protocols) = match event {
            identify::Event::Received { connection_id, info, .. } => (connection_id, info.protocols),
            identify::Event::Error { connection_id, .. } => (connection_id, Vec::new()),
            _ => return,
        };
        let ours = self.config.protocol;
        let theirs = protocol::other_number(&protocols, ours);
        let Some(entry) = self.connections.get_mut(&connection) else { return };
        let first = !std::mem::replace(&mut entry.identified, true);
        let (peer, unsupported, dialer) = (entry.peer, entry.unsupported, entry.dialer);
        match theirs {
            Some(theirs) if first => {
                entry.theirs = Some(theirs);
                let deadline = Instant::now() + PARTING;
                let before = std::mem::replace(&mut entry.deadline, deadline);
                self.deadlines.remove(&(before, connection));
                self.deadlines.insert((deadline, connection));
                // Nobody pays for the event, and strangers come as often as they like.
                if dialer == Dialer::Us || self.swarm.behaviour().admission.merit(peer) != Merit::Stranger {
                    self.events.push_now(protocol::other(peer, theirs, ours));
                }
            }
            None if first && unsupported => self.advance(peer, |link| link.unsupported(connection)),
            _ => {}
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((deadline, connection)) = self.deadlines.pop_first() {
            if deadline > now {
                self.deadlines.insert((deadline, connection));
                return;
            }
            let Some(entry) = self.connections.get(&connection) else { continue };
            let (peer, end) = (entry.peer, entry.deadline);
            // An earlier one than the connection's own is that of a stream on it.
            if deadline < end {
                self.advance(peer, |link| link.overdue(connection));
            } else if self.discovery.needs(peer) || self.is_relay(peer) {
                let later = now + self.config.open_timeout();
                self.connections.entry(connection).and_modify(|entry| entry.deadline = later);
                self.deadlines.insert((later, connection));
            } else if self.swarm.behaviour().streams.carries(connection) {
                self.advance(peer, |link| link.expired(connection));
            } else {
                self.swarm.close_connection(connection);
            }
        }
    }

    /// Lets a peer's link decide, and does what it asks for.
    fn advance(&mut self, peer: PeerId, decide: impl FnOnce(&mut Link<Stream>) -> Vec<Action<Stream>>) {
        self.advance_saying(peer, ENDED, decide);
    }

    /// The same; a dial that has failed by it has failed for this reason.
    fn advance_saying(
        &mut self,
        peer: PeerId,
        reason: &str,
        decide: impl FnOnce(&mut Link<Stream>) -> Vec<Action<Stream>>,
    ) {
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
                Action::Start { connection, stream, dialled } => self.start(peer, connection, stream, dialled),
                Action::Stop => {
                    if let Some(entry) = self.peers.get_mut(&peer) {
                        entry.stop = None;
                    }
                }
                Action::Close(connection) => drop(self.swarm.close_connection(connection)),
                Action::DialFailed(address) => {
                    let reason = reason.to_owned();
                    self.events.push_now(NetworkEvent::DialFailed { address, reason });
                }
            }
        }
    }

    fn start(&mut self, peer: PeerId, connection: ConnectionId, stream: Stream, dialled: Option<Address>) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let (stop, stopped) = oneshot::channel();
        entry.stop = Some(stop);
        let from = self.connections.get(&connection);
        let dialer = from.map_or(Dialer::Peer, |connection| connection.dialer);
        let remote = from.and_then(|connection| connection.address.as_ref()?.as_str().parse().ok());
        let from = Origin::of(&remote.unwrap_or_else(Multiaddr::empty)).narrow;
        let merit = self.swarm.behaviour().admission.merit(peer);
        let (frames, purse) = self.registry.add(peer, from, merit);
        let session = Session {
            peer,
            stream,
            connected: NetworkEvent::Connected { peer, dialer, address: dialled },
            frames,
            purse,
            events: self.events.clone(),
            registry: Arc::clone(&self.registry),
            stall: self.config.stall_timeout(),
        };
        self.sessions.spawn(session.run(stopped));
    }
}
