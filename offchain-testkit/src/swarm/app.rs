//! An application at each member: it reads the group by a cursor that survives restarts, and notes what it is given.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::BlockId;
use walytis_offchain::{Answer, Command, Delivery, Entry, Ticket};

use super::GROUP;
use super::invariant::{Asked, Broken, Invariant};
use crate::{NodeId, World};

/// How many entries the application asks for at a time when it catches up.
const PAGE: usize = 64;

/// What is asked of each entry that an application is given.
pub(super) type Judge<'a> = dyn Fn(&World, NodeId, &Entry, &mut Asked) -> Result<(), Broken> + 'a;

/// Where an application is in its run.
#[derive(Debug, Default)]
enum Stage {
    /// Its node is off, or no member.
    #[default]
    Idle,
    /// It asked to hear of what arrives.
    Subscribing(Ticket),
    /// It reads what arrived while it was away; what arrives meanwhile waits.
    CatchingUp { subscription: Ticket, until: u64, page: Ticket, waiting: Vec<Delivery> },
    /// It gets what arrives.
    Following { subscription: Ticket },
}

/// The application of a node.
#[derive(Debug, Default)]
pub(super) struct App {
    stage: Stage,
    /// How many of the world's deliveries to the node it has looked at.
    looked: usize,
    /// Its cursor: the first position that it was not given yet. It survives crashes.
    cursor: u64,
    /// What it was given: each block, and whether with its content.
    given: BTreeMap<BlockId, bool>,
    /// In which order.
    order: Vec<BlockId>,
    /// Blocks of this subscription that came without their content. What comes while it does not listen, it has to list.
    awaited: BTreeSet<BlockId>,
}

impl App {
    /// Begins to read, if the node runs.
    pub(super) fn start(&mut self, world: &mut World, node: NodeId) {
        if world.is_running(node) {
            self.looked = world.deliveries(node).len();
            self.awaited.clear();
            self.stage = Stage::Subscribing(world.ask(node, Command::Subscribe { group: GROUP.into() }));
        }
    }

    /// Its node went off.
    pub(super) fn stop(&mut self) {
        self.stage = Stage::Idle;
    }

    /// It forgets all that it was given: its own records were put back, too.
    pub(super) fn forget(&mut self) {
        *self = Self { looked: self.looked, ..Self::default() };
    }

    /// What it was given.
    pub(super) const fn given(&self) -> &BTreeMap<BlockId, bool> {
        &self.given
    }

    /// In which order it was given blocks.
    pub(super) fn order(&self) -> &[BlockId] {
        &self.order
    }

    /// Blocks whose content it is to be given when that comes.
    pub(super) const fn awaited(&self) -> &BTreeSet<BlockId> {
        &self.awaited
    }

    /// Whether it has all that arrived so far.
    pub(super) const fn is_following(&self) -> bool {
        matches!(self.stage, Stage::Following { .. })
    }

    /// Takes what came since the last call.
    pub(super) fn look(
        &mut self,
        world: &mut World,
        node: NodeId,
        asked: &mut Asked,
        judge: &Judge<'_>,
    ) -> Result<(), Broken> {
        if let Stage::Subscribing(ticket) = self.stage
            && let Some(answer) = world.take_answer(node, ticket)
        {
            self.stage = match answer {
                Ok(Answer::Subscribed { from }) => {
                    let page = world.ask(node, since(self.cursor));
                    Stage::CatchingUp { subscription: ticket, until: from, page, waiting: Vec::new() }
                }
                _ => Stage::Idle,
            };
        }
        let fresh: Vec<(Ticket, Delivery)> = world.deliveries(node).get(self.looked..).unwrap_or_default().to_vec();
        self.looked = self.looked.saturating_add(fresh.len());
        for (ticket, delivery) in fresh {
            match &mut self.stage {
                Stage::CatchingUp { subscription, waiting, .. } if *subscription == ticket => waiting.push(delivery),
                Stage::Following { subscription } if *subscription == ticket => {
                    self.take(world, node, delivery, asked, judge)?;
                }
                // Of an earlier run.
                _ => {}
            }
        }
        let Stage::CatchingUp { page, until, .. } = self.stage else { return Ok(()) };
        let Some(Ok(Answer::Page(found))) = world.take_answer(node, page) else { return Ok(()) };
        let more = found.entries.last().is_some_and(|last| last.position.saturating_add(1) < until);
        for entry in found.entries.into_iter().filter(|entry| entry.position < until) {
            self.take(world, node, Delivery::Block(entry), asked, judge)?;
        }
        if more {
            let next = world.ask(node, since(self.cursor));
            if let Stage::CatchingUp { page, .. } = &mut self.stage {
                *page = next;
            }
            return Ok(());
        }
        if let Stage::CatchingUp { subscription, waiting, .. } = std::mem::take(&mut self.stage) {
            self.stage = Stage::Following { subscription };
            self.cursor = self.cursor.max(until);
            for delivery in waiting {
                // Content that arrived while the page was read came with it.
                let came = |entry: &Entry| self.given.get(&entry.id) == Some(&true);
                if !matches!(&delivery, Delivery::Content(entry) if came(entry)) {
                    self.take(world, node, delivery, asked, judge)?;
                }
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        world: &World,
        node: NodeId,
        delivery: Delivery,
        asked: &mut Asked,
        judge: &Judge<'_>,
    ) -> Result<(), Broken> {
        match delivery {
            Delivery::Block(entry) => {
                judge(world, node, &entry, asked)?;
                asked.ask(Invariant::D1, !self.given.contains_key(&entry.id), || {
                    format!("block {} was delivered twice", entry.id)
                })?;
                asked.ask(Invariant::D4, entry.position >= self.cursor, || {
                    format!("block {} at {} came behind {}", entry.id, entry.position, self.cursor)
                })?;
                self.cursor = entry.position.saturating_add(1);
                self.given.insert(entry.id, entry.content.is_some());
                self.order.push(entry.id);
                if entry.content.is_none() {
                    self.awaited.insert(entry.id);
                }
            }
            Delivery::Content(entry) => {
                judge(world, node, &entry, asked)?;
                let known = self.given.insert(entry.id, true);
                self.awaited.remove(&entry.id);
                asked.ask(Invariant::D1, known != Some(true), || {
                    format!("the content of {} was delivered twice", entry.id)
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn since(from: u64) -> Command {
    Command::Since { group: GROUP.into(), from, limit: PAGE }
}
