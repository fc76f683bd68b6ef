//! What a sealed store hides, and what it notices.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod support;

use offchain_store::{OpenError, RootKey, SealedStore};
use offchain_testkit::{MemoryStore, Snapshot};
use support::{delete, put, random, root_key};
use walytis_core::{Batch, Change, KeyRange, Keys, Rows, Store, StoreError, Table};

const ROWS: Table = Table::permanent("test.rows");
const OTHER: Table = Table::permanent("test.other");
const INDEX: Table = Table::hidden("test.index");
const STATE: Table = Table::changing("test.state");
const PEERS: Table = Table { name: "test.peers", keys: Keys::Hidden, rows: Rows::Changing };

fn create(below: &MemoryStore) -> SealedStore<MemoryStore> {
    SealedStore::create(below.clone(), &root_key(), random()).expect("a sealed store on empty rows")
}

fn open(below: &MemoryStore) -> Result<SealedStore<MemoryStore>, OpenError> {
    SealedStore::open(below.clone(), &root_key(), random())
}

/// The table as whoever steals the disk sees it: any table can be scanned.
fn raw(table: Table) -> Table {
    Table::permanent(table.name)
}

#[test]
fn no_value_and_no_id_is_seen_below() {
    let below = MemoryStore::new();
    let store = create(&below);
    let canary = *b"CANARY-0123456789-CANARY-0123456";
    let key = [&[0, 0, 0, 7][..], &canary].concat();
    for table in [INDEX, PEERS] {
        store.commit(&put(table, canary, canary)).expect("a commit");
        store.commit(&put(table, key.clone(), canary)).expect("a commit");
        store.commit(&put(table, *b"CANARY", canary)).expect("a commit");
    }
    for table in [ROWS, STATE] {
        store.commit(&put(table, [1], canary)).expect("a commit");
    }
    assert!(below.raw_bytes().count() > 16, "there is something to search");
    for bytes in below.raw_bytes() {
        assert!(!bytes.windows(6).any(|part| part == b"CANARY"), "a canary is seen in {bytes:x?}");
    }
}

#[test]
fn a_record_grows_by_forty_bytes() {
    let below = MemoryStore::new();
    create(&below).commit(&put(ROWS, [1], [7; 100])).expect("a commit");
    let kept = below.get(ROWS, &[1]).expect("a read").expect("the row");
    assert_eq!(kept.len(), 140);
}

#[test]
fn equal_ids_cannot_be_matched_across_tables_or_prefixes() {
    let below = MemoryStore::new();
    let store = create(&below);
    let id = [9; 32];
    for (table, prefix) in [(INDEX, &b"p"[..]), (INDEX, b"q"), (PEERS, b"p")] {
        store.commit(&put(table, [prefix, &id].concat(), *b"x")).expect("a commit");
    }
    let keys = |table| below.scan(raw(table), KeyRange::all(), 9).expect("a scan").into_iter().map(|row| row.key);
    let mut digests: Vec<_> = keys(INDEX).chain(keys(PEERS)).map(|key| key[1..].to_vec()).collect();
    assert!(digests.iter().all(|digest| digest.len() == 40), "a prefix digest of 8 bytes and one of 32");
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 3);
}

#[test]
fn ids_that_begin_alike_lie_together() {
    let below = MemoryStore::new();
    let store = create(&below);
    let mut ids = [[1; 32], [1; 32], [2; 32]];
    ids[1][4] = 0;
    ids.iter().for_each(|id| store.commit(&put(INDEX, *id, *b"x")).expect("a commit"));
    let rows = below.scan(raw(INDEX), KeyRange::all(), 9).expect("a scan");
    let mut beginnings: Vec<_> = rows.iter().map(|row| &row.key[..8]).collect();
    beginnings.dedup();
    assert_eq!(
        beginnings.len(),
        2,
        "two of the three share their first four bytes, and with them their digest's start"
    );
}

#[test]
fn a_row_put_in_another_place_is_found() {
    let check = |from: (Table, u8), to: (Table, u8)| {
        let below = MemoryStore::new();
        let store = create(&below);
        store.commit(&put(from.0, [from.1], *b"one")).expect("a commit");
        store.commit(&put(to.0, [to.1], *b"two")).expect("a commit");
        let moved = below.get(from.0, &[from.1]).expect("a read").expect("the row");
        below.commit(&put(to.0, [to.1], moved)).expect("a commit below");
        let found = store.get(to.0, &[to.1]);
        assert!(matches!(&found, Err(StoreError::Damaged { table, .. }) if table == to.0.name), "{found:?}");
        assert!(store.scan(to.0, KeyRange::all(), 9).is_err(), "a scan finds it too");
        assert_eq!(store.get(from.0, &[from.1]), Ok(Some(b"one".to_vec())), "the other row is as it was");
    };
    check((ROWS, 1), (ROWS, 2));
    check((ROWS, 1), (OTHER, 1));
    check((STATE, 1), (STATE, 2));
}

#[test]
fn a_record_of_another_store_is_found() {
    let (here, there) = (MemoryStore::new(), MemoryStore::new());
    let store = create(&here);
    let other = RootKey::generate(&mut *random());
    let elsewhere = SealedStore::create(there.clone(), &other, random()).expect("another store");
    elsewhere.commit(&put(ROWS, [1], *b"there")).expect("a commit");
    let foreign = there.get(ROWS, &[1]).expect("a read").expect("the row");
    here.commit(&put(ROWS, [1], foreign)).expect("a commit below");
    assert!(matches!(store.get(ROWS, &[1]), Err(StoreError::Damaged { .. })));
    let opened = SealedStore::open(here, &other, random());
    assert!(matches!(opened, Err(OpenError::Damaged { .. })), "the key of one store does not open another");
}

#[test]
fn each_changed_bit_of_a_record_is_found() {
    let below = MemoryStore::new();
    let store = create(&below);
    store.commit(&put(ROWS, [1], *b"value")).expect("a commit");
    let kept = below.get(ROWS, &[1]).expect("a read").expect("the row");
    for bit in 0..kept.len() * 8 {
        let mut changed = kept.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        below.commit(&put(ROWS, [1], changed)).expect("a commit below");
        assert!(matches!(store.get(ROWS, &[1]), Err(StoreError::Damaged { .. })), "bit {bit}");
    }
    for length in 0..kept.len() {
        below.commit(&put(ROWS, [1], &kept[..length])).expect("a commit below");
        assert!(matches!(store.get(ROWS, &[1]), Err(StoreError::Damaged { .. })), "length {length}");
    }
}

/// Changes the rows below a closed store as `tamper` does, and tells whether opening finds it.
fn check_tampering(what: &str, tamper: impl Fn(&MemoryStore, &Snapshot), expected: Result<(), &str>) {
    let below = MemoryStore::new();
    let store = create(&below);
    let mut first = Batch::new();
    for key in 0..5_u8 {
        first.put(STATE, [key], [key; 9]);
        first.put(PEERS, [key; 32], [key; 9]);
        first.put(ROWS, [key], [key; 9]);
    }
    store.commit(&first).expect("a commit");
    let old = below.snapshot();
    store.commit(&put(STATE, [1], *b"newer")).expect("a commit");
    store.commit(&delete(STATE, [2])).expect("a commit");
    store.commit(&put(PEERS, [3; 32], *b"newer")).expect("a commit");
    drop(store);
    tamper(&below, &old);
    match (open(&below), expected) {
        (Ok(_), Ok(())) => {}
        (Err(OpenError::Damaged { what: table, .. }), Err(expected)) => assert_eq!(table, expected, "{what}"),
        (opened, _) => panic!("{what}: {opened:?}"),
    }
}

fn restore(below: &MemoryStore, old: &Snapshot, table: Table, which: impl Fn(&[u8]) -> bool) {
    let old = MemoryStore::from_snapshot(old.clone());
    let mut batch = Batch::new();
    for row in below.scan(raw(table), KeyRange::all(), 99).expect("a scan") {
        if which(&row.key) {
            batch.delete(table, row.key);
        }
    }
    for row in old.scan(raw(table), KeyRange::all(), 99).expect("a scan") {
        if which(&row.key) {
            batch.put(table, row.key, row.value);
        }
    }
    below.commit(&batch).expect("a commit below");
}

#[test]
fn a_changing_table_that_is_not_as_it_was_left_is_found_on_opening() {
    let root = Table::changing("offchain-store.root");
    let peer = |below: &MemoryStore| below.scan(raw(PEERS), KeyRange::all(), 9).expect("a scan").remove(2);
    check_tampering("nothing", |_, _| {}, Ok(()));
    check_tampering("an old row", |b, old| restore(b, old, STATE, |key| key == [1]), Err(STATE.name));
    check_tampering("a deleted row put back", |b, old| restore(b, old, STATE, |key| key == [2]), Err(STATE.name));
    check_tampering("the table rolled back", |b, old| restore(b, old, STATE, |_| true), Err(STATE.name));
    check_tampering("the hidden table rolled back", |b, old| restore(b, old, PEERS, |_| true), Err(PEERS.name));
    check_tampering("the guard rolled back", |b, old| restore(b, old, root, |_| true), Err(PEERS.name));
    check_tampering("a missing row", |b, _| b.commit(&delete(STATE, [4])).expect("a commit"), Err(STATE.name));
    check_tampering(
        "a missing hidden row",
        |b, _| b.commit(&delete(PEERS, peer(b).key)).expect("a commit"),
        Err(PEERS.name),
    );
    check_tampering(
        "two rows swapped",
        |b, _| {
            let value = |key: u8| b.get(STATE, &[key]).expect("a read").expect("the row");
            let (left, right) = (value(0), value(4));
            b.commit(&put(STATE, [0], right)).expect("a commit");
            b.commit(&put(STATE, [4], left)).expect("a commit");
        },
        Err(STATE.name),
    );
    check_tampering(
        "a changed guard",
        |b, _| {
            let mut guard = b.get(root, b"root").expect("a read").expect("the guard");
            guard[9] ^= 1;
            b.commit(&put(root, *b"root", guard)).expect("a commit");
        },
        Err(root.name),
    );
    // What is not promised, as the front page says.
    check_tampering("a permanent row missing", |b, _| b.commit(&delete(ROWS, [4])).expect("a commit"), Ok(()));
    check_tampering(
        "all of it rolled back",
        |b, old| [root, STATE, PEERS].iter().for_each(|table| restore(b, old, *table, |_| true)),
        Ok(()),
    );
}

#[test]
fn a_missing_guard_is_not_taken_for_a_new_store() {
    let below = MemoryStore::new();
    drop(create(&below));
    below.commit(&delete(Table::changing("offchain-store.root"), *b"root")).expect("a commit below");
    assert!(matches!(open(&below), Err(OpenError::NotFound { .. })));
}

#[test]
fn a_store_is_not_created_over_another() {
    let below = MemoryStore::new();
    drop(create(&below));
    let again = SealedStore::create(below, &root_key(), random());
    assert!(matches!(again, Err(OpenError::Exists { .. })));
}

#[test]
fn a_guard_of_another_format_is_named() {
    let below = MemoryStore::new();
    drop(create(&below));
    let root = Table::changing("offchain-store.root");
    let mut guard = below.get(root, b"root").expect("a read").expect("the guard");
    guard[0] = 9;
    below.commit(&put(root, *b"root", guard)).expect("a commit below");
    assert!(matches!(open(&below), Err(OpenError::UnknownFormat { number: 9, .. })));
}

/// The root row of an empty store of format 1, and its root key: a vector of the build at 7c53815.
fn of_format_1() -> (MemoryStore, RootKey) {
    const ROOT: &str =
        "0137c4b25ef4fc629f0c61e1a39a09e69c612a90338bdea7ad000102030405060708090a0b0c0d0e0f1011121314151617";
    let byte = |at: usize| u8::from_str_radix(&ROOT[at..at + 2], 16).expect("a byte");
    let below = MemoryStore::new();
    let row: Vec<u8> = (0..ROOT.len()).step_by(2).map(byte).collect();
    below.commit(&put(Table::changing("offchain-store.root"), *b"root", row)).expect("a commit");
    (below, RootKey::generate(&mut support::Counting::default()))
}

#[test]
fn a_store_of_format_1_stays_as_it_is_until_it_is_migrated_and_never_goes_back() {
    let (below, key) = of_format_1();
    let open = |below: &MemoryStore| SealedStore::open(below.clone(), &key, random());
    let store = open(&below).expect("format 1 opens");
    assert_eq!(store.format(), 1);
    store.commit(&put(STATE, [1], *b"old")).expect("a commit");
    drop(store);
    // Whoever is cut short while it is migrated finds it as it was.
    let store = open(&below).expect("the store");
    assert_eq!(store.format(), 1, "writing changes no number");
    below.fail_commit(0, StoreError::Disk { reason: "gone".to_owned() });
    store.migrate(&put(STATE, [1], *b"new")).expect_err("it fails");
    let below = below.reopened();
    let store = open(&below).expect("the store");
    assert_eq!((store.format(), store.get(STATE, &[1]).expect("a read")), (1, Some(b"old".to_vec())));
    store.migrate(&put(STATE, [1], *b"new")).expect("migrated");
    assert_eq!(store.format(), offchain_store::STORE_FORMAT);
    drop(store);
    let store = open(&below).expect("the store");
    let is_now = offchain_store::STORE_FORMAT;
    assert_eq!((store.format(), store.get(STATE, &[1]).expect("a read")), (is_now, Some(b"new".to_vec())));
    store.commit(&put(STATE, [2], *b"more")).expect("it goes on");
    drop(store);
    // The number cannot be taken back by whoever has the disk.
    let root = Table::changing("offchain-store.root");
    let row = below.get(root, b"root").expect("a read").expect("the root row");
    for older in offchain_store::STORE_FORMAT_OLDEST..is_now {
        let mut row = row.clone();
        row[0] = older;
        below.commit(&put(root, *b"root", row)).expect("a commit below");
        assert!(matches!(open(&below), Err(OpenError::Damaged { .. })), "back to {older}");
    }
}

#[test]
fn a_failed_commit_leaves_the_guard_as_it_was() {
    let below = MemoryStore::new();
    let store = create(&below);
    store.commit(&put(STATE, [1], *b"kept")).expect("a commit");
    let full = StoreError::Full { reason: "told to".to_owned() };
    below.fail_commit(0, full.clone());
    assert_eq!(store.commit(&put(STATE, [1], *b"lost")), Err(full));
    assert_eq!(store.commit(&put(STATE, [2], *b"lost")), Err(StoreError::Poisoned));
    assert_eq!(store.get(STATE, &[1]), Ok(Some(b"kept".to_vec())), "reads still work");
    let anew = open(&below.reopened()).expect("the guard matches");
    assert_eq!(anew.commit(&put(STATE, [1], *b"new")), Ok(()));
    assert_eq!(anew.guarded_batches(), 2);
}

#[test]
fn only_changes_of_guarded_rows_rewrite_the_guard() {
    let below = MemoryStore::new();
    let store = create(&below);
    store.commit(&put(ROWS, [1], *b"x")).expect("a commit");
    store.commit(&put(INDEX, [1; 32], *b"x")).expect("a commit");
    assert_eq!(store.guarded_batches(), 0);
    store.commit(&delete(STATE, [1])).expect("a commit");
    store.commit(&put(STATE, [1], *b"x")).expect("a commit");
    assert_eq!(store.guarded_batches(), 2);
}

#[test]
fn no_nonce_repeats() {
    let below = MemoryStore::new();
    let store = create(&below);
    let mut batch = Batch::new();
    (0..200_u8).for_each(|key| batch.put(ROWS, [key], *b"x"));
    store.commit(&batch).expect("a commit");
    let rows = below.scan(ROWS, KeyRange::all(), 999).expect("a scan");
    let mut nonces: Vec<_> = rows.iter().map(|row| row.value[row.value.len() - 24..].to_vec()).collect();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 200);
    assert!(batch.changes().iter().all(|change| matches!(change, Change::Put { .. })));
}

#[test]
fn debug_shows_nothing_of_a_store() {
    assert_eq!(format!("{:?}", create(&MemoryStore::new())), "SealedStore { .. }");
}
