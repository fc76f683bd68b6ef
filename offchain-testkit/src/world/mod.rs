//! A simulated world: production engines over in-memory stores, a network of our own, and a virtual clock.
//!
//! One thread, one queue of events, one generator a node. The same seed and the same calls give the same trace hash.

mod clock;
mod faults;
mod gauges;
mod leaks;
mod medium;
mod network;
mod node;
mod storage;
mod strings;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{Address, BatchNumber, Merit, PeerId, Store, StoreError, Timestamp};
use walytis_engine::DiskSpace;
use walytis_offchain::{
    Answer, Command, Delivery, Effect, Engine, EngineError, Event, FrameKind, Identity, Progress, Ticket,
};

pub use clock::WallClock;
pub use faults::{Fault, Faults};
pub use medium::{Damage, StoreCopy};
pub use network::Mangle;

use crate::MemoryStore;
use medium::Medium;
use network::{Blocked, Way};
use node::{Body, SimNode};

/// A node of the world, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// How the world behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldConfig {
    /// What everything random follows from.
    pub seed: u64,
    /// The shortest way of a frame, in microseconds.
    pub latency_min_us: u64,
    /// The longest way of a frame, in microseconds. Frames of one direction keep their order.
    pub latency_max_us: u64,
    /// How long a commit takes, in microseconds.
    pub commit_us: u64,
    /// How many frames of a thousand take seconds: up to [`TAIL_US`], and all behind them wait.
    pub tail_permille: u16,
}

/// The longest delay of a frame in the tail, in microseconds.
pub const TAIL_US: u64 = 10_000_000;

/// How many signatures a world's thread remembers to have verified, so that a swarm verifies each only once.
const REMEMBERED_SIGNATURES: usize = 8_192;

impl WorldConfig {
    /// A calm world: 0.1 to 5 ms between nodes, 0.4 ms a commit.
    #[must_use]
    pub const fn calm(seed: u64) -> Self {
        Self { seed, latency_min_us: 100, latency_max_us: 5_000, commit_us: 400, tail_permille: 0 }
    }
}

/// What is due at a time. `life` names the run of a node that it is for: what was due for an earlier one is lost.
struct Due {
    node: NodeId,
    life: u64,
    happening: Happening,
}

enum Happening {
    /// The engine is told.
    Event(Event),
    /// A frame arrives, unless the connection over which it was sent is gone.
    Frame { from: NodeId, link: u64, bytes: Vec<u8> },
    /// The oldest batch that is being written becomes durable.
    Commit(BatchNumber),
    /// This end notices that a connection is dead.
    LinkTimeout { with: NodeId, link: u64 },
    /// A node goes on that stood still.
    Wake,
}

/// The world. See the module's documentation.
pub struct World {
    config: WorldConfig,
    rng: ChaCha20Rng,
    now_us: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    due: BTreeMap<u64, Due>,
    nodes: Vec<SimNode>,
    by_peer: BTreeMap<PeerId, NodeId>,
    /// Ways that are cut, and whether anybody has noticed.
    cut: BTreeMap<(NodeId, NodeId), bool>,
    blocked: BTreeMap<Way, Blocked>,
    mangles: BTreeMap<Way, VecDeque<Mangle>>,
    /// When a frame of a direction was last sent over a connection on which something had been done to one, and which: what
    /// comes behind a frame that is lost looks as wrong as the frame itself would.
    mangled_us: BTreeMap<Way, (u64, u64)>,
    faults: Faults,
    links: u64,
    tickets: u64,
    trace: blake3::Hasher,
    frames: Vec<Vec<u8>>,
    frames_sent: u64,
    bytes_sent: u64,
    keep_frames: bool,
    leaks: leaks::Leaks,
    /// How much room nodes' disks have, where their engines can know it.
    disk_spaces: BTreeMap<NodeId, DiskSpace>,
    /// How often who dialled whom.
    dials: BTreeMap<(NodeId, PeerId), u64>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now_us", &self.now_us).field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        walytis_core::remember_signatures(REMEMBERED_SIGNATURES);
        Self {
            config,
            rng: ChaCha20Rng::seed_from_u64(config.seed),
            now_us: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            nodes: Vec::new(),
            by_peer: BTreeMap::new(),
            cut: BTreeMap::new(),
            blocked: BTreeMap::new(),
            mangles: BTreeMap::new(),
            mangled_us: BTreeMap::new(),
            faults: Faults::default(),
            links: 0,
            tickets: 0,
            trace: blake3::Hasher::new(),
            frames: Vec::new(),
            frames_sent: 0,
            bytes_sent: 0,
            keep_frames: false,
            leaks: leaks::Leaks::default(),
            disk_spaces: BTreeMap::new(),
            dials: BTreeMap::new(),
        }
    }

    /// From now on keeps every frame that is sent, for [`World::frames`].
    pub fn keep_frames(&mut self) {
        self.keep_frames = true;
    }

    /// Every frame kept, as it was handed to the transport.
    #[must_use]
    pub fn frames(&self) -> &[Vec<u8>] {
        &self.frames
    }

    /// Adds a node with a new identity in a store of its own, and starts it.
    ///
    /// # Errors
    /// The engine's error; a new store has none.
    pub fn add_node(&mut self) -> Result<NodeId, EngineError> {
        self.add_node_on(Medium::Memory(Arc::new(MemoryStore::new())))
    }

    /// As [`World::add_node`], on the production store, sealed, on a simulated disk.
    ///
    /// # Errors
    /// As [`World::add_node`].
    pub fn add_node_on_disk(&mut self) -> Result<NodeId, EngineError> {
        let medium = Medium::on_disk(self.node_rng(NodeId(self.nodes.len()), u64::MAX / 2));
        let failed = |error: offchain_store::OpenError| StoreError::Disk { reason: error.to_string() };
        self.add_node_on(medium.map_err(failed)?)
    }

    fn add_node_on(&mut self, medium: Medium) -> Result<NodeId, EngineError> {
        let node = NodeId(self.nodes.len());
        let mut rng = self.node_rng(node, 0);
        let now = WallClock::Off(0).shows(self.now_us / 1_000);
        let identity = Engine::create(&medium.store()?, now, &mut rng)?;
        self.by_peer.insert(identity.peer, node);
        self.nodes.push(SimNode::new(identity, medium));
        self.start(node)?;
        Ok(node)
    }

    fn node_rng(&self, node: NodeId, life: u64) -> ChaCha20Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.config.seed.to_le_bytes());
        hasher.update(&u64::try_from(node.0).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(&life.to_le_bytes());
        ChaCha20Rng::from_seed(*hasher.finalize().as_bytes())
    }

    /// Starts a node that was stopped, on what its store holds.
    ///
    /// # Errors
    /// The engine's error if the store cannot be opened.
    pub fn start(&mut self, node: NodeId) -> Result<(), EngineError> {
        let life = self.node(node).life.saturating_add(1);
        let rng = Box::new(self.node_rng(node, life));
        let now = self.clock(node);
        let known = self.node_mut(node);
        known.life = life;
        known.stopped = None;
        known.merits.clear();
        known.medium.reopen()?;
        let store = known.medium.store()?;
        known.body = Body::Engine(Box::new(Engine::open(store, now, rng)?));
        let address = self.address(node);
        self.schedule(node, 0, Event::Listening(address));
        self.schedule(node, 1, Event::Online);
        Ok(())
    }

    /// What a node's wall clock shows.
    #[must_use]
    pub fn wall_clock(&self, node: NodeId) -> Timestamp {
        self.clock(node)
    }

    /// How many nodes the world has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the world has no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether an engine runs at a node.
    #[must_use]
    pub fn is_running(&self, node: NodeId) -> bool {
        matches!(self.node(node).body, Body::Engine(_))
    }

    /// Sets a node's wall clock wrong by so many milliseconds.
    pub fn skew(&mut self, node: NodeId, skew_ms: i64) {
        self.set_clock(node, WallClock::Off(skew_ms));
    }

    /// Lets a node's wall clock go otherwise.
    pub fn set_clock(&mut self, node: NodeId, clock: WallClock) {
        if clock != WallClock::Off(0) {
            self.faults.arm(Fault::Clock);
        }
        let known = self.node_mut(node);
        known.clock = clock;
        known.clock_noticed = clock == WallClock::Off(0);
    }

    /// Lets a node stand still for so many milliseconds, as a suspended process does.
    pub fn pause(&mut self, node: NodeId, ms: u64) {
        let until = self.now_us.saturating_add(ms.saturating_mul(1_000));
        self.faults.arm(Fault::Pause);
        let known = self.node_mut(node);
        known.paused_until_us = known.paused_until_us.max(until);
    }

    /// Ends a node's standstill.
    pub fn resume(&mut self, node: NodeId) {
        self.node_mut(node).paused_until_us = 0;
        self.wake(node);
    }

    /// How many frames of a thousand take seconds from now on.
    pub fn set_tail(&mut self, permille: u16) {
        self.config.tail_permille = permille;
    }

    /// What has gone wrong so far, and how often.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What has gone wrong so far, for whoever breaks things by other means.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// The address of a node.
    #[must_use]
    pub fn address(&self, node: NodeId) -> Address {
        let text = format!("/memory/{}/p2p/{}", node.0, self.node(node).identity.peer);
        Address::new(text).unwrap_or_else(|| unreachable!("an address of the world is short"))
    }

    /// Who a node is.
    #[must_use]
    pub fn identity(&self, node: NodeId) -> Identity {
        self.node(node).identity
    }

    /// What was delivered to a node's applications, in order.
    #[must_use]
    pub fn deliveries(&self, node: NodeId) -> &[(Ticket, Delivery)] {
        &self.node(node).deliveries
    }

    /// What commands of a node reported on their way.
    #[must_use]
    pub fn progress(&self, node: NodeId) -> &[(Ticket, Progress)] {
        &self.node(node).progress
    }

    /// What a peer has earned by what a node's engine said.
    #[must_use]
    pub fn merit(&self, node: NodeId, peer: PeerId) -> Merit {
        self.node(node).merits.get(&peer).copied().unwrap_or_default()
    }

    /// Why a node stopped by itself, if it did.
    #[must_use]
    pub fn stopped(&self, node: NodeId) -> Option<&EngineError> {
        self.node(node).stopped.as_ref()
    }

    /// Why a node stopped by itself, once.
    pub fn take_stopped(&mut self, node: NodeId) -> Option<EngineError> {
        self.node_mut(node).stopped.take()
    }

    /// The time, in microseconds since the world began.
    #[must_use]
    pub const fn now_us(&self) -> u64 {
        self.now_us
    }

    /// A hash over every event so far: equal runs have equal ones.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        *self.trace.finalize().as_bytes()
    }

    /// Gives a node a command. Its answer is found by the ticket once it is there.
    pub fn ask(&mut self, node: NodeId, command: Command) -> Ticket {
        self.tickets = self.tickets.saturating_add(1);
        let ticket = Ticket(self.tickets);
        self.schedule(node, 0, Event::Command { ticket, command });
        ticket
    }

    /// The answer to a command, once.
    pub fn take_answer(&mut self, node: NodeId, ticket: Ticket) -> Option<Result<Answer, EngineError>> {
        self.node_mut(node).answers.remove(&ticket)
    }

    /// Whether a command is answered, and the answer not taken yet.
    #[must_use]
    pub fn has_answer(&self, node: NodeId, ticket: Ticket) -> bool {
        self.node(node).answers.contains_key(&ticket)
    }

    /// Gives a node a command and lets the world run until it is answered, at most `limit_ms`. `None` if it is not.
    pub fn call(&mut self, node: NodeId, command: Command, limit_ms: u64) -> Option<Result<Answer, EngineError>> {
        let ticket = self.ask(node, command);
        self.run_until(limit_ms, |world| world.node(node).answers.contains_key(&ticket));
        self.take_answer(node, ticket)
    }

    /// Gives a node any event, now: what a hostile network could.
    pub fn inject(&mut self, node: NodeId, event: Event) {
        self.schedule(node, 0, event);
    }

    /// Lets so many milliseconds pass.
    pub fn run_for(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// Lets so many microseconds pass.
    pub fn run_for_us(&mut self, us: u64) {
        self.run_until_us(us, |_| false);
    }

    /// Lets the world run until `done`, at most `limit_ms`. Returns whether it was done.
    pub fn run_until(&mut self, limit_ms: u64, done: impl FnMut(&Self) -> bool) -> bool {
        self.run_until_us(limit_ms.saturating_mul(1_000), done)
    }

    fn run_until_us(&mut self, limit_us: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now_us.saturating_add(limit_us);
        loop {
            if done(self) {
                return true;
            }
            match self.queue.peek() {
                Some(Reverse((time, _))) if *time <= end => {}
                _ => {
                    self.now_us = end;
                    return done(self);
                }
            }
            self.step();
        }
    }

    /// Lets the next event happen. Returns whether there was one.
    pub fn step(&mut self) -> bool {
        let Some(Reverse((time, sequence))) = self.queue.pop() else { return false };
        self.now_us = time;
        if let Some(due) = self.due.remove(&sequence) {
            self.happen(due);
        }
        true
    }

    fn node(&self, node: NodeId) -> &SimNode {
        self.nodes.get(node.0).unwrap_or_else(|| unreachable!("node {} is not of this world", node.0))
    }

    fn node_mut(&mut self, node: NodeId) -> &mut SimNode {
        self.nodes.get_mut(node.0).unwrap_or_else(|| unreachable!("node {} is not of this world", node.0))
    }

    fn clock(&self, node: NodeId) -> Timestamp {
        self.node(node).clock.shows(self.now_us / 1_000)
    }

    fn schedule(&mut self, node: NodeId, after_us: u64, event: Event) {
        self.schedule_any(node, after_us, Happening::Event(event));
    }

    fn schedule_any(&mut self, node: NodeId, after_us: u64, happening: Happening) {
        let life = self.node(node).life;
        self.push(self.now_us.saturating_add(after_us), Due { node, life, happening });
    }

    fn push(&mut self, at_us: u64, due: Due) {
        self.sequence = self.sequence.saturating_add(1);
        self.queue.push(Reverse((at_us, self.sequence)));
        self.due.insert(self.sequence, due);
    }

    fn happen(&mut self, due: Due) {
        let node = due.node;
        let (now_us, now) = (self.now_us, self.clock(node));
        let known = self.node_mut(node);
        if known.life != due.life {
            return;
        }
        let until = known.paused_until_us;
        if until > now_us && known.is_on() {
            let first = known.deferred.is_empty();
            known.deferred.push_back(due);
            if first {
                self.faults.fire(Fault::Pause);
                let life = self.node(node).life;
                self.push(until, Due { node, life, happening: Happening::Wake });
            }
            return;
        }
        self.wake(node);
        let Some(event) = self.event(node, due.happening) else { return };
        self.note(node, &event);
        if let Event::Frame { bytes, .. } = &event
            && bytes.first() == Some(&(FrameKind::Flight1 as u8))
        {
            let asked = &mut self.node_mut(node).handshakes.0;
            *asked = asked.saturating_add(1);
        }
        let mut effects = Vec::new();
        if !std::mem::replace(&mut self.node_mut(node).clock_noticed, true) {
            self.faults.fire(Fault::Clock);
        }
        match &mut self.node_mut(node).body {
            Body::Off => {}
            Body::Engine(engine) => engine.handle(now, event, &mut effects),
            Body::Puppet(mail) => {
                if let Event::Frame { peer, bytes } = event {
                    mail.push_back((peer, bytes));
                }
            }
        }
        for effect in effects {
            self.carry_out(node, effect);
        }
    }

    /// Lets everything happen that waited while a node stood still.
    fn wake(&mut self, node: NodeId) {
        for due in std::mem::take(&mut self.node_mut(node).deferred) {
            self.happen(due);
        }
    }

    /// What a node is told of something that is due now; `None` if it comes to nothing.
    fn event(&mut self, node: NodeId, happening: Happening) -> Option<Event> {
        match happening {
            Happening::Event(event) => Some(event),
            Happening::Frame { from, link, bytes } => {
                let peer = self.node(from).identity.peer;
                let open = self.node(node).links.get(&from) == Some(&link);
                self.note_spoiled((from, node), link);
                open.then_some(Event::Frame { peer, bytes })
            }
            Happening::Commit(number) => {
                let known = self.node_mut(node);
                let (first, batch) = known.writing.pop_front()?;
                debug_assert_eq!(first, number, "batches become durable in their order");
                match known.medium.store().and_then(|store| store.commit(&batch)) {
                    Ok(()) => Some(Event::Committed(number)),
                    Err(error) => {
                        let space = matches!(error, StoreError::Full { .. });
                        self.faults.fire(if space { Fault::NoSpace } else { Fault::WriteError });
                        Some(Event::CommitFailed(error))
                    }
                }
            }
            Happening::Wake => None,
            Happening::LinkTimeout { with, link } => {
                if self.node(node).links.get(&with) == Some(&link) {
                    self.unlink(node, with);
                }
                None
            }
        }
    }

    /// Adds an event to the trace.
    fn note(&mut self, node: NodeId, event: &Event) {
        self.trace.update(&self.now_us.to_le_bytes());
        match event {
            // The bytes themselves: writing them out as text would take most of a run's time.
            Event::Frame { peer, bytes } => {
                self.trace.update(&node.0.to_le_bytes());
                self.trace.update(&peer.0);
                self.trace.update(bytes);
            }
            event => drop(self.trace.update(format!("{node:?} {event:?}").as_bytes())),
        }
    }

    /// The node that the transport knows by this key.
    #[must_use]
    pub fn node_of(&self, peer: PeerId) -> Option<NodeId> {
        self.find(peer)
    }

    fn find(&self, peer: PeerId) -> Option<NodeId> {
        self.by_peer.get(&peer).copied()
    }

    fn carry_out(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Commit { number, batch } => {
                self.node_mut(node).writing.push_back((number, batch));
                self.schedule_any(node, self.config.commit_us, Happening::Commit(number));
            }
            Effect::Send { peer, frame } => self.send(node, peer, frame),
            Effect::Disconnect(peer) => {
                if let Some(other) = self.find(peer) {
                    self.unlink(node, other);
                }
            }
            Effect::Dial(address) => self.dial(node, address),
            // Nobody can be asked here.
            Effect::Find(_) => {}
            Effect::Merit { peer, merit } => {
                let known = self.node_mut(node).merits.entry(peer).or_default();
                *known = known.once_said(merit);
            }
            Effect::AskDiskSpace => self.tell_disk_space(node),
            Effect::Timer { after_ms, timer } => {
                self.schedule(node, after_ms.saturating_mul(1_000), Event::Timer(timer));
            }
            Effect::Reply { ticket, answer } => drop(self.node_mut(node).answers.insert(ticket, answer)),
            Effect::Delivered { subscription, delivery } => {
                self.node_mut(node).deliveries.push((subscription, delivery));
            }
            Effect::Progress { ticket, progress } => self.node_mut(node).progress.push((ticket, progress)),
            Effect::Stopped(error) => {
                self.switch_off(node);
                self.node_mut(node).stopped = Some(error);
            }
        }
    }
}
