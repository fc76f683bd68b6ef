//! Sending what others lack: found in steps, and sent in portions.

use std::collections::VecDeque;

use super::limits::pause_ms;
use super::upload::Portion;
use super::{ChainEffect, ChainLimit, ChainTimer, Desk, PublicChains, PublicError, PublicMessage};
use crate::sync::{self, PORTION_BYTES, SyncMessage, WireBlock};
use walytis_core::chains::{self, Difference};
use walytis_core::{BlockId, ChainId, PeerId};

/// How many rows are looked at in one step to find what a peer lacks: some milliseconds.
const WALKED_MAX: usize = 4096;

/// The most ranges of positions that are kept of what one peer lacks: a mebibyte. If it lacks more, what came here first is
/// sent, and then it asks anew.
const RANGES_KEPT_MAX: usize = 1 << 16;

impl PublicChains {
    pub(super) fn serve(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        have: &[BlockId],
    ) -> Result<(), PublicError> {
        if self.may_ask(desk, peer, have.len().saturating_add(1)) {
            self.look_for(desk, peer, chain, have)
        } else {
            Ok(())
        }
    }

    /// Looks for what a peer lacks that has these blocks, and sends it once that is clear. What it asked about the chain
    /// before is overtaken.
    pub(super) fn look_for(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        have: &[BlockId],
    ) -> Result<(), PublicError> {
        let mut has_any = false;
        for id in have {
            has_any = has_any || chains::contains_on(desk.view, chain, *id)?;
        }
        // Who has none is not worth a walk: everything is one range.
        if !has_any {
            let length = chains::length(desk.view, chain)?;
            return self.serve_ranges(desk, peer, chain, (length > 0).then_some((0, length)).into_iter().collect());
        }
        let search = Difference::new(desk.view, chain, have, RANGES_KEPT_MAX)?;
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        known.transfers.remove(&chain);
        if let Some((_, before)) = known.searches.get_mut(&chain) {
            // Its timer finds this one.
            *before = search;
            return Ok(());
        }
        self.searched = self.searched.wrapping_add(1);
        let number = self.searched;
        known.searches.insert(chain, (number, search));
        self.search(desk, peer, chain, number)
    }

    /// Goes on with a search for what a peer lacks, as far as one step and its share of work allow.
    pub(super) fn search(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        number: u64,
    ) -> Result<(), PublicError> {
        let may = self.may_have_work_done(desk, peer);
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        let Some((_, search)) = known.searches.get_mut(&chain).filter(|(of, _)| *of == number) else { return Ok(()) };
        let timer = ChainTimer::Search { peer, chain, number };
        if !may {
            self.reached(ChainLimit::Work);
            desk.out.push(ChainEffect::Timer { after_ms: pause_ms(1), timer });
            return Ok(());
        }
        let looks = search.go_on(desk.view, WALKED_MAX)?;
        if looks >= WALKED_MAX {
            self.worked(peer, looks);
            desk.out.push(ChainEffect::Timer { after_ms: 0, timer });
            return Ok(());
        }
        let ranges = known.searches.remove(&chain).map(|(_, search)| search.into_ranges());
        self.worked(peer, looks);
        self.serve_ranges(desk, peer, chain, ranges.unwrap_or_default())
    }

    pub(super) fn serve_ranges(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        ranges: VecDeque<(u64, u64)>,
    ) -> Result<(), PublicError> {
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        known.transfers.insert(chain, ranges);
        self.serve_more(desk, peer, chain)
    }

    /// A peer asks for the next portion of what it lacks. One that waits for its turn goes on waiting.
    pub(super) fn asked_for_more(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
    ) -> Result<(), PublicError> {
        if self.waits_for_turn(peer, chain) { Ok(()) } else { self.serve_more(desk, peer, chain) }
    }

    /// Sends the next portion of what a peer lacks: that it was looked for allows it, whatever its share of work is by now, as
    /// long as it may be sent so many bytes.
    pub(super) fn serve_more(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId) -> Result<(), PublicError> {
        let first = self.peers.get(&peer).and_then(|known| known.transfers.get(&chain)).and_then(VecDeque::front);
        if let Some((position, _)) = first.copied()
            && !self.may_be_sent(desk, peer, chain, position)
        {
            return Ok(());
        }
        let ranges = self.peers.get_mut(&peer).and_then(|known| known.transfers.remove(&chain)).unwrap_or_default();
        let mut ranges: VecDeque<(u64, u64)> = ranges;
        let mut portion = Portion::default();
        let mut blocks = Vec::new();
        let mut bytes = 0_usize;
        while bytes < PORTION_BYTES {
            let Some((from, to)) = ranges.pop_front() else { break };
            let Some(stored) = chains::block_at(desk.view, chain, from)? else { continue };
            let wire = WireBlock { block: stored.block.raw().clone(), attachment: None, foreign: Vec::new() };
            let size = wire.bytes();
            // A portion with a large block behind others would not fit into a frame.
            if !blocks.is_empty() && bytes.saturating_add(size) > PORTION_BYTES.saturating_mul(2) {
                ranges.push_front((from, to));
                break;
            }
            if from.saturating_add(1) < to {
                ranges.push_front((from.saturating_add(1), to));
            }
            bytes = bytes.saturating_add(size);
            self.sends(peer, chain, from, size, &mut portion);
            blocks.push(wire);
        }
        self.has_been_sent(desk, peer, chain, &portion);
        let left = sync::blocks_in(&ranges);
        if left > 0 {
            self.reached(ChainLimit::Portion);
        }
        // Reading them is work, too.
        self.worked(peer, blocks.len());
        if let Some(known) = self.peers.get_mut(&peer).filter(|_| left > 0) {
            known.transfers.insert(chain, ranges);
        }
        self.tell(desk, peer, &PublicMessage::Sync(SyncMessage::Portion { chain, blocks, left }));
        Ok(())
    }
}
