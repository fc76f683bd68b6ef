//! The frames that wait for one peer, in order, and how much may wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use walytis_core::Merit;

/// What a frame costs beside its bytes, so that small ones are bounded too.
const FRAME_BYTES: usize = 64;

/// Bytes that may wait for all strangers together, behind the first frame of each. The first does not count: a post to
/// many followers waits for each of them at once, and none of them is slow for that.
const STRANGERS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that may wait in the same way for all who were invited or follow a public chain.
const PROVEN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that may wait in the same way for all members.
const MEMBERS_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Peers that share a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Strangers,
    /// They were invited, or follow a public chain.
    Proven,
    Members,
}

impl Class {
    pub(crate) fn of(merit: Merit) -> Self {
        match merit {
            Merit::Stranger => Self::Strangers,
            Merit::Invited | Merit::Follower => Self::Proven,
            Merit::Member => Self::Members,
        }
    }

    /// How many bytes may wait for all of them.
    pub(crate) const fn bytes_max(self) -> usize {
        match self {
            Self::Strangers => STRANGERS_BYTES_MAX,
            Self::Proven => PROVEN_BYTES_MAX,
            Self::Members => MEMBERS_BYTES_MAX,
        }
    }
}

/// One peer's frames. One task takes them.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Vec<u8>>,
    /// What all of them cost, the one under way included.
    bytes: usize,
    /// What the one under way costs.
    under_way: usize,
}

fn cost(frame: &[u8]) -> usize {
    frame.len().saturating_add(FRAME_BYTES)
}

impl Waiting {
    fn behind(&self) -> usize {
        let first =
            if self.under_way > 0 { self.under_way } else { self.frames.front().map_or(0, |first| cost(first)) };
        self.bytes.saturating_sub(first)
    }
}

impl Queue {
    /// Adds a frame. Gives how many bytes wait now, and how many of them behind the first frame.
    pub(crate) fn push(&self, frame: Vec<u8>) -> (usize, usize) {
        let mut waiting = self.lock();
        waiting.bytes = waiting.bytes.saturating_add(cost(&frame));
        waiting.frames.push_back(frame);
        let waits = (waiting.bytes, waiting.behind());
        drop(waiting);
        self.more.notify_one();
        waits
    }

    /// How many bytes wait behind the first frame.
    pub(crate) fn behind(&self) -> usize {
        self.lock().behind()
    }

    /// The next frame, which is under way until [`Queue::sent`].
    pub(crate) async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(frame) = self.take() {
                return frame;
            }
            self.more.notified().await;
        }
    }

    /// The frame under way has been sent.
    pub(crate) fn sent(&self) {
        let mut waiting = self.lock();
        waiting.bytes = waiting.bytes.saturating_sub(waiting.under_way);
        waiting.under_way = 0;
    }

    fn take(&self) -> Option<Vec<u8>> {
        let mut waiting = self.lock();
        let frame = waiting.frames.pop_front()?;
        waiting.under_way = cost(&frame);
        Some(frame)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing inside can panic halfway.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
