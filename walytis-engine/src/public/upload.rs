//! What is sent to peers that ask: charged in bytes, for each peer and for strangers together.
//!
//! Each block is sent to a peer twice at full speed. What it asks for more often, and what it is told beside blocks, comes out of a
//! small share of its own; blocks for strangers come out of one share of them all, and those for peers that have only brought blocks themselves out of another.
//! Who has none left is not refused: its
//! transfer waits, and goes on when there is some again.

use std::collections::{BTreeMap, BTreeSet};

use super::invite::Admitted;
use super::limits::{
    AGAIN, CODE_COST, CODES, FOLLOWER_BYTES, FOLLOWERS_BYTES, FREE_AGAIN_MS, Pace, RANGES_SENT_MAX, SERVE_MS,
    STRANGERS_BYTES,
};
use super::shares::Class;
use super::{Budget, ChainEffect, ChainLimit, ChainTimer, Desk, PublicChains, PublicError};
use walytis_core::{ChainId, PeerId, Timestamp};

/// Ascending ranges of positions (from, included; to, excluded), with gaps between them.
#[derive(Clone, Debug, Default)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn has(&self, position: u64) -> bool {
        let above = self.0.partition_point(|(_, to)| *to <= position);
        self.0.get(above).is_some_and(|(from, _)| *from <= position)
    }

    /// Adds a position. With too many ranges, the two with the shortest gap between them become one, and what lies between
    /// counts as added, too.
    fn add(&mut self, position: u64) {
        let next = position.saturating_add(1);
        let place = self.0.partition_point(|(_, to)| *to < position);
        match self.0.get_mut(place) {
            Some((from, to)) if *from <= next => (*from, *to) = (position.min(*from), next.max(*to)),
            _ => self.0.insert(place, (position, next)),
        }
        if matches!(self.0.get(place..), Some([(_, to), (from, _), ..]) if to >= from) {
            self.merge(place);
        }
        if self.0.len() > RANGES_SENT_MAX {
            let gaps = self.0.windows(2).map(|pair| match pair {
                [(_, to), (from, _)] => from.saturating_sub(*to),
                _ => u64::MAX,
            });
            if let Some((_, place)) = gaps.zip(0..).min() {
                self.merge(place);
            }
        }
    }

    /// Makes one range of a range and the next.
    fn merge(&mut self, place: usize) {
        let next = place.saturating_add(1);
        if next < self.0.len() {
            let (_, to) = self.0.remove(next);
            if let Some((_, end)) = self.0.get_mut(place) {
                *end = to;
            }
        }
    }
}

/// How a block stands to what a peer was sent before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// It is part of a first download by an invitation, and new to the peer.
    Admitted,
    /// It is new to the peer, or was sent once: a receiver may not have had room for it.
    Free,
    /// It was sent as often as it costs nothing.
    Again,
}

/// What a peer was sent of a chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    once: Ranges,
    twice: Ranges,
    /// When something was sent last that costs nothing.
    free_ms: u64,
    /// The chain's length when an invitation let the peer in. What lies below it is its first download.
    admitted_below: u64,
}

impl Sent {
    fn pass(&self, position: u64) -> Pass {
        if !self.once.has(position) {
            if position < self.admitted_below { Pass::Admitted } else { Pass::Free }
        } else if self.twice.has(position) {
            Pass::Again
        } else {
            Pass::Free
        }
    }

    fn add(&mut self, position: u64) {
        let ranges = if self.once.has(position) { &mut self.twice } else { &mut self.once };
        ranges.add(position);
    }

    fn is_old(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.free_ms) >= FREE_AGAIN_MS
    }

    fn is_admitted(&self, now: Timestamp) -> bool {
        self.admitted_below > 0 && !self.is_old(now)
    }
}

/// What of a peer's shares is about sending.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    /// What it may still be sent again, or be told beside blocks.
    again: Budget,
    /// What it is sent in any case, once it has brought blocks.
    follower: Budget,
    sent: BTreeMap<ChainId, Sent>,
}

impl Upload {
    pub(super) fn full(now: Timestamp) -> Self {
        let follower = Budget::full(FOLLOWER_BYTES, now);
        Self { again: Budget::full(AGAIN, now), follower, sent: BTreeMap::new() }
    }

    pub(super) fn forget_chain(&mut self, chain: ChainId) {
        self.sent.remove(&chain);
    }

    /// Whether a first download by an invitation goes on, or may.
    pub(super) fn is_admitted(&self, now: Timestamp) -> bool {
        self.sent.values().any(|sent| sent.is_admitted(now))
    }

    /// Whether nothing is lost by forgetting it.
    pub(super) fn is_full(&mut self, now: Timestamp) -> bool {
        self.sent.retain(|_, sent| !sent.is_old(now));
        self.sent.is_empty() && self.again.is_full(AGAIN, now) && self.follower.is_full(FOLLOWER_BYTES, now)
    }
}

/// What a portion costs, in bytes.
#[derive(Default)]
pub(super) struct Portion {
    /// What is shared with others of the peer's class.
    shared: u64,
    again: u64,
    is_free: bool,
}

/// What the peers of a class may still be sent together.
#[derive(Debug)]
struct Common {
    left: Budget,
    pace: Pace,
    /// Transfers that wait for it: whoever comes later waits behind them.
    queued: BTreeSet<(PeerId, ChainId)>,
}

impl Common {
    fn full(pace: Pace) -> Self {
        Self { left: Budget::full(pace, Timestamp(0)), pace, queued: BTreeSet::new() }
    }

    fn has_some(&mut self, now: Timestamp) -> bool {
        self.left.has_some(self.pace, now)
    }

    fn take(&mut self, bytes: u64) {
        self.left.take(bytes, self.pace);
    }
}

/// What is sent to peers, all together.
#[derive(Debug)]
pub(super) struct Uploads {
    strangers: Common,
    /// Of those that have brought blocks: what is beyond their own.
    followers: Common,
    /// How many first downloads by invitations for any number need not share with strangers.
    codes: Budget,
    /// Transfers that wait, each with its turn.
    waiting: BTreeMap<(PeerId, ChainId), u64>,
    /// Whether it is their turns that are being taken.
    serving: bool,
    turns: u64,
    /// Whether the timer is set.
    timer: bool,
}

impl Uploads {
    pub(super) fn new() -> Self {
        Self {
            strangers: Common::full(STRANGERS_BYTES),
            followers: Common::full(FOLLOWERS_BYTES),
            codes: Budget::full(CODES, Timestamp(0)),
            waiting: BTreeMap::new(),
            serving: false,
            turns: 0,
            timer: false,
        }
    }

    fn waits_no_more(&mut self, peer: PeerId, chain: ChainId) {
        self.waiting.remove(&(peer, chain));
        self.leaves_queues(peer, chain);
    }

    fn leaves_queues(&mut self, peer: PeerId, chain: ChainId) {
        for common in [&mut self.strangers, &mut self.followers] {
            common.queued.remove(&(peer, chain));
        }
    }

    const fn common(&mut self, class: Class) -> Option<&mut Common> {
        match class {
            Class::Stranger => Some(&mut self.strangers),
            Class::Follower => Some(&mut self.followers),
            Class::Friend => None,
        }
    }

    fn next_turn(&mut self) -> u64 {
        self.turns = self.turns.saturating_add(1);
        self.turns
    }
}

impl PublicChains {
    /// An invitation has let a peer in: it downloads what is here now without sharing with strangers. Invitations for so many and no
    /// more give that to each of them; those for any number to so many peers a minute, and so it is given to who was let in
    /// before and has lost it. Who has it already gets no other.
    pub(super) fn first_download(
        &mut self,
        desk: &Desk<'_>,
        peer: PeerId,
        (chain, length): (ChainId, u64),
        admitted: Admitted,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let shares = &mut known.shares;
        let has_it = shares.upload.sent.get(&chain).is_some_and(|sent| sent.is_admitted(desk.now));
        if has_it && admitted != Admitted::ByCount && !walytis_core::mutant!(DownloadTwice) {
            return;
        }
        // Also whoever shares with strangers has its question heard: what it is sent then waits for its turn.
        if admitted != Admitted::Again {
            shares.is_admitted(0);
        }
        if admitted != Admitted::ByCount && !self.uploads.codes.spend(CODE_COST, CODES, desk.now) {
            return;
        }
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.shares.is_admitted(length);
        let sent = known.shares.upload.sent.entry(chain).or_default();
        if sent.is_old(desk.now) {
            *sent = Sent::default();
        }
        (sent.admitted_below, sent.free_ms) = (length, desk.now.0);
    }

    /// Whether the transfer that begins at this position of a chain may go on. If not, it waits for its turn.
    pub(super) fn may_be_sent(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId, position: u64) -> bool {
        let now = desk.now;
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        let class = known.shares.class;
        let upload = &mut known.shares.upload;
        if upload.sent.get(&chain).is_some_and(|sent| sent.is_old(now)) {
            upload.sent.remove(&chain);
        }
        let admitted = upload.sent.get(&chain).is_some_and(|sent| sent.pass(position) == Pass::Admitted);
        let has_some = upload.again.has_some(AGAIN, now);
        let has_own = admitted || (class == Class::Follower && upload.follower.has_some(FOLLOWER_BYTES, now));
        // Whoever waits was there before: who asks again and again is not served in between.
        let serving = self.uploads.serving;
        let common = self.uploads.common(class).filter(|_| !has_own);
        let may_share = common.is_none_or(|common| {
            let is_in_turn = serving || common.queued.is_empty();
            is_in_turn && common.has_some(now)
        });
        if has_some && may_share {
            self.uploads.waits_no_more(peer, chain);
            return true;
        }
        match self.uploads.common(class).filter(|_| has_some && !has_own) {
            Some(common) => drop(common.queued.insert((peer, chain))),
            None => self.uploads.leaves_queues(peer, chain),
        }
        self.reached(ChainLimit::Upload);
        if !self.uploads.waiting.contains_key(&(peer, chain)) {
            let turn = self.uploads.next_turn();
            self.uploads.waiting.insert((peer, chain), turn);
        }
        self.serve_later(desk);
        false
    }

    fn serve_later(&mut self, desk: &mut Desk<'_>) {
        if !self.uploads.waiting.is_empty() && !std::mem::replace(&mut self.uploads.timer, true) {
            desk.out.push(ChainEffect::Timer { after_ms: SERVE_MS, timer: ChainTimer::Serve });
        }
    }

    /// Goes on with transfers that wait: one portion for each peer, in the order of their turns.
    pub(super) fn serve_waiting(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        self.uploads.timer = false;
        let mut waiting: Vec<(u64, PeerId, ChainId)> =
            self.uploads.waiting.iter().map(|((peer, chain), turn)| (*turn, *peer, *chain)).collect();
        waiting.sort_unstable();
        let mut served = BTreeSet::new();
        for (_, peer, chain) in waiting {
            let transfers = self.peers.get(&peer).is_some_and(|known| known.transfers.contains_key(&chain));
            if !transfers {
                self.uploads.waits_no_more(peer, chain);
            } else if served.insert(peer) {
                self.uploads.serving = true;
                let outcome = self.serve_more(desk, peer, chain);
                self.uploads.serving = false;
                outcome?;
            } else {
                // Many chains do not make it several peers.
                let turn = self.uploads.next_turn();
                self.uploads.waiting.insert((peer, chain), turn);
            }
        }
        self.serve_later(desk);
        Ok(())
    }

    /// Whether a transfer waits already: asking once more changes nothing.
    pub(super) fn waits_for_turn(&self, peer: PeerId, chain: ChainId) -> bool {
        self.uploads.waiting.contains_key(&(peer, chain))
    }

    /// Notes in `portion` that a block is in it.
    pub(super) fn sends(&mut self, peer: PeerId, chain: ChainId, position: u64, bytes: usize, portion: &mut Portion) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let class = known.shares.class;
        let sent = known.shares.upload.sent.entry(chain).or_default();
        let (pass, bytes) = (sent.pass(position), u64::try_from(bytes).unwrap_or(u64::MAX));
        if pass == Pass::Again {
            portion.again = portion.again.saturating_add(bytes);
        } else {
            portion.is_free = true;
            sent.add(position);
        }
        if class != Class::Friend && pass != Pass::Admitted {
            portion.shared = portion.shared.saturating_add(bytes);
        }
    }

    /// A portion leaves: what it costs is charged.
    pub(super) fn has_been_sent(&mut self, desk: &Desk<'_>, peer: PeerId, chain: ChainId, portion: &Portion) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let class = known.shares.class;
        let upload = &mut known.shares.upload;
        if class == Class::Follower && upload.follower.has_some(FOLLOWER_BYTES, desk.now) {
            upload.follower.take(portion.shared, FOLLOWER_BYTES);
        } else if let Some(common) = self.uploads.common(class)
            && !(class == Class::Follower && walytis_core::mutant!(ForgetFollowersShare))
        {
            common.take(portion.shared);
        }
        upload.again.take(portion.again, AGAIN);
        if let Some(sent) = upload.sent.get_mut(&chain).filter(|_| portion.is_free) {
            sent.free_ms = desk.now.0;
        }
    }

    /// Whether a peer may be told so many bytes beside blocks, because it asked. They are charged if so.
    pub(super) fn may_be_told(&mut self, desk: &Desk<'_>, peer: PeerId, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        let now = desk.now;
        let stranger = known.shares.is_stranger() && !known.shares.upload.is_admitted(now);
        let may = known.shares.upload.again.has_some(AGAIN, now) && (!stranger || self.uploads.strangers.has_some(now));
        if may {
            known.shares.upload.again.take(bytes, AGAIN);
            if stranger {
                self.uploads.strangers.take(bytes);
            }
        } else {
            self.reached(ChainLimit::Upload);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_bounded() {
        let mut ranges = Ranges::default();
        for position in [5, 7, 6, 0, 100] {
            ranges.add(position);
        }
        assert_eq!(ranges.0, [(0, 1), (5, 8), (100, 101)]);
        for position in [0, 5, 6, 7, 100] {
            assert!(ranges.has(position));
            ranges.add(position);
        }
        assert!([1, 4, 8, 99, 101].into_iter().all(|position| !ranges.has(position)));
        for position in (0..1_000).map(|number| 1_000 * number) {
            ranges.add(position);
            assert!(ranges.has(position) && ranges.0.len() <= RANGES_SENT_MAX);
        }
        assert!(ranges.0.is_sorted_by(|a, b| a.1 < b.0), "{ranges:?}");
        assert!(ranges.has(1_500), "gaps count where there are too many");
    }

    #[test]
    fn a_block_costs_nothing_twice_and_once_what_an_invitation_let_in() {
        let mut sent = Sent { admitted_below: 1, ..Sent::default() };
        for (position, passes) in
            [(0, [Pass::Admitted, Pass::Free, Pass::Again]), (1, [Pass::Free, Pass::Free, Pass::Again])]
        {
            for pass in passes {
                assert!(sent.pass(position) == pass);
                sent.add(position);
            }
        }
    }
}
