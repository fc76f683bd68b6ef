//! Finding out what is missing: a pull begins with a comparison of the two sets, unless this node has nothing yet.
//!
//! The side that lacks blocks asks and keeps the comparison; the other one keeps nothing of it until it is clear what it
//! has to send, which then goes out in portions as for any pull. What a comparison finds is a hint: if it brought nothing,
//! and the peer still has heads that are not here, the pull begins again with a sample of what is here.

use std::collections::VecDeque;

use super::{ChainEffect, ChainTimer, Desk, PublicChains, PublicError, PublicMessage, Pull};
use crate::sync::{self, COMPARED_HEADS_MAX, PULL_MS, SyncMessage};
use walytis_core::reconcile::{Asking, Bound, Compare, Differ, Key, Next, Reply, Salt, reply};
use walytis_core::{BlockId, ChainId, PeerId, chains};

/// How often one pull compares anew from where a comparison had no more room: each time for thousands of blocks.
const COMPARISONS_MAX: u32 = 64;

/// A comparison that is part of a pull.
pub(super) struct Comparing {
    peer: PeerId,
    /// The pull's first number.
    first: u64,
    /// Where it began.
    from: Bound,
    /// How many there were in this pull.
    times: u32,
    /// Whether those before it in this pull brought anything.
    gained: bool,
    /// See [`Pull`].
    below: bool,
    asking: Asking,
}

impl PublicChains {
    /// Begins a pull with a comparison. Returns `false` if there is nothing here to compare with.
    pub(super) fn compare(&mut self, desk: &mut Desk<'_>, chain: ChainId, peer: PeerId) -> Result<bool, PublicError> {
        let mut heads = chains::latest_heads(desk.view, chain, COMPARED_HEADS_MAX.saturating_add(1))?;
        if heads.len() > COMPARED_HEADS_MAX {
            heads.clear();
        }
        let first = self.exchanges.wrapping_add(1);
        let below = self.lacks_room_for_below(desk, chain, peer);
        self.compare_from(desk, chain, (peer, first), (Bound::START, 1, false, below), heads)
    }

    fn compare_from(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        (peer, first): (PeerId, u64),
        (from, times, gained, below): (Bound, u32, bool, bool),
        heads: Vec<BlockId>,
    ) -> Result<bool, PublicError> {
        let mut salt = Salt([0; 8]);
        desk.rng.fill_bytes(&mut salt.0);
        let Some(mut index) = chains::ChainIndex::open(desk.view, chain)? else { return Ok(false) };
        let begun = Asking::begin(&mut index, chain, salt, from)?;
        self.worked(peer, index.looked_at());
        let Some((asking, compare)) = begun else { return Ok(false) };
        self.comparing.insert(chain, Comparing { peer, first, from, times, gained, below, asking });
        self.tell_compare(desk, chain, (peer, first), heads, compare);
        Ok(true)
    }

    fn tell_compare(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        (peer, first): (PeerId, u64),
        heads: Vec<BlockId>,
        compare: Compare,
    ) {
        self.tell(desk, peer, &PublicMessage::Sync(SyncMessage::Compare { chain, heads, compare }));
        self.exchanges = self.exchanges.wrapping_add(1);
        let exchange = self.exchanges;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.pulled = exchange;
        }
        let comparing = self.comparing.get(&chain);
        let (gained, below) = comparing.map_or((false, false), |comparing| (comparing.gained, comparing.below));
        let pull = Pull { peer, exchange, first, waits: 0, gained, known: 0, paused: false, below };
        self.pulls.insert(chain, pull);
        desk.out.push(ChainEffect::Timer { after_ms: PULL_MS, timer: ChainTimer::Pull { chain, exchange } });
        // A pull has one turn, however often it compares.
        if exchange == first {
            desk.out.push(ChainEffect::Timer { after_ms: PULL_MS, timer: ChainTimer::PullTurn { chain, first } });
        }
    }

    /// The other side says where the sets differ.
    pub(super) fn differs(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        differ: &Differ,
    ) -> Result<(), PublicError> {
        let Some(pull) = self.pulls.get(&chain).filter(|pull| pull.peer == peer) else { return Ok(()) };
        let (first, gained) = (pull.first, pull.gained);
        let is_answered = |comparing: &Comparing| comparing.first == first && comparing.asking.is_answered_by(differ);
        // It may be the answer to a pull that was given up.
        if !self.comparing.get(&chain).is_some_and(is_answered) {
            return Ok(());
        }
        // What it says is looked up here: that is work for it, like a question. Who has had its share is asked in the other
        // way, which takes little; and not again before it has some.
        let may = self.may_ask(desk, peer, differ.open.len());
        let Some(comparing) = self.comparing.get_mut(&chain) else { return Ok(()) };
        let next = if may {
            let Some(mut index) = chains::ChainIndex::open(desk.view, chain)? else { return Ok(()) };
            let next = comparing.asking.go_on(&mut index, differ)?;
            self.worked(peer, index.looked_at());
            next
        } else {
            Next::GiveUp
        };
        match next {
            Next::Tell(compare) => {
                self.tell_compare(desk, chain, (peer, first), Vec::new(), compare);
                Ok(())
            }
            Next::GiveUp => {
                self.pulls.remove(&chain);
                if self.compared(desk, chain, (peer, first), gained)? {
                    return Ok(());
                }
                self.pull_if_behind(desk, chain)
            }
            Next::Misbehaved => {
                self.misbehaved(desk, peer);
                Ok(())
            }
        }
    }

    /// All that a comparison asked for has come. Returns `false` if the pull is done.
    pub(super) fn compared(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        (peer, first): (PeerId, u64),
        gained: bool,
    ) -> Result<bool, PublicError> {
        let ours = |comparing: &Comparing| comparing.peer == peer && comparing.first == first;
        if !self.comparing.get(&chain).is_some_and(ours) || self.waiting.contains(&chain) {
            return Ok(false);
        }
        let Some(comparing) = self.comparing.remove(&chain) else { return Ok(false) };
        let times = comparing.times.saturating_add(1);
        let rest = comparing.asking.rest().filter(|rest| comparing.from < *rest && times <= COMPARISONS_MAX);
        if let Some(from) = rest
            && self.may_have_work_done(desk, peer)
            && self.compare_from(desk, chain, (peer, first), (from, times, gained, comparing.below), Vec::new())?
        {
            return Ok(true);
        }
        if gained || !self.has_more(desk, chain, peer)? {
            return Ok(false);
        }
        self.pull_above_sample(desk, chain, peer)?;
        Ok(true)
    }

    /// Comparisons whose pull is gone are forgotten.
    pub(super) fn forget_comparisons(&mut self) {
        let pulls = &self.pulls;
        self.comparing.retain(|chain, comparing| pulls.get(chain).is_some_and(|pull| pull.first == comparing.first));
    }

    /// Answers a comparison, with what is missing if that is clear.
    pub(super) fn compare_with(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        (heads, compare): (&[BlockId], &Compare),
    ) -> Result<(), PublicError> {
        if !self.may_ask(desk, peer, heads.len().saturating_add(compare.told.len())) {
            return Ok(());
        }
        let mut all_known = !heads.is_empty();
        for head in heads {
            all_known = all_known && chains::contains_on(desk.view, chain, *head)?;
        }
        // Whoever has exactly these heads lacks what is not below them.
        if all_known {
            return self.look_for(desk, peer, chain, heads);
        }
        let Some(mut index) = chains::ChainIndex::open(desk.view, chain)? else {
            return self.serve_ranges(desk, peer, chain, VecDeque::new());
        };
        let answer = reply(&mut index, &Key::new(chain, compare.salt), compare)?;
        self.worked(peer, index.looked_at());
        match answer {
            Reply::Send(positions) => self.serve_ranges(desk, peer, chain, sync::ranges_of(positions)),
            Reply::Differ(differ) => {
                let frame = PublicMessage::Sync(SyncMessage::Differ { chain, differ }).frame();
                if self.may_be_told(desk, peer, frame.len()) {
                    desk.out.push(ChainEffect::Send { peer, frame });
                }
                Ok(())
            }
        }
    }
}
