//! Crashes at every operation (W1 to W4).

use offchain_testkit::{DiskImage, DiskMoment, SimDisk, Survival};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::workload::{Kept, Workload, below};

/// Each run crashes at every change of its disk.
const RUNS: u64 = 16;
const BATCHES: usize = 12;
/// The last ones are for what is left: the store must take further commits.
const FURTHER: usize = 2;

/// A run, moment by moment.
struct Run {
    kept: Kept,
    seed: u64,
    workload: Workload,
    moments: Vec<DiskMoment>,
    /// After how many operations the store's creation, and then each batch, was acknowledged.
    acknowledged: Vec<u64>,
}

impl Run {
    fn new(kept: Kept, seed: u64) -> Self {
        let workload = Workload::new(seed, BATCHES + FURTHER, 1 + seed % 5);
        let disk = SimDisk::new(seed);
        disk.record();
        let store = kept.create(&disk).expect("a new store");
        let mut acknowledged = vec![disk.operations().all()];
        for batch in &workload.batches[..BATCHES] {
            store.commit(batch).expect("a commit");
            acknowledged.push(disk.operations().all());
        }
        drop(store);
        Self { kept, seed, workload, moments: disk.take_record(), acknowledged }
    }

    /// How many batches were acknowledged before the operation of that moment; `None` if the store was not created yet.
    fn acknowledged(&self, moment: &DiskMoment) -> Option<usize> {
        self.acknowledged.iter().filter(|operations| **operations < moment.operation()).count().checked_sub(1)
    }

    /// Opens what a crash left, and writes on. How many batches there were.
    fn check(&self, image: &DiskImage, acknowledged: usize, context: &dyn Fn() -> String) -> usize {
        let disk = SimDisk::of(image.clone(), self.seed);
        let store = self.kept.open(&disk).unwrap_or_else(|error| panic!("{}: {error}", context()));
        let found = self.workload.standing(&*store, context);
        assert!(found == acknowledged || found == acknowledged + 1, "{}: {found} of {acknowledged}", context());
        store.commit(&self.workload.batches[found]).unwrap_or_else(|error| panic!("{}: {error}", context()));
        assert_eq!(self.workload.standing(&*store, context), found + 1, "{}", context());
        found
    }
}

#[test]
fn w1_w2_w3_a_crash_at_any_operation_loses_nothing_acknowledged_and_splits_no_batch() {
    let start = std::time::Instant::now();
    let mut images = 0_u64;
    for seed in 0..RUNS {
        for kept in Kept::ALL {
            let run = Run::new(kept, seed);
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            for moment in &run.moments {
                for survival in Survival::ALL {
                    let image = moment.crash(survival, &mut rng);
                    let context = || format!("{kept:?}, seed {seed}, {survival:?}, operation {}", moment.operation());
                    images += 1;
                    match run.acknowledged(moment) {
                        Some(acknowledged) => drop(run.check(&image, acknowledged, &context)),
                        None => drop(kept.open(&SimDisk::of(image, seed))),
                    }
                }
            }
        }
    }
    eprintln!("{images} images {:?}", start.elapsed());
    let _ = below(3, &mut ChaCha20Rng::seed_from_u64(1));
}
