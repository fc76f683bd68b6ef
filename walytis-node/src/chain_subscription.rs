//! What arrives on a public chain, handed to one application.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use walytis_core::public::{ChainAnswer, ChainCommand, ChainEntry, KeptChain};

use crate::machine::{Answer, Command};
use crate::node::{Node, mismatch};
use crate::request::Subscribed;

/// How many blocks are read at a time.
const READ_BLOCKS: usize = 256;

/// Says to one follower that there is something to read.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) news: Notify,
    /// The chain is being deleted, or the node has stopped.
    pub(crate) ended: AtomicBool,
}

impl News {
    pub(crate) fn tell(&self) {
        self.news.notify_one();
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.news.notify_one();
    }
}

/// A public chain's blocks as they arrive; see [`Node::follow_chain`]. It ends when this is dropped.
///
/// Each block comes once, after its parents, this node's own included. An application may take its time: what it has not
/// taken is read from the store when it gets there, so it costs no memory and loses nothing.
pub struct ChainSubscription {
    node: Node,
    chain: KeptChain,
    subscribed: Subscribed,
    news: Arc<News>,
    next: u64,
    read: VecDeque<ChainEntry>,
}

impl ChainSubscription {
    pub(crate) fn new(node: Node, chain: KeptChain, subscribed: Subscribed, news: Arc<News>) -> Self {
        let next = subscribed.from;
        Self { node, chain, subscribed, news, next, read: VecDeque::new() }
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
            if self.news.ended.load(Ordering::Acquire) {
                return None;
            }
            let command = ChainCommand::Since { chain: self.chain.into(), from: self.next, limit: READ_BLOCKS };
            let (entries, next) = match self.node.ask(Command::Chain(command)).await.ok()? {
                Answer::Chain(ChainAnswer::Arrived { entries, next }) => (entries, next),
                other => mismatch(&other),
            };
            self.read.extend(entries);
            if std::mem::replace(&mut self.next, next) == next {
                self.news.news.notified().await;
            }
        }
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
