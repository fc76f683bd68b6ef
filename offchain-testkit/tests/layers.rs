//! The contract of layers: a public chain, a private group, the overlay of the example, and overlays on overlays.

use std::sync::Arc;

use async_trait::async_trait;
use offchain_testkit::layer_contract;
use walytis_node::layers::{Arrival, Arrivals, Item, Layer, LayerError, PostLimits};
use walytis_node::{BlockId, Post};

#[path = "../../walytis-node/examples/large_content/overlay.rs"]
mod overlay;

use overlay::LargeContent;

#[test]
fn chains_and_groups_are_layers() {
    layer_contract(async |below| Ok(below));
}

#[test]
fn large_contents_are_a_layer() {
    layer_contract(async |below| Ok(LargeContent::new(below)));
}

#[test]
fn a_channel_is_a_layer() {
    layer_contract(async |below| Ok(Channel::new(below, "talk")));
}

#[test]
fn overlays_stand_on_overlays() {
    layer_contract(async |below| {
        let large = LargeContent::new(Arc::new(Channel::new(below, "talk")));
        Ok(Channel::new(Arc::new(large), "within"))
    });
}

/// The posts of one channel among others on the same layer: a second overlay, to stack with.
struct Channel {
    below: Arc<dyn Layer>,
    name: Vec<u8>,
}

impl Channel {
    fn new(below: Arc<dyn Layer>, name: &str) -> Self {
        Self { below, name: name.into() }
    }

    fn shown(name: &[u8], item: Item) -> Option<Item> {
        let Post { mut topics, content } = item.post?;
        let is_here = topics.first().is_some_and(|first| first == name);
        is_here.then(|| {
            topics.remove(0);
            Item { post: Some(Post { topics, content }), ..item }
        })
    }
}

#[async_trait]
impl Layer for Channel {
    fn limits(&self) -> PostLimits {
        let below = self.below.limits();
        PostLimits { topics_max: below.topics_max - 1, ..below }
    }

    async fn post(&self, post: Post) -> Result<BlockId, LayerError> {
        self.limits().check(&post)?;
        let Post { mut topics, content } = post;
        topics.insert(0, self.name.clone());
        self.below.post(Post { topics, content }).await
    }

    async fn item(&self, id: BlockId) -> Result<Option<Item>, LayerError> {
        Ok(self.below.item(id).await?.and_then(|item| Self::shown(&self.name, item)))
    }

    async fn read(&self, mut from: u64) -> Result<Vec<Item>, LayerError> {
        loop {
            let page = self.below.read(from).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            from = last.position + 1;
            let items: Vec<Item> = page.into_iter().filter_map(|item| Self::shown(&self.name, item)).collect();
            if !items.is_empty() {
                return Ok(items);
            }
        }
    }

    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError> {
        Ok(Box::new(ChannelArrivals { below: self.below.arrivals().await?, name: self.name.clone() }))
    }
}

struct ChannelArrivals {
    below: Box<dyn Arrivals>,
    name: Vec<u8>,
}

#[async_trait]
impl Arrivals for ChannelArrivals {
    fn from(&self) -> u64 {
        self.below.from()
    }

    async fn next(&mut self) -> Result<Option<Arrival>, LayerError> {
        while let Some(arrival) = self.below.next().await? {
            if let Arrival::Item(item) | Arrival::Content(item) = arrival
                && let Some(item) = Channel::shown(&self.name, item)
            {
                return Ok(Some(Arrival::Item(item)));
            }
        }
        Ok(None)
    }
}
