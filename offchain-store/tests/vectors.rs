//! The vectors beside the description of the format. The random source gives 00 01 02 ... ff 00 ...

mod support;

use offchain_store::{KdfCost, KeyFile, RootKey, SealedStore, Unlock};
use offchain_testkit::MemoryStore;
use support::{Counting, put};
use walytis_core::{KeyRange, Store, Table};

const ROWS: Table = Table::permanent("vector.rows");
const INDEX: Table = Table::hidden("vector.index");
const STATE: Table = Table::changing("vector.state");
const ROOT: Table = Table::changing("offchain-store.root");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The slot of a key file, made with the random source from its beginning.
fn slot(unlock: &Unlock, cost: KdfCost) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    KeyFile::at(&path).create(unlock, cost, &mut Counting::default()).expect("a key file");
    let bytes = std::fs::read(&path).expect("its bytes");
    assert_eq!(bytes[..168], bytes[4096..4096 + 168], "both slots are the same");
    assert_eq!(bytes.len(), 8192);
    assert!(bytes[168..4096].iter().chain(&bytes[4096 + 168..]).all(|byte| *byte == 0));
    hex(&bytes[..168])
}

#[test]
fn key_file_under_a_raw_key() {
    assert_eq!(slot(&Unlock::key([0xAA; 32]), KdfCost::DEFAULT), "KEYSLOT");
}

#[test]
fn key_file_under_a_passphrase() {
    let cost = KdfCost::new(2, 64, 2).expect("a cost");
    assert_eq!(slot(&Unlock::passphrase("walytis"), cost), "PASSSLOT");
}

/// The root key of the vectors above: 00 ... 1f, for the store 20 ... 2f.
#[test]
fn rows_of_a_sealed_store() {
    let rows = MemoryStore::new();
    let root_key = RootKey::generate(&mut Counting::default());
    let store = SealedStore::create(rows.clone(), &root_key, Box::new(Counting::default())).expect("a store");
    let guard = || hex(&rows.get(ROOT, b"root").expect("a read").expect("the root row"));
    assert_eq!(guard(), "ROOTA");

    store.commit(&put(ROWS, [0, 1], *b"value")).expect("a commit");
    assert_eq!(hex(&rows.get(ROWS, &[0, 1]).expect("a read").expect("the row")), "ROWV");

    let id: Vec<u8> = (0x40..0x60).collect();
    store.commit(&put(INDEX, [&[0, 9][..], &id].concat(), *b"value")).expect("a commit");
    let kept = rows.scan(Table::permanent(INDEX.name), KeyRange::all(), 9).expect("a scan").remove(0);
    assert_eq!(hex(&kept.key), "HIDK");
    assert_eq!(hex(&kept.value), "HIDV");

    store.commit(&put(STATE, [1], *b"value")).expect("a commit");
    assert_eq!(hex(&rows.get(STATE, &[1]).expect("a read").expect("the row")), "STATV");
    assert_eq!(guard(), "ROOTB");
}
