//! Carrying out a plan.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use walytis_core::{BlockId, ChainId, Pending, Store, StoreError, chains};
use walytis_identities::History;
use walytis_offchain::{Answer, Command, EngineError, Entry, LimitsReached, Ticket};

use super::app::App;
use super::circle::Circle;
use super::hostile::Hostile;
use super::invariant::{Asked, Broken, Invariant};
use super::plan::{Action, Plan, Step};
use super::public::Public;
use super::{GROUP, check, probe};
use crate::{Fault, Faults, MemoryStore, NodeId, StoreCopy, World, WorldConfig};

/// Within how much virtual time honest members are equal once nothing disturbs them: twice the longest pause before a peer
/// is dialled again (75 s), the time that a peer is shunned for what the network did to its frames (60 s), an exchange in
/// quiet (40 s), and some for the transfer.
pub const CONVERGENCE_MS: u64 = 300_000;

/// How much may be sent until then, for each honest node and each block of the group, in bytes; and for each pair of nodes
/// besides.
const CONVERGENCE_BYTES: (u64, u64) = (64 * 1024, 2 * 1024 * 1024);

/// How many others a member is given the addresses of, besides the founder's. All of them would be a session for each pair,
/// whose signatures are most of what a run costs.
const ACQUAINTANCES: usize = 2;

/// How long equal nodes are left alone before they are asked, in milliseconds.
const QUIET_MS: u64 = 30_000;

/// Longer than a peer that misbehaved is not listened to, in milliseconds.
pub(super) const FORGIVEN_MS: u64 = 61_000;

/// How long a join in a healed world may take, in milliseconds.
const JOIN_MS: u64 = 200_000;

/// How a run went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many posts, joins and reads were asked for.
    pub operations: u64,
    /// What went wrong on purpose.
    pub faults: Faults,
    /// How often each invariant was asked of the groups.
    pub asked: Asked,
    /// How often each invariant was asked of the public chain.
    pub public: Asked,
    /// How long the honest members took to become equal, in milliseconds.
    pub convergence_ms: u64,
    /// How many bytes were sent meanwhile.
    pub convergence_bytes: u64,
    /// Which limits were reached, and how often.
    pub limits: LimitsReached,
    /// How often each class of malicious peers acted.
    pub enemies: BTreeMap<String, u64>,
    /// A hash over every event.
    pub trace: [u8; 32],
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which step it was at; `None` for the healing and what comes after.
    pub step: Option<usize>,
    /// What does not hold.
    pub broken: Broken,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.step {
            Some(step) => write!(f, "at step {step}: {}", self.broken),
            None => write!(f, "after the last step: {}", self.broken),
        }
    }
}

/// Carries out a plan, and checks what must hold at every step and at the end.
///
/// # Errors
/// The first invariant that did not hold, a panic included.
pub fn run(plan: &Plan) -> Result<Outcome, Failure> {
    run_watched(plan, &mut |_| {})
}

/// As [`run`], and tells of each step in a line.
///
/// # Errors
/// As [`run`].
pub fn run_watched(plan: &Plan, watch: &mut dyn FnMut(&str)) -> Result<Outcome, Failure> {
    let mut at = None;
    let whole = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::begin(plan)?;
        for (number, step) in plan.steps.iter().enumerate() {
            at = Some(number);
            run.step(step.wait_ms, &step.action)?;
            watch(&run.line(number, step));
        }
        at = None;
        run.finish()
    }));
    let result = whole.unwrap_or_else(|panic| Err(Broken { invariant: Invariant::R4, what: panic_text(&*panic) }));
    result.map_err(|broken| Failure { step: at, broken })
}

/// Carries out a plan again, and compares the traces.
///
/// # Errors
/// As [`run`]; also if the traces differ.
pub fn same_trace(plan: &Plan, before: &Outcome) -> Result<(), Failure> {
    let again = run(plan)?;
    if again == *before {
        return Ok(());
    }
    let what = "the same plan left another trace: something is not drawn from its seed".to_owned();
    Err(Failure { step: None, broken: Broken { invariant: Invariant::B4, what } })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// A post that was asked for.
pub(super) struct Asking {
    pub(super) node: NodeId,
    pub(super) content: Vec<u8>,
    /// Whether the node's store has it, which an old copy that is put back may not.
    pub(super) stored: bool,
}

/// A run under way, and what is known about it.
pub(super) struct Run {
    pub(super) world: World,
    pub(super) group: ChainId,
    /// The honest nodes.
    pub(super) nodes: Vec<NodeId>,
    pub(super) members: BTreeSet<NodeId>,
    pub(super) apps: BTreeMap<NodeId, App>,
    /// Posts whose answer is awaited.
    pub(super) asking: BTreeMap<(NodeId, Ticket), Asking>,
    pub(super) joining: BTreeMap<NodeId, Ticket>,
    pub(super) reading: BTreeMap<NodeId, check::Reading>,
    /// Every content that an honest member was given to post.
    pub(super) written: BTreeSet<Vec<u8>>,
    /// What was acknowledged, and to whom.
    pub(super) acknowledged: BTreeMap<BlockId, Asking>,
    /// Copies of stores, and how many members the group had in them.
    pub(super) copies: BTreeMap<NodeId, (StoreCopy, usize)>,
    /// Nodes that are to stay off until then, in virtual microseconds.
    pub(super) away_until_us: BTreeMap<NodeId, u64>,
    pub(super) seen: check::Seen,
    pub(super) code: String,
    pub(super) outcome: Outcome,
    pub(super) hostile: Vec<Hostile>,
    /// Nodes that an old copy made forget what they told others.
    pub(super) set_back: BTreeSet<NodeId>,
    /// The group that one member has for itself.
    pub(super) circle: Option<Circle>,
    pub(super) public: Public,
}

pub(super) fn broken(invariant: Invariant, what: impl Into<String>) -> Broken {
    Broken { invariant, what: what.into() }
}

impl Run {
    fn begin(plan: &Plan) -> Result<Self, Broken> {
        let setting = &plan.setting;
        let mut world = World::new(WorldConfig {
            latency_max_us: setting.latency_ms.saturating_mul(1_000).max(100),
            commit_us: setting.commit_us,
            // The beginning is calm: what a run is about comes later.
            ..WorldConfig::calm(setting.seed)
        });
        let failed = |error: EngineError| broken(Invariant::W3, format!("a new node: {error}"));
        let in_memory = setting.nodes.saturating_sub(setting.disks);
        let add = |number| if number < in_memory { world.add_node() } else { world.add_node_on_disk() };
        let nodes: Vec<NodeId> = (0..setting.nodes).map(add).collect::<Result<_, _>>().map_err(failed)?;
        let founder = nodes.first().copied().ok_or_else(|| broken(Invariant::R4, "a plan without nodes"))?;
        let group = match world.call(founder, Command::NewGroup { name: GROUP.into(), history: History::All }, JOIN_MS)
        {
            Some(Ok(Answer::Group(group))) => group.group,
            other => return Err(broken(Invariant::C5, format!("a group cannot be founded: {other:?}"))),
        };
        let code = match world.call(founder, Command::Invite { group: GROUP.into(), uses: 64 }, JOIN_MS) {
            Some(Ok(Answer::Invitation(code))) => code,
            other => return Err(broken(Invariant::C5, format!("nobody can be invited: {other:?}"))),
        };
        let mut run = Self {
            world,
            group,
            members: BTreeSet::from([founder]),
            apps: nodes.iter().map(|node| (*node, App::default())).collect(),
            nodes,
            asking: BTreeMap::new(),
            joining: BTreeMap::new(),
            reading: BTreeMap::new(),
            written: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            copies: BTreeMap::new(),
            away_until_us: BTreeMap::new(),
            seen: check::Seen::default(),
            code,
            outcome: Outcome::default(),
            hostile: Vec::new(),
            set_back: BTreeSet::new(),
            circle: None,
            public: Public::default(),
        };
        run.world.guard_chain(group);
        run.world.guard_text(b"post ");
        for node in run.nodes.clone().into_iter().take(setting.members).skip(1) {
            run.join_now(node)?;
            if setting.mesh {
                run.acquaint(node);
            }
        }
        if setting.circle {
            run.found_circle()?;
        }
        if setting.public {
            run.begin_public()?;
        }
        run.hostile = Hostile::all(&mut run.world, &run.code, &setting.enemies)?;
        run.world.set_tail(setting.tail_permille);
        for node in run.members.clone() {
            run.start_app(node);
        }
        Ok(run)
    }

    pub(super) fn node(&self, number: usize) -> NodeId {
        let index = number.checked_rem(self.nodes.len()).unwrap_or_default();
        self.nodes.get(index).copied().unwrap_or(NodeId(0))
    }

    pub(super) fn start_app(&mut self, node: NodeId) {
        if let Some(app) = self.apps.get_mut(&node) {
            app.start(&mut self.world, node);
        }
    }

    /// Lets a node join the group, and waits for it.
    pub(super) fn join_now(&mut self, node: NodeId) -> Result<(), Broken> {
        let command = Command::Join { code: self.code.clone(), name: Some(GROUP.into()) };
        self.join(node, self.node(0), &command)?;
        self.members.insert(node);
        Ok(())
    }

    /// Lets a node join a group by a founder's invitation, and waits for it.
    pub(super) fn join(&mut self, node: NodeId, founder: NodeId, command: &Command) -> Result<(), Broken> {
        self.wait_until_forgiven(node, founder);
        let end_us = self.world.now_us().saturating_add(JOIN_MS.saturating_mul(1_000));
        loop {
            match self.world.call(node, command.clone(), JOIN_MS) {
                Some(Ok(_) | Err(EngineError::AlreadyMember(_))) => return Ok(()),
                // It asked before the healing, and goes on waiting.
                Some(Err(EngineError::AlreadyJoining)) if self.world.now_us() < end_us => self.world.run_for(1_000),
                other => return Err(broken(Invariant::C5, format!("{node:?} cannot join in peace: {other:?}"))),
            }
        }
    }

    /// Frames that the network spoiled look like misbehaviour, and whoever misbehaves is not listened to for a minute.
    pub(super) fn wait_until_forgiven(&mut self, a: NodeId, b: NodeId) {
        if let Some(spoiled_us) = self.world.mangled_us(a, b) {
            let forgiven_us = spoiled_us.saturating_add(FORGIVEN_MS.saturating_mul(1_000));
            self.world.run_for_us(forgiven_us.saturating_sub(self.world.now_us()));
        }
    }

    /// A step as a person reads it: when, what, and how many blocks each node has then; `-` for one that is off.
    pub(super) fn line(&self, number: usize, step: &Step) -> String {
        let blocks = self.nodes.iter().map(|node| {
            let length = chains::length(&self.view(*node), self.group).unwrap_or_default();
            if self.world.is_running(*node) { length.to_string() } else { "-".to_owned() }
        });
        let blocks: Vec<String> = blocks.collect();
        let (seconds, action) = (self.world.now_us() as f64 / 1e6, &step.action);
        format!("{number:>4} {seconds:>10.3} s  {action:?}  [{}]", blocks.join(" "))
    }

    /// Gives a member the addresses of those who joined last before it. All know the founder's.
    pub(super) fn acquaint(&mut self, node: NodeId) {
        let before: Vec<NodeId> = self.members.iter().copied().filter(|other| *other < node).collect();
        for other in before.into_iter().rev().take(ACQUAINTANCES) {
            let address = self.world.address(other);
            self.world.ask(node, Command::Connect { address });
        }
    }

    pub(super) fn step(&mut self, wait_ms: u64, action: &Action) -> Result<(), Broken> {
        self.world.run_for(wait_ms);
        self.look()?;
        self.act(action)?;
        self.come_back()?;
        self.look()
    }

    pub(super) fn can_speak(&self, node: NodeId) -> bool {
        self.members.contains(&node) && self.world.is_running(node)
    }

    pub(super) fn post(&mut self, node: NodeId, bytes: usize) {
        if !self.can_speak(node) {
            return;
        }
        self.outcome.operations = self.outcome.operations.saturating_add(1);
        let mut content = format!("post {} of node {}", self.written.len(), node.0).into_bytes();
        content.resize(content.len().saturating_add(bytes), b'.');
        self.written.insert(content.clone());
        let command = Command::Post { group: GROUP.into(), topics: Vec::new(), content: content.clone() };
        let ticket = self.world.ask(node, command);
        self.asking.insert((node, ticket), Asking { node, content, stored: true });
    }

    /// Forgets what nobody will answer any more.
    pub(super) fn went_off(&mut self, node: NodeId) {
        if let Some(app) = self.apps.get_mut(&node) {
            app.stop();
        }
        self.asking.retain(|(asked, _), _| *asked != node);
        self.public_went_off(node);
        self.joining.remove(&node);
        self.reading.remove(&node);
    }

    pub(super) fn start(&mut self, node: NodeId) -> Result<(), Broken> {
        if self.world.is_running(node) || self.away_until_us.contains_key(&node) {
            return Ok(());
        }
        self.start_and_check(node)?;
        if self.members.contains(&node) {
            self.start_app(node);
        }
        self.read_publicly(node);
        Ok(())
    }

    pub(super) fn start_and_check(&mut self, node: NodeId) -> Result<(), Broken> {
        let started = self.world.start(node);
        self.outcome.asked.ask(Invariant::W3, started.is_ok(), || format!("{node:?} does not start: {started:?}"))?;
        self.after_crash(node)
    }

    /// A view of what a node has stored.
    pub(super) fn view(&self, node: NodeId) -> Pending {
        // What cannot be opened has nothing.
        let nothing = |_| Arc::new(MemoryStore::new()) as Arc<dyn Store>;
        Pending::new(self.world.reading(node).unwrap_or_else(nothing))
    }

    pub(super) fn has(&self, node: NodeId, id: BlockId) -> bool {
        chains::contains(&self.view(node), id).unwrap_or(false)
    }

    pub(super) fn knows_group(&self, node: NodeId) -> bool {
        chains::length(&self.view(node), self.group).is_ok_and(|length| length > 0)
    }

    /// Starts nodes whose absence is over, and notices those that stopped by themselves.
    pub(super) fn come_back(&mut self) -> Result<(), Broken> {
        let now = self.world.now_us();
        let back: Vec<NodeId> =
            self.away_until_us.iter().filter(|(_, until)| **until <= now).map(|(node, _)| *node).collect();
        for node in back {
            self.away_until_us.remove(&node);
            self.start(node)?;
        }
        for node in self.nodes.clone() {
            let Some(error) = self.world.take_stopped(node) else { continue };
            let ours = matches!(
                &error,
                EngineError::Chain(walytis_core::ChainError::Store(
                    StoreError::Full { .. } | StoreError::Disk { .. } | StoreError::Poisoned
                ))
            );
            self.outcome.asked.ask(Invariant::W6, ours, || format!("{node:?} stopped: {error}"))?;
            self.take_answers()?;
            self.went_off(node);
        }
        Ok(())
    }

    /// Whether posts are on their way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.asking.is_empty() || self.public_waits()
    }

    /// Looks at everything that was answered and delivered.
    pub(super) fn look(&mut self) -> Result<(), Broken> {
        self.take_answers()?;
        let mut apps = std::mem::take(&mut self.apps);
        let written = &self.written;
        let hostile = !self.hostile.is_empty();
        let judge = |world: &World, node: NodeId, entry: &Entry, asked: &mut Asked| {
            check::delivered(world, node, (written, hostile), entry, asked)
        };
        let mut result = Ok(());
        for (node, app) in &mut apps {
            result = app.look(&mut self.world, *node, &mut self.outcome.asked, &judge);
            if result.is_err() {
                break;
            }
        }
        self.apps = apps;
        result?;
        self.look_publicly()?;
        self.grow(false)
    }

    pub(super) fn take_answers(&mut self) -> Result<(), Broken> {
        let mut asking = std::mem::take(&mut self.asking);
        let mut wrong = None;
        asking.retain(|(node, ticket), post| {
            match self.world.take_answer(*node, *ticket) {
                None => return true,
                Some(Ok(Answer::Posted(id))) => {
                    let post = Asking { node: *node, content: std::mem::take(&mut post.content), stored: true };
                    self.acknowledged.insert(id, post);
                }
                // Its store failed.
                Some(Err(EngineError::Stopped(_))) => {}
                Some(Err(error)) if error.is_fatal() => {}
                Some(other) => wrong = Some(broken(Invariant::C5, format!("{node:?} cannot post: {other:?}"))),
            }
            false
        });
        self.asking = asking;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        self.take_public_answers()?;
        for (node, ticket) in self.joining.clone() {
            let Some(answer) = self.world.take_answer(node, ticket) else { continue };
            self.joining.remove(&node);
            // A join may fail for whatever the network or the inviter's end was; it is asked for again.
            if answer.is_ok() {
                self.world.faults_mut().fire(Fault::LateJoin);
                self.members.insert(node);
                self.start_app(node);
            }
        }
        for (node, mut reading) in std::mem::take(&mut self.reading) {
            if !reading.look(&mut self.world, node, &self.written, !self.hostile.is_empty(), &mut self.outcome.asked)? {
                self.reading.insert(node, reading);
            }
        }
        Ok(())
    }

    /// Ends all faults, waits until the honest members are equal, and checks everything.
    fn finish(mut self) -> Result<Outcome, Broken> {
        self.heal()?;
        let (began_us, bytes) = (self.world.now_us(), self.world.traffic().1);
        let mut equal_us = None;
        while equal_us.is_none() {
            let spent_ms = self.world.now_us().saturating_sub(began_us) / 1_000;
            if spent_ms > CONVERGENCE_MS {
                return Err(check::unequal(&self));
            }
            self.world.run_for(250);
            self.come_back()?;
            self.restart_stopped()?;
            self.look()?;
            if !self.is_waiting() && check::converged(&self) && self.public_converged() {
                equal_us = Some(self.world.now_us());
            }
        }
        self.outcome.convergence_ms = equal_us.unwrap_or_default().saturating_sub(began_us) / 1_000;
        self.outcome.convergence_bytes = self.world.traffic().1.saturating_sub(bytes);
        self.latecomers()?;
        if self.hostile.is_empty() {
            probe::probe(&mut self)?;
        } else {
            probe::held_back(&mut self)?;
        }
        self.latecomers()?;
        check::at_the_end(&mut self, CONVERGENCE_BYTES)?;
        self.open_circle()?;
        self.outcome.faults.add(self.world.faults());
        for node in self.nodes.clone() {
            for (limit, times) in self.world.limits_reached(node) {
                let sum = self.outcome.limits.entry(limit).or_default();
                *sum = sum.saturating_add(times);
            }
        }
        self.outcome.trace = self.world.trace_hash();
        Ok(self.outcome)
    }

    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.mend_all();
        self.world.set_tail(0);
        self.away_until_us.clear();
        for node in self.nodes.clone() {
            self.world.resume(node);
            self.world.heal_store(node);
        }
        self.come_back()?;
        self.restart_stopped()?;
        self.end_public_rules()?;
        // They go on once more in the healed world, and then stay where they are and say nothing.
        for which in 0..self.hostile.len() {
            self.enemy(which);
            self.look()?;
        }
        Ok(())
    }

    pub(super) fn restart_stopped(&mut self) -> Result<(), Broken> {
        for node in self.nodes.clone() {
            self.start(node)?;
        }
        Ok(())
    }

    /// Whoever is no member yet joins now, and everybody becomes equal again.
    pub(super) fn latecomers(&mut self) -> Result<(), Broken> {
        // An admission may stand although the joiner never heard of it.
        for node in self.nodes.clone() {
            if !self.members.contains(&node) {
                self.joining.remove(&node);
                self.join_now(node)?;
                self.start_app(node);
            }
        }
        let began = self.world.now_us();
        // Contents may arrive behind their blocks.
        self.world.run_for(QUIET_MS);
        loop {
            self.look()?;
            let all_read = check::delivered_all(self) && self.public_readers_have_all();
            if check::converged(self) && all_read && self.public_converged() {
                return Ok(());
            }
            if self.world.now_us().saturating_sub(began) / 1_000 > CONVERGENCE_MS {
                return Err(check::unequal(self));
            }
            self.world.run_for(250);
        }
    }
}
