//! The store in memory keeps the contract that it is used to test others by.

use offchain_testkit::{MemoryStore, store_contract};
use walytis_core::{Batch, Store, StoreError, Table};

const TABLE: Table = Table::permanent("test.rows");

#[test]
fn the_memory_store_keeps_the_contract() {
    store_contract(|| {
        let store = MemoryStore::new();
        Box::new(move || Box::new(store.reopened()))
    });
}

#[test]
fn the_commit_that_was_told_to_fail_fails_and_poisons() {
    let store = MemoryStore::new();
    let full = StoreError::Full { reason: "told to".to_owned() };
    store.fail_commit(2, full.clone());
    let results: Vec<_> = (0..5_u8).map(|key| store.commit(&put(key))).collect();
    assert_eq!(results, [Ok(()), Ok(()), Err(full), Err(StoreError::Poisoned), Err(StoreError::Poisoned)]);
    assert_eq!(store.get(TABLE, &[1]), Ok(Some(vec![1])), "reads still work");
    assert_eq!(store.get(TABLE, &[2]), Ok(None), "nothing of the failed batch is there");
    let anew = MemoryStore::from_snapshot(store.snapshot());
    assert_eq!(anew.commit(&put(2)), Ok(()), "opening it anew takes the poison away");
    assert_eq!(anew.raw_bytes().count(), 6, "three keys and three values");
}

fn put(key: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put(TABLE, [key], [key]);
    batch
}
