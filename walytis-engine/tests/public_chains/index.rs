//! A chain as it is compared with another: what its kept sums say is what its blocks give.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use walytis_core::chains::{self, ChainIndex};
use walytis_core::reconcile::{Bound, Index, Item, Span, Sum};
use walytis_core::{AuthorSecret, BlockId, BlockKind, ChainId, Draft, Pending, Place, Store, Timestamp};

use crate::net::Memory;

fn whole() -> Span {
    Span { from: Bound::START, to: Bound::END }
}

/// A chain of 9,000 generations with 1,500 blocks beside it that came last, some generations wider than the rest.
fn chain() -> (Arc<Memory>, ChainId) {
    let store = Arc::new(Memory::default());
    let mut view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let author = AuthorSecret::from_seed(&[1; 32]);
    let mut write = |author: &AuthorSecret, place: Place| {
        let kind = BlockKind::Content;
        let draft = Draft { kind, place, foreign: vec![], topics: vec![], content: vec![1, 0] };
        let block = draft.sign_alone(author, Timestamp(0)).unwrap();
        chains::insert(&mut view, &block).unwrap();
        block
    };
    let genesis = write(&author, Place::Genesis([1; 32]));
    let chain = genesis.chain();
    let mut trunk = vec![genesis.id()];
    let mut previous = Some((genesis.id(), 0));
    for _ in 1..9_000 {
        let parents = trunk.last().copied().into_iter().collect();
        let block = write(&author, Place::After { chain, parents, previous });
        previous = Some((block.id(), block.header().sequence));
        trunk.push(block.id());
    }
    for number in 0_u64..1_500 {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let below = if number % 3 == 0 { 4_100 } else { usize::try_from(rng.next_u64() % 9_000).unwrap() };
        let parents: Vec<BlockId> = vec![trunk[below]];
        write(&AuthorSecret::from_seed(&seed), Place::After { chain, parents, previous: None });
    }
    let (_, batch) = view.close_step().unwrap();
    store.commit(&batch).unwrap();
    (store, chain)
}

fn place(rng: &mut ChaCha20Rng) -> Bound {
    let generation = match rng.next_u64() % 4 {
        0 => 4_101,
        1 => (rng.next_u64() % 150) * 64,
        2 => rng.next_u64() % 4 * 4_096,
        _ => rng.next_u64() % 9_100,
    };
    Bound { generation, prefix: if rng.next_u64().is_multiple_of(3) { rng.next_u32() } else { 0 } }
}

#[test]
fn sums_of_any_ranges_are_those_of_their_blocks() {
    let (store, chain) = chain();
    let view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
    chains::recheck_heads(&view, chain).unwrap();
    let mut index = ChainIndex::open(&view, chain).unwrap().unwrap();
    let blocks: Vec<Item> = index.items(&[whole()], usize::MAX).unwrap().into_iter().map(|(_, item)| item).collect();
    assert_eq!(blocks.len() as u64, chains::length(&view, chain).unwrap());
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for _ in 0..300 {
        let mut places: Vec<Bound> = (0..=1 + rng.next_u64() % 12).map(|_| place(&mut rng)).collect();
        places.sort_unstable();
        places.dedup();
        if rng.next_u64().is_multiple_of(2) {
            places.push(Bound::END);
        }
        let spans: Vec<Span> = places.windows(2).map(|pair| Span { from: pair[0], to: pair[1] }).collect();
        let of = |span: &Span| {
            let mut sum = Sum::default();
            let within = blocks.iter().filter(|item| span.contains(Bound::of(item.generation, item.id)));
            within.for_each(|item| sum.add(Sum::of(item.id)));
            sum
        };
        let expected: Vec<Sum> = spans.iter().map(of).collect();
        assert_eq!(index.sums(&spans).unwrap(), Some(expected), "{spans:?}");
    }
}

#[test]
fn the_sum_of_a_long_chain_is_read_from_few_rows() {
    let (store, chain) = chain();
    let view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
    let mut index = ChainIndex::open(&view, chain).unwrap().unwrap();
    index.sums(&[whole()]).unwrap();
    assert!(index.looked_at() <= 4, "{}", index.looked_at());
    let mut index = ChainIndex::open(&view, chain).unwrap().unwrap();
    index.sums(&[Span { from: Bound::before(1), to: Bound::before(8_999) }]).unwrap();
    assert!(index.looked_at() <= 450, "{}", index.looked_at());
}

#[test]
fn a_chain_that_is_removed_leaves_no_sums() {
    let (store, chain) = chain();
    let mut view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
    assert!(store.rows().contains_key("core.sums"));
    while chains::remove(&mut view, chain, 1_000).unwrap() > 0 {}
    let (_, batch) = view.close_step().unwrap();
    store.commit(&batch).unwrap();
    assert_eq!(store.rows().get("core.sums"), None);
}
