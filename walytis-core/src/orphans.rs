//! Blocks that wait for their parents: bounded, with a quota for each peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{BlockId, PeerId};

/// The most bytes that the orphans of one peer may take. What is evicted is asked for again by id.
pub const ORPHAN_BYTES_PER_PEER_MAX: usize = 4 * 1024 * 1024;

struct Orphan<T> {
    block: T,
    bytes: usize,
    missing: BTreeSet<BlockId>,
}

/// Blocks that wait for others, by the peer that sent them. A peer fills its own quota only, so none can push out what
/// another sent.
///
/// **Invariant:** the pool holds at most [`ORPHAN_BYTES_PER_PEER_MAX`] for each connected peer; [`Orphans::forget`] ends
/// a peer's share.
pub struct Orphans<T> {
    peers: BTreeMap<PeerId, Share<T>>,
}

struct Share<T> {
    blocks: BTreeMap<BlockId, Orphan<T>>,
    order: VecDeque<BlockId>,
    bytes: usize,
}

impl<T> Default for Orphans<T> {
    fn default() -> Self {
        Self { peers: BTreeMap::new() }
    }
}

impl<T> Orphans<T> {
    /// Lets a block wait for `missing`. Evicts the peer's oldest ones when its quota is full; a block that alone
    /// exceeds the quota is dropped. Returns how many were evicted or dropped.
    pub fn add(&mut self, peer: PeerId, id: BlockId, block: T, bytes: usize, missing: BTreeSet<BlockId>) -> usize {
        let share = self.peers.entry(peer).or_insert_with(|| Share {
            blocks: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        });
        if bytes > ORPHAN_BYTES_PER_PEER_MAX {
            return 1;
        }
        if share.blocks.contains_key(&id) {
            return 0;
        }
        let mut evicted = 0_usize;
        while share.bytes.saturating_add(bytes) > ORPHAN_BYTES_PER_PEER_MAX {
            let Some(oldest) = share.order.pop_front() else { break };
            if let Some(orphan) = share.blocks.remove(&oldest) {
                share.bytes = share.bytes.saturating_sub(orphan.bytes);
                evicted = evicted.saturating_add(1);
            }
        }
        share.bytes = share.bytes.saturating_add(bytes);
        share.order.push_back(id);
        share.blocks.insert(id, Orphan { block, bytes, missing });
        evicted
    }

    /// Notes that a block is in the set now, and takes out the orphans that waited for nothing else.
    pub fn arrived(&mut self, id: BlockId) -> Vec<(PeerId, T)> {
        let mut free = Vec::new();
        for (peer, share) in &mut self.peers {
            let mut ready = Vec::new();
            for (orphan_id, orphan) in &mut share.blocks {
                if orphan.missing.remove(&id) && orphan.missing.is_empty() {
                    ready.push(*orphan_id);
                }
            }
            for orphan_id in ready {
                if let Some(orphan) = share.blocks.remove(&orphan_id) {
                    share.bytes = share.bytes.saturating_sub(orphan.bytes);
                    share.order.retain(|waiting| *waiting != orphan_id);
                    free.push((*peer, orphan.block));
                }
            }
        }
        free
    }

    /// Drops everything that a peer sent.
    pub fn forget(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// How many bytes they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.peers.values().map(|share| share.bytes).sum()
    }

    /// How many blocks wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.values().map(|share| share.blocks.len()).sum()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_orphans_fills_only_its_senders_quota() {
        let (honest, flooder) = (PeerId([1; 32]), PeerId([2; 32]));
        let missing = BTreeSet::from([BlockId([9; 32])]);
        let mut pool = Orphans::default();
        assert_eq!(pool.add(honest, BlockId([0; 32]), 0_u32, 100, missing.clone()), 0);
        let mut evicted = 0;
        for number in 1..=200_u8 {
            evicted += pool.add(flooder, BlockId([number; 32]), 1, ORPHAN_BYTES_PER_PEER_MAX / 50, missing.clone());
        }
        assert_eq!((pool.len(), evicted), (51, 150));
        let free = pool.arrived(BlockId([9; 32]));
        assert_eq!(free.len(), 51);
        assert!(free.contains(&(honest, 0)) && pool.is_empty());
        assert_eq!(pool.add(flooder, BlockId([7; 32]), 1, ORPHAN_BYTES_PER_PEER_MAX + 1, missing), 1);
    }
}
