//! redb's errors in the words of [`StoreError`].

use std::io;

use walytis_core::StoreError;

/// What an error of redb's means to whoever uses `part` of the store (a table's name, or the file).
pub(crate) fn store_error(part: &str, error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => io_error(part, &error),
        // redb takes no more after its disk has failed once.
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::Poisoned,
        error @ (redb::Error::Corrupted(_)
        | redb::Error::LockPoisoned(_)
        | redb::Error::RepairAborted
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }) => damaged(part, error.to_string()),
        error => StoreError::Disk { reason: error.to_string() },
    }
}

/// What an error of the disk's means.
pub(crate) fn io_error(part: &str, error: &io::Error) -> StoreError {
    let reason = error.to_string();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full { reason }
        }
        // redb reads what its pages point at: an end before that means a file cut short, or a pointer that was changed.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => damaged(part, reason),
        _ => StoreError::Disk { reason },
    }
}

fn damaged(part: &str, reason: String) -> StoreError {
    StoreError::Damaged { table: part.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_keeps_its_meaning() {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
        let broken = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData];
        for kind in full {
            assert!(matches!(io_error("t", &kind.into()), StoreError::Full { .. }), "{kind}");
        }
        for kind in broken {
            assert!(matches!(io_error("t", &kind.into()), StoreError::Damaged { .. }), "{kind}");
        }
        assert!(matches!(io_error("t", &io::Error::other("EIO")), StoreError::Disk { .. }));
        assert_eq!(store_error("t", redb::Error::PreviousIo), StoreError::Poisoned);
        assert!(matches!(
            store_error("t", redb::Error::Corrupted("x".to_owned())),
            StoreError::Damaged { table, .. } if table == "t"
        ));
    }
}
