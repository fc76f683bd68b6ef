//! Closing writes nothing: whatever a handle leaves behind, the next one finds it at once, and space is used again.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod support;

use offchain_store::{RedbStore, SealedStore};
use support::{MemoryDisk, put, random, root_key};
use walytis_core::{Store, Table};

const ROWS: Table = Table::permanent("test.rows");

fn open(disk: &MemoryDisk) -> SealedStore<RedbStore> {
    let below = RedbStore::on_disk(disk.clone()).expect("the store");
    SealedStore::open(below, &root_key(), random()).expect("the store")
}

#[test]
fn closing_writes_nothing() {
    let disk = MemoryDisk::default();
    let below = RedbStore::on_disk(disk.clone()).expect("an empty store");
    let store = SealedStore::create(below, &root_key(), random()).expect("a sealed store");
    store.commit(&put(ROWS, [1], [1; 100])).expect("a commit");
    let before = disk.bytes();
    drop(store);
    assert!(disk.bytes() == before);
    drop(open(&disk));
    assert!(disk.bytes() == before, "nor do opening and reading");
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
