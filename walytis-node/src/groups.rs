//! The handle's methods about private groups.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use walytis_core::BlockId;
use walytis_identities::History;
use walytis_offchain::{Answer, CheckReport, Command, GroupDetails, GroupSummary, Identity};

use crate::delivery::Deliveries;
use crate::error::NodeError;
use crate::join::Join;
use crate::listing::Listing;
use crate::node::{Node, mismatch};
use crate::pager::Pager;
use crate::post::{Post, Posting};
use crate::request::{Request, Waiter};
use crate::subscription::Subscription;

/// Private groups. A group is named by its local name or its DID everywhere.
impl Node {
    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.handle().identity
    }

    /// Makes a group of which this node's user is the first member.
    ///
    /// # Errors
    /// [`EngineError::BadName`](crate::EngineError::BadName) or [`EngineError::NameTaken`](crate::EngineError::NameTaken);
    /// and, as with every method of a node, the store's failure or [`NodeError::Closed`].
    pub async fn new_group(&self, name: &str, history: History) -> Result<GroupSummary, NodeError> {
        match self.ask(Command::NewGroup { name: name.to_owned(), history }).await? {
            Answer::Group(group) => Ok(group),
            other => mismatch(&other),
        }
    }

    /// The groups that this node has, by their local names.
    ///
    /// # Errors
    /// The store's failure or [`NodeError::Closed`].
    pub async fn groups(&self) -> Result<Vec<GroupSummary>, NodeError> {
        match self.ask(Command::Groups).await? {
            Answer::Groups(groups) => Ok(groups),
            other => mismatch(&other),
        }
    }

    /// All about a group.
    ///
    /// # Errors
    /// [`EngineError::UnknownGroup`](crate::EngineError::UnknownGroup).
    pub async fn group(&self, group: &str) -> Result<GroupDetails, NodeError> {
        match self.ask(Command::Group { group: group.to_owned() }).await? {
            Answer::GroupDetails(details) => Ok(details),
            other => mismatch(&other),
        }
    }

    /// Opens an invitation by which `uses` others may join, and gives its code. Whoever has the code can use it: pass it
    /// on as you would a password. It carries this node's addresses.
    ///
    /// # Errors
    /// [`EngineError::UnknownGroup`](crate::EngineError::UnknownGroup),
    /// [`EngineError::NotManager`](crate::EngineError::NotManager),
    /// [`EngineError::NoUses`](crate::EngineError::NoUses), or
    /// [`EngineError::NoAddresses`](crate::EngineError::NoAddresses) if the node has never listened.
    pub async fn invite(&self, group: &str, uses: u32) -> Result<String, NodeError> {
        match self.ask(Command::Invite { group: group.to_owned(), uses }).await? {
            Answer::Invitation(code) => Ok(code),
            other => mismatch(&other),
        }
    }

    /// Begins to join a group by an invitation's code; [`Join::finish`] gives the outcome. Without a name, the group
    /// gets one here.
    ///
    /// # Errors
    /// [`NodeError::Offline`] or [`NodeError::Closed`].
    pub async fn join(&self, code: &str, name: Option<&str>) -> Result<Join, NodeError> {
        self.require_network()?;
        let (reply, answered) = oneshot::channel();
        let (tell_progress, progress) = watch::channel(None);
        let command = Command::Join { code: code.to_owned(), name: name.map(ToOwned::to_owned) };
        self.request(Request::Command(command, Waiter::Progress(reply, tell_progress))).await?;
        Ok(Join::new(self.clone(), answered, progress, code))
    }

    /// Adds a private block to a group. When it returns, the block is durable here; members get it as soon as they can
    /// be reached. Many calls at once are quicker than one after the other: they share commits.
    ///
    /// # Errors
    /// [`EngineError::UnknownGroup`](crate::EngineError::UnknownGroup),
    /// [`EngineError::NotWriter`](crate::EngineError::NotWriter) or
    /// [`EngineError::Content`](crate::EngineError::Content) for topics or content that are too large.
    pub async fn post(&self, group: &str, post: impl Into<Post>) -> Result<BlockId, NodeError> {
        self.enqueue(group, post).await?.durable().await
    }

    /// Begins to add a private block: when this returns, the block has its place behind everything that was asked of the
    /// node before, so blocks enter the group in the order of these calls. [`Posting::durable`] waits for the rest.
    ///
    /// ```no_run
    /// # async fn example(node: walytis_node::Node) -> Result<(), walytis_node::NodeError> {
    /// let first = node.enqueue("friends", "Who brings the cards?").await?;
    /// let second = node.enqueue("friends", "I do.").await?;
    /// let (question, reply) = (first.durable().await?, second.durable().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NodeError::Closed`] if the node has stopped. What is wrong with the post is told by [`Posting::durable`].
    pub async fn enqueue(&self, group: &str, post: impl Into<Post>) -> Result<Posting, NodeError> {
        let Post { topics, content } = post.into();
        let (reply, answered) = oneshot::channel();
        let command = Command::Post { group: group.to_owned(), topics, content };
        self.request(Request::Command(command, Waiter::Answer(reply))).await?;
        Ok(Posting::new(self.clone(), answered))
    }

    /// Lists a group's private blocks, each after its parents, in the order that is the same on all nodes with equal
    /// sets. Nothing is read before [`Pager::next_page`].
    #[must_use]
    pub fn list(&self, group: &str, listing: Listing) -> Pager {
        Pager::new(self.clone(), group.to_owned(), listing)
    }

    /// Begins to hand out a group's private blocks as they arrive, this node's own included.
    ///
    /// # Errors
    /// [`EngineError::UnknownGroup`](crate::EngineError::UnknownGroup).
    pub async fn subscribe(&self, group: &str) -> Result<Subscription, NodeError> {
        let (reply, answered) = oneshot::channel();
        let deliveries = Arc::new(Deliveries::default());
        let waiter = Waiter::Subscriber(reply, Arc::clone(&deliveries));
        self.request(Request::Command(Command::Subscribe { group: group.to_owned() }, waiter)).await?;
        let subscribed = self.answer(answered).await??;
        Ok(Subscription::new(self.clone(), group.to_owned(), subscribed, deliveries))
    }

    /// Verifies every block, signature, commitment and index that was here when it began, while the node goes on. It runs
    /// on a thread for blocking work; the store is let go when it is done.
    ///
    /// # Errors
    /// The store's failure or [`NodeError::Closed`].
    pub async fn check(&self) -> Result<CheckReport, NodeError> {
        let store = self.handle().store.upgrade().ok_or(NodeError::Closed)?;
        let checking = tokio::task::spawn_blocking(move || walytis_offchain::check(store, &mut |_, _| {}));
        Ok(checking.await.map_err(|_| NodeError::Closed)??)
    }
}
