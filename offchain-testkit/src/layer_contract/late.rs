//! A layer that keeps contents back for a while, as a group does when they travel after their blocks.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use walytis_node::layers::{Arrival, Arrivals, Item, Layer, LayerError, PostLimits};
use walytis_node::{BlockId, Post};

/// Shows every other item of a layer without its post, until it is told to release them.
#[derive(Clone)]
pub(super) struct Late {
    below: Arc<dyn Layer>,
    released: Arc<watch::Sender<bool>>,
}

impl Late {
    pub(super) fn new(below: Arc<dyn Layer>) -> Self {
        Self { below, released: Arc::new(watch::Sender::new(false)) }
    }

    /// From now on every post is shown, and those that were kept back are told of.
    pub(super) fn release(&self) {
        self.released.send_replace(true);
    }

    fn shown(&self, item: Item) -> Item {
        if *self.released.borrow() { item } else { without_post(item) }
    }
}

fn without_post(item: Item) -> Item {
    let kept_back = item.position % 2 == 1;
    Item { post: item.post.filter(|_| !kept_back), ..item }
}

#[async_trait]
impl Layer for Late {
    fn limits(&self) -> PostLimits {
        self.below.limits()
    }

    async fn post(&self, post: Post) -> Result<BlockId, LayerError> {
        self.below.post(post).await
    }

    async fn item(&self, id: BlockId) -> Result<Option<Item>, LayerError> {
        Ok(self.below.item(id).await?.map(|item| self.shown(item)))
    }

    async fn read(&self, from: u64) -> Result<Vec<Item>, LayerError> {
        Ok(self.below.read(from).await?.into_iter().map(|item| self.shown(item)).collect())
    }

    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError> {
        let below = self.below.arrivals().await?;
        let mut kept = VecDeque::new();
        let mut from = 0;
        loop {
            let page = self.below.read(from).await?;
            let Some(last) = page.last() else { break };
            from = last.position + 1;
            kept.extend(page.into_iter().filter(|item| item.position < below.from()));
        }
        kept.retain(|item| self.shown(item.clone()) != *item);
        Ok(Box::new(LateArrivals { below, kept, released: self.released.subscribe() }))
    }
}

struct LateArrivals {
    below: Box<dyn Arrivals>,
    /// What was shown without its post.
    kept: VecDeque<Item>,
    released: watch::Receiver<bool>,
}

#[async_trait]
impl Arrivals for LateArrivals {
    fn from(&self) -> u64 {
        self.below.from()
    }

    async fn next(&mut self) -> Result<Option<Arrival>, LayerError> {
        let arrival = loop {
            if *self.released.borrow() {
                match self.kept.pop_front() {
                    Some(item) => return Ok(Some(Arrival::Content(item))),
                    None => return self.below.next().await,
                }
            }
            tokio::select! {
                // Its sender lives as long as the layer does; without it nothing is released any more.
                changed = self.released.changed() => if changed.is_err() { return self.below.next().await },
                arrival = self.below.next() => break arrival?,
            }
        };
        let Some(Arrival::Item(item)) = arrival else { return Ok(arrival) };
        let shown = without_post(item.clone());
        if shown != item {
            self.kept.push_back(item);
        }
        Ok(Some(Arrival::Item(shown)))
    }
}
