//! A store in a folder: creating, opening, locking, and what lies in its files.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod support;

use std::fs;
use std::path::Path;

use offchain_store::{KEYS_FILE, KdfCost, OpenError, STORE_FILE, Unlock, change_unlock, create, open};
use support::put;
use walytis_core::{Store, Table};

const COST: KdfCost = KdfCost::MINIMUM;
const ROWS: Table = Table::permanent("test.rows");
const STATE: Table = Table::changing("test.state");
const INDEX: Table = Table::hidden("test.index");

fn words(words: &str) -> Unlock {
    Unlock::passphrase(words)
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("its bytes")))
        .collect();
    files.sort();
    files
}

#[test]
fn a_stolen_folder_shows_no_plaintext() {
    let folder = tempfile::tempdir().expect("a folder");
    let canary = *b"CANARY-0123456789-CANARY-0123456";
    let store = create(folder.path(), &words("CANARY-PASSPHRASE"), COST).expect("a store");
    for table in [ROWS, STATE] {
        store.commit(&put(table, [1], canary)).expect("a commit");
        store.commit(&put(table, [2], canary.repeat(5000))).expect("a commit");
    }
    store.commit(&put(INDEX, canary, canary)).expect("a commit");
    let search = |when: &str| {
        let files = files(folder.path());
        assert_eq!(files.len(), 2, "the keys and the records");
        for (name, bytes) in files {
            assert!(!bytes.windows(6).any(|part| part == b"CANARY"), "a canary is in {name} {when}");
        }
    };
    search("while it is open");
    drop(store);
    search("after it was closed");
    let store = open(folder.path(), &words("CANARY-PASSPHRASE")).expect("the store");
    assert_eq!(store.get(INDEX, &canary), Ok(Some(canary.to_vec())));
    assert_eq!(store.get(STATE, &[2]), Ok(Some(canary.repeat(5000))));
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(create(folder.path(), &words("right"), COST).expect("a store"));
    let before = files(folder.path());
    for unlock in [words("wrong"), words(""), Unlock::key([0; 32])] {
        assert!(open(folder.path(), &unlock).is_err());
        assert!(change_unlock(folder.path(), &unlock, &words("mine"), COST).is_err());
    }
    assert!(files(folder.path()) == before);
    assert!(open(folder.path(), &words("right")).is_ok());
}

#[test]
fn the_passphrase_can_be_changed_while_the_store_is_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(folder.path(), &words("old"), COST).expect("a store");
    change_unlock(folder.path(), &words("old"), &Unlock::key([3; 32]), COST).expect("a change");
    store.commit(&put(STATE, [1], *b"x")).expect("a commit");
    drop(store);
    assert!(matches!(open(folder.path(), &words("old")), Err(OpenError::OtherUnlock { .. })));
    let store = open(folder.path(), &Unlock::key([3; 32])).expect("the store");
    assert_eq!(store.get(STATE, &[1]), Ok(Some(b"x".to_vec())));
}

#[test]
fn a_second_handle_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = create(folder.path(), &words("w"), COST).expect("a store");
    for _ in 0..2 {
        let second = open(folder.path(), &words("w"));
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
        first.commit(&put(STATE, [1], *b"x")).expect("a commit");
    }
    drop(first);
    let first = open(folder.path(), &words("w")).expect("the store");
    assert!(matches!(open(folder.path(), &words("w")), Err(OpenError::InUse { .. })), "after opening anew too");
    drop(first);
}

#[test]
fn creating_over_a_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(create(folder.path(), &words("w"), COST).expect("a store"));
    let before = files(folder.path());
    let again = || create(folder.path(), &words("other"), COST);
    assert!(matches!(again(), Err(OpenError::Exists { .. })));
    fs::rename(folder.path().join(KEYS_FILE), folder.path().join("aside")).expect("keys put aside");
    assert!(matches!(again(), Err(OpenError::Exists { .. })), "records without keys may be wanted still");
    fs::rename(folder.path().join("aside"), folder.path().join(KEYS_FILE)).expect("keys put back");
    fs::remove_file(folder.path().join("store.redb.new")).ok();
    assert!(files(folder.path()) == before);
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = |name: &str| match open(folder.path(), &words("w")) {
        Err(OpenError::NotFound { what }) => assert!(what.ends_with(name), "{what}"),
        opened => panic!("{opened:?}"),
    };
    missing(KEYS_FILE);
    drop(create(folder.path(), &words("w"), COST).expect("a store"));
    fs::remove_file(folder.path().join(STORE_FILE)).expect("lost records");
    missing(STORE_FILE);
}

#[test]
fn the_folder_is_made_and_files_of_another_store_do_not_fit() {
    let parent = tempfile::tempdir().expect("a folder");
    let [one, two] = ["a/b/one", "a/two"].map(|name| parent.path().join(name));
    for folder in [&one, &two] {
        drop(create(folder, &words("w"), COST).expect("a store"));
    }
    fs::copy(one.join(STORE_FILE), two.join(STORE_FILE)).expect("a copy");
    assert!(matches!(open(&two, &words("w")), Err(OpenError::Damaged { .. })));
}

/// The steps of a creation are: the records beside their place, the keys, the records' name.
#[test]
fn a_creation_cut_short_is_completed_or_starts_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let [keys, records, scratch] = [KEYS_FILE, STORE_FILE, "store.redb.new"].map(|name| folder.path().join(name));

    for leftovers in [&b""[..], b"half a header", &[0; 5000]] {
        fs::write(&scratch, leftovers).expect("leftovers");
        assert!(matches!(open(folder.path(), &words("w")), Err(OpenError::NotFound { .. })), "it does not exist yet");
        drop(create(folder.path(), &words("w"), COST).expect("creating starts anew"));
        assert!(!scratch.exists());

        fs::rename(&records, &scratch).expect("the last step undone");
        assert!(matches!(create(folder.path(), &words("v"), COST), Err(OpenError::Exists { .. })));
        let store = open(folder.path(), &words("w")).expect("opening completes it");
        store.commit(&put(STATE, [1], *b"x")).expect("a commit");
        drop(store);
        assert!(!scratch.exists() && records.exists());
        fs::remove_file(&keys).expect("cleared");
        fs::remove_file(&records).expect("cleared");
    }
}
