//! What is asked of the nodes of a run: at each step, after each crash, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::{AuthorKey, BlockId, BlockKind, ChainId, Header, ParsedBlock, Pending, chains};
use walytis_engine::ORPHAN_BYTES_PER_PEER_MAX;
use walytis_identities::{Fold, Membership, keyring};
use walytis_offchain::{Answer, Command, Entry, PrivateBody, Ticket};

use super::GROUP;
use super::hostile::Hostile;
use super::invariant::{Asked, Broken, Invariant};
use super::run::{Run, broken};
use crate::{NodeId, World};

/// One of so many restarts is followed by the verification of the whole store.
const FULL_CHECKS: u64 = 12;

/// How much of each node's set was looked at, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Seen {
    nodes: BTreeMap<(NodeId, ChainId), BTreeSet<BlockId>>,
    /// Who writes under which key, as far as it is an honest member.
    authors: BTreeMap<AuthorKey, Option<NodeId>>,
    restarts: u64,
}

impl Seen {
    /// The node begins anew.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.nodes.retain(|(of, _), _| *of != node);
    }

    /// An honest node writes under a key.
    pub(super) fn writes(&mut self, author: AuthorKey, node: NodeId) {
        self.authors.insert(author, Some(node));
    }
}

/// A listing under way.
#[derive(Debug)]
pub(super) struct Reading {
    ticket: Ticket,
    entries: Vec<Entry>,
}

impl Reading {
    pub(super) fn begin(world: &mut World, node: NodeId) -> Self {
        Self { ticket: world.ask(node, page(None)), entries: Vec::new() }
    }

    /// Takes the next page, if it is there. Returns whether it was the last.
    pub(super) fn look(
        &mut self,
        world: &mut World,
        node: NodeId,
        written: &BTreeSet<Vec<u8>>,
        hostile: bool,
        asked: &mut Asked,
    ) -> Result<bool, Broken> {
        let Some(answer) = world.take_answer(node, self.ticket) else { return Ok(false) };
        let Ok(Answer::Page(next)) = answer else { return Ok(true) };
        for entry in &next.entries {
            was_written(written, hostile, entry, asked)?;
            asked.ask(Invariant::D4, self.entries.last().is_none_or(|last| order(last) < order(entry)), || {
                format!("block {} is listed out of order at {node:?}", entry.id)
            })?;
        }
        self.entries.extend(next.entries);
        match next.next {
            None => Ok(true),
            after => {
                self.ticket = world.ask(node, page(after));
                Ok(false)
            }
        }
    }
}

fn page(after: Option<walytis_offchain::Cursor>) -> Command {
    Command::List { group: GROUP.into(), after, below: None, topic: None }
}

fn order(entry: &Entry) -> (u64, BlockId) {
    (entry.generation, entry.id)
}

/// H2: what is read is what somebody wrote. A malicious member may write what it likes.
fn was_written(written: &BTreeSet<Vec<u8>>, hostile: bool, entry: &Entry, asked: &mut Asked) -> Result<(), Broken> {
    let Some(content) = &entry.content else { return Ok(()) };
    let known = written.contains(&content.bytes);
    let foreign = hostile && !content.bytes.starts_with(b"post ");
    asked.ask(Invariant::H2, known || foreign, || format!("nobody wrote what block {} has", entry.id))
}

/// H2, D3: what an application is given.
pub(super) fn delivered(
    world: &World,
    node: NodeId,
    (written, hostile): (&BTreeSet<Vec<u8>>, bool),
    entry: &Entry,
    asked: &mut Asked,
) -> Result<(), Broken> {
    let stored = world.reading(node).is_ok_and(|store| chains::contains(&Pending::new(store), entry.id) == Ok(true));
    asked.ask(Invariant::D3, stored, || format!("{node:?} was given {}, which it has not stored", entry.id))?;
    was_written(written, hostile, entry, asked)
}

/// Judges with no planted bug active: a check that is skipped where blocks arrive must not be skipped here.
pub(super) fn soundly<T>(judge: impl FnOnce() -> T) -> T {
    #[cfg(planted)]
    let fault = walytis_core::planted::activate(None);
    let judged = judge();
    #[cfg(planted)]
    walytis_core::planted::activate(fault);
    judged
}

impl Run {
    /// S9, H3, B5, B6: looks at what was sent, and at what is new in the sets of all nodes.
    pub(super) fn grow(&mut self, whole: bool) -> Result<(), Broken> {
        let leak = self.world.leaks().first().copied();
        self.outcome.asked.ask(Invariant::S9, leak.is_none(), || {
            let (node, what) = leak.unwrap_or((NodeId(0), "nothing"));
            format!("{node:?} sent {what} outside of a session")
        })?;
        for node in self.nodes.clone() {
            if !self.world.is_running(node) {
                continue;
            }
            let (held, links) = self.world.orphan_bytes(node);
            let quota = links.saturating_add(1).saturating_mul(ORPHAN_BYTES_PER_PEER_MAX);
            self.outcome.asked.ask(Invariant::R1, held <= quota, || {
                format!("{node:?} holds {held} bytes of orphans from {links} peers")
            })?;
            self.grow_chain(node, self.group, whole)?;
            if let Some(chain) = self.public.chain.filter(|_| self.public.followers.contains(&node)) {
                self.grow_chain(node, chain, whole)?;
            }
        }
        Ok(())
    }

    fn grow_chain(&mut self, node: NodeId, chain: ChainId, whole: bool) -> Result<(), Broken> {
        let asked = if chain == self.group { &mut self.outcome.asked } else { &mut self.outcome.public };
        let store = self.world.reading(node).map_err(|error| broken(Invariant::W3, format!("{node:?}: {error}")))?;
        let view = Pending::new(store);
        let unreadable =
            |error: walytis_core::ChainError| broken(Invariant::W3, format!("{node:?} cannot be read: {error}"));
        let length = chains::length(&view, chain).map_err(unreadable)?;
        let mut fresh = Vec::new();
        let seen = self.seen.nodes.entry((node, chain)).or_default();
        let before = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        asked.ask(Invariant::H3, length >= before, || format!("{node:?} had {before} blocks and has {length}"))?;
        // Reading blocks costs: steps that bring a few are looked at together.
        if length < before.saturating_add(8) && !whole {
            return Ok(());
        }
        for position in before..length {
            let stored = chains::block_at(&view, chain, position).map_err(unreadable)?;
            let Some(stored) = stored else {
                let what = format!("{node:?} has {length} blocks, and none at {position}");
                return Err(broken(Invariant::W7, what));
            };
            let header = stored.block.header();
            let closed = header.all_parents().all(|parent| seen.contains(&parent));
            let id = stored.block.id();
            asked.ask(Invariant::B5, closed, || format!("{node:?} has block {id} before one of its ancestors"))?;
            let new = seen.insert(id);
            asked.ask(Invariant::B6, new, || format!("{node:?} has block {id} twice"))?;
            fresh.push((id, header.author));
        }
        for (id, author) in fresh {
            self.durable_first(node, id, &author)?;
        }
        Ok(())
    }

    /// W2: what others have of an honest author was durable there before it was told.
    fn durable_first(&mut self, node: NodeId, id: BlockId, author: &AuthorKey) -> Result<(), Broken> {
        let Some(owner) = self.owner(author).filter(|owner| *owner != node && !self.set_back.contains(owner)) else {
            return Ok(());
        };
        let Ok(store) = self.world.reading(owner) else { return Ok(()) };
        let there = chains::contains(&Pending::new(store), id) == Ok(true);
        self.outcome.asked.ask(Invariant::W2, there, || format!("{node:?} has {id}, which {owner:?} wrote and lacks"))
    }

    /// The honest node that writes under a key.
    fn owner(&mut self, author: &AuthorKey) -> Option<NodeId> {
        if !self.seen.authors.contains_key(author) {
            for node in self.members.clone() {
                let own = keyring::author(&self.view(node), self.group);
                self.seen.authors.extend(own.map(|own| (own.public(), Some(node))));
            }
            // A malicious peer's.
            self.seen.authors.entry(*author).or_insert(None);
        }
        self.seen.authors.get(author).copied().flatten()
    }

    /// W1, W2, W7: what a node has after a crash.
    pub(super) fn after_crash(&mut self, node: NodeId) -> Result<(), Broken> {
        for (id, post) in self.acknowledged.iter().filter(|(_, post)| post.node == node && post.stored) {
            let there = self.has(node, *id);
            let text = || format!("{node:?} lost {:?}", String::from_utf8_lossy(&post.content));
            self.outcome.asked.ask(Invariant::W1, there, text)?;
        }
        self.public_after_crash(node)?;
        self.seen.restarts = self.seen.restarts.wrapping_add(1);
        if self.seen.restarts % FULL_CHECKS == 1 {
            self.sound(node, &[Invariant::W2, Invariant::W7])?;
        }
        Ok(())
    }

    /// Verifies a whole store.
    fn sound(&mut self, node: NodeId, invariants: &[Invariant]) -> Result<(), Broken> {
        let store = self.world.reading(node).map_err(walytis_offchain::EngineError::from);
        let report = store.and_then(|store| soundly(|| walytis_offchain::check(store, &mut |_, _| {})));
        for invariant in invariants {
            let problems = report.as_ref().map(|report| report.problems.clone());
            let good = problems.as_ref().is_ok_and(Vec::is_empty);
            self.outcome.asked.ask(*invariant, good, || format!("{node:?}: {problems:?}"))?;
            // The store has the public chain, too.
            self.outcome.public.add(*invariant, u64::from(self.public.followers.contains(&node)));
        }
        Ok(())
    }

    fn heads(&self, node: NodeId) -> Vec<BlockId> {
        chains::heads(&self.view(node), self.group).unwrap_or_default()
    }

    fn membership(&self, node: NodeId) -> Option<Membership> {
        Fold::default().current(&self.view(node), self.group).ok().map(|found| Membership::clone(&found))
    }

    fn listing(&mut self, node: NodeId) -> Result<Vec<Entry>, Broken> {
        let mut entries = Vec::new();
        let mut after = None;
        loop {
            match self.world.call(node, page(after), 60_000) {
                Some(Ok(Answer::Page(next))) => {
                    entries.extend(next.entries);
                    if next.next.is_none() {
                        return Ok(entries);
                    }
                    after = next.next;
                }
                other => {
                    let what = format!("{node:?} cannot list: {other:?}");
                    return Err(Broken { invariant: Invariant::C2, what });
                }
            }
        }
    }
}

/// The blocks of a chain as they are read: ids in the order of arrival, as far as they can be, and the heads.
pub(super) fn stored(view: &Pending, chain: ChainId) -> (Vec<BlockId>, Vec<BlockId>) {
    let length = chains::length(view, chain).unwrap_or_default();
    let block = |position| chains::block_at(view, chain, position).ok().flatten().map(|stored| stored.block.id());
    ((0..length).filter_map(block).collect(), chains::heads(view, chain).unwrap_or_default())
}

/// Whether all honest members have equal heads.
pub(super) fn converged(run: &Run) -> bool {
    let members: Vec<NodeId> = run.members.iter().copied().collect();
    equal(run, &members)
}

/// Whether some nodes have equal heads.
pub(super) fn equal(run: &Run, nodes: &[NodeId]) -> bool {
    let Some((first, others)) = nodes.split_first() else { return true };
    let heads = run.heads(*first);
    others.iter().all(|node| run.heads(*node) == heads)
}

/// Whether every application has all that its node has, contents included.
pub(super) fn delivered_all(run: &Run) -> bool {
    run.apps.iter().filter(|(node, _)| run.members.contains(node)).all(|(_, app)| app.is_following())
}

/// Who differs, when the time for that is over.
pub(super) fn unequal(run: &Run) -> Broken {
    let mut what = String::from("no convergence:");
    for node in &run.members {
        let length = chains::length(&run.view(*node), run.group).unwrap_or_default();
        let linked: Vec<usize> =
            run.nodes.iter().filter(|other| run.world.connected(*node, **other)).map(|other| other.0).collect();
        let follows = run.apps.get(node).is_some_and(super::app::App::is_following);
        let heads = run.heads(*node);
        let some: Vec<String> =
            heads.iter().take(4).map(|id| id.to_string().chars().take(8).collect::<String>()).collect();
        let (number, count, running) = (node.0, heads.len(), run.world.is_running(*node));
        what.push_str(&format!(
            " [node {number}: {length} blocks, {count} heads {some:?}, links {linked:?}, running {running}, follows {follows}]"
        ));
    }
    what.push_str(&run.public_state());
    let invariant = if !run.hostile.is_empty() { Invariant::C4 } else { Invariant::C1 };
    Broken { invariant, what }
}

/// Everything that must hold once the honest members are equal.
pub(super) fn at_the_end(run: &mut Run, (block_bytes, pair_bytes): (u64, u64)) -> Result<(), Broken> {
    run.grow(true)?;
    let members: Vec<NodeId> = run.members.iter().copied().collect();
    let Some(first) = members.first().copied() else { return Ok(()) };
    let heads = run.heads(first);
    let membership = run.membership(first);
    let listing = run.listing(first)?;
    let ids: BTreeSet<BlockId> = listing.iter().map(|entry| entry.id).collect();
    for (index, node) in members.iter().copied().enumerate() {
        let equal = run.heads(node) == heads;
        run.outcome.asked.ask(Invariant::C1, equal, || format!("{node:?} differs from {first:?}"))?;
        let same = run.membership(node) == membership;
        run.outcome
            .asked
            .ask(Invariant::C2, same, || format!("the membership of {node:?} differs from {first:?}'s"))?;
        let own = if index == 0 { listing.clone() } else { run.listing(node)? };
        same_listing(run, node, &listing, &own)?;
        if !run.hostile.is_empty() {
            let whole: BTreeSet<BlockId> =
                own.iter().filter(|entry| entry.content.is_some()).map(|entry| entry.id).collect();
            let stalled = run.acknowledged.keys().find(|id| !whole.contains(*id)).copied();
            run.outcome
                .asked
                .ask(Invariant::C5, stalled.is_none(), || format!("{node:?} lacks all or a part of {stalled:?}"))?;
        }
        if !run.hostile.is_empty() {
            run.outcome.asked.add(Invariant::C4, 1);
        }
        given_in_order(run, node, &ids)?;
        unreadable_unshown(run, node, &own)?;
        let whole = |id: &BlockId| own.iter().any(|entry| entry.id == *id && entry.content.is_some());
        let untold = run.apps.get(&node).and_then(|app| app.awaited().iter().copied().find(whole));
        run.outcome
            .asked
            .ask(Invariant::D1, untold.is_none(), || format!("{node:?} was not given the content of {untold:?}"))?;
    }
    let orders = arrival_orders(run, &members, run.group);
    run.outcome.asked.add(Invariant::B4, orders);
    for id in run.hostile.iter().flat_map(Hostile::forged).collect::<Vec<_>>() {
        let taken = run.nodes.iter().find(|node| run.has(**node, id)).copied();
        run.outcome.asked.ask(Invariant::B3, taken.is_none(), || format!("{taken:?} has the forged block {id}"))?;
    }
    for (heard, repeated) in run.hostile.iter().map(Hostile::sealed).collect::<Vec<_>>() {
        run.outcome.asked.add(Invariant::S6, u64::try_from(heard).unwrap_or(u64::MAX));
        run.outcome.asked.ask(Invariant::S6, repeated == 0, || {
            format!("{repeated} contents of {heard} were sealed under salt and nonce of others")
        })?;
    }
    let bytes = run.outcome.convergence_bytes;
    let (nodes, blocks) = (members.len() as u64, listing.len() as u64 + run.public_blocks() + 16);
    let bound = nodes
        .saturating_mul(blocks)
        .saturating_mul(block_bytes)
        .saturating_add(nodes.saturating_mul(nodes).saturating_mul(pair_bytes));
    run.outcome.asked.ask(Invariant::C3, bytes <= bound, || format!("{bytes} bytes to become equal, over {bound}"))?;
    for (id, post) in &run.acknowledged {
        let entry = listing.iter().find(|entry| entry.id == *id);
        let text = || format!("{:?} of {:?} is missing", String::from_utf8_lossy(&post.content), post.node);
        run.outcome.asked.ask(Invariant::H1, entry.is_some(), text)?;
        let content = entry.and_then(|entry| entry.content.as_ref()).map(|content| &content.bytes);
        run.outcome.asked.ask(Invariant::H1, content == Some(&post.content), || {
            format!("block {id} has other content than was posted, or none")
        })?;
    }
    let (view, group) = (run.view(first), run.group);
    soundly(|| encodings(&view, group, &mut run.outcome.asked))?;
    // Equal sets were verified by each node on its own; verifying one store again finds what its own checks let in.
    let node = members.get(run.acknowledged.len() % members.len()).copied().unwrap_or(first);
    run.sound(node, &[Invariant::B3, Invariant::S1, Invariant::D3])?;
    for node in run.nodes.clone() {
        let (begun, answered) = run.world.handshakes(node);
        run.outcome
            .asked
            .ask(Invariant::R2, answered <= begun, || format!("{node:?} answered {answered} handshakes of {begun}"))?;
        run.outcome.asked.add(Invariant::R3, run.world.limits_reached(node).values().sum());
    }
    run.outcome.asked.add(Invariant::R4, 1);
    run.public_at_the_end()
}

/// C2, D1: equal sets show the same, in the same order, whole.
fn same_listing(run: &mut Run, node: NodeId, listing: &[Entry], own: &[Entry]) -> Result<(), Broken> {
    let shown = |entry: &Entry| (entry.id, entry.generation, entry.author, entry.device, entry.created_at_ms);
    let same = own.iter().map(shown).eq(listing.iter().map(shown));
    run.outcome.asked.ask(Invariant::C2, same, || format!("the listing of {node:?} differs"))?;
    let honest: BTreeSet<ChainId> = run.nodes.iter().map(|node| run.world.identity(*node).device).collect();
    for (theirs, ours) in listing.iter().zip(own) {
        // A malicious author may give its content to some and not to others; what honest ones wrote is everywhere.
        let equal = theirs.content == ours.content && ours.content.is_some();
        let absent = !honest.contains(&ours.device) && (theirs.content.is_none() || ours.content.is_none());
        run.outcome.asked.ask(Invariant::C2, equal || absent, || {
            format!("block {} lacks its content at {node:?}, or has other content", ours.id)
        })?;
    }
    Ok(())
}

/// S1: what names an epoch that its author did not know, or no epoch at all, is neither listed nor given to applications.
fn unreadable_unshown(run: &mut Run, node: NodeId, own: &[Entry]) -> Result<(), Broken> {
    let given = run.apps.get(&node).map(|app| app.given().keys().copied().collect::<BTreeSet<_>>()).unwrap_or_default();
    for id in run.hostile.iter().flat_map(Hostile::unreadable).collect::<Vec<_>>() {
        let shown = given.contains(&id) || own.iter().any(|entry| entry.id == id);
        run.outcome.asked.ask(Invariant::S1, !shown, || format!("{node:?} shows {id}, which nobody can read"))?;
    }
    Ok(())
}

/// D1, D2: the application was given every block of the listing, each after its parents.
fn given_in_order(run: &mut Run, node: NodeId, ids: &BTreeSet<BlockId>) -> Result<(), Broken> {
    let view = run.view(node);
    let Some(app) = run.apps.get(&node) else { return Ok(()) };
    let given: BTreeSet<BlockId> = app.given().keys().copied().collect();
    let left_out: Vec<String> = ids.difference(&given).map(ToString::to_string).collect();
    run.outcome.asked.ask(Invariant::D1, left_out.is_empty(), || format!("{node:?} was not given {left_out:?}"))?;
    let mut before = BTreeSet::new();
    for id in app.order() {
        let parents: Vec<BlockId> = match chains::block(&view, *id) {
            Ok(Some(stored)) => stored.block.header().all_parents().collect(),
            other => {
                let what = format!("{node:?} was given {id}, and has not stored it: {other:?}");
                return Err(Broken { invariant: Invariant::D3, what });
            }
        };
        let late = parents.iter().find(|parent| given.contains(parent) && !before.contains(*parent));
        run.outcome
            .asked
            .ask(Invariant::D2, late.is_none(), || format!("{node:?} got {id} before its parent {late:?}"))?;
        before.insert(*id);
    }
    Ok(())
}

/// B4: nodes to which the same blocks came in another order, or by another clock, have the same set. How many orders there
/// were.
pub(super) fn arrival_orders(run: &Run, members: &[NodeId], chain: ChainId) -> u64 {
    let orders: BTreeSet<Vec<BlockId>> = members.iter().map(|node| stored(&run.view(*node), chain).0).collect();
    u64::try_from(orders.len()).unwrap_or(u64::MAX)
}

/// B1, B2: each header encodes to itself, and no byte of it, or of the content, can change under its id.
pub(super) fn encodings(view: &Pending, chain: ChainId, asked: &mut Asked) -> Result<(), Broken> {
    for position in 0..chains::length(view, chain).unwrap_or_default() {
        let Ok(Some(stored)) = chains::block_at(view, chain, position) else { continue };
        let raw = stored.block.raw();
        let id = stored.block.id();
        asked.ask(Invariant::B1, stored.block.header().encode() == raw.header, || {
            format!("block {id} encodes otherwise")
        })?;
        if stored.block.header().kind == BlockKind::Private {
            // What cannot be read is kept as it came.
            let body = PrivateBody::decode(stored.block.content());
            let holds = body.map_or(true, |body| body.encode() == raw.content);
            asked.ask(Invariant::B1, holds, || format!("the body of block {id} encodes otherwise"))?;
        }
        let mut other = raw.clone();
        let place = usize::try_from(position).unwrap_or_default() % other.header.len().max(1);
        if let Some(byte) = other.header.get_mut(place) {
            *byte ^= 1;
        }
        let bound = Header::id_of(&other.header) != id;
        asked.ask(Invariant::B2, bound, || format!("byte {place} of block {id} is not bound"))?;
        let mut other = raw.clone();
        other.content.push(0);
        asked.ask(Invariant::B2, ParsedBlock::parse(other).is_err(), || {
            format!("the content of block {id} is not bound")
        })?;
    }
    Ok(())
}
