//! What waits for one subscriber, bounded whatever it does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use walytis_offchain::{Delivery, Entry};

/// How many deliveries may wait, and how many bytes of content, before the subscriber counts as behind. From then on
/// what arrives is read from the store when the subscriber gets there: it loses nothing, and costs no memory.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is to be read from the store for a subscriber that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Blocks from this position on.
    Blocks(u64),
    /// The content of the block at this position, which was delivered without it.
    Content(u64),
}

/// How a subscriber that is behind catches up.
#[derive(Debug, Default)]
struct Behind {
    /// Positions below `next` whose content arrived since.
    contents: BTreeSet<u64>,
    /// Whether something is being read now.
    reading: bool,
}

/// **Invariant:** each block below `next` waits or was handed out, and none from `next` on.
#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Delivery>,
    waiting_bytes: usize,
    next: u64,
    behind: Option<Behind>,
    ended: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX
    }

    fn add_block(&mut self, entry: Entry) {
        self.next = self.next.max(entry.position.saturating_add(1));
        self.add(Delivery::Block(entry));
    }

    fn add(&mut self, delivery: Delivery) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(content_bytes(&delivery));
        self.waiting.push_back(delivery);
    }
}

/// What a subscriber finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The next delivery.
    Delivery(Delivery),
    /// Nothing waits, and something is to be read from the store: see [`Deliveries::begin_reading`].
    Missed,
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// The deliveries between the node's task and one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    state: Mutex<State>,
    news: Notify,
}

impl Deliveries {
    /// Notes from which position on blocks will be pushed.
    pub(crate) fn begin(&self, from: u64) {
        self.state().next = from;
    }

    /// Adds what has just arrived. Blocks come in the order of their positions, a content after its block.
    pub(crate) fn push(&self, delivery: Delivery) {
        let mut state = self.state();
        if state.behind.is_none() && state.is_full() {
            state.behind = Some(Behind::default());
        }
        let State { behind, next, .. } = &mut *state;
        match (behind, delivery) {
            (None, Delivery::Block(entry)) => state.add_block(entry),
            (None, delivery) => state.add(delivery),
            (Some(behind), Delivery::Content(entry)) if entry.position < *next => {
                behind.contents.insert(entry.position);
            }
            // It will be read with the blocks.
            (Some(_), _) => {}
        }
        drop(state);
        self.news.notify_one();
    }

    /// Adds what was read from the store: after everything that was pushed before, and before all that is pushed later.
    /// No entries mean that there is nothing more to read there.
    pub(crate) fn fill(&self, missed: Missed, entries: Vec<Entry>) {
        let mut state = self.state();
        let Some(mut behind) = state.behind.take() else { return };
        behind.reading = false;
        let caught_up = match missed {
            Missed::Content(position) => {
                behind.contents.remove(&position);
                let content = entries.into_iter().find(|entry| entry.position == position && entry.content.is_some());
                if let Some(entry) = content {
                    state.add(Delivery::Content(entry));
                }
                false
            }
            Missed::Blocks(_) => {
                let caught_up = entries.is_empty() && behind.contents.is_empty();
                entries.into_iter().for_each(|entry| state.add_block(entry));
                caught_up
            }
        };
        if !caught_up {
            state.behind = Some(behind);
        }
        drop(state);
        self.news.notify_one();
    }

    /// Takes the next delivery.
    pub(crate) fn take(&self) -> Found {
        let mut state = self.state();
        if let Some(delivery) = state.waiting.pop_front() {
            state.waiting_bytes = state.waiting_bytes.saturating_sub(content_bytes(&delivery));
            return Found::Delivery(delivery);
        }
        if state.ended {
            return Found::End;
        }
        match &state.behind {
            Some(behind) if !behind.reading => Found::Missed,
            _ => Found::Nothing,
        }
    }

    /// Notes that what is missed is being read, and gives it: the caller asks for it now, and [`Deliveries::fill`]
    /// brings it. `None` if that is not needed (any more).
    pub(crate) fn begin_reading(&self) -> Option<Missed> {
        let mut state = self.state();
        let next = state.next;
        let behind = state.behind.as_mut().filter(|behind| !behind.reading)?;
        behind.reading = true;
        let content = behind.contents.first().map(|position| Missed::Content(*position));
        Some(content.unwrap_or(Missed::Blocks(next)))
    }

    /// What was being read will not be brought: it is to be asked for again.
    pub(crate) fn read_again(&self) {
        if let Some(behind) = &mut self.state().behind {
            behind.reading = false;
        }
        self.news.notify_one();
    }

    #[cfg(test)]
    pub(crate) fn fall_behind(&self) {
        self.state().behind = Some(Behind::default());
    }

    /// Waits until there may be something new. Only one caller may wait at a time.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.news.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing inside can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn content_bytes(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Block(entry) | Delivery::Content(entry) => {
            entry.content.as_ref().map_or(0, |content| content.bytes.len())
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use walytis_core::{BlockId, ChainId};
    use walytis_offchain::EntryContent;

    use super::*;

    fn entry(position: u64, content: Option<usize>) -> Entry {
        Entry {
            id: BlockId([0; 32]),
            generation: position,
            position,
            author: ChainId::ZERO,
            device: ChainId::ZERO,
            created_at_ms: 0,
            content: content.map(|bytes| EntryContent { topics: Vec::new(), bytes: vec![0; bytes] }),
        }
    }

    /// What a subscriber of a store with these entries takes until nothing waits, with the pushes made whenever
    /// something is read.
    fn drain(deliveries: &Deliveries, stored: &mut [Entry], mut meanwhile: impl FnMut(&mut [Entry])) -> Vec<Delivery> {
        let mut taken = Vec::new();
        loop {
            match deliveries.take() {
                Found::Delivery(delivery) => taken.push(delivery),
                Found::Missed => {
                    let missed = deliveries.begin_reading().unwrap();
                    assert!(deliveries.begin_reading().is_none() && deliveries.take() == Found::Nothing);
                    meanwhile(stored);
                    let (from, limit) = match missed {
                        Missed::Blocks(from) => (from, 256),
                        Missed::Content(from) => (from, 1),
                    };
                    let read = stored.iter().filter(|entry| entry.position >= from).take(limit).cloned().collect();
                    deliveries.fill(missed, read);
                }
                Found::Nothing | Found::End => return taken,
            }
        }
    }

    #[test]
    fn a_subscriber_that_is_behind_loses_nothing_and_bounds_the_memory() {
        let deliveries = Deliveries::default();
        deliveries.begin(10);
        let mut stored: Vec<Entry> = (10..5010).map(|position| entry(position, Some(1))).collect();
        stored[0].content = None;
        for entry in &stored {
            deliveries.push(Delivery::Block(entry.clone()));
        }
        assert_eq!(deliveries.state().waiting.len(), WAITING_MAX);
        let first = stored[0].clone();
        stored[0].content = entry(10, Some(1)).content;
        deliveries.push(Delivery::Content(stored[0].clone()));

        let mut expected: Vec<Delivery> =
            std::iter::once(first).chain(stored[1..].iter().cloned()).map(Delivery::Block).collect();
        expected.insert(WAITING_MAX, Delivery::Content(stored[0].clone()));
        assert_eq!(drain(&deliveries, &mut stored, |_| ()), expected);

        deliveries.push(Delivery::Block(entry(5010, None)));
        assert_eq!(deliveries.take(), Found::Delivery(Delivery::Block(entry(5010, None))), "it is no longer behind");
        deliveries.end();
        assert_eq!(deliveries.take(), Found::End);
    }

    #[test]
    fn what_arrives_while_catching_up_comes_once() {
        let deliveries = Deliveries::default();
        let mut stored: Vec<Entry> = (0..2000).map(|position| entry(position, None)).collect();
        for entry in &stored {
            deliveries.push(Delivery::Block(entry.clone()));
        }
        let mut contents = [3, 1500, 1999].into_iter();
        let taken = drain(&deliveries, &mut stored, |stored| {
            if let Some(position) = contents.next() {
                stored[position].content = entry(0, Some(1)).content;
                deliveries.push(Delivery::Content(stored[position].clone()));
            }
        });
        let blocks = taken.iter().filter(|delivery| matches!(delivery, Delivery::Block(_))).count();
        assert_eq!(blocks, 2000);
        for position in [3, 1500, 1999] {
            let told = |delivery: &&Delivery| match delivery {
                Delivery::Block(entry) | Delivery::Content(entry) => {
                    entry.position == position && entry.content.is_some()
                }
                _ => false,
            };
            assert_eq!(taken.iter().filter(told).count(), 1, "the content at {position} comes once");
        }
    }

    #[test]
    fn large_contents_count_by_their_bytes() {
        let deliveries = Deliveries::default();
        for position in 0..10 {
            deliveries.push(Delivery::Block(entry(position, Some(1024 * 1024))));
        }
        assert_eq!(deliveries.state().waiting.len(), 4);
    }
}
