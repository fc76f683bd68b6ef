//! Threads that verify signatures side by side.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use walytis_core::Workers;

/// How many threads work at most: a portion of blocks is verified in a few milliseconds by so many.
const THREADS_MAX: usize = 8;

/// How many jobs are worth a thread: to start one takes about as long as to verify a signature.
const JOBS_EACH: usize = 16;

/// As many threads as there are processors, started for each piece of work and ended with it: between two of them nothing
/// is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads(usize);

impl Threads {
    pub(crate) fn new() -> Self {
        Self(thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX))
    }
}

impl Workers for Threads {
    fn each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count) {
                job(number);
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.0.min(count / JOBS_EACH) {
                // Without it the others do its part.
                let _ = thread::Builder::new().name("walytis-verify".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_done_once_by_however_many() {
        for (threads, count) in [(1, 0), (1, 5), (2, 15), (2, 1_000), (8, 1_000), (8, 17)] {
            let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            Threads(threads).each(count, &|number| {
                done[number].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{threads} threads, {count} jobs");
        }
    }
}
