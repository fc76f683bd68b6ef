//! What a node's records lie on: rows in memory, or the production store, sealed, on a simulated disk.

use std::sync::Arc;

use offchain_store::{OpenError, RedbStore, RootKey, SealedStore};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use walytis_core::{Batch, Store, StoreError};

use super::Fault;
use crate::{DiskFailure, DiskFaults, DiskImage, MemoryStore, SimDisk, Snapshot, Survival};

/// About how many operations of the disk a commit takes: where a failure is armed that is counted in commits.
const OPERATIONS_PER_COMMIT: u64 = 12;

/// More operations than opening a store of a run takes.
const OPENING_OPERATIONS: u64 = 60;

pub(super) enum Medium {
    Memory(Arc<MemoryStore>),
    Disk(Box<DiskMedium>),
}

/// All that a node has stored, at one instant.
#[derive(Clone, Debug)]
pub struct StoreCopy(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Rows(Snapshot),
    Image(DiskImage),
}

impl From<Snapshot> for StoreCopy {
    fn from(rows: Snapshot) -> Self {
        Self(Kept::Rows(rows))
    }
}

/// What happens to a disk at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// A bit is flipped.
    Flip {
        /// Of which byte, modulo the disk's length.
        offset: u64,
        /// Which.
        bit: u32,
    },
    /// Two pages change places.
    Swap {
        /// One, modulo how many there are.
        left: u64,
        /// The other.
        right: u64,
    },
    /// The end is cut off.
    Cut {
        /// Of a thousand parts of the length, so many are left.
        permille: u16,
    },
}

impl Damage {
    /// The kind of fault that it is.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::Flip { .. } => Fault::FlippedBits,
            Self::Swap { .. } => Fault::SwappedPages,
            Self::Cut { .. } => Fault::CutEnd,
        }
    }
}

/// The production store on a simulated disk.
pub(super) struct DiskMedium {
    disk: SimDisk,
    root: RootKey,
    rng: ChaCha20Rng,
    store: Option<Arc<SealedStore<RedbStore>>>,
}

impl DiskMedium {
    fn open(disk: &SimDisk, root: &RootKey, rng: &mut ChaCha20Rng) -> Result<SealedStore<RedbStore>, OpenError> {
        let random = Box::new(ChaCha20Rng::seed_from_u64(rng.next_u64()));
        SealedStore::open(RedbStore::on_disk(disk.clone())?, root, random)
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        // The handle that was there is the old process's: it writes no more.
        self.store = None;
        self.store = Some(Arc::new(Self::open(&self.disk, &self.root, &mut self.rng)?));
        Ok(())
    }

    fn survival(&mut self) -> Survival {
        let all = [Survival::Lost, Survival::Kept, Survival::Subset, Survival::Reordered, Survival::Torn];
        all.get(usize::try_from(self.rng.next_u64() % 5).unwrap_or_default()).copied().unwrap_or(Survival::Lost)
    }

    /// The disk as a crash leaves it, and what that did to it.
    fn crash(&mut self) -> DiskFaults {
        let survival = self.survival();
        let image = self.disk.crash(survival, &mut self.rng);
        let faults = self.disk.faults();
        self.disk = SimDisk::of(image, self.rng.next_u64());
        faults
    }
}

/// What a crash came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crashed {
    pub(super) faults: DiskFaults,
    pub(super) in_recovery: bool,
}

impl Medium {
    /// A new one on a disk.
    pub(super) fn on_disk(mut rng: ChaCha20Rng) -> Result<Self, OpenError> {
        let disk = SimDisk::new(rng.next_u64());
        let root = RootKey::generate(&mut rng);
        let random = Box::new(ChaCha20Rng::seed_from_u64(rng.next_u64()));
        let store = SealedStore::create(RedbStore::on_disk(disk.clone())?, &root, random)?;
        Ok(Self::Disk(Box::new(DiskMedium { disk, root, rng, store: Some(Arc::new(store)) })))
    }

    /// The store, to read from or for an engine.
    pub(super) fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Memory(store) => Ok(Arc::clone(store) as Arc<dyn Store>),
            Self::Disk(medium) => match &medium.store {
                Some(store) => Ok(Arc::clone(store) as Arc<dyn Store>),
                None => Err(StoreError::Poisoned),
            },
        }
    }

    /// Opens it anew, as whoever starts a node does.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => *store = Arc::new(store.reopened()),
            Self::Disk(medium) => medium.reopen().map_err(|error| damaged(&error))?,
        }
        Ok(())
    }

    /// Ends the process that has it open. Of the batches that were being written, the `keep` oldest reach the disk, or a
    /// part of the next one's pages do: the store shall show it as a whole or not at all.
    pub(super) fn crash(&mut self, writing: Vec<Batch>, keep: usize) -> Crashed {
        let mut crashed = Crashed::default();
        match self {
            Self::Memory(store) => {
                for batch in writing.iter().take(keep) {
                    // The disk takes it or fails: nobody was told either way.
                    let _ = store.commit(batch);
                }
            }
            Self::Disk(medium) => {
                if let Some(store) = medium.store.clone() {
                    for batch in writing.iter().take(keep) {
                        let _ = store.commit(batch);
                    }
                    if let Some(torn) = writing.get(keep) {
                        medium.disk.crash_after(medium.rng.next_u64() % (2 * OPERATIONS_PER_COMMIT));
                        let _ = store.commit(torn);
                    }
                }
                crashed.faults = medium.crash();
                medium.store = None;
                if medium.rng.next_u64() % 3 == 0 {
                    // It stops once more while it opens what the first crash left.
                    medium.disk.crash_after(medium.rng.next_u64() % OPENING_OPERATIONS);
                    crashed.in_recovery = DiskMedium::open(&medium.disk, &medium.root, &mut medium.rng).is_err();
                    let again = medium.crash();
                    crashed.faults.pages_lost = crashed.faults.pages_lost.saturating_add(again.pages_lost);
                    crashed.faults.pages_reordered =
                        crashed.faults.pages_reordered.saturating_add(again.pages_reordered);
                    crashed.faults.pages_torn = crashed.faults.pages_torn.saturating_add(again.pages_torn);
                }
                // If this fails, whoever starts the node is told.
                let _ = medium.reopen();
            }
        }
        crashed
    }

    /// Lets `commits` more commits succeed, about, and the next one fail.
    pub(super) fn fail_commit(&self, commits: u64, error: StoreError) {
        match self {
            Self::Memory(store) => store.fail_commit(commits, error),
            Self::Disk(medium) => {
                let full = matches!(error, StoreError::Full { .. });
                let failure = if full { DiskFailure::Full } else { DiskFailure::BrokenWrites };
                let after =
                    commits.saturating_mul(OPERATIONS_PER_COMMIT).saturating_add(commits % OPERATIONS_PER_COMMIT);
                medium.disk.fail_after(failure, after, 3);
            }
        }
    }

    pub(super) fn heal(&self) {
        match self {
            Self::Memory(store) => store.heal(),
            Self::Disk(medium) => medium.disk.mend(),
        }
    }

    pub(super) fn copy(&self) -> StoreCopy {
        StoreCopy(match self {
            Self::Memory(store) => Kept::Rows(store.snapshot()),
            Self::Disk(medium) => Kept::Image(medium.disk.image()),
        })
    }

    /// Puts a copy in place of what is there. A copy of the other kind of medium changes nothing.
    pub(super) fn put_back(&mut self, copy: StoreCopy) {
        match (self, copy.0) {
            (Self::Memory(store), Kept::Rows(rows)) => *store = Arc::new(MemoryStore::from_snapshot(rows)),
            (Self::Disk(medium), Kept::Image(image)) => {
                medium.store = None;
                medium.disk = SimDisk::of(image, medium.rng.next_u64());
            }
            _ => {}
        }
    }

    /// Opens it and compares every page with its sum. What is in memory is as it was.
    pub(super) fn verify(&mut self) -> Result<(), StoreError> {
        let Self::Disk(medium) = self else { return Ok(()) };
        medium.store = None;
        let mut store =
            DiskMedium::open(&medium.disk, &medium.root, &mut medium.rng).map_err(|error| damaged(&error))?;
        store.check()
    }

    /// Damages a disk on which nothing works. Returns what was done; `None` for one in memory.
    pub(super) fn damage(&mut self, damage: Damage) -> Option<DiskFaults> {
        let Self::Disk(medium) = self else { return None };
        medium.store = None;
        let (bytes, disk) = (medium.disk.image().bytes(), &medium.disk);
        let pages = bytes / crate::DISK_PAGE_BYTES as u64;
        match damage {
            Damage::Flip { offset, bit } => disk.flip_bit(offset.checked_rem(bytes)?, bit % 8),
            Damage::Swap { left, right } => disk.swap_pages(left.checked_rem(pages)?, right.checked_rem(pages)?),
            Damage::Cut { permille } => {
                disk.truncate((bytes / 1000).saturating_mul(u64::from(permille.min(999))));
            }
        }
        Some(disk.faults())
    }
}

/// Why a store cannot be opened, as the engine would tell.
fn damaged(error: &OpenError) -> StoreError {
    StoreError::Damaged { table: "(whole store)".to_owned(), reason: error.to_string() }
}
