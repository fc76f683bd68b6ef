//! What peers and authors may make a node hold and do: named limits, and how often each was reached.
//!
//! Limits are a node's own. They delay a block, and never rule on whether it is valid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The most public chains that one node follows. Each costs a row in memory, and a mark in every greeting.
pub const CHAINS_MAX: usize = 1024;

/// The most entries of each list of a chain: invitations, admitted, blocked and allowed peers, and authors.
pub const LISTED_MAX: usize = 256;

/// The most peers that are remembered of a chain; the one seen longest ago makes room.
pub const PEERS_MAX: usize = 32;

/// The most pieces of evidence of forks that are kept of a chain.
pub const EQUIVOCATIONS_MAX: usize = 256;

/// The most bytes of memory that blocks which wait for their parents take, of all peers together.
pub const ORPHAN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many authors are counted at once. Those that have not written for longest make room.
pub const AUTHORS_COUNTED_MAX: usize = 4096;

/// How many frames of a peer are answered, on one connection, that say nothing about a chain that both follow.
pub(super) const STRAYS_MAX: u32 = 64;

/// How many deliveries of blocks a peer may ask for at once, in blocks looked at, and how many it is given back a
/// second: the first download of a long chain is one, and a stranger cannot have chains walked for ever.
pub(super) const WORK_BURST: u64 = 4_000_000;
pub(super) const WORK_PER_SECOND: u64 = 50_000;

/// The limits of one chain that a person sets. Each has a burst, which is there from the beginning, and what is given
/// back a second; 0 counts as 1 in both, so that what is delayed does come. `Limits::default()` says what they are if nobody
/// sets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most bytes of headers, signatures and contents that are kept of the chain. Beyond, nothing by others is taken
    /// any more.
    pub chain_bytes_max: u64,
    /// How many bytes of blocks a peer may send before it is made to wait.
    pub peer_bytes_burst: u64,
    /// How many bytes of blocks a peer is given back a second.
    pub peer_bytes_per_second: u64,
    /// How many blocks by one author are taken before they are made to wait. A first download does not count.
    pub author_blocks_burst: u64,
    /// How many blocks an author is given back a second.
    pub author_blocks_per_second: u64,
}

impl Limits {
    /// The same, but for what would keep a chain from ever going on: where nothing is given back, one is.
    pub(super) fn sane(self) -> Self {
        Self {
            chain_bytes_max: self.chain_bytes_max,
            peer_bytes_burst: self.peer_bytes_burst.max(1),
            peer_bytes_per_second: self.peer_bytes_per_second.max(1),
            author_blocks_burst: self.author_blocks_burst.max(1),
            author_blocks_per_second: self.author_blocks_per_second.max(1),
        }
    }
}

impl Default for Limits {
    /// A full chain has 8 GiB. A peer sends 256 MiB at once and 8 MiB a second: more than most links carry. An author
    /// writes 20,000 blocks at once and 100 a second: more than a program logs in earnest.
    fn default() -> Self {
        Self {
            chain_bytes_max: 8 * 1024 * 1024 * 1024,
            peer_bytes_burst: 256 * 1024 * 1024,
            peer_bytes_per_second: 8 * 1024 * 1024,
            author_blocks_burst: 20_000,
            author_blocks_per_second: 100,
        }
    }
}

/// A bound that peers can bring public chains to. What happens then is said where the bound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChainLimit {
    /// Blocks without parents filled a peer's share of the pool, or the pool: the oldest were dropped.
    Orphans,
    /// A chain has more heads than one message names: the last ones and a random choice of the rest were named.
    Heads,
    /// A portion was full: the rest came in further ones.
    Portion,
    /// A portion was awaited for as long as one may be: the exchange was given up.
    Waits,
    /// A peer sent more bytes than its share: it was made to wait.
    PeerBytes,
    /// An author wrote more blocks than its share: they were made to wait.
    AuthorBlocks,
    /// A chain is full: nothing by others is taken any more.
    ChainBytes,
    /// A peer asked for more than its share of work: the question was passed over.
    Work,
    /// A peer sent more frames that say nothing than are answered: the rest was passed over.
    Strays,
}

impl ChainLimit {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Orphans,
        Self::Heads,
        Self::Portion,
        Self::Waits,
        Self::PeerBytes,
        Self::AuthorBlocks,
        Self::ChainBytes,
        Self::Work,
        Self::Strays,
    ];
}

/// How often each limit was reached in this run. Those that were not are not in it.
pub type LimitsReached = BTreeMap<ChainLimit, u64>;

/// What is left of a share, and when that was so.
///
/// A clock that jumps ahead gives back at most the burst; one that jumps back gives nothing until it has caught up with
/// what was seen last, or has jumped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    left: u64,
    seen_ms: u64,
}

impl Budget {
    pub(super) const fn full(burst: u64, now: Timestamp) -> Self {
        Self { left: burst, seen_ms: now.0 }
    }

    fn refill(&mut self, burst: u64, per_second: u64, now: Timestamp) {
        if now.0 < self.seen_ms {
            self.seen_ms = now.0;
            return;
        }
        let passed_ms = now.0.saturating_sub(self.seen_ms);
        let back = u64::try_from(u128::from(passed_ms).saturating_mul(u128::from(per_second)) / 1000);
        let back = back.unwrap_or(u64::MAX);
        if back > 0 {
            self.left = self.left.saturating_add(back).min(burst);
            self.seen_ms = now.0;
        }
    }

    /// Whether anything is left.
    pub(super) fn has_some(&mut self, burst: u64, per_second: u64, now: Timestamp) -> bool {
        self.refill(burst, per_second, now);
        self.left > 0
    }

    /// Whether the whole share is there.
    pub(super) fn is_full(&mut self, burst: u64, per_second: u64, now: Timestamp) -> bool {
        self.refill(burst, per_second, now);
        self.left >= burst
    }

    /// Takes so much, if it is there.
    pub(super) fn spend(&mut self, amount: u64, burst: u64, per_second: u64, now: Timestamp) -> bool {
        self.refill(burst, per_second, now);
        let left = self.left.checked_sub(amount);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Takes from what is left, down to nothing.
    pub(super) fn take(&mut self, amount: u64) {
        self.left = self.left.saturating_sub(amount);
    }
}

/// How long it takes until a share has something again, in milliseconds: long enough to be worth an exchange.
pub(super) fn pause_ms(per_second: u64) -> u64 {
    1000_u64.checked_div(per_second).unwrap_or(60_000).clamp(1_000, 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_in_time_and_no_clock_makes_more_of_it() {
        let (burst, rate) = (100, 10);
        let mut budget = Budget::full(burst, Timestamp(1_000_000));
        budget.take(150);
        assert!(!budget.has_some(burst, rate, Timestamp(1_000_050)));
        assert!(budget.has_some(burst, rate, Timestamp(1_000_100)));
        budget.take(1);
        assert!(!budget.has_some(burst, rate, Timestamp(5)), "a clock that jumps back gives nothing");
        assert!(budget.has_some(burst, rate, Timestamp(105)), "and goes on from there");
        assert!(budget.is_full(burst, rate, Timestamp(u64::MAX)), "one that jumps ahead gives the burst");
        budget.take(100);
        assert!(!budget.has_some(burst, rate, Timestamp(u64::MAX)));
    }
}
