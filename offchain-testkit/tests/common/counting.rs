//! A store that counts what is read from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use offchain_testkit::MemoryStore;
use walytis_core::{Batch, ID_PREFIX_BYTES, KeyRange, Record, Store, StoreError, Table};

/// A [`MemoryStore`] that counts reads.
pub(crate) struct Counting {
    store: Arc<MemoryStore>,
    reads: AtomicUsize,
    wraps: AtomicUsize,
    wrap_bytes: AtomicUsize,
}

impl Counting {
    pub(crate) fn over(store: Arc<MemoryStore>) -> Arc<Self> {
        let zero = AtomicUsize::default;
        Arc::new(Self { store, reads: zero(), wraps: zero(), wrap_bytes: zero() })
    }

    /// How often something was read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// How often a row with wraps was, and the bytes of these rows.
    pub(crate) fn wraps(&self) -> (usize, usize) {
        (self.wraps.load(Ordering::Relaxed), self.wrap_bytes.load(Ordering::Relaxed))
    }

    fn count(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }
}

impl Store for Counting {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.count();
        let row = self.store.get(table, key)?;
        if table.name == "identities.wraps" {
            self.wraps.fetch_add(1, Ordering::Relaxed);
            self.wrap_bytes.fetch_add(row.as_ref().map_or(0, Vec::len), Ordering::Relaxed);
        }
        Ok(row)
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.count();
        self.store.scan(table, range, limit)
    }

    fn by_prefix(
        &self,
        table: Table,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.count();
        self.store.by_prefix(table, clear, first, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.store.commit(batch)
    }
}
