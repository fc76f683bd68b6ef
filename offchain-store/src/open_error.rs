use std::io;
use std::path::Path;

use walytis_core::StoreError;

use crate::secrets::UnlockKind;

/// Why a store, or the file of its keys, could not be opened, created or changed. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another handle of this one, has it open.
    #[error("{what} is in use: close it there first")]
    InUse {
        /// The file concerned.
        what: String,
    },
    /// There is no store here.
    #[error("{what} is missing: put back a copy of it, or move what is left away and make a new store")]
    NotFound {
        /// The file that is missing.
        what: String,
    },
    /// Something is there already, and would have been lost.
    #[error("{what} exists already: open it, or choose another folder")]
    Exists {
        /// The file that exists.
        what: String,
    },
    /// The passphrase, or the raw key, is not the one that locks the file. Nothing was changed.
    #[error("wrong {kind} for {what}: nothing was changed, try again")]
    WrongUnlock {
        /// The key file.
        what: String,
        /// What was offered.
        kind: UnlockKind,
    },
    /// The file is locked by the other kind of secret.
    #[error("{what} is locked by a {wanted}: it opens with that alone")]
    OtherUnlock {
        /// The key file.
        what: String,
        /// What the file wants.
        wanted: UnlockKind,
    },
    /// What was read is not what was written.
    #[error(
        "{what} is damaged ({reason}): put back a copy, or move it away, make a new one and synchronise from others"
    )]
    Damaged {
        /// The file or the part of it.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A build that is newer, or is no longer known, wrote the file. It is sound.
    #[error(
        "{what} has format {number}; this build reads {known}. Nothing is wrong with it, and nothing was changed: use the \
         build that wrote it, or one that reads format {number}"
    )]
    UnknownFormat {
        /// The file or the part of it.
        what: String,
        /// The format's number, as read.
        number: u32,
        /// The newest number that this build reads.
        known: u32,
    },
    /// An earlier build wrote other records under a number that this build reads. They are sound: each seal holds.
    #[error(
        "an earlier build made this store, under the same number ({number}), and its records cannot be read here ({reason}). \
         Nothing is wrong with it, and nothing was changed: the build that wrote it reads it, and can export its public \
         chains to files for this one"
    )]
    EarlierBuild {
        /// The format's number.
        number: u32,
        /// What cannot be read.
        reason: String,
    },
    /// The passphrase's cost lies outside the bounds of [`KdfCost`](crate::KdfCost).
    #[error("a passphrase cost of {iterations} iterations, {memory_kib} KiB and {lanes} lanes is out of bounds")]
    Cost {
        /// Passes over the memory.
        iterations: u32,
        /// Memory in KiB.
        memory_kib: u32,
        /// Lanes.
        lanes: u32,
    },
    /// The system gave no randomness.
    #[error("the system's random source failed: a store cannot be sealed without it")]
    Random,
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// The file or folder.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store refused.
    #[error(transparent)]
    Store(StoreError),
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let what = path.display().to_string();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { what },
            _ => Self::Io { what, source },
        }
    }

    pub(crate) fn in_use(path: &Path) -> Self {
        Self::InUse { what: path.display().to_string() }
    }

    pub(crate) fn exists(path: &Path) -> Self {
        Self::Exists { what: path.display().to_string() }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged { table, reason } => Self::Damaged { what: table, reason },
            other => Self::Store(other),
        }
    }
}
