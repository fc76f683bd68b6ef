//! R1: what blocks that wait take of a node's memory is what their quota says. One test in this file: it counts the whole
//! process.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::collections::BTreeSet;

use peak_alloc::PeakAlloc;
use walytis_core::limits::{PARENTS_MAX, TOPICS_MAX};
use walytis_core::{AuthorSecret, BlockId, BlockKind, ChainId, Draft, PeerId, Place, Timestamp, VerifiedBlock};
use walytis_engine::public::ORPHAN_BYTES_MAX;
use walytis_engine::{ORPHAN_BYTES_PER_PEER_MAX, Orphans};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Ids that nobody has, others for each number.
fn unknown(number: u32, count: usize) -> impl Iterator<Item = BlockId> {
    (0..count).map(move |place| BlockId(*blake3::hash(format!("{number} {place}").as_bytes()).as_bytes()))
}

/// A block behind so many parents that nobody has, with so many topics.
fn orphan(parents: usize, topics: usize) -> VerifiedBlock {
    let mut parents: Vec<BlockId> = unknown(0, parents).collect();
    let previous = parents.pop().map(|previous| (previous, 0));
    parents.sort_unstable();
    let place = Place::After { chain: ChainId([7; 32]), parents, previous };
    let topics = vec![vec![1]; topics];
    let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics, content: b"x".to_vec() };
    draft.sign_alone(&AuthorSecret::from_seed(&[1; 32]), Timestamp(1)).expect("a block that keeps the rules")
}

#[test]
fn what_waits_takes_no_more_memory_than_its_quota_says() {
    let cases = [(PARENTS_MAX + 1, 0), (1, 0), (1, TOPICS_MAX), (2, 1)];
    for (parents, topics) in cases {
        let block = orphan(parents, topics);
        let before = MEMORY.current_usage();
        let mut pool: Orphans<(ChainId, VerifiedBlock)> = Orphans::bounded(ORPHAN_BYTES_MAX);
        let (mut number, mut filled) = (0_u32, 0);
        // More than may be held in all, each peer's share until something of its own has to go.
        for peer in 0..ORPHAN_BYTES_MAX / ORPHAN_BYTES_PER_PEER_MAX + 2 {
            let peer = PeerId([u8::try_from(peer).expect("few"); 32]);
            let most = pool.bytes() + ORPHAN_BYTES_PER_PEER_MAX;
            loop {
                number += 1;
                // Signing each of them would take long. What a block takes does not depend on what it says.
                let (block, missing) = (block.clone(), unknown(number, parents).collect::<BTreeSet<_>>());
                let id = BlockId(*blake3::hash(&number.to_be_bytes()).as_bytes());
                let bytes = block.memory_bytes();
                if pool.add(peer, id, (ChainId([7; 32]), block), bytes, missing) > 0 {
                    break;
                }
                assert!(pool.bytes() <= most, "a peer has its quota");
            }
            filled += 1;
        }
        let held = MEMORY.current_usage().saturating_sub(before);
        let counted = pool.bytes();
        assert!(filled > 16 && counted > ORPHAN_BYTES_MAX / 10 * 9, "it is full");
        assert!(held <= counted && counted <= ORPHAN_BYTES_MAX, "{held} bytes are held, and {counted} counted");
        drop(pool);
    }
}
