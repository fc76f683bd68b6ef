//! The view through what is under way, against a map.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use offchain_testkit::MemoryStore;
use proptest::collection::vec;
use proptest::prelude::*;
use walytis_core::{Direction, KeyRange, Pending, Record, Store, Table};

use super::dag::runner;

const ROWS: Table = Table::changing("test.rows");
const IDS: Table = Table::hidden("test.ids");

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    /// An id by its first and its last byte; its value never changes.
    Id(u8, u8),
    RollBack(Vec<Step>),
    Close,
    Commit,
    Scan {
        from: Option<u8>,
        to: Option<u8>,
        descending: bool,
        limit: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let leaf = prop_oneof![
        4 => (0..24_u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => (0..24_u8).prop_map(Step::Delete),
        1 => (0..3_u8, 0..4_u8).prop_map(|(first, last)| Step::Id(first, last)),
    ];
    let scan = (proptest::option::of(0..26_u8), proptest::option::of(0..26_u8), any::<bool>(), 0..9_usize);
    prop_oneof![
        6 => leaf.clone(),
        1 => vec(leaf, 0..4).prop_map(Step::RollBack),
        2 => Just(Step::Close),
        1 => Just(Step::Commit),
        6 => scan.prop_map(|(from, to, descending, limit)| Step::Scan { from, to, descending, limit }),
    ]
}

fn id(first: u8, last: u8) -> [u8; 32] {
    let mut id = [7; 32];
    (id[0], id[31]) = (first, last);
    id
}

fn change(view: &mut Pending, step: &Step) {
    match step {
        Step::Put(key, value) => view.put(ROWS, [*key], [*value]),
        Step::Delete(key) => view.delete(ROWS, [*key]),
        Step::Id(first, last) => view.put(IDS, id(*first, *last), [*first, *last]),
        _ => {}
    }
}

#[test]
fn what_is_under_way_is_read_as_if_it_were_durable() {
    runner(256)
        .run(&vec(step(), 1..60), |steps| {
            let store = Arc::new(MemoryStore::new());
            let mut view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
            let mut model: BTreeMap<u8, u8> = BTreeMap::new();
            let mut known: BTreeMap<[u8; 32], [u8; 2]> = BTreeMap::new();
            let mut batches = VecDeque::new();
            for step in &steps {
                change(&mut view, step);
                match step {
                    Step::Put(key, value) => drop(model.insert(*key, *value)),
                    Step::Delete(key) => drop(model.remove(key)),
                    Step::Id(first, last) => drop(known.insert(id(*first, *last), [*first, *last])),
                    Step::RollBack(steps) => {
                        let savepoint = view.savepoint();
                        steps.iter().for_each(|step| change(&mut view, step));
                        view.rollback(savepoint);
                    }
                    Step::Close => batches.extend(view.close_step()),
                    Step::Commit => {
                        if let Some((number, batch)) = batches.pop_front() {
                            store.commit(&batch).expect("a sound store");
                            view.committed(number);
                        }
                    }
                    Step::Scan { from, to, descending, limit } => {
                        let (from, to) = (from.map(|key| [key]), to.map(|key| [key]));
                        let range = KeyRange {
                            start: from.as_ref().map_or(Bound::Unbounded, |key| Bound::Included(&key[..])),
                            end: to.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..])),
                            direction: if *descending { Direction::Descending } else { Direction::Ascending },
                        };
                        let rows = model.iter().filter(|(key, _)| range.contains(&[**key]));
                        let mut rows: Vec<Record> =
                            rows.map(|(key, value)| Record { key: vec![*key], value: vec![*value] }).collect();
                        if *descending {
                            rows.reverse();
                        }
                        rows.truncate(*limit);
                        prop_assert_eq!(view.scan(ROWS, range, *limit), Ok(rows));
                    }
                }
                for key in 0..24_u8 {
                    let expected = model.get(&key).map(|value| vec![*value]);
                    prop_assert_eq!(view.get(ROWS, &[key]), Ok(expected));
                }
                for first in 0..3 {
                    let alike = known.iter().filter(|(id, _)| id[0] == first).map(|(_, value)| value.to_vec());
                    let found = view.by_prefix(IDS, &[], [first, 7, 7, 7], 9);
                    prop_assert_eq!(found, Ok(alike.collect::<Vec<_>>()));
                    for last in 0..4 {
                        let expected = known.get(&id(first, last)).map(|value| value.to_vec());
                        prop_assert_eq!(view.get(IDS, &id(first, last)), Ok(expected));
                    }
                }
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
