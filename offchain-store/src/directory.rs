//! A store in a folder: its keys and its records.

use std::path::Path;

use crate::disk::FileDisk;
use crate::kdf::KdfCost;
use crate::key_file::KeyFile;
use crate::open_error::OpenError;
use crate::redb_store::RedbStore;
use crate::scratch::{make_folder, open_scratch, scratch_path, settle};
use crate::sealed_store::{SealedStore, system_random};
use crate::secrets::{RootKey, Unlock};

/// The name, in a store's folder, of the file that keeps its root key.
pub const KEYS_FILE: &str = "keys";

/// The name, in a store's folder, of the file that keeps its records.
pub const STORE_FILE: &str = "store.redb";

/// Creates a store in the folder `folder`, which is made if need be, and opens it. `cost` counts for a passphrase only.
///
/// After a crash inside it either nothing counts as created, and creating anew works, or [`open`] completes it.
///
/// # Errors
/// [`OpenError::Exists`], [`OpenError::InUse`], [`OpenError::Cost`], [`OpenError::Random`], [`OpenError::Io`] or
/// [`OpenError::Store`].
pub fn create(folder: impl AsRef<Path>, unlock: &Unlock, cost: KdfCost) -> Result<SealedStore<RedbStore>, OpenError> {
    let folder = folder.as_ref();
    make_folder(folder)?;
    let keys = KeyFile::at(folder.join(KEYS_FILE));
    let records = folder.join(STORE_FILE);
    let mut random = system_random()?;
    let root = RootKey::generate(&mut *random);

    // The records come first, beside their place; the keys make the store exist; the last name only says so.
    let scratch = open_scratch(&records, &[keys.path(), &records])?;
    let store = RedbStore::on_disk_named(FileDisk::from_file(scratch), &records.display().to_string())?;
    let store = SealedStore::create(store, &root, system_random()?)?;
    keys.keep(&root, unlock, cost, &mut *random)?;
    settle(&records)?;
    Ok(store)
}

/// Opens the store in the folder `folder`, and compares its changing tables with their guard.
///
/// # Errors
/// [`OpenError::NotFound`], [`OpenError::InUse`], [`OpenError::WrongUnlock`], [`OpenError::OtherUnlock`],
/// [`OpenError::Damaged`], [`OpenError::UnknownFormat`], [`OpenError::Random`], [`OpenError::Io`] or
/// [`OpenError::Store`].
pub fn open(folder: impl AsRef<Path>, unlock: &Unlock) -> Result<SealedStore<RedbStore>, OpenError> {
    let folder = folder.as_ref();
    let root = KeyFile::at(folder.join(KEYS_FILE)).open(unlock)?;
    let records = folder.join(STORE_FILE);
    let exists = |path: &Path| path.try_exists().map_err(|error| OpenError::io(path, error));
    let scratch = scratch_path(&records);
    let half_created = !exists(&records)? && exists(&scratch)?;
    let store = RedbStore::open(if half_created { &scratch } else { &records })?;
    let store = SealedStore::open(store, &root, system_random()?)?;
    if half_created {
        // Its lock is held, so nobody else is creating or completing it.
        settle(&records)?;
    }
    Ok(store)
}

/// Locks the store in the folder `folder` by `new` instead of `old`. The store may be open meanwhile. `cost` counts for
/// a passphrase only.
///
/// # Errors
/// As [`KeyFile::change`], and [`OpenError::Random`].
pub fn change_unlock(folder: impl AsRef<Path>, old: &Unlock, new: &Unlock, cost: KdfCost) -> Result<(), OpenError> {
    KeyFile::at(folder.as_ref().join(KEYS_FILE)).change(old, new, cost, &mut *system_random()?)
}
