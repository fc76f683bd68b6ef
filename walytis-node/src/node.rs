//! The handle by which an application uses a node.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot, watch};
use walytis_core::{Address, BlockId, Network, Store};
use walytis_identities::History;
use walytis_offchain::{Answer, CheckReport, Command, Engine, GroupDetails, GroupSummary, Identity, Status};

use crate::delivery::Deliveries;
use crate::error::NodeError;
use crate::join::Join;
use crate::listening::{Listening, Unreached};
use crate::options::NodeOptions;
use crate::pager::{Listing, Pager};
use crate::post::{Post, Posting};
use crate::request::{Request, Waiter};
use crate::shell::{Channels, End, Shell};
use crate::subscription::Subscription;

/// Requests that may wait for the node's task. Callers wait for their answers, so this is how many can ask at once
/// without waiting for a place.
const REQUESTS_MAX: usize = 256;

/// What is done once a node has let go of its network.
pub(crate) type Afterwards = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A running node. Clones are handles of the same node, and so are what [`Node::join`], [`Node::list`] and
/// [`Node::subscribe`] give; when the last one is dropped, the node stops as by [`Node::shutdown`].
///
/// A group is named by its local name or its DID everywhere. All methods can be called from many tasks at once.
#[derive(Clone)]
pub struct Node(Arc<Handle>);

struct Handle {
    identity: Identity,
    /// The task's: it is let go when the node has stopped, whoever still has a handle.
    store: Weak<dyn Store>,
    online: bool,
    requests: mpsc::Sender<Request>,
    listening: watch::Receiver<Vec<Address>>,
    unreached: watch::Receiver<Vec<(Address, String)>>,
    ended: watch::Receiver<Option<End>>,
}

impl Node {
    /// Runs an engine on the store from which it was opened, with a network whose local peer is the engine's, or
    /// without one. The node runs on the tokio runtime in which this is called.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(
        engine: Engine,
        store: Arc<dyn Store>,
        network: Option<Arc<dyn Network>>,
        options: NodeOptions,
    ) -> Self {
        Self::start_then(engine, store, network, &options, None)
    }

    /// As [`Node::start`]; `afterwards` is waited for at the end.
    pub(crate) fn start_then(
        engine: Engine,
        store: Arc<dyn Store>,
        network: Option<Arc<dyn Network>>,
        options: &NodeOptions,
        afterwards: Option<Afterwards>,
    ) -> Self {
        let (requests, requested) = mpsc::channel(REQUESTS_MAX);
        let (notify, noticed) = mpsc::unbounded_channel();
        let (tell_listening, listening) = watch::channel(Vec::new());
        let (tell_unreached, unreached) = watch::channel(Vec::new());
        let (tell_end, ended) = watch::channel(None);
        let handle = Handle {
            identity: engine.identity(),
            store: Arc::downgrade(&store),
            online: network.is_some(),
            requests,
            listening,
            unreached,
            ended,
        };
        let channels = Channels {
            requests: requested,
            notices: noticed,
            notify,
            listening: tell_listening,
            unreached: tell_unreached,
        };
        let shell = Shell::new(engine, store, network.clone(), options, channels);
        tokio::spawn(async move {
            let end = shell.run(network).await;
            if let Some(afterwards) = afterwards {
                afterwards.await;
            }
            tell_end.send_replace(Some(end));
        });
        Self(Arc::new(handle))
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Where the node accepts connections, as far as it is known now.
    #[cfg(all(feature = "redb", feature = "libp2p"))]
    pub(crate) fn known_addresses(&self) -> Vec<Address> {
        self.0.listening.borrow().clone()
    }

    /// The addresses at which nobody could be reached, each once, up to 256 of them. The node tries them again by itself.
    #[must_use]
    pub fn unreached(&self) -> Unreached {
        Unreached::new(self.0.unreached.clone())
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
        Ok(Join::new(self.clone(), answered, progress))
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

    /// How the node is.
    ///
    /// # Errors
    /// The store's failure or [`NodeError::Closed`].
    pub async fn status(&self) -> Result<Status, NodeError> {
        match self.ask(Command::Status).await? {
            Answer::Status(status) => Ok(status),
            other => mismatch(&other),
        }
    }

    /// Verifies every block, signature, commitment and index that was here when it began, while the node goes on. It runs
    /// on a thread for blocking work; the store is let go when it is done.
    ///
    /// # Errors
    /// The store's failure or [`NodeError::Closed`].
    pub async fn check(&self) -> Result<CheckReport, NodeError> {
        let store = self.0.store.upgrade().ok_or(NodeError::Closed)?;
        let checking = tokio::task::spawn_blocking(move || walytis_offchain::check(store, &mut |_, _| {}));
        Ok(checking.await.map_err(|_| NodeError::Closed)??)
    }

    /// Accepts connections at an address. A port of 0 lets the system choose; [`Node::listening`] gives what it chose.
    ///
    /// # Errors
    /// [`NetworkError::Address`](crate::NetworkError::Address) if the address cannot be used or is taken,
    /// [`NodeError::Offline`] or [`NodeError::Closed`].
    pub async fn listen(&self, address: Address) -> Result<(), NodeError> {
        self.require_network()?;
        let (reply, answered) = oneshot::channel();
        self.request(Request::Listen(address, reply)).await?;
        Ok(self.answer(answered).await??)
    }

    /// The full addresses at which the node accepts connections, as they come up.
    #[must_use]
    pub fn listening(&self) -> Listening {
        Listening::new(self.0.listening.clone())
    }

    /// Connects to an address, and again whenever the connection is lost. Returns once dialling has begun.
    ///
    /// # Errors
    /// [`NetworkError::Address`](crate::NetworkError::Address) if it cannot be dialled at all, [`NodeError::Offline`] or
    /// [`NodeError::Closed`].
    pub async fn connect(&self, address: Address) -> Result<(), NodeError> {
        self.require_network()?;
        let (reply, answered) = oneshot::channel();
        let waiter = Waiter::Connect(address.clone(), reply);
        self.request(Request::Command(Command::Connect { address }, waiter)).await?;
        Ok(self.answer(answered).await??)
    }

    /// Stops the node: what was asked before is finished, except for joins under way, and later requests are refused
    /// as [`NodeError::Closed`]. When it returns, everything that was acknowledged is durable, and the store and the
    /// network have been let go.
    pub async fn shutdown(&self) {
        // If nobody takes it, the node is stopping already.
        let _ = self.0.requests.send(Request::Shutdown).await;
        let _ = self.stopped().await;
    }

    /// Waits until the node has stopped: `None` after a shutdown, otherwise why it stopped.
    pub async fn stopped(&self) -> Option<NodeError> {
        match self.0.ended.clone().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(End::Failed(error))) => Some(error.clone().into()),
            Ok(_) => None,
            Err(_) => Some(NodeError::BrokenOff),
        }
    }

    /// Asks the engine, and waits for the answer.
    pub(crate) async fn ask(&self, command: Command) -> Result<Answer, NodeError> {
        let (reply, answered) = oneshot::channel();
        self.request(Request::Command(command, Waiter::Answer(reply))).await?;
        Ok(self.answer(answered).await??)
    }

    /// A place for a request, which is then made without waiting.
    pub(crate) async fn place(&self) -> Result<mpsc::Permit<'_, Request>, NodeError> {
        match self.0.requests.reserve().await {
            Ok(place) => Ok(place),
            Err(_) => Err(self.why_stopped().await),
        }
    }

    /// What a task sends back; or why it does not.
    pub(crate) async fn answer<T>(&self, answered: oneshot::Receiver<T>) -> Result<T, NodeError> {
        match answered.await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.why_stopped().await),
        }
    }

    async fn request(&self, request: Request) -> Result<(), NodeError> {
        self.place().await?.send(request);
        Ok(())
    }

    async fn why_stopped(&self) -> NodeError {
        self.stopped().await.unwrap_or(NodeError::Closed)
    }

    fn require_network(&self) -> Result<(), NodeError> {
        if self.0.online { Ok(()) } else { Err(NodeError::Offline) }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.0.identity.peer)
    }
}

/// The engine answers each command with what its documentation says.
pub(crate) fn mismatch(answer: &Answer) -> ! {
    unreachable!("the engine answered another question: {:?}", std::mem::discriminant(answer))
}
