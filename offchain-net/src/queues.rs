//! The queues between callers and sessions, each bounded in bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use walytis_core::{FRAME_BYTES_MAX, Merit, NetworkError, NetworkEvent, PeerId};

use crate::budget::{Budget, ENTRY_BYTES, INBOUND, OUTBOUND, Paid, Purse, Standing, price};
use crate::origin::Prefix;

/// Bytes to one peer that may wait in our queue: two of the longest frames, so that one can be written while the next
/// is made.
pub(crate) const OUTBOUND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of events beside frames that may wait for the caller, over all peers: 4,096 events.
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

const _: () = assert!(FRAME_BYTES_MAX + ENTRY_BYTES <= OUTBOUND_BYTES_MAX && ENTRY_BYTES <= EVENT_BYTES_MAX);

/// Takes the price of `bytes` from a budget, waiting for it; `None` once the budget is closed. Waiters are served in
/// order.
async fn pay(budget: &Arc<Semaphore>, bytes: usize) -> Option<Paid> {
    Arc::clone(budget).acquire_many_owned(price(bytes)).await.ok().map(Paid::one)
}

/// Where events come out.
pub(crate) type EventReceiver = UnboundedReceiver<(NetworkEvent, Option<Paid>)>;

/// Where events go in. The channel has no bound of its own: what peers cause is paid for from the budget first.
#[derive(Clone)]
pub(crate) struct Events {
    sender: UnboundedSender<(NetworkEvent, Option<Paid>)>,
    budget: Arc<Semaphore>,
}

impl Events {
    pub(crate) fn new() -> (Self, EventReceiver) {
        let (sender, receiver) = unbounded_channel();
        (Self { sender, budget: Arc::new(Semaphore::new(EVENT_BYTES_MAX)) }, receiver)
    }

    /// Queues that a peer has come or gone, waiting while too many such events are queued.
    pub(crate) async fn push(&self, event: NetworkEvent) {
        let paid = pay(&self.budget, 0).await;
        // Sending fails when nobody can ask for events any more.
        let _ = self.sender.send((event, paid));
    }

    /// Queues a frame that has been paid for.
    pub(crate) fn push_frame(&self, peer: PeerId, bytes: Vec<u8>, paid: Paid) {
        let _ = self.sender.send((NetworkEvent::Frame { peer, bytes }, Some(paid)));
    }

    /// Queues what our own caller caused: at most one event for each call of its own, so it needs no bound here.
    pub(crate) fn push_now(&self, event: NetworkEvent) {
        let _ = self.sender.send((event, None));
    }
}

/// A frame on its way to a session, with what was paid for it from the peer's budget and from all peers', which is given back
/// when it is written.
pub(crate) type QueuedFrame = (Vec<u8>, [Paid; 2]);

/// The way to one connected peer.
#[derive(Clone)]
struct Outbound {
    queue: UnboundedSender<QueuedFrame>,
    budget: Arc<Semaphore>,
    purse: Purse,
    standing: watch::Sender<Standing>,
}

/// The peers that can be sent frames now.
pub(crate) struct Registry {
    peers: Mutex<Peers>,
    inbound: Arc<Budget>,
    outbound: Arc<Budget>,
}

impl Default for Registry {
    fn default() -> Self {
        let [inbound, outbound] = [INBOUND, OUTBOUND].map(|limits| Arc::new(Budget::new(limits)));
        Self { peers: Mutex::default(), inbound, outbound }
    }
}

#[derive(Default)]
struct Peers {
    outbound: HashMap<PeerId, Outbound>,
    closed: bool,
}

impl Registry {
    /// Makes a peer sendable that comes from there, and gives the queue of what is sent to it and what it pays from for what
    /// it sends.
    pub(crate) fn add(&self, peer: PeerId, from: Prefix, merit: Merit) -> (UnboundedReceiver<QueuedFrame>, Purse) {
        let (queue, frames) = unbounded_channel();
        let budget = Arc::new(Semaphore::new(OUTBOUND_BYTES_MAX));
        let (standing, given) = watch::channel(merit.into());
        let (inbound, purse) = (self.inbound.purse(from, given.clone()), self.outbound.purse(from, given));
        self.lock().outbound.insert(peer, Outbound { queue, budget, purse, standing });
        (frames, inbound)
    }

    /// Notes what a peer has earned, if it is connected.
    pub(crate) fn set_merit(&self, peer: PeerId, merit: Merit) {
        if let Some(outbound) = self.lock().outbound.get(&peer) {
            outbound.standing.send_replace(merit.into());
        }
    }

    /// Whether a peer can be sent frames.
    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.lock().outbound.contains_key(&peer)
    }

    /// Makes a peer unsendable. Those who wait to send to it learn so.
    pub(crate) fn remove(&self, peer: PeerId) {
        if let Some(outbound) = self.lock().outbound.remove(&peer) {
            outbound.close();
        }
    }

    /// Makes every peer unsendable for good.
    pub(crate) fn close(&self) {
        let mut peers = self.lock();
        peers.closed = true;
        for (_, outbound) in peers.outbound.drain() {
            outbound.close();
        }
    }

    /// Queues a frame to a peer, waiting while too many bytes to it are queued.
    pub(crate) async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(NetworkError::TooLong { bytes: frame.len() });
        }
        let outbound = {
            let peers = self.lock();
            peers.outbound.get(&peer).cloned().ok_or_else(|| peers.missing(peer))?
        };
        let own = pay(&outbound.budget, frame.len()).await;
        let shared = if own.is_some() { outbound.purse.pay(frame.len()).await } else { None };
        let sent = own.zip(shared).map(|(own, shared)| outbound.queue.send((frame, [own, shared])));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(self.lock().missing(peer)) }
    }

    fn lock(&self) -> MutexGuard<'_, Peers> {
        // Nothing inside can panic halfway.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbound {
    /// Nobody waits any more to send there.
    fn close(&self) {
        self.budget.close();
        self.standing.send_replace(Standing::Gone);
    }
}

impl Peers {
    fn missing(&self, peer: PeerId) -> NetworkError {
        if self.closed { NetworkError::Closed } else { NetworkError::NotConnected { peer } }
    }
}
