//! Crashes at every operation (W1 to W4).

use offchain_testkit::{DiskFaults, DiskImage, DiskMoment, SimDisk, Survival};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::StoreError;

use crate::workload::{Kept, Workload, below};

/// Each run crashes at every change of its disk: a crash at a read leaves what one at the change before it left.
const RUNS: u64 = 8;
const BATCHES: usize = 12;
/// What is left must take further batches.
const FURTHER: usize = 3;

/// A run, moment by moment.
struct Run {
    kept: Kept,
    seed: u64,
    workload: Workload,
    moments: Vec<DiskMoment>,
    /// After how many operations the store's creation, and then each batch, was acknowledged.
    acknowledged: Vec<u64>,
    /// How often the disk's length changed.
    lengths: u64,
}

impl Run {
    fn new(kept: Kept, seed: u64) -> Self {
        Self::of(kept, seed, Workload::new(seed, BATCHES + FURTHER, 1 + seed % 5))
    }

    fn of(kept: Kept, seed: u64, workload: Workload) -> Self {
        let disk = SimDisk::new(seed);
        disk.record();
        let store = kept.create(&disk).expect("a new store");
        let mut acknowledged = vec![disk.operations().all()];
        for batch in &workload.batches[..workload.batches.len() - FURTHER] {
            store.commit(batch).expect("a commit");
            acknowledged.push(disk.operations().all());
        }
        drop(store);
        let lengths = disk.operations().set_lens;
        Self { kept, seed, workload, moments: disk.take_record(), acknowledged, lengths }
    }

    /// How many batches were acknowledged before the operation of that moment; `None` if the store was not created yet.
    fn acknowledged(&self, moment: &DiskMoment) -> Option<usize> {
        self.acknowledged.iter().filter(|operations| **operations < moment.operation()).count().checked_sub(1)
    }

    fn disk(&self, image: &DiskImage) -> SimDisk {
        SimDisk::of(image.clone(), self.seed)
    }

    /// Opens what a crash left, and writes on. How many batches there were.
    fn check(&self, image: &DiskImage, acknowledged: usize, context: &dyn Fn() -> String) -> usize {
        let store = self.kept.open(&self.disk(image)).unwrap_or_else(|error| panic!("{}: {error}", context()));
        let found = self.workload.standing(&*store, context);
        assert!(found == acknowledged || found == acknowledged + 1, "{}: {found} of {acknowledged}", context());
        store.commit(&self.workload.batches[found]).unwrap_or_else(|error| panic!("{}: {error}", context()));
        assert_eq!(self.workload.standing(&*store, context), found + 1, "{}", context());
        found
    }

    /// Crashes at every change of opening what a crash left, writing one batch to it and closing it. How many images
    /// that gave.
    fn crash_again(&self, image: &DiskImage, found: usize, context: &dyn Fn() -> String) -> u64 {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        let disk = self.disk(image);
        disk.record();
        let store = self.kept.open(&disk).unwrap_or_else(|error| panic!("{}: {error}", context()));
        store.commit(&self.workload.batches[found]).unwrap_or_else(|error| panic!("{}: {error}", context()));
        let acknowledged_at = disk.operations().all();
        drop(store);
        let mut images = 0;
        for moment in disk.take_record() {
            let acknowledged = found + usize::from(moment.operation() > acknowledged_at);
            for survival in Survival::ALL {
                let context = || format!("{}, then {survival:?}, operation {}", context(), moment.operation());
                self.check(&moment.crash(survival, &mut rng), acknowledged, &context);
                images += 1;
            }
        }
        images
    }
}

/// Calls `check` with every image of every run, and what names it.
fn for_each_image(
    runs: impl Iterator<Item = u64> + Clone,
    mut check: impl FnMut(&Run, &DiskMoment, &DiskImage, &dyn Fn() -> String),
) {
    for kept in Kept::ALL {
        for seed in runs.clone() {
            let run = Run::new(kept, seed);
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            for moment in &run.moments {
                for survival in Survival::ALL {
                    let image = moment.crash(survival, &mut rng);
                    let context = || format!("{kept:?}, seed {seed}, {survival:?}, operation {}", moment.operation());
                    check(&run, moment, &image, &context);
                }
            }
        }
    }
}

#[test]
fn w1_w2_w3_a_crash_at_any_operation_loses_nothing_acknowledged_and_splits_no_batch() {
    let (mut images, mut unfinished, mut went_on) = (0_u64, 0_u64, 0_u64);
    for_each_image(0..RUNS, |run, moment, image, context| {
        images += 1;
        match run.acknowledged(moment) {
            Some(acknowledged) => went_on += u64::from(run.check(image, acknowledged, context) > acknowledged),
            // Nobody was told that there is a store. What is there opens or is refused.
            None => {
                drop(run.kept.open(&run.disk(image)));
                unfinished += 1;
            }
        }
    });
    assert!(images - unfinished >= 15_000, "{images} images, {unfinished} of them of a store that was not created yet");
    assert!(went_on >= 1_000, "{went_on} images hold a batch that was not acknowledged yet");
}

#[test]
fn w1_a_crash_while_the_file_grows_or_shrinks_loses_nothing() {
    let (mut images, mut lengths) = (0, 0);
    for kept in Kept::ALL {
        let run = Run::of(kept, 1, Workload::of_large_rows(1, 12 + FURTHER));
        lengths += run.lengths;
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        // Reading megabytes takes its time: of the other moments some are enough.
        let moments = run.moments.iter().enumerate();
        for (_, moment) in moments.filter(|(number, moment)| moment.changes_length() || number % 6 == 0) {
            let Some(acknowledged) = run.acknowledged(moment) else { continue };
            let draws = if moment.changes_length() { 4 } else { 1 };
            for survival in Survival::ALL.repeat(draws) {
                let context = || format!("{kept:?}, {survival:?}, operation {}", moment.operation());
                run.check(&moment.crash(survival, &mut rng), acknowledged, &context);
                images += 1;
            }
        }
    }
    assert!(images >= 400 && lengths >= 8, "{images} images, {lengths} changes of the length");
}

#[test]
fn w4_a_crash_in_recovery_changes_nothing_acknowledged() {
    let (mut images, mut opened) = (0, 0_u64);
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    for_each_image(100..102, |run, moment, image, context| {
        let Some(acknowledged) = run.acknowledged(moment) else { return };
        if below(30, &mut rng) == 0 {
            let found = run.check(image, acknowledged, context);
            images += run.crash_again(image, found, context);
            opened += 1;
        }
    });
    assert!(opened >= 80 && images >= 8_000, "{images} images of {opened} recoveries");
}

#[test]
fn w1_a_process_that_ends_at_any_operation_gets_errors_and_leaves_a_store_that_opens() {
    let workload = Workload::new(7, 14, 3);
    let mut faults = 0;
    for after in 0.. {
        let disk = SimDisk::new(after);
        drop(Kept::Sealed.create(&disk).expect("a new store"));
        disk.crash_after(after);
        let mut acknowledged = 0;
        if let Ok(store) = Kept::Sealed.open(&disk) {
            for batch in &workload.batches[..12] {
                match store.commit(batch) {
                    Ok(()) => acknowledged += 1,
                    Err(StoreError::Disk { .. } | StoreError::Poisoned) => break,
                    Err(error) => panic!("operation {after}: {error}"),
                }
            }
        }
        let DiskFaults { crashes, .. } = disk.faults();
        faults += crashes;
        let left = disk.crash(Survival::Torn, &mut ChaCha20Rng::seed_from_u64(after));
        let store = Kept::Sealed.open(&SimDisk::of(left, after)).expect("the store");
        let found = workload.standing(&*store, &|| format!("operation {after}"));
        assert!(found == acknowledged || found == acknowledged + 1, "operation {after}: {found} of {acknowledged}");
        if crashes == 0 {
            break;
        }
    }
    assert!(faults >= 200, "{faults} operations");
}
