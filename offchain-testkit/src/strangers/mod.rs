//! Who proves nothing, and what it costs a node to hear of it: for tests that bound it and for the benchmark that times it.

mod frames;

use std::collections::VecDeque;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{
    AuthorSecret, Dialer, FRAME_BYTES_MAX, HybridSecret, PeerId, Pending, Store, StoreError, Timestamp,
};
use walytis_engine::Ticket;
use walytis_engine::public::{ChainCommand, LimitsReached};
use walytis_identities::session::{Initiator, LocalDevice};
use walytis_identities::{History, keyring};
use walytis_offchain::{Command, Effect, Engine, EngineError, Event, FrameKind};

use crate::MemoryStore;

pub use frames::{full_messages, full_public_messages, varint};

/// The one stranger that speaks to a [`Listener`].
const STRANGER: PeerId = PeerId([0xEE; 32]);

/// A node over a store in memory, to which a stranger speaks.
pub enum Listener {
    /// With public chains alone.
    Public(Box<walytis_engine::Engine>),
    /// With groups beside them.
    Groups(Box<walytis_offchain::Engine>),
}

impl Listener {
    /// A node without groups, that follows a chain or none.
    ///
    /// # Errors
    /// The store in memory is not taken, which says that the engine is broken.
    pub fn public(follows: bool) -> Result<Self, walytis_engine::public::PublicError> {
        use walytis_engine::engine::{Command, Event};
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        walytis_engine::Engine::create(&store, &mut rng())?;
        let mut engine = walytis_engine::Engine::open(store, Timestamp(0), Box::new(rng()))?;
        if follows {
            let command = Command::Chain(ChainCommand::New { name: "news".to_owned() });
            engine.handle(Timestamp(0), Event::Command { ticket: Ticket(1), command }, &mut Vec::new());
        }
        Ok(Self::Public(Box::new(engine)))
    }

    /// A node with groups, of which it has none yet.
    ///
    /// # Errors
    /// As for [`Listener::public`].
    pub fn groups() -> Result<Self, walytis_offchain::EngineError> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        walytis_offchain::Engine::create(&store, Timestamp(0), &mut rng())?;
        Ok(Self::Groups(Box::new(walytis_offchain::Engine::open(store, Timestamp(0), Box::new(rng()))?)))
    }

    /// The stranger connects.
    pub fn meet(&mut self) {
        match self {
            Self::Public(engine) => {
                let event =
                    walytis_engine::engine::Event::Connected { peer: STRANGER, dialer: Dialer::Peer, address: None };
                engine.handle(Timestamp(1), event, &mut Vec::new());
            }
            Self::Groups(engine) => {
                let event = walytis_offchain::Event::Connected { peer: STRANGER, dialer: Dialer::Peer, address: None };
                engine.handle(Timestamp(1), event, &mut Vec::new());
            }
        }
    }

    /// A frame of the stranger comes. Returns how many frames are to be sent for it.
    pub fn hear(&mut self, bytes: Vec<u8>) -> usize {
        match self {
            Self::Public(engine) => {
                use walytis_engine::engine::{Effect, Event};
                let mut effects = Vec::new();
                engine.handle(Timestamp(1), Event::Frame { peer: STRANGER, bytes }, &mut effects);
                effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count()
            }
            Self::Groups(engine) => {
                use walytis_offchain::{Effect, Event};
                let mut effects = Vec::new();
                engine.handle(Timestamp(1), Event::Frame { peer: STRANGER, bytes }, &mut effects);
                effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count()
            }
        }
    }

    /// Limits of public chains that were reached, with how often.
    #[must_use]
    pub fn limits_reached(&self) -> &LimitsReached {
        match self {
            Self::Public(engine) => engine.public().limits_reached(),
            Self::Groups(engine) => engine.public().limits_reached(),
        }
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(3)
}

/// A node with groups of its own, each with nobody else in it, that commits at once and says nothing.
pub struct Host {
    /// What is told of events.
    pub engine: Engine,
    /// Under which it connects.
    pub peer: PeerId,
    /// Its device's secret: first flights to it name the key.
    pub device: HybridSecret,
    store: Arc<dyn Store>,
    effects: Vec<Effect>,
}

impl Host {
    /// One with so many groups, over an empty store, online.
    ///
    /// # Errors
    /// The store's.
    pub fn with_groups(store: Arc<dyn Store>, groups: u64) -> Result<Self, EngineError> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let peer = Engine::create(&store, Timestamp(0), &mut rng)?.peer;
        let engine = Engine::open(Arc::clone(&store), Timestamp(0), Box::new(rng))?;
        let device = keyring::device(&Pending::new(Arc::clone(&store)))?.ok_or(EngineError::NoIdentity)?.secret;
        let mut host = Self { engine, peer, device, store, effects: Vec::new() };
        for number in 0..groups {
            let command = Command::NewGroup { name: format!("group {number}"), history: History::All };
            host.hear(Event::Command { ticket: Ticket(number), command })?;
        }
        host.hear(Event::Online)?;
        Ok(host)
    }

    /// Takes an event, commits what is to be committed, and drops all else that is to be done.
    ///
    /// # Errors
    /// The store's.
    pub fn hear(&mut self, event: Event) -> Result<(), StoreError> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.engine.handle(Timestamp(1), event, &mut self.effects);
            for effect in self.effects.drain(..) {
                if let Effect::Commit { number, batch } = effect {
                    self.store.commit(&batch)?;
                    events.push_back(Event::Committed(number));
                }
            }
        }
        Ok(())
    }
}

/// Frames of 2 MiB as a stranger may send them: of each kind of message, full of the smallest of what it may have.
pub fn longest_frames() -> impl Iterator<Item = Vec<u8>> {
    let public = full_public_messages(FRAME_BYTES_MAX - 1).into_iter().map(|rest| [&[5][..], &rest].concat());
    let sessions = (1..=4_u8).map(|kind| [&[kind][..], &vec![1; FRAME_BYTES_MAX - 1]].concat());
    public.chain(sessions)
}

/// A device that nobody knows. It sends members' first flights, each with a fresh key.
pub struct UnknownDevice {
    secret: HybridSecret,
    /// Under which it connects.
    pub peer: PeerId,
    rng: ChaCha20Rng,
}

impl UnknownDevice {
    /// One of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let peer = PeerId(AuthorSecret::generate(&mut rng).public().0);
        Self { secret: HybridSecret::generate(&mut rng), peer, rng }
    }

    /// A first flight to this peer, whose device has this key, as a frame.
    ///
    /// # Errors
    /// The device's key is none.
    pub fn flight(
        &mut self,
        to: PeerId,
        key: &HybridSecret,
    ) -> Result<Vec<u8>, walytis_identities::session::SessionError> {
        let me = LocalDevice { secret: &self.secret, peer: self.peer };
        let (_, flight) = Initiator::member(me, to, key.public().clone(), Vec::new(), &mut self.rng)?;
        Ok([&[FrameKind::Flight1 as u8][..], &flight].concat())
    }
}
