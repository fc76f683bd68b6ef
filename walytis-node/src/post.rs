//! What an application writes.

use tokio::sync::oneshot;
use walytis_core::BlockId;
use walytis_engine::public::ChainAnswer;

use crate::error::NodeError;
use crate::machine::{Answer, EngineError};
use crate::node::{Node, mismatch};

/// A block to be: its content, and topics by which readers can choose. In a group both are sealed, and only its members can
/// read them; on a public chain everybody can.
///
/// ```
/// use walytis_node::Post;
///
/// let post = Post::new("Bridge at nine").topic("plans").topic("north");
/// assert_eq!(post.topics.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// The topics: at most 32, of 256 bytes each.
    pub topics: Vec<Vec<u8>>,
    /// The content: at most 1 MiB.
    pub content: Vec<u8>,
}

impl Post {
    /// A post without topics.
    #[must_use]
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        Self { topics: Vec::new(), content: content.into() }
    }

    /// The same with one more topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Vec<u8>>) -> Self {
        self.topics.push(topic.into());
        self
    }
}

impl<T: Into<Vec<u8>>> From<T> for Post {
    fn from(content: T) -> Self {
        Self::new(content)
    }
}

/// A block on its way; see [`Node::enqueue_to_chain`], and `Node::enqueue` for groups. It gets there if this is dropped, too.
#[derive(Debug)]
#[must_use = "only `durable` tells whether the block is stored"]
pub struct Posting {
    node: Node,
    answered: oneshot::Receiver<Result<Answer, EngineError>>,
}

impl Posting {
    pub(crate) fn new(node: Node, answered: oneshot::Receiver<Result<Answer, EngineError>>) -> Self {
        Self { node, answered }
    }

    /// Waits until the block is durable here, and gives its id.
    ///
    /// # Errors
    /// As [`Node::post_to_chain`], or `Node::post`.
    pub async fn durable(self) -> Result<BlockId, NodeError> {
        match self.node.answer(self.answered).await?? {
            #[cfg(feature = "offchain")]
            Answer::Posted(id) => Ok(id),
            Answer::Chain(ChainAnswer::Posted(id)) => Ok(id),
            other => mismatch(&other),
        }
    }
}
