//! Where the contract of layers is played.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use walytis_node::layers::{ChainLayer, GroupLayer, Item, Layer, LayerError, PostLimits};
use walytis_node::{Node, NodeError, Post, Sharing};

use super::all;
use crate::node_swarm::address;
use crate::{NodeId, NodeSwarm};

/// What the peers share, at each of them.
const NAME: &str = "shared";

/// Puts the overlay on a layer.
pub(super) trait Open: AsyncFn(Arc<dyn Layer>) -> Result<Arc<dyn Layer>, LayerError> {}
impl<F: AsyncFn(Arc<dyn Layer>) -> Result<Arc<dyn Layer>, LayerError>> Open for F {}

/// What the overlay stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Chain,
    Group,
}

impl Base {
    fn layer(self, node: Node) -> Arc<dyn Layer> {
        match self {
            Self::Chain => Arc::new(ChainLayer::new(node, NAME)),
            Self::Group => Arc::new(GroupLayer::new(node, NAME)),
        }
    }
}

/// Peers that share a chain or a group, with the overlay on it.
pub(super) struct Scene<'a, F> {
    swarm: NodeSwarm,
    base: Base,
    open: &'a F,
}

impl<'a, F: Open> Scene<'a, F> {
    #[expect(clippy::panic, reason = "a contract that is broken fails the test")]
    pub(super) fn play(
        base: Base,
        seed: u64,
        open: &'a F,
        scenario: impl AsyncFnOnce(Scene<'a, F>) -> Result<(), LayerError>,
    ) {
        let played = NodeSwarm::new(seed).run(async |swarm| scenario(Scene { swarm, base, open }).await);
        played.unwrap_or_else(|error| panic!("over a {base:?}, a layer gives no error where all goes well: {error}"));
    }

    /// Peers who share one chain or group.
    pub(super) async fn peers<const N: usize>(&self) -> Result<[NodeId; N], LayerError> {
        let mut peers = [NodeId(0); N];
        for peer in &mut peers {
            *peer = self.swarm.add().await?;
        }
        match self.base {
            Base::Group => {
                self.swarm.form_group(NAME, &peers).await?;
                self.swarm.acquaint(&peers, N).await?;
            }
            Base::Chain => self.form_chain(&peers).await?,
        }
        Ok(peers)
    }

    async fn form_chain(&self, peers: &[NodeId]) -> Result<(), NodeError> {
        let Some((founder, others)) = peers.split_first() else { return Ok(()) };
        let founder = self.swarm.node(*founder)?;
        founder.new_chain(NAME).await?;
        let code = founder.invite_to_chain(NAME, None, Sharing::Joiners).await?.code.unwrap_or_default();
        for other in others {
            self.swarm.node(*other)?.join_chain(&code, Some(NAME)).await?.finish().await?;
        }
        for peer in peers {
            let node = self.swarm.node(*peer)?;
            for other in peers.iter().filter(|other| *other != peer) {
                node.connect(address(*other)).await?;
            }
            while node.peers().await?.iter().filter(|other| other.known.connected).count() < others.len() {
                self.pass_ms(100).await;
            }
        }
        Ok(())
    }

    /// What the overlay stands on at a peer.
    pub(super) fn below(&self, peer: NodeId) -> Result<Arc<dyn Layer>, LayerError> {
        Ok(self.base.layer(self.swarm.node(peer)?))
    }

    /// The overlay at a peer.
    pub(super) async fn layer(&self, peer: NodeId) -> Result<Arc<dyn Layer>, LayerError> {
        self.open(self.below(peer)?).await
    }

    /// The overlay on any layer.
    pub(super) async fn open(&self, below: Arc<dyn Layer>) -> Result<Arc<dyn Layer>, LayerError> {
        (self.open)(below).await
    }

    pub(super) fn rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(self.swarm.seed())
    }

    /// Different posts, the third of them larger than a block if the layer takes such.
    pub(super) fn posts(&self, count: usize, limits: &PostLimits) -> Vec<Post> {
        let mut rng = self.rng();
        let larger = limits.content_bytes_max.min(PostLimits::BLOCK.content_bytes_max + 1000);
        (0..count)
            .map(|number| {
                let bytes = if number == 2 { larger } else { number * 10 };
                let mut content = vec![0; bytes];
                rng.fill_bytes(&mut content);
                let topics = (0..number % 3).map(|topic| format!("topic {topic}").into_bytes());
                Post { topics: topics.take(limits.topics_max).collect(), content }
            })
            .collect()
    }

    /// Posts as nobody writes them: broken ones made of good ones, and random ones.
    pub(super) fn noise(&self, good: &[Item]) -> Vec<Post> {
        let mut rng = self.rng();
        let mut draw = |below: usize| usize::try_from(rng.next_u64()).unwrap_or(0) % below.max(1);
        let mut noise = vec![Post::new(""), Post::new(vec![0; 64]), Post::new(vec![255; 300])];
        for post in good.iter().filter_map(|item| item.post.clone()) {
            // What is large is broken near its beginning, where it says what it is.
            let head = post.content.len().min(64);
            let cut = post.content[..draw(head)].to_vec();
            let mut flipped = post.content.clone();
            if let Some(byte) = flipped.get_mut(draw(head)) {
                *byte ^= 1 << draw(8);
            }
            let small = &post.content[..post.content.len().min(1000)];
            noise.extend([cut, flipped, [small, small].concat(), [small, &[0]].concat()].map(Post::new));
            noise.push(Post { topics: vec![b"other".to_vec()], content: small.to_vec() });
            // What is small and names something may stand for much: the same often, and with its end, where the names are,
            // once more and again.
            if post.content.len() < 1000 {
                let end = &post.content[post.content.len().saturating_sub(32)..];
                let longer = [small, &end.repeat(6)].concat();
                for content in [small.to_vec(), longer] {
                    noise.extend(std::iter::repeat_n(Post { topics: post.topics.clone(), content }, 16));
                }
            }
            noise.push(Post { topics: vec![], content: post.content });
        }
        // More than one page of it.
        noise.extend((0..300_u32).map(|number| Post::new(number.to_le_bytes())));
        noise
    }

    /// Waits until something is so. Time is virtual.
    pub(super) async fn until(
        &self,
        mut is_so: impl AsyncFnMut() -> Result<bool, LayerError>,
    ) -> Result<(), LayerError> {
        while !is_so().await? {
            self.pass_ms(100).await;
        }
        Ok(())
    }

    /// Waits until all of these show so many items with their posts, and gives what each shows.
    pub(super) async fn gathered(&self, layers: &[Arc<dyn Layer>], count: usize) -> Result<Vec<Vec<Item>>, LayerError> {
        let mut gathered = Vec::new();
        for layer in layers {
            let mut items = Vec::new();
            self.until(async || {
                items = all(&**layer).await?;
                Ok(items.len() >= count && items.iter().all(|item| item.post.is_some()))
            })
            .await?;
            assert_eq!(items.len(), count, "each item is shown once");
            gathered.push(items);
        }
        Ok(gathered)
    }

    pub(super) async fn pass_ms(&self, ms: u64) {
        self.swarm.pass(Duration::from_millis(ms)).await;
    }

    /// Cuts all ways between these.
    pub(super) fn apart(&self, peers: &[NodeId]) {
        let alone: Vec<&[NodeId]> = peers.chunks(1).collect();
        self.swarm.partition(&alone);
    }

    pub(super) fn together(&self) {
        self.swarm.heal();
    }

    /// Cuts a peer's power, and starts it again.
    pub(super) async fn crash(&self, peer: NodeId) -> Result<(), LayerError> {
        self.swarm.kill(peer).await;
        Ok(self.swarm.start(peer).await?)
    }

    pub(super) async fn stop(&self, peer: NodeId) {
        self.swarm.stop(peer).await;
    }
}

/// Polls a future so often at most, with turns for others between, and drops it then.
pub(super) async fn cancelled_or<T>(future: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(value) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}
