//! What engines read and write: the store, seen through the batches that are on their way to it.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::{Batch, Change, Direction, ID_PREFIX_BYTES, KeyRange, Keys, Record, Store, StoreError, Table};

/// The number of a batch, counted from 1 in each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchNumber(pub u64);

/// A point within a step; see [`Pending::savepoint`]. Of one step, a later point is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint(usize);

impl Savepoint {
    /// Whether nothing was written before it in its step.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.0 == 0
    }
}

/// The rows of one table, by key.
type TableRows<T> = BTreeMap<Vec<u8>, T>;

/// Rows by table and key. There are a few dozen tables, and nearly always the name is the very one that is sought: to
/// compare names in order took longer than to find the row.
struct Rows<T>(Vec<(Table, TableRows<T>)>);

impl<T> Rows<T> {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn place(&self, table: Table) -> Option<usize> {
        let same = |known: &Table| std::ptr::eq(known.name, table.name);
        let place = self.0.iter().position(|(known, _)| same(known));
        place.or_else(|| self.0.iter().position(|(known, _)| known.name == table.name))
    }

    fn of(&self, table: Table) -> Option<&TableRows<T>> {
        self.place(table).and_then(|place| self.0.get(place)).map(|(_, rows)| rows)
    }

    /// Returns what was there before.
    fn insert(&mut self, table: Table, key: Vec<u8>, value: T) -> Option<T> {
        if let Some((_, rows)) = self.place(table).and_then(|place| self.0.get_mut(place)) {
            return rows.insert(key, value);
        }
        self.0.push((table, BTreeMap::from([(key, value)])));
        None
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        if let Some((_, rows)) = self.place(table).and_then(|place| self.0.get_mut(place)) {
            rows.remove(key);
        }
    }

    /// Forgets all rows; the tables will be there again.
    fn clear(&mut self) {
        self.0.iter_mut().for_each(|(_, rows)| rows.clear());
    }
}

/// A row's newest value that is not durable yet, `None` if it was removed, and the batch that it is in.
type Newest = (BatchNumber, Option<Vec<u8>>);

/// A row as it was read: its table, key and value.
type Recent = (Table, Vec<u8>, Vec<u8>);

/// How long a row may be that is remembered: as long as those of indexes. Secrets and contents are longer.
const RECENT_BYTES: usize = 16;

/// How many changes wait in memory while the store has no room. They are of rows about peers, of some hundred bytes each; the
/// longest, of a chain's peers, has 40 KiB at most.
const HELD_CHANGES_MAX: usize = 1024;

/// How many rows of indexes of ids are remembered. Each is looked at for an id that is not among them.
const RECENT_ROWS: usize = 8;

/// A store seen through batches that are not durable yet, and through the step that is being written.
///
/// **Invariant:** a step is seen whole or not at all: [`Pending::discard`] leaves no trace of it, and
/// [`Pending::close_step`] makes one batch of it. Batches become durable in the order of their numbers.
pub struct Pending {
    store: Arc<dyn Store>,
    /// The open step.
    batch: Batch,
    /// What was there before each change of it.
    before: Vec<Option<Newest>>,
    /// The open step and what is on its way.
    rows: Rows<Newest>,
    batches: VecDeque<BatchNumber>,
    last: BatchNumber,
    /// While the store has no room: what waits in memory for it.
    held: Option<Batch>,
    /// Whether the open step is written even then.
    makes_room: bool,
    /// The newest batch that was, until it is durable.
    made_room: Option<BatchNumber>,
    /// Rows of indexes of ids that were read last: where a chain is, is asked again and again. Such rows stay as they are.
    recent: RefCell<VecDeque<Recent>>,
}

impl Pending {
    /// A view of a store, with nothing under way.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            batch: Batch::new(),
            before: Vec::new(),
            rows: Rows::new(),
            batches: VecDeque::new(),
            last: BatchNumber(0),
            held: None,
            makes_room: false,
            made_room: None,
            recent: RefCell::default(),
        }
    }

    /// Reads a row as it will be once everything under way is durable.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some((_, value)) = self.rows.of(table).and_then(|rows| rows.get(key)) {
            return Ok(value.clone());
        }
        if table.keys != Keys::Hidden || table.rows != crate::Rows::Permanent {
            return self.store.get(table, key);
        }
        let mut recent = self.recent.borrow_mut();
        if let Some(place) = recent.iter().position(|(of, known, _)| of.name == table.name && known == key) {
            // The one that was asked for last stays longest.
            let row = recent.remove(place);
            let value = row.as_ref().map(|(_, _, value)| value.clone());
            recent.extend(row);
            return Ok(value);
        }
        let value = self.store.get(table, key)?;
        if let Some(value) = value.as_ref().filter(|value| value.len() <= RECENT_BYTES) {
            if recent.len() >= RECENT_ROWS {
                recent.pop_front();
            }
            recent.push_back((table, key.to_vec(), value.clone()));
        }
        Ok(value)
    }

    /// A row that is written or removed after all is not remembered as it was.
    fn note_change(&mut self, table: Table, key: &[u8]) {
        if table.keys == Keys::Hidden {
            self.recent.get_mut().retain(|(of, known, _)| of.name != table.name || known != key);
        }
    }

    /// Reads the rows of a range as they will be, at most `limit` of them.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        if table.keys == Keys::Hidden {
            return Err(StoreError::Unordered { table: table.name });
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut changed = self.changed(table, range).into_iter().peekable();
        if changed.peek().is_none() {
            return self.store.scan(table, range, limit);
        }
        let mut found: Vec<Record> = Vec::new();
        let mut durable = Durable::new(&*self.store, table, range, limit);
        while found.len() < limit {
            let order = match (changed.peek(), durable.peek()?) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some(row)) => match range.direction {
                    Direction::Ascending => (*key).cmp(row.key.as_slice()),
                    Direction::Descending => row.key.as_slice().cmp(key),
                },
            };
            // A row that is under way replaces the durable one of the same key.
            let row = if order.is_ge() { durable.rows.next() } else { None };
            match if order.is_le() { changed.next() } else { None } {
                None => found.extend(row),
                Some((key, value)) => {
                    found.extend(value.map(|value| Record { key: key.to_vec(), value: value.to_vec() }));
                }
            }
        }
        Ok(found)
    }

    /// The rows of a range that are under way, in its direction; `None` is a removed one.
    fn changed(&self, table: Table, range: KeyRange<'_>) -> Vec<(&[u8], Option<&[u8]>)> {
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (range.start, range.end);
        let rows = self.rows.of(table).into_iter().flat_map(|rows| rows.range::<[u8], _>(bounds));
        let mut changed: Vec<_> = rows.map(|(key, (_, value))| (key.as_slice(), value.as_deref())).collect();
        if range.direction == Direction::Descending {
            changed.reverse();
        }
        changed
    }

    /// Reads rows by the beginning of their ids, as [`Store::by_prefix`] does, but each value once. Only for tables with
    /// [`crate::Rows::Permanent`]: of a row that was replaced, the old value may be among them.
    ///
    /// # Errors
    /// As [`Store::by_prefix`].
    pub fn by_prefix(
        &self,
        table: Table,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut values = self.store.by_prefix(table, clear, first, limit)?;
        let prefix = [clear, &first[..]].concat();
        let begins = |key: &Vec<u8>| key.starts_with(&prefix);
        let from = (Bound::Included(&prefix[..]), Bound::Unbounded);
        if let Some(rows) = self.rows.of(table) {
            let found = rows.range::<[u8], _>(from).take_while(|(key, _)| begins(key));
            values.extend(found.filter_map(|(_, (_, value))| value.clone()));
        }
        values.sort_unstable();
        values.dedup();
        values.truncate(limit);
        Ok(values)
    }

    /// The number of the open step's batch, if it comes to one.
    #[must_use]
    pub const fn open(&self) -> BatchNumber {
        BatchNumber(self.last.0.saturating_add(1))
    }

    /// Writes a row in the open step.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        self.note_change(table, &key);
        let newest = (self.open(), Some(value.clone()));
        self.before.push(self.rows.insert(table, key.clone(), newest));
        self.batch.put(table, key, value);
    }

    /// Removes a row in the open step.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.note_change(table, &key);
        let newest = (self.open(), None);
        self.before.push(self.rows.insert(table, key.clone(), newest));
        self.batch.delete(table, key);
    }

    /// Closes the open step. If it changed anything, its batch is to be committed under the number returned.
    pub fn close_step(&mut self) -> Option<(BatchNumber, Batch)> {
        let makes_room = std::mem::take(&mut self.makes_room);
        if self.batch.is_empty() {
            return None;
        }
        let number = self.open();
        self.last = number;
        self.before.clear();
        self.batches.push_back(number);
        let batch = std::mem::take(&mut self.batch);
        let Some(held) = &mut self.held else { return Some((number, batch)) };
        if makes_room {
            // What waits of the same rows is older: written later, it would bring back what was removed.
            held.forget_rows_of(&batch);
            self.made_room = Some(number);
            return Some((number, batch));
        }
        held.append(batch);
        None
    }

    /// The open step removes more than it writes: it is committed also while the store has no room, and without what waits for
    /// it in memory.
    pub const fn make_room(&mut self) {
        self.makes_room = true;
    }

    /// The store has no room: steps wait in memory until [`Pending::take_held`]. They are seen, and nothing waits for them, so
    /// only what may be lost in a crash can be written meanwhile: what is remembered of others, and never a block of our own
    /// or anything that is acknowledged.
    pub fn set_full(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Whether the store has no room.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.held.is_some()
    }

    /// Whether more waits in memory than may: rows that are replaced again and again count once.
    pub fn holds_too_much(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        if held.changes().len() <= HELD_CHANGES_MAX {
            return false;
        }
        let last: Vec<Change> = held.last_changes().into_iter().cloned().collect();
        *held = Batch::new();
        for change in last {
            match change {
                Change::Put { table, key, value } => held.put(table, key, value),
                Change::Delete { table, key } => held.delete(table, key),
            }
        }
        held.changes().len() > HELD_CHANGES_MAX / 2
    }

    /// There may be room again: what waited in memory is to be committed, in one batch, under the number returned.
    pub fn take_held(&mut self) -> Option<(BatchNumber, Batch)> {
        let held = self.held.take()?;
        if held.is_empty() {
            return None;
        }
        // A number of its own: a batch that has made room may still be on its way under the last one.
        let number = self.open();
        self.last = number;
        self.batches.push_back(number);
        for change in held.changes() {
            let value = match change {
                Change::Put { value, .. } => Some(value.clone()),
                Change::Delete { .. } => None,
            };
            let _ = self.rows.insert(change.table(), change.key().to_vec(), (number, value));
        }
        Some((number, held))
    }

    /// A point of the open step to which [`Pending::rollback`] can return.
    #[must_use]
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.batch.changes().len())
    }

    /// Takes back what the open step wrote after a savepoint of the same step.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        if crate::planted!(KeepRolledBack) {
            self.batch.truncate(savepoint.0);
            self.before.truncate(savepoint.0);
            return;
        }
        // What was written last is taken back first.
        while self.before.len() > savepoint.0
            && let (Some(before), Some(change)) = (self.before.pop(), self.batch.pop())
        {
            match before {
                Some(newest) => drop(self.rows.insert(change.table(), change.into_key(), newest)),
                None => self.rows.remove(change.table(), change.key()),
            }
        }
    }

    /// Forgets the open step.
    pub fn discard(&mut self) {
        self.rollback(Savepoint(0));
        self.makes_room = false;
    }

    /// The newest batch that is not durable yet, if any.
    #[must_use]
    pub fn barrier(&self) -> Option<BatchNumber> {
        if self.held.is_some() { self.made_room } else { self.batches.back().copied() }
    }

    /// Notes that all batches up to `number` are durable: the store itself now answers for their rows.
    pub fn committed(&mut self, number: BatchNumber) {
        while self.batches.front().is_some_and(|first| *first <= number) {
            self.batches.pop_front();
        }
        self.made_room = self.made_room.filter(|made| *made > number);
        if let Some(held) = &self.held {
            let waiting = held.rows();
            for (table, rows) in &mut self.rows.0 {
                rows.retain(|key, (newest, _)| *newest > number || waiting.contains(&(table.name, key.as_slice())));
            }
            return;
        }
        if self.batches.is_empty() && self.batch.is_empty() {
            self.rows.clear();
            return;
        }
        // A committer takes all that waits, so what is left here has been looked at once or twice in all.
        for (_, rows) in &mut self.rows.0 {
            rows.retain(|_, (newest, _)| *newest > number);
        }
    }

    /// Notes that a batch could not be written: it and every later one are forgotten.
    pub fn failed(&mut self) {
        self.batch = Batch::new();
        self.before.clear();
        self.rows.clear();
        self.batches.clear();
        self.made_room = None;
    }
}

/// The rows of a range as the store has them, some at a time: of those that were read, others may have taken the place.
struct Durable<'a> {
    store: &'a dyn Store,
    table: Table,
    range: KeyRange<'a>,
    at_a_time: usize,
    /// The last key that was read.
    from: Option<Vec<u8>>,
    rows: std::vec::IntoIter<Record>,
    ended: bool,
}

impl<'a> Durable<'a> {
    fn new(store: &'a dyn Store, table: Table, range: KeyRange<'a>, at_a_time: usize) -> Self {
        Self { store, table, range, at_a_time, from: None, rows: Vec::new().into_iter(), ended: at_a_time == 0 }
    }

    fn peek(&mut self) -> Result<Option<&Record>, StoreError> {
        if self.rows.as_slice().is_empty() && !self.ended {
            let range = match (&self.from, self.range.direction) {
                (None, _) => self.range,
                (Some(last), Direction::Ascending) => KeyRange { start: Bound::Excluded(last), ..self.range },
                (Some(last), Direction::Descending) => KeyRange { end: Bound::Excluded(last), ..self.range },
            };
            let rows =
                if range.is_empty() { Vec::new() } else { self.store.scan(self.table, range, self.at_a_time)? };
            self.ended = rows.len() < self.at_a_time;
            self.from = rows.last().map(|row| row.key.clone());
            self.rows = rows.into_iter();
        }
        Ok(self.rows.as_slice().first())
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("batches", &self.batches.len())
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
