//! A node of the world.

use std::collections::{BTreeMap, VecDeque};

use walytis_core::{Batch, BatchNumber, Merit, PeerId};
use walytis_offchain::{Answer, Delivery, Engine, EngineError, Identity, LimitsReached, Progress, Ticket};

use super::medium::Medium;
use super::{Due, NodeId, WallClock};

/// What lives at a node.
pub(super) enum Body {
    /// Nobody: the node is switched off.
    Off,
    /// A production engine.
    Engine(Box<Engine>),
    /// A [`Puppet`](crate::Puppet), which finds here what was sent to it.
    Puppet(VecDeque<(PeerId, Vec<u8>)>),
}

pub(super) struct SimNode {
    pub(super) body: Body,
    pub(super) medium: Medium,
    /// What is being written: not durable, and lost in a crash unless the crash keeps it.
    pub(super) writing: VecDeque<(BatchNumber, Batch)>,
    pub(super) identity: Identity,
    /// Which run of the node it is. What was due for an earlier one is lost.
    pub(super) life: u64,
    pub(super) clock: WallClock,
    /// Whether anything has happened at the node since its clock went wrong.
    pub(super) clock_noticed: bool,
    /// The connections as this end knows them, each with its number.
    pub(super) links: BTreeMap<NodeId, u64>,
    pub(super) last_arrival_us: BTreeMap<NodeId, u64>,
    /// Until then nothing happens at the node.
    pub(super) paused_until_us: u64,
    /// What waits for that.
    pub(super) deferred: VecDeque<Due>,
    pub(super) answers: BTreeMap<Ticket, Result<Answer, EngineError>>,
    pub(super) deliveries: Vec<(Ticket, Delivery)>,
    pub(super) progress: Vec<(Ticket, Progress)>,
    /// What each peer has earned by what the engine said.
    pub(super) merits: BTreeMap<PeerId, Merit>,
    pub(super) stopped: Option<EngineError>,
    /// First flights that came, and second flights that were answered: each of these costs signatures.
    pub(super) handshakes: (u64, u64),
    /// What earlier runs came to.
    pub(super) limits: LimitsReached,
}

impl SimNode {
    pub(super) fn new(identity: Identity, medium: Medium) -> Self {
        Self {
            body: Body::Off,
            medium,
            writing: VecDeque::new(),
            identity,
            life: 0,
            clock: WallClock::Off(0),
            clock_noticed: true,
            links: BTreeMap::new(),
            last_arrival_us: BTreeMap::new(),
            paused_until_us: 0,
            deferred: VecDeque::new(),
            answers: BTreeMap::new(),
            deliveries: Vec::new(),
            progress: Vec::new(),
            merits: BTreeMap::new(),
            stopped: None,
            handshakes: (0, 0),
            limits: LimitsReached::new(),
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        !matches!(self.body, Body::Off)
    }
}
