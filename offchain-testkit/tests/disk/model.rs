//! The disk model itself.

use std::cell::Cell;
use std::io::ErrorKind;

use offchain_store::Disk;
use offchain_testkit::{
    DISK_PAGE_BYTES, DISK_SECTOR_BYTES, DiskFailure, DiskFaults, DiskImage, DiskOperations, SimDisk, Survival,
    store_contract,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::workload::Kept;

const PAGES: usize = 8;

/// A disk whose bytes are durable 0s, over which 1s and then 2s were written and not synced; it also grew by a page.
fn unsynced() -> SimDisk {
    let disk = SimDisk::of(DiskImage::of(&[0; PAGES * DISK_PAGE_BYTES]), 5);
    for round in [1, 2] {
        disk.write(0, &[round; PAGES * DISK_PAGE_BYTES]).expect("written");
    }
    disk.set_len(((PAGES + 1) * DISK_PAGE_BYTES) as u64).expect("longer");
    disk.write((PAGES * DISK_PAGE_BYTES) as u64, &[3; DISK_PAGE_BYTES]).expect("written");
    disk
}

/// The values that a page of an image has, without repetitions.
fn values(page: &[u8]) -> Vec<u8> {
    let mut values = page.to_vec();
    values.dedup();
    values
}

/// Many crashes of the same disk: each page's values in each of them.
fn crashes(survival: Survival) -> (Vec<Vec<Vec<u8>>>, DiskFaults) {
    let disk = unsynced();
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let image = |image: DiskImage| image.to_vec().chunks(DISK_PAGE_BYTES).map(values).collect();
    let crashes = (0..400).map(|_| image(disk.crash(survival, &mut rng))).collect();
    (crashes, disk.faults())
}

#[test]
fn lost_writes_leave_what_was_durable() {
    let (crashes, faults) = crashes(Survival::Lost);
    assert!(crashes.iter().all(|pages| *pages == [[0]; PAGES]));
    assert_eq!((faults.crashes, faults.pages_lost), (400, 400 * (2 * PAGES as u64 + 1)));
}

#[test]
fn kept_writes_are_all_there() {
    let (crashes, faults) = crashes(Survival::Kept);
    assert!(crashes.iter().all(|pages| pages[..PAGES] == [[2]; PAGES] && pages[PAGES..] == [[3]]));
    assert_eq!(faults.pages_lost, 0);
}

#[test]
fn any_pages_of_writes_survive_in_their_order() {
    let (crashes, faults) = crashes(Survival::Subset);
    let pages = || crashes.iter().flatten();
    for value in 0..=3 {
        assert!(pages().any(|page| *page == [value]), "some page is {value}");
    }
    assert!(pages().all(|page| page.len() == 1), "no page is torn");
    // A later page survives where an earlier one of the same write does not.
    assert!(crashes.iter().any(|pages| pages[0] == [0] && pages[PAGES - 1] == [2]));
    assert!(crashes.iter().any(|pages| pages.len() == PAGES) && crashes.iter().any(|pages| pages.len() == PAGES + 1));
    assert!(faults.pages_lost > 400 && faults.pages_torn == 0 && faults.pages_reordered == 0, "{faults:?}");
}

#[test]
fn an_earlier_write_may_come_last() {
    let (crashes, faults) = crashes(Survival::Reordered);
    // Of two writes that both survive the second one wins in a subset. Here the first does as often.
    let share = |value: u8| crashes.iter().flatten().filter(|page| **page == [value]).count();
    assert!(share(1).abs_diff(share(2)) < share(1) / 4, "{} and {}", share(1), share(2));
    assert!(faults.pages_reordered > 400 && faults.pages_torn == 0, "{faults:?}");
}

#[test]
fn torn_pages_break_at_sectors() {
    let (crashes, faults) = crashes(Survival::Torn);
    assert!(crashes.iter().flatten().any(|page| page.len() > 1) && faults.pages_torn > 400, "{faults:?}");
    let disk = unsynced();
    let mut rng = ChaCha20Rng::seed_from_u64(10);
    for _ in 0..50 {
        let bytes = disk.crash(Survival::Torn, &mut rng).to_vec();
        assert!(bytes.chunks(DISK_SECTOR_BYTES).all(|sector| values(sector).len() == 1), "no sector is torn");
    }
}

#[test]
fn equal_seeds_give_equal_crashes_and_a_sync_ends_them() {
    let image = |seed| unsynced().crash(Survival::Torn, &mut ChaCha20Rng::seed_from_u64(seed));
    assert!(image(1) == image(1) && image(1) != image(2));
    let disk = unsynced();
    assert_eq!(disk.moment().unsynced(), 4);
    disk.sync().expect("synced");
    assert_eq!(disk.moment().unsynced(), 0);
    let mut rng = ChaCha20Rng::seed_from_u64(0);
    assert!(Survival::ALL.iter().all(|survival| disk.crash(*survival, &mut rng) == disk.image()));
}

#[test]
fn operations_are_counted_and_recorded() {
    let disk = SimDisk::new(0);
    disk.record();
    disk.set_len(100).expect("longer");
    disk.write(10, &[1; 20]).expect("written");
    disk.read(0, &mut [0; 100]).expect("read");
    disk.sync().expect("synced");
    assert_eq!(disk.operations(), DiskOperations { reads: 1, writes: 1, set_lens: 1, syncs: 1 });
    let recorded: Vec<_> = disk.take_record().iter().map(|moment| (moment.operation(), moment.unsynced())).collect();
    assert_eq!(recorded, [(1, 1), (2, 2), (4, 2)], "a sync is recorded before its end");
    assert!(disk.read(90, &mut [0; 20]).is_err() && disk.write(90, &[0; 20]).is_err(), "nothing lies behind the end");
}

#[test]
fn failures_come_at_their_operation_and_go() {
    let outcome = |failure, change: &dyn Fn(&SimDisk) -> std::io::Result<()>| {
        let disk = SimDisk::of(DiskImage::of(&[0; 100]), 0);
        disk.fail_after(failure, 1, 2);
        let kinds: Vec<_> = (0..4).map(|_| change(&disk).err().map(|error| error.kind())).collect();
        (kinds, disk.faults())
    };
    let write = |disk: &SimDisk| disk.write(0, &[1]);
    let read = |disk: &SimDisk| disk.read(0, &mut [0]);
    let sync = |disk: &SimDisk| disk.sync();
    for change in [&write as &dyn Fn(&SimDisk) -> _, &sync] {
        let (kinds, faults) = outcome(DiskFailure::Full, change);
        assert_eq!(kinds, [None, Some(ErrorKind::StorageFull), Some(ErrorKind::StorageFull), None]);
        assert_eq!((faults.full, faults.broken), (2, 0));
        let (kinds, faults) = outcome(DiskFailure::Broken, change);
        assert_eq!(kinds, [None, Some(ErrorKind::Other), Some(ErrorKind::Other), None]);
        assert_eq!((faults.full, faults.broken), (0, 2));
    }
    assert_eq!(outcome(DiskFailure::BrokenWrites, &read).0, [None; 4], "reads go on");
    assert_eq!(outcome(DiskFailure::Broken, &read).1.broken, 2, "reads fail too");
}

#[test]
fn a_sync_that_fails_loses_what_it_was_to_make_durable() {
    let disk = unsynced();
    disk.fail_after(DiskFailure::BrokenWrites, 0, 1);
    disk.sync().expect_err("told to fail");
    disk.sync().expect("synced");
    let left = disk.crash(Survival::Kept, &mut ChaCha20Rng::seed_from_u64(0));
    assert!(left != disk.image(), "reads see more than there is");
    assert!(disk.faults().pages_lost > 0);
}

#[test]
fn nothing_works_after_a_crash_but_taking_the_image() {
    let disk = unsynced();
    disk.crash_after(1);
    disk.write(0, &[7]).expect("written");
    disk.write(1, &[8]).expect_err("the process is gone");
    assert!(disk.read(0, &mut [0]).is_err() && disk.sync().is_err() && disk.len().is_err());
    let left = disk.crash(Survival::Kept, &mut ChaCha20Rng::seed_from_u64(0)).to_vec();
    assert_eq!(&left[..3], [7, 8, 2], "the write had begun");
}

#[test]
fn damage_at_rest_is_durable_and_counted() {
    let bytes: Vec<u8> = [[1; DISK_PAGE_BYTES], [2; DISK_PAGE_BYTES]].concat();
    let disk = SimDisk::of(DiskImage::of(&bytes), 0);
    disk.swap_pages(0, 1);
    disk.flip_bit(0, 4);
    disk.truncate(DISK_PAGE_BYTES as u64 + 1);
    let left = disk.crash(Survival::Lost, &mut ChaCha20Rng::seed_from_u64(0)).to_vec();
    assert_eq!((left.len(), &left[..2], left.last()), (DISK_PAGE_BYTES + 1, &[0x12, 2][..], Some(&1)));
    disk.put_back(DiskImage::of(&bytes));
    assert_eq!(disk.image().to_vec(), bytes);
    let faults = disk.faults();
    assert_eq!((faults.pages_swapped, faults.bits_flipped, faults.truncated, faults.put_back), (1, 1, 1, 1));
}

#[test]
fn stores_over_the_model_keep_the_contract() {
    for kept in Kept::ALL {
        let seed = Cell::new(0);
        store_contract(|| {
            seed.set(seed.get() + 1);
            let disk = SimDisk::new(seed.get());
            drop(kept.create(&disk).expect("a new store"));
            Box::new(move || kept.open(&disk).expect("the store"))
        });
    }
}
