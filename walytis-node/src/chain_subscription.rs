//! What arrives on a public chain, handed to one application.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainEntry, KeptChain};

use crate::machine::{Answer, Command};
use crate::node::{Node, mismatch};
use crate::request::Subscribed;

/// How many blocks are read at a time.
const READ_BLOCKS: usize = 256;

/// How many blocks may wait for a follower, and how many bytes of memory they may take, before it counts as behind.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Says to one application that something has arrived on a chain, and hands it over to one who follows it.
#[derive(Debug, Default)]
pub(crate) struct News {
    news: Notify,
    /// The chain is being deleted, or the node has stopped.
    ended: AtomicBool,
    /// What has just arrived, for one who takes it from here.
    arrived: Option<Mutex<Arrived>>,
}

/// Blocks that a follower has not taken yet, in the order of their positions.
///
/// **Invariant:** what was told and is not here was taken, or came after `behind` was set and before it was taken back.
#[derive(Debug, Default)]
struct Arrived {
    waiting: VecDeque<ChainEntry>,
    waiting_bytes: usize,
    behind: bool,
}

/// What a follower finds when it looks.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The next block that was told.
    Entry(ChainEntry),
    /// Nothing waits, and what came meanwhile is to be read from the store. From now on what arrives waits again.
    Missed,
    /// Nothing yet.
    Nothing,
}

impl News {
    /// For one who takes what arrives from here, as long as it keeps up.
    pub(crate) fn holding() -> Self {
        Self { arrived: Some(Mutex::default()), ..Self::default() }
    }

    pub(crate) fn tell(&self, entry: ChainEntry) {
        if let Some(mut arrived) = self.arrived() {
            arrived.push(entry);
        }
        self.news.notify_one();
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.news.notify_one();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits until there may be something new. Only one caller may wait at a time.
    pub(crate) async fn wait(&self) {
        self.news.notified().await;
    }

    fn take(&self) -> Found {
        self.arrived().map_or(Found::Nothing, |mut arrived| arrived.take())
    }

    fn arrived(&self) -> Option<MutexGuard<'_, Arrived>> {
        // Nothing inside can panic halfway.
        self.arrived.as_ref().map(|arrived| arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Arrived {
    fn push(&mut self, entry: ChainEntry) {
        self.behind |= self.waiting.len() >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX;
        if !self.behind {
            self.waiting_bytes = self.waiting_bytes.saturating_add(bytes_of(&entry));
            self.waiting.push_back(entry);
        }
    }

    fn take(&mut self) -> Found {
        match self.waiting.pop_front() {
            Some(entry) => {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes_of(&entry));
                Found::Entry(entry)
            }
            None if std::mem::take(&mut self.behind) => Found::Missed,
            None => Found::Nothing,
        }
    }
}

/// What a block takes in memory.
fn bytes_of(entry: &ChainEntry) -> usize {
    let topics = entry.topics.iter().map(|topic| topic.len().saturating_add(size_of::<Vec<u8>>()));
    topics.fold(entry.content.len().saturating_add(size_of::<ChainEntry>()), usize::saturating_add)
}

/// A public chain's blocks as they arrive; see [`Node::follow_chain`]. It ends when this is dropped.
///
/// Each block comes once, after its parents, this node's own included. An application may take its time: what it has not
/// taken waits in memory up to a bound, and is read from the store beyond that, so nothing is lost. A block whose author is
/// blocked when it arrives, or when it is read, is left out.
pub struct ChainSubscription {
    node: Node,
    chain: KeptChain,
    subscribed: Subscribed,
    news: Arc<News>,
    next: u64,
    /// Whether the store is read until it has nothing more: something was missed.
    reading: bool,
    read: VecDeque<ChainEntry>,
}

impl ChainSubscription {
    pub(crate) fn new(node: Node, chain: KeptChain, subscribed: Subscribed, news: Arc<News>) -> Self {
        let next = subscribed.from;
        Self { node, chain, subscribed, news, next, reading: false, read: VecDeque::new() }
    }

    /// The position from which on blocks are handed out. What arrived before it can be listed with
    /// [`Listing::below`](crate::Listing::below), or asked for by [`Query::positions`](crate::Query::positions).
    #[must_use]
    pub fn from(&self) -> u64 {
        self.subscribed.from
    }

    /// The next block; `None` once the node has stopped, or does not follow the chain any more. Safe to cancel.
    pub async fn next(&mut self) -> Option<ChainEntry> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                return Some(entry);
            }
            // Also what had arrived before: the chain is gone, and another may have its name.
            if self.news.has_ended() {
                return None;
            }
            if self.reading {
                self.read_on().await?;
                continue;
            }
            match self.news.take() {
                // What was read from the store was told as well.
                Found::Entry(entry) if entry.position < self.next => {}
                Found::Entry(entry) => {
                    self.next = entry.position.saturating_add(1);
                    return Some(entry);
                }
                Found::Missed => self.reading = true,
                Found::Nothing => self.news.wait().await,
            }
        }
    }

    /// Reads what is next in the store. If that is nothing, whatever comes behind it waits or will be told.
    async fn read_on(&mut self) -> Option<()> {
        let command = ChainCommand::Since { chain: self.chain.into(), from: self.next, limit: READ_BLOCKS };
        let (entries, next) = match self.node.ask(Command::Chain(command)).await.ok()? {
            Answer::Chain(ChainAnswer::Arrived { entries, next }) => (entries, next),
            other => mismatch(&other),
        };
        self.read.extend(entries);
        self.reading = std::mem::replace(&mut self.next, next) != next;
        Some(())
    }
}

impl fmt::Debug for ChainSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainSubscription")
            .field("chain", &self.chain.id)
            .field("from", &self.from())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use walytis_core::{AuthorKey, BlockId};

    use super::*;

    fn entry(position: u64, bytes: usize) -> ChainEntry {
        ChainEntry {
            id: BlockId([0; 32]),
            generation: position,
            position,
            author: AuthorKey([0; 32]),
            sequence: position,
            created_at_ms: 0,
            topics: Vec::new(),
            content: vec![0; bytes],
        }
    }

    #[test]
    fn who_is_behind_finds_what_waits_then_what_it_missed_and_then_what_is_new() {
        let news = News::holding();
        let last = WAITING_MAX as u64;
        (0..last + 9).for_each(|position| news.tell(entry(position, 1)));
        (0..last).for_each(|position| assert_eq!(news.take(), Found::Entry(entry(position, 1))));
        news.tell(entry(last + 9, 1));
        assert_eq!(news.take(), Found::Missed, "what came while it was behind is in the store");
        assert_eq!(news.take(), Found::Nothing);
        news.tell(entry(last + 10, 1));
        assert_eq!(news.take(), Found::Entry(entry(last + 10, 1)));
        assert_eq!(news.arrived().unwrap().waiting_bytes, 0);
    }

    #[test]
    fn large_blocks_count_by_their_bytes_and_a_reader_of_the_store_holds_none() {
        let (news, topical, reader) = (News::holding(), News::holding(), News::default());
        for position in 0..WAITING_MAX as u64 {
            news.tell(entry(position, 1024 * 1024));
            topical.tell(ChainEntry { topics: vec![vec![0; 256]; 32], ..entry(position, 0) });
            reader.tell(entry(position, 1));
        }
        assert_eq!(news.arrived().unwrap().waiting.len(), 4);
        assert!((400..500).contains(&topical.arrived().unwrap().waiting.len()));
        assert_eq!(reader.take(), Found::Nothing);
    }
}
