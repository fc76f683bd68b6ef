//! What is asked of the public chain when its followers are equal, and what can be done with it then.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::query::{Order, Query};
use walytis_core::{AuthorKey, BlockId, chains};
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainEntry, Sharing, Standing};
use walytis_offchain::Command;

use super::check;
use super::invariant::{Broken, Invariant};
use super::public::{CHAIN, USES};
use super::reader::{Judge, was_written};
use super::run::{Run, broken};
use crate::NodeId;

/// How long a deletion that was cut short may take after the restart, in milliseconds.
const SWEEP_MS: u64 = 5_000;

impl Run {
    fn public_listing(&mut self, node: NodeId) -> Result<Vec<ChainEntry>, Broken> {
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let query = Box::new(Query { order: Order::Listing, ..Query::default() });
            let list = ChainCommand::List { chain: CHAIN.into(), query, after, limit: 256 };
            let ChainAnswer::Page(page) = self.public_call(node, list)? else { return Ok(entries) };
            entries.extend(page.entries);
            if page.next.is_none() {
                return Ok(entries);
            }
            after = page.next;
        }
    }

    /// B1, B2, B4, C1, C2, C4, C5, D1, D2, D4, H1, H2 of the public chain.
    pub(super) fn public_at_the_end(&mut self) -> Result<(), Broken> {
        let followers: Vec<NodeId> = self.public.followers.iter().copied().collect();
        let (Some(first), Some(chain)) = (followers.first().copied(), self.public.chain) else { return Ok(()) };
        let heads = self.public_heads(first);
        let listing = self.public_listing(first)?;
        let shown = |entry: &ChainEntry| (entry.generation, entry.id, entry.author, entry.content.clone());
        let ordered = listing.is_sorted_by(|a, b| (a.generation, a.id) < (b.generation, b.id));
        self.outcome.public.ask(Invariant::D4, ordered, || "the public listing is out of order".to_owned())?;
        let forked = forked(&listing);
        for node in followers.iter().copied() {
            let equal = self.public_heads(node) == heads;
            self.outcome.public.ask(Invariant::C1, equal, || format!("{node:?} differs publicly from {first:?}"))?;
            let own = self.public_listing(node)?;
            let same = own.iter().map(shown).eq(listing.iter().map(shown));
            self.outcome.public.ask(Invariant::C2, same, || format!("the public listing of {node:?} differs"))?;
            let told: BTreeSet<AuthorKey> =
                self.public_details(node)?.equivocations.iter().map(|fork| fork.author).collect();
            self.outcome.public.ask(Invariant::C2, told == forked, || {
                format!("{node:?} tells of forks by {told:?}, and there are forks by {forked:?}")
            })?;
            if self.hostile.is_empty() {
                let held = self.world.public_orphan_bytes(node);
                self.outcome.public.ask(Invariant::R1, held == 0, || {
                    format!("{held} bytes of public blocks wait at {node:?}, which has all of their ancestors")
                })?;
            } else {
                let own: BTreeSet<BlockId> = own.iter().map(|entry| entry.id).collect();
                let stalled = self.public.acknowledged.keys().find(|id| !own.contains(*id)).copied();
                self.outcome.public.ask(Invariant::C5, stalled.is_none(), || format!("{node:?} lacks {stalled:?}"))?;
                self.outcome.public.add(Invariant::C4, 1);
            }
        }
        for (id, post) in &self.public.acknowledged {
            let whole = listing.iter().any(|entry| entry.id == *id && entry.content == post.content);
            let text = || format!("{:?} of {:?} is missing", String::from_utf8_lossy(&post.content), post.node);
            self.outcome.public.ask(Invariant::H1, whole, text)?;
        }
        let judge = Judge { written: &self.public.written, hostile: !self.hostile.is_empty() };
        for entry in &listing {
            was_written(entry, &mut self.outcome.public, &judge)?;
        }
        let orders = check::arrival_orders(self, &followers, chain);
        self.outcome.public.add(Invariant::B4, orders);
        let view = self.view(first);
        check::soundly(|| check::encodings(&view, chain, &mut self.outcome.public))?;
        let ids: BTreeSet<BlockId> = listing.iter().map(|entry| entry.id).collect();
        for node in self.public.readers.keys().copied().collect::<Vec<_>>() {
            self.read_in_order(node, &ids)?;
        }
        self.public_invitations(first, &listing)?;
        self.public_removal()
    }

    /// D1, D2: an application that never blocked anybody has passed every block, each behind its parents; and what it set
    /// aside is there, and can be handled later.
    fn read_in_order(&mut self, node: NodeId, ids: &BTreeSet<BlockId>) -> Result<(), Broken> {
        let view = self.view(node);
        let Some(mut reader) = self.public.readers.remove(&node) else { return Ok(()) };
        let passed: BTreeSet<BlockId> = reader.order().iter().copied().collect();
        let left_out = ids.difference(&passed).count();
        if !reader.passed_over {
            self.outcome.public.ask(Invariant::D1, left_out == 0, || {
                format!("the public reader of {node:?} was not given {left_out} of {} blocks", ids.len())
            })?;
        }
        let mut before = BTreeSet::new();
        for id in reader.order() {
            let header = chains::header(&view, *id).ok().flatten();
            let mut parents = header.iter().flat_map(walytis_core::Header::all_parents);
            let late = parents.find(|parent| passed.contains(parent) && !before.contains(parent));
            self.outcome.public.ask(Invariant::D2, late.is_none(), || {
                format!("the public reader of {node:?} got {id} before its parent {late:?}")
            })?;
            before.insert(*id);
        }
        reader.replay(&mut self.world, node, &mut self.outcome.public)?;
        self.public.readers.insert(node, reader);
        Ok(())
    }

    /// S2, W1: an invitation lets in as many as it says, whatever happens to who invited.
    fn public_invitations(&mut self, founder: NodeId, listing: &[ChainEntry]) -> Result<(), Broken> {
        let joined = u32::try_from(self.public.followers.len()).unwrap_or(u32::MAX).saturating_sub(1);
        self.uses_left(founder, 0, USES.saturating_sub(joined), Invariant::S2)?;
        let late = self.nodes.iter().find(|node| !self.public.followers.contains(node)).copied();
        let Some(late) = late else { return Ok(()) };
        self.wait_until_forgiven(late, founder);
        let invite = ChainCommand::Invite { chain: CHAIN.to_owned(), uses: Some(1), sharing: Sharing::Inviter };
        let ChainAnswer::Invitation(invitation) = self.public_call(founder, invite)? else { return Ok(()) };
        let join = ChainCommand::Join { code: invitation.code.unwrap_or_default(), name: Some(CHAIN.to_owned()) };
        self.public_call(late, join)?;
        // Whoever was let in knows it: so the inviter has written it down.
        self.world.kill(founder);
        self.went_off(founder);
        self.start(founder)?;
        self.uses_left(founder, invitation.number, 0, Invariant::W1)?;
        self.public.followers.insert(late);
        let own = self.public_listing(late)?;
        let whole = own.iter().map(|entry| entry.id).eq(listing.iter().map(|entry| entry.id));
        self.outcome.public.ask(Invariant::C1, whole, || format!("{late:?} joined, and has another listing"))
    }

    fn uses_left(&mut self, node: NodeId, number: u32, left: u32, invariant: Invariant) -> Result<(), Broken> {
        let list = ChainCommand::Invitations { chain: CHAIN.to_owned() };
        let ChainAnswer::Invitations(all) = self.public_call(node, list)? else { return Ok(()) };
        let uses = all.iter().find(|invitation| invitation.number == number).and_then(|invitation| invitation.uses);
        self.outcome.public.ask(invariant, uses == Some(left), || {
            format!("the public invitation {number} of {node:?} has {uses:?} uses left, not {left}")
        })
    }

    /// W7: what one follower deletes is gone there as a whole, though it was killed meanwhile, or there as a whole.
    fn public_removal(&mut self) -> Result<(), Broken> {
        let (Some(chain), Some(node)) = (self.public.chain, self.public.followers.last().copied()) else {
            return Ok(());
        };
        if self.public.followers.len() < 2 {
            return Ok(());
        }
        let length = |run: &Self| chains::length(&run.view(node), chain).unwrap_or_default();
        let before = length(self);
        self.world.ask(node, Command::Chain(ChainCommand::Delete { chain: CHAIN.to_owned() }));
        self.world.run_until(100, |world| world.writing(node) > 0);
        self.world.kill_keeping(node, 1);
        self.went_off(node);
        self.public.acknowledged.retain(|_, post| post.node != node);
        self.public.readers.remove(&node);
        self.public.followers.remove(&node);
        self.seen.forget(node);
        let started = self.world.start(node);
        self.outcome.public.ask(Invariant::W3, started.is_ok(), || format!("{node:?} does not start: {started:?}"))?;
        self.start_app(node);
        self.world.run_for(SWEEP_MS);
        let chains = match self.public_call(node, ChainCommand::Chains)? {
            ChainAnswer::Chains(chains) => chains,
            other => return Err(broken(Invariant::C5, format!("{node:?} cannot list its chains: {other:?}"))),
        };
        let after = length(self);
        let followed = chains.iter().all(|there| there.standing == Standing::Followed);
        let whole = if chains.is_empty() { after == 0 } else { followed && after == before };
        self.outcome.public.ask(Invariant::W7, whole, || {
            format!("{node:?} began to delete {before} blocks, and has {after} of {chains:?}")
        })
    }
}

/// Authors of two blocks with one number.
fn forked(listing: &[ChainEntry]) -> BTreeSet<AuthorKey> {
    let mut numbers: BTreeMap<(AuthorKey, u64), u32> = BTreeMap::new();
    for entry in listing {
        let times = numbers.entry((entry.author, entry.sequence)).or_default();
        *times = times.saturating_add(1);
    }
    numbers.into_iter().filter(|(_, times)| *times > 1).map(|((author, _), _)| author).collect()
}
