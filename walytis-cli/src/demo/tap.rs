//! Between a node and its transport.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use offchain_net::Libp2pNetwork;
use walytis_core::{Address, Network, NetworkError, NetworkEvent, PeerId};

use super::search::Search;

/// A network that is looked at, and can be cut off.
pub(super) struct Tap {
    inner: Libp2pNetwork,
    search: Arc<Search>,
    cut_off: AtomicBool,
    withholds: AtomicBool,
    /// Peers of which the node was told that they are connected.
    connected: Mutex<BTreeSet<PeerId>>,
    leaks: Mutex<Vec<String>>,
    frames: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Tap {
    pub(super) fn new(inner: Libp2pNetwork, search: Arc<Search>) -> Self {
        Self {
            inner,
            search,
            cut_off: AtomicBool::new(false),
            withholds: AtomicBool::new(false),
            connected: Mutex::default(),
            leaks: Mutex::default(),
            frames: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// Ends every connection, and lets none arise.
    pub(super) async fn cut_off(&self) {
        self.cut_off.store(true, Ordering::SeqCst);
        let connected: Vec<PeerId> = self.connected().iter().copied().collect();
        for peer in connected {
            self.inner.disconnect(peer).await;
        }
    }

    /// Lets connections arise again.
    pub(super) fn come_back(&self) {
        self.cut_off.store(false, Ordering::SeqCst);
    }

    /// From now on frames are taken, and sent nowhere.
    pub(super) fn withhold(&self) {
        self.withholds.store(true, Ordering::SeqCst);
    }

    /// Ends the transport.
    pub(super) async fn close(&self) {
        self.inner.close().await;
    }

    /// A peer to which a frame can be sent now.
    pub(super) fn any_peer(&self) -> Option<PeerId> {
        self.connected().first().copied()
    }

    /// What was seen in frames.
    pub(super) fn leaks(&self) -> Vec<String> {
        self.leaks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many frames were looked at.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes of frames that were sent, and of frames that came.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    fn connected(&self) -> std::sync::MutexGuard<'_, BTreeSet<PeerId>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Network for Tap {
    fn local_peer(&self) -> PeerId {
        self.inner.local_peer()
    }

    async fn listen(&self, address: Address) -> Result<(), NetworkError> {
        self.inner.listen(address).await
    }

    async fn dial(&self, address: Address) -> Result<(), NetworkError> {
        if self.is_cut_off() {
            return Err(NetworkError::Address { address, reason: "this node is cut off".to_owned() });
        }
        self.inner.dial(address).await
    }

    async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError> {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
        if let Some(found) = self.search.find(&frame) {
            self.leaks.lock().unwrap_or_else(PoisonError::into_inner).push(found);
        }
        if self.is_cut_off() {
            return Err(NetworkError::NotConnected { peer });
        }
        if self.withholds.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.inner.send(peer, frame).await
    }

    async fn disconnect(&self, peer: PeerId) {
        self.inner.disconnect(peer).await;
    }

    async fn next(&self) -> Option<NetworkEvent> {
        loop {
            let event = self.inner.next().await?;
            match &event {
                NetworkEvent::Connected { peer, .. } if self.is_cut_off() => {
                    self.inner.disconnect(*peer).await;
                    continue;
                }
                NetworkEvent::Connected { peer, .. } => drop(self.connected().insert(*peer)),
                // Of connections that it was not told of, the node does not hear.
                NetworkEvent::Disconnected { peer } if !self.connected().remove(peer) => continue,
                NetworkEvent::Frame { peer, bytes } => {
                    if !self.connected().contains(peer) {
                        continue;
                    }
                    self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                _ => {}
            }
            return Some(event);
        }
    }
}
