#![doc = include_str!("../README.md")]

mod backend;
mod directory;
mod disk;
mod file_lock;
mod frozen_disk;
mod guarded;
mod kdf;
mod key_file;
mod key_slot;
mod names;
mod open_error;
mod recent;
mod redb_errors;
mod redb_store;
mod root_row;
mod scratch;
mod sealed_store;
mod sealer;
mod secrets;
mod snapshot;
mod writing;

pub use directory::{KEYS_FILE, STORE_FILE, change_unlock, create, open};
pub use disk::{Disk, FileDisk};
pub use kdf::KdfCost;
pub use key_file::KeyFile;
pub use open_error::OpenError;
pub use redb_store::RedbStore;
pub use root_row::{STORE_FORMAT, STORE_FORMAT_OLDEST};
pub use sealed_store::{Random, SealedStore, system_random};
pub use secrets::{RootKey, Unlock, UnlockKind};
