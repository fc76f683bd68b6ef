use std::collections::BTreeSet;
use std::sync::Arc;

use offchain_testkit::MemoryStore;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use walytis_core::query::{
    self, Ancestry, AncestryStep, AncestryWalk, Counted, Cursor, Facts, Found, IdPrefix, Order, Page, Query, Span,
};
use walytis_core::{
    AuthorKey, Batch, BlockId, BlockKind, ChainError, ChainId, Direction, Keys, Pending, Rows, Store, StoredBlock,
    Table, chains,
};

use super::dag::{Dag, Step, TOPICS, Under, runner, steps};

const KINDS: [BlockKind; 4] = [BlockKind::Content, BlockKind::Private, BlockKind::Operation, BlockKind::Checkpoint];

/// A query in the making: what it names of the chain is drawn once that is there.
#[derive(Clone, Debug)]
struct Asked {
    topics: Vec<u8>,
    author: Option<usize>,
    kinds: BTreeSet<usize>,
    created_at_ms: Option<(u64, u64)>,
    content_bytes: Option<(u64, u64)>,
    prefix: Option<(Index, usize)>,
    positions: Option<(u64, u64)>,
    listing: bool,
    descending: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let span = |below: u64| option::weighted(0.3, (0..below, 0..below));
    let filters = (
        prop_oneof![2 => Just(Vec::new()), 1 => vec(0..=TOPICS, 1..4)],
        option::weighted(0.3, 0..5_usize),
        prop_oneof![3 => Just(BTreeSet::new()), 1 => proptest::collection::btree_set(0..4_usize, 1..3)],
        span(1_000),
        span(200),
        option::weighted(0.15, (any::<Index>(), 0..11_usize)),
        span(80),
    );
    (filters, any::<bool>(), any::<bool>()).prop_map(|(filters, listing, descending)| {
        let (topics, author, kinds, created_at_ms, content_bytes, prefix, positions) = filters;
        Asked { topics, author, kinds, created_at_ms, content_bytes, prefix, positions, listing, descending }
    })
}

impl Asked {
    fn of(&self, dag: &Dag) -> Query {
        let span = |ends: Option<(u64, u64)>| ends.map_or(Span::default(), |(from, to)| Span { from, to });
        // The last author is one who wrote nothing here.
        let author = |number: usize| dag.authors.get(number).map_or(walytis_core::AuthorKey([9; 32]), |it| it.public());
        Query {
            topics: self.topics.iter().map(|topic| vec![b't', *topic]).collect(),
            author: self.author.map(author),
            kinds: self.kinds.iter().map(|kind| KINDS[*kind]).collect(),
            created_at_ms: span(self.created_at_ms),
            content_bytes: span(self.content_bytes),
            id: self.prefix.as_ref().map_or(IdPrefix::default(), |(index, digits)| prefix(dag, index, *digits)),
            positions: span(self.positions),
            order: if self.listing { Order::Listing } else { Order::Arrival },
            direction: if self.descending { Direction::Descending } else { Direction::Ascending },
        }
    }
}

fn prefix(dag: &Dag, index: &Index, digits: usize) -> IdPrefix {
    let id = dag.blocks[index.index(dag.blocks.len())].block.id().to_string();
    id[..digits].parse().expect("hexadecimal digits")
}

/// The answer to a query by looking at every block.
fn answer(dag: &Dag, query: &Query) -> Vec<BlockId> {
    let wanted = |stored: &&StoredBlock| {
        let header = stored.block.header();
        let within = |span: Span, number: u64| span.from <= number && number <= span.to;
        (query.topics.is_empty() || header.topics.iter().any(|topic| query.topics.contains(topic)))
            && query.author.is_none_or(|author| author == header.author)
            && (query.kinds.is_empty() || query.kinds.contains(&header.kind))
            && within(query.created_at_ms, header.created_at_ms)
            && within(query.content_bytes, header.content_bytes)
            && within(query.positions, stored.position)
            && stored.block.id().to_string().starts_with(&query.id.to_string())
    };
    let mut found: Vec<&StoredBlock> = dag.blocks.iter().filter(wanted).collect();
    if query.order == Order::Listing {
        found.sort_by_key(|stored| (stored.generation, stored.block.id()));
    }
    if query.direction == Direction::Descending {
        found.reverse();
    }
    found.into_iter().map(|stored| stored.block.id()).collect()
}

fn page(dag: &Dag, query: &Query, after: Option<Cursor>, limit: usize) -> Page {
    let page = query::page(&dag.view, dag.chain, query, after, limit).expect("a sound store");
    assert!(page.blocks.len() <= limit.max(1), "a page has at most its limit");
    for stored in &page.blocks {
        assert_eq!(*stored, dag.blocks[usize::try_from(stored.position).expect("few")], "blocks come whole");
    }
    page
}

fn ids(page: &Page) -> impl Iterator<Item = BlockId> + '_ {
    page.blocks.iter().map(|stored| stored.block.id())
}

fn all_pages(dag: &Dag, query: &Query, limit: usize) -> Vec<BlockId> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..=dag.blocks.len() {
        let page = page(dag, query, after, limit);
        found.extend(ids(&page));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
    panic!("the pages of {query:?} do not end");
}

#[test]
fn pages_of_any_size_give_what_a_look_at_every_block_gives() {
    for under in [Under::Memory, Under::Sealed] {
        runner(40)
            .run(&(steps(1..90), vec(asked(), 12)), |(steps, asked)| {
                let dag = Dag::grown(under, &steps);
                for asked in &asked {
                    let query = asked.of(&dag);
                    let expected = answer(&dag, &query);
                    for limit in [0, 1, 2, 3, 7, 1_000] {
                        prop_assert_eq!(&all_pages(&dag, &query, limit), &expected, "{:?}, by {}", &query, limit);
                    }
                    let count = query::count(&dag.view, dag.chain, &query).expect("a sound store");
                    prop_assert_eq!(count, expected.len() as u64, "{:?}", &query);
                    let author = dag.authors[0].public();
                    let but_one = |id: &&BlockId| {
                        dag.blocks
                            .iter()
                            .any(|stored| stored.block.id() == **id && stored.block.header().author != author)
                    };
                    let some: &dyn Fn(&AuthorKey) -> bool = &|of| *of != author;
                    let counted = query::count_some(&dag.view, dag.chain, &query, None, Some(some));
                    let expected = expected.iter().filter(but_one).count() as u64;
                    prop_assert_eq!(counted, Ok(Counted { blocks: expected, next: None }), "{:?}", &query);
                    for stored in &dag.blocks {
                        let header = stored.block.header();
                        let facts = Facts {
                            id: stored.block.id(),
                            position: stored.position,
                            kind: header.kind,
                            author: header.author,
                            created_at_ms: header.created_at_ms,
                            content_bytes: header.content_bytes,
                            topics: &header.topics,
                        };
                        prop_assert_eq!(query.wants(&facts), answer(&dag, &query).contains(&facts.id));
                    }
                }
                let latest = query::latest(&dag.view, dag.chain, 3).expect("a sound store");
                let expected: Vec<StoredBlock> = dag.blocks.iter().rev().take(3).cloned().collect();
                prop_assert_eq!(latest.blocks, expected);
                for stored in &dag.blocks {
                    chains::recheck(&dag.view, stored).expect("what was computed holds");
                }
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn what_was_there_comes_once_whatever_is_inserted_between_pages() {
    runner(60)
        .run(&(steps(1..60), steps(10..60), asked(), 1..5_usize), |(before, meanwhile, asked, limit)| {
            let mut dag = Dag::grown(Under::Memory, &before);
            let query = asked.of(&dag);
            let there = answer(&dag, &query);
            let mut meanwhile = meanwhile.iter();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = page(&dag, &query, after, limit);
                found.extend(ids(&page));
                after = page.next;
                if after.is_none() {
                    break;
                }
                meanwhile.by_ref().take(2).for_each(|step| dag.grow(step));
            }
            let distinct: BTreeSet<&BlockId> = found.iter().collect();
            prop_assert_eq!(distinct.len(), found.len(), "no block comes twice");
            let of_there: Vec<BlockId> = found.iter().filter(|id| there.contains(id)).copied().collect();
            prop_assert_eq!(of_there, there, "{:?}", &query);
            let now = answer(&dag, &query);
            prop_assert!(found.iter().all(|id| now.contains(id)));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn two_blocks_stand_to_each_other_as_in_the_transitive_closure() {
    runner(40)
        .run(&steps(1..50), |steps| {
            let dag = Dag::grown(Under::Memory, &steps);
            for a in dag.all() {
                for b in dag.all() {
                    let expected = match (a == b, dag.ancestors[b].contains(&a), dag.ancestors[a].contains(&b)) {
                        (true, ..) => Ancestry::Same,
                        (_, true, _) => Ancestry::Before,
                        (.., true) => Ancestry::After,
                        _ => Ancestry::Concurrent,
                    };
                    let [of_a, of_b] = [a, b].map(|position| dag.blocks[position].block.id());
                    prop_assert_eq!(query::ancestry(&dag.view, of_a, of_b), Ok(Some(expected)));
                }
            }
            let unknown = BlockId([0; 32]);
            prop_assert_eq!(query::ancestry(&dag.view, unknown, dag.blocks[0].block.id()), Ok(None));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_block_is_found_by_the_beginning_of_its_id() {
    for under in [Under::Memory, Under::Sealed] {
        runner(20)
            .run(&(steps(20..60), any::<Index>()), |(steps, index)| {
                let dag = Dag::grown(under, &steps);
                for digits in [0, 1, 2, 3, 7, 8, 9, 64] {
                    let prefix = prefix(&dag, &index, digits);
                    let expected = answer(&dag, &Query { id: prefix, ..Query::default() });
                    let found = query::by_prefix(&dag.view, dag.chain, prefix).expect("a sound store");
                    match (found, expected.as_slice()) {
                        (Found::One(block), [one]) => prop_assert_eq!(block.block.id(), *one),
                        (Found::Several([one, other]), all) => {
                            prop_assert!(one != other && all.contains(&one) && all.contains(&other));
                        }
                        (found, all) => prop_assert!(false, "{:?} for {:?}", found, all),
                    }
                }
                for absent in ["ffffffffffffffff", "0000"] {
                    let prefix: IdPrefix = absent.parse().expect("hexadecimal digits");
                    prop_assert_eq!(query::by_prefix(&dag.view, dag.chain, prefix), Ok(Found::None));
                }
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

fn plain(author: usize, topics: Vec<u8>) -> Step {
    Step { author, kind: 9, parents: None, forks: false, topics, bytes: 1, created_at_ms: 0, commits: true }
}

#[test]
fn a_page_goes_on_only_in_its_own_order_and_a_chain_that_is_not_here_is_empty() {
    let mut dag = Dag::public(Under::Memory);
    (0..3).for_each(|_| dag.grow(&plain(0, Vec::new())));
    let listing = Query { order: Order::Listing, ..Query::default() };
    let after = page(&dag, &Query::default(), None, 1).next;
    assert!(after.is_some());
    assert_eq!(query::page(&dag.view, dag.chain, &listing, after, 1), Err(ChainError::Cursor));
    assert_eq!(query::page(&dag.view, ChainId([1; 32]), &listing, None, 1), Ok(Page::default()));
    assert_eq!(query::count(&dag.view, ChainId([1; 32]), &listing), Ok(0));
}

/// More blocks than one step looks at.
#[test]
fn counts_and_walks_go_on_where_a_step_ended() {
    let mut dag = Dag::public(Under::Memory);
    (0..5_000).for_each(|_| dag.grow(&plain(0, Vec::new())));
    let length = dag.blocks.len();
    let query = Query { content_bytes: Span { from: 0, to: 1 << 20 }, ..Query::default() };
    let count = |after| query::count_some(&dag.view, dag.chain, &query, after, None).expect("a store");
    let first = count(None);
    assert!(first.next.is_some() && first.blocks <= 4_096, "{first:?}");
    let second = count(first.next);
    assert_eq!((second.next, second.blocks + first.blocks), (None, length as u64));

    let [first, last] = [1, length - 1].map(|position| dag.blocks[position].block.id());
    let mut walk = AncestryWalk::between(last, first);
    assert_eq!(walk.go_on(&dag.view, dag.chain), Ok(AncestryStep::GoOn));
    assert_eq!(walk.go_on(&dag.view, ChainId([1; 32])), Ok(AncestryStep::Unknown(last)));
    assert_eq!(walk.go_on(&dag.view, dag.chain), Ok(AncestryStep::Known(Ancestry::After)));
}

/// Full pages of the lists, and topics that are named twice in one block.
#[test]
fn long_lists_are_found_from_anywhere() {
    for under in [Under::Memory, Under::Sealed] {
        let mut dag = Dag::public(under);
        for number in 0..500_usize {
            let topic = u8::try_from(number % 3).expect("few");
            dag.grow(&plain(number % 4, if number % 2 == 0 { vec![topic, 3, topic] } else { vec![] }));
        }
        for topics in [vec![0], vec![0, 1], vec![3], vec![0, 3, 7]] {
            for (from, to) in [(0, 600), (31, 470), (64, 64), (250, 251), (499, 10_000)] {
                for direction in [Direction::Ascending, Direction::Descending] {
                    for author in [None, Some(dag.authors[2].public())] {
                        let topics = topics.iter().map(|topic| vec![b't', *topic]).collect();
                        let query =
                            Query { topics, author, positions: Span { from, to }, direction, ..Query::default() };
                        assert_eq!(all_pages(&dag, &query, 9), answer(&dag, &query), "{query:?}");
                        let counted = query::count(&dag.view, dag.chain, &query).expect("a store");
                        assert_eq!(counted, answer(&dag, &query).len() as u64, "{query:?}");
                    }
                }
            }
        }
        for stored in &dag.blocks {
            chains::recheck(&dag.view, stored).expect("what was computed holds");
        }
    }
}

/// Each row that blocks can be found by, gone or another one's: `recheck` says so of a block that it is of.
#[test]
fn a_list_that_is_not_as_it_was_written_is_found() {
    let hidden = |name, rows| Table { name, keys: Keys::Hidden, rows };
    let (topics, authors) = (hidden("core.topics", Rows::Derived), hidden("core.authors", Rows::Derived));
    let store = Arc::new(MemoryStore::new());
    let mut dag = Dag::over(Arc::clone(&store) as Arc<dyn Store>, BlockKind::Content);
    (0..80).for_each(|number| dag.grow(&plain(number % 2, vec![u8::from(number % 5 == 0)])));
    let topic = |name: &[u8]| [&[0; 4][..], blake3::hash(name).as_bytes()].concat();
    let author = |number: usize| [&[0; 4][..], &dag.authors[number].public().0].concat();
    let is_sound = || {
        let view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
        dag.blocks.iter().all(|stored| chains::recheck(&view, stored).is_ok())
    };
    assert!(is_sound());
    let rows = [(topics, topic(b"t\0"), topic(b"t\x01")), (authors, author(0), author(1))];
    for (table, row, other) in rows {
        let [kept, others] = [&row, &other].map(|key| store.get(table, key).expect("a store").expect("a row"));
        for wrong in [None, Some(others)] {
            let mut batch = Batch::new();
            match wrong {
                Some(wrong) => batch.put(table, row.clone(), wrong),
                None => batch.delete(table, row.clone()),
            }
            store.commit(&batch).expect("a store");
            assert!(!is_sound(), "{}", table.name);
            let mut batch = Batch::new();
            batch.put(table, row.clone(), kept.clone());
            store.commit(&batch).expect("a store");
            assert!(is_sound());
        }
    }
}
