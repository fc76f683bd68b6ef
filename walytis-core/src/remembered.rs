//! Signatures that were verified before on this thread.
//!
//! A program that runs many nodes - a simulator above all - verifies each signature once for every node. Whether it holds
//! is a function of key, transcript and signature and of nothing else, so once is enough. Off unless asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::Hash;

thread_local! {
    static REMEMBERED: RefCell<Option<Remembered>> = const { RefCell::new(None) };
}

/// Two generations: what was not asked for while the younger one filled up is forgotten.
struct Remembered {
    each: usize,
    younger: BTreeSet<Hash>,
    older: BTreeSet<Hash>,
}

impl Remembered {
    fn holds(&mut self, hash: Hash) -> bool {
        let old = self.older.remove(&hash);
        if old {
            self.insert(hash);
        }
        old || self.younger.contains(&hash)
    }

    fn insert(&mut self, hash: Hash) {
        if self.younger.len() >= self.each {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(hash);
    }
}

/// From now on, a signature that was verified on this thread is not verified again, if it is one of the last
/// `signatures` to twice as many; about 80 bytes each. Zero forgets them all and verifies each time, as without this call.
///
/// Only signatures that hold are remembered, under a BLAKE3 hash of key, transcript and signature: what is refused
/// without this call is refused with it.
pub fn remember_signatures(signatures: usize) {
    REMEMBERED.with_borrow_mut(|remembered| match (signatures, remembered.as_mut()) {
        (0, _) => *remembered = None,
        (_, Some(before)) => before.each = signatures,
        (_, None) => {
            *remembered = Some(Remembered { each: signatures, younger: BTreeSet::new(), older: BTreeSet::new() });
        }
    });
}

/// Verifies with `verify`, unless these parts were verified before and are remembered.
pub(crate) fn once<E>(parts: [&[u8]; 4], verify: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if !REMEMBERED.with_borrow(Option::is_some) {
        return verify();
    }
    let hash = digest(parts);
    if REMEMBERED.with_borrow_mut(|remembered| remembered.as_mut().is_some_and(|kept| kept.holds(hash))) {
        return Ok(());
    }
    verify()?;
    REMEMBERED.with_borrow_mut(|remembered| remembered.as_mut().map(|kept| kept.insert(hash)));
    Ok(())
}

fn digest(parts: [&[u8]; 4]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 remembered signature");
    for part in parts {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part);
    }
    Hash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_asked_once_and_what_does_not_each_time() {
        remember_signatures(2);
        let mut asked = 0;
        let mut ask = |part: &[u8], holds: bool| {
            let asked = &mut asked;
            once([part, b"", b"", b""], || {
                *asked += 1;
                holds.then_some(()).ok_or(())
            })
        };
        assert_eq!(
            [ask(b"a", true), ask(b"a", false), ask(b"b", false), ask(b"b", false)],
            [Ok(()), Ok(()), Err(()), Err(())]
        );
        assert_eq!(asked, 3);
        // Five others later, "a" is forgotten.
        for other in [b"c", b"d", b"e", b"f", b"g"] {
            assert_eq!(once([other, b"", b"", b""], || Ok::<(), ()>(())), Ok(()));
        }
        assert_eq!(once([b"a", b"", b"", b""], || Err(())), Err(()));
        remember_signatures(0);
        assert_eq!(once([b"g", b"", b"", b""], || Err(())), Err(()));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(digest([b"ab", b"c", b"", b""]), digest([b"a", b"bc", b"", b""]));
    }
}
