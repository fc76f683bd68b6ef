//! What arrives in a group, handed to one application.

use std::fmt;
use std::sync::Arc;

use walytis_offchain::{Command, Delivery};

use crate::delivery::{Deliveries, Found, Missed};
use crate::node::Node;
use crate::request::{Request, Subscribed, Waiter};

/// How many blocks a subscriber that is behind reads at a time.
const READ_BLOCKS: usize = 256;

/// A group's private blocks as they arrive; see [`Node::subscribe`]. It ends when this is dropped.
///
/// Each block comes once, after its parents. One whose content is still on its way comes without it, and the content
/// later by itself. An application may take its time: what it has not taken waits in memory up to a bound, and is read
/// from the store beyond that.
pub struct Subscription {
    node: Node,
    group: String,
    subscribed: Subscribed,
    deliveries: Arc<Deliveries>,
}

impl Subscription {
    pub(crate) fn new(node: Node, group: String, subscribed: Subscribed, deliveries: Arc<Deliveries>) -> Self {
        Self { node, group, subscribed, deliveries }
    }

    /// The position from which on blocks are handed out. What arrived before it can be listed with
    /// [`Listing::below`](crate::Listing::below).
    #[must_use]
    pub fn from(&self) -> u64 {
        self.subscribed.from
    }

    /// Waits for the next delivery; `None` once the node has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.deliveries.take() {
                Found::Delivery(delivery) => return Some(delivery),
                Found::Missed => self.read_missed().await?,
                Found::Nothing => self.deliveries.news().await,
                Found::End => return None,
            }
        }
    }

    /// Asks for what was missed. The node's task adds it to the deliveries, in its place among what else arrives.
    async fn read_missed(&self) -> Option<()> {
        // Only with a place at hand is it noted as being read, so that this can be cancelled.
        let place = self.node.place().await.ok()?;
        let Some(missed) = self.deliveries.begin_reading() else { return Some(()) };
        let (from, limit) = match missed {
            Missed::Blocks(from) => (from, READ_BLOCKS),
            Missed::Content(position) => (position, 1),
        };
        let command = Command::Since { group: self.group.clone(), from, limit };
        place.send(Request::Command(command, Waiter::Behind(missed, Arc::clone(&self.deliveries))));
        Some(())
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("group", &self.group).field("from", &self.from()).finish_non_exhaustive()
    }
}
