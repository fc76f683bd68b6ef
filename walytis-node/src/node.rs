//! The handle by which an application uses a node.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "offchain")]
use std::sync::Weak;

use tokio::sync::{mpsc, oneshot, watch};
use walytis_core::{Address, Network, OtherProtocol, PeerId, Store};

use crate::error::NodeError;
#[cfg(feature = "offchain")]
use crate::listening::RefusedJoins;
use crate::listening::{Fullness, Listening, OtherProtocols, Unreached};
use crate::machine::{Answer, Command, Engine, EngineError, Status, is_no_inviter};
use crate::options::NodeOptions;
use crate::peers::{self, PeerDetails};
use crate::request::{Request, Waiter};
use crate::shell::{Channels, End, Shell};

/// Requests that may wait for the node's task. Callers wait for their answers, so this is how many can ask at once
/// without waiting for a place.
const REQUESTS_MAX: usize = 256;

/// What is done once a node has let go of its network.
pub(crate) type Afterwards = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a node has beside its engine, its store and its network.
#[derive(Default)]
pub(crate) struct Beside {
    /// Waited for at the end.
    pub(crate) afterwards: Option<Afterwards>,
    /// Where the store's disk has room for deleting.
    #[cfg(feature = "redb")]
    pub(crate) room: Option<crate::room::Room>,
}

/// A running node. Clones are handles of the same node, and so are the joins, listings and subscriptions that it gives;
/// when the last one is dropped, the node stops as by [`Node::shutdown`]. All methods can be called from many tasks at once.
#[derive(Clone)]
pub struct Node(Arc<Handle>);

pub(crate) struct Handle {
    peer: PeerId,
    #[cfg(feature = "offchain")]
    pub(crate) identity: walytis_offchain::Identity,
    /// The task's: it is let go when the node has stopped, whoever still has a handle.
    #[cfg(feature = "offchain")]
    pub(crate) store: Weak<dyn Store>,
    #[cfg(feature = "redb")]
    pub(crate) room: Option<crate::room::Room>,
    online: bool,
    requests: mpsc::Sender<Request>,
    listening: watch::Receiver<Vec<(u64, Address)>>,
    unreached: watch::Receiver<Vec<(Address, String)>>,
    #[cfg(feature = "offchain")]
    refused: watch::Receiver<Vec<(u64, walytis_offchain::RefusedJoin)>>,
    others: watch::Receiver<Vec<(u64, OtherProtocol)>>,
    full: watch::Receiver<Option<String>>,
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
        Self::start_then(engine, store, network, &options, Beside::default())
    }

    /// As [`Node::start`], with what else the node has.
    pub(crate) fn start_then(
        engine: Engine,
        store: Arc<dyn Store>,
        network: Option<Arc<dyn Network>>,
        options: &NodeOptions,
        beside: Beside,
    ) -> Self {
        let (requests, requested) = mpsc::channel(REQUESTS_MAX);
        let (notify, noticed) = mpsc::unbounded_channel();
        let (tell_listening, listening) = watch::channel(Vec::new());
        let (tell_unreached, unreached) = watch::channel(Vec::new());
        #[cfg(feature = "offchain")]
        let (tell_refused, refused) = watch::channel(Vec::new());
        let (tell_others, others) = watch::channel(Vec::new());
        let (tell_full, full) = watch::channel(None);
        let (tell_end, ended) = watch::channel(None);
        let handle = Handle {
            peer: engine.peer(),
            #[cfg(feature = "offchain")]
            identity: engine.identity(),
            #[cfg(feature = "offchain")]
            store: Arc::downgrade(&store),
            #[cfg(feature = "redb")]
            room: beside.room,
            online: network.is_some(),
            requests,
            listening,
            unreached,
            #[cfg(feature = "offchain")]
            refused,
            others,
            full,
            ended,
        };
        let channels = Channels {
            requests: requested,
            notices: noticed,
            notify,
            listening: tell_listening,
            unreached: tell_unreached,
            #[cfg(feature = "offchain")]
            refused: tell_refused,
            others: tell_others,
            full: tell_full,
        };
        let shell = Shell::new(engine, store, network.clone(), options, channels);
        tokio::spawn(async move {
            let end = shell.run(network).await;
            if let Some(afterwards) = beside.afterwards {
                afterwards.await;
            }
            tell_end.send_replace(Some(end));
        });
        Self(Arc::new(handle))
    }

    /// The key by which the transport knows this node.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// Where the node accepts connections, as far as it is known now.
    #[cfg(all(feature = "redb", feature = "libp2p"))]
    pub(crate) fn known_addresses(&self) -> Vec<Address> {
        self.0.listening.borrow().iter().map(|(_, address)| address.clone()).collect()
    }

    /// The addresses at which nobody could be reached, each once, up to 256 of them. The node tries them again by itself.
    #[must_use]
    pub fn unreached(&self) -> Unreached {
        Unreached::new(self.0.unreached.clone())
    }

    /// Joiners whom the node did not admit to a group, and why: each with each reason once, up to 64 of them.
    #[cfg(feature = "offchain")]
    #[must_use]
    pub fn refused_joins(&self) -> RefusedJoins {
        RefusedJoins::new(self.0.refused.clone())
    }

    /// Peers that speak a protocol of another number than this build, each once, up to 64 of them: those that this node dialled,
    /// and those that have earned something ([`Merit`](walytis_core::Merit)). Of strangers nothing is told. Nothing can be
    /// exchanged with any of them until one side has a newer build.
    #[must_use]
    pub fn other_protocols(&self) -> OtherProtocols {
        OtherProtocols::new(self.0.others.clone())
    }

    /// Whether the store has room, and each change of that.
    #[must_use]
    pub fn fullness(&self) -> Fullness {
        Fullness::new(self.0.full.clone())
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

    /// The peers that are connected, and those that are remembered: how each was found and is reached, in the order of
    /// their keys.
    ///
    /// # Errors
    /// The store's failure or [`NodeError::Closed`].
    pub async fn peers(&self) -> Result<Vec<PeerDetails>, NodeError> {
        let known = match self.ask(Command::Peers).await? {
            Answer::Peers(known) => known,
            other => mismatch(&other),
        };
        let (reply, answered) = oneshot::channel();
        self.request(Request::Routes(reply)).await?;
        Ok(peers::together(known, self.answer(answered).await?))
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

    #[cfg(any(feature = "offchain", feature = "redb"))]
    pub(crate) fn handle(&self) -> &Handle {
        &self.0
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

    pub(crate) async fn request(&self, request: Request) -> Result<(), NodeError> {
        self.place().await?.send(request);
        Ok(())
    }

    /// Why a join failed, in better words where nobody answers since one of those who were asked speaks another protocol.
    pub(crate) fn why_not_joined(&self, inviters: &[PeerId], error: EngineError) -> NodeError {
        match self.0.others.borrow().iter().find(|(_, other)| inviters.contains(&other.peer)) {
            Some((_, other)) if is_no_inviter(&error) => NodeError::OtherProtocol(*other),
            _ => error.into(),
        }
    }

    async fn why_stopped(&self) -> NodeError {
        self.stopped().await.unwrap_or(NodeError::Closed)
    }

    pub(crate) fn require_network(&self) -> Result<(), NodeError> {
        if self.0.online { Ok(()) } else { Err(NodeError::Offline) }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.0.peer)
    }
}

/// The engine answers each command with what its documentation says.
pub(crate) fn mismatch<A>(answer: &A) -> ! {
    unreachable!("the engine answered another question: {:?}", std::mem::discriminant(answer))
}
