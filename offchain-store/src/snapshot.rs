//! What was committed last, kept open for reading.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use walytis_core::{ID_PREFIX_BYTES, StoreError, Table};

use crate::recent::{LOG, Recent, may_hold};
use crate::redb_errors::store_error;

pub(crate) type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The state that was committed last, with the tables of it that were read so far, and the rows that its log holds. To
/// begin a transaction and to find a table in it takes longer than to read a row, and between two commits many rows are
/// read.
///
/// **Invariant:** whoever reads after a commit has returned sees it, and whoever reads before that sees nothing of it:
/// the state and the rows of the log change together, under one lock.
#[derive(Default)]
pub(crate) struct Newest(Mutex<State>);

#[derive(Default)]
struct State {
    snapshot: Option<Snapshot>,
    /// Read when it is first asked for.
    recent: Option<Recent>,
}

struct Snapshot {
    transaction: ReadTransaction,
    /// By name, and `None` of one that nothing was ever written to: a few dozen.
    tables: Vec<(&'static str, Option<Arc<Rows>>)>,
}

impl Newest {
    /// The table as it was last committed, without what the log has of it; `None` if nothing was ever written to it.
    pub(crate) fn rows(&self, database: &Database, name: &'static str) -> Result<Option<Arc<Rows>>, StoreError> {
        self.lock().rows(database, name)
    }

    /// Reads one row.
    pub(crate) fn get(&self, database: &Database, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = {
            let mut state = self.lock();
            if may_hold(table)
                && let Some(value) = state.recent(database)?.get(table.name, key)
            {
                return Ok(Some(value.to_vec()));
            }
            state.rows(database, table.name)?
        };
        let Some(rows) = rows else { return Ok(None) };
        let value = rows.get(key).map_err(|error| store_error(table.name, error))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// Values whose key is `clear` and then an id that begins with `first`, at most `limit` of them.
    pub(crate) fn by_prefix(
        &self,
        database: &Database,
        table: Table,
        (clear, first): (&[u8], [u8; ID_PREFIX_BYTES]),
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let (recent, rows) = {
            let mut state = self.lock();
            let recent = if may_hold(table) { Some(state.recent(database)?) } else { None };
            let recent = recent.into_iter().flat_map(|recent| recent.by_prefix(table.name, clear, first));
            let recent: Vec<(Vec<u8>, Vec<u8>)> =
                recent.take(limit).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            (recent, state.rows(database, table.name)?)
        };
        let prefix = [clear, &first[..]].concat();
        let mut older = Vec::new();
        if let Some(rows) = rows {
            for row in rows.range(prefix.as_slice()..).map_err(|error| store_error(table.name, error))? {
                let (key, value) = row.map_err(|error| store_error(table.name, error))?;
                if recent.len().saturating_add(older.len()) >= limit || !key.value().starts_with(&prefix) {
                    break;
                }
                // What the log has replaces it.
                if recent.binary_search_by(|(known, _)| known.as_slice().cmp(key.value())).is_err() {
                    older.push(value.value().to_vec());
                }
            }
        }
        Ok(recent.into_iter().map(|(_, value)| value).chain(older).collect())
    }

    /// Lets others read the state as it is until [`Newest::replace`], whatever is committed meanwhile, and works with
    /// the rows of its log.
    pub(crate) fn hold<T>(&self, database: &Database, work: impl FnOnce(&Recent) -> T) -> Result<T, StoreError> {
        let mut state = self.lock();
        state.snapshot(database, LOG)?;
        state.recent(database).map(|recent| work(recent))
    }

    /// Something was committed: `note` does to the rows of the log what the commit did to the log.
    pub(crate) fn replace(&self, note: impl FnOnce(&mut Recent) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.snapshot = None;
        state.recent.as_mut().map_or(Ok(()), note)
    }

    /// Lets the state go: the next to read gets the newest.
    pub(crate) fn let_go(&self) {
        *self.lock() = State::default();
    }

    /// Whoever panicked while it was here left each part whole or absent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn snapshot(&mut self, database: &Database, name: &'static str) -> Result<&mut Snapshot, StoreError> {
        match &mut self.snapshot {
            Some(snapshot) => Ok(snapshot),
            none => {
                let transaction = database.begin_read().map_err(|error| store_error(name, error))?;
                Ok(none.insert(Snapshot { transaction, tables: Vec::new() }))
            }
        }
    }

    fn rows(&mut self, database: &Database, name: &'static str) -> Result<Option<Arc<Rows>>, StoreError> {
        let snapshot = self.snapshot(database, name)?;
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

    fn recent(&mut self, database: &Database) -> Result<&mut Recent, StoreError> {
        if self.recent.is_none() {
            let mut recent = Recent::default();
            if let Some(log) = self.rows(database, LOG)? {
                for row in log.iter().map_err(|error| store_error(LOG, error))? {
                    let (key, entry) = row.map_err(|error| store_error(LOG, error))?;
                    recent.add(key.value(), entry.value())?;
                }
            }
            self.recent = Some(recent);
        }
        Ok(self.recent.get_or_insert_default())
    }
}

pub(crate) const fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}
