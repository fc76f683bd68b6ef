//! What a handle leaves behind when it is closed.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod support;

use offchain_store::{OpenError, RedbStore, SealedStore};
use support::{MemoryDisk, put, random, root_key};
use walytis_core::{Store, Table};

const ROWS: Table = Table::permanent("test.rows");

fn open(disk: &MemoryDisk) -> SealedStore<RedbStore> {
    let below = RedbStore::on_disk(disk.clone()).expect("the store");
    SealedStore::open(below, &root_key(), random()).expect("the store")
}

#[test]
fn opening_and_reading_write_nothing() {
    let disk = MemoryDisk::default();
    let below = RedbStore::on_disk(disk.clone()).expect("an empty store");
    let store = SealedStore::create(below, &root_key(), random()).expect("a sealed store");
    store.commit(&put(ROWS, [1], [1; 100])).expect("a commit");
    let crashed = disk.bytes();
    drop(store);
    for bytes in [crashed, disk.bytes()] {
        let disk = MemoryDisk::of(bytes.clone());
        let store = open(&disk);
        assert!(store.get(ROWS, &[1]).is_ok_and(|row| row.is_some()));
        drop(store);
        assert!(disk.bytes() == bytes);
    }
}

#[test]
fn what_was_cut_off_a_closed_store_is_missed() {
    let disk = MemoryDisk::default();
    let below = RedbStore::on_disk(disk.clone()).expect("an empty store");
    drop(SealedStore::create(below, &root_key(), random()).expect("a sealed store"));
    let store = open(&disk);
    store.commit(&put(ROWS, [1], [1; 100])).expect("a commit");
    drop(store);
    let bytes = disk.bytes();
    for cut in [1, 4095, 4096, 8192, bytes.len() / 2] {
        let opened = RedbStore::on_disk(MemoryDisk::of(bytes[..bytes.len() - cut].to_vec()));
        assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{cut} bytes are cut off: {opened:?}");
    }
}

#[test]
fn space_is_used_again_however_often_a_store_is_opened() {
    let disk = MemoryDisk::default();
    let below = RedbStore::on_disk(disk.clone()).expect("an empty store");
    drop(SealedStore::create(below, &root_key(), random()).expect("a sealed store"));
    let first = disk.bytes().len();
    for round in 0..400_u16 {
        // 12 MB in all, of which 60 kB are there at a time.
        let store = open(&disk);
        store.commit(&put(ROWS, [(round % 2) as u8], vec![round as u8; 30_000])).expect("a commit");
    }
    let mut store = open(&disk);
    store.check().expect("sound");
    assert!(disk.bytes().len() <= 2 * first, "{} bytes, and {first} at first", disk.bytes().len());
}
