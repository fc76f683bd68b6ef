//! An application that reads the public chain under a name. What it handled it acknowledges, some blocks it cannot handle
//! at all, and it goes on where it was acknowledged, whatever happens to its node.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::{AuthorKey, BlockId, Pending, chains};
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainEntry, DeliveryAnswer, DeliveryCommand, Start};
use walytis_offchain::{Answer, Command, Delivery, EngineError, Ticket};

use super::invariant::{Asked, Broken, Invariant};
use super::public::CHAIN;
use super::run::broken;
use crate::{NodeId, World};

/// The name under which it reads.
const NAME: &str = "reader";
/// How many blocks it asks for at a time: fewer than often wait.
const PAGE: usize = 8;
/// It cannot handle one of so many blocks.
const FAILS: u8 = 12;

/// What of it is on its way.
#[derive(Debug, Default)]
enum Stage {
    /// Its node is off.
    #[default]
    Idle,
    Opening(Ticket),
    /// There was nothing to read from this place on.
    Waiting {
        subscription: Ticket,
        from: u64,
    },
    Reading {
        subscription: Ticket,
        page: Ticket,
    },
    /// It tells what it has handled.
    Passing {
        subscription: Ticket,
        told: Ticket,
    },
}

/// Blocks of which it is not certain yet that the cursor has passed them.
#[derive(Debug, Default)]
struct Passing {
    ids: Vec<BlockId>,
    /// Whether they were failed, not handled.
    failed: bool,
    /// Where the cursor is then, and where reading goes on.
    cursor: u64,
    next: u64,
}

/// The application of a node.
#[derive(Debug, Default)]
pub(super) struct Reader {
    stage: Stage,
    /// How many of the world's deliveries to the node it has looked at.
    looked: usize,
    /// The first position that is not acknowledged.
    cursor: u64,
    passing: Option<Passing>,
    /// What it has handled, or set aside, in this order.
    order: Vec<BlockId>,
    passed: BTreeSet<BlockId>,
    letters: BTreeSet<BlockId>,
    /// What was delivered to this subscription as it arrived, and the parents of that which were not.
    live: BTreeSet<BlockId>,
    before_live: BTreeSet<BlockId>,
    /// Something has arrived since it last asked for a page.
    news: bool,
    /// Authors that its node does not show.
    pub(super) blocked: BTreeSet<AuthorKey>,
    /// Some block may have been passed over, because its author was blocked then.
    pub(super) passed_over: bool,
    /// Its node's records are an old copy, of which it does not know where they stood.
    put_back: bool,
}

/// What a reader needs to judge what it is given.
pub(super) struct Judge<'a> {
    pub(super) written: &'a BTreeSet<Vec<u8>>,
    pub(super) hostile: bool,
}

impl Reader {
    /// Begins to read, or goes on, if the node runs.
    pub(super) fn start(&mut self, world: &mut World, node: NodeId) {
        if world.is_running(node) {
            self.looked = world.deliveries(node).len();
            self.live.clear();
            self.before_live.clear();
            let open = DeliveryCommand::Open { chain: CHAIN.into(), name: NAME.into(), start: Start::Beginning };
            self.stage = Stage::Opening(ask(world, node, open));
        }
    }

    /// Its node went off.
    pub(super) fn stop(&mut self) {
        self.stage = Stage::Idle;
    }

    /// It forgets all: its own records were put back, too.
    pub(super) fn forget(&mut self) {
        *self = Self { looked: self.looked, passed_over: true, put_back: true, ..Self::default() };
    }

    /// Whether it has all that has arrived.
    pub(super) const fn has_all(&self) -> bool {
        matches!(self.stage, Stage::Waiting { .. }) && !self.news
    }

    /// What it has handled or set aside, in order.
    pub(super) fn order(&self) -> &[BlockId] {
        &self.order
    }

    /// Takes what came since the last call, and goes on.
    pub(super) fn look(
        &mut self,
        world: &mut World,
        node: NodeId,
        asked: &mut Asked,
        judge: &Judge<'_>,
    ) -> Result<(), Broken> {
        self.take_news(world, node, asked, judge)?;
        match std::mem::take(&mut self.stage) {
            Stage::Idle => {}
            Stage::Opening(ticket) => match world.take_answer(node, ticket) {
                None => self.stage = Stage::Opening(ticket),
                Some(Ok(Answer::Chain(ChainAnswer::Subscribed { from, .. }))) => {
                    self.opened(from, node, asked)?;
                    self.read(world, node, ticket, from);
                }
                Some(other) => stopped(node, other)?,
            },
            Stage::Waiting { subscription, from } if self.news => self.read(world, node, subscription, from),
            waiting @ Stage::Waiting { .. } => self.stage = waiting,
            Stage::Reading { subscription, page } => match world.take_answer(node, page) {
                None => self.stage = Stage::Reading { subscription, page },
                Some(Ok(Answer::Chain(ChainAnswer::Delivery(DeliveryAnswer::Blocks { entries, next, .. })))) => {
                    self.handle(world, (node, subscription), (entries, next), asked, judge)?;
                }
                Some(other) => stopped(node, other)?,
            },
            Stage::Passing { subscription, told } => match world.take_answer(node, told) {
                None => self.stage = Stage::Passing { subscription, told },
                Some(Ok(Answer::Chain(_))) => {
                    let next = self.pass().unwrap_or(self.cursor);
                    self.read(world, node, subscription, next);
                }
                Some(other) => stopped(node, other)?,
            },
        }
        Ok(())
    }

    /// D1, W1: it goes on where it was acknowledged, or where it was about to be.
    fn opened(&mut self, from: u64, node: NodeId, asked: &mut Asked) -> Result<(), Broken> {
        let unsure = self.passing.as_ref().map(|passing| passing.cursor);
        if self.put_back && self.order.is_empty() && unsure.is_none() {
            self.cursor = from;
        }
        let (cursor, goes_on) = (self.cursor, from == self.cursor || Some(from) == unsure);
        let text = || format!("the public reader of {node:?} goes on at {from}, and was acknowledged at {cursor}");
        asked.ask(Invariant::W1, goes_on, text)?;
        asked.ask(Invariant::D1, goes_on, text)?;
        if Some(from) == unsure && from != cursor {
            self.pass();
        }
        self.passing = None;
        Ok(())
    }

    fn read(&mut self, world: &mut World, node: NodeId, subscription: Ticket, from: u64) {
        self.news = false;
        let read = DeliveryCommand::Read { subscription, from, held: Vec::new(), topics: Vec::new(), limit: PAGE };
        self.stage = Stage::Reading { subscription, page: ask(world, node, read) };
    }

    /// A page: what is handled is acknowledged up to the first block that cannot be.
    fn handle(
        &mut self,
        world: &mut World,
        (node, subscription): (NodeId, Ticket),
        (entries, next): (Vec<ChainEntry>, u64),
        asked: &mut Asked,
        judge: &Judge<'_>,
    ) -> Result<(), Broken> {
        let mut last = self.cursor;
        for entry in &entries {
            self.judge(world, node, entry, asked, judge)?;
            asked.ask(Invariant::D1, !self.passed.contains(&entry.id), || {
                format!("the public reader of {node:?} is given block {} again", entry.id)
            })?;
            asked.ask(Invariant::D4, entry.position >= last, || {
                format!("public block {} at {} comes behind {last}", entry.id, entry.position)
            })?;
            last = entry.position.saturating_add(1);
        }
        let fails = |entry: &&ChainEntry| entry.id.0[0].is_multiple_of(FAILS);
        let handled = entries.iter().take_while(|entry| !fails(entry));
        let (count, all) = (handled.clone().count(), entries.len());
        let (entry, failed) = match (handled.last(), entries.first()) {
            (Some(last), _) => (last, false),
            (None, Some(first)) => (first, true),
            (None, None) => {
                self.stage = Stage::Waiting { subscription, from: next };
                return Ok(());
            }
        };
        let position = entry.position;
        let told = if failed {
            let reason = "it cannot be handled".to_owned();
            DeliveryCommand::Fail { subscription, position, reason, tries_max: 1 }
        } else {
            DeliveryCommand::Acknowledge { subscription, position }
        };
        let ids = entries.iter().take(count.max(1)).map(|entry| entry.id).collect();
        let cursor = position.saturating_add(1);
        let next = if count == all { next } else { cursor };
        self.passing = Some(Passing { ids, failed, cursor, next });
        self.stage = Stage::Passing { subscription, told: ask(world, node, told) };
        Ok(())
    }

    /// The cursor has passed what it was told of. Returns where reading goes on.
    fn pass(&mut self) -> Option<u64> {
        let passing = self.passing.take()?;
        self.cursor = passing.cursor;
        for id in passing.ids {
            self.order.push(id);
            self.passed.insert(id);
            if passing.failed {
                self.letters.insert(id);
            }
        }
        Some(passing.next)
    }

    /// What arrives while it reads: each block once, and behind its parents.
    fn take_news(&mut self, world: &World, node: NodeId, asked: &mut Asked, judge: &Judge<'_>) -> Result<(), Broken> {
        let subscription = match self.stage {
            Stage::Idle => return Ok(()),
            Stage::Opening(ticket) => ticket,
            Stage::Waiting { subscription, .. }
            | Stage::Reading { subscription, .. }
            | Stage::Passing { subscription, .. } => subscription,
        };
        let deliveries = world.deliveries(node);
        let fresh = deliveries.get(self.looked..).unwrap_or_default();
        self.looked = deliveries.len();
        for (ticket, delivery) in fresh {
            let Delivery::Chain(entry) = delivery else { continue };
            if *ticket != subscription {
                continue;
            }
            self.judge(world, node, entry, asked, judge)?;
            asked.ask(Invariant::D1, self.live.insert(entry.id), || {
                format!("public block {} was delivered to {node:?} twice", entry.id)
            })?;
            asked.ask(Invariant::D2, !self.before_live.contains(&entry.id), || {
                format!("public block {} was delivered to {node:?} behind its child", entry.id)
            })?;
            let view = view(world, node);
            let header = view.and_then(|view| chains::header(&view, entry.id).ok().flatten());
            let parents = header.iter().flat_map(walytis_core::Header::all_parents);
            self.before_live.extend(parents.filter(|parent| !self.live.contains(parent)));
            self.news = true;
        }
        Ok(())
    }

    /// D3, H2: what is given is stored, shown here, and written by somebody.
    fn judge(
        &self,
        world: &World,
        node: NodeId,
        entry: &ChainEntry,
        asked: &mut Asked,
        judge: &Judge<'_>,
    ) -> Result<(), Broken> {
        let stored = view(world, node).is_some_and(|view| chains::contains(&view, entry.id) == Ok(true));
        asked.ask(Invariant::D3, stored, || format!("{node:?} was given {}, which it has not stored", entry.id))?;
        let shown = !self.blocked.contains(&entry.author);
        asked.ask(Invariant::D3, shown, || format!("{node:?} was given {} by an author that it blocks", entry.id))?;
        was_written(entry, asked, judge)
    }

    /// Has all that was set aside handed out again, and handles it: then there is none left.
    pub(super) fn replay(&mut self, world: &mut World, node: NodeId, asked: &mut Asked) -> Result<(), Broken> {
        let Stage::Waiting { subscription, from } = self.stage else { return Ok(()) };
        let mut call = |command| match world.call(node, command, super::public::CALM_MS) {
            Some(Ok(Answer::Chain(ChainAnswer::Delivery(answer)))) => Ok(Some(answer)),
            Some(Ok(Answer::Chain(ChainAnswer::Done))) => Ok(None),
            other => Err(broken(Invariant::D1, format!("{node:?} cannot speak of dead letters: {other:?}"))),
        };
        let mut listed = |place: &str| {
            let letters = DeliveryCommand::Letters { chain: CHAIN.into(), name: NAME.into(), from: 0 };
            match call(delivery(letters))? {
                Some(DeliveryAnswer::Letters { letters, .. }) => {
                    Ok(letters.into_iter().map(|letter| (letter.entry.id, letter.entry.position)).collect())
                }
                other => Err(broken(Invariant::D1, format!("{node:?} cannot list dead letters {place}: {other:?}"))),
            }
        };
        let before: BTreeMap<BlockId, u64> = listed("at the end")?;
        let all = self.letters.iter().all(|id| before.contains_key(id));
        let same = all && (self.put_back || before.len() == self.letters.len());
        asked.ask(Invariant::D1, same, || {
            format!("{node:?} has the dead letters {before:?}, and set aside {:?}", self.letters)
        })?;
        if before.is_empty() {
            return Ok(());
        }
        call(delivery(DeliveryCommand::Replay { chain: CHAIN.into(), name: NAME.into(), position: None }))?;
        let mut left = before;
        while !left.is_empty() {
            let read = DeliveryCommand::Read { subscription, from, held: Vec::new(), topics: Vec::new(), limit: PAGE };
            let Some(DeliveryAnswer::Blocks { again, .. }) = call(delivery(read))? else { break };
            let known = !again.is_empty() && again.iter().all(|entry| left.contains_key(&entry.id));
            asked.ask(Invariant::D1, known, || format!("of the letters {left:?} {again:?} is handed out again"))?;
            for entry in again {
                left.remove(&entry.id);
                call(delivery(DeliveryCommand::Acknowledge { subscription, position: entry.position }))?;
            }
        }
        self.letters.clear();
        Ok(())
    }
}

/// H2: what is read is what somebody wrote. A malicious peer may write what it likes.
pub(super) fn was_written(entry: &ChainEntry, asked: &mut Asked, judge: &Judge<'_>) -> Result<(), Broken> {
    let foreign = judge.hostile && !entry.content.starts_with(b"public post ");
    let known = judge.written.contains(&entry.content) || foreign;
    asked.ask(Invariant::H2, known, || format!("nobody wrote what the public block {} has", entry.id))
}

fn view(world: &World, node: NodeId) -> Option<Pending> {
    world.reading(node).ok().map(Pending::new)
}

const fn delivery(command: DeliveryCommand) -> Command {
    Command::Chain(ChainCommand::Delivery(command))
}

fn ask(world: &mut World, node: NodeId, command: DeliveryCommand) -> Ticket {
    world.ask(node, delivery(command))
}

/// An answer that none but a node that stops gives.
fn stopped(node: NodeId, answer: Result<Answer, EngineError>) -> Result<(), Broken> {
    match answer {
        Err(EngineError::Stopped(_)) => Ok(()),
        Err(error) if error.is_fatal() => Ok(()),
        other => Err(broken(Invariant::C5, format!("the public reader of {node:?} cannot go on: {other:?}"))),
    }
}
