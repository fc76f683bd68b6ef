//! What callers hold, by number. A number that names nothing, or something else, is an error and nothing worse.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::error::AbiError;
use crate::events::{Event, Events};
use crate::node::OpenNode;

/// The most handles at once. An app that releases what it has read has a few; one that does not hears of it before a phone's
/// memory is full of contents.
pub(crate) const HANDLES_MAX: usize = 16_384;

static HANDLES: Mutex<Option<Table>> = Mutex::new(None);

#[derive(Default)]
struct Table {
    /// The last number that was given. None is given twice, and 2^64 are enough.
    last: u64,
    /// `None` is a place that is being filled.
    held: HashMap<u64, Option<Held>>,
}

/// What a handle can name.
#[derive(Clone)]
pub(crate) enum Held {
    Node(Arc<OpenNode>),
    Events(Arc<Events>),
    Event(Arc<Event>),
    Text(Arc<Text>),
}

/// A text with a 0 behind it, overwritten when it goes: it may be an invitation.
pub(crate) type Text = Zeroizing<Vec<u8>>;

/// The kinds of what a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    Events,
    Event,
    Text,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Node => "a node",
            Self::Events => "events",
            Self::Event => "an event",
            Self::Text => "a text",
        })
    }
}

impl Held {
    const fn kind(&self) -> Kind {
        match self {
            Self::Node(_) => Kind::Node,
            Self::Events(_) => Kind::Events,
            Self::Event(_) => Kind::Event,
            Self::Text(_) => Kind::Text,
        }
    }
}

/// A place in the table. It is taken before anything is done that cannot be taken back, and free again if it is not filled.
pub(crate) struct Place(u64);

impl Place {
    /// Takes one.
    pub(crate) fn take() -> Result<Self, AbiError> {
        let mut table = lock();
        let table = table.get_or_insert_default();
        if table.held.len() >= HANDLES_MAX {
            return Err(AbiError::TooManyHandles(HANDLES_MAX));
        }
        table.last = table.last.wrapping_add(1);
        table.held.insert(table.last, None);
        Ok(Self(table.last))
    }

    /// Fills it, and gives the handle.
    pub(crate) fn fill(self, held: Held) -> u64 {
        let handle = self.0;
        lock().get_or_insert_default().held.insert(handle, Some(held));
        // It is the caller's now.
        std::mem::forget(self);
        handle
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock().get_or_insert_default().held.remove(&self.0);
    }
}

/// What a handle names, if `choose` finds it to be of its kind.
pub(crate) fn find<T>(
    handle: u64,
    wanted: &'static str,
    choose: impl FnOnce(&Held) -> Option<&Arc<T>>,
) -> Result<Arc<T>, AbiError> {
    let table = lock();
    let held = table.as_ref().and_then(|table| table.held.get(&handle)?.as_ref());
    let held = held.ok_or(AbiError::NoHandle { handle, wanted })?;
    choose(held).cloned().ok_or(AbiError::OtherHandle { handle, wanted, found: held.kind() })
}

/// Takes what a handle names out of the table, if `choose` wants it. It is dropped by the caller, outside of the lock.
pub(crate) fn take(handle: u64, wanted: &'static str, choose: impl FnOnce(&Held) -> bool) -> Result<Held, AbiError> {
    let mut table = lock();
    let table = table.get_or_insert_default();
    let held = table.held.get(&handle).and_then(Option::as_ref).ok_or(AbiError::NoHandle { handle, wanted })?;
    if !choose(held) {
        return Err(AbiError::OtherHandle { handle, wanted, found: held.kind() });
    }
    table.held.remove(&handle).flatten().ok_or(AbiError::NoHandle { handle, wanted })
}

/// Every step on the table is a whole one, so that a panic elsewhere spoils nothing here.
fn lock() -> MutexGuard<'static, Option<Table>> {
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{HANDLES_MAX, Held, Place, Text, find, take};
    use crate::error::AbiError;

    fn text() -> Held {
        Held::Text(Arc::new(Text::default()))
    }

    /// One test: the table is the process's.
    #[test]
    fn handles_are_checked_and_bounded() {
        let handle = Place::take().expect("room").fill(text());
        let as_text = |held: &Held| matches!(held, Held::Text(_));
        let find_text = |handle| {
            find(handle, "a text", |held| if let Held::Text(text) = held { Some(text) } else { None }).map(|_| ())
        };
        find_text(handle).expect("a text");
        let other = find(handle, "a node", |held| if let Held::Node(node) = held { Some(node) } else { None });
        assert!(matches!(other, Err(AbiError::OtherHandle { .. })));
        assert!(matches!(take(handle, "a node", |held| !as_text(held)), Err(AbiError::OtherHandle { .. })));
        for wrong in [0, handle + 1, u64::MAX] {
            assert!(matches!(find_text(wrong), Err(AbiError::NoHandle { .. })), "{wrong}");
        }
        take(handle, "a text", as_text).expect("it is there");
        assert!(matches!(find_text(handle), Err(AbiError::NoHandle { .. })));
        assert!(matches!(take(handle, "a text", as_text), Err(AbiError::NoHandle { .. })));

        let mut places: Vec<Place> = (0..HANDLES_MAX).map(|_| Place::take().expect("below the limit")).collect();
        assert!(matches!(Place::take(), Err(AbiError::TooManyHandles(HANDLES_MAX))));
        // One that is not filled is free again, and its number names nothing.
        let unfilled = places.pop().expect("one").0;
        assert!(matches!(find_text(unfilled), Err(AbiError::NoHandle { .. })));
        let next = Place::take().expect("room again").fill(text());
        assert!(next > unfilled, "no number is given twice");
        take(next, "a text", as_text).expect("it is there");
    }
}
