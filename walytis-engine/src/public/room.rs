//! Room on this disk for what others write: of one chain, of all together, and of what is left free for everything else.
//!
//! **Invariant:** only blocks by others are refused here, and they are delayed, not judged: they are taken once there is room,
//! or once somebody who has room here builds on them. What a person asked for (own blocks, authors allowed by name, imports)
//! does not need this room.

use std::collections::BTreeMap;

use super::limits::{DISK_ASKED_BYTES, DISK_ASKED_MS, PUBLIC_BYTES_MAX};
use super::records::Followed;
use super::{ChainEffect, ChainLimit, ChainRoom, Desk, PublicChains, PublicError, Standing};
use crate::DiskSpace;
use walytis_core::{AuthorKey, ChainError, ChainId, PeerId, Pending, Timestamp};

/// What is known of the disk, and the cap over all chains.
#[derive(Debug)]
pub(super) struct Space {
    /// What the host said last. Nothing is refused for the disk's sake by a host that does not say.
    disk: Option<DiskSpace>,
    /// When it was asked.
    asked_ms: Option<u64>,
    /// How many bytes of others' blocks were taken since.
    taken: u64,
    /// The most bytes of all chains together.
    bytes_max: u64,
}

impl Space {
    pub(super) const fn new() -> Self {
        Self { disk: None, asked_ms: None, taken: 0, bytes_max: PUBLIC_BYTES_MAX }
    }

    fn is_scarce(&self) -> bool {
        self.disk.is_some_and(|disk| disk.free_bytes < disk.floor_bytes())
    }

    /// Whether the host's last word is older than this, by a clock that may jump.
    fn asked_before(&self, now: Timestamp, ms: u64) -> bool {
        self.asked_ms.is_none_or(|asked| now.0.checked_sub(asked).is_none_or(|passed| passed >= ms))
    }

    fn room(&self, chains: &BTreeMap<ChainId, Followed>, followed: &Followed, bytes: u64) -> ChainRoom {
        let after = followed.bytes.saturating_add(bytes);
        let all = chains.values().fold(bytes, |sum, chain| sum.saturating_add(chain.bytes));
        let chain_bytes_max = followed.rules.limits.chain_bytes_max;
        if self.is_scarce() {
            ChainRoom::DiskScarce
        } else if after > chain_bytes_max {
            ChainRoom::Full
        } else if all > self.bytes_max {
            ChainRoom::AllFull
        } else if after > chain_bytes_max / 2 {
            ChainRoom::HalfFull
        } else {
            ChainRoom::Free
        }
    }

    /// Whether an author's block of so many bytes is taken by itself. In the second half of a chain's room those of newcomers
    /// are not: whoever has as many keys as it likes would have all of it; nor more than a share of anybody's. A first download is
    /// as large as it is.
    pub(super) fn takes(
        &self,
        chains: &BTreeMap<ChainId, Followed>,
        view: &Pending,
        followed: &Followed,
        (author, bytes): (&AuthorKey, u64),
    ) -> Result<bool, ChainError> {
        if !followed.rules.takes(author) {
            return Ok(false);
        }
        let is_free = followed.standing == Standing::Joining
            || self.room(chains, followed, bytes) != ChainRoom::HalfFull
            || followed.wants(author);
        let chain_bytes_max = followed.rules.limits.chain_bytes_max;
        Ok(is_free || followed.early.takes(view, followed.id, (author, bytes), chain_bytes_max)?)
    }

    fn ask(&mut self, desk: &mut Desk<'_>) {
        (self.asked_ms, self.taken) = (Some(desk.now.0), 0);
        desk.out.push(ChainEffect::AskDiskSpace);
    }
}

impl Followed {
    /// Whether a block of so many bytes counts in the second half of the chain's room.
    pub(super) fn counts_in_half(&self, author: &AuthorKey, bytes: u64) -> bool {
        self.bytes.saturating_add(bytes) > self.rules.limits.chain_bytes_max / 2
            && self.standing != Standing::Joining
            && !self.wants(author)
    }

    /// Whether a person has asked for what this author writes.
    fn wants(&self, author: &AuthorKey) -> bool {
        self.rules.allowed_authors.contains(author) || self.author.public() == *author
    }
}

impl PublicChains {
    /// The most bytes that all chains have here together, [`Limits`](super::Limits) of each aside.
    pub const fn limit_all(&mut self, bytes_max: u64) {
        self.space.bytes_max = bytes_max;
    }

    /// The host says how much room its disk has. Where there is some again, what was refused is asked for at the step's end.
    pub fn disk_space(&mut self, disk: DiskSpace) {
        let was_scarce = self.space.is_scarce();
        self.space.disk = Some(disk);
        if was_scarce && !self.space.is_scarce() {
            self.stalled.extend(std::mem::take(&mut self.full));
        }
    }

    /// Asks the host at the beginning.
    pub(super) fn ask_for_space_once(&mut self, desk: &mut Desk<'_>) {
        if self.space.asked_ms.is_none() {
            self.space.ask(desk);
        }
    }

    /// While the disk has little room, the host is asked in quiet, too: nobody else may say that there is more.
    pub(super) fn ask_for_space_again(&mut self, desk: &mut Desk<'_>) {
        if self.space.is_scarce() {
            self.space.ask(desk);
        }
    }

    /// So many bytes of somebody else's block were taken: they will be on the disk soon.
    pub(super) fn took_from_others(&mut self, desk: &mut Desk<'_>, bytes: u64) {
        let space = &mut self.space;
        space.taken = space.taken.saturating_add(bytes);
        if space.taken >= DISK_ASKED_BYTES || space.asked_before(desk.now, DISK_ASKED_MS) {
            space.ask(desk);
        }
    }

    /// How much room a chain has for others' next block of so many bytes.
    pub(super) fn room(&self, followed: &Followed, bytes: u64) -> ChainRoom {
        self.space.room(&self.chains, followed, bytes)
    }

    /// Whether a chain has no room for a block of so many bytes by this author, whoever builds on it.
    pub(super) fn refuses(&mut self, desk: &mut Desk<'_>, chain: ChainId, author: &AuthorKey, bytes: u64) -> bool {
        let Some(followed) = self.chains.get(&chain) else { return true };
        let wanted = followed.wants(author);
        let limit = match self.room(followed, bytes) {
            ChainRoom::Free | ChainRoom::HalfFull => return false,
            ChainRoom::Full => ChainLimit::ChainBytes,
            ChainRoom::AllFull if wanted => return false,
            ChainRoom::AllFull => ChainLimit::AllBytes,
            ChainRoom::DiskScarce => {
                if self.space.asked_before(desk.now, DISK_ASKED_MS) {
                    self.space.ask(desk);
                }
                if wanted {
                    return false;
                }
                ChainLimit::Disk
            }
        };
        self.reached(limit);
        true
    }

    /// Whether nothing is asked for of a chain for lack of room. Authors whom a person allows by name need no room of all
    /// chains together, nor of the disk: of such a chain they are still asked for, and newcomers cannot end that.
    pub(super) fn is_full_for_all(&self, chain: ChainId) -> bool {
        let allows = |followed: &&Followed| {
            followed.standing == Standing::Followed && !followed.rules.allowed_authors.is_empty()
        };
        let some_go_on = |followed: &Followed| {
            matches!(self.room(followed, 0), ChainRoom::AllFull | ChainRoom::DiskScarce)
                && followed.bytes <= followed.rules.limits.chain_bytes_max
        };
        self.full.contains(&chain) && !self.chains.get(&chain).filter(allows).is_some_and(some_go_on)
    }

    /// Whether a peer sent a block by an author that is taken, and more blocks below it than are held.
    pub(super) fn lacks_room_for_below(&self, desk: &Desk<'_>, chain: ChainId, peer: PeerId) -> bool {
        let crowded = self.peers.get(&peer).is_some_and(|known| known.crowded.contains(&chain));
        let Some(followed) = self.chains.get(&chain).filter(|_| crowded) else { return false };
        self.orphans.some_waits(peer, |(of, block)| {
            let bytes = super::accept::bytes_of(block);
            // A store that fails says so where the block is taken.
            let author = &block.header().author;
            *of == chain && self.space.takes(&self.chains, desk.view, followed, (author, bytes)).unwrap_or(false)
        })
    }

    /// Why a join cannot go on.
    pub(super) fn no_room(&self, followed: &Followed) -> PublicError {
        match (self.space.disk.filter(|_| self.space.is_scarce()), self.room(followed, 0)) {
            (Some(disk), _) => PublicError::DiskScarce(disk.floor_bytes()),
            (None, ChainRoom::AllFull) => PublicError::AllFull(self.space.bytes_max),
            (None, _) => PublicError::Full(followed.rules.limits.chain_bytes_max),
        }
    }
}
