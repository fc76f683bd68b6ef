//! A private group as a layer.

use async_trait::async_trait;
use walytis_core::BlockId;
use walytis_offchain::{Answer, Command, Delivery, Entry};

use super::{Arrival, Arrivals, Author, Item, Layer, LayerError, PostLimits};
use crate::node::{Node, mismatch};
use crate::post::Post;
use crate::subscription::Subscription;

/// How many blocks are read at a time.
const READ_BLOCKS: usize = 256;

/// A private group as a [`Layer`]: its items are its private blocks. One whose content is on its way comes without its
/// post.
#[derive(Clone, Debug)]
pub struct GroupLayer {
    node: Node,
    group: String,
}

impl GroupLayer {
    /// The group of a local name or a DID. Whether it is here shows when it is used.
    #[must_use]
    pub fn new(node: Node, group: impl Into<String>) -> Self {
        Self { node, group: group.into() }
    }

    async fn ask(&self, command: Command) -> Result<Vec<Item>, LayerError> {
        match self.node.ask(command).await? {
            Answer::Page(page) => Ok(page.entries.into_iter().map(item).collect()),
            other => mismatch(&other),
        }
    }
}

#[async_trait]
impl Layer for GroupLayer {
    fn limits(&self) -> PostLimits {
        PostLimits::BLOCK
    }

    async fn post(&self, post: Post) -> Result<BlockId, LayerError> {
        self.limits().check(&post)?;
        Ok(self.node.post(&self.group, post).await?)
    }

    async fn item(&self, id: BlockId) -> Result<Option<Item>, LayerError> {
        Ok(self.ask(Command::Block { group: self.group.clone(), id }).await?.pop())
    }

    async fn read(&self, from: u64) -> Result<Vec<Item>, LayerError> {
        self.ask(Command::Since { group: self.group.clone(), from, limit: READ_BLOCKS }).await
    }

    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError> {
        Ok(Box::new(GroupArrivals(self.node.subscribe(&self.group).await?)))
    }
}

struct GroupArrivals(Subscription);

#[async_trait]
impl Arrivals for GroupArrivals {
    fn from(&self) -> u64 {
        self.0.from()
    }

    async fn next(&mut self) -> Result<Option<Arrival>, LayerError> {
        loop {
            match self.0.next().await {
                None => return Ok(None),
                Some(Delivery::Block(entry)) => return Ok(Some(Arrival::Item(item(entry)))),
                Some(Delivery::Content(entry)) => return Ok(Some(Arrival::Content(item(entry)))),
                // No group's.
                Some(_) => {}
            }
        }
    }
}

fn item(entry: Entry) -> Item {
    let Entry { id, generation, position, author, device, created_at_ms, content } = entry;
    let post = content.map(|content| Post { topics: content.topics, content: content.bytes });
    Item { id, generation, position, author: Author::Member { identity: author, device }, created_at_ms, post }
}
