use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walytis_core::{Batch, Change, Direction, ID_PREFIX_BYTES, KeyRange, Keys, Record, Store, StoreError, Table};

type Tables = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>;

/// A store in memory. Clones share the rows and the handle's state.
///
/// It commits instantly and loses nothing, unless it is told to fail ([`MemoryStore::fail_commit`]).
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    health: Arc<Mutex<Health>>,
}

#[derive(Debug, Default)]
struct Health {
    poisoned: bool,
    /// The failure was for lack of space.
    reopens: bool,
    /// Nothing more fits.
    full: bool,
    // How many commits succeed before one fails, and with what.
    failure: Option<(u64, StoreError)>,
}

/// All rows of a [`MemoryStore`] at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(Tables);

impl Snapshot {
    /// The names of the tables that have rows, in order.
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(|(_, rows)| !rows.is_empty()).map(|(table, _)| *table)
    }

    /// All values, in the order of their tables and keys.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// The same but for one row, counted as by [`Snapshot::values`]; the numbers go round.
    pub(crate) fn with_value(mut self, row: usize, value: &[u8]) -> Self {
        let row = row % self.values().count().max(1);
        if let Some(replaced) = self.0.values_mut().flat_map(BTreeMap::values_mut).nth(row) {
            *replaced = value.to_vec();
        }
        self
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds what another one did, as after a restart or with an old copy put back.
    #[must_use]
    pub fn from_snapshot(snapshot: Snapshot) -> Self {
        Self { tables: Arc::new(Mutex::new(snapshot.0)), health: Arc::default() }
    }

    /// A new handle of the same rows, sound whatever happened to this one.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { tables: Arc::clone(&self.tables), health: Arc::default() }
    }

    /// The rows as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(lock(&self.tables).clone())
    }

    /// Lets `commits` more commits succeed and the next one fail with `error`, after which the store is poisoned.
    pub fn fail_commit(&self, commits: u64, error: StoreError) {
        lock(&self.health).failure = Some((commits, error));
    }

    /// Takes back what [`MemoryStore::fail_commit`] arranged and what has not happened yet.
    pub fn heal(&self) {
        lock(&self.health).failure = None;
    }

    /// Lets no more fit (every commit fails with [`StoreError::Full`]), or again.
    pub fn set_full(&self, full: bool) {
        lock(&self.health).full = full;
    }

    /// Whether nothing more fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        lock(&self.health).full
    }

    /// Every key and every value as it is kept, as whoever steals the disk would find them.
    pub fn raw_bytes(&self) -> impl Iterator<Item = Vec<u8>> {
        let rows = self.snapshot().0.into_values().flatten();
        rows.flat_map(|(key, value)| [key, value])
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(lock(&self.tables).get(table.name).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        if table.keys == Keys::Hidden {
            return Err(StoreError::Unordered { table: table.name });
        }
        // A range with crossed ends would be a panic in a BTreeMap.
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let tables = lock(&self.tables);
        let Some(rows) = tables.get(table.name) else { return Ok(Vec::new()) };
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (range.start, range.end);
        let found = rows.range::<[u8], _>(bounds);
        let record = |(key, value): (&Vec<u8>, &Vec<u8>)| Record { key: key.clone(), value: value.clone() };
        Ok(match range.direction {
            Direction::Ascending => found.take(limit).map(record).collect(),
            Direction::Descending => found.rev().take(limit).map(record).collect(),
        })
    }

    fn by_prefix(
        &self,
        table: Table,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if table.keys == Keys::Ordered {
            return Err(StoreError::Unordered { table: table.name });
        }
        let prefix = [clear, &first[..]].concat();
        let tables = lock(&self.tables);
        let Some(rows) = tables.get(table.name) else { return Ok(Vec::new()) };
        let from = (Bound::Included(&prefix[..]), Bound::Unbounded);
        let found = rows.range::<[u8], _>(from).take_while(|(key, _)| key.starts_with(&prefix));
        Ok(found.take(limit).map(|(_, value)| value.clone()).collect())
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut health = lock(&self.health);
        if health.poisoned {
            return Err(StoreError::Poisoned);
        }
        if health.full && !batch.is_empty() {
            (health.poisoned, health.reopens) = (true, true);
            return Err(StoreError::Full { reason: "nothing more fits".to_owned() });
        }
        match health.failure.take() {
            Some((0, error)) => {
                health.poisoned = true;
                health.reopens = matches!(error, StoreError::Full { .. });
                return Err(error);
            }
            Some((commits, error)) => health.failure = Some((commits - 1, error)),
            None => {}
        }
        let mut tables = lock(&self.tables);
        for change in batch.changes() {
            let rows = tables.entry(change.table().name).or_default();
            match change {
                Change::Put { key, value, .. } => rows.insert(key.clone(), value.clone()),
                Change::Delete { key, .. } => rows.remove(key),
            };
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut health = lock(&self.health);
        if health.poisoned && !health.reopens {
            return Err(StoreError::Poisoned);
        }
        health.poisoned = false;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
