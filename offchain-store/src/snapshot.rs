//! What was committed last, kept open for reading.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, TableError};
use walytis_core::StoreError;

use crate::redb_errors::store_error;

pub(crate) type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The state that was committed last, with the tables of it that were read so far. To begin a transaction and to find a
/// table in it takes longer than to read a row, and between two commits many rows are read.
///
/// **Invariant:** whoever reads after a commit has returned sees it: the state is let go behind each commit, and it is
/// taken under the same lock.
#[derive(Default)]
pub(crate) struct Newest(Mutex<Option<Snapshot>>);

struct Snapshot {
    transaction: ReadTransaction,
    /// By name, and `None` of one that nothing was ever written to: a few dozen.
    tables: Vec<(&'static str, Option<Arc<Rows>>)>,
}

impl Newest {
    /// The table as it was last committed; `None` if nothing was ever written to it.
    pub(crate) fn rows(&self, database: &Database, name: &'static str) -> Result<Option<Arc<Rows>>, StoreError> {
        let mut newest = self.lock();
        let snapshot = match &mut *newest {
            Some(snapshot) => snapshot,
            none => none.insert(Snapshot {
                transaction: database.begin_read().map_err(|error| store_error(name, error))?,
                tables: Vec::new(),
            }),
        };
        if let Some((_, rows)) = snapshot.tables.iter().find(|(known, _)| *known == name) {
            return Ok(rows.clone());
        }
        let rows = match snapshot.transaction.open_table(definition(name)) {
            Ok(rows) => Some(Arc::new(rows)),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(store_error(name, error)),
        };
        snapshot.tables.push((name, rows.clone()));
        Ok(rows)
    }

    /// Lets the state go: the next to read gets the newest.
    pub(crate) fn let_go(&self) {
        *self.lock() = None;
    }

    /// Whoever panicked while it was here left it whole or absent.
    fn lock(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) const fn definition(name: &'static str) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}
