//! What peers and authors may make a node hold and do: named limits, and how often each was reached.
//!
//! Limits are a node's own. They delay a block, and never rule on whether it is valid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use walytis_core::Timestamp;

/// The most public chains that one node follows. Each costs a row in memory, and a mark in every greeting.
pub const CHAINS_MAX: usize = 1024;

/// The most entries of each list of a chain: invitations, admitted, blocked and allowed peers, and authors.
pub const LISTED_MAX: usize = 256;

/// How long a peer that was let in by an invitation may stay away before it makes room, in milliseconds: 7 days. Only where
/// [`LISTED_MAX`] of them are remembered; of a chain that serves anyone, the first one makes room if none was away for so long.
pub(super) const ADMITTED_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// After how long it is noted again that such a peer is here, in milliseconds: an hour.
pub(super) const HERE_AGAIN_MS: u64 = 60 * 60 * 1000;

/// The most peers that are remembered of a chain; the stranger seen longest ago makes room, and half of the places are kept
/// for who let this node in and who brought something before others did.
pub const PEERS_MAX: usize = 32;

/// The most bytes of headers, signatures and contents that all public chains have here together, unless a host says
/// otherwise: four full ones. Beyond, blocks by others are not taken, but those of authors whom a person allows by name.
pub const PUBLIC_BYTES_MAX: u64 = 32 * 1024 * 1024 * 1024;

/// Into how many shares the second half of a chain's room is divided: each author who was there early has one.
pub(super) const EARLY_SHARES: u64 = 16;

/// How many of these shares have blocks together that come in only because early authors build on them.
pub(super) const SHARES_BELOW: u64 = 4;

/// How many authors are counted at once in the second half of a chain's room: what a newcomer is charged is at most a quarter of
/// its share then.
pub(super) const EARLY_COUNTED_MAX: usize = 64;

/// How many bytes of others' blocks are taken until the host is asked again how much room its disk has; what lies between is
/// far below [`DiskSpace::FLOOR_BYTES_MIN`](crate::DiskSpace::FLOOR_BYTES_MIN).
pub(super) const DISK_ASKED_BYTES: u64 = 1024 * 1024;

/// How long others' blocks are taken, or refused for the disk's sake, until the host is asked again, in milliseconds.
pub(super) const DISK_ASKED_MS: u64 = 1_000;

/// The most pieces of evidence of forks that are kept of a chain.
pub const EQUIVOCATIONS_MAX: usize = 256;

/// The most bytes of memory that blocks which wait for their parents take, of all peers together.
pub const ORPHAN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many authors are counted at once. Those that have not written for longest make room.
pub const AUTHORS_COUNTED_MAX: usize = 4096;

/// How many frames of a peer are answered, on one connection, that say nothing about a chain that both follow.
pub(super) const STRAYS_MAX: u32 = 64;

/// What a peer may have this node look at: rows of blocks, of sums and of heads, about one each.
///
/// A stranger cannot have chains walked for ever: the burst is some 10 s of one processor, and what is given back keeps
/// it busy for about a tenth of the time. An honest peer does not feel it:
/// - A first download begins with one look and goes on in portions that are not refused. Each block is a look: 10^6 of them
///   are a quarter of the burst, and of any number no more are verified on the other side in a second than are given back.
/// - Who goes on in the middle of 10^6 blocks has what it lacks walked once more, which is another look a block.
/// - Who catches up with each new block has its heads looked up, and some hundred sums and blocks compared: a hundred times a
///   second for ever. Beside 10,000 heads that is some 30,000 looks: a hundred times at once, and then once or twice a
///   second; and only for what did not come as a push, for which nothing is charged here.
/// - Who is refused nevertheless hears nothing, and asks again with the next exchange of heads in quiet: a debt is paid off
///   after [`DEBT_SECONDS`], and is about a second if it came of one question.
pub(super) const WORK: Pace = Pace { burst: 4_000_000, per_second: 50_000 };

/// How long somebody who has taken more than its share waits at most, in seconds of what it is given back. A question is
/// answered if anything is left, and costs what it costs; but no more than a step of some thousand looks, or a portion, is
/// done before the share is asked again, so this is reached only where little is given back.
pub(super) const DEBT_SECONDS: u64 = 60;

/// What all peers for whom no chain keeps a place may have this node look at, together: a new PeerId costs nothing, so who
/// has many would have a share for each. Two of them have their whole share at once. Who let this node in and who
/// brought something before others did has its own share and needs nothing of this one.
pub(super) const STRANGERS_WORK: Pace = Pace { burst: 2 * WORK.burst, per_second: 2 * WORK.per_second };

/// How many invitations one peer may show: 64 at once, and one a second. An honest one shows one for each chain, and again if
/// its connection broke meanwhile.
pub(super) const SHOWN: Pace = Pace { burst: 64, per_second: 1 };

/// The looks that invitations which are shown may take, of all peers together: each is compared with those of its chain, most
/// often a few. It is apart from [`STRANGERS_WORK`], so that nobody who only asks questions keeps others from joining; who would
/// keep it spent needs some hundred new keys a second for a chain with three invitations, and eight for one with
/// [`LISTED_MAX`].
pub(super) const SHOWN_WORK: Pace = Pace { burst: 256 * 1024, per_second: 64 * 1024 };

/// The looks that a peer has beside [`STRANGERS_WORK`] once an invitation has let it in: enough to say where it
/// is ([`CHAINS_MAX`] looks), to be told the heads and to ask for what it lacks. Its first download has a look a block beside them.
pub(super) const ADMITTED_LOOKS: u64 = 2_048;

/// What one peer is sent more than twice, or is told beside blocks because it asked, in bytes. What it was sent less often
/// costs nothing here.
///
/// An honest peer asks a second time for what it had no room for, and a third time for the portion that was lost with its
/// connection: there are two in the burst. Beside 10,000 heads a comparison is answered by some 25 kB, so 20 at once and then
/// one a second. Who asks for the same without end gets it twice, the burst, and so much a second: less than 4 MB within 10 s,
/// also where a block has a mebibyte, and the last one overdraws the share.
pub(super) const AGAIN: Pace = Pace { burst: 512 * 1024, per_second: 32 * 1024 };

/// What all peers for whom no chain keeps a place are sent together, in bytes: a new PeerId costs nothing. The burst is a
/// chain of 10^5 small blocks, the rate half of what many homes can send. First downloads without an invitation share it, one
/// portion a turn; those by an invitation do not count.
pub(super) const STRANGERS_BYTES: Pace = Pace { burst: 64 * 1024 * 1024, per_second: 2 * 1024 * 1024 };

/// What a peer that has proven itself by blocks alone is sent in any case, in bytes. To bring a block of 300 bytes costs nothing, and
/// there are places for half of [`PEERS_MAX`] such peers of a chain. An honest one that catches up lacks less than the burst.
pub(super) const FOLLOWER_BYTES: Pace = Pace { burst: 16 * 1024 * 1024, per_second: 64 * 1024 };

/// What all of them are sent together beyond that: twice what strangers are. Who let this node in and whom a person allows by name
/// needs none of it, nor does a first download by an invitation.
pub(super) const FOLLOWERS_BYTES: Pace =
    Pace { burst: 2 * STRANGERS_BYTES.burst, per_second: 2 * STRANGERS_BYTES.per_second };

/// First downloads by invitations for any number of peers that do not share with strangers, together: whoever has such a code
/// has as many PeerIds as it likes. 16 at once, and one a minute. Invitations for a number of peers are bounded by it.
pub(super) const CODES: Pace = Pace { burst: 16 * CODE_COST, per_second: 1 };
pub(super) const CODE_COST: u64 = 60;

/// After how long without anything that costs nothing a peer may have blocks again as if it had never had them, in
/// milliseconds: it may have lost its disk. So one peer has a chain at full speed twice an hour.
pub(super) const FREE_AGAIN_MS: u64 = 60 * 60 * 1000;

/// The most ranges of positions that are remembered of what a peer was sent of a chain, once and twice: 256 bytes. An honest one is sent few,
/// since positions are in the order of arrival.
pub(super) const RANGES_SENT_MAX: usize = 8;

/// How often transfers that wait are tried again, in milliseconds: two portions of what strangers are given back meanwhile.
pub(super) const SERVE_MS: u64 = 250;

/// The shares of how many peers that are gone are kept, so that nobody has its whole share again by coming back. Those
/// that have their whole share again are forgotten first, then those that went first. Of strangers so many, and of others so many:
/// keys that are thrown away make nobody forgotten who has proven itself.
pub(super) const GONE_MAX: usize = 1024;

/// The limits of one chain that a person sets. Each has a burst, which is there from the beginning, and what is given
/// back a second; 0 counts as 1 in both, so that what is delayed does come. `Limits::default()` says what they are if nobody
/// sets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most bytes of headers, signatures and contents that are kept of the chain. Beyond, nothing by others is taken
    /// any more.
    pub chain_bytes_max: u64,
    /// How many bytes of blocks a peer may send before it is made to wait. A first download from who let this node in does
    /// not count.
    pub peer_bytes_burst: u64,
    /// How many bytes of blocks a peer is given back a second.
    pub peer_bytes_per_second: u64,
    /// How many blocks by one author are taken before they are made to wait. A first download does not count.
    pub author_blocks_burst: u64,
    /// How many blocks an author is given back a second.
    pub author_blocks_per_second: u64,
}

impl Limits {
    /// How many bytes of blocks a peer may send.
    pub(super) const fn peer_bytes(&self) -> Pace {
        Pace { burst: self.peer_bytes_burst, per_second: self.peer_bytes_per_second }
    }

    /// How many blocks of an author are taken.
    pub(super) const fn author_blocks(&self) -> Pace {
        Pace { burst: self.author_blocks_burst, per_second: self.author_blocks_per_second }
    }

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
    /// A peer asked for more than its share of work, or strangers together for more than theirs: the question was passed
    /// over.
    Work,
    /// A peer sent more frames that say nothing than are answered: the rest was passed over.
    Strays,
    /// A peer asked for more bytes than it is sent, or strangers together for more than they are: its transfer was made to
    /// wait, or its question was passed over.
    Upload,
    /// More than half of a chain's room is taken: a block by somebody who had written none there was not taken by itself.
    HalfFull,
    /// All public chains together have as many bytes as they may: nothing by others is taken any more.
    AllBytes,
    /// The disk has little room left: nothing by others is taken any more.
    Disk,
}

impl ChainLimit {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Orphans,
        Self::Heads,
        Self::Portion,
        Self::Waits,
        Self::PeerBytes,
        Self::AuthorBlocks,
        Self::ChainBytes,
        Self::Work,
        Self::Strays,
        Self::Upload,
        Self::HalfFull,
        Self::AllBytes,
        Self::Disk,
    ];
}

/// How often each limit was reached in this run. Those that were not are not in it.
pub type LimitsReached = BTreeMap<ChainLimit, u64>;

/// How large a share is, and how much of it is given back a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) burst: u64,
    pub(super) per_second: u64,
}

/// What is left of a share, and when that was so. What was taken beyond it is a debt, which is paid off first: so what is
/// taken in the long run is what is given back, however much was taken at once.
///
/// A clock that jumps ahead gives back at most the burst; one that jumps back gives nothing until it has caught up with
/// what was seen last, or has jumped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Below 0: a debt.
    left: i64,
    seen_ms: u64,
}

impl Budget {
    pub(super) fn full(pace: Pace, now: Timestamp) -> Self {
        Self { left: signed(pace.burst), seen_ms: now.0 }
    }

    fn refill(&mut self, pace: Pace, now: Timestamp) {
        if now.0 < self.seen_ms {
            self.seen_ms = now.0;
            return;
        }
        let passed_ms = now.0.saturating_sub(self.seen_ms);
        let back = u64::try_from(u128::from(passed_ms).saturating_mul(u128::from(pace.per_second)) / 1000);
        let back = back.unwrap_or(u64::MAX);
        if back > 0 {
            self.left = self.left.saturating_add(signed(back)).min(signed(pace.burst));
            self.seen_ms = now.0;
        }
    }

    /// Whether anything is left.
    pub(super) fn has_some(&mut self, pace: Pace, now: Timestamp) -> bool {
        self.refill(pace, now);
        self.left > 0
    }

    /// Whether the whole share is there.
    pub(super) fn is_full(&mut self, pace: Pace, now: Timestamp) -> bool {
        self.refill(pace, now);
        self.left >= signed(pace.burst)
    }

    /// Takes so much, if it is there.
    pub(super) fn spend(&mut self, amount: u64, pace: Pace, now: Timestamp) -> bool {
        self.refill(pace, now);
        let left = self.left.checked_sub(signed(amount)).filter(|left| *left >= 0);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Takes so much, whatever is left. The debt is bounded by [`DEBT_SECONDS`].
    pub(super) fn take(&mut self, amount: u64, pace: Pace) {
        let lowest = signed(pace.per_second.saturating_mul(DEBT_SECONDS)).saturating_neg();
        self.left = self.left.saturating_sub(signed(amount)).max(lowest.min(self.left));
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// How long it takes until a share has something again, in milliseconds: long enough to be worth an exchange.
pub(super) fn pause_ms(per_second: u64) -> u64 {
    1000_u64.checked_div(per_second).unwrap_or(60_000).clamp(1_000, 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { burst: 100, per_second: 10 };

    #[test]
    fn a_share_is_given_back_in_time_and_no_clock_makes_more_of_it() {
        let mut budget = Budget::full(PACE, Timestamp(1_000_000));
        budget.take(100, PACE);
        assert!(!budget.has_some(PACE, Timestamp(1_000_050)));
        assert!(budget.has_some(PACE, Timestamp(1_000_100)));
        budget.take(1, PACE);
        assert!(!budget.has_some(PACE, Timestamp(5)), "a clock that jumps back gives nothing");
        assert!(budget.has_some(PACE, Timestamp(105)), "and goes on from there");
        assert!(budget.is_full(PACE, Timestamp(u64::MAX)), "one that jumps ahead gives the burst");
        budget.take(100, PACE);
        assert!(!budget.has_some(PACE, Timestamp(u64::MAX)));
    }

    #[test]
    fn what_was_taken_beyond_a_share_is_paid_off_before_more_is_given() {
        let mut budget = Budget::full(PACE, Timestamp(0));
        budget.take(150, PACE);
        assert!(!budget.has_some(PACE, Timestamp(5_000)));
        assert!(budget.has_some(PACE, Timestamp(5_100)));
        budget.take(u64::MAX, PACE);
        assert!(!budget.has_some(PACE, Timestamp(5_100 + 60_000)), "a debt has a bound");
        assert!(budget.has_some(PACE, Timestamp(5_100 + 60_100)));
        assert!(!budget.spend(2, PACE, Timestamp(5_100 + 60_100)), "what is not there is not spent");
        assert!(budget.spend(1, PACE, Timestamp(5_100 + 60_100)));
    }

    #[test]
    fn in_the_long_run_no_more_is_taken_than_is_given_back() {
        let mut budget = Budget::full(PACE, Timestamp(0));
        let (mut taken, end_ms) = (0, 600_000);
        for now in 0..end_ms {
            if budget.has_some(PACE, Timestamp(now)) {
                budget.take(90, PACE);
                taken += 90;
            }
        }
        assert!((6_000..=6_000 + 100 + 90).contains(&taken), "{taken}");
    }
}
