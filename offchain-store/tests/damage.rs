//! Files that were cut short or changed: an error, or what was written; never a panic, never something else (W3, W5).

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod support;

use offchain_store::{OpenError, RedbStore, SealedStore};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use support::{MemoryDisk, put, random, root_key};
use walytis_core::{Batch, KeyRange, Keys, Rows, Store, StoreError, Table};

const ROWS: Table = Table::permanent("test.rows");
const STATE: Table = Table::changing("test.state");
const INDEX: Table = Table::hidden("test.index");
const TABLES: [Table; 3] = [ROWS, STATE, INDEX];
/// Enough to meet some dozen of redb's panics, in a few seconds.
const DAMAGES: u64 = 3000;

fn key(table: Table, row: u8) -> Vec<u8> {
    if table.keys == Keys::Hidden { vec![row; 32] } else { vec![row] }
}

fn value(row: u8) -> Vec<u8> {
    vec![row; if row.is_multiple_of(25) { 9000 } else { usize::from(row) * 3 }]
}

/// A store of three tables with a hundred rows each, written in some dozen commits.
fn image() -> Vec<u8> {
    let disk = MemoryDisk::default();
    let below = RedbStore::on_disk(disk.clone()).expect("an empty store");
    let store = SealedStore::create(below, &root_key(), random()).expect("a sealed store");
    for rows in (0..100_u8).collect::<Vec<_>>().chunks(7) {
        let mut batch = Batch::new();
        for row in rows {
            TABLES.iter().for_each(|table| batch.put(*table, key(*table, *row), value(*row)));
        }
        store.commit(&batch).expect("a commit");
    }
    drop(store);
    disk.bytes()
}

fn damaged(image: &[u8], seed: u64) -> Vec<u8> {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut below = |end: usize| (random.next_u64() % end as u64) as usize;
    let mut bytes = image.to_vec();
    match seed % 8 {
        0 => bytes.truncate(below(image.len())),
        1 => {
            let start = below(image.len() / 512) * 512;
            bytes[start..start + 512].fill(0);
        }
        2 => {
            let (to, from) = (below(image.len() / 4096) * 4096, below(image.len() / 4096) * 4096);
            bytes.copy_within(from..from + 4096, to);
        }
        3 => bytes[below(4096)] ^= 1 << below(8),
        4 => bytes[below(image.len())] = below(256) as u8,
        _ => bytes[below(image.len())] ^= 1 << below(8),
    }
    bytes
}

fn open(bytes: Vec<u8>) -> Result<SealedStore<RedbStore>, OpenError> {
    SealedStore::open(RedbStore::on_disk(MemoryDisk::of(bytes))?, &root_key(), random())
}

#[test]
fn a_damaged_file_gives_an_error_or_the_rows_that_were_written() {
    let image = image();
    let mut refused = 0;
    let mut found = 0;
    for seed in 0..DAMAGES {
        let Ok(mut store) = open(damaged(&image, seed)) else {
            refused += 1;
            continue;
        };
        let mut missing = false;
        let mut errors = 0;
        for table in TABLES {
            for row in 0..100 {
                match store.get(table, &key(table, row)) {
                    Ok(Some(found)) => assert!(found == value(row), "seed {seed}: another value in {}", table.name),
                    Ok(None) => missing = true,
                    Err(_) => errors += 1,
                }
            }
            match store.scan(table, KeyRange::all(), 200) {
                Ok(rows) => {
                    let right = |key: &[u8], found: &[u8]| key.len() == 1 && found == value(key[0]);
                    assert!(rows.iter().all(|row| right(&row.key, &row.value)), "seed {seed}: another row");
                    missing |= rows.len() != 100;
                }
                Err(StoreError::Unordered { .. }) => {}
                Err(_) => errors += 1,
            }
        }
        // Writing on must not panic either.
        let _ = store.commit(&put(STATE, [7], *b"more"));
        found += u64::from(errors > 0);
        assert!(errors > 0 || !missing || store.check().is_err(), "seed {seed}: a missing row that no check finds");
    }
    assert!(refused > 100 && found > 20, "the damages did harm: {refused} refused, {found} found");
}

#[test]
fn a_row_missing_from_a_changing_table_is_found_on_opening() {
    let image = image();
    for seed in 0..DAMAGES / 4 {
        let Ok(store) = open(damaged(&image, seed)) else { continue };
        // What was sound while opening is in redb's memory now.
        for row in store.scan(STATE, KeyRange::all(), 200).into_iter().flatten() {
            assert!(row.value == value(row.key[0]), "seed {seed}");
        }
        assert!(store.scan(STATE, KeyRange::all(), 200).is_ok_and(|rows| rows.len() == 100), "seed {seed}");
    }
    assert!(STATE.rows == Rows::Changing);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let refused = |bytes: Vec<u8>| {
        let opened = RedbStore::on_disk(MemoryDisk::of(bytes));
        assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{opened:?}");
    };
    refused(b"#!/bin/sh\n".to_vec());
    refused(vec![0; 100_000]);
    refused(vec![0xFF; 4096]);
    refused(image()[..320].to_vec());
}

#[test]
fn an_older_format_of_the_engine_is_named() {
    let mut bytes = image();
    // The first byte of each of redb's two commit slots is its format's number.
    bytes[64] = 2;
    bytes[192] = 2;
    let opened = RedbStore::on_disk(MemoryDisk::of(bytes));
    assert!(matches!(opened, Err(OpenError::UnknownFormat { number: 2, .. })), "{opened:?}");
}

#[test]
fn an_empty_file_is_not_taken_for_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    std::fs::write(&path, []).expect("an empty file");
    assert!(matches!(RedbStore::open(&path), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_flipped_bit_of_the_header_never_shows_an_earlier_state() {
    let disk = MemoryDisk::default();
    let store = RedbStore::on_disk(disk.clone()).expect("an empty store");
    for row in 0..3 {
        store.commit(&put(ROWS, [row], value(row))).expect("a commit");
    }
    // Not closed: the other commit slot is a commit older.
    let image = disk.bytes();
    let mut refused = 0;
    for bit in 0..336 * 8 {
        let mut bytes = image.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match RedbStore::on_disk(MemoryDisk::of(bytes)) {
            Ok(store) => {
                let rows = store.scan(ROWS, KeyRange::all(), 9);
                assert!(rows.is_ok_and(|rows| rows.len() == 3), "bit {bit}: a commit is gone");
            }
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. } | OpenError::UnknownFormat { .. }), "{bit}: {error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 336 * 8, "no bit of the header or its digest may change");
}

#[test]
fn a_file_that_only_redb_wrote_to_opens() {
    let mut bytes = image();
    bytes[320..336].fill(0);
    assert!(open(bytes).is_ok(), "there was no digest to compare with");
}
