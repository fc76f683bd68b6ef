//! What a key file refuses, survives and forgets.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use offchain_store::{KdfCost, KeyFile, OpenError, SealedStore, Unlock, UnlockKind};
use offchain_testkit::MemoryStore;
use support::random;
use tempfile::TempDir;

const COST: KdfCost = KdfCost::MINIMUM;
/// Where the slots begin, and where a slot's parts do (see the crate's format).
const SLOTS: [usize; 2] = [0, 4096];
const SLOT_BYTES: usize = 168;
const CHECKED_BYTES: usize = 136;

fn words(words: &str) -> Unlock {
    Unlock::passphrase(words)
}

/// A new key file locked by "old", and its bytes.
fn created() -> (TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    KeyFile::at(&path).create(&words("old"), COST, &mut *random()).expect("a key file");
    let bytes = fs::read(&path).expect("its bytes");
    (folder, path, bytes)
}

fn opens(path: &Path, by: &str) -> bool {
    match KeyFile::at(path).open(&words(by)) {
        Ok(_) => true,
        Err(OpenError::WrongUnlock { kind: UnlockKind::Passphrase, .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Whether both files' root keys are the same: what one of them sealed, the other opens.
fn same_root(left: &Path, left_words: &str, right: &Path, right_words: &str) -> bool {
    let rows = MemoryStore::new();
    let left = KeyFile::at(left).open(&words(left_words)).expect("a root key");
    let right = KeyFile::at(right).open(&words(right_words)).expect("a root key");
    drop(SealedStore::create(rows.clone(), &left, random()).expect("a store"));
    SealedStore::open(rows, &right, random()).is_ok()
}

#[test]
fn the_same_passphrase_gives_the_same_root_key() {
    let (_folder, path, bytes) = created();
    assert!(same_root(&path, "old", &path, "old"));
    assert_eq!(fs::read(&path).expect("its bytes"), bytes, "opening changes nothing");
    let (_other_folder, other, _) = created();
    assert!(!same_root(&path, "old", &other, "old"), "each file has a root key of its own");
}

#[test]
fn a_raw_key_needs_no_passphrase() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = KeyFile::at(folder.path().join("keys"));
    file.create(&Unlock::key([7; 32]), KdfCost::DEFAULT, &mut *random()).expect("a key file");
    assert!(file.open(&Unlock::key([7; 32])).is_ok());
    let wrong = file.open(&Unlock::key([8; 32]));
    assert!(matches!(wrong, Err(OpenError::WrongUnlock { kind: UnlockKind::Key, .. })));
    let other = file.open(&words("old"));
    assert!(matches!(other, Err(OpenError::OtherUnlock { wanted: UnlockKind::Key, .. })));
}

#[test]
fn a_wrong_passphrase_is_said_and_changes_nothing() {
    let (_folder, path, bytes) = created();
    let file = KeyFile::at(&path);
    let opened = file.open(&words("Old")).expect_err("a wrong passphrase");
    assert!(opened.to_string().starts_with("wrong passphrase for "), "{opened}");
    let changed = file.change(&words("wrong"), &words("new"), COST, &mut *random());
    assert!(matches!(changed, Err(OpenError::WrongUnlock { .. })));
    assert_eq!(fs::read(&path).expect("its bytes"), bytes);
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let (_folder, path, bytes) = created();
    let again = KeyFile::at(&path).create(&words("new"), COST, &mut *random());
    assert!(matches!(again, Err(OpenError::Exists { .. })));
    assert_eq!(fs::read(&path).expect("its bytes"), bytes);
}

#[test]
fn a_missing_file_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = KeyFile::at(folder.path().join("keys")).open(&words("old"));
    assert!(matches!(opened, Err(OpenError::NotFound { .. })));
}

#[test]
fn leftovers_of_a_creation_cut_short_are_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("keys.new"), [0xEE; 9000]).expect("leftovers");
    let path = folder.path().join("keys");
    KeyFile::at(&path).create(&words("old"), COST, &mut *random()).expect("a key file");
    assert_eq!(fs::read(&path).expect("its bytes").len(), 8192);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path, _) = created();
    assert_eq!(fs::metadata(path).expect("its mode").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_change_forgets_the_old_passphrase_and_keeps_the_root_key() {
    let (_folder, path, before) = created();
    let copy = path.with_file_name("copy");
    fs::write(&copy, &before).expect("a copy");
    KeyFile::at(&path).change(&words("old"), &words("new"), COST, &mut *random()).expect("a change");
    assert!(!opens(&path, "old"));
    assert!(same_root(&path, "new", &copy, "old"));
    let after = fs::read(&path).expect("its bytes");
    for start in SLOTS {
        let wrapped = |bytes: &[u8]| bytes[start + 72..start + CHECKED_BYTES].to_vec();
        assert_ne!(wrapped(&after), wrapped(&before), "nothing of the old lock remains");
    }
}

#[test]
fn one_damaged_slot_is_mended_from_the_other() {
    let (_folder, path, sound) = created();
    for start in SLOTS {
        for at in 0..SLOT_BYTES {
            let mut bytes = sound.clone();
            bytes[start + at] ^= 0x10;
            fs::write(&path, &bytes).expect("a damaged file");
            assert!(opens(&path, "old"), "byte {at} of the slot at {start}");
            // A number of an unknown format is a newer program's business; anything else is mended.
            let expected = if (8..10).contains(&at) { &bytes } else { &sound };
            assert!(fs::read(&path).expect("its bytes") == *expected, "byte {at} of the slot at {start}");
        }
    }
    fs::write(&path, &sound[..SLOTS[1] + 5]).expect("a file cut short");
    assert!(opens(&path, "old"));
    assert_eq!(fs::read(&path).expect("its bytes").len(), SLOTS[1] + SLOT_BYTES, "both slots are whole again");
}

#[test]
fn two_damaged_slots_are_damage() {
    let (_folder, path, sound) = created();
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("a damaged file");
        for unlock in [words("old"), words("wrong"), Unlock::key([1; 32])] {
            assert!(matches!(KeyFile::at(&path).open(&unlock), Err(OpenError::Damaged { .. })));
        }
    };
    let mut bytes = sound.clone();
    SLOTS.iter().for_each(|start| bytes[start + 80] ^= 1);
    check(&bytes);
    check(&[]);
    check(&sound[..SLOT_BYTES - 1]);
    check(&[0; 8192]);
}

#[test]
fn an_unknown_format_is_named() {
    let (_folder, path, mut bytes) = created();
    SLOTS.iter().for_each(|start| bytes[start + 8..start + 10].copy_from_slice(&513_u16.to_le_bytes()));
    fs::write(&path, bytes).expect("a newer file");
    let opened = KeyFile::at(&path).open(&words("old"));
    assert!(matches!(opened, Err(OpenError::UnknownFormat { number: 513, .. })), "{opened:?}");
}

#[test]
fn a_hostile_cost_is_refused_before_it_is_paid() {
    let (_folder, path, sound) = created();
    let check = |at: usize, value: u32| {
        let mut bytes = sound.clone();
        for start in SLOTS {
            bytes[start + at..start + at + 4].copy_from_slice(&value.to_le_bytes());
            let sum = *blake3::hash(&bytes[start..start + CHECKED_BYTES]).as_bytes();
            bytes[start + CHECKED_BYTES..start + SLOT_BYTES].copy_from_slice(&sum);
        }
        fs::write(&path, bytes).expect("a hostile file");
        assert!(matches!(KeyFile::at(&path).open(&words("old")), Err(OpenError::Damaged { .. })), "{at} {value}");
    };
    check(12, u32::MAX);
    check(16, u32::MAX);
    check(16, KdfCost::MEMORY_KIB_MAX + 1);
    check(20, u32::MAX);
    check(12, 0);
    check(20, 0);
}

/// After each instant of a change one passphrase opens the file; once it opens by the new, the old is overwritten.
#[test]
fn a_change_cut_short_anywhere_leaves_one_lock() {
    let (_folder, path, old) = created();
    KeyFile::at(&path).change(&words("old"), &words("new"), COST, &mut *random()).expect("a change");
    let new = fs::read(&path).expect("its bytes");
    for [first, second] in [SLOTS, [SLOTS[1], SLOTS[0]]] {
        for (slot, already) in [(first, &old), (second, &new)] {
            for written in 0..=SLOT_BYTES {
                let mut bytes = old.clone();
                if already == &new {
                    bytes[first..first + SLOT_BYTES].copy_from_slice(&new[first..first + SLOT_BYTES]);
                }
                bytes[slot..slot + written].copy_from_slice(&new[slot..slot + written]);
                fs::write(&path, &bytes).expect("a change cut short");
                let durable = already == &new || written == SLOT_BYTES;
                let (works, fails) = if durable { ("new", "old") } else { ("old", "new") };
                assert!(!opens(&path, fails), "{fails} with {written} bytes at {slot}");
                assert!(opens(&path, works), "{works} with {written} bytes at {slot}");
                let settled = fs::read(&path).expect("its bytes");
                assert!(&settled == if durable { &new } else { &old }, "opening completes or undoes the change");
            }
        }
    }
}

#[test]
fn a_half_that_is_damaged_is_seen_until_opening_mends_it() {
    let (_folder, path, old) = created();
    assert!(KeyFile::at(&path).is_whole().expect("read"));
    for damaged in [100, SLOTS[1] + 100] {
        let mut bytes = old.clone();
        bytes[damaged] ^= 1;
        fs::write(&path, &bytes).expect("damaged");
        assert!(!KeyFile::at(&path).is_whole().expect("read"), "{damaged}");
        assert!(opens(&path, "old"));
        assert!(KeyFile::at(&path).is_whole().expect("read"), "{damaged}");
    }
    fs::write(&path, &old[..SLOTS[1] + 10]).expect("cut");
    assert!(!KeyFile::at(&path).is_whole().expect("read"));
    assert!(matches!(KeyFile::at(path.with_extension("not")).is_whole(), Err(OpenError::NotFound { .. })));
}

#[test]
fn a_file_in_use_is_not_changed() {
    let (_folder, path, bytes) = created();
    let held = fs::File::open(&path).expect("the file");
    held.lock().expect("its lock");
    let changed = KeyFile::at(&path).change(&words("old"), &words("new"), COST, &mut *random());
    assert!(matches!(changed, Err(OpenError::InUse { .. })));
    assert_eq!(fs::read(&path).expect("its bytes"), bytes);
}
