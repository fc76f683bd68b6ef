//! Durable, ordered bytes: the one seam between the engines and whatever keeps their records.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;

/// How the keys of a table are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Keys {
    /// Keys are short numbers that may be seen: they are kept as they are and can be scanned in order.
    Ordered,
    /// Keys end in an id that a stolen disk must not show: their last 32 bytes, or all of a shorter key. They
    /// can be asked for whole, or by the id's first [`ID_PREFIX_BYTES`] bytes; a sealing store keeps keyed digests of both,
    /// so [`Store::scan`] refuses such a table.
    Hidden,
}

/// How many bytes of an id [`Store::by_prefix`] takes: of a million ids, two that share them are rare.
pub const ID_PREFIX_BYTES: usize = 4;

/// How the rows of a table live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rows {
    /// A row is written once and stays: its value can be checked against its key or its neighbours by whoever reads it.
    Permanent,
    /// Rows are replaced, and each can be computed again from permanent ones, with which a check compares it.
    Derived,
    /// Rows are replaced or removed. Such a table is small, and a sealing store guards it as a whole against old or
    /// missing rows.
    Changing,
}

/// A named table. Each layer owns its own; names begin with the layer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// The table's name, unique in the whole program, at most 64 ASCII bytes.
    pub name: &'static str,
    /// How its keys are used.
    pub keys: Keys,
    /// How its rows live.
    pub rows: Rows,
}

impl Table {
    /// A table whose keys are ordered numbers and whose rows never change.
    #[must_use]
    pub const fn permanent(name: &'static str) -> Self {
        Self { name, keys: Keys::Ordered, rows: Rows::Permanent }
    }

    /// A small table with ordered keys whose rows are replaced or removed.
    #[must_use]
    pub const fn changing(name: &'static str) -> Self {
        Self { name, keys: Keys::Ordered, rows: Rows::Changing }
    }

    /// An index from ids, asked for whole only, whose rows never change.
    #[must_use]
    pub const fn hidden(name: &'static str) -> Self {
        Self { name, keys: Keys::Hidden, rows: Rows::Permanent }
    }
}

/// One row as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The row's key.
    pub key: Vec<u8>,
    /// The row's value.
    pub value: Vec<u8>,
}

impl fmt::Debug for Record {
    /// Says how long the row is: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes, {} bytes)", self.key.len(), self.value.len())
    }
}

/// Which way a scan walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest key to the highest.
    Ascending,
    /// From the highest key to the lowest.
    Descending,
}

/// A range of keys, and the direction in which it is walked.
#[derive(Clone, Copy, Debug)]
pub struct KeyRange<'a> {
    /// The lower end.
    pub start: Bound<&'a [u8]>,
    /// The upper end.
    pub end: Bound<&'a [u8]>,
    /// The walk's direction.
    pub direction: Direction,
}

impl<'a> KeyRange<'a> {
    /// Every key of the table, ascending.
    #[must_use]
    pub const fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded, direction: Direction::Ascending }
    }

    /// Keys from `start` (included) to `end` (excluded), ascending.
    #[must_use]
    pub const fn between(start: &'a [u8], end: &'a [u8]) -> Self {
        Self { start: Bound::Included(start), end: Bound::Excluded(end), direction: Direction::Ascending }
    }

    /// The same keys, from the highest to the lowest.
    #[must_use]
    pub const fn descending(self) -> Self {
        Self { start: self.start, end: self.end, direction: Direction::Descending }
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        let above = match self.start {
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
            Bound::Unbounded => true,
        };
        let below = match self.end {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        };
        above && below
    }

    /// Whether no key can lie in the range (its ends are crossed).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match (self.start, self.end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
            | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
            _ => false,
        }
    }
}

/// One change of a row.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a row, replacing what was there.
    Put {
        /// The table.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
        /// The row's new value.
        value: Vec<u8>,
    },
    /// Removes a row; removing one that is absent changes nothing.
    Delete {
        /// The table.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
    },
}

impl fmt::Debug for Change {
    /// Says what is changed, and not to what: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { table, value, .. } => write!(f, "Put({}, {} bytes)", table.name, value.len()),
            Self::Delete { table, .. } => write!(f, "Delete({})", table.name),
        }
    }
}

impl Change {
    /// The table that the change is in.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Delete { table, .. } => *table,
        }
    }

    /// The key that the change is about.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The key, by value.
    pub(crate) fn into_key(self) -> Vec<u8> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

/// The changes of one logical step, over any tables, in order: a later change of a row wins over an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<Change>,
}

impl Batch {
    /// A batch without changes.
    #[must_use]
    pub const fn new() -> Self {
        Self { changes: Vec::new() }
    }

    /// Adds the writing of a row.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push(Change::Put { table, key: key.into(), value: value.into() });
    }

    /// Adds the removal of a row.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push(Change::Delete { table, key: key.into() });
    }

    /// Adds all changes of `later` behind those of this batch.
    pub fn append(&mut self, later: Self) {
        self.changes.extend(later.changes);
    }

    /// The rows that it changes, by the names of their tables and their keys.
    pub(crate) fn rows(&self) -> BTreeSet<(&'static str, &[u8])> {
        self.changes.iter().map(|change| (change.table().name, change.key())).collect()
    }

    /// Drops the changes of those rows that `other` changes, too.
    pub(crate) fn forget_rows_of(&mut self, other: &Self) {
        let rows = other.rows();
        self.changes.retain(|change| !rows.contains(&(change.table().name, change.key())));
    }

    /// Takes the last change back.
    pub(crate) fn pop(&mut self) -> Option<Change> {
        self.changes.pop()
    }

    /// Drops all changes but the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.changes.truncate(length);
    }

    /// The changes, in order, by value.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// The changes, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The changes that count: of each row the last one, by table, then key. Applying these alone, in this order, comes to
    /// the same.
    #[must_use]
    pub fn last_changes(&self) -> Vec<&Change> {
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        // The sort is stable: of one row, the last change stays last. Most names that are alike are the very same.
        let by_name = |left: &str, right: &str| {
            if std::ptr::eq(left, right) { std::cmp::Ordering::Equal } else { left.cmp(right) }
        };
        changes.sort_by(|left, right| {
            by_name(left.table().name, right.table().name).then_with(|| left.key().cmp(right.key()))
        });
        let mut last: Vec<&Change> = Vec::with_capacity(changes.len());
        for change in changes {
            match last.last_mut() {
                Some(before) if before.table().name == change.table().name && before.key() == change.key() => {
                    *before = change
                }
                _ => last.push(change),
            }
        }
        last
    }

    /// Whether the batch changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Why a store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or what stands for it, refused.
    #[error("the store's disk failed: {reason}")]
    Disk {
        /// What the system said.
        reason: String,
    },
    /// There is no space left.
    #[error("no space is left for the store: {reason}")]
    Full {
        /// What the system said.
        reason: String,
    },
    /// A record is not what was written.
    #[error("the store is damaged: table {table}: {reason}")]
    Damaged {
        /// The table, or the file's part, that is concerned.
        table: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A table with hidden keys was scanned, or one with ordered keys asked for the beginning of an id.
    #[error("the keys of table {table} are not of the kind that was asked for")]
    Unordered {
        /// The table.
        table: &'static str,
    },
    /// An earlier write failed, so this handle takes no more. Opening the store anew helps once the cause is gone.
    #[error("an earlier write failed, so the store takes no more: open it anew")]
    Poisoned,
}

/// Durable, ordered bytes. After [`Store::commit`] returns, the batch survives power loss.
///
/// **Invariant:** a batch is applied as a whole or not at all, also across a crash; reads see committed batches only.
pub trait Store: Send + Sync {
    /// Reads one row, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Disk`] or [`StoreError::Damaged`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads the rows of a range in the order of the range's direction, at most `limit` of them.
    ///
    /// # Errors
    /// [`StoreError::Unordered`] for a table with [`Keys::Hidden`]; otherwise as [`Store::get`].
    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Reads rows of a table with [`Keys::Hidden`] by the beginning of their ids: the values of at most `limit` rows, in
    /// no order, whose key is `clear`, then an id of 32 bytes that begins with `first`. All keys of the table have that length.
    ///
    /// # Errors
    /// [`StoreError::Unordered`] for a table with [`Keys::Ordered`]; otherwise as [`Store::get`].
    fn by_prefix(
        &self,
        table: Table,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Applies every change of the batch, durably, or none of them.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Disk`] or [`StoreError::Poisoned`]; after any of them, later commits of the
    /// same handle are refused as poisoned, reads still work.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Takes commits again after one has failed for lack of space ([`StoreError::Full`]), as a handle that is opened anew
    /// does. When it returns, what can be read is durable: the batch that failed is there as a whole, or not at all. Whoever
    /// held what rested on that batch has to read it anew.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] from a store that cannot do this, or after a failure of another kind; otherwise why the
    /// store cannot be used, upon which the handle stays poisoned.
    fn reopen(&self) -> Result<(), StoreError> {
        Err(StoreError::Poisoned)
    }
}

impl<S: Store + ?Sized> Store for std::sync::Arc<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(table, key)
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        (**self).scan(table, range, limit)
    }

    fn by_prefix(
        &self,
        table: Table,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        (**self).by_prefix(table, clear, first, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        (**self).commit(batch)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        (**self).reopen()
    }
}
