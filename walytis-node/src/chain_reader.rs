//! A public chain read under a name, whose cursor outlives the program.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use walytis_engine::Ticket;
use walytis_engine::public::{
    ChainAnswer, ChainCommand, ChainEntry, DeliveryAnswer, DeliveryCommand, DeliveryError, PublicError, Start,
};

use crate::chain_subscription::News;
use crate::error::NodeError;
use crate::node::{Node, mismatch};
use crate::request::Subscribed;

/// How many blocks are read at a time: what a reader holds in memory, with about 4 MiB of content at most and one block.
const READ_BLOCKS: usize = 256;

/// How a chain is read under a name; see [`Node::read_chain`].
///
/// ```
/// let reading = walytis_node::Reading::named("search index").topic("weather");
/// assert_eq!(reading.topics.len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// The name: 1 to 64 characters. One reader at a time has it.
    pub name: String,
    /// Only blocks with one of these topics, if there are any: at most 32. What other blocks are passed meanwhile is
    /// passed for good, also for a later reader with other topics.
    pub topics: Vec<Vec<u8>>,
    /// Where the name begins when it is used for the first time.
    pub start: Start,
}

impl Reading {
    /// Reads every block, from the chain's first on.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same with one more topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Vec<u8>>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// The same for what arrives from now on, if the name is new.
    #[must_use]
    pub const fn from_now(mut self) -> Self {
        self.start = Start::Now;
        self
    }
}

/// How often a block is tried, and how long the pauses between are. Each is twice as long as the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often a block is tried before it becomes a dead letter.
    pub tries: NonZeroU32,
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Retry {
    /// Eight tries in some 25 s: longer than most services take to start again.
    fn default() -> Self {
        let tries = NonZeroU32::MIN.saturating_add(7);
        Self { tries, first: Duration::from_millis(200), longest: Duration::from_secs(60) }
    }
}

impl Retry {
    /// The pause after so many failures.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.longest)
    }
}

/// Says what became of a reader's blocks. Clones say it for the same reader; it is of no use once the reader is dropped.
#[derive(Clone)]
pub struct Acknowledger {
    node: Node,
    ticket: Ticket,
    /// Dead letters that were handed out again, and of which nothing was said yet.
    held: Arc<Mutex<BTreeSet<u64>>>,
}

impl Acknowledger {
    /// The block is handled, and all that were handed out before it; or, if it was a dead letter, it is one no more. When
    /// this returns, that is durable: the block is never handed out again under this name.
    ///
    /// # Errors
    /// [`DeliveryError::Ended`](crate::DeliveryError::Ended) if the reader is gone, the store's failure or
    /// [`NodeError::Closed`].
    pub async fn acknowledge(&self, entry: &ChainEntry) -> Result<(), NodeError> {
        let position = entry.position;
        let command = DeliveryCommand::Acknowledge { subscription: self.ticket, position };
        self.node.ask_chain(ChainCommand::Delivery(command)).await?;
        self.held().remove(&position);
        Ok(())
    }

    /// The block could not be handled. What was handed out before counts as handled. Gives how often it has failed; `None`
    /// if it is a dead letter now, because it has failed `tries` times, and counts as passed.
    ///
    /// # Errors
    /// [`DeliveryError::LettersFull`](crate::DeliveryError::LettersFull); then the block stays where it is. Otherwise as
    /// [`Acknowledger::acknowledge`].
    pub async fn fail(
        &self,
        entry: &ChainEntry,
        reason: impl fmt::Display,
        tries: NonZeroU32,
    ) -> Result<Option<u32>, NodeError> {
        let position = entry.position;
        let reason = reason.to_string();
        let command = DeliveryCommand::Fail { subscription: self.ticket, position, reason, tries_max: tries.get() };
        match self.node.ask_chain(ChainCommand::Delivery(command)).await? {
            ChainAnswer::Delivery(DeliveryAnswer::Failed { set_aside: true, .. }) => {
                // It may be replayed, and then comes again.
                self.held().remove(&position);
                Ok(None)
            }
            ChainAnswer::Delivery(DeliveryAnswer::Failed { tries, .. }) => Ok(Some(tries)),
            other => mismatch(&other),
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // Nothing inside can panic halfway.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Acknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledger").finish_non_exhaustive()
    }
}

/// A public chain's blocks under a name; see [`Node::read_chain`]. The name is free again once this is dropped.
///
/// Each block comes after its parents, and comes again to the next reader of the name until it is acknowledged: exactly
/// once if the program ends in order, at least once if it ends between handling a block and acknowledging it. What is not
/// taken waits in the store: a slow reader costs a page of memory, and loses nothing.
pub struct ChainReader {
    acknowledger: Acknowledger,
    chain: String,
    subscribed: Subscribed,
    news: Arc<News>,
    topics: Vec<Vec<u8>>,
    next: u64,
    read: VecDeque<ChainEntry>,
}

impl ChainReader {
    pub(crate) fn new(node: Node, chain: String, subscribed: Subscribed, news: Arc<News>, reading: Reading) -> Self {
        let next = subscribed.from;
        let acknowledger = Acknowledger { node, ticket: subscribed.ticket, held: Arc::default() };
        Self { acknowledger, chain, subscribed, news, topics: reading.topics, next, read: VecDeque::new() }
    }

    /// The first position that was not handled when the reader was opened.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.subscribed.from
    }

    /// What says which blocks are handled.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        self.acknowledger.clone()
    }

    /// The next block that waits, or `None` if none does now. Dead letters that are to be tried again come between.
    ///
    /// # Errors
    /// As [`ChainReader::next`]; and [`DeliveryError::Ended`](crate::DeliveryError::Ended) if the chain was deleted.
    pub async fn next_here(&mut self) -> Result<Option<ChainEntry>, NodeError> {
        while self.read.is_empty() {
            let before = self.next;
            let held = self.acknowledger.held().iter().copied().collect();
            let command = DeliveryCommand::Read {
                subscription: self.acknowledger.ticket,
                from: before,
                held,
                topics: self.topics.clone(),
                limit: READ_BLOCKS,
            };
            let answer = self.acknowledger.node.ask_chain(ChainCommand::Delivery(command)).await?;
            let ChainAnswer::Delivery(DeliveryAnswer::Blocks { again, entries, next }) = answer else {
                mismatch(&answer)
            };
            self.next = next;
            self.acknowledger.held().extend(again.iter().map(|entry| entry.position));
            self.read.extend(again);
            self.read.extend(entries);
            if self.read.is_empty() && next == before {
                return Ok(None);
            }
        }
        Ok(self.read.pop_front())
    }

    /// Waits for the next block; `None` once the node has stopped, or does not follow the chain any more. Safe to cancel.
    ///
    /// # Errors
    /// [`DeliveryError::TooManyTopics`](crate::DeliveryError::TooManyTopics), or the store's failure.
    pub async fn next(&mut self) -> Result<Option<ChainEntry>, NodeError> {
        loop {
            match self.next_here().await {
                Ok(Some(entry)) => return Ok(Some(entry)),
                Ok(None) if self.news.has_ended() => return Ok(None),
                Ok(None) => self.news.wait().await,
                Err(error) if has_ended(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands each block to a handler, and acknowledges it once it is handled. One that fails is tried again, with growing
    /// pauses, before the next block; after as many tries as `retry` says it becomes a dead letter. Failures are counted
    /// in the store, so a restart begins no new count.
    ///
    /// It ends when the node stops or deletes the chain, and can be cancelled: the block that is being handled then comes
    /// again.
    ///
    /// # Errors
    /// [`DeliveryError::LettersFull`](crate::DeliveryError::LettersFull), or as [`ChainReader::next`].
    pub async fn deliver<E: fmt::Display>(
        &mut self,
        retry: Retry,
        mut handler: impl AsyncFnMut(&ChainEntry) -> Result<(), E>,
    ) -> Result<(), NodeError> {
        while let Some(entry) = self.next().await? {
            match self.handle(&entry, retry, &mut handler).await {
                Err(error) if has_ended(&error) => return Ok(()),
                handled => handled?,
            }
        }
        Ok(())
    }

    async fn handle<E: fmt::Display>(
        &self,
        entry: &ChainEntry,
        retry: Retry,
        handler: &mut impl AsyncFnMut(&ChainEntry) -> Result<(), E>,
    ) -> Result<(), NodeError> {
        loop {
            let Err(reason) = handler(entry).await else { return self.acknowledger.acknowledge(entry).await };
            match self.acknowledger.fail(entry, reason, retry.tries).await? {
                Some(failures) => tokio::time::sleep(retry.pause(failures)).await,
                None => return Ok(()),
            }
        }
    }

    /// The same as a stream, with its acknowledger. Nothing is read before it is polled, and a page at most ahead.
    #[must_use]
    pub fn into_stream(self) -> (ChainStream, Acknowledger) {
        let acknowledger = self.acknowledger();
        (ChainStream { state: Some(Taking::Idle(Box::new(self))) }, acknowledger)
    }
}

impl fmt::Debug for ChainReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainReader").field("chain", &self.chain).field("next", &self.next).finish_non_exhaustive()
    }
}

/// Whether the node has stopped in order, or the chain is being deleted.
fn has_ended(error: &NodeError) -> bool {
    let delivery = match error {
        NodeError::Closed => return true,
        #[cfg(feature = "offchain")]
        NodeError::Engine(walytis_offchain::EngineError::Public(PublicError::Delivery(error))) => error,
        #[cfg(not(feature = "offchain"))]
        NodeError::Engine(PublicError::Delivery(error)) => error,
        _ => return false,
    };
    *delivery == DeliveryError::Ended
}

type Taken = (Box<ChainReader>, Result<Option<ChainEntry>, NodeError>);

enum Taking {
    Idle(Box<ChainReader>),
    Busy(Pin<Box<dyn Future<Output = Taken> + Send>>),
}

/// A [`ChainReader`] as a stream. It ends when the node stops or deletes the chain, and after an error.
pub struct ChainStream {
    state: Option<Taking>,
}

impl Stream for ChainStream {
    type Item = Result<ChainEntry, NodeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut taking = match self.state.take() {
            None => return Poll::Ready(None),
            Some(Taking::Busy(taking)) => taking,
            Some(Taking::Idle(mut reader)) => Box::pin(async move {
                let taken = reader.next().await;
                (reader, taken)
            }),
        };
        match taking.as_mut().poll(cx) {
            Poll::Pending => {
                self.state = Some(Taking::Busy(taking));
                Poll::Pending
            }
            Poll::Ready((reader, Ok(Some(entry)))) => {
                self.state = Some(Taking::Idle(reader));
                Poll::Ready(Some(Ok(entry)))
            }
            Poll::Ready((_, Ok(None))) => Poll::Ready(None),
            Poll::Ready((_, Err(error))) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl fmt::Debug for ChainStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainStream").finish_non_exhaustive()
    }
}
