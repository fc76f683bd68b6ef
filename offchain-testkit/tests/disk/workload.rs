//! Seeded batches over several tables, the stores that they are written to, and what must be found there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use offchain_store::{OpenError, RedbStore, RootKey, SealedStore};
use offchain_testkit::SimDisk;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use walytis_core::{Batch, Change, KeyRange, Keys, Rows, Store, Table};

pub(crate) const ROWS: Table = Table::permanent("test.rows");
pub(crate) const STATE: Table = Table::changing("test.state");
pub(crate) const INDEX: Table = Table::hidden("test.index");
pub(crate) const HINTS: Table = Table { name: "test.hints", keys: Keys::Ordered, rows: Rows::Derived };
pub(crate) const TABLES: [Table; 4] = [ROWS, STATE, INDEX, HINTS];

/// The row that each batch replaces: how many batches there were with it.
const LAST: &[u8] = b"last";

/// The rows of all tables.
pub(crate) type AllRows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// How a store is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Plain,
    Sealed,
}

impl Kept {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Sealed];

    /// Begins a store on an empty disk.
    pub(crate) fn create(self, disk: &SimDisk) -> Result<Box<dyn Store>, OpenError> {
        let below = RedbStore::on_disk(disk.clone())?;
        Ok(match self {
            Self::Plain => Box::new(below),
            Self::Sealed => Box::new(SealedStore::create(below, &root_key(), random())?),
        })
    }

    pub(crate) fn open(self, disk: &SimDisk) -> Result<Box<dyn Store>, OpenError> {
        Ok(match self {
            Self::Plain => Box::new(RedbStore::on_disk(disk.clone())?),
            Self::Sealed => Box::new(open_sealed(disk)?),
        })
    }
}

pub(crate) fn open_sealed(disk: &SimDisk) -> Result<SealedStore<RedbStore>, OpenError> {
    SealedStore::open(RedbStore::on_disk(disk.clone())?, &root_key(), random())
}

pub(crate) fn root_key() -> RootKey {
    RootKey::generate(&mut ChaCha20Rng::seed_from_u64(1))
}

/// A random source that differs at each call. What is drawn from it are nonces: no outcome rests on them.
pub(crate) fn random() -> offchain_store::Random {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    Box::new(ChaCha20Rng::seed_from_u64(CALLS.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn below(end: u64, rng: &mut ChaCha20Rng) -> u64 {
    rng.next_u64() % end
}

/// Batches, and the rows that there are after each of them.
pub(crate) struct Workload {
    pub(crate) batches: Vec<Batch>,
    states: Vec<AllRows>,
}

impl Workload {
    /// So many batches of up to `rows_max` new rows a table.
    pub(crate) fn new(seed: u64, batches: usize, rows_max: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut workload = Self { batches: Vec::new(), states: vec![AllRows::new()] };
        let mut rows = 0_u64;
        for _ in 0..batches {
            let batch = workload.next_batch(&mut rows, rows_max, &mut rng);
            workload.push(batch);
        }
        workload
    }

    /// Batches of one large row, which a later one removes: the file grows and shrinks.
    pub(crate) fn of_large_rows(seed: u64, batches: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut workload = Self { batches: Vec::new(), states: vec![AllRows::new()] };
        for number in 0..batches as u64 {
            let mut batch = Batch::new();
            // The second half removes more than it brings.
            match number < batches as u64 / 2 {
                true => {
                    batch.put(HINTS, [number as u8], vec![number as u8; 600_000 + below(300_000, &mut rng) as usize])
                }
                false => batch.delete(HINTS, [(number - batches as u64 / 2) as u8]),
            }
            batch.put(ROWS, number.to_be_bytes(), number.to_le_bytes());
            batch.put(STATE, LAST, (number + 1).to_le_bytes());
            workload.push(batch);
        }
        workload
    }

    fn push(&mut self, batch: Batch) {
        let mut state = self.states.last().expect("there is the empty state").clone();
        apply(&batch, &mut state);
        self.batches.push(batch);
        self.states.push(state);
    }

    fn next_batch(&self, rows: &mut u64, rows_max: u64, rng: &mut ChaCha20Rng) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..=below(rows_max, rng) {
            *rows += 1;
            let bytes = match below(24, rng) {
                0 => 5_000 + below(40_000, rng),
                1..=4 => 500,
                _ => below(100, rng),
            };
            batch.put(ROWS, rows.to_be_bytes(), vec![(*rows % 251) as u8; bytes as usize]);
            batch.put(INDEX, blake3::hash(&rows.to_le_bytes()).as_bytes().to_vec(), rows.to_le_bytes());
            batch.put(HINTS, (*rows / 4).to_be_bytes(), rows.to_le_bytes());
        }
        for _ in 0..2 {
            let key = [below(6, rng) as u8];
            match below(3, rng) {
                0 => batch.delete(STATE, key),
                _ => batch.put(STATE, key, rng.next_u64().to_le_bytes()),
            }
        }
        batch.put(STATE, LAST, (self.batches.len() as u64 + 1).to_le_bytes());
        batch
    }

    /// The rows that there are after so many batches.
    pub(crate) fn rows_after(&self, batches: usize) -> &AllRows {
        &self.states[batches]
    }

    /// How many of the batches the store holds: all rows must be those of that many, and no other.
    pub(crate) fn standing(&self, store: &dyn Store, context: &dyn Fn() -> String) -> usize {
        let last = store.get(STATE, LAST).unwrap_or_else(|error| panic!("{}: {error}", context()));
        let batches = last.map_or(0, |last| u64::from_le_bytes(last.try_into().expect("8 bytes")) as usize);
        let difference = self.difference(store, batches).unwrap_or_else(|error| panic!("{}: {error}", context()));
        assert!(difference.is_none(), "{}: after {batches} batches {}", context(), difference.unwrap_or_default());
        batches
    }

    /// A row that is not as it should be after so many batches, if there is one.
    pub(crate) fn difference(
        &self,
        store: &dyn Store,
        batches: usize,
    ) -> Result<Option<String>, walytis_core::StoreError> {
        let Some(expected) = self.states.get(batches) else { return Ok(Some("more than there were".to_owned())) };
        for table in TABLES {
            let of_table = expected.range((table, Vec::new())..).take_while(|((of, _), _)| *of == table);
            if table.keys == Keys::Hidden {
                for ((_, key), value) in of_table {
                    if store.get(table, key)?.as_ref() != Some(value) {
                        return Ok(Some(format!("a row of {} differs", table.name)));
                    }
                }
                // What the next batch would put there.
                let next = self.states.get(batches + 1).into_iter().flat_map(|next| next.range((table, Vec::new())..));
                for ((_, key), _) in next.take_while(|((of, _), _)| *of == table) {
                    if !expected.contains_key(&(table, key.clone())) && store.get(table, key)?.is_some() {
                        return Ok(Some(format!("a row of {} is of a later batch", table.name)));
                    }
                }
                continue;
            }
            let found = store.scan(table, KeyRange::all(), usize::MAX)?;
            let found = found.iter().map(|row| (&row.key, &row.value));
            if !found.eq(of_table.map(|((_, key), value)| (key, value))) {
                return Ok(Some(format!("the rows of {} differ", table.name)));
            }
        }
        Ok(None)
    }
}

fn apply(batch: &Batch, rows: &mut AllRows) {
    for change in batch.changes() {
        let place = (change.table(), change.key().to_vec());
        match change {
            Change::Put { value, .. } => drop(rows.insert(place, value.clone())),
            Change::Delete { .. } => drop(rows.remove(&place)),
        }
    }
}
