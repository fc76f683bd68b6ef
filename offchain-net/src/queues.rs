//! The queues between callers and sessions, each bounded in bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use walytis_core::{FRAME_BYTES_MAX, NetworkError, NetworkEvent, PeerId};

/// Bytes to one peer that may wait in our queue: two of the longest frames, so that one can be written while the next
/// is made.
pub(crate) const OUTBOUND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of events that may wait for the caller, over all peers. Sessions queue up fairly for a share, so one peer that
/// floods us does not starve the others.
pub(crate) const INBOUND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an event or a queued frame costs beside its bytes. It bounds how many small ones can wait: 65,536 events, and
/// 16,384 frames to a peer.
pub(crate) const ENTRY_BYTES: usize = 256;

const _: () = assert!(FRAME_BYTES_MAX + ENTRY_BYTES <= OUTBOUND_BYTES_MAX && OUTBOUND_BYTES_MAX <= INBOUND_BYTES_MAX);

/// Takes the price of `bytes` from a budget, waiting for it; `None` once the budget is closed. Waiters are served in
/// order.
async fn pay(budget: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let price = u32::try_from(bytes.saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX);
    Arc::clone(budget).acquire_many_owned(price).await.ok()
}

/// Where events come out.
pub(crate) type EventReceiver = UnboundedReceiver<(NetworkEvent, Option<OwnedSemaphorePermit>)>;

/// Where events go in. The channel has no bound of its own: what peers cause is paid for from the budget first.
#[derive(Clone)]
pub(crate) struct Events {
    sender: UnboundedSender<(NetworkEvent, Option<OwnedSemaphorePermit>)>,
    budget: Arc<Semaphore>,
}

impl Events {
    pub(crate) fn new() -> (Self, EventReceiver) {
        let (sender, receiver) = unbounded_channel();
        (Self { sender, budget: Arc::new(Semaphore::new(INBOUND_BYTES_MAX)) }, receiver)
    }

    /// Queues what a peer caused, waiting while too many bytes are queued.
    pub(crate) async fn push(&self, event: NetworkEvent) {
        let bytes = if let NetworkEvent::Frame { bytes, .. } = &event { bytes.len() } else { 0 };
        let permit = pay(&self.budget, bytes).await;
        // Sending fails when nobody can ask for events any more.
        let _ = self.sender.send((event, permit));
    }

    /// Queues what our own caller caused: at most one event for each call of its own, so it needs no bound here.
    pub(crate) fn push_now(&self, event: NetworkEvent) {
        let _ = self.sender.send((event, None));
    }
}

/// A frame on its way to a session, with its share of the peer's budget, which is given back when it is written.
pub(crate) type QueuedFrame = (Vec<u8>, OwnedSemaphorePermit);

/// The way to one connected peer.
#[derive(Clone)]
struct Outbound {
    queue: UnboundedSender<QueuedFrame>,
    budget: Arc<Semaphore>,
}

/// The peers that can be sent frames now.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Peers>);

#[derive(Default)]
struct Peers {
    outbound: HashMap<PeerId, Outbound>,
    closed: bool,
}

impl Registry {
    /// Makes a peer sendable, and gives the queue of what is sent to it.
    pub(crate) fn add(&self, peer: PeerId) -> UnboundedReceiver<QueuedFrame> {
        let (queue, frames) = unbounded_channel();
        let budget = Arc::new(Semaphore::new(OUTBOUND_BYTES_MAX));
        self.lock().outbound.insert(peer, Outbound { queue, budget });
        frames
    }

    /// Whether a peer can be sent frames.
    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.lock().outbound.contains_key(&peer)
    }

    /// Makes a peer unsendable. Those who wait to send to it learn so.
    pub(crate) fn remove(&self, peer: PeerId) {
        if let Some(outbound) = self.lock().outbound.remove(&peer) {
            outbound.budget.close();
        }
    }

    /// Makes every peer unsendable for good.
    pub(crate) fn close(&self) {
        let mut peers = self.lock();
        peers.closed = true;
        for (_, outbound) in peers.outbound.drain() {
            outbound.budget.close();
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
        let permit = pay(&outbound.budget, frame.len()).await;
        let sent = permit.map(|permit| outbound.queue.send((frame, permit)));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(self.lock().missing(peer)) }
    }

    fn lock(&self) -> MutexGuard<'_, Peers> {
        // Nothing inside can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    fn missing(&self, peer: PeerId) -> NetworkError {
        if self.closed { NetworkError::Closed } else { NetworkError::NotConnected { peer } }
    }
}
