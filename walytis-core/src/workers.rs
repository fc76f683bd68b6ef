//! Work that can be done side by side.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{ParsedBlock, VerifiedBlock};

/// Does computations that do not depend on each other, on several processors if there are.
///
/// **Invariant:** what is computed is a function of its number alone. So an engine says and does the same, whoever works
/// for it and in whichever order.
pub trait Workers: Send + Sync {
    /// Calls `job` once with each number below `count`, in any order, and returns when all calls have.
    fn each(&self, count: usize, job: &(dyn Fn(usize) + Sync));
}

/// Does one after the other, where it is called.
#[derive(Clone, Copy, Debug, Default)]
pub struct InTurn;

impl Workers for InTurn {
    fn each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(job);
    }
}

/// Verifies blocks that need no device's key, each by itself. Gives those back that are before the first whose signature
/// does not hold; once it is known, what is behind it costs nothing.
#[must_use]
pub fn verify_all(workers: &dyn Workers, blocks: Vec<ParsedBlock>) -> Vec<VerifiedBlock> {
    let verdicts: Vec<OnceLock<bool>> = blocks.iter().map(|_| OnceLock::new()).collect();
    let first_bad = AtomicUsize::new(usize::MAX);
    workers.each(blocks.len(), &|number| {
        if let (Some(block), Some(verdict)) = (blocks.get(number), verdicts.get(number))
            && number < first_bad.load(Ordering::Relaxed)
            && !*verdict.get_or_init(|| block.holds(None).is_ok())
        {
            first_bad.fetch_min(number, Ordering::Relaxed);
        }
    });
    // What nobody came to verify does not hold.
    let verdicts = verdicts.into_iter().map(|verdict| verdict.into_inner().unwrap_or(false));
    let good = blocks.into_iter().zip(verdicts).take_while(|(_, holds)| *holds);
    good.map(|(block, _)| VerifiedBlock::found_to_hold(block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthorSecret, BlockKind, Draft, Place, Timestamp};

    /// Begins with the last.
    struct Backwards;

    impl Workers for Backwards {
        fn each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
            (0..count).rev().for_each(job);
        }
    }

    /// Leaves the end of the work undone, which no worker may.
    struct Idle;

    impl Workers for Idle {
        fn each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
            (0..count / 4).for_each(job);
        }
    }

    #[test]
    fn who_verifies_does_not_matter_and_what_nobody_verified_does_not_hold() {
        let author = AuthorSecret::from_seed(&[1; 32]);
        let blocks: Vec<ParsedBlock> = (0..8_u8)
            .map(|number| {
                let place = Place::Genesis([number; 32]);
                let draft =
                    Draft { kind: BlockKind::Content, place, foreign: vec![], topics: vec![], content: vec![number] };
                let mut raw = draft.sign_alone(&author, Timestamp(1)).unwrap().raw().clone();
                raw.signature[40] ^= u8::from(number == 3 || number == 6);
                ParsedBlock::parse(raw).unwrap()
            })
            .collect();
        let held = |workers: &dyn Workers| -> Vec<crate::BlockId> {
            verify_all(workers, blocks.clone()).into_iter().map(|block| block.id()).collect()
        };
        let ids: Vec<_> = blocks.iter().map(ParsedBlock::id).collect();
        assert_eq!(held(&InTurn), ids[..3]);
        assert_eq!(held(&Backwards), ids[..3]);
        assert_eq!(held(&Idle), ids[..2]);
    }
}
