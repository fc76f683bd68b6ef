//! The engine: a pure state machine that keeps a device's identities and groups, and speaks to other devices.
//!
//! Events go in, effects come out; the shell turns sockets, commits and timers into events and back.
//!
//! **Invariant:** an effect that tells anybody anything leaves only when everything that the engine knew when it
//! decided on it is durable. To ask for the next blocks tells nothing.

mod accept;
mod attempts;
mod command;
mod connect;
mod event;
mod exchange;
mod handshake;
mod join;
mod kind;
mod leaving;
mod limits;
mod members;
mod peer;
mod private;
mod public;
mod publish;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_core::CryptoRng;
use walytis_core::{Address, BlockId, ChainId, PeerId, Pending, Store, StoreError, Timestamp, planted};
use walytis_engine::public::PublicChains;
use walytis_engine::sync::WireBlock;
use walytis_engine::{Orphans, Outbox};
use walytis_identities::{Desk, Fold, LocalDevice, Membership, keyring};
use zeroize::Zeroizing;

pub use event::{
    Answer, Command, Cursor, Delivery, Effect, EngineError, Entry, EntryContent, Event, GroupDetails, GroupSummary,
    MemberDetails, Offchain, Page, Progress, RefusedJoin, Status, Target, Ticket, Timer,
};

pub use limits::{Limit, LimitsReached};

use crate::content::CONTENT_VERSION;
use crate::newer::{NewerCounts, RefusedBlocks};
use crate::records::{self, AddressBook, Missing};
use accept::Mark;
use attempts::Attempts;
use connect::Redial;
use join::Joining;
use leaving::{Leaving, Outgoing};
use members::MemberIndex;
use peer::Peer;
use refused::RefusedJoins;

/// What is said where too much waits in memory for a store without room.
const HELD: &str = "too much waits for it";

/// Who this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's identity.
    pub user: ChainId,
    /// The device's identity.
    pub device: ChainId,
    /// The key by which the transport knows the device.
    pub peer: PeerId,
}

/// What every part of the engine reads and writes with.
struct Parts {
    view: Pending,
    fold: Fold,
    now: Timestamp,
    rng: Box<dyn CryptoRng + Send>,
}

impl Parts {
    fn desk(&mut self) -> Desk<'_> {
        Desk { view: &mut self.view, fold: &mut self.fold, now: self.now, rng: &mut *self.rng }
    }

    fn membership(&mut self, chain: ChainId) -> Result<Arc<Membership>, EngineError> {
        Ok(self.fold.current(&self.view, chain)?)
    }
}

/// A block that has just entered the set, and who sent it.
struct Fresh {
    chain: ChainId,
    id: BlockId,
    from: Option<PeerId>,
}

/// An application that wants to hear of a group's blocks.
struct Subscription {
    group: ChainId,
}

/// The exchange by which a chain is being completed. There is one at a time for a chain.
struct Pull {
    peer: PeerId,
    /// The number of the portion that is awaited.
    exchange: u64,
    /// The number of the first one.
    first: u64,
    /// How often the portion that is awaited has been waited for anew.
    waits: u32,
    /// Whether it has brought anything new so far.
    gained: bool,
    /// How many blocks it has brought that were here already. The two sides find out only roughly where they differ.
    known: u64,
}

/// A device, its groups and its peers. See the module's documentation.
pub struct Engine {
    parts: Parts,
    device: LocalDevice,
    names: Vec<(ChainId, String)>,
    members: MemberIndex,
    /// The epoch in use, and the heads of operations for which that was found.
    epochs: BTreeMap<ChainId, (Vec<BlockId>, BlockId)>,
    missing: Missing,
    book: AddressBook,
    listening: Vec<Address>,
    dials: BTreeMap<Target, Redial>,
    attempts: u64,
    /// Addresses that a person gave, and the peer that was found there last.
    given: BTreeMap<Address, Option<PeerId>>,
    peers: BTreeMap<PeerId, Peer>,
    shunned: BTreeSet<PeerId>,
    /// Handshakes that were answered and proved nothing.
    answered: Attempts,
    joins: BTreeMap<ChainId, Joining>,
    /// Joins that this step ended.
    ended: BTreeSet<ChainId>,
    pulls: BTreeMap<ChainId, Pull>,
    exchanges: u64,
    connections: u64,
    /// Sessions so far.
    sessions: u64,
    /// Steps so far that took an operation in: between two of them nobody loses a right.
    operations: u64,
    orphans: Orphans<(ChainId, WireBlock)>,
    announcing: BTreeSet<(PeerId, ChainId)>,
    subscriptions: BTreeMap<Ticket, Subscription>,
    fresh: Vec<Fresh>,
    /// Chains whose exchange ended because its peer did: somebody else is asked at the step's end.
    stalled: BTreeSet<ChainId>,
    /// What waits for no commit.
    at_once: Vec<Effect>,
    outgoing: Outgoing,
    outbox: Outbox<Leaving>,
    online: bool,
    /// Whether whose the groups are has been noted in this run.
    registered: bool,
    stopped: Option<String>,
    limits: LimitsReached,
    /// What came of newer programs and was not kept.
    newer: NewerCounts,
    refused_blocks: RefusedBlocks,
    /// The newest version of private content that it reads.
    content_version: u8,
    /// Whom this node did not admit.
    refused_joins: RefusedJoins,
    /// Public chains, over the same view and the same connections.
    public: PublicChains,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("device", &self.device).field("peers", &self.peers.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes a device and its user in an empty store, in one commit.
    ///
    /// # Errors
    /// [`EngineError::IdentityExists`] if the store holds an identity already, or the store's own error.
    pub fn create(store: &Arc<dyn Store>, now: Timestamp, rng: &mut dyn CryptoRng) -> Result<Identity, EngineError> {
        let mut view = Pending::new(Arc::clone(store));
        if keyring::device(&view)?.is_some() {
            return Err(EngineError::IdentityExists);
        }
        let mut fold = Fold::default();
        let device = LocalDevice::create(&mut Desk { view: &mut view, fold: &mut fold, now, rng })?;
        if let Some((_, batch)) = view.close_step() {
            store.commit(&batch)?;
        }
        Ok(Identity { user: device.user, device: device.identity, peer: device.peer() })
    }

    /// Opens the engine on a store that holds an identity.
    ///
    /// # Errors
    /// [`EngineError::NoIdentity`] if it holds none, or the store's own error.
    pub fn open(store: Arc<dyn Store>, now: Timestamp, rng: Box<dyn CryptoRng + Send>) -> Result<Self, EngineError> {
        let view = Pending::new(store);
        let device = keyring::device(&view)?.ok_or(EngineError::NoIdentity)?;
        let names = records::names(&view)?;
        let missing = Missing::load(&view)?;
        let book = AddressBook::load(&view)?;
        let public = PublicChains::open(&view, device.peer(), records::listening(&view)?)?;
        Ok(Self {
            parts: Parts { view, fold: Fold::default(), now, rng },
            device,
            members: MemberIndex::of(names.iter().map(|(group, _)| *group)),
            names,
            epochs: BTreeMap::new(),
            missing,
            book,
            listening: Vec::new(),
            dials: BTreeMap::new(),
            attempts: 0,
            given: BTreeMap::new(),
            peers: BTreeMap::new(),
            shunned: BTreeSet::new(),
            answered: Attempts::default(),
            joins: BTreeMap::new(),
            ended: BTreeSet::new(),
            pulls: BTreeMap::new(),
            exchanges: 0,
            connections: 0,
            sessions: 0,
            operations: 0,
            orphans: Orphans::default(),
            announcing: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            fresh: Vec::new(),
            stalled: BTreeSet::new(),
            at_once: Vec::new(),
            outgoing: Outgoing::default(),
            outbox: Outbox::default(),
            online: false,
            registered: false,
            stopped: None,
            limits: LimitsReached::new(),
            newer: NewerCounts::default(),
            refused_blocks: RefusedBlocks::default(),
            content_version: CONTENT_VERSION,
            refused_joins: RefusedJoins::default(),
            public,
        })
    }

    /// An engine that reads private content up to an older version only, as an earlier program does. What it takes in so, an
    /// engine of this program reads once it is opened on the same store.
    #[must_use]
    pub fn reading_content_up_to(mut self, version: u8) -> Self {
        self.content_version = version;
        self
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { user: self.device.user, device: self.device.identity, peer: self.device.peer() }
    }

    /// The key by which the transport knows this node.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.device.peer()
    }

    /// The secret of the key by which the transport knows the device: an Ed25519 seed.
    #[must_use]
    pub fn transport_seed(&self) -> Zeroizing<[u8; 32]> {
        self.device.transport.clone()
    }

    /// The addresses on which this node listened last.
    ///
    /// # Errors
    /// The store's error.
    pub fn remembered_listening(&self) -> Result<Vec<Address>, EngineError> {
        Ok(records::listening(&self.parts.view)?)
    }

    /// Takes an event and adds what is to be done to `out`, in order.
    pub fn handle(&mut self, now: Timestamp, event: Event, out: &mut Vec<Effect>) {
        self.parts.now = now;
        if let Some(reason) = &self.stopped {
            if let Event::Command { ticket, .. } = event {
                out.push(Effect::Reply { ticket, answer: Err(EngineError::Stopped(reason.clone())) });
            }
            return;
        }
        let sender = match &event {
            Event::Frame { peer, .. } => Some(*peer),
            _ => None,
        };
        let start = self.mark();
        let begun = self.begin();
        let outcome = begun.and_then(|()| self.dispatch(event));
        let outcome = self.settle(start, outcome, sender);
        self.end_step(outcome, out);
    }

    /// The engine as it begins on what is durable, with the same source of randomness: for when a commit has failed for lack of
    /// room, and the store was opened anew.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn begun_anew(self, store: Arc<dyn Store>, now: Timestamp) -> Result<Self, EngineError> {
        Self::open(store, now, self.parts.rng)
    }

    /// The store has no room: nobody is admitted, no block and no content is taken from peers, and nothing leaves for the store
    /// until [`Engine::room_again`]. The caller gives no command that writes meanwhile.
    pub fn set_full(&mut self) {
        self.parts.view.set_full();
    }

    /// The store has room again: what was put off goes on.
    pub fn room_again(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.parts.now = now;
        if let Some((number, batch)) = self.parts.view.take_held() {
            out.push(Effect::Commit { number, batch });
        }
        let begun = self.begin();
        self.public.room_again();
        let outcome = begun.and_then(|()| self.ask_everybody());
        self.end_step(outcome, out);
    }

    fn end_step(&mut self, outcome: Result<(), EngineError>, out: &mut Vec<Effect>) {
        let ended = outcome.and_then(|()| self.publish()).and_then(|()| self.end_joins());
        if let Err(error) = ended.and_then(|()| self.finish_public()) {
            self.stop(error, out);
            return;
        }
        if let Some((number, batch)) = self.parts.view.close_step() {
            if planted!(SplitBatch) {
                let mut half = batch.clone();
                half.truncate(batch.changes().len().saturating_sub(2));
                out.push(Effect::Commit { number, batch: half });
            }
            out.push(Effect::Commit { number, batch });
        }
        self.missing.settle();
        if self.parts.view.holds_too_much() {
            self.stop(StoreError::Full { reason: HELD.to_owned() }.into(), out);
            return;
        }
        // A block leaves before the heads that name it.
        out.append(&mut self.at_once);
        if let Err(error) = self.let_leave(out) {
            self.stop(error, out);
        }
    }

    /// What was decided on waits for what is known by now, and what need not wait any longer leaves.
    fn let_leave(&mut self, out: &mut Vec<Effect>) -> Result<(), EngineError> {
        let barrier = self.parts.view.barrier();
        for leaving in self.outgoing.take() {
            let early = match &leaving {
                Leaving::Effect(Effect::Reply { .. }) => planted!(AcknowledgeEarly),
                Leaving::Effect(Effect::Send { .. }) | Leaving::Told(_) => planted!(TellEarly),
                Leaving::Effect(_) => false,
            };
            if early {
                out.extend(self.leave(leaving)?);
            } else {
                self.outbox.push(barrier, leaving);
            }
        }
        while let Some(leaving) = self.outbox.next_ready() {
            out.extend(self.leave(leaving)?);
        }
        Ok(())
    }

    /// What the first step does before anything else. No frame is dealt with in it: nobody is connected yet.
    fn begin(&mut self) -> Result<(), EngineError> {
        self.register_public()?;
        self.register()
    }

    /// What comes of a step's outcome. If what a peer sent could not be dealt with, and our store is not the reason, nothing
    /// of it is kept.
    fn settle(
        &mut self,
        start: Mark,
        outcome: Result<(), EngineError>,
        sender: Option<PeerId>,
    ) -> Result<(), EngineError> {
        match (outcome, sender) {
            (Err(error), Some(peer)) if !error.is_fatal() => {
                self.take_back(start);
                self.misbehaved(peer);
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }

    /// What leaves this function as an error is our own store's failure: everything that a peer or a person can cause is
    /// dealt with inside.
    fn dispatch(&mut self, event: Event) -> Result<(), EngineError> {
        match event {
            Event::Online => {
                self.go_online()?;
                self.public_online()
            }
            Event::Listening(address) => {
                self.listening_on(address)?;
                self.public_listening()
            }
            Event::ListenEnded(address) => {
                self.listen_ended(&address);
                self.public_listening()
            }
            Event::AddressesChanged => {
                self.addresses_changed()?;
                self.public_addresses_changed()
            }
            Event::Connected { peer, dialer, address } => {
                self.connected(peer, dialer, address.clone())?;
                self.public_connected(peer, dialer, address.as_ref())
            }
            Event::Disconnected(peer) => {
                self.disconnected(peer)?;
                self.public_disconnected(peer)
            }
            Event::Frame { peer, bytes } => self.frame(peer, &bytes),
            Event::DialFailed(address) => {
                self.dial_failed(&address)?;
                self.public_dial_failed(&address)
            }
            Event::Discovered(address) => self.discovered(address),
            Event::Command { ticket, command } => self.command(ticket, command),
            Event::Committed(number) => {
                self.parts.view.committed(number);
                self.outbox.committed(number);
                self.public_committed(number)
            }
            Event::CommitFailed(error) => Err(error.into()),
            Event::DiskSpace(space) => {
                self.public.disk_space(space);
                Ok(())
            }
            Event::Timer(timer) => self.timer(timer),
        }
    }

    fn timer(&mut self, timer: Timer) -> Result<(), EngineError> {
        match timer {
            Timer::Redial { target, attempt } => self.redial(target, attempt),
            Timer::Quiet => self.quiet(),
            Timer::PullTurn { chain, first } => self.pull_turn(chain, first),
            Timer::Announce => self.announce(),
            Timer::Pull { chain, exchange } => self.pull_timed_out(chain, exchange),
            Timer::Stranger { peer, connection } => self.end_stranger(peer, connection),
            Timer::Join { group, seen } => self.join_timed_out(group, seen),
            Timer::Forgive(peer) => {
                self.shunned.remove(&peer);
                self.greet(peer)?;
                self.public_forgiven(peer)
            }
            Timer::Public(timer) => self.public_timer(timer),
        }
    }

    fn stop(&mut self, error: EngineError, out: &mut Vec<Effect>) {
        self.parts.view.failed();
        // Whoever waits for what was not written must not believe that it was, and nobody waits for ever.
        let reason = error.to_string();
        for (_, join) in std::mem::take(&mut self.joins) {
            self.reply(join.ticket(), Err(EngineError::Stopped(reason.clone())));
        }
        for ticket in self.public.take_waiting() {
            self.reply(ticket, Err(EngineError::Stopped(reason.clone())));
        }
        for leaving in self.outbox.take_held().into_iter().chain(self.outgoing.take()) {
            if let Leaving::Effect(Effect::Reply { ticket, answer }) = leaving {
                let answer = Err(answer.err().unwrap_or_else(|| EngineError::Stopped(reason.clone())));
                out.push(Effect::Reply { ticket, answer });
            }
        }
        self.stopped = Some(reason);
        out.push(Effect::Stopped(error));
    }

    fn reply(&mut self, ticket: Ticket, answer: Result<Answer, EngineError>) {
        self.outgoing.push(Effect::Reply { ticket, answer });
    }

    fn name_of(&self, group: ChainId) -> Option<&str> {
        self.names.iter().find(|(chain, _)| *chain == group).map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests;
