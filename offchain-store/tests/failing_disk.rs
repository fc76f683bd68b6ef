//! A disk that is full or broken at any change: an error, nothing acknowledged, reads go on, opening anew works (W6).

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod support;

use std::io::ErrorKind;

use offchain_store::{OpenError, RedbStore, SealedStore};
use support::{Failure, MemoryDisk, put, random, root_key};
use walytis_core::{Batch, Store, StoreError, Table};

const ROWS: Table = Table::permanent("test.rows");
const STATE: Table = Table::changing("test.state");
const COMMITS: u8 = 12;

/// One logical step: a row of its own, a row that each step replaces, and one large enough to make the file grow.
fn step(number: u8) -> Batch {
    let mut batch = put(ROWS, [number], vec![number; 20_000]);
    batch.put(STATE, *b"last", [number]);
    batch
}

fn open(disk: &MemoryDisk) -> Result<SealedStore<RedbStore>, OpenError> {
    SealedStore::open(RedbStore::on_disk(disk.clone())?, &root_key(), random())
}

fn empty() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let below = RedbStore::on_disk(disk.clone()).expect("an empty store");
    drop(SealedStore::create(below, &root_key(), random()).expect("a sealed store"));
    disk
}

/// How many steps the store holds; each must be there as a whole, after all before it.
fn steps(store: &dyn Store, context: &str) -> u8 {
    let last = store.get(STATE, b"last").unwrap_or_else(|error| panic!("{context}: {error}"));
    let steps = last.map_or(0, |last| last[0] + 1);
    for number in 0..=COMMITS {
        let row = store.get(ROWS, &[number]).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(row, (number < steps).then(|| vec![number; 20_000]), "{context}: step {number} of {steps}");
    }
    steps
}

/// Runs with the disk failing from its n-th change on, `times` times; whether it came to that.
fn run(after: u64, times: u64, kind: ErrorKind) -> bool {
    let context = format!("{kind} at change {after}, {times} times");
    let disk = empty();
    disk.arm(Failure { after, times, kind });
    let mut acknowledged = 0;
    match open(&disk) {
        Ok(store) => {
            let mut failed = false;
            for number in 0..COMMITS {
                match store.commit(&step(number)) {
                    Ok(()) => {
                        assert!(!failed, "{context}: a commit after a failed one");
                        acknowledged = number + 1;
                    }
                    Err(error) if failed => assert_eq!(error, StoreError::Poisoned, "{context}"),
                    Err(error) => {
                        let full = matches!(error, StoreError::Full { .. });
                        assert_eq!(full, kind == ErrorKind::StorageFull, "{context}: {error}");
                        failed = true;
                    }
                }
            }
            let seen = steps(&store, &context);
            assert!(seen == acknowledged || (failed && seen == acknowledged + 1), "{context}: reads after a failure");
        }
        Err(OpenError::Store(StoreError::Full { .. } | StoreError::Disk { .. } | StoreError::Poisoned)) => {}
        Err(error) => panic!("{context}: {error}"),
    }
    let fired = disk.disarm();
    let store = open(&disk).unwrap_or_else(|error| panic!("{context}: opening anew: {error}"));
    let found = steps(&store, &context);
    assert!(found == acknowledged || found == acknowledged + 1, "{context}: {found} of {acknowledged} steps");
    store.commit(&step(found)).unwrap_or_else(|error| panic!("{context}: writing on: {error}"));
    drop(store);
    assert_eq!(steps(&open(&disk).expect("the store"), &context), found + 1);
    fired
}

#[test]
fn a_failure_at_any_change_loses_nothing_acknowledged() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for times in [1, u64::MAX] {
            let reached = (0..10_000).take_while(|after| run(*after, times, kind)).count();
            assert!(reached > 5 * usize::from(COMMITS), "{reached} changes were tried");
        }
    }
}

/// Writes until there is no room from the n-th change on; then there is room again, and the same handle goes on. Whether it came
/// to that.
fn run_on(after: u64, times: u64) -> bool {
    let context = format!("full at change {after}, {times} times");
    let disk = empty();
    let store = open(&disk).expect("it is sound");
    disk.arm(Failure { after, times, kind: ErrorKind::StorageFull });
    let acknowledged = (0..COMMITS).take_while(|number| store.commit(&step(*number)).is_ok()).count();
    let mut seen = steps(&store, &context);
    assert!(usize::from(seen) == acknowledged || usize::from(seen) == acknowledged + 1, "{context}: reads");
    // Where the header itself could not be made durable, that is tried again.
    if store.reopen().is_err() {
        assert_eq!(store.commit(&step(seen)), Err(StoreError::Poisoned), "{context}: an unsettled store takes nothing");
    }
    let fired = disk.disarm();
    store.reopen().unwrap_or_else(|error| panic!("{context}: {error}"));
    while seen < COMMITS {
        assert_eq!(steps(&store, &context), seen, "{context}");
        store.commit(&step(seen)).unwrap_or_else(|error| panic!("{context}: writing on: {error}"));
        seen += 1;
    }
    drop(store);
    assert_eq!(steps(&open(&disk).expect("the store"), &context), COMMITS, "{context}");
    fired
}

#[test]
fn once_there_is_room_the_same_handle_goes_on() {
    for times in [1, 3, u64::MAX] {
        let reached = (0..10_000).take_while(|after| run_on(*after, times)).count();
        assert!(reached > 5 * usize::from(COMMITS), "{reached} changes were tried");
    }
}

#[test]
fn a_disk_that_broke_is_not_taken_for_one_that_was_full() {
    let disk = empty();
    let store = open(&disk).expect("it is sound");
    disk.arm(Failure { after: 3, times: 1, kind: ErrorKind::Other });
    while store.commit(&step(0)).is_ok() {}
    assert_eq!(store.reopen(), Err(StoreError::Poisoned));
    assert_eq!(store.commit(&step(0)), Err(StoreError::Poisoned));
}

#[test]
fn a_creation_that_fails_can_be_repeated_on_an_emptied_disk() {
    let mut failures = 0;
    for after in 0..10_000 {
        let disk = MemoryDisk::default();
        disk.arm(Failure { after, times: u64::MAX, kind: ErrorKind::StorageFull });
        let created =
            RedbStore::on_disk(disk.clone()).and_then(|below| SealedStore::create(below, &root_key(), random()));
        match created {
            Ok(store) => {
                drop(store);
                break;
            }
            Err(error) => {
                assert!(matches!(error, OpenError::Store(_)), "{error}");
                failures += 1;
            }
        }
    }
    assert!(failures > 5, "{failures} changes were tried");
}
