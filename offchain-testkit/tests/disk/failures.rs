//! Disks that are full or broken at every operation (W6).

use offchain_store::OpenError;
use offchain_testkit::{DiskFailure, DiskImage, SimDisk, Survival};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{Store, StoreError};

use crate::workload::{Kept, Workload};

/// So many operations that a failure concerns each run has, and each of them fails in one run.
const OPERATIONS: u64 = 500;

struct Scene {
    workload: Workload,
    created: DiskImage,
}

impl Scene {
    fn new() -> Self {
        let disk = SimDisk::new(0);
        drop(Kept::Sealed.create(&disk).expect("a new store"));
        Self { workload: Workload::new(11, 40, 2), created: disk.image() }
    }

    /// Writes until the disk fails at operation `after`, `times` times; what must then hold. Whether it came to that.
    fn run(&self, failure: DiskFailure, after: u64, times: u64) -> bool {
        let context = || format!("{failure:?} at operation {after}, {times} times");
        let disk = SimDisk::of(self.created.clone(), after);
        disk.fail_after(failure, after, times);
        let mut acknowledged = 0;
        match Kept::Sealed.open(&disk) {
            Ok(store) => acknowledged = self.write(&*store, failure, &disk, &context),
            Err(OpenError::Store(StoreError::Disk { .. }) | OpenError::Io { .. }) if failure == DiskFailure::Broken => {
            }
            Err(error) => panic!("{}: {error}", context()),
        }
        let faults = disk.faults();
        if faults.full + faults.broken == 0 {
            return false;
        }
        // The power goes while it fails.
        let survival = Survival::ALL[(after % 5) as usize];
        let left = disk.crash(survival, &mut ChaCha20Rng::seed_from_u64(after));
        self.go_on(&SimDisk::of(left, after), acknowledged, &|| format!("{}, {survival:?}", context()));
        disk.mend();
        self.go_on(&disk, acknowledged, &context);
        true
    }

    /// Commits until one fails. How many batches were acknowledged.
    fn write(&self, store: &dyn Store, failure: DiskFailure, disk: &SimDisk, context: &dyn Fn() -> String) -> usize {
        let mut acknowledged = 0;
        loop {
            let batch = &self.workload.batches[acknowledged];
            match store.commit(batch) {
                Ok(()) => acknowledged += 1,
                Err(StoreError::Full { .. }) if failure == DiskFailure::Full => break,
                Err(StoreError::Disk { .. } | StoreError::Poisoned) if failure != DiskFailure::Full => break,
                Err(error) => panic!("{}: {error}", context()),
            }
            if acknowledged + 3 > self.workload.batches.len() {
                return acknowledged;
            }
        }
        assert_eq!(store.commit(&self.workload.batches[acknowledged]), Err(StoreError::Poisoned), "{}", context());
        if failure == DiskFailure::Broken {
            // Nobody can read from it now; what was read before may still be known.
            for batches in [acknowledged, acknowledged + 1] {
                let difference = self.workload.difference(store, batches);
                let told = matches!(difference, Err(StoreError::Disk { .. } | StoreError::Poisoned));
                assert!(told || difference.is_ok(), "{}: {difference:?}", context());
            }
            disk.mend();
        }
        let found = self.workload.standing(store, context);
        assert!(found == acknowledged || found == acknowledged + 1, "{}: {found} of {acknowledged}", context());
        acknowledged
    }

    /// Opens it anew, and writes on.
    fn go_on(&self, disk: &SimDisk, acknowledged: usize, context: &dyn Fn() -> String) {
        let store = Kept::Sealed.open(disk).unwrap_or_else(|error| panic!("{}: opening anew: {error}", context()));
        let found = self.workload.standing(&*store, context);
        assert!(found == acknowledged || found == acknowledged + 1, "{}: {found} of {acknowledged}", context());
        store.commit(&self.workload.batches[found]).unwrap_or_else(|error| panic!("{}: {error}", context()));
        drop(store);
        let store = Kept::Sealed.open(disk).unwrap_or_else(|error| panic!("{}: opening anew: {error}", context()));
        assert_eq!(self.workload.standing(&*store, context), found + 1, "{}", context());
        drop(store);
        // What a failed sync has lost is not taken for durable now.
        let left = disk.crash(Survival::Lost, &mut ChaCha20Rng::seed_from_u64(1));
        let store = Kept::Sealed.open(&SimDisk::of(left, 1)).unwrap_or_else(|error| panic!("{}: {error}", context()));
        assert_eq!(self.workload.standing(&*store, context), found + 1, "{}, and a crash", context());
    }

    fn at_every_operation(&self, failure: DiskFailure, times: u64) {
        let fired = (0..OPERATIONS).filter(|after| self.run(failure, *after, times)).count() as u64;
        assert_eq!(fired, OPERATIONS, "{failure:?}: so many of the operations came to pass and failed");
    }
}

#[test]
fn w6_a_full_disk_at_any_operation_loses_nothing_acknowledged() {
    Scene::new().at_every_operation(DiskFailure::Full, u64::MAX);
}

#[test]
fn w6_a_disk_that_is_full_for_a_while_loses_nothing_acknowledged() {
    Scene::new().at_every_operation(DiskFailure::Full, 3);
}

#[test]
fn w6_a_failed_write_at_any_operation_loses_nothing_acknowledged() {
    Scene::new().at_every_operation(DiskFailure::BrokenWrites, 1);
}

#[test]
fn w6_a_disk_that_fails_at_any_operation_loses_nothing_acknowledged() {
    Scene::new().at_every_operation(DiskFailure::Broken, u64::MAX);
}

#[test]
fn w6_a_disk_that_fails_for_a_while_loses_nothing_acknowledged() {
    Scene::new().at_every_operation(DiskFailure::Broken, 4);
}
