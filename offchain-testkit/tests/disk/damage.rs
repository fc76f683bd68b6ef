//! Disks that rot (W5): what is read is right, or an error.

use offchain_testkit::{DISK_PAGE_BYTES, DiskImage, SimDisk};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{Batch, KeyRange, Keys, Record, Rows, Store, StoreError, Table};

use crate::workload::{HINTS, Kept, TABLES, Workload, below, open_sealed};

/// A store as it was left.
struct Rotting {
    workload: Workload,
    image: DiskImage,
}

/// What came of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    FoundByCheck,
    Harmless,
}

impl Rotting {
    /// Stores written a few rows a batch, many rows a batch and both; by one handle, which is then closed or not, and by
    /// a handle for each batch.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (batches, rows_max) in [(24, 1), (2, 40), (8, 6), (1, 60)] {
            for (handles, closes) in [(1, false), (1, true), (batches, true)] {
                let seed = all.len() as u64;
                let workload = Workload::new(seed, batches + 1, rows_max);
                let disk = SimDisk::new(seed);
                drop(Kept::Sealed.create(&disk).expect("a new store"));
                let mut unclosed = DiskImage::default();
                for of_handle in workload.batches[..batches].chunks(batches / handles) {
                    let store = Kept::Sealed.open(&disk).expect("the store");
                    of_handle.iter().for_each(|batch| store.commit(batch).expect("a commit"));
                    unclosed = disk.image();
                }
                all.push(Self { workload, image: if closes { disk.image() } else { unclosed } });
            }
        }
        all
    }

    /// How many batches were committed. The last one of the workload is for what is left.
    fn batches(&self) -> usize {
        self.workload.batches.len() - 1
    }

    fn disk(&self) -> SimDisk {
        SimDisk::of(self.image.clone(), 0)
    }

    /// Each row that is read is right after so many batches; whether all are there.
    fn check_rows(&self, store: &dyn Store, batches: usize, context: &dyn Fn() -> String) -> Result<bool, StoreError> {
        let mut all = true;
        let expected = self.workload.rows_after(batches);
        for table in TABLES {
            let (mut whole, mut rows_expected) = (true, 0);
            for ((_, key), value) in expected.iter().filter(|((of, _), _)| *of == table) {
                match store.get(table, key)? {
                    Some(read) if read == *value => {}
                    Some(read) => {
                        assert!(self.may_be_old(table, key, &read), "{}: another value in {}", context(), table.name);
                        whole = false;
                    }
                    None => whole = false,
                }
                rows_expected += 1;
            }
            if table.keys == Keys::Ordered {
                let rows = store.scan(table, KeyRange::all(), usize::MAX)?;
                let of_now = rows.iter().filter(|row| expected.get(&(table, row.key.clone())) == Some(&row.value));
                whole &= rows.len() == rows_expected && of_now.count() == rows_expected;
                let known = |row: &Record| {
                    expected.get(&(table, row.key.clone())) == Some(&row.value)
                        || self.may_be_old(table, &row.key, &row.value)
                };
                assert!(rows.iter().all(known), "{}: a row of {} that there never was", context(), table.name);
            }
            if table.rows == Rows::Changing && !whole {
                // Old all together, with their guard, as in an old copy: the documented limit without a check.
                let rows = store.scan(table, KeyRange::all(), usize::MAX)?;
                let is_of = |batches| rows.iter().map(|row| (&row.key, &row.value)).eq(self.rows_of(table, batches));
                assert!((0..=batches).any(is_of), "{}: {} is as it never was", context(), table.name);
            }
            all &= whole;
        }
        Ok(all)
    }

    /// Whether the row was so once, in a table whose rows are replaced.
    fn may_be_old(&self, table: Table, key: &[u8], value: &[u8]) -> bool {
        let place = (table, key.to_vec());
        let once = |batches| self.workload.rows_after(batches).get(&place).is_some_and(|row| row == value);
        table.rows != Rows::Permanent && (0..=self.batches()).any(once)
    }

    fn rows_of(&self, table: Table, batches: usize) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let rows = self.workload.rows_after(batches).iter();
        rows.filter(move |((of, _), _)| *of == table).map(|((_, key), value)| (key, value))
    }

    /// Opens a damaged disk for reading, checks it, and writes to it if the check finds nothing.
    fn outcome(&self, disk: &SimDisk, context: &dyn Fn() -> String) -> Outcome {
        let Ok(mut store) = open_sealed(disk) else { return Outcome::Refused };
        let read = self.check_rows(&store, self.batches(), context);
        if store.check().is_err() {
            drop(store);
            self.refuses_writes(disk, context);
            return Outcome::FoundByCheck;
        }
        assert_eq!(read, Ok(true), "{}: no check finds it", context());
        assert_eq!(self.check_rows(&store, self.batches(), context), Ok(true), "{}: after the check", context());
        drop(store);
        // What no check finds is in no use: writing on does not meet it either.
        let store = open_sealed(disk).unwrap_or_else(|error| panic!("{}: opening anew: {error}", context()));
        let last = &self.workload.batches[self.batches()];
        store.commit(last).unwrap_or_else(|error| panic!("{}: writing on: {error}", context()));
        assert_eq!(self.workload.standing(&store, context), self.batches() + 1, "{}", context());
        Outcome::Harmless
    }

    /// A store that a check would find damaged takes no commits, and nothing of it is changed.
    fn refuses_writes(&self, disk: &SimDisk, context: &dyn Fn() -> String) {
        let before = disk.image();
        let Ok(store) = open_sealed(disk) else { return };
        let committed = store.commit(&self.workload.batches[self.batches()]);
        assert!(committed.is_err(), "{}: it was written to", context());
        drop(store);
        assert!(disk.image() == before, "{}: it was changed", context());
    }
}

/// How many damages came to what.
#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    found: u64,
    harmless: u64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Refused => self.refused += 1,
            Outcome::FoundByCheck => self.found += 1,
            Outcome::Harmless => self.harmless += 1,
        }
    }

    fn assert_at_least(&self, refused: u64, found: u64, harmless: u64) {
        let enough = self.refused >= refused && self.found >= found && self.harmless >= harmless;
        assert!(enough, "{self:?}");
    }
}

#[test]
fn w5_a_flipped_bit_of_any_page_is_found_or_harmless() {
    let mut tally = Tally::default();
    for (number, rotting) in Rotting::all().into_iter().enumerate() {
        let mut rng = ChaCha20Rng::seed_from_u64(number as u64);
        for page in (1..rotting.image.pages()).filter(|page| rotting.image.is_used(*page)) {
            // A page begins with its kind, its rows' number and where they end; then any place.
            let places = [below(4, &mut rng), 64, below(256, &mut rng), below(DISK_PAGE_BYTES as u64, &mut rng)];
            for place in places {
                let (offset, bit) = (page * DISK_PAGE_BYTES as u64 + place, below(8, &mut rng) as u32);
                let disk = rotting.disk();
                disk.flip_bit(offset, bit);
                tally.count(rotting.outcome(&disk, &|| format!("store {number}, bit {bit} at {page}:{place}")));
            }
        }
    }
    tally.assert_at_least(100, 400, 400);
}

#[test]
fn w5_a_flipped_bit_of_the_header_is_found() {
    let mut tally = Tally::default();
    for (number, rotting) in Rotting::all().into_iter().enumerate() {
        for bit in 0..336 * 8 {
            let disk = rotting.disk();
            disk.flip_bit(bit / 8, (bit % 8) as u32);
            tally.count(rotting.outcome(&disk, &|| format!("store {number}, bit {bit} of the header")));
        }
    }
    tally.assert_at_least(12 * 336 * 8, 0, 0);
}

#[test]
fn w5_swapped_pages_are_found_or_harmless() {
    let mut tally = Tally::default();
    for (number, rotting) in Rotting::all().into_iter().enumerate() {
        let mut rng = ChaCha20Rng::seed_from_u64(number as u64);
        let used: Vec<u64> = (0..rotting.image.pages()).filter(|page| rotting.image.is_used(*page)).collect();
        for _ in 0..150 {
            let mut any = || used[below(used.len() as u64, &mut rng) as usize];
            let (left, right) = (any(), any());
            let disk = rotting.disk();
            disk.swap_pages(left, right);
            tally.count(rotting.outcome(&disk, &|| format!("store {number}, pages {left} and {right}")));
        }
    }
    tally.assert_at_least(100, 100, 50);
}

#[test]
fn w5_an_end_that_was_cut_off_is_found() {
    let mut tally = Tally::default();
    for (number, rotting) in Rotting::all().into_iter().enumerate() {
        let mut rng = ChaCha20Rng::seed_from_u64(number as u64);
        for cut in 0..60 {
            // At any byte, or at a page's border.
            let bytes = below(rotting.image.bytes() - 1, &mut rng) + 1;
            let bytes = if cut % 2 == 0 { bytes } else { bytes.next_multiple_of(DISK_PAGE_BYTES as u64) };
            let disk = rotting.disk();
            disk.truncate(bytes);
            tally.count(rotting.outcome(&disk, &|| format!("store {number}, cut to {bytes} bytes")));
        }
    }
    tally.assert_at_least(200, 0, 0);
}

/// The documented limit: only a peer can tell that a whole store is an old one.
#[test]
fn an_old_image_that_was_put_back_opens_as_the_old_state() {
    let workload = Workload::new(3, 6, 3);
    let disk = SimDisk::new(3);
    let mut olds = Vec::new();
    let store = Kept::Sealed.create(&disk).expect("a new store");
    drop(store);
    for batch in &workload.batches {
        olds.push(disk.image());
        let store = Kept::Sealed.open(&disk).expect("the store");
        store.commit(batch).expect("a commit");
    }
    for (batches, old) in olds.into_iter().enumerate() {
        disk.put_back(old);
        let mut store = open_sealed(&disk).expect("the store");
        assert_eq!(workload.standing(&store, &|| format!("put back after {batches}")), batches);
        store.check().expect("sound");
        let mut batch = Batch::new();
        batch.put(HINTS, *b"more", *b"more");
        store.commit(&batch).expect("a commit");
    }
    assert_eq!(disk.faults().put_back, 6);
}
