//! What the steps of a plan do.

use walytis_core::{BlockId, StoreError};
use walytis_identities::Fold;
use walytis_offchain::Command;

use super::invariant::{Broken, Invariant};
use super::plan::{Action, Partition};
use super::run::Run;
use super::{GROUP, check};
use crate::{Damage, Fault, NodeId, WallClock};

impl Run {
    pub(super) fn act(&mut self, action: &Action) -> Result<(), Broken> {
        match action {
            Action::Post { node, bytes } => self.post(self.node(*node), *bytes),
            Action::PublicPost { node, bytes } => self.post_publicly(self.node(*node), *bytes),
            Action::PublicApart { node, other, posts } => {
                let (node, other) = (self.node(*node), self.node(*other));
                if self.follows_publicly(node) && self.follows_publicly(other) {
                    self.partition(&Partition::Isolate { node: node.0 });
                    for _ in 0..*posts {
                        self.post_publicly(node, 0);
                        self.post_publicly(other, 0);
                    }
                }
            }
            Action::PublicRule { node, author } => self.rule_publicly(self.node(*node), self.node(*author)),
            Action::Join { node } => self.ask_to_join(self.node(*node)),
            Action::Read { node } => {
                let node = self.node(*node);
                if self.can_speak(node) && !self.reading.contains_key(&node) {
                    self.outcome.operations = self.outcome.operations.saturating_add(1);
                    self.reading.insert(node, check::Reading::begin(&mut self.world, node));
                }
            }
            Action::Mangle { from, to, how } => {
                if let Some((from, to)) = self.linked_pair(*from, *to) {
                    self.world.mangle(from, to, *how);
                }
            }
            Action::Break { a, b } => {
                if let Some((a, b)) = self.pair(*a, *b) {
                    self.world.break_link(a, b);
                }
            }
            Action::HalfOpen { loses, keeps } => {
                if let Some((loses, keeps)) = self.pair(*loses, *keeps) {
                    self.world.half_open(loses, keeps);
                }
            }
            Action::Partition(partition) => self.partition(partition),
            Action::OneWay { from, to } => {
                if let Some((from, to)) = self.pair(*from, *to) {
                    self.world.block(from, to);
                }
            }
            Action::Mend { a, b } => {
                if let Some((a, b)) = self.pair(*a, *b) {
                    self.world.mend(a, b);
                }
            }
            Action::MendAll => self.mend_all(),
            Action::Kill { node, keep } => {
                let node = self.node(*node);
                // Mostly in the middle of writing, where a crash can break something.
                if *keep > 0 {
                    self.post(node, 100);
                    self.world.run_until(2, |world| world.writing(node) > 0);
                }
                self.kill(node, keep.saturating_sub(1));
            }
            Action::Start { node } => self.start(self.node(*node))?,
            Action::CrashInRecovery { node, after_us } => self.crash_in_recovery(self.node(*node), *after_us)?,
            Action::FailCommit { node, after, full } => {
                let node = self.node(*node);
                if self.world.is_running(node) {
                    let reason = "the simulated disk refuses".to_owned();
                    let (fault, error) = match full {
                        true => (Fault::NoSpace, StoreError::Full { reason }),
                        false => (Fault::WriteError, StoreError::Disk { reason }),
                    };
                    self.world.faults_mut().arm(fault);
                    self.world.fail_commit(node, *after, error);
                }
            }
            Action::Damage { node, how } => self.damage(self.node(*node), *how)?,
            Action::PutBack { node } => self.put_back(self.node(*node))?,
            Action::Copy { node } => {
                let node = self.node(*node);
                // A device that was admitted and lost all record of it cannot be admitted again; it would have to be made anew.
                if !self.members.contains(&node) || !self.knows_group(node) {
                    return Ok(());
                }
                let members = self.member_count(node);
                self.copies.insert(node, (self.world.copy(node), members));
            }
            Action::Pause { node, ms } => self.world.pause(self.node(*node), *ms),
            Action::Leave { node, ms } => {
                let node = self.node(*node);
                if self.world.is_running(node) {
                    self.world.faults_mut().arm(Fault::Absence);
                    self.world.faults_mut().fire(Fault::Absence);
                    self.kill(node, 0);
                    let until = self.world.now_us().saturating_add(ms.saturating_mul(1_000));
                    self.away_until_us.insert(node, until);
                }
            }
            Action::Skew { node, ms } => self.world.set_clock(self.node(*node), WallClock::Off(*ms)),
            Action::Freeze { node } => {
                let node = self.node(*node);
                let shows = self.world.wall_clock(node).0;
                self.world.set_clock(node, WallClock::Frozen(shows));
            }
            Action::Backwards { node } => {
                let node = self.node(*node);
                let (from_ms, since_ms) = (self.world.wall_clock(node).0, self.world.now_us() / 1_000);
                self.world.set_clock(node, WallClock::Backwards { from_ms, since_ms });
            }
            Action::Enemy { which } => self.enemy(*which),
        }
        Ok(())
    }

    /// A malicious peer's turn, for which the others' time goes on.
    pub(super) fn enemy(&mut self, which: usize) {
        let victims: Vec<NodeId> = self.members.iter().copied().filter(|node| self.world.is_running(*node)).collect();
        let index = which.checked_rem(self.hostile.len()).unwrap_or_default();
        let Some(hostile) = self.hostile.get_mut(index) else { return };
        if let Some(class) = hostile.act(&mut self.world, self.group, &victims) {
            let times = self.outcome.enemies.entry(class.to_owned()).or_default();
            *times = times.saturating_add(1);
        }
    }

    /// Lets the next malicious peer open a session, if it can.
    pub(super) fn greeted(&mut self, which: usize, by: NodeId) {
        let index = which.checked_rem(self.hostile.len()).unwrap_or_default();
        if let Some(hostile) = self.hostile.get_mut(index) {
            hostile.greet(&mut self.world, self.group, by);
        }
    }

    /// A turn of the next malicious peer, against some members.
    pub(super) fn lie(&mut self, which: usize, to: &[NodeId]) {
        let index = which.checked_rem(self.hostile.len()).unwrap_or_default();
        let Some(hostile) = self.hostile.get_mut(index) else { return };
        if let Some(class) = hostile.act(&mut self.world, self.group, to) {
            let times = self.outcome.enemies.entry(class.to_owned()).or_default();
            *times = times.saturating_add(1);
        }
    }

    pub(super) fn partition(&mut self, partition: &Partition) {
        let nodes = self.nodes.clone();
        let last = nodes.len().saturating_sub(1);
        for (index, a) in nodes.iter().enumerate() {
            for (later, b) in nodes.iter().enumerate().skip(index.saturating_add(1)) {
                let apart = match partition {
                    Partition::Split { mask } => {
                        let side = |index: usize| mask.checked_shr(u32::try_from(index).unwrap_or(0)).unwrap_or(0) & 1;
                        side(index) != side(later)
                    }
                    Partition::Isolate { node } => {
                        let alone = self.node(*node);
                        *a == alone || *b == alone
                    }
                    Partition::Ring => later != index.saturating_add(1) && !(index == 0 && later == last),
                    Partition::Pair { a: one, b: other } => {
                        let (one, other) = (self.node(*one), self.node(*other));
                        (*a, *b) == (one.min(other), one.max(other))
                    }
                };
                if apart {
                    self.world.cut(*a, *b);
                }
            }
        }
    }

    pub(super) fn mend_all(&mut self) {
        for a in 0..self.world.len() {
            for b in 0..a {
                self.world.mend(NodeId(a), NodeId(b));
            }
        }
    }

    pub(super) fn kill(&mut self, node: NodeId, keep: usize) {
        if self.world.is_running(node) {
            self.world.kill_keeping(node, keep);
            self.went_off(node);
        }
    }

    pub(super) fn crash_in_recovery(&mut self, node: NodeId, after_us: u64) -> Result<(), Broken> {
        self.kill(node, 0);
        if self.away_until_us.contains_key(&node) {
            return Ok(());
        }
        self.world.faults_mut().arm(Fault::CrashInRecovery);
        self.start_and_check(node)?;
        self.world.run_for_us(after_us);
        if self.world.is_running(node) {
            self.world.faults_mut().fire(Fault::CrashInRecovery);
        }
        self.kill(node, 1);
        let before = self.outcome.asked.times(Invariant::W1);
        self.start(node)?;
        let asked = self.outcome.asked.times(Invariant::W1).saturating_sub(before);
        self.outcome.asked.add(Invariant::W4, asked);
        Ok(())
    }

    /// W5: damage at rest is found, or changes nothing.
    pub(super) fn damage(&mut self, node: NodeId, how: Damage) -> Result<(), Broken> {
        if self.away_until_us.contains_key(&node) {
            return Ok(());
        }
        self.kill(node, 0);
        let whole = self.world.copy(node);
        let before = check::stored(&self.view(node), self.group);
        if !self.world.damage(node, how) {
            return Ok(());
        }
        self.world.faults_mut().arm(how.fault());
        let found = match self.world.verify(node).and_then(|()| self.world.reopen(node)) {
            Err(_) => true,
            Ok(()) => check::stored(&self.view(node), self.group) == before,
        };
        self.outcome.asked.ask(Invariant::W5, found, || format!("{node:?} shows other blocks after {how:?}"))?;
        self.world.restore(node, whole);
        self.start(node)
    }

    /// Puts an old copy back. What only that node had is lost with it, and its application's records are the copy's, too.
    pub(super) fn put_back(&mut self, node: NodeId) -> Result<(), Broken> {
        let Some((copy, members)) = self.copies.get(&node).cloned() else { return Ok(()) };
        // Who alone admits and forgets whom it admitted knows them no more, and today nobody can show it: a member's first
        // flight does not bring the operations that lead to it yet.
        let forgets = node == self.node(0) && self.member_count(node) > members;
        if forgets || self.away_until_us.contains_key(&node) {
            return Ok(());
        }
        self.world.faults_mut().arm(Fault::OldCopy);
        // What was here alone goes with what is put back, whoever wrote it.
        for id in self.acknowledged.keys().copied().collect::<Vec<BlockId>>() {
            let elsewhere = self.nodes.iter().any(|other| *other != node && self.has(*other, id));
            if !elsewhere {
                self.acknowledged.remove(&id);
            } else if let Some(post) = self.acknowledged.get_mut(&id).filter(|post| post.node == node) {
                post.stored = false;
            }
        }
        self.public_put_back(node);
        self.world.put_back(node, copy);
        self.went_off(node);
        self.set_back.insert(node);
        self.seen.forget(node);
        if let Some(app) = self.apps.get_mut(&node) {
            app.forget();
        }
        let started = self.world.start(node);
        self.outcome
            .asked
            .ask(Invariant::W3, started.is_ok(), || format!("an old copy does not start: {started:?}"))?;
        self.start_app(node);
        self.read_publicly(node);
        Ok(())
    }

    pub(super) fn member_count(&self, node: NodeId) -> usize {
        let found = Fold::default().current(&self.view(node), self.group);
        found.map_or(0, |membership| membership.members.len())
    }

    pub(super) fn ask_to_join(&mut self, node: NodeId) {
        if self.members.contains(&node) || self.joining.contains_key(&node) || !self.world.is_running(node) {
            return;
        }
        self.outcome.operations = self.outcome.operations.saturating_add(1);
        self.world.faults_mut().arm(Fault::LateJoin);
        let command = Command::Join { code: self.code.clone(), name: Some(GROUP.into()) };
        self.joining.insert(node, self.world.ask(node, command));
    }

    /// Two nodes; if they are not connected, the second is another member that the first is connected with, if there is any.
    fn linked_pair(&self, a: usize, b: usize) -> Option<(NodeId, NodeId)> {
        let (a, b) = self.pair(a, b)?;
        let others = (0..self.nodes.len()).map(|step| self.node(b.0.saturating_add(step)));
        let speak = |other: NodeId| other != a && self.can_speak(a) && self.can_speak(other);
        let linked = others.into_iter().find(|other| speak(*other) && self.world.connected(a, *other));
        Some((a, linked.unwrap_or(b)))
    }

    pub(super) fn pair(&self, a: usize, b: usize) -> Option<(NodeId, NodeId)> {
        let (a, b) = (self.node(a), self.node(b));
        (a != b).then_some((a, b))
    }
}
