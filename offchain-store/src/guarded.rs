//! Where a panic of redb's becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use walytis_core::StoreError;

/// Runs something of redb's on a file that may be damaged.
///
/// redb 4.4 compares pages with their sums only when it repairs or checks, not on each read, and it asserts what a sound
/// page would hold: of 60,000 files with a bit flipped, a sector zeroed or their end cut off, that were opened, read,
/// written to and checked, 25,896 gave an error and 525 a panic. The test
/// `a_damaged_file_gives_an_error_or_the_rows_that_were_written` does the like on a smaller scale. What a disk can cause
/// is an error, so this turns such a panic into one. redb expects to be unwound (its guards ask whether they are);
/// after a panic in a commit the store opens the file anew, for reading only.
///
/// The panic's message still goes through the process's panic hook. A program built with `panic = "abort"` stops at it.
pub(crate) fn guarded<T>(part: &str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    guarded_noting(part, &AtomicBool::new(false), work)
}

/// The same; `panicked` is set if it panicked. What it worked on is then half changed and its locks are poisoned: even
/// closing it would panic, while it unwinds, which ends the process.
pub(crate) fn guarded_noting<T>(
    part: &str,
    panicked: &AtomicBool,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        panicked.store(true, Ordering::Release);
        Err(StoreError::Damaged {
            table: part.to_owned(),
            reason: "a page does not hold what its kind must".to_owned(),
        })
    })
}
