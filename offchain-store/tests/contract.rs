//! Each store of this crate keeps the contract of stores.

mod support;

use offchain_store::{RedbStore, SealedStore};
use offchain_testkit::{MemoryStore, Opener, store_contract};
use support::{MemoryDisk, random, root_key};
use walytis_core::Store;

/// An opener that creates the first time.
fn opener<S: Store + 'static>(create: impl Fn() -> S + 'static, reopen: impl Fn() -> S + 'static) -> Opener {
    let created = std::cell::Cell::new(false);
    Box::new(move || if created.replace(true) { Box::new(reopen()) } else { Box::new(create()) })
}

#[test]
fn redb_on_a_file_keeps_the_contract() {
    store_contract(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows");
        std::fs::File::create(&path).expect("a file");
        let again = path.clone();
        let create = move || {
            let _kept_until_dropped = &folder;
            RedbStore::on_disk(offchain_store::FileDisk::open(&path).expect("a disk")).expect("an empty store")
        };
        opener(create, move || RedbStore::open(&again).expect("the same store"))
    });
}

#[test]
fn redb_sealed_keeps_the_contract() {
    store_contract(|| {
        let disk = MemoryDisk::default();
        let again = disk.clone();
        let create = move || {
            let below = RedbStore::on_disk(disk.clone()).expect("an empty store");
            SealedStore::create(below, &root_key(), random()).expect("a sealed store")
        };
        let reopen = move || {
            let below = RedbStore::on_disk(again.clone()).expect("the same store");
            SealedStore::open(below, &root_key(), random()).expect("the same sealed store")
        };
        opener(create, reopen)
    });
}

#[test]
fn memory_sealed_keeps_the_contract() {
    store_contract(|| {
        let rows = MemoryStore::new();
        let again = rows.clone();
        let create = move || SealedStore::create(rows.clone(), &root_key(), random()).expect("a sealed store");
        let reopen = move || SealedStore::open(again.reopened(), &root_key(), random()).expect("the same store");
        opener(create, reopen)
    });
}
