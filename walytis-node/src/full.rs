//! A node whose store has no room: writing is refused with its reason, everything else goes on, and writing goes on once there
//! is room.
//!
//! A commit that fails for lack of room leaves the engine ahead of its store. So the engine begins anew on what is durable,
//! in the same task and over the same network, as at a restart: connections are ended and dialled again, subscriptions are
//! taken up where they were. It is told that there is no room: it takes nothing from peers that it would have to write, and
//! serves them as before. Commands that write are refused here.
//!
//! **Invariant:** what was acknowledged was durable before, and is read again. While there is no room nothing is written, and
//! nothing is acknowledged that would have to be.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use walytis_core::{Address, PeerId, StoreError};
use walytis_engine::Ticket;
use walytis_engine::public::{ArchiveCommand, ChainCommand, DeliveryCommand};

use crate::machine::{Command, Effect, EngineError, Event, store_failure};
use crate::request::Waiter;
use crate::shell::Shell;
use crate::timers::Timers;

/// The first pause before it is found out whether there is room again; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Whoever asks for something to be written has it found out at once, if that was done no less than so long ago.
const ASKED: Duration = Duration::from_millis(500);

/// The least room, in bytes, that has to be there for writing to go on.
const ROOM_MIN: u64 = 512 * 1024;

/// No more is asked for, however much did not fit.
const ROOM_MAX: u64 = 64 * 1024 * 1024;

/// What a node does without room, and what it needs to begin anew.
#[derive(Default)]
pub(crate) struct FullState {
    now: Option<Full>,
    /// The last pause that was in vain, while room comes and goes.
    pause: Duration,
    /// Peers whose connections the engine knows.
    connected: BTreeSet<PeerId>,
    /// Peers whose connections it does not know, because it has begun anew: they are being ended.
    ending: BTreeSet<PeerId>,
    /// Addresses that a person gave.
    given: Vec<Address>,
    /// Commands by which subscriptions were begun.
    subscriptions: BTreeMap<Ticket, Command>,
}

/// The store has no room.
struct Full {
    reason: StoreError,
    /// How much room there has to be, in bytes.
    needed: u64,
    tried: Instant,
    again: Pin<Box<Sleep>>,
}

impl FullState {
    /// Whether it is time to find out whether there is room.
    pub(crate) fn poll_again(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.now.as_mut().map_or(std::task::Poll::Pending, |full| full.again.as_mut().poll(cx))
    }

    pub(crate) fn connected(&mut self, peer: PeerId) {
        self.connected.insert(peer);
    }

    /// Whether the engine is to hear that a peer is gone.
    pub(crate) fn disconnected(&mut self, peer: PeerId) -> bool {
        self.connected.remove(&peer);
        !self.ending.remove(&peer)
    }

    /// Whether a peer's connection is one that the engine does not know.
    pub(crate) fn is_ending(&self, peer: PeerId) -> bool {
        self.ending.contains(&peer)
    }

    pub(crate) fn forget(&mut self, subscription: Ticket) {
        self.subscriptions.remove(&subscription);
    }
}

/// What a command of a person's is to whoever has no room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reads,
    Writes,
}

#[cfg(feature = "offchain")]
fn kind(command: &Command) -> Kind {
    match command {
        Command::NewGroup { .. } | Command::Invite { .. } | Command::Post { .. } | Command::Join { .. } => Kind::Writes,
        Command::Chain(command) => chain_kind(command),
        _ => Kind::Reads,
    }
}

#[cfg(not(feature = "offchain"))]
fn kind(command: &Command) -> Kind {
    match command {
        Command::Chain(command) => chain_kind(command),
        _ => Kind::Reads,
    }
}

fn chain_kind(command: &ChainCommand) -> Kind {
    match command {
        // It makes room; the caller has seen to what it needs first. Nothing else is written before there is room.
        ChainCommand::Delete { .. }
        | ChainCommand::Chains
        | ChainCommand::Show { .. }
        | ChainCommand::List { .. }
        | ChainCommand::Count { .. }
        | ChainCommand::Ancestry { .. }
        | ChainCommand::Since { .. }
        | ChainCommand::Subscribe { .. }
        | ChainCommand::Unsubscribe { .. }
        | ChainCommand::Invitations { .. }
        | ChainCommand::Delivery(
            DeliveryCommand::Open { .. }
            | DeliveryCommand::Read { .. }
            | DeliveryCommand::List { .. }
            | DeliveryCommand::Letters { .. },
        )
        | ChainCommand::Archive(ArchiveCommand::Read { .. } | ArchiveCommand::Find { .. }) => Kind::Reads,
        _ => Kind::Writes,
    }
}

impl Shell {
    /// Why the engine has stopped, if that is for lack of room: then it can begin anew.
    pub(crate) fn lacks_room(effects: &[Effect]) -> Option<StoreError> {
        match effects.last() {
            Some(Effect::Stopped(error)) => {
                store_failure(error).filter(|error| matches!(error, StoreError::Full { .. }))
            }
            _ => None,
        }
    }

    /// The engine has stopped for lack of room: whoever waits is told why, and it begins anew on what is durable.
    pub(crate) fn begin_anew(&mut self, reason: StoreError, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { ticket, answer: Err(EngineError::Stopped(_)) } => {
                    self.fullness.forget(ticket);
                    self.waiting.not_written(ticket, reason.clone());
                }
                Effect::Reply { ticket, answer } => self.waiting.answer(ticket, answer),
                // Everything else rests on what was not written.
                _ => {}
            }
        }
        self.ready.clear();
        self.timers = Timers::new();
        #[cfg(feature = "offchain")]
        {
            self.told = 0;
        }
        let needed = self.commits.waiting_bytes().saturating_mul(2).clamp(ROOM_MIN, ROOM_MAX);
        self.commits = self.new_commits();
        // Of a store that cannot be opened anew in place, the reason is what it said first.
        let reopened = self.store.reopen().map_err(|error| match error {
            StoreError::Poisoned => EngineError::from(reason.clone()),
            other => other.into(),
        });
        let anew = reopened.and_then(|()| match self.engine.take() {
            Some(engine) => engine.begun_anew(std::sync::Arc::clone(&self.store), (self.now)()),
            None => Err(EngineError::Stopped(reason.to_string())),
        });
        let mut engine = match anew {
            Ok(engine) => self.equipped(engine),
            Err(error) => {
                tracing::error!(%error, "the node stops");
                self.failed = Some(error);
                return;
            }
        };
        tracing::warn!(%reason, "nothing is written until there is room");
        engine.set_full();
        if engine.removes_chains() {
            engine.put_off_removals();
        }
        self.engine = Some(engine);
        let pause = self.fullness.pause.saturating_mul(2).clamp(PAUSE, PAUSE_MAX);
        self.fullness.pause = pause;
        let now = Instant::now();
        self.channels.full.send_replace(Some(reason.to_string()));
        self.fullness.now = Some(Full { reason, needed, tried: now, again: Box::pin(sleep_until(now + pause)) });
        self.take_up();
    }

    /// Tells the engine that has begun anew what the one before it was told.
    fn take_up(&mut self) {
        let listening = self.channels.listening.borrow().clone();
        let addresses: Vec<Address> = listening.into_iter().map(|(_, address)| address).collect();
        for address in addresses {
            self.handle(Event::Listening(address));
        }
        for (ticket, command) in self.fullness.subscriptions.clone() {
            self.handle(Event::Command { ticket, command });
        }
        for address in self.fullness.given.clone() {
            let ticket = self.waiting.ticket(None);
            self.handle(Event::Command { ticket, command: Command::Connect { address } });
        }
        self.fullness.ending.append(&mut self.fullness.connected);
        for peer in self.fullness.ending.clone() {
            if let Some(outbox) = &mut self.outbox {
                outbox.disconnect(peer);
            }
        }
        self.go_online_anew();
    }

    /// Once the old connections are ended, peers are dialled again.
    pub(crate) fn go_online_anew(&mut self) {
        if self.outbox.is_some() && self.fullness.ending.is_empty() {
            self.handle(Event::Online);
        }
    }

    /// Finds out whether there is room again; if so, writing goes on.
    pub(crate) fn try_room(&mut self) {
        let Some(full) = self.fullness.now.as_mut() else { return };
        let now = Instant::now();
        full.tried = now;
        // Who cannot be asked is believed: the next commit shows.
        if self.room.as_ref().is_some_and(|room| !room(full.needed)) {
            let pause = self.fullness.pause.saturating_mul(2).clamp(PAUSE, PAUSE_MAX);
            self.fullness.pause = pause;
            full.again.as_mut().reset(now + pause);
            return;
        }
        self.write_again();
    }

    fn write_again(&mut self) {
        if self.fullness.now.take().is_none() {
            return;
        }
        tracing::info!("there is room again");
        self.channels.full.send_replace(None);
        let mut effects = Vec::new();
        if let Some(engine) = &mut self.engine {
            engine.room_again((self.now)(), &mut effects);
        }
        self.carry_out_all(effects);
        self.handle_ready();
    }

    /// Gives a command of a handle to the engine, or refuses it if it would write and there is no room.
    pub(crate) fn command(&mut self, command: Command, waiter: Option<Waiter>) {
        let kind = kind(&command);
        let recent = |full: &Full| full.tried.elapsed() < ASKED;
        if kind == Kind::Writes && self.fullness.now.as_ref().is_some_and(|full| !recent(full)) {
            self.try_room();
        }
        let follows = waiter.as_ref().is_some_and(Waiter::follows);
        let ticket = self.waiting.ticket(waiter);
        if kind == Kind::Writes
            && let Some(full) = &self.fullness.now
        {
            self.waiting.answer(ticket, Err(full.reason.clone().into()));
            return;
        }
        if follows {
            self.fullness.subscriptions.insert(ticket, command.clone());
        }
        if let Command::Connect { address } = &command
            && !self.fullness.given.contains(address)
        {
            self.fullness.given.push(address.clone());
        }
        self.handle(Event::Command { ticket, command });
    }

    /// Batches were written: room that comes and goes is asked for as seldom as at first.
    pub(crate) fn has_written(&mut self) {
        if self.fullness.now.is_none() {
            self.fullness.pause = Duration::ZERO;
        }
    }
}
