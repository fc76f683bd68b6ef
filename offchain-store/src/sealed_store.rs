use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::rngs::SysRng;
use rand_core::{CryptoRng, Rng, TryRng, UnwrapErr};
use walytis_core::{Batch, Change, Direction, ID_PREFIX_BYTES, KeyRange, Keys, Record, Rows, Store, StoreError, Table};

use crate::open_error::OpenError;
use crate::redb_store::RedbStore;
use crate::root_row::{self, RootFault, RootRow, STORE_FORMAT};
use crate::sealer::{Digest, NONCE_BYTES, Sealer};
use crate::secrets::RootKey;

/// How many rows of a changing table are held at a time while it is compared with its digest.
const CHECKED_ROWS: usize = 1024;

/// Where a sealed store's nonces come from. Each must be drawn anew: a simulator gives every opening its own seed.
pub type Random = Box<dyn CryptoRng + Send>;

/// The system's random source, asked anew for each batch, so that neither a fork nor a restored snapshot of the process
/// repeats a nonce.
///
/// # Errors
/// [`OpenError::Random`] if the system gives no randomness. A source that works now and fails later stops the program:
/// nothing may be sealed with a nonce that is not random.
pub fn system_random() -> Result<Random, OpenError> {
    SysRng.try_next_u64().map_err(|_| OpenError::Random)?;
    Ok(Box::new(UnwrapErr(SysRng)))
}

/// A store whose values, and whose hidden keys, the store below does not learn.
///
/// Each value is sealed with XChaCha20-Poly1305 under a random nonce, bound to the store, its table and its key: a value
/// that was changed, or put in another place, is [`StoreError::Damaged`] when it is read. A record grows by 40 bytes.
///
/// Ordered keys stay in clear. The id at the end of a key of a table with [`Keys::Hidden`] (its last 32 bytes; all of a
/// shorter key) is kept as keyed digests, and what stands before it in clear.
///
/// Tables with [`Rows::Changing`] are guarded as a whole: a row that is old, missing or put back is found on opening.
/// Not found are a missing row of a table with [`Rows::Permanent`], which whoever reads it must miss, and an old copy of
/// the whole store below.
pub struct SealedStore<S> {
    below: S,
    sealer: Sealer,
    random: Mutex<Random>,
    // Held during a commit, so that the root rows follow one another as the batches do.
    guard: Mutex<Guard>,
}

struct Guard {
    root: RootRow,
    poisoned: bool,
}

/// Whether a batch rewrites the root row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RootIs {
    /// If it changes a row that the root row guards.
    AsNeeded,
    /// In any case: the format is another.
    Rewritten,
}

impl<S: Store> SealedStore<S> {
    /// Begins a sealed store on `below`, which must not hold one yet.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is one, [`OpenError::Damaged`] or [`OpenError::Store`].
    pub fn create(below: S, root_key: &RootKey, random: Random) -> Result<Self, OpenError> {
        if below.get(root_row::TABLE, root_row::KEY)?.is_some() {
            return Err(OpenError::Exists { what: "a sealed store".to_owned() });
        }
        let store = Self::new(below, root_key, RootRow::new(), random);
        let mut batch = Batch::new();
        let sealed = store.guard().root.seal(&store.sealer, store.nonce())?;
        batch.put(root_row::TABLE, root_row::KEY, sealed);
        store.below.commit(&batch)?;
        Ok(store)
    }

    /// Opens the sealed store on `below`, and compares every changing table with its digest.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] if there is none, [`OpenError::Damaged`] if a changing table is not as it was left or
    /// the root key is another store's, [`OpenError::UnknownFormat`] or [`OpenError::Store`].
    pub fn open(below: S, root_key: &RootKey, random: Random) -> Result<Self, OpenError> {
        let kept = below.get(root_row::TABLE, root_row::KEY)?;
        let kept = kept.ok_or_else(|| OpenError::NotFound { what: "root row of a sealed store".to_owned() })?;
        let sealer = Sealer::new(root_key);
        let root = RootRow::open(&sealer, &kept).map_err(|fault| match fault {
            RootFault::UnknownFormat(number) => {
                let known = u32::from(STORE_FORMAT);
                OpenError::UnknownFormat { what: "this store".to_owned(), number: u32::from(number), known }
            }
            RootFault::Damaged(error) => OpenError::from(error),
        })?;
        let store = Self::new(below, root_key, root, random);
        store.check_changing_tables(&store.guard().root)?;
        Ok(store)
    }

    /// How many batches have changed a row of a changing table since the store was created.
    #[must_use]
    pub fn guarded_batches(&self) -> u64 {
        self.guard().root.batch
    }

    /// The number of the format in which the store was left; see [`STORE_FORMAT`](crate::STORE_FORMAT).
    #[must_use]
    pub fn format(&self) -> u8 {
        self.guard().root.format
    }

    /// Changes the store to [`STORE_FORMAT`](crate::STORE_FORMAT), and applies a batch that brings its rows there: all of it,
    /// durably, or nothing, also across a crash. A store that has that format stays as it is.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn migrate(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut guard = self.guard();
        if guard.root.format == STORE_FORMAT {
            return Ok(());
        }
        let from = RootRow { format: STORE_FORMAT, ..guard.root.clone() };
        self.commit_as(&mut guard, &from, batch, RootIs::Rewritten)
    }

    fn commit_as(&self, guard: &mut Guard, root: &RootRow, batch: &Batch, root_is: RootIs) -> Result<(), StoreError> {
        if guard.poisoned {
            return Err(StoreError::Poisoned);
        }
        let committed = self.sealed(root, batch, root_is).and_then(|(kept, next_root)| {
            self.below.commit(&kept)?;
            Ok(next_root)
        });
        match committed {
            Ok(next_root) => {
                if let Some(next_root) = next_root {
                    guard.root = next_root;
                }
                Ok(())
            }
            Err(error) => {
                guard.poisoned = true;
                Err(error)
            }
        }
    }

    fn new(below: S, root_key: &RootKey, root: RootRow, random: Random) -> Self {
        let guard = Mutex::new(Guard { root, poisoned: false });
        Self { below, sealer: Sealer::new(root_key), random: Mutex::new(random), guard }
    }

    fn check_changing_tables(&self, root: &RootRow) -> Result<(), StoreError> {
        for (&name, &expected) in &root.digests {
            if self.table_digest(name)? != expected && !walytis_core::mutant!(SkipRootRow) {
                let reason = "its rows are not those that were left: one is old, missing or was put back".to_owned();
                return Err(StoreError::Damaged { table: name.to_owned(), reason });
            }
        }
        Ok(())
    }

    fn table_digest(&self, name: &'static str) -> Result<Digest, StoreError> {
        let mut sum = Digest::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let range = KeyRange { start, end: Bound::Unbounded, direction: Direction::Ascending };
            let rows = self.below.scan(Table::changing(name), range, CHECKED_ROWS)?;
            for row in &rows {
                sum.add(self.sealer.row_digest(name, &row.key, &row.value));
            }
            match rows.into_iter().last() {
                // The range begins behind it, so this comes to an end if the store below keeps to its ranges.
                Some(last) => after = Some(last.key),
                None => return Ok(sum),
            }
        }
    }

    /// The batch as it is kept, and the root row that it leaves if it changes a guarded row or the format.
    fn sealed(&self, root: &RootRow, batch: &Batch, root_is: RootIs) -> Result<(Batch, Option<RootRow>), StoreError> {
        let mut kept = Batch::new();
        // A grouped batch rewrites some rows again and again: only what stays of them is sealed.
        let changes = batch.last_changes();
        let mut nonces = self.nonces(changes.len() + 1).into_iter();
        let mut nonce = || nonces.next().unwrap_or_else(|| self.nonce());
        let mut next_root: Option<RootRow> = (root_is == RootIs::Rewritten).then(|| root.clone());

        for change in changes {
            let table = change.table();
            let key = self.sealer.kept_key(table, change.key()).into_owned();
            let value = match change {
                Change::Put { value, .. } => Some(self.sealer.seal(table.name, &key, value, nonce())?),
                Change::Delete { .. } => None,
            };
            if table.rows == Rows::Changing {
                let next_root = next_root.get_or_insert_with(|| root.clone());
                let sum = match next_root.digests.entry(table.name) {
                    Entry::Occupied(sum) => sum.into_mut(),
                    Entry::Vacant(place) => {
                        self.check_unused(table)?;
                        place.insert(Digest::default())
                    }
                };
                if let Some(old) = self.below.get(below_table(table), &key)? {
                    sum.subtract(self.sealer.row_digest(table.name, &key, &old));
                }
                if let Some(new) = &value {
                    sum.add(self.sealer.row_digest(table.name, &key, new));
                }
            }
            match value {
                Some(value) => kept.put(below_table(table), key, value),
                None => kept.delete(below_table(table), key),
            }
        }
        if let Some(next_root) = &mut next_root {
            next_root.batch = next_root.batch.wrapping_add(1);
            kept.put(root_row::TABLE, root_row::KEY, next_root.seal(&self.sealer, nonce())?);
        }
        Ok((kept, next_root))
    }

    /// A changing table that the root row does not know must have no rows.
    fn check_unused(&self, table: Table) -> Result<(), StoreError> {
        if self.below.scan(below_table(table), KeyRange::all(), 1)?.is_empty() {
            Ok(())
        } else {
            let reason = "it has rows, but the root row does not know it".to_owned();
            Err(StoreError::Damaged { table: table.name.to_owned(), reason })
        }
    }

    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut nonce);
        nonce
    }

    /// One call of the random source for a whole batch: asking the system costs more than its bytes.
    fn nonces(&self, count: usize) -> Vec<[u8; NONCE_BYTES]> {
        let mut nonces = vec![[0; NONCE_BYTES]; count];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(nonces.as_flattened_mut());
        if walytis_core::mutant!(RepeatNonce) {
            return vec![[0; NONCE_BYTES]; count];
        }
        nonces
    }
}

impl SealedStore<RedbStore> {
    /// Compares every page of the file with its sum: finds what reading would find, and missing rows too. Takes as long
    /// as reading the whole file.
    ///
    /// # Errors
    /// As [`RedbStore::check`].
    pub fn check(&mut self) -> Result<(), StoreError> {
        self.below.check()
    }
}

impl<S: Store> Store for SealedStore<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.sealer.kept_key(table, key);
        match self.below.get(below_table(table), &key)? {
            Some(sealed) => self.sealer.open(table.name, &key, sealed).map(Some),
            None => Ok(None),
        }
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        if table.keys == Keys::Hidden {
            return Err(StoreError::Unordered { table: table.name });
        }
        let mut rows = self.below.scan(below_table(table), range, limit)?;
        for row in &mut rows {
            row.value = self.sealer.open(table.name, &row.key, std::mem::take(&mut row.value))?;
        }
        Ok(rows)
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
        let start = self.sealer.hidden_prefix(table.name, clear, &first);
        // Behind the prefix is a digest of 32 bytes.
        let end = [&start[..], &[0xff; 33]].concat();
        let rows = self.below.scan(below_table(table), KeyRange::between(&start, &end), limit)?;
        rows.into_iter().map(|row| self.sealer.open(table.name, &row.key, row.value)).collect()
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut guard = self.guard();
        if guard.poisoned {
            return Err(StoreError::Poisoned);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let root = guard.root.clone();
        self.commit_as(&mut guard, &root, batch, RootIs::AsNeeded)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut guard = self.guard();
        self.below.reopen()?;
        let kept = self.below.get(root_row::TABLE, root_row::KEY)?.unwrap_or_default();
        let root = RootRow::open(&self.sealer, &kept).map_err(|fault| match fault {
            RootFault::UnknownFormat(_) => {
                let reason = "the root row is not the one that was read before".to_owned();
                StoreError::Damaged { table: root_row::TABLE.name.to_owned(), reason }
            }
            RootFault::Damaged(error) => error,
        })?;
        self.check_changing_tables(&root)?;
        *guard = Guard { root, poisoned: false };
        Ok(())
    }
}

impl<S> fmt::Debug for SealedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore").finish_non_exhaustive()
    }
}

/// The table as the store below sees it: kept keys are bytes like any others.
const fn below_table(table: Table) -> Table {
    Table { name: table.name, keys: Keys::Ordered, rows: table.rows }
}
