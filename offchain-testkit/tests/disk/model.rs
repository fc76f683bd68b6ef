//! The disk model itself.

use std::cell::Cell;

use offchain_testkit::{SimDisk, store_contract};

use crate::workload::Kept;

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
