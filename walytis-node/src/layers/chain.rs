//! A public chain as a layer.

use async_trait::async_trait;
use walytis_core::BlockId;
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainEntry};

use super::{Arrival, Arrivals, Author, Item, Layer, LayerError, PostLimits};
use crate::chain_subscription::ChainSubscription;
use crate::chains::Beginning;
use crate::node::{Node, mismatch};
use crate::post::Post;

/// How many blocks are read at a time.
const READ_BLOCKS: usize = 256;

/// A public chain as a [`Layer`]: its items are its blocks, its first one aside.
///
/// ```no_run
/// # async fn example(node: walytis_node::Node) -> Result<(), walytis_node::layers::LayerError> {
/// use walytis_node::layers::{ChainLayer, Layer as _};
///
/// let news = ChainLayer::new(node, "news");
/// let id = news.post("It rains.".into()).await?;
/// assert!(news.item(id).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ChainLayer {
    node: Node,
    chain: String,
}

impl ChainLayer {
    /// The chain of a local name or an id. Whether it is here shows when it is used.
    #[must_use]
    pub fn new(node: Node, chain: impl Into<String>) -> Self {
        Self { node, chain: chain.into() }
    }
}

#[async_trait]
impl Layer for ChainLayer {
    fn limits(&self) -> PostLimits {
        PostLimits::BLOCK
    }

    async fn post(&self, post: Post) -> Result<BlockId, LayerError> {
        self.limits().check(&post)?;
        Ok(self.node.post_to_chain(&self.chain, post).await?)
    }

    async fn item(&self, id: BlockId) -> Result<Option<Item>, LayerError> {
        Ok(match self.node.block_of_chain(&self.chain, id.into()).await? {
            Beginning::One(entry) => Some(item(*entry)),
            _ => None,
        })
    }

    async fn read(&self, mut from: u64) -> Result<Vec<Item>, LayerError> {
        loop {
            let command = ChainCommand::Since { chain: self.chain.as_str().into(), from, limit: READ_BLOCKS };
            let (entries, next) = match self.node.ask_chain(command).await? {
                ChainAnswer::Arrived { entries, next } => (entries, next),
                other => mismatch(&other),
            };
            if !entries.is_empty() || next <= from {
                return Ok(entries.into_iter().map(item).collect());
            }
            from = next;
        }
    }

    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError> {
        Ok(Box::new(ChainArrivals(self.node.follow_chain(&self.chain).await?)))
    }
}

struct ChainArrivals(ChainSubscription);

#[async_trait]
impl Arrivals for ChainArrivals {
    fn from(&self) -> u64 {
        self.0.from()
    }

    async fn next(&mut self) -> Result<Option<Arrival>, LayerError> {
        Ok(self.0.next().await.map(|entry| Arrival::Item(item(entry))))
    }
}

fn item(entry: ChainEntry) -> Item {
    let ChainEntry { id, generation, position, author, created_at_ms, topics, content, .. } = entry;
    Item { id, generation, position, author: Author::Key(author), created_at_ms, post: Some(Post { topics, content }) }
}
