//! Rows of indexes of ids are logged before they go into their tables; no reader can tell.

use offchain_store::{FileDisk, RedbStore};
use offchain_testkit::MemoryStore;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use walytis_core::{Batch, ID_PREFIX_BYTES, Store, Table};

const INDEX: Table = Table::hidden("test.index");
const ROWS: Table = Table::permanent("test.rows");

/// More rows than the log takes twice.
const COMMITS: u32 = 400;
const AT_A_TIME: u64 = 60;

fn key(number: u64) -> Vec<u8> {
    let mut key = vec![7];
    // Ids of which several begin alike.
    key.extend_from_slice(blake3::hash(&(number % 3_000).to_le_bytes()).as_bytes().first_chunk::<4>().unwrap());
    key.extend_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..28]);
    key
}

fn same(store: &RedbStore, model: &MemoryStore, number: u64) {
    let key = key(number);
    assert_eq!(store.get(INDEX, &key).unwrap(), model.get(INDEX, &key).unwrap(), "row {number}");
    let first: [u8; ID_PREFIX_BYTES] = key[1..][..ID_PREFIX_BYTES].try_into().unwrap();
    let found = |store: &dyn Store| {
        let mut found = store.by_prefix(INDEX, &[7], first, 100).unwrap();
        found.sort_unstable();
        found
    };
    assert_eq!(found(store), found(model), "rows that begin as {number}");
}

#[test]
fn an_index_reads_as_if_each_row_went_into_its_table_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::File::create_new(&path).unwrap();
    let open = || RedbStore::on_disk(FileDisk::open(&path).unwrap()).unwrap();
    let (mut store, model) = (open(), MemoryStore::default());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut newest = 0;
    for commit in 0..COMMITS {
        let mut batch = Batch::new();
        for _ in 0..rng.next_u64() % AT_A_TIME + 20 {
            newest += 1;
            batch.put(INDEX, key(newest), newest.to_le_bytes());
            batch.put(ROWS, newest.to_be_bytes(), [0; 20]);
        }
        // Older ones are removed, or replaced by longer ones, which are not logged, and by others, which are.
        for _ in 0..rng.next_u64() % 6 {
            let number = rng.next_u64() % newest + 1;
            match rng.next_u64() % 3 {
                0 => batch.delete(INDEX, key(number)),
                1 => batch.put(INDEX, key(number), vec![commit as u8; 100]),
                _ => batch.put(INDEX, key(number), commit.to_le_bytes()),
            }
        }
        store.commit(&batch).unwrap();
        model.commit(&batch).unwrap();
        for _ in 0..20 {
            same(&store, &model, rng.next_u64() % newest + 1);
        }
        same(&store, &model, newest);
        if rng.next_u64().is_multiple_of(40) {
            drop(store);
            store = open();
        }
    }
    assert!(newest > 16_384, "the log was emptied twice: {newest} rows");
    (1..=newest).for_each(|number| same(&store, &model, number));
    drop(store);
    let mut store = open();
    (1..=newest).for_each(|number| same(&store, &model, number));
    store.check().unwrap();
}
