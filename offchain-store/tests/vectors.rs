//! The vectors beside the description of the format. The random source gives 00 01 02 ... ff 00 ...

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

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
    assert_eq!(
        slot(&Unlock::key([0xAA; 32]), KdfCost::DEFAULT),
        "77616c796b657973010002000000000000000000000000000100000000000000303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f5051525354555657b2a0a53786ed04aa5fea3eae5968ae4dbbb9abf3b72ada2e0c44e553410e299c678dcb5873c6b67dc3e30b01c9728cf4628d0a731bde466383e7a1e897488640b42ea152f9fa9744e66a87949eae0f2f58f450494d4c4b9a8bba756387f8e46d"
    );
}

#[test]
fn key_file_under_a_passphrase() {
    let cost = KdfCost::new(2, 64, 2).expect("a cost");
    assert_eq!(
        slot(&Unlock::passphrase("walytis"), cost),
        "77616c796b657973010001000200000040000000020000000100000000000000303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f50515253545556576c905f45b1e5e2794591367993c29fb8adc3dc2c5416f6db796c5f0c9ba716dffb56c3f2486c811461193f08485d317655c729bba6de415fef4a6fcbbfa8be4f8cffc347db69d857f690f361564d0bc8020099c406db2dc6430eca00a4b1e797"
    );
}

/// The root key of the vectors above: 00 ... 1f, for the store 20 ... 2f.
#[test]
fn rows_of_a_sealed_store() {
    let rows = MemoryStore::new();
    let root_key = RootKey::generate(&mut Counting::default());
    let store = SealedStore::create(rows.clone(), &root_key, Box::new(Counting::default())).expect("a store");
    let guard = || hex(&rows.get(ROOT, b"root").expect("a read").expect("the root row"));
    assert_eq!(
        guard(),
        "0337c4b25ef4fc629f4db212924a54a124ae4f37dbab1ed285000102030405060708090a0b0c0d0e0f1011121314151617"
    );

    store.commit(&put(ROWS, [0, 1], *b"value")).expect("a commit");
    assert_eq!(
        hex(&rows.get(ROWS, &[0, 1]).expect("a read").expect("the row")),
        "843e892f0f24ec38e2929c251f710d4a104442197918191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
    );

    let id: Vec<u8> = (0x40..0x60).collect();
    store.commit(&put(INDEX, [&[0, 9][..], &id].concat(), *b"value")).expect("a commit");
    let kept = rows.scan(Table::permanent(INDEX.name), KeyRange::all(), 9).expect("a scan").remove(0);
    assert_eq!(hex(&kept.key), "00093418ebd3d882abfef334e6101625a3e256addcea0afb77b329673a22001e542ba1dd8502a8628101");
    assert_eq!(
        hex(&kept.value),
        "8d65b02f84fe98602ef122015ff09840abec10967a48494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
    );

    store.commit(&put(STATE, [1], *b"value")).expect("a commit");
    assert_eq!(
        hex(&rows.get(STATE, &[1]).expect("a read").expect("the row")),
        "dcdaf2b1187a667384aaaf48b0fbc44ec61aa0e3ab78797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f"
    );
    assert_eq!(
        guard(),
        "03a6301e325e57b0eda79495ce4ee12e9706ae552d0e884abacafe0eed89f50ca282a49d0971e754e2cb38c46d2b9e119ccf1a040bb5ebbcab465eb5143855f0628fe291e9df909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7"
    );
}
