//! What passes between a node's handles and its task.

use std::sync::Arc;

use tokio::sync::{mpsc::UnboundedSender, oneshot, watch};
use walytis_core::{Address, NetworkError, Route};
use walytis_engine::public::KeptChain;
use walytis_engine::{Progress, Ticket};

use crate::chain_subscription::News;
#[cfg(feature = "offchain")]
use crate::delivery::{Deliveries, Missed};
use crate::machine::{Answer, Command, EngineError, Event};

/// What a handle asks for.
pub(crate) enum Request {
    /// Carry out a command.
    Command(Command, Waiter),
    /// Accept connections at an address.
    Listen(Address, NetworkReply),
    /// Say how connected peers are reached.
    Routes(oneshot::Sender<Vec<Route>>),
    /// Finish what was asked before, then stop.
    Shutdown,
}

/// Where the engine's answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Answer, EngineError>>;

/// Where the network's answer goes.
pub(crate) type NetworkReply = oneshot::Sender<Result<(), NetworkError>>;

/// Who waits for a command.
pub(crate) enum Waiter {
    /// Someone who wants the answer.
    Answer(Reply),
    /// Someone who wants to hear of progress, too.
    Progress(Reply, watch::Sender<Option<Progress>>),
    /// Someone who wants to know whether the network can dial the address at all.
    Connect(Address, NetworkReply),
    /// Someone who wants what arrives on a chain from now on, or to know that something did.
    Follower(oneshot::Sender<Result<(KeptChain, Subscribed), EngineError>>, Arc<News>),
    /// Someone who wants what arrives from now on.
    #[cfg(feature = "offchain")]
    Subscriber(oneshot::Sender<Result<Subscribed, EngineError>>, Arc<Deliveries>),
    /// A subscriber that is behind.
    #[cfg(feature = "offchain")]
    Behind(Missed, Arc<Deliveries>),
}

impl Waiter {
    /// Whether it waits for more than one answer.
    pub(crate) const fn follows(&self) -> bool {
        match self {
            Self::Follower(..) => true,
            #[cfg(feature = "offchain")]
            Self::Subscriber(..) => true,
            _ => false,
        }
    }
}

/// What the node's own parts tell its task. Their number is bounded by what the task or its handles have begun.
pub(crate) enum Notice {
    /// Something is done.
    Event(Event),
    /// Nobody listens to this subscription any more.
    Unsubscribe(Ticket),
}

/// A subscription, which ends when this is dropped.
pub(crate) struct Subscribed {
    pub(crate) ticket: Ticket,
    pub(crate) from: u64,
    pub(crate) notices: UnboundedSender<Notice>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        // If nobody hears it, the node has stopped.
        let _ = self.notices.send(Notice::Unsubscribe(self.ticket));
    }
}
