//! Taking in what peers send: parsed, verified, and only then stored.

use std::collections::BTreeSet;

use super::limits::{AUTHORS_COUNTED_MAX, Budget, pause_ms};
use super::{ChainEffect, ChainLimit, ChainTimer, Desk, Equivocation, Fresh, PublicChains, PublicError, Standing};
use crate::sync::WireBlock;
use crate::{
    AuthorSecret, BlockError, BlockId, BlockKind, ChainError, ChainId, CodecError, ParsedBlock, PeerId, StoredBlock,
    VerifiedBlock, chains,
};

/// How long a chain that is full is left alone.
const FULL_MS: u64 = 60_000;

/// What became of a block.
enum Taken {
    /// It is in the set now.
    New,
    /// It was there before.
    Known,
    /// It waits for its parents, or, if none are named, for somebody to build on it.
    Waits(BTreeSet<BlockId>),
    /// Its author, or the chain, has had its share: it is asked for again after so many milliseconds.
    Later(u64),
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
    /// Takes in a block and whatever waited for it. Returns `false` if the peer sent what no honest one sends; then it is
    /// told to the host.
    pub(super) fn take_in(
        &mut self,
        desk: &mut Desk<'_>,
        from: PeerId,
        chain: ChainId,
        wire: WireBlock,
    ) -> Result<bool, PublicError> {
        let block = match ParsedBlock::parse(wire.block) {
            Ok(block) => block,
            Err(BlockError::Codec(CodecError::Version { .. }) | BlockError::Unknown { .. }) => {
                // Nothing of a newer format is kept, and the rest goes on without it.
                let newer = self.newer.entry(chain).or_default();
                *newer = newer.saturating_add(1);
                return Ok(true);
            }
            Err(_) => return Ok(self.condemn(desk, from)),
        };
        if chains::contains(desk.view, block.id())? || self.orphans.is_held(block.id()) {
            return Ok(true);
        }
        // A signature of suite 1 needs no ancestor, so what waits for its parents is known to be its author's.
        let fits = block.chain() == chain
            && block.header().kind == BlockKind::Content
            && block.header().foreign.is_empty()
            && (block.header().genesis.is_none() || super::is_public_genesis(&block));
        let Some(block) = fits.then(|| block.verify(None).ok()).flatten() else {
            return Ok(self.condemn(desk, from));
        };
        let mut open = vec![(from, block)];
        while let Some((sender, block)) = open.pop() {
            let id = block.id();
            // Asked of blocks alone whose authors are not taken for themselves: it takes a look at all that is open.
            let author = block.header().author;
            let taken = self.chains.get(&chain).is_none_or(|followed| followed.rules.takes(&author));
            let ancestor = taken || open.iter().any(|(_, other)| names(other, id)) || self.orphans.is_awaited(id);
            match self.try_take_in(desk, chain, (sender, &block), ancestor) {
                Ok(Taken::New) => {
                    self.fresh.push(Fresh { chain, id, from: Some(sender) });
                    let free = self.orphans.arrived(id).into_iter().filter(|(_, (of, _))| *of == chain);
                    open.extend(free.map(|(sender, (_, block))| (sender, block)));
                }
                Ok(Taken::Known) => {}
                Ok(Taken::Later(after_ms)) => self.later(desk, from, chain, id, after_ms),
                Ok(Taken::Waits(missing)) => {
                    let held = self.held_below(&missing);
                    if held.is_empty() {
                        self.wait(desk, sender, chain, block, missing)?;
                    } else {
                        // Blocks that were not taken by themselves are taken now that somebody builds on them.
                        open.push((sender, block));
                        open.extend(held);
                    }
                }
                Err(Trouble::Ours(error)) => return Err(error),
                Err(Trouble::Theirs) => {
                    self.condemn(desk, sender);
                    if sender == from {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn condemn(&mut self, desk: &mut Desk<'_>, peer: PeerId) -> bool {
        self.misbehaved(desk, peer);
        false
    }

    fn try_take_in(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        (from, block): (PeerId, &VerifiedBlock),
        ancestor: bool,
    ) -> Result<Taken, Trouble> {
        if chains::contains(desk.view, block.id())? {
            return Ok(Taken::Known);
        }
        let author = block.header().author;
        let Some(followed) = self.chains.get(&chain) else { return Ok(Taken::Known) };
        if !ancestor && block.header().genesis.is_none() && !followed.rules.takes(&author) {
            return Ok(Taken::Waits(BTreeSet::new()));
        }
        let missing = chains::missing_parents(desk.view, block)?;
        if !missing.is_empty() {
            return Ok(Taken::Waits(missing.into_iter().collect()));
        }
        let joining = followed.standing == Standing::Joining;
        let bytes = bytes_of(block);
        if followed.bytes.saturating_add(bytes) > followed.rules.limits.chain_bytes_max {
            self.reached(ChainLimit::ChainBytes);
            return Ok(Taken::Later(FULL_MS));
        }
        let pause = pause_ms(followed.rules.limits.author_blocks_per_second);
        if !joining && !self.author_may(desk, chain, block) {
            self.reached(ChainLimit::AuthorBlocks);
            return Ok(Taken::Later(pause));
        }
        self.insert_other(desk, chain, block, from)?;
        Ok(Taken::New)
    }

    /// Adds a block that was not made here just now, and whose parents are here.
    pub(super) fn insert_other(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        block: &VerifiedBlock,
        from: PeerId,
    ) -> Result<(), ChainError> {
        let last = chains::previous(desk.view, chain, block.header().author)?;
        chains::insert(desk.view, block)?;
        self.inserted(desk, chain, block, Some(from));
        if let Some((last, sequence)) = last
            && block.header().sequence <= sequence
        {
            self.forked(desk, chain, block, last)?;
        }
        Ok(())
    }

    /// Counts a new block, whoever wrote it.
    pub(super) fn inserted(&mut self, desk: &mut Desk<'_>, chain: ChainId, block: &ParsedBlock, from: Option<PeerId>) {
        let Some(followed) = self.chains.get_mut(&chain) else { return };
        followed.bytes = followed.bytes.saturating_add(bytes_of(block));
        followed.touch();
        // We do not know this block of ours: our store is an old copy of itself. The next block is by another key, so
        // that no more forks come of it.
        if from.is_some() && block.header().author == followed.author.public() {
            followed.author = AuthorSecret::generate(desk.rng);
        }
    }

    fn author_may(&mut self, desk: &Desk<'_>, chain: ChainId, block: &ParsedBlock) -> bool {
        let Some(followed) = self.chains.get(&chain) else { return false };
        let (burst, rate) = (followed.rules.limits.author_blocks_burst, followed.rules.limits.author_blocks_per_second);
        let key = (chain, block.header().author);
        if !self.authors.contains_key(&key) && self.authors.len() >= AUTHORS_COUNTED_MAX {
            // Whoever has its whole share is as good as unknown.
            self.authors.retain(|_, budget| !budget.is_full(burst, rate, desk.now));
            if self.authors.len() >= AUTHORS_COUNTED_MAX {
                self.authors.pop_first();
            }
        }
        let budget = self.authors.entry(key).or_insert_with(|| Budget::full(burst, desk.now));
        let may = budget.has_some(burst, rate, desk.now);
        budget.take(1);
        may
    }

    /// Something is asked for again once there is room for it.
    fn later(&mut self, desk: &mut Desk<'_>, from: PeerId, chain: ChainId, id: BlockId, after_ms: u64) {
        self.owes(from, chain, id);
        if self.waiting.insert(chain) {
            desk.out.push(ChainEffect::Timer { after_ms, timer: ChainTimer::Resume { chain } });
        }
    }

    /// Notes that a peer has a block that was not taken.
    pub(super) fn owes(&mut self, peer: PeerId, chain: ChainId, id: BlockId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let announced = known.announced.entry(chain).or_default();
        if announced.len() < crate::sync::IDS_MAX && !announced.contains(&id) {
            announced.push(id);
        }
    }

    /// Lets a block wait.
    fn wait(
        &mut self,
        desk: &mut Desk<'_>,
        from: PeerId,
        chain: ChainId,
        block: VerifiedBlock,
        missing: BTreeSet<BlockId>,
    ) -> Result<(), PublicError> {
        let id = block.id();
        let bytes = usize::try_from(bytes_of(&block)).unwrap_or(usize::MAX);
        let lacks_parents = !missing.is_empty();
        // What nothing is missing of waits for itself: it is taken out by who names it.
        let missing = if lacks_parents { missing } else { BTreeSet::from([id]) };
        if self.orphans.add(from, id, (chain, block), bytes, missing) > 0 {
            self.reached(ChainLimit::Orphans);
        }
        if !lacks_parents {
            return Ok(());
        }
        // What is missing comes with the peer's answer to a pull: it holds the block's ancestors.
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.announced.insert(chain, vec![id]);
        }
        self.pull_if_behind(desk, chain)
    }

    /// Blocks among these that are held back, and now named by another.
    fn held_below(&mut self, missing: &BTreeSet<BlockId>) -> Vec<(PeerId, VerifiedBlock)> {
        let held = missing.iter().filter_map(|id| self.orphans.take_held(*id));
        held.map(|(peer, (_, block))| (peer, block)).collect()
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
            let Some(StoredBlock { block: other, .. }) = chains::block(desk.view, id)? else { break };
            if other.header().sequence <= sequence {
                if other.header().sequence == sequence && id != block.id() {
                    let blocks = [id, block.id()];
                    followed.add_fork(desk.view, Equivocation { author, sequence, blocks });
                }
                break;
            }
            open = other.header().previous;
        }
        Ok(())
    }
}

fn names(block: &ParsedBlock, id: BlockId) -> bool {
    block.header().all_parents().any(|parent| parent == id)
}
