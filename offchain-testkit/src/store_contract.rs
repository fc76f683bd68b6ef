//! What every [`Store`] must do, whatever lies under it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use walytis_core::{Batch, Change, Direction, KeyRange, Keys, Record, Rows, Store, StoreError, Table};

const ORDERED: Table = Table::permanent("contract.ordered");
const OTHER: Table = Table::permanent("contract.other");
const CHANGING: Table = Table::changing("contract.changing");
const HIDDEN: Table = Table::hidden("contract.hidden");
const HIDDEN_CHANGING: Table = Table { name: "contract.both", keys: Keys::Hidden, rows: Rows::Changing };
const ALL: [Table; 5] = [ORDERED, OTHER, CHANGING, HIDDEN, HIDDEN_CHANGING];

/// The random sequences that are compared with a model. Each costs a real disk some twenty commits.
const SEQUENCES: u32 = 48;

/// Opens the store at one place; each call after the first finds what the handle before it left. A handle is dropped
/// before the next is opened.
pub type Opener = Box<dyn Fn() -> Box<dyn Store>>;

/// Runs the whole contract. Each call of `fresh` names a new, empty place.
///
/// # Panics
/// If the store breaks the contract; the message says which sentence of it.
pub fn store_contract(fresh: impl Fn() -> Opener) {
    an_absent_row_is_none(&*fresh()());
    a_commit_is_read(&*fresh()());
    a_later_value_replaces_an_earlier_one(&*fresh()());
    the_last_change_of_a_row_in_a_batch_wins(&*fresh()());
    deleting_removes_the_row_alone(&*fresh()());
    tables_are_apart(&*fresh()());
    an_empty_batch_changes_nothing(&*fresh()());
    empty_keys_and_values_are_rows(&*fresh()());
    large_values_come_back(&*fresh()());
    scans_walk_in_the_order_of_the_bytes(&*fresh()());
    scans_keep_their_bounds(&*fresh()());
    scans_stop_at_their_limit(&*fresh()());
    hidden_tables_are_asked_for_whole_keys_only(&*fresh()());
    hidden_rows_are_found_by_the_beginnings_of_their_ids(&*fresh()());
    commits_outlast_the_handle(&fresh());
    the_store_equals_its_model(&fresh);
}

fn an_absent_row_is_none(store: &dyn Store) {
    for table in ALL {
        assert_eq!(get(store, table, b"absent"), None, "a row that was never written is None in {}", table.name);
    }
    assert_eq!(scan(store, ORDERED, KeyRange::all(), 9), [], "a table that was never written is empty");
}

fn a_commit_is_read(store: &dyn Store) {
    for table in ALL {
        commit(store, |batch| batch.put(table, *b"key", *b"value"));
        let found = get(store, table, b"key");
        assert_eq!(found.as_deref(), Some(&b"value"[..]), "a committed row is read from {}", table.name);
    }
}

fn a_later_value_replaces_an_earlier_one(store: &dyn Store) {
    for table in ALL {
        commit(store, |batch| batch.put(table, *b"key", *b"first, and longer"));
        commit(store, |batch| batch.put(table, *b"key", *b"second"));
        let found = get(store, table, b"key");
        assert_eq!(found.as_deref(), Some(&b"second"[..]), "the later value is read from {}", table.name);
    }
}

fn the_last_change_of_a_row_in_a_batch_wins(store: &dyn Store) {
    for table in ALL {
        commit(store, |batch| {
            batch.put(table, *b"kept", *b"1");
            batch.delete(table, *b"kept");
            batch.put(table, *b"kept", *b"2");
            batch.put(table, *b"gone", *b"1");
            batch.put(table, *b"gone", *b"2");
            batch.delete(table, *b"gone");
        });
        assert_eq!(get(store, table, b"kept").as_deref(), Some(&b"2"[..]), "the last put wins in {}", table.name);
        assert_eq!(get(store, table, b"gone"), None, "the last delete wins in {}", table.name);
    }
}

fn deleting_removes_the_row_alone(store: &dyn Store) {
    for table in ALL {
        commit(store, |batch| {
            batch.put(table, *b"a", *b"1");
            batch.put(table, *b"b", *b"2");
        });
        commit(store, |batch| {
            batch.delete(table, *b"a");
            batch.delete(table, *b"absent");
        });
        assert_eq!(get(store, table, b"a"), None, "a deleted row is gone from {}", table.name);
        assert_eq!(get(store, table, b"b").as_deref(), Some(&b"2"[..]), "its neighbour stays in {}", table.name);
    }
}

fn tables_are_apart(store: &dyn Store) {
    commit(store, |batch| {
        for table in ALL {
            batch.put(table, *b"key", table.name);
        }
    });
    for table in ALL {
        let found = get(store, table, b"key");
        assert_eq!(found.as_deref(), Some(table.name.as_bytes()), "the same key is another row in {}", table.name);
    }
}

fn an_empty_batch_changes_nothing(store: &dyn Store) {
    commit(store, |_| {});
    assert_eq!(scan(store, ORDERED, KeyRange::all(), 9), [], "an empty batch commits and leaves nothing");
}

fn empty_keys_and_values_are_rows(store: &dyn Store) {
    for table in ALL {
        commit(store, |batch| {
            batch.put(table, *b"", *b"of the empty key");
            batch.put(table, *b"empty", *b"");
        });
        assert_eq!(get(store, table, b"").as_deref(), Some(&b"of the empty key"[..]), "{}: the empty key", table.name);
        assert_eq!(
            get(store, table, b"empty").as_deref(),
            Some(&b""[..]),
            "an empty value is not None: {}",
            table.name
        );
    }
}

fn large_values_come_back(store: &dyn Store) {
    let large: Vec<u8> = (0..1024 * 1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let long_key = vec![7; 1000];
    for table in ALL {
        commit(store, |batch| batch.put(table, long_key.clone(), large.clone()));
        assert!(get(store, table, &long_key).as_ref() == Some(&large), "1 MiB comes back whole from {}", table.name);
    }
}

fn scans_walk_in_the_order_of_the_bytes(store: &dyn Store) {
    let keys: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"\xff"];
    for table in [ORDERED, CHANGING] {
        commit(store, |batch| keys.iter().rev().for_each(|key| batch.put(table, *key, *key)));
        let up = scan(store, table, KeyRange::all(), 99);
        let found: Vec<&[u8]> = up.iter().map(|row| row.key.as_slice()).collect();
        assert_eq!(found, keys, "ascending scans are in the order of the bytes in {}", table.name);
        assert!(up.iter().all(|row| row.key == row.value), "each key comes with its own value in {}", table.name);
        let mut down = scan(store, table, KeyRange::all().descending(), 99);
        down.reverse();
        assert_eq!(down, up, "a descending scan is an ascending one backwards in {}", table.name);
    }
}

fn scans_keep_their_bounds(store: &dyn Store) {
    let keys: Vec<[u8; 1]> = (1..=9).map(|key| [key]).collect();
    commit(store, |batch| keys.iter().for_each(|key| batch.put(ORDERED, *key, *key)));
    let ends = [0, 1, 2, 5, 8, 9, 10].map(|key| [key]);
    let bounds = |key| [Bound::Unbounded, Bound::Included(key), Bound::Excluded(key)];
    for start in ends.iter().flat_map(|key| bounds(key.as_slice())) {
        for end in ends.iter().flat_map(|key| bounds(key.as_slice())) {
            for direction in [Direction::Ascending, Direction::Descending] {
                let range = KeyRange { start, end, direction };
                let mut expected: Vec<Vec<u8>> =
                    keys.iter().filter(|key| range.contains(*key)).map(|key| key.to_vec()).collect();
                if direction == Direction::Descending {
                    expected.reverse();
                }
                let found = scan(store, ORDERED, range, 99).into_iter().map(|row| row.key).collect::<Vec<_>>();
                assert_eq!(found, expected, "a scan gives exactly its range: {range:?}");
            }
        }
    }
}

fn scans_stop_at_their_limit(store: &dyn Store) {
    commit(store, |batch| (0..20_u8).for_each(|key| batch.put(ORDERED, [key], [key])));
    for limit in [0, 1, 2, 19, 20, 21, usize::MAX] {
        let up = scan(store, ORDERED, KeyRange::all(), limit);
        assert_eq!(up.len(), limit.min(20), "a scan gives its limit's number of rows: {limit}");
        assert!(up.first().is_none_or(|row| row.key == [0]), "an ascending scan begins at the lowest key");
        let down = scan(store, ORDERED, KeyRange::all().descending(), limit);
        assert_eq!(down.len(), limit.min(20), "a descending scan gives its limit's number of rows: {limit}");
        assert!(down.first().is_none_or(|row| row.key == [19]), "a descending scan begins at the highest key");
    }
}

fn hidden_tables_are_asked_for_whole_keys_only(store: &dyn Store) {
    let (generation, id) = ([0, 0, 0, 9], [0xAA; 32]);
    let key = [generation.as_slice(), &id].concat();
    for table in [HIDDEN, HIDDEN_CHANGING] {
        commit(store, |batch| {
            batch.put(table, key.clone(), *b"of the key");
            batch.put(table, id, *b"of the id");
        });
        assert_eq!(get(store, table, &key).as_deref(), Some(&b"of the key"[..]), "a whole key is found");
        assert_eq!(get(store, table, &id).as_deref(), Some(&b"of the id"[..]), "an id without a prefix is found");
        assert_eq!(get(store, table, &key[..20]), None, "a part of a key is another key");
        let refusal = store.scan(table, KeyRange::all(), 9);
        assert_eq!(refusal, Err(StoreError::Unordered { table: table.name }), "hidden keys cannot be scanned");
        let nothing = store.scan(table, KeyRange::between(b"b", b"a"), 0);
        assert_eq!(nothing, Err(StoreError::Unordered { table: table.name }), "an empty scan is refused alike");
    }
}

fn hidden_rows_are_found_by_the_beginnings_of_their_ids(store: &dyn Store) {
    let id = |first: u8, last: u8| [[first, 0xFF, 0xFF, 0xFF].as_slice(), &[last; 28]].concat();
    let find = |table, clear: &[u8], first: u8, limit| {
        let found = store.by_prefix(table, clear, [first, 0xFF, 0xFF, 0xFF], limit);
        let mut found = done(found, "asking by the beginning of an id");
        found.sort();
        found
    };
    for table in [HIDDEN, HIDDEN_CHANGING] {
        commit(store, |batch| {
            for (clear, first, last) in [(1, 7, 1), (1, 7, 0xFF), (1, 0xFF, 2), (2, 7, 3)] {
                batch.put(table, [&[clear][..], &id(first, last)].concat(), [clear, first, last]);
            }
        });
        assert_eq!(find(table, &[1], 7, 9), [[1, 7, 1], [1, 7, 0xFF]], "ids that begin alike, in {}", table.name);
        assert_eq!(find(table, &[1], 7, 1).len(), 1, "at most the limit, in {}", table.name);
        assert_eq!(find(table, &[1], 0xFF, 9), [[1, 0xFF, 2]], "up to the highest, in {}", table.name);
        assert_eq!(find(table, &[2], 7, 9), [[2, 7, 3]], "what stands before the id counts, in {}", table.name);
        assert_eq!(find(table, &[3], 7, 9), [[0; 0]; 0], "and none is none, in {}", table.name);
    }
    let refusal = store.by_prefix(ORDERED, b"", [0; 4], 9);
    assert_eq!(refusal, Err(StoreError::Unordered { table: ORDERED.name }), "ordered keys have no ids");
}

fn commits_outlast_the_handle(open: &Opener) {
    for round in 0..4_u8 {
        let store = open();
        for table in ALL {
            for earlier in 0..round {
                let found = get(&*store, table, &[earlier]);
                assert_eq!(found, Some(vec![earlier]), "a row of an earlier handle is read from {}", table.name);
            }
            commit(&*store, |batch| batch.put(table, [round], [round]));
        }
    }
}

/// One step of a random sequence.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>),
    Reopen,
}

/// **Property:** after any sequence of batches and reopenings, every row and every scan equals that of a map.
fn the_store_equals_its_model(fresh: &impl Fn() -> Opener) {
    let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
    // The generator's seed is fixed, so that every run tests the same sequences.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&vec(step(), 1..12), |steps| {
        let open = fresh();
        let mut store = open();
        let mut model = BTreeMap::new();
        for step in &steps {
            match step {
                Step::Commit(changes) => {
                    commit(&*store, |batch| changes.iter().for_each(|change| add(batch, change)));
                    changes.iter().for_each(|change| apply(&mut model, change));
                }
                Step::Reopen => {
                    drop(store);
                    store = open();
                }
            }
            compare(&*store, &model);
        }
        Ok(())
    });
    assert!(outcome.is_ok(), "{}", outcome.err().map(|failure| failure.to_string()).unwrap_or_default());
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => vec(change(), 0..8).prop_map(Step::Commit), 1 => Just(Step::Reopen)]
}

fn change() -> impl Strategy<Value = Change> {
    // Few and short keys, so that changes meet; some as long as an id behind a prefix.
    let key = prop_oneof![4 => vec(0..4_u8, 0..3), 1 => vec(0..2_u8, 32..34)];
    let value = proptest::option::weighted(0.7, vec(any::<u8>(), 0..40));
    (0..ALL.len(), key, value).prop_map(|(table, key, value)| match value {
        Some(value) => Change::Put { table: ALL[table], key, value },
        None => Change::Delete { table: ALL[table], key },
    })
}

fn add(batch: &mut Batch, change: &Change) {
    match change {
        Change::Put { table, key, value } => batch.put(*table, key.as_slice(), value.as_slice()),
        Change::Delete { table, key } => batch.delete(*table, key.as_slice()),
    }
}

fn apply(model: &mut Model, change: &Change) {
    match change {
        Change::Put { table, key, value } => model.insert((*table, key.clone()), value.clone()),
        Change::Delete { table, key } => model.remove(&(*table, key.clone())),
    };
}

fn compare(store: &dyn Store, model: &Model) {
    for ((table, key), value) in model {
        assert_eq!(get(store, *table, key).as_ref(), Some(value), "a row of the model is read from {}", table.name);
    }
    for table in ALL.into_iter().filter(|table| table.keys == Keys::Ordered) {
        let expected: Vec<Record> = model
            .iter()
            .filter(|((of, _), _)| *of == table)
            .map(|((_, key), value)| Record { key: key.clone(), value: value.clone() })
            .collect();
        assert_eq!(scan(store, table, KeyRange::all(), usize::MAX), expected, "{} has the model's rows", table.name);
    }
    for key in [&b"\x01"[..], b"\x02\x03"] {
        for table in ALL.into_iter().filter(|table| !model.contains_key(&(*table, key.to_vec()))) {
            assert_eq!(get(store, table, key), None, "{} has no row that the model has not", table.name);
        }
    }
}

fn get(store: &dyn Store, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    done(store.get(table, key), "reading a row")
}

fn scan(store: &dyn Store, table: Table, range: KeyRange<'_>, limit: usize) -> Vec<Record> {
    done(store.scan(table, range, limit), "scanning")
}

fn commit(store: &dyn Store, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    fill(&mut batch);
    done(store.commit(&batch), "committing");
}

#[expect(clippy::panic, reason = "a contract suite reports by panicking, as tests do")]
fn done<T>(result: Result<T, impl Debug>, doing: &str) -> T {
    result.unwrap_or_else(|error| panic!("{doing} succeeds on a sound store, but gave {error:?}"))
}
