//! Blocks that wait for their parents: bounded, with a quota for each peer.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::{BlockId, PeerId};

/// The most bytes of memory that the orphans of one peer may take. What is evicted is asked for again by id.
pub const ORPHAN_BYTES_PER_PEER_MAX: usize = 4 * 1024 * 1024;

/// The memory that a block takes here by its entries: in its share by id and by number, and among those that are free. The
/// leaf of a map has room for 11, and may hold 5.
const ENTRIES_BYTES: usize = 512;

/// The memory that a missing parent takes: its id at the block, and an entry of three ids among those that are awaited, in a
/// leaf that has room for 11 and may hold 5.
const MISSING_BYTES: usize = 32 + 96 * 11 / 5 + 32;

struct Orphan<T> {
    block: T,
    /// What it takes of its sender's quota.
    bytes: usize,
    /// Each once, ascending.
    missing: Vec<BlockId>,
    /// Its place in its share's order.
    number: u64,
}

/// Blocks that wait for others, by the peer that sent them. A peer fills its own quota only, so none can push out what
/// another sent, but where a bound for all is reached: then whoever has sent most makes room.
///
/// A block may also wait for itself: it is held until somebody names it, and [`Orphans::release`] frees it. What waits for
/// nothing any more is free: it stays in the pool, and counts there, until [`Orphans::next_free`] takes it out. So who
/// takes blocks in decides how many at once.
///
/// **Invariant:** the pool holds at most [`ORPHAN_BYTES_PER_PEER_MAX`] of memory for each connected peer, what it takes itself
/// for a block and for each parent that is missing included; [`Orphans::forget`] ends a peer's share.
pub struct Orphans<T> {
    peers: BTreeMap<PeerId, Share<T>>,
    /// Which block is awaited, and who waits for it: whose block, and which. One flat set, because a set for each block
    /// would cost the most where the least waits for it: for parents that a peer invented.
    awaited: BTreeSet<(BlockId, PeerId, BlockId)>,
    /// Blocks that wait for nothing any more.
    free: BTreeSet<(PeerId, BlockId)>,
    /// The number of the next block.
    next: u64,
    bytes: usize,
    bytes_max: usize,
}

struct Share<T> {
    /// Boxed, so that a map's leaf with room to spare is small.
    blocks: BTreeMap<BlockId, Box<Orphan<T>>>,
    /// By number: the oldest first.
    order: BTreeMap<u64, BlockId>,
    bytes: usize,
}

impl<T> Default for Share<T> {
    fn default() -> Self {
        Self { blocks: BTreeMap::new(), order: BTreeMap::new(), bytes: 0 }
    }
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
        Self { peers: BTreeMap::new(), awaited: BTreeSet::new(), free: BTreeSet::new(), next: 0, bytes: 0, bytes_max }
    }

    /// Lets a block wait for `missing`. `block_bytes` is the memory that the block has allocated; what the pool itself takes
    /// for it, and for each that is missing, is added here. Evicts the peer's oldest ones when its quota is full; a block
    /// that alone exceeds the quota is dropped. Returns how many were evicted or dropped.
    pub fn add(
        &mut self,
        peer: PeerId,
        id: BlockId,
        block: T,
        block_bytes: usize,
        missing: BTreeSet<BlockId>,
    ) -> usize {
        let itself = size_of::<Orphan<T>>().saturating_add(ENTRIES_BYTES);
        let bytes = missing.len().saturating_mul(MISSING_BYTES).saturating_add(itself).saturating_add(block_bytes);
        if bytes > ORPHAN_BYTES_PER_PEER_MAX || bytes > self.bytes_max {
            return 1;
        }
        if self.peers.get(&peer).is_some_and(|share| share.blocks.contains_key(&id)) {
            return 0;
        }
        let mut evicted = 0_usize;
        while self.peers.get(&peer).is_some_and(|share| {
            share.bytes.saturating_add(bytes) > ORPHAN_BYTES_PER_PEER_MAX && !walytis_core::mutant!(ForgetOrphanQuota)
        }) {
            evicted = evicted.saturating_add(self.evict(peer));
        }
        while self.bytes.saturating_add(bytes) > self.bytes_max && !walytis_core::mutant!(ForgetOrphanBound) {
            let largest = self.peers.iter().max_by_key(|(_, share)| share.bytes).map(|(peer, _)| *peer);
            let Some(largest) = largest else { break };
            evicted = evicted.saturating_add(self.evict(largest));
        }
        let missing: Vec<BlockId> = missing.into_iter().collect();
        self.awaited.extend(missing.iter().map(|awaited| (*awaited, peer, id)));
        self.bytes = self.bytes.saturating_add(bytes);
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        // Evicting may have ended its share.
        let share = self.peers.entry(peer).or_default();
        share.bytes = share.bytes.saturating_add(bytes);
        share.order.insert(number, id);
        share.blocks.insert(id, Box::new(Orphan { block, bytes, missing, number }));
        evicted
    }

    /// Drops a peer's oldest block. Returns how many that were.
    fn evict(&mut self, peer: PeerId) -> usize {
        let oldest = self.peers.get(&peer).and_then(|share| share.order.values().next().copied());
        oldest.map_or(0, |oldest| usize::from(self.take(peer, oldest).is_some()))
    }

    /// Takes a block out, whatever it waits for.
    fn take(&mut self, peer: PeerId, id: BlockId) -> Option<T> {
        let share = self.peers.get_mut(&peer)?;
        let orphan = share.blocks.remove(&id)?;
        share.bytes = share.bytes.saturating_sub(orphan.bytes);
        share.order.remove(&orphan.number);
        if share.blocks.is_empty() {
            self.peers.remove(&peer);
        }
        self.free.remove(&(peer, id));
        self.bytes = self.bytes.saturating_sub(orphan.bytes);
        for awaited in &orphan.missing {
            self.awaited.remove(&(*awaited, peer, id));
        }
        Some(orphan.block)
    }

    /// Who waits for a block: whose block, and which.
    fn who_awaits(&self, id: BlockId) -> impl Iterator<Item = (PeerId, BlockId)> {
        let (first, last) = (PeerId([0; 32]), PeerId([u8::MAX; 32]));
        let of_this = self.awaited.range((id, first, BlockId([0; 32]))..=(id, last, BlockId([u8::MAX; 32])));
        of_this.map(|(_, peer, waiting)| (*peer, *waiting))
    }

    /// Notes that a block is in the set now: those that waited for nothing else are free.
    pub fn arrived(&mut self, id: BlockId) {
        for who in self.who_awaits(id).collect::<Vec<_>>() {
            self.awaits_no_longer(who, id);
        }
    }

    /// Frees a block that waits for itself. Returns whether there is one.
    pub fn release(&mut self, id: BlockId) -> bool {
        let Some(held) = self.who_awaits(id).find(|(_, other)| *other == id) else { return false };
        self.awaits_no_longer(held, id);
        true
    }

    /// Frees the blocks that wait for themselves of which this holds.
    pub fn release_those(&mut self, mut holds: impl FnMut(&T) -> bool) {
        let all = self.peers.values().flat_map(|share| &share.blocks);
        let held = all.filter(|(id, orphan)| orphan.missing.contains(id) && holds(&orphan.block));
        for id in held.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.release(id);
        }
    }

    /// A waiting block lacks one less.
    fn awaits_no_longer(&mut self, who: (PeerId, BlockId), id: BlockId) {
        self.awaited.remove(&(id, who.0, who.1));
        let orphan = self.peers.get_mut(&who.0).and_then(|share| share.blocks.get_mut(&who.1));
        let Some(orphan) = orphan else { return };
        orphan.missing.retain(|missing| *missing != id);
        if orphan.missing.is_empty() {
            self.free.insert(who);
        }
    }

    /// Takes out a block that waits for nothing any more.
    pub fn next_free(&mut self) -> Option<(PeerId, T)> {
        let (peer, id) = self.free.pop_first()?;
        self.take(peer, id).map(|block| (peer, block))
    }

    /// Whether a block waits for nothing any more.
    #[must_use]
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether one of the blocks that a peer sent, and that lack others, is one of which this holds.
    pub fn some_waits(&self, peer: PeerId, mut holds: impl FnMut(&T) -> bool) -> bool {
        let mut waits = |id: &BlockId, orphan: &Orphan<T>| {
            !orphan.missing.is_empty() && !orphan.missing.contains(id) && holds(&orphan.block)
        };
        self.peers.get(&peer).is_some_and(|share| share.blocks.iter().any(|(id, orphan)| waits(id, orphan)))
    }

    /// Whether a block waits for this one, other than itself.
    #[must_use]
    pub fn is_awaited(&self, id: BlockId) -> bool {
        self.who_awaits(id).any(|(_, other)| other != id)
    }

    /// Whether a block is in the pool, whatever it waits for.
    #[must_use]
    pub fn contains(&self, id: BlockId) -> bool {
        self.peers.values().any(|share| share.blocks.contains_key(&id))
    }

    /// Whether a block waits for itself alone.
    #[must_use]
    pub fn is_held(&self, id: BlockId) -> bool {
        self.who_awaits(id).any(|(_, other)| other == id)
    }

    /// Drops everything that a peer sent.
    pub fn forget(&mut self, peer: PeerId) {
        let Some(share) = self.peers.remove(&peer) else { return };
        self.bytes = self.bytes.saturating_sub(share.bytes);
        for (id, orphan) in share.blocks {
            self.free.remove(&(peer, id));
            for awaited in orphan.missing {
                self.awaited.remove(&(awaited, peer, id));
            }
        }
    }

    /// Drops the blocks of which this holds.
    pub fn drop_those(&mut self, mut holds: impl FnMut(&T) -> bool) {
        let all =
            self.peers.iter().flat_map(|(peer, share)| share.blocks.iter().map(|(id, orphan)| (*peer, *id, orphan)));
        let those = all.filter(|(_, _, orphan)| holds(&orphan.block));
        for (peer, id) in those.map(|(peer, id, _)| (peer, id)).collect::<Vec<_>>() {
            self.take(peer, id);
        }
    }

    /// How many bytes of memory they take, each counted when it came.
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
            let bytes = ORPHAN_BYTES_PER_PEER_MAX / 50 - size_of::<Orphan<u32>>() - ENTRIES_BYTES - MISSING_BYTES;
            evicted += pool.add(flooder, BlockId([number; 32]), 1, bytes, missing.clone());
        }
        assert_eq!((pool.len(), evicted), (51, 150));
        pool.arrived(BlockId([9; 32]));
        let free = all_free(&mut pool);
        assert_eq!(free.len(), 51);
        assert!(free.contains(&(honest, 0)) && pool.is_empty() && pool.bytes() == 0);
        assert_eq!(pool.add(flooder, BlockId([7; 32]), 1, ORPHAN_BYTES_PER_PEER_MAX + 1, missing), 1);
    }

    #[test]
    fn a_bound_for_all_takes_from_who_sent_most() {
        let (few, many) = (PeerId([1; 32]), PeerId([2; 32]));
        let missing = BTreeSet::from([BlockId([9; 32])]);
        let mut alone = Orphans::default();
        alone.add(few, BlockId([0; 32]), 0, 100, missing.clone());
        let one = alone.bytes();
        let mut pool = Orphans::bounded(10 * one);
        assert_eq!(pool.add(few, BlockId([0; 32]), 0, 100, missing.clone()), 0);
        let evicted: usize =
            (1..=20).map(|number| pool.add(many, BlockId([number; 32]), 1, 100, missing.clone())).sum();
        assert_eq!((pool.len(), pool.bytes(), evicted), (10, 10 * one, 11));
        pool.forget(many);
        assert_eq!((pool.len(), pool.bytes()), (1, one));
        pool.arrived(BlockId([9; 32]));
        assert!(pool.has_free() && pool.bytes() == one, "what is free still counts");
        assert_eq!(all_free(&mut pool), [(few, 0)]);
    }

    #[test]
    fn what_waits_for_itself_is_held_until_it_is_named() {
        let (peer, held, child) = (PeerId([1; 32]), BlockId([1; 32]), BlockId([2; 32]));
        let mut pool = Orphans::default();
        pool.add(peer, held, "held", 10, BTreeSet::from([held]));
        assert!(pool.is_held(held) && !pool.is_awaited(held));
        pool.add(peer, child, "child", 10, BTreeSet::from([held]));
        assert!(pool.is_awaited(held) && !pool.is_held(child));
        assert!(pool.some_waits(peer, |block| *block == "child") && !pool.some_waits(peer, |block| *block == "held"));
        assert!(pool.release(held) && !pool.release(held));
        assert_eq!(all_free(&mut pool), [(peer, "held")]);
        pool.arrived(held);
        assert_eq!(all_free(&mut pool), [(peer, "child")]);
        assert!(pool.is_empty() && pool.bytes() == 0);
    }

    #[test]
    fn what_is_dropped_or_forgotten_is_neither_free_nor_awaited() {
        let (a, b, parent) = (PeerId([1; 32]), PeerId([2; 32]), BlockId([9; 32]));
        let mut pool = Orphans::default();
        for (peer, number) in [(a, 1), (a, 2), (b, 3), (b, 4)] {
            pool.add(peer, BlockId([number; 32]), number, 10, BTreeSet::from([parent]));
        }
        pool.add(b, BlockId([5; 32]), 5, 10, BTreeSet::from([BlockId([5; 32])]));
        pool.arrived(parent);
        pool.forget(a);
        pool.drop_those(|number| *number == 3);
        pool.release_those(|number| *number == 4);
        assert_eq!(all_free(&mut pool), [(b, 4)]);
        pool.release_those(|number| *number == 5);
        assert_eq!(all_free(&mut pool), [(b, 5)]);
        assert!(pool.is_empty() && pool.bytes() == 0 && !pool.is_awaited(parent));
    }

    fn all_free<T>(pool: &mut Orphans<T>) -> Vec<(PeerId, T)> {
        std::iter::from_fn(|| pool.next_free()).collect()
    }
}
