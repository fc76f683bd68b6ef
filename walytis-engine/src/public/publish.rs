//! Telling of what has just entered the set: applications that subscribed, and peers that do not know it.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChainEffect, ChainEntry, ChainTimer, Desk, PublicChains, PublicError, PublicMessage, Standing};
use crate::Ticket;
use crate::sync::{ANNOUNCE_MS, PORTION_BYTES, WireBlock};
use walytis_core::{BatchNumber, ChainId, PeerId, StoredBlock, chains, planted};

/// A block as applications see it; `None` for a genesis.
pub(super) fn entry(stored: &StoredBlock) -> Option<ChainEntry> {
    let header = stored.block.header();
    header.genesis.is_none().then(|| ChainEntry {
        id: stored.block.id(),
        generation: stored.generation,
        position: stored.position,
        author: header.author,
        sequence: header.sequence,
        created_at_ms: header.created_at_ms,
        topics: header.topics.clone(),
        content: stored.block.content().to_vec(),
    })
}

impl PublicChains {
    pub(super) fn publish(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        let mut senders: BTreeMap<ChainId, BTreeSet<PeerId>> = BTreeMap::new();
        let mut all = std::mem::take(&mut self.fresh);
        if planted!(PublicChildFirst) {
            all.reverse();
        }
        for fresh in all {
            self.deliver(desk, fresh.chain, fresh.id)?;
            // Blocks of our own were pushed.
            if let Some(from) = fresh.from {
                senders.entry(fresh.chain).or_default().insert(from);
            }
        }
        for (chain, senders) in senders {
            // What one peer sent is told to all others, what several sent to all.
            let only = if senders.len() == 1 { senders.first().copied() } else { None };
            self.announce_later(desk, chain, only);
        }
        Ok(())
    }

    /// Hands a block to whoever subscribed.
    fn deliver(&self, desk: &mut Desk<'_>, chain: ChainId, id: walytis_core::BlockId) -> Result<(), PublicError> {
        let listeners: Vec<Ticket> =
            self.subscriptions.iter().filter(|(_, of)| **of == chain).map(|(ticket, _)| *ticket).collect();
        let Some(followed) = self.chains.get(&chain).filter(|_| !listeners.is_empty()) else { return Ok(()) };
        let Some(entry) = chains::block(desk.view, id)?.as_ref().and_then(entry) else { return Ok(()) };
        if !followed.shows(&entry.author) && !planted!(ShowBlocked) {
            return Ok(());
        }
        for subscription in listeners {
            desk.out.push(ChainEffect::Delivered { subscription, entry: entry.clone() });
        }
        Ok(())
    }

    /// Notes that everybody but `from` has to hear of a chain's new heads.
    pub(super) fn announce_later(&mut self, desk: &mut Desk<'_>, chain: ChainId, from: Option<PeerId>) {
        let idle = self.announcing.is_empty();
        let others = self.peers_of(chain).into_iter().filter(|peer| Some(*peer) != from);
        self.announcing.extend(others.map(|peer| (peer, chain)));
        if idle && !self.announcing.is_empty() {
            desk.out.push(ChainEffect::Timer { after_ms: ANNOUNCE_MS, timer: ChainTimer::Announce });
        }
    }

    pub(super) fn announce(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        for (peer, chain) in std::mem::take(&mut self.announcing) {
            let follows = self.chains.get(&chain).is_some_and(|followed| followed.standing != Standing::Leaving);
            if follows && self.peers.get(&peer).is_some_and(|known| known.shared.contains(&chain)) {
                self.tell_heads(desk, peer, chain)?;
            }
        }
        Ok(())
    }

    /// Sends a new block of ours, whole, to every peer that follows the chain, once it is durable.
    pub(super) fn push(&mut self, desk: &Desk<'_>, chain: ChainId, stored: &StoredBlock) {
        if !self.peers_of(chain).is_empty() {
            let block = WireBlock { block: stored.block.raw().clone(), attachment: None, foreign: Vec::new() };
            self.unpushed.push_back((desk.view.open(), chain, block));
        }
    }

    /// All batches up to this one are durable: what is new in them is sent, and what became durable together in one
    /// message, which takes less of both sides than one each.
    pub fn committed(&mut self, desk: &mut Desk<'_>, number: BatchNumber) {
        let durable = self.unpushed.partition_point(|(batch, ..)| *batch <= number);
        let mut chains: BTreeMap<ChainId, Vec<WireBlock>> = BTreeMap::new();
        for (_, chain, block) in self.unpushed.drain(..durable) {
            chains.entry(chain).or_default().push(block);
        }
        for (chain, blocks) in chains {
            let mut rest = blocks.into_iter().peekable();
            while let Some(first) = rest.next() {
                let mut bytes = first.bytes();
                let mut together = vec![first];
                while let Some(next) = rest.next_if(|next| bytes.saturating_add(next.bytes()) <= PORTION_BYTES) {
                    bytes = bytes.saturating_add(next.bytes());
                    together.push(next);
                }
                let frame = PublicMessage::pushed(chain, together).frame();
                for peer in self.peers_of(chain) {
                    desk.out.push(ChainEffect::SendAtOnce { peer, frame: frame.clone() });
                }
            }
        }
    }
}
