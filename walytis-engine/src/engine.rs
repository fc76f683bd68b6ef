//! The engine of a node that has public chains and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::Outbox;
use crate::machine::{Effect as AnyEffect, Event as AnyEvent, Protocol, Ticket};
use crate::public::{
    ChainAnswer, ChainCommand, ChainEffect, ChainEntry, ChainSummary, ChainTimer, Desk, FRAME_KIND, PublicChains,
    PublicError,
};
use walytis_core::{
    Address, AuthorSecret, ChainError, CodecError, Dialer, KnownPeer, Merit, PeerId, Pending, Store, StoreError, Table,
    Timestamp, Workers, codec,
};

/// One row each: the transport key's seed, and the addresses on which the node listened last.
const NODE: Table = Table::changing("core.node");
const TRANSPORT: &[u8] = &[0];
const LISTENING: &[u8] = &[1];

/// How long a peer may be connected without sharing a chain.
const STRANGER_MS: u64 = 30_000;
/// What is said where too much waits in memory for a store without room.
const HELD: &str = "too much waits for it";
/// How long a peer that misbehaved is not spoken to.
const FORGIVE_MS: u64 = 60_000;

/// What is this engine's own in what it hears and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Public {}

impl Protocol for Public {
    type Command = Command;
    type Answer = Answer;
    type Error = PublicError;
    type Timer = Timer;
    type Delivery = Delivery;
}

/// What this engine is told.
pub type Event = AnyEvent<Public>;
/// What the shell has to do.
pub type Effect = AnyEffect<Public>;

/// What an application asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Something about public chains. Answered by [`Answer::Chain`].
    Chain(ChainCommand),
    /// Says how the node is. Answered by [`Answer::Status`].
    Status,
    /// Says what is remembered of peers. Answered by [`Answer::Peers`].
    Peers,
    /// Connects to an address now, and again whenever the connection is lost. Answered by [`Answer::Done`].
    Connect {
        /// The address.
        address: Address,
    },
}

/// What a command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// About public chains.
    Chain(ChainAnswer),
    /// How the node is.
    Status(Status),
    /// What is remembered of peers.
    Peers(Vec<KnownPeer>),
    /// It is done.
    Done,
}

/// What a subscription hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// A block of a public chain, after its parents.
    Chain(ChainEntry),
    /// Nothing more comes: the public chain is being deleted.
    ChainEnded,
}

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// About public chains.
    Chain(ChainTimer),
    /// A peer has been connected for a while; by now it should share a chain.
    Stranger {
        /// The peer.
        peer: PeerId,
        /// Which connection, so that a later one is not ended.
        connection: u64,
    },
    /// Speak to a peer again that misbehaved.
    Forgive(PeerId),
}

/// How the node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it accepts connections.
    pub addresses: Vec<Address>,
    /// Peers with which a chain is shared.
    pub peers: Vec<PeerId>,
    /// Its public chains.
    pub chains: Vec<ChainSummary>,
}

/// A node that has public chains and nothing else. Events go in, effects come out; the shell turns sockets, commits and
/// timers into events and back.
///
/// **Invariant:** an effect that tells anybody anything leaves only when everything that the engine knew when it decided
/// on it is durable. To ask for the next blocks tells nothing.
pub struct Engine {
    view: Pending,
    now: Timestamp,
    rng: Box<dyn CryptoRng + Send>,
    transport: Zeroizing<[u8; 32]>,
    public: PublicChains,
    listening: Vec<Address>,
    /// Connected peers, and which connection each is.
    peers: BTreeMap<PeerId, u64>,
    connections: u64,
    shunned: BTreeSet<PeerId>,
    /// What waits for no commit.
    at_once: Vec<Effect>,
    outgoing: Vec<Effect>,
    outbox: Outbox<Effect>,
    stopped: Option<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("public", &self.public).finish_non_exhaustive()
    }
}

fn peer_of(transport: &[u8; 32]) -> PeerId {
    PeerId(AuthorSecret::from_seed(transport).public().0)
}

fn read_seed(view: &Pending) -> Result<Option<Zeroizing<[u8; 32]>>, PublicError> {
    let Some(row) = view.get(NODE, TRANSPORT)?.map(Zeroizing::new) else { return Ok(None) };
    let damaged = ChainError::Record { table: NODE.name, reason: CodecError::Malformed };
    let seed = row.as_slice().try_into().map_err(|_| damaged)?;
    Ok(Some(Zeroizing::new(seed)))
}

impl Engine {
    /// Makes a node's key in an empty store, in one commit.
    ///
    /// # Errors
    /// [`PublicError::IdentityExists`] if the store holds one already, or the store's own error.
    pub fn create(store: &Arc<dyn Store>, rng: &mut dyn CryptoRng) -> Result<PeerId, PublicError> {
        let mut view = Pending::new(Arc::clone(store));
        if read_seed(&view)?.is_some() {
            return Err(PublicError::IdentityExists);
        }
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let peer = peer_of(&seed);
        view.put(NODE, TRANSPORT, seed);
        seed.zeroize();
        if let Some((_, batch)) = view.close_step() {
            store.commit(&batch)?;
        }
        Ok(peer)
    }

    /// Opens the engine on a store that holds a node's key.
    ///
    /// # Errors
    /// [`PublicError::NoIdentity`] if it holds none, or the store's own error.
    pub fn open(store: Arc<dyn Store>, now: Timestamp, rng: Box<dyn CryptoRng + Send>) -> Result<Self, PublicError> {
        let view = Pending::new(store);
        let transport = read_seed(&view)?.ok_or(PublicError::NoIdentity)?;
        let remembered = listening(&view)?;
        let public = PublicChains::open(&view, peer_of(&transport), remembered)?;
        Ok(Self {
            view,
            now,
            rng,
            transport,
            public,
            listening: Vec::new(),
            peers: BTreeMap::new(),
            connections: 0,
            shunned: BTreeSet::new(),
            at_once: Vec::new(),
            outgoing: Vec::new(),
            outbox: Outbox::default(),
            stopped: None,
        })
    }

    /// Lets others verify signatures, on several processors if there are. Without this call one is verified after the
    /// other.
    #[must_use]
    pub fn with_workers(mut self, workers: Arc<dyn Workers>) -> Self {
        self.public.employ(workers);
        self
    }

    /// The most bytes that all public chains have here together; without this call,
    /// [`PUBLIC_BYTES_MAX`](crate::public::PUBLIC_BYTES_MAX).
    #[must_use]
    pub const fn with_public_bytes_max(mut self, bytes: u64) -> Self {
        self.public.limit_all(bytes);
        self
    }

    /// Whether the removal of a public chain was cut short and is to go on.
    #[must_use]
    pub fn removes_chains(&self) -> bool {
        self.public.removes()
    }

    /// Leaves removals that were cut short as they are, until another chain is removed or the store is opened anew: where
    /// there is no room for their first step, the rest can be used.
    pub fn put_off_removals(&mut self) {
        self.public.put_off_removals();
    }

    /// The key by which the transport knows this node.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        peer_of(&self.transport)
    }

    /// The secret of that key: an Ed25519 seed.
    #[must_use]
    pub fn transport_seed(&self) -> Zeroizing<[u8; 32]> {
        self.transport.clone()
    }

    /// The addresses on which this node listened last.
    ///
    /// # Errors
    /// The store's error.
    pub fn remembered_listening(&self) -> Result<Vec<Address>, PublicError> {
        Ok(listening(&self.view)?)
    }

    /// What it knows of its public chains and their limits.
    #[must_use]
    pub const fn public(&self) -> &PublicChains {
        &self.public
    }

    /// Takes an event and adds what is to be done to `out`, in order.
    pub fn handle(&mut self, now: Timestamp, event: Event, out: &mut Vec<Effect>) {
        self.now = now;
        if let Some(reason) = &self.stopped {
            if let AnyEvent::Command { ticket, .. } = event {
                out.push(Effect::Reply { ticket, answer: Err(PublicError::Stopped(reason.clone())) });
            }
            return;
        }
        let begun = self.with_public(|public, desk| public.register(desk));
        let outcome = begun.and_then(|()| self.dispatch(event));
        self.end_step(outcome, out);
    }

    /// The engine as it begins on what is durable, with the same source of randomness: for when a commit has failed for lack of
    /// room, and the store was opened anew.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn begun_anew(self, store: Arc<dyn Store>, now: Timestamp) -> Result<Self, PublicError> {
        Self::open(store, now, self.rng)
    }

    /// The store has no room: no block is taken from peers, and nothing leaves for the store until [`Engine::room_again`].
    /// The caller gives no command that writes meanwhile.
    pub fn set_full(&mut self) {
        self.view.set_full();
    }

    /// The store has room again: what was put off goes on.
    pub fn room_again(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.now = now;
        if let Some((number, batch)) = self.view.take_held() {
            out.push(Effect::Commit { number, batch });
        }
        let begun = self.with_public(|public, desk| public.register(desk));
        self.public.room_again();
        self.end_step(begun, out);
    }

    fn end_step(&mut self, outcome: Result<(), PublicError>, out: &mut Vec<Effect>) {
        let outcome = outcome.and_then(|()| self.with_public(|public, desk| public.finish(desk)));
        if let Err(error) = outcome {
            self.stop(error, out);
            return;
        }
        if let Some((number, batch)) = self.view.close_step() {
            out.push(Effect::Commit { number, batch });
        }
        if self.view.holds_too_much() {
            self.stop(StoreError::Full { reason: HELD.to_owned() }.into(), out);
            return;
        }
        // A block leaves before the heads that name it.
        out.append(&mut self.at_once);
        let barrier = self.view.barrier();
        for effect in self.outgoing.drain(..) {
            self.outbox.push(barrier, effect);
        }
        while let Some(effect) = self.outbox.next_ready() {
            out.push(effect);
        }
    }

    /// What leaves this function as an error is our own store's failure.
    fn dispatch(&mut self, event: Event) -> Result<(), PublicError> {
        match event {
            AnyEvent::Online => self.with_public(|public, desk| {
                public.online(desk);
                Ok(())
            }),
            AnyEvent::Listening(address) => {
                if !self.listening.contains(&address) {
                    self.listening.push(address);
                    self.view.put(NODE, LISTENING, codec::encode(&self.listening));
                }
                let addresses = self.listening.clone();
                self.with_public(|public, desk| {
                    public.listening(desk, &addresses);
                    Ok(())
                })
            }
            AnyEvent::ListenEnded(address) => {
                self.listening.retain(|known| *known != address);
                self.view.put(NODE, LISTENING, codec::encode(&self.listening));
                let addresses = self.listening.clone();
                self.with_public(|public, desk| {
                    public.listening(desk, &addresses);
                    Ok(())
                })
            }
            AnyEvent::AddressesChanged => self.with_public(|public, desk| {
                public.addresses_changed(desk);
                Ok(())
            }),
            AnyEvent::Connected { peer, dialer, address } => {
                self.connections = self.connections.wrapping_add(1);
                let connection = self.connections;
                self.peers.insert(peer, connection);
                let timer = Timer::Stranger { peer, connection };
                self.outgoing.push(Effect::Timer { after_ms: STRANGER_MS, timer });
                if self.shunned.contains(&peer) {
                    return Ok(());
                }
                self.with_public(|public, desk| {
                    public.connected(desk, peer, dialer, address.as_ref());
                    Ok(())
                })
            }
            AnyEvent::Disconnected(peer) => {
                self.peers.remove(&peer);
                self.with_public(|public, desk| public.disconnected(desk, peer))
            }
            AnyEvent::Frame { peer, bytes } => self.frame(peer, &bytes),
            AnyEvent::DialFailed(address) => self.with_public(|public, desk| {
                public.dial_failed(desk, &address);
                Ok(())
            }),
            AnyEvent::Discovered(address) => {
                if address.peer().is_some_and(|peer| self.peers.contains_key(&peer) || self.shunned.contains(&peer)) {
                    return Ok(());
                }
                self.with_public(|public, desk| {
                    public.discovered(desk, &address);
                    Ok(())
                })
            }
            AnyEvent::Command { ticket, command } => self.command(ticket, command),
            AnyEvent::Committed(number) => {
                self.view.committed(number);
                self.outbox.committed(number);
                self.with_public(|public, desk| {
                    public.committed(desk, number);
                    Ok(())
                })
            }
            AnyEvent::CommitFailed(error) => Err(error.into()),
            AnyEvent::DiskSpace(space) => {
                self.public.disk_space(space);
                Ok(())
            }
            AnyEvent::Timer(timer) => self.timer(timer),
        }
    }

    fn frame(&mut self, peer: PeerId, bytes: &[u8]) -> Result<(), PublicError> {
        if !self.peers.contains_key(&peer) || self.shunned.contains(&peer) {
            return Ok(());
        }
        match bytes.split_first() {
            Some((&FRAME_KIND, rest)) => self.with_public(|public, desk| public.frame(desk, peer, rest)),
            // Another layer's: this node has none.
            Some((1..=4, _)) => Ok(()),
            _ => {
                self.public.forget(peer);
                self.misbehaved(peer);
                Ok(())
            }
        }
    }

    fn command(&mut self, ticket: Ticket, command: Command) -> Result<(), PublicError> {
        let answer = match command {
            Command::Chain(command) => {
                return self.with_public(|public, desk| public.command(desk, ticket, command));
            }
            Command::Status => self.public.all(&self.view).map(|chains| {
                let peers = self.peers.keys().copied().filter(|peer| self.public.knows(*peer)).collect();
                let addresses = Address::for_others(&self.listening, usize::MAX);
                Answer::Status(Status { addresses, peers, chains })
            }),
            Command::Peers => Ok(Answer::Peers(self.public.known_peers())),
            Command::Connect { address } => {
                self.with_public(|public, desk| {
                    public.connect(desk, address);
                    Ok(())
                })?;
                Ok(Answer::Done)
            }
        };
        let fatal = answer.as_ref().err().filter(|error| error.is_fatal()).cloned();
        self.outgoing.push(Effect::Reply { ticket, answer });
        fatal.map_or(Ok(()), Err)
    }

    fn timer(&mut self, timer: Timer) -> Result<(), PublicError> {
        match timer {
            Timer::Chain(timer) => self.with_public(|public, desk| public.timer(desk, timer)),
            Timer::Stranger { peer, connection } => {
                if self.peers.get(&peer) == Some(&connection) && !self.public.knows(peer) {
                    self.outgoing.push(Effect::Disconnect(peer));
                }
                Ok(())
            }
            Timer::Forgive(peer) => {
                self.shunned.remove(&peer);
                if !self.peers.contains_key(&peer) || self.public.is_connected(peer) {
                    return Ok(());
                }
                // It came back meanwhile.
                self.with_public(|public, desk| {
                    public.connected(desk, peer, Dialer::Peer, None);
                    Ok(())
                })
            }
        }
    }

    /// Lets public chains do something, and passes on what they want done.
    fn with_public(
        &mut self,
        act: impl FnOnce(&mut PublicChains, &mut Desk<'_>) -> Result<(), PublicError>,
    ) -> Result<(), PublicError> {
        let mut out = Vec::new();
        let mut desk = Desk { view: &mut self.view, now: self.now, rng: &mut *self.rng, out: &mut out };
        let done = act(&mut self.public, &mut desk);
        for effect in out {
            let effect = match effect {
                ChainEffect::Send { peer, frame } => Effect::Send { peer, frame },
                ChainEffect::SendAtOnce { peer, frame } => {
                    self.at_once.push(Effect::Send { peer, frame });
                    continue;
                }
                ChainEffect::Next(timer) => {
                    self.at_once.push(Effect::Timer { after_ms: 0, timer: Timer::Chain(timer) });
                    continue;
                }
                ChainEffect::AskDiskSpace => {
                    self.at_once.push(Effect::AskDiskSpace);
                    continue;
                }
                ChainEffect::Dial(address) => Effect::Dial(address),
                ChainEffect::Find(peer) => Effect::Find(peer),
                ChainEffect::Merit { peer, merit } => Effect::Merit { peer, merit },
                ChainEffect::Timer { after_ms, timer } => Effect::Timer { after_ms, timer: Timer::Chain(timer) },
                ChainEffect::Reply { ticket, answer } => Effect::Reply { ticket, answer: answer.map(Answer::Chain) },
                ChainEffect::Delivered { subscription, entry } => {
                    Effect::Delivered { subscription, delivery: Delivery::Chain(entry) }
                }
                ChainEffect::Ended { subscription } => {
                    Effect::Delivered { subscription, delivery: Delivery::ChainEnded }
                }
                ChainEffect::Progress { ticket, progress } => Effect::Progress { ticket, progress },
                // Nobody here has private chains.
                ChainEffect::Expelled { .. } => continue,
                ChainEffect::Misbehaved(peer) => {
                    self.misbehaved(peer);
                    continue;
                }
                ChainEffect::Disconnect(peer) => Effect::Disconnect(peer),
            };
            self.outgoing.push(effect);
        }
        done
    }

    /// Ends the connection to a peer that sent what no honest one sends, and does not speak to it for a while.
    fn misbehaved(&mut self, peer: PeerId) {
        self.shunned.insert(peer);
        self.outgoing.push(Effect::Merit { peer, merit: Merit::Stranger });
        self.outgoing.push(Effect::Disconnect(peer));
        self.outgoing.push(Effect::Timer { after_ms: FORGIVE_MS, timer: Timer::Forgive(peer) });
    }

    fn stop(&mut self, error: PublicError, out: &mut Vec<Effect>) {
        self.view.failed();
        // Whoever waits for what was not written must not believe that it was, and nobody waits for ever.
        let reason = error.to_string();
        for ticket in self.public.take_waiting() {
            out.push(Effect::Reply { ticket, answer: Err(PublicError::Stopped(reason.clone())) });
        }
        for effect in self.outbox.take_held().into_iter().chain(std::mem::take(&mut self.outgoing)) {
            if let Effect::Reply { ticket, answer } = effect {
                let answer = Err(answer.err().unwrap_or_else(|| PublicError::Stopped(reason.clone())));
                out.push(Effect::Reply { ticket, answer });
            }
        }
        self.stopped = Some(reason);
        out.push(Effect::Stopped(error));
    }
}

fn listening(view: &Pending) -> Result<Vec<Address>, ChainError> {
    let Some(row) = view.get(NODE, LISTENING)? else { return Ok(Vec::new()) };
    codec::decode(&row).map_err(|reason| ChainError::Record { table: NODE.name, reason })
}
