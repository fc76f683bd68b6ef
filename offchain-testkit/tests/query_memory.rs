//! What a query holds does not grow with the chain. One test in this file: it counts the whole process.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::sync::Arc;

use offchain_store::{FileDisk, RedbStore};
use peak_alloc::PeakAlloc;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use walytis_core::query::{self, Order, Query};
use walytis_core::{
    AuthorSecret, BlockKind, ChainId, Direction, Draft, HybridSecret, Pending, Place, Store, Timestamp, chains,
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const BLOCKS: u64 = 100_000;
const MIB: usize = 1024 * 1024;
/// What redb keeps of the file, and a page of blocks.
const HELD_MAX: usize = 16 * MIB + 2 * MIB;

/// A chain of one author's blocks, every thousandth with a topic.
fn chain(store: &Arc<RedbStore>) -> ChainId {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (author, device) = (AuthorSecret::generate(&mut rng), HybridSecret::generate(&mut rng));
    let mut view = Pending::new(Arc::clone(store) as Arc<dyn Store>);
    let mut place = Place::Genesis([1; 32]);
    let mut chain = ChainId::ZERO;
    for number in 0..BLOCKS {
        let topics = if number % 1_000 == 1 { vec![b"rare".to_vec()] } else { Vec::new() };
        let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics, content: vec![1; 400] };
        let block = draft.sign(&author, &device, Timestamp(number), &mut rng).expect("a block that keeps the rules");
        chains::insert(&mut view, &block).expect("its parent is there");
        chain = block.chain();
        place = Place::After { chain, parents: Vec::new(), previous: Some((block.id(), number)) };
        if number % 1_000 == 999 {
            let (number, batch) = view.close_step().expect("a thousand blocks");
            store.commit(&batch).expect("a sound disk");
            view.committed(number);
        }
    }
    chain
}

#[test]
fn a_query_over_a_hundred_thousand_blocks_holds_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    std::fs::File::create_new(&path).expect("a file");
    let open = || Arc::new(RedbStore::on_disk(FileDisk::open(&path).expect("a file")).expect("a sound store"));
    let chain = chain(&open());
    assert!(path.metadata().expect("a file").len() > 4 * HELD_MAX as u64, "too small a chain to show it");

    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let view = Pending::new(open());
    let topic = |query| Query { topics: vec![b"rare".to_vec()], ..query };
    let listing = Query { order: Order::Listing, ..Query::default() };
    let backwards = Query { direction: Direction::Descending, ..Query::default() };
    let cases = [
        (Query::default(), BLOCKS),
        (backwards, BLOCKS),
        (listing.clone(), BLOCKS),
        (topic(Query::default()), BLOCKS / 1_000),
        (topic(listing), BLOCKS / 1_000),
    ];
    for (query, expected) in cases {
        let (mut found, mut after) = (0_u64, None);
        loop {
            let page = query::page(&view, chain, &query, after, 256).expect("a sound store");
            found += u64::try_from(page.blocks.len()).expect("few");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
        assert_eq!(query::count(&view, chain, &query), Ok(expected), "{query:?}");
    }
    let last = chains::heads(&view, chain).expect("a sound store")[0];
    let stands = query::ancestry(&view, chain.into(), last);
    assert_eq!(stands, Ok(Some(query::Ancestry::Before)));
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(held <= HELD_MAX, "{held} bytes");
}
