//! One interface for a public chain, a private group, and whatever is built on them.
//!
//! A [`Layer`] takes posts, gives them back, and says when more arrive. [`ChainLayer`] and [`GroupLayer`] are the lowest
//! ones. An *overlay* is a layer over a layer: it gives the posts below a meaning of its own, such as contents that are
//! larger than a block, edits, or messages. Whoever uses a layer need not know what it stands on, so overlays can be
//! stacked in any order that makes sense.
//!
//! # Writing an overlay
//! Hold an `Arc<dyn Layer>` and implement [`Layer`]. `examples/large_content` in this crate is a whole one, of some two
//! hundred lines. What has to hold is what this page says; the contract suite of the testkit (`layer_contract`) proves it
//! of an overlay, on simulated peers that are torn apart, lose their power and come together again.
//!
//! - **What others wrote below may be anything.** A stranger on a public chain, or a member with another program, posts
//!   what your overlay did not write. That is no error: such a post is left out, the rest goes on. Begin what you write
//!   with a tag of your own.
//! - **Equal sets, equal items.** Two nodes whose lower layers have the same posts show the same items. So nothing may
//!   follow from clocks or from the order of arrival; [`Item::generation`] with [`Item::id`] is an order that is the same
//!   everywhere.
//! - **One post below says which item it is**: the item has that post's id, place and author. An overlay that needs several
//!   posts for one item writes the others first, so that this one has them among its ancestors.
//! - **An item may lack its post** while a part of it is on its way ([`Item::post`] is `None`). Once that is here, it is
//!   told by [`Arrival::Content`]. A post below that is itself on its way says nothing of what it is: it is shown, as a
//!   new item, once it is here.

mod chain;
#[cfg(feature = "offchain")]
mod group;

use std::sync::Arc;

use async_trait::async_trait;
use walytis_core::limits::{CONTENT_BYTES_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use walytis_core::{AuthorKey, BlockId};

use crate::error::NodeError;
use crate::post::Post;

pub use chain::ChainLayer;
#[cfg(feature = "offchain")]
pub use group::GroupLayer;

/// Posts that peers share, in an order that keeps causes before effects. See the [module](self) for what has to hold.
#[async_trait]
pub trait Layer: Send + Sync {
    /// How large a post may be. It never changes while the layer is open.
    fn limits(&self) -> PostLimits;

    /// Adds an item; when this returns, it is durable here. Peers get it as soon as they can be reached.
    ///
    /// # Errors
    /// [`LayerError::TooLarge`] for a post beyond [`Layer::limits`], of which nothing is kept; and what the layer below
    /// says.
    async fn post(&self, post: Post) -> Result<BlockId, LayerError>;

    /// One item, or `None` if it is not here, or is none of this layer's.
    ///
    /// # Errors
    /// What the layer below says.
    async fn item(&self, id: BlockId) -> Result<Option<Item>, LayerError>;

    /// The next items from a position on, in the order of their arrival here: at least one, unless there are none.
    /// The page after it begins at the last one's position plus one. A page ends with the item whose content brings it to
    /// [`PAGE_BYTES`], so what anybody wrote below makes nobody hold more than that and one post.
    ///
    /// # Errors
    /// What the layer below says.
    async fn read(&self, from: u64) -> Result<Vec<Item>, LayerError>;

    /// Begins to hand out what arrives from now on, this node's own items included.
    ///
    /// # Errors
    /// What the layer below says.
    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError>;
}

/// How many bytes of contents a page of a [`Layer`] has before its last item, at most.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A shared layer is a layer.
#[async_trait]
impl<L: Layer + ?Sized> Layer for Arc<L> {
    fn limits(&self) -> PostLimits {
        (**self).limits()
    }

    async fn post(&self, post: Post) -> Result<BlockId, LayerError> {
        (**self).post(post).await
    }

    async fn item(&self, id: BlockId) -> Result<Option<Item>, LayerError> {
        (**self).item(id).await
    }

    async fn read(&self, from: u64) -> Result<Vec<Item>, LayerError> {
        (**self).read(from).await
    }

    async fn arrivals(&self) -> Result<Box<dyn Arrivals>, LayerError> {
        (**self).arrivals().await
    }
}

/// What arrives at a layer, handed to one application; it ends when this is dropped. Reading up to
/// [`Arrivals::from`] and then taking arrivals gives each item once, with no gap; one whose post comes between the two may
/// be in both.
#[async_trait]
pub trait Arrivals: Send {
    /// The position from which on items are handed out. Those before it can be read.
    fn from(&self) -> u64;

    /// Waits for what arrives next; `None` once the node has stopped, or does not follow the chain any more. If this is
    /// cancelled, nothing is lost.
    ///
    /// # Errors
    /// What the layer below says.
    async fn next(&mut self) -> Result<Option<Arrival>, LayerError>;
}

/// Something that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// An item that was not shown before: after all that it builds on, but for what was still on its way. So may be its own
    /// post.
    Item(Item),
    /// The post of an item that was there without it.
    Content(Item),
}

/// What was posted, with where and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The id of the block that stands for it: the same everywhere.
    pub id: BlockId,
    /// How long the longest way from the chain's first block to it is: above that of everything it builds on, and the same
    /// everywhere.
    pub generation: u64,
    /// Its place in the order of arrival here. It never changes, and causes come before effects; other nodes have other
    /// positions.
    pub position: u64,
    /// Who posted it.
    pub author: Author,
    /// Its author's clock, in milliseconds since 1970. Informative: anybody can set a clock.
    pub created_at_ms: u64,
    /// What was posted; `None` while it is on its way.
    pub post: Option<Post>,
}

/// Who posted an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Author {
    /// The key under which a node writes on a public chain.
    Key(AuthorKey),
    /// A group's member.
    #[cfg(feature = "offchain")]
    Member {
        /// The member.
        identity: walytis_core::ChainId,
        /// The device with which it wrote.
        device: walytis_core::ChainId,
    },
}

/// How large a post may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostLimits {
    /// The most topics.
    pub topics_max: usize,
    /// The most bytes of each topic.
    pub topic_bytes_max: usize,
    /// The most bytes of content.
    pub content_bytes_max: usize,
}

impl PostLimits {
    /// What one block holds.
    pub const BLOCK: Self =
        Self { topics_max: TOPICS_MAX, topic_bytes_max: TOPIC_BYTES_MAX, content_bytes_max: CONTENT_BYTES_MAX };

    /// Whether a post keeps the limits.
    ///
    /// # Errors
    /// [`LayerError::TooLarge`] with the first that it does not.
    pub fn check(&self, post: &Post) -> Result<(), LayerError> {
        let longest = post.topics.iter().map(Vec::len).max().unwrap_or(0);
        for (what, found, max) in [
            ("topics", post.topics.len(), self.topics_max),
            ("bytes of a topic", longest, self.topic_bytes_max),
            ("bytes of content", post.content.len(), self.content_bytes_max),
        ] {
            if found > max {
                return Err(LayerError::TooLarge { what, found, max });
            }
        }
        Ok(())
    }
}

/// Why a layer could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The post is larger than the layer takes.
    #[error("a post here has at most {max} {what}, and this one has {found}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        max: usize,
    },
    /// The node refused or has stopped.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// An overlay could not do its own part.
    #[error(transparent)]
    Overlay(Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_measured_against_each_limit() {
        let limits = PostLimits { topics_max: 2, topic_bytes_max: 3, content_bytes_max: 4 };
        let check = |post: Post| match limits.check(&post) {
            Ok(()) => None,
            Err(LayerError::TooLarge { what, found, max }) => Some((what, found, max)),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(check(Post::new("1234").topic("123").topic("")), None);
        assert_eq!(check(Post::new("12345")), Some(("bytes of content", 5, 4)));
        assert_eq!(check(Post::new("").topic("1234")), Some(("bytes of a topic", 4, 3)));
        assert_eq!(check(Post::new("").topic("").topic("").topic("")), Some(("topics", 3, 2)));
    }
}
