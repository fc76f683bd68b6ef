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
/// another sent, but where a bound for all is reached: then whoever has sent most makes room.
///
/// A block may also wait for itself: it is held until somebody names it, and [`Orphans::take_held`] takes it out.
///
/// **Invariant:** the pool holds at most [`ORPHAN_BYTES_PER_PEER_MAX`] for each connected peer; [`Orphans::forget`] ends
/// a peer's share.
pub struct Orphans<T> {
    peers: BTreeMap<PeerId, Share<T>>,
    /// Who waits for a block.
    awaited: BTreeMap<BlockId, BTreeSet<(PeerId, BlockId)>>,
    bytes: usize,
    bytes_max: usize,
}

struct Share<T> {
    blocks: BTreeMap<BlockId, Orphan<T>>,
    order: VecDeque<BlockId>,
    bytes: usize,
}

impl<T> Default for Orphans<T> {
    fn default() -> Self {
        Self::bounded(usize::MAX)
    }
}

impl<T> Orphans<T> {
    /// A pool that holds at most so many bytes of all peers together.
    #[must_use]
    pub const fn bounded(bytes_max: usize) -> Self {
        Self { peers: BTreeMap::new(), awaited: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// Lets a block wait for `missing`. Evicts the peer's oldest ones when its quota is full; a block that alone
    /// exceeds the quota is dropped. Returns how many were evicted or dropped.
    pub fn add(&mut self, peer: PeerId, id: BlockId, block: T, bytes: usize, missing: BTreeSet<BlockId>) -> usize {
        if bytes > ORPHAN_BYTES_PER_PEER_MAX || bytes > self.bytes_max {
            return 1;
        }
        let share = self.peers.entry(peer).or_insert_with(|| Share {
            blocks: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        });
        if share.blocks.contains_key(&id) {
            return 0;
        }
        let mut evicted = 0_usize;
        while self.peers.get(&peer).is_some_and(|share| share.bytes.saturating_add(bytes) > ORPHAN_BYTES_PER_PEER_MAX) {
            evicted = evicted.saturating_add(self.evict(peer));
        }
        while self.bytes.saturating_add(bytes) > self.bytes_max {
            let largest = self.peers.iter().max_by_key(|(_, share)| share.bytes).map(|(peer, _)| *peer);
            let Some(largest) = largest else { break };
            evicted = evicted.saturating_add(self.evict(largest));
        }
        for awaited in &missing {
            self.awaited.entry(*awaited).or_default().insert((peer, id));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(share) = self.peers.get_mut(&peer) {
            share.bytes = share.bytes.saturating_add(bytes);
            share.order.push_back(id);
            share.blocks.insert(id, Orphan { block, bytes, missing });
        }
        evicted
    }

    /// Drops a peer's oldest block. Returns how many that were.
    fn evict(&mut self, peer: PeerId) -> usize {
        let oldest = self.peers.get(&peer).and_then(|share| share.order.front().copied());
        oldest.map_or(0, |oldest| usize::from(self.take(peer, oldest).is_some()))
    }

    /// Takes a block out, whatever it waits for.
    fn take(&mut self, peer: PeerId, id: BlockId) -> Option<T> {
        let share = self.peers.get_mut(&peer)?;
        let orphan = share.blocks.remove(&id)?;
        share.bytes = share.bytes.saturating_sub(orphan.bytes);
        if share.order.front() == Some(&id) {
            share.order.pop_front();
        } else {
            share.order.retain(|waiting| *waiting != id);
        }
        self.bytes = self.bytes.saturating_sub(orphan.bytes);
        for awaited in &orphan.missing {
            self.no_longer_awaits(*awaited, (peer, id));
        }
        Some(orphan.block)
    }

    fn no_longer_awaits(&mut self, awaited: BlockId, who: (PeerId, BlockId)) {
        if let Some(waiting) = self.awaited.get_mut(&awaited) {
            waiting.remove(&who);
            if waiting.is_empty() {
                self.awaited.remove(&awaited);
            }
        }
    }

    /// Notes that a block is in the set now, and takes out the orphans that waited for nothing else.
    pub fn arrived(&mut self, id: BlockId) -> Vec<(PeerId, T)> {
        let mut free = Vec::new();
        for (peer, orphan_id) in self.awaited.remove(&id).unwrap_or_default() {
            let orphan = self.peers.get_mut(&peer).and_then(|share| share.blocks.get_mut(&orphan_id));
            let Some(orphan) = orphan else { continue };
            orphan.missing.remove(&id);
            if orphan.missing.is_empty()
                && let Some(block) = self.take(peer, orphan_id)
            {
                free.push((peer, block));
            }
        }
        free
    }

    /// Whether a block waits for this one, other than itself.
    #[must_use]
    pub fn is_awaited(&self, id: BlockId) -> bool {
        self.awaited.get(&id).is_some_and(|waiting| waiting.iter().any(|(_, other)| *other != id))
    }

    /// Whether a block waits for itself alone.
    #[must_use]
    pub fn is_held(&self, id: BlockId) -> bool {
        self.awaited.get(&id).is_some_and(|waiting| waiting.iter().any(|(_, other)| *other == id))
    }

    /// Takes out a block that waits for itself.
    pub fn take_held(&mut self, id: BlockId) -> Option<(PeerId, T)> {
        let peer = self.awaited.get(&id)?.iter().find(|(_, other)| *other == id).map(|(peer, _)| *peer)?;
        self.take(peer, id).map(|block| (peer, block))
    }

    /// Drops everything that a peer sent.
    pub fn forget(&mut self, peer: PeerId) {
        let Some(share) = self.peers.remove(&peer) else { return };
        self.bytes = self.bytes.saturating_sub(share.bytes);
        for (id, orphan) in share.blocks {
            for awaited in orphan.missing {
                self.no_longer_awaits(awaited, (peer, id));
            }
        }
    }

    /// How many bytes they take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
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

    #[test]
    fn a_bound_for_all_takes_from_who_sent_most() {
        let (few, many) = (PeerId([1; 32]), PeerId([2; 32]));
        let missing = BTreeSet::from([BlockId([9; 32])]);
        let mut pool = Orphans::bounded(1_000);
        assert_eq!(pool.add(few, BlockId([0; 32]), 0, 100, missing.clone()), 0);
        let evicted: usize =
            (1..=20).map(|number| pool.add(many, BlockId([number; 32]), 1, 100, missing.clone())).sum();
        assert_eq!((pool.len(), pool.bytes(), evicted), (10, 1_000, 11));
        pool.forget(many);
        assert_eq!((pool.len(), pool.bytes()), (1, 100));
        assert_eq!(pool.arrived(BlockId([9; 32])), [(few, 0)]);
    }

    #[test]
    fn what_waits_for_itself_is_held_until_it_is_named() {
        let (peer, held, child) = (PeerId([1; 32]), BlockId([1; 32]), BlockId([2; 32]));
        let mut pool = Orphans::default();
        pool.add(peer, held, "held", 10, BTreeSet::from([held]));
        assert!(pool.is_held(held) && !pool.is_awaited(held));
        pool.add(peer, child, "child", 10, BTreeSet::from([held]));
        assert!(pool.is_awaited(held) && !pool.is_held(child));
        assert_eq!(pool.take_held(held), Some((peer, "held")));
        assert_eq!(pool.take_held(held), None);
        assert_eq!(pool.arrived(held), [(peer, "child")]);
        assert!(pool.is_empty() && pool.bytes() == 0);
    }
}
