use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offchain_store::Disk;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::disk_crash::{DiskMoment, Losses, Survival, Unsynced};
use crate::disk_image::{DISK_PAGE_BYTES, DiskImage};

/// More than any store of a test has, in bytes. A longer disk comes out of a damaged length, and there is no space for it.
const BYTES_MAX: u64 = 1 << 30;

/// A disk that keeps apart what is durable and what was written since the last sync. Clones are handles of one disk.
///
/// It can crash at any operation and then leave any part of what was not synced, refuse operations, and be damaged at
/// rest. Everything random follows from the seed. It has no lock: each opening finds it free.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// How many operations a disk was asked for, those that failed included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskOperations {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Changes of the length.
    pub set_lens: u64,
    /// Syncs.
    pub syncs: u64,
}

impl DiskOperations {
    /// All of them.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.reads + self.changes()
    }

    /// All but the reads.
    #[must_use]
    pub const fn changes(self) -> u64 {
        self.writes + self.set_lens + self.syncs
    }
}

/// How often each fault came to pass, not merely was armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// Crashes at an operation, and images that were taken of a crash.
    pub crashes: u64,
    /// Pages of unsynced writes that a crash lost.
    pub pages_lost: u64,
    /// Pages of unsynced writes that a crash let come before others that were written earlier.
    pub pages_reordered: u64,
    /// Pages of unsynced writes of which a crash left a part.
    pub pages_torn: u64,
    /// Operations refused because the disk was full.
    pub full: u64,
    /// Operations that failed with an I/O error.
    pub broken: u64,
    /// Bits that were flipped at rest.
    pub bits_flipped: u64,
    /// Pairs of pages that were swapped at rest.
    pub pages_swapped: u64,
    /// Ends that were cut off at rest.
    pub truncated: u64,
    /// Whole images that were put in place of what was there.
    pub put_back: u64,
}

/// How an operation of a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFailure {
    /// Writes, changes of the length and syncs find no space (`ENOSPC`); reads work.
    Full,
    /// Writes, changes of the length and syncs fail (`EIO`); reads work.
    BrokenWrites,
    /// Every operation fails (`EIO`).
    Broken,
}

impl DiskFailure {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Full, Self::BrokenWrites, Self::Broken];

    fn error(self) -> io::Error {
        match self {
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::BrokenWrites | Self::Broken => io::Error::other("input/output error"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    failure: DiskFailure,
    /// How many operations that it concerns still work.
    after: u64,
    /// How many then fail.
    times: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Read,
    Write,
    SetLen,
    Sync,
}

#[derive(Debug)]
struct State {
    /// What is durable, and what is not yet.
    moment: DiskMoment,
    /// What reads see.
    seen: DiskImage,
    operations: DiskOperations,
    faults: DiskFaults,
    failing: Option<Failing>,
    crash_at: Option<u64>,
    is_gone: bool,
    record: Option<Vec<DiskMoment>>,
    rng: ChaCha20Rng,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(DiskImage::default(), seed)
    }

    /// A disk that holds an image, all of it durable.
    #[must_use]
    pub fn of(image: DiskImage, seed: u64) -> Self {
        let moment = DiskMoment { operation: 0, durable: image.clone(), unsynced: Vec::new() };
        let state = State {
            moment,
            seen: image,
            operations: DiskOperations::default(),
            faults: DiskFaults::default(),
            failing: None,
            crash_at: None,
            is_gone: false,
            record: None,
            rng: ChaCha20Rng::seed_from_u64(seed),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What reads see now.
    #[must_use]
    pub fn image(&self) -> DiskImage {
        self.state().seen.clone()
    }

    /// What it was asked for so far.
    #[must_use]
    pub fn operations(&self) -> DiskOperations {
        self.state().operations
    }

    /// The faults that came to pass so far.
    #[must_use]
    pub fn faults(&self) -> DiskFaults {
        self.state().faults
    }

    /// From now on keeps the moment after every change that it is asked for, for [`SimDisk::take_record`]. A write is
    /// among what was not synced, a sync has not begun: a crash may come before its end.
    pub fn record(&self) {
        self.state().record = Some(Vec::new());
    }

    /// The moments since [`SimDisk::record`], which ends.
    #[must_use]
    pub fn take_record(&self) -> Vec<DiskMoment> {
        self.state().record.take().unwrap_or_default()
    }

    /// The disk as it is now: what is durable and what is not.
    #[must_use]
    pub fn moment(&self) -> DiskMoment {
        self.state().moment()
    }

    /// What a crash now would leave.
    #[must_use]
    pub fn crash(&self, survival: Survival, rng: &mut ChaCha20Rng) -> DiskImage {
        let mut state = self.state();
        let (image, losses) = state.moment().crash_counted(survival, rng);
        state.faults.crashes += 1;
        state.faults.add(losses);
        image
    }

    /// Lets `after` more operations work, reads included. The next one fails, as does every later one: the process is
    /// gone. If it is a write or a change of the length, it counts as begun.
    pub fn crash_after(&self, after: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.operations.all().saturating_add(after));
    }

    /// Lets `after` more operations that the failure concerns work, and the `times` after them fail. One that fails does
    /// nothing, but for a sync: of what it was to make durable, some is lost for good, as on Linux, though reads go on to
    /// see it.
    pub fn fail_after(&self, failure: DiskFailure, after: u64, times: u64) {
        self.state().failing = Some(Failing { failure, after, times });
    }

    /// Takes back what [`SimDisk::fail_after`] armed.
    pub fn mend(&self) {
        self.state().failing = None;
    }

    /// Flips a bit at rest: bit `bit` (0 to 7) of the byte at `offset`, which must be there.
    ///
    /// # Panics
    /// If it is not.
    pub fn flip_bit(&self, offset: u64, bit: u32) {
        self.damage(|image, faults| {
            let mut byte = [0];
            let read = image.read(offset, &mut byte);
            assert!(read.is_ok() && bit < 8, "there is no bit {bit} at {offset} of {} bytes", image.bytes());
            byte[0] ^= 1 << bit;
            image.write_within(offset, &byte);
            faults.bits_flipped += 1;
        });
    }

    /// Swaps two pages of [`DISK_PAGE_BYTES`] at rest.
    ///
    /// # Panics
    /// If one of them is not there as a whole.
    pub fn swap_pages(&self, left: u64, right: u64) {
        self.damage(|image, faults| {
            let whole = image.bytes() / DISK_PAGE_BYTES as u64;
            assert!(left.max(right) < whole, "pages {left} and {right} of {whole}");
            image.swap_pages(left, right);
            faults.pages_swapped += 1;
        });
    }

    /// Cuts off, at rest, what lies behind `bytes`.
    pub fn truncate(&self, bytes: u64) {
        self.damage(|image, faults| {
            faults.truncated += u64::from(bytes < image.bytes());
            image.set_len(bytes.min(image.bytes()));
        });
    }

    /// Puts another image in place of what is there, such as an old copy.
    pub fn put_back(&self, other: DiskImage) {
        self.damage(|image, faults| {
            *image = other;
            faults.put_back += 1;
        });
    }

    /// Changes what is there, which is durable before and after.
    fn damage(&self, change: impl FnOnce(&mut DiskImage, &mut DiskFaults)) {
        let mut state = self.state();
        let State { moment, seen, faults, .. } = &mut *state;
        change(seen, faults);
        moment.durable = seen.clone();
        moment.unsynced.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn moment(&self) -> DiskMoment {
        DiskMoment { operation: self.operations.all(), ..self.moment.clone() }
    }

    /// Counts an operation; whether it may be carried out.
    fn begin(&mut self, operation: Operation) -> io::Result<()> {
        if self.is_gone {
            return Err(gone());
        }
        let number = self.operations.all();
        match operation {
            Operation::Read => self.operations.reads += 1,
            Operation::Write => self.operations.writes += 1,
            Operation::SetLen => self.operations.set_lens += 1,
            Operation::Sync => self.operations.syncs += 1,
        }
        if self.crash_at.is_some_and(|at| at <= number) {
            self.is_gone = true;
            self.faults.crashes += 1;
            return Ok(());
        }
        let Some(failing) = &mut self.failing else { return Ok(()) };
        if operation == Operation::Read && failing.failure != DiskFailure::Broken {
            return Ok(());
        }
        if failing.after > 0 {
            failing.after -= 1;
            return Ok(());
        }
        if failing.times == 0 {
            return Ok(());
        }
        failing.times -= 1;
        let failure = failing.failure;
        match failure {
            DiskFailure::Full => self.faults.full += 1,
            DiskFailure::BrokenWrites | DiskFailure::Broken => self.faults.broken += 1,
        }
        if operation == Operation::Sync {
            let (durable, losses) = self.moment.crash_counted(Survival::Subset, &mut self.rng);
            self.moment.durable = durable;
            self.moment.unsynced.clear();
            self.faults.add(losses);
        }
        Err(failure.error())
    }

    /// Ends an operation that was carried out, or was begun when the process went.
    fn end(&mut self) -> io::Result<()> {
        if self.is_gone { Err(gone()) } else { Ok(()) }
    }

    fn change(&mut self, change: Unsynced) -> io::Result<()> {
        match &change {
            Unsynced::Write { offset, bytes } => self.seen.write(*offset, bytes)?,
            Unsynced::SetLen(bytes) if *bytes > BYTES_MAX => return Err(DiskFailure::Full.error()),
            Unsynced::SetLen(bytes) => self.seen.set_len(*bytes),
        }
        self.moment.unsynced.push(change);
        self.note();
        self.end()
    }

    fn note(&mut self) {
        let moment = self.record.is_some().then(|| self.moment());
        self.record.iter_mut().zip(moment).for_each(|(record, moment)| record.push(moment));
    }
}

impl DiskFaults {
    fn add(&mut self, losses: Losses) {
        self.pages_lost += losses.lost;
        self.pages_reordered += losses.reordered;
        self.pages_torn += losses.torn;
    }
}

fn gone() -> io::Error {
    io::Error::other("the process is gone")
}

impl Disk for SimDisk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        if state.is_gone { Err(gone()) } else { Ok(state.seen.bytes()) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Operation::Read)?;
        state.end()?;
        state.seen.read(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Operation::Write)?;
        state.change(Unsynced::Write { offset, bytes: bytes.into() })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Operation::SetLen)?;
        state.change(Unsynced::SetLen(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Operation::Sync)?;
        state.note();
        state.end()?;
        let DiskMoment { durable, unsynced, .. } = &mut state.moment;
        unsynced.drain(..).for_each(|change| change.apply(durable));
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}
