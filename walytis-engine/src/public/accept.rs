//! Taking in what peers send: parsed, verified, and only then stored.

use std::collections::BTreeSet;

use super::compact::{Parcel, Unpacking};
use super::join::Ended;
use super::limits::{AUTHORS_COUNTED_MAX, Budget, pause_ms};
use super::records::Meeting;
use super::{ChainEffect, ChainLimit, ChainTimer, Desk, Equivocation, Fresh, PublicChains, PublicError, Standing};
use crate::sync::PORTION_BYTES;
use walytis_core::verify_all;
use walytis_core::{
    AuthorSecret, BlockError, BlockId, BlockKind, ChainError, ChainId, ParsedBlock, PeerId, VerifiedBlock, chains,
    planted,
};

/// How many blocks enter in one step behind others for which they waited: a few milliseconds. The rest follows in steps of
/// its own.
const FREED_MAX: u32 = 256;

/// The most blocks that are unpacked and verified together: more than an honest portion has, and few enough that a frame of
/// the smallest blocks is never held unpacked as a whole.
const TOGETHER_MAX: usize = 2048;
/// After so many bytes of blocks, the rest is unpacked once these are verified. An honest portion has fewer.
const TOGETHER_BYTES: usize = 2 * PORTION_BYTES;

/// What became of a block.
enum Taken {
    /// It is in the set now.
    New,
    /// It was there before.
    Known,
    /// It waits for its parents.
    Waits(BTreeSet<BlockId>),
    /// It waits for somebody to build on it.
    Held,
    /// Its author has had its share: it is tried again after so many milliseconds.
    Later(u64),
    /// The chain is full: nothing is asked for until there is room.
    Full,
}

/// Why a block was not taken in: our own store's failure, or what the peer sent.
enum Trouble {
    Ours(PublicError),
    Theirs,
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        let error = PublicError::from(error);
        if error.is_fatal() { Self::Ours(error) } else { Self::Theirs }
    }
}

/// The bytes that a block takes of a chain's share.
pub(super) fn bytes_of(block: &ParsedBlock) -> u64 {
    let raw = block.raw();
    let bytes = raw.header.len().saturating_add(raw.signature.len()).saturating_add(raw.content.len());
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl PublicChains {
    /// Takes in blocks that came together, and whatever waited for them. Returns `false` if the peer sent what no honest one
    /// sends; then it is told to the host, and what came behind it is left.
    pub(super) fn take_in(
        &mut self,
        desk: &mut Desk<'_>,
        from: PeerId,
        chain: ChainId,
        blocks: &Parcel<'_>,
    ) -> Result<bool, PublicError> {
        let mut blocks = blocks.unpack();
        while blocks.has_more() {
            if !self.take_in_some(desk, from, chain, &mut blocks)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes in the next blocks of a parcel, as many as are verified together.
    fn take_in_some(
        &mut self,
        desk: &mut Desk<'_>,
        from: PeerId,
        chain: ChainId,
        blocks: &mut Unpacking<'_>,
    ) -> Result<bool, PublicError> {
        let (new, fit) = self.sort_out(desk, from, chain, blocks)?;
        let count = new.len();
        // A signature of suite 1 needs no ancestor, so what waits for its parents is known to be its author's.
        let verified = verify_all(&*self.crew.0, new);
        let honest = fit && verified.len() == count;
        for block in verified {
            if !self.take(desk, from, chain, block)? || self.take_freed(desk)?.contains(&from) {
                // It is told of already.
                return Ok(false);
            }
        }
        if !honest {
            self.misbehaved(desk, from);
        }
        Ok(honest)
    }

    /// The blocks among the next that came which are new here and may be on the chain, up to the first that no honest peer
    /// sends; `false` if there is one.
    fn sort_out(
        &mut self,
        desk: &Desk<'_>,
        from: PeerId,
        chain: ChainId,
        blocks: &mut Unpacking<'_>,
    ) -> Result<(Vec<ParsedBlock>, bool), PublicError> {
        let (mut new, mut bytes) = (Vec::with_capacity(blocks.left().min(TOGETHER_MAX)), 0_usize);
        let mut seen = BTreeSet::new();
        while bytes < TOGETHER_BYTES && new.len() < TOGETHER_MAX {
            let Some(unpacked) = blocks.next() else { break };
            let Ok(raw) = unpacked else { return Ok((new, false)) };
            bytes = bytes.saturating_add(raw.memory_bytes());
            let block = match ParsedBlock::parse(raw) {
                Ok(block) => block,
                Err(BlockError::Newer { .. } | BlockError::Unknown { .. }) => {
                    // Nothing of a newer format is kept, and the rest goes on without it.
                    let newer = self.newer.entry(chain).or_default();
                    *newer = newer.saturating_add(1);
                    continue;
                }
                Err(_) => return Ok((new, false)),
            };
            let id = block.id();
            if !seen.insert(id) || self.orphans.is_held(id) || chains::contains_on(desk.view, chain, id)? {
                self.repeats = self.repeats.saturating_add(1);
                if planted!(PublicDeliverTwice) {
                    self.fresh.push(Fresh { chain, id, from: Some(from) });
                }
                continue;
            }
            let fits = (block.chain() == chain || walytis_core::mutant!(TakeOtherChains))
                && block.header().kind == BlockKind::Content
                && block.header().foreign.is_empty()
                && (block.header().genesis.is_none() || super::is_public_genesis(&block));
            if !fits {
                if super::kind::is_other_genesis(&block, chain) {
                    self.unmasked.insert(chain);
                }
                return Ok((new, false));
            }
            new.push(block);
        }
        Ok((new, true))
    }

    /// Goes on with blocks that wait for nothing any more, where the last step ended.
    pub(super) fn settle(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        self.settling = false;
        self.take_freed(desk)?;
        let mut chains: BTreeSet<ChainId> = self.fresh.iter().map(|fresh| fresh.chain).collect();
        if !self.orphans.has_free() {
            chains.append(&mut self.put_off);
        }
        for chain in chains {
            self.join_complete(desk, chain, Ended::GoesOn)?;
            self.pull_if_behind(desk, chain)?;
        }
        Ok(())
    }

    /// The end of a step: what was left for the next is not forgotten.
    pub(super) fn settle_later(&mut self, desk: &mut Desk<'_>) {
        self.freed = 0;
        if self.orphans.has_free() && !std::mem::replace(&mut self.settling, true) {
            desk.out.push(ChainEffect::Timer { after_ms: 0, timer: ChainTimer::Settle });
        }
    }

    /// Takes in blocks that wait for nothing any more, as many as this step may. Returns who sent what does not hold.
    pub(super) fn take_freed(&mut self, desk: &mut Desk<'_>) -> Result<BTreeSet<PeerId>, PublicError> {
        let mut condemned = BTreeSet::new();
        while self.freed < FREED_MAX {
            let Some((sender, (chain, block))) = self.orphans.next_free() else { break };
            self.freed = self.freed.saturating_add(1);
            if !self.take(desk, sender, chain, block)? {
                condemned.insert(sender);
            }
        }
        Ok(condemned)
    }

    /// Takes in one block, or lets it wait. Returns `false` if its sender is no honest peer; then it is told to the host.
    fn take(
        &mut self,
        desk: &mut Desk<'_>,
        from: PeerId,
        chain: ChainId,
        block: VerifiedBlock,
    ) -> Result<bool, PublicError> {
        let id = block.id();
        match self.try_take_in(desk, chain, from, &block) {
            Ok(Taken::New) => {
                self.fresh.push(Fresh { chain, id, from: Some(from) });
                if !planted!(ForgetWaiting) {
                    self.orphans.arrived(id);
                }
            }
            Ok(Taken::Known) => {}
            Ok(Taken::Later(after_ms)) => {
                // It stays here as long as there is room, so that it need not be fetched once more.
                self.hold(from, chain, block, BTreeSet::from([id]));
                self.later(desk, from, chain, id, after_ms);
            }
            Ok(Taken::Full) => {
                self.owes(from, chain, id);
                self.full.insert(chain);
            }
            Ok(Taken::Held) => self.hold(from, chain, block, BTreeSet::from([id])),
            Ok(Taken::Waits(_)) if planted!(PublicDropOrphan) => {}
            Ok(Taken::Waits(missing)) => {
                self.hold(from, chain, block, missing.clone());
                // Blocks that were not taken by themselves are taken now that somebody builds on them.
                let mut unknown = false;
                for parent in missing {
                    unknown |= !self.orphans.release(parent);
                }
                if unknown {
                    // What is missing comes with the peer's answer to a pull: it holds the block's ancestors.
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.announced.insert(chain, vec![id]);
                    }
                    self.pull_if_behind(desk, chain)?;
                }
            }
            Err(Trouble::Ours(error)) => return Err(error),
            Err(Trouble::Theirs) => return Ok(self.condemn(desk, from)),
        }
        Ok(true)
    }

    /// Lets a block wait for others, or, if it is among them itself, for being released.
    fn hold(&mut self, from: PeerId, chain: ChainId, block: VerifiedBlock, missing: BTreeSet<BlockId>) {
        let (id, bytes) = (block.id(), block.memory_bytes());
        if self.orphans.add(from, id, (chain, block), bytes, missing) > 0 {
            self.reached(ChainLimit::Orphans);
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.crowded.insert(chain);
            }
        }
    }

    /// An author that wrote more than its share may have some again: what waits here is tried, then what does not fit here
    /// is fetched.
    pub(super) fn resume(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        self.waiting.remove(&chain);
        self.try_held(desk, chain)?;
        // Not put off by an author who has had its share again: the others would wait for ever.
        self.pull_from_who_is_ahead(desk, chain)
    }

    /// Tries the blocks of a chain that are held and whose authors are taken.
    pub(super) fn try_held(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        let Some(followed) = self.chains.get(&chain) else { return Ok(()) };
        let (space, chains) = (&self.space, &self.chains);
        self.orphans.release_those(|(of, block)| {
            let author = &block.header().author;
            // A store that fails says so where the block is taken.
            *of == chain && space.takes(chains, desk.view, followed, (author, bytes_of(block))).unwrap_or(true)
        });
        self.take_freed(desk).map(|_| ())
    }

    fn condemn(&mut self, desk: &mut Desk<'_>, peer: PeerId) -> bool {
        self.misbehaved(desk, peer);
        false
    }

    fn try_take_in(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        from: PeerId,
        block: &VerifiedBlock,
    ) -> Result<Taken, Trouble> {
        if chains::contains_on(desk.view, chain, block.id())? {
            return Ok(Taken::Known);
        }
        let author = block.header().author;
        let Some(followed) = self.chains.get(&chain) else { return Ok(Taken::Known) };
        let bytes = bytes_of(block);
        let taken = block.header().genesis.is_some()
            || self.space.takes(&self.chains, desk.view, followed, (&author, bytes))?;
        if !taken && !self.orphans.is_awaited(block.id()) && !self.is_below(chain, from) {
            if followed.rules.takes(&author) {
                self.reached(ChainLimit::HalfFull);
            }
            return Ok(Taken::Held);
        }
        let in_half = block.header().genesis.is_none() && followed.counts_in_half(&author, bytes);
        if in_half && !taken && !followed.early.takes_below(bytes, followed.rules.limits.chain_bytes_max) {
            self.reached(ChainLimit::HalfFull);
            return Ok(Taken::Held);
        }
        let parents = chains::find_parents(desk.view, block)?;
        let missing: BTreeSet<BlockId> = parents.missing().collect();
        if !missing.is_empty() {
            return Ok(Taken::Waits(missing));
        }
        let joining = followed.standing == Standing::Joining;
        let pause = pause_ms(followed.rules.limits.author_blocks_per_second);
        if self.refuses(desk, chain, &author, bytes) && !walytis_core::mutant!(ForgetChainSize) {
            return Ok(Taken::Full);
        }
        if !joining && !self.author_may(desk, chain, block) && !walytis_core::mutant!(ForgetAuthorPace) {
            self.reached(ChainLimit::AuthorBlocks);
            return Ok(Taken::Later(pause));
        }
        self.insert_other(desk, block, parents, from)?;
        let addresses = self.peers.get(&from).map(|known| known.addresses.as_slice()).unwrap_or_default();
        if let Some(followed) = self.chains.get_mut(&chain) {
            followed.prove(desk.view, from, addresses, Meeting { peers: &self.peers, now: desk.now });
            if in_half {
                match taken {
                    true => followed.early.count_of(desk.view, chain, author, bytes)?,
                    false => followed.early.count_below(bytes),
                }
            }
        }
        self.has_proven_itself(desk, chain, from);
        Ok(Taken::New)
    }

    /// Adds a block that was not made here just now, and whose parents are here.
    pub(super) fn insert_other(
        &mut self,
        desk: &mut Desk<'_>,
        block: &VerifiedBlock,
        parents: chains::FoundParents,
        from: PeerId,
    ) -> Result<(), ChainError> {
        let chain = block.chain();
        let chains::Inserted { previous: last, .. } = chains::insert_behind(desk.view, block, parents)?;
        self.inserted(desk, block, Some(from));
        if let Some((last, sequence)) = last
            && (block.header().sequence < sequence || (block.header().sequence == sequence && !planted!(MissFork)))
        {
            self.forked(desk, chain, block, last)?;
        }
        Ok(())
    }

    /// Whether a peer is sending what is below a block of an author that is taken: then blocks of others come in, too,
    /// because more of them than are held may be below. They count against their authors' shares and the peer's.
    fn is_below(&self, chain: ChainId, from: PeerId) -> bool {
        self.pulls.get(&chain).is_some_and(|pull| pull.peer == from && pull.below)
    }

    /// Counts a new block, whoever wrote it.
    pub(super) fn inserted(&mut self, desk: &mut Desk<'_>, block: &ParsedBlock, from: Option<PeerId>) {
        let Some(followed) = self.chains.get_mut(&block.chain()) else { return };
        followed.bytes = followed.bytes.saturating_add(bytes_of(block));
        followed.early.has_grown(desk.view, followed.id, followed.bytes, followed.rules.limits.chain_bytes_max);
        followed.touch();
        let own = followed.author.public();
        if from.is_some() {
            self.took_from_others(desk, bytes_of(block));
        }
        let Some(followed) = self.chains.get_mut(&block.chain()) else { return };
        // We do not know this block of ours: our store is an old copy of itself. The next block is by another key, so
        // that no more forks come of it.
        if from.is_some() && block.header().author == own {
            followed.author = AuthorSecret::generate(desk.rng);
        }
    }

    fn author_may(&mut self, desk: &Desk<'_>, chain: ChainId, block: &ParsedBlock) -> bool {
        let Some(followed) = self.chains.get(&chain) else { return false };
        let pace = followed.rules.limits.author_blocks();
        let key = (chain, block.header().author);
        if !self.authors.contains_key(&key) && self.authors.len() >= AUTHORS_COUNTED_MAX {
            // Whoever has its whole share is as good as unknown.
            self.authors.retain(|_, budget| !budget.is_full(pace, desk.now));
            if self.authors.len() >= AUTHORS_COUNTED_MAX {
                self.authors.pop_first();
            }
        }
        let budget = self.authors.entry(key).or_insert_with(|| Budget::full(pace, desk.now));
        // What waits is no debt: it is tried again and again, and counts once it enters.
        let may = budget.has_some(pace, desk.now);
        if may {
            budget.take(1, pace);
        }
        may
    }

    /// Something is asked for again once there is room for it.
    fn later(&mut self, desk: &mut Desk<'_>, from: PeerId, chain: ChainId, id: BlockId, after_ms: u64) {
        self.owes(from, chain, id);
        if self.waiting.insert(chain) {
            desk.out.push(ChainEffect::Timer { after_ms, timer: ChainTimer::Resume { chain } });
        }
    }

    /// Notes that a peer has a block that was not taken. Returns `false` if no more is noted.
    pub(super) fn owes(&mut self, peer: PeerId, chain: ChainId, id: BlockId) -> bool {
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        let announced = known.announced.entry(chain).or_default();
        let may = announced.len() < crate::sync::IDS_MAX;
        if may && !announced.contains(&id) {
            announced.push(id);
        }
        may
    }

    /// An author has two blocks with one number: keeps both, and the evidence.
    fn forked(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        block: &ParsedBlock,
        last: BlockId,
    ) -> Result<(), ChainError> {
        let (author, sequence) = (block.header().author, block.header().sequence);
        let Some(followed) = self.chains.get_mut(&chain) else { return Ok(()) };
        // Once an author: so this walk over its blocks costs no more than they did.
        if followed.knows_fork_of(&author) {
            return Ok(());
        }
        let mut open = Some(last);
        while let Some(id) = open {
            let Some(other) = chains::header(desk.view, id)? else { break };
            if other.sequence <= sequence {
                if other.sequence == sequence && id != block.id() {
                    let blocks = [id, block.id()];
                    followed.add_fork(desk.view, Equivocation { author, sequence, blocks });
                }
                break;
            }
            open = other.previous;
        }
        Ok(())
    }
}
