//! What arrives in a group, for callers that wait on threads of their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use walytis_node::{Delivery, Entry, Listing, NodeError, Pager, Subscription};

use crate::error::AbiError;
use crate::layout;
use crate::node::OpenNode;

/// Where events begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// With what arrives after the call.
    Now,
    /// With everything that is here.
    Start,
}

impl From {
    /// The header's number for it.
    pub(crate) fn read(number: i32) -> Result<Self, AbiError> {
        match number {
            layout::FROM_NOW => Ok(Self::Now),
            layout::FROM_START => Ok(Self::Start),
            other => Err(AbiError::Value {
                what: "from",
                value: other.into(),
                allowed: "1 is from now on, 2 from the start",
            }),
        }
    }
}

/// A subscription, and before it what was here.
pub(crate) struct Events {
    /// One thread at a time reads; the others wait for their turn.
    reader: Mutex<Reader>,
    released: watch::Sender<bool>,
    /// Last, so that the subscription goes while its node's threads are there.
    node: Arc<OpenNode>,
}

struct Reader {
    /// What was here when the subscription began, until its end.
    earlier: Option<Pager>,
    /// Of that, what was read and not yet given.
    page: VecDeque<Entry>,
    subscription: Subscription,
}

/// One thing that arrived.
pub(crate) struct Event {
    /// The header's number for what it is.
    pub(crate) kind: i32,
    pub(crate) entry: Entry,
}

impl Events {
    /// Subscribes.
    pub(crate) fn begin(node: &Arc<OpenNode>, group: &str, from: From) -> Result<Self, NodeError> {
        let subscription = node.wait(node.node.subscribe(group))?;
        let listing = Listing { topic: None, below: Some(subscription.from()) };
        let earlier = (from == From::Start).then(|| node.node.list(group, listing));
        let reader = Mutex::new(Reader { earlier, page: VecDeque::new(), subscription });
        Ok(Self { reader, released: watch::Sender::new(false), node: Arc::clone(node) })
    }

    /// Ends calls that wait for the next event.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// The next event, on the calling thread.
    pub(crate) fn next(&self, timeout_ms: i64) -> Result<Event, AbiError> {
        // Less than 0 is for ever; so is what no clock reaches.
        let deadline = u64::try_from(timeout_ms)
            .ok()
            .and_then(|timeout_ms| Instant::now().checked_add(Duration::from_millis(timeout_ms)));
        self.node.wait(async {
            let mut reader = self.within(deadline, timeout_ms, self.reader.lock()).await?;
            // What is on the disk is not cut short: begun again with each call of no time, it would never come.
            if let Some(entry) = reader.earlier().await? {
                return Ok(Event { kind: layout::EVENT_BLOCK, entry });
            }
            match self.within(deadline, timeout_ms, reader.news()).await? {
                Some(event) => Ok(event),
                None => Err(self.node.node.stopped().await.unwrap_or(NodeError::Closed).into()),
            }
        })
    }

    /// Waits for something until the deadline, or until this is released.
    async fn within<T>(
        &self,
        deadline: Option<Instant>,
        timeout_ms: i64,
        work: impl Future<Output = T>,
    ) -> Result<T, AbiError> {
        let mut released = self.released.subscribe();
        let either = async {
            tokio::select! {
                biased;
                _ = released.wait_for(|released| *released) => None,
                done = work => Some(done),
            }
        };
        let either = match deadline {
            None => either.await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline, either).await.map_err(|_| AbiError::TimedOut(timeout_ms))?
            }
        };
        either.ok_or(AbiError::Released)
    }
}

impl Reader {
    /// The next block of those that were here before.
    async fn earlier(&mut self) -> Result<Option<Entry>, NodeError> {
        while self.page.is_empty() {
            let Some(pager) = &mut self.earlier else { return Ok(None) };
            match pager.next_page().await? {
                Some(page) => self.page.extend(page),
                None => self.earlier = None,
            }
        }
        Ok(self.page.pop_front())
    }

    /// The next delivery, once it arrives; `None` once the node has stopped.
    async fn news(&mut self) -> Option<Event> {
        loop {
            match self.subscription.next().await? {
                Delivery::Block(entry) => return Some(Event { kind: layout::EVENT_BLOCK, entry }),
                Delivery::Content(entry) => return Some(Event { kind: layout::EVENT_CONTENT, entry }),
                // No group has them.
                _ => {}
            }
        }
    }
}
