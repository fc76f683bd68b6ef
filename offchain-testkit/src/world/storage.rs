//! What nodes have stored: reading it, losing it, damaging it and putting it back.

use std::sync::Arc;

use walytis_core::{Batch, Store, StoreError};
use walytis_engine::DiskSpace;
use walytis_offchain::Event;

use super::medium::Medium;
use super::node::Body;
use super::{Damage, Fault, NodeId, StoreCopy, World};
use crate::{DiskFaults, MemoryStore};

impl World {
    /// From now on a node's engine can know that its disk has so much room. It hears of it at once, and whenever it asks.
    pub fn set_disk_space(&mut self, node: NodeId, space: DiskSpace) {
        self.disk_spaces.insert(node, space);
        self.schedule(node, 0, Event::DiskSpace(space));
    }

    /// Answers an engine that asks how much room its disk has, if that can be known.
    pub(super) fn tell_disk_space(&mut self, node: NodeId) {
        if let Some(space) = self.disk_spaces.get(&node).copied() {
            self.schedule(node, 0, Event::DiskSpace(space));
        }
    }

    /// Makes the next commits of a node fail: the one after `commits` more, and with it the store's handle.
    pub fn fail_commit(&mut self, node: NodeId, commits: u64, error: StoreError) {
        self.node(node).medium.fail_commit(commits, error);
    }

    /// Lets the store of a node take commits again, if it was to fail.
    pub fn heal_store(&mut self, node: NodeId) {
        self.node(node).medium.heal();
    }

    /// What a node's store holds, to read from, whether the node runs or not.
    ///
    /// # Errors
    /// The store could not be opened after a crash.
    pub fn reading(&self, node: NodeId) -> Result<Arc<dyn Store>, StoreError> {
        self.node(node).medium.store()
    }

    /// A copy of all that a node has stored.
    #[must_use]
    pub fn copy(&self, node: NodeId) -> StoreCopy {
        self.node(node).medium.copy()
    }

    /// Damages the disk of a node that is off. Returns whether it has one.
    pub fn damage(&mut self, node: NodeId, damage: Damage) -> bool {
        if self.node(node).is_on() {
            return false;
        }
        let done = self.node_mut(node).medium.damage(damage);
        self.note_disk(done.unwrap_or_default());
        done.is_some()
    }

    /// Opens the store of a node that is off, and compares every page with its sum.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&mut self, node: NodeId) -> Result<(), StoreError> {
        self.node_mut(node).medium.verify()
    }

    /// Opens the store of a node that is off anew, to read from.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn reopen(&mut self, node: NodeId) -> Result<(), StoreError> {
        self.node_mut(node).medium.reopen()
    }

    /// Puts a copy back, as after a damage that was found. See [`World::put_back`].
    pub fn restore(&mut self, node: NodeId, copy: StoreCopy) {
        self.switch_off(node);
        self.node_mut(node).medium.put_back(copy);
    }

    /// A node's store in memory. Nodes on disks have none: [`World::reading`].
    #[must_use]
    pub fn store(&self, node: NodeId) -> Arc<MemoryStore> {
        match &self.node(node).medium {
            Medium::Memory(store) => Arc::clone(store),
            Medium::Disk(_) => unreachable!("{node:?} is on a disk"),
        }
    }

    /// Stops a node and puts other rows into its store, such as an old copy of its own.
    pub fn put_back(&mut self, node: NodeId, copy: impl Into<StoreCopy>) {
        self.switch_off(node);
        self.faults.fire(Fault::OldCopy);
        self.node_mut(node).medium.put_back(copy.into());
    }

    fn note_disk(&mut self, faults: DiskFaults) {
        let kinds = [
            (Fault::LostPages, faults.pages_lost),
            (Fault::ReorderedPages, faults.pages_reordered),
            (Fault::TornPages, faults.pages_torn),
            (Fault::FlippedBits, faults.bits_flipped),
            (Fault::SwappedPages, faults.pages_swapped),
            (Fault::CutEnd, faults.truncated),
        ];
        for (kind, times) in kinds {
            if times > 0 {
                self.faults.fire(kind);
            }
        }
    }

    /// Stops a node at once: what was being written is lost, and its connections break.
    pub fn kill(&mut self, node: NodeId) {
        self.kill_keeping(node, 0);
    }

    /// Stops a node at once. Of the batches that were being written, this many, the oldest, reached the disk all the same.
    pub fn kill_keeping(&mut self, node: NodeId, batches: usize) {
        let known = self.node(node);
        if known.is_on() {
            let kept = !known.writing.is_empty() && batches > 0;
            self.faults.fire(if kept { Fault::CrashKeeping } else { Fault::CrashLosing });
        }
        let writing = self.switch_off(node);
        let crashed = self.node_mut(node).medium.crash(writing, batches);
        self.note_disk(crashed.faults);
        if crashed.in_recovery {
            self.faults.fire(Fault::CrashInRecovery);
        }
    }

    /// How many batches a node is writing.
    #[must_use]
    pub fn writing(&self, node: NodeId) -> usize {
        self.node(node).writing.len()
    }

    /// Ends a node's run and its connections. Returns what it was writing.
    pub(super) fn switch_off(&mut self, node: NodeId) -> Vec<Batch> {
        let reached = self.limits_reached(node);
        let known = self.node_mut(node);
        known.limits = reached;
        known.body = Body::Off;
        known.paused_until_us = 0;
        known.deferred.clear();
        let writing = known.writing.drain(..).map(|(_, batch)| batch).collect();
        self.hang_up(node);
        writing
    }
}
