//! What `check` holds does not grow with a generation. One test in this file: it counts the whole process.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::sync::Arc;

use offchain_testkit::MemoryStore;
use peak_alloc::PeakAlloc;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::query::{self, Order, Query};
use walytis_core::{AuthorSecret, BlockKind, ChainId, Draft, Pending, Place, Store, Timestamp, chains};
use walytis_offchain::check;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const BLOCKS: u64 = 6_000;
const CONTENT_BYTES: usize = 8_000;
const HELD_MAX: usize = 16 * 1024 * 1024;

/// A public chain of so many blocks side by side, each by an author of its own.
fn fan(store: &Arc<dyn Store>) -> ChainId {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut view = Pending::new(Arc::clone(store));
    let mut chain = None;
    for number in 0..=BLOCKS {
        let (place, content) = match chain {
            None => (Place::Genesis([1; 32]), vec![1, 0]),
            Some(chain) => {
                let parents = vec![ChainId::into(chain)];
                (Place::After { chain, parents, previous: None }, vec![1; CONTENT_BYTES])
            }
        };
        let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics: Vec::new(), content };
        let author = AuthorSecret::generate(&mut rng);
        let block = draft.sign_alone(&author, Timestamp(number)).expect("a block that keeps the rules");
        chains::insert(&mut view, &block).expect("its parent is there");
        chain.get_or_insert(block.chain());
        if number % 500 == 0 {
            let (number, batch) = view.close_step().expect("some blocks");
            store.commit(&batch).expect("a store");
            view.committed(number);
        }
    }
    chain.expect("a genesis")
}

#[test]
fn r1_checking_thousands_of_blocks_side_by_side_holds_a_page_of_them() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let chain = fan(&store);
    // A listing over so wide a generation comes to an end.
    let (view, query) = (Pending::new(Arc::clone(&store)), Query { order: Order::Listing, ..Query::default() });
    let (mut found, mut after) = (0, None);
    for pages in 0.. {
        assert!(pages < 40, "it goes on and on");
        let page = query::page(&view, chain, &query, after, 4096).expect("a sound store");
        found += page.blocks.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(u64::try_from(found), Ok(BLOCKS + 1));
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let report = check(Arc::clone(&store), &mut |_, _| {}).expect("the store can be read");
    assert_eq!((report.problems, report.blocks), (Vec::new(), BLOCKS + 1));
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(held < HELD_MAX, "{held} bytes");
}
