//! A node whose frames are counted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use offchain_net::{Libp2pNetwork, NetConfig, TransportKey};
use offchain_store::{FileDisk, RedbStore, system_random};
use walytis_core::{Network, NetworkError, NetworkEvent, PeerId, Store, Timestamp};
use walytis_node::{Address, Engine, Node, NodeOptions};

/// A network that counts the bytes of frames, both ways.
struct Counted {
    below: Libp2pNetwork,
    bytes: Arc<AtomicU64>,
}

#[async_trait::async_trait]
impl Network for Counted {
    fn local_peer(&self) -> PeerId {
        self.below.local_peer()
    }

    async fn listen(&self, address: Address) -> Result<(), NetworkError> {
        self.below.listen(address).await
    }

    async fn dial(&self, address: Address) -> Result<(), NetworkError> {
        self.below.dial(address).await
    }

    async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError> {
        self.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
        self.below.send(peer, frame).await
    }

    async fn disconnect(&self, peer: PeerId) {
        self.below.disconnect(peer).await;
    }

    async fn next(&self) -> Option<NetworkEvent> {
        let event = self.below.next().await;
        if let Some(NetworkEvent::Frame { bytes, .. }) = &event {
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        event
    }
}

/// A node and what is around it.
pub(crate) struct Running {
    pub(crate) node: Node,
    network: Libp2pNetwork,
    bytes: Arc<AtomicU64>,
}

impl Running {
    /// Starts a node; `listens` on the loopback interface, or only dials.
    pub(crate) async fn start(folder: &Path, listens: bool) -> Self {
        let store = open(folder);
        let engine = Engine::open(Arc::clone(&store), now(), system_random().unwrap()).unwrap();
        let key = TransportKey::from_seed(engine.transport_seed());
        let network = Libp2pNetwork::start(key, NetConfig::default()).unwrap();
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted { below: network.clone(), bytes: Arc::clone(&bytes) };
        let node = Node::start(engine, store, Some(Arc::new(counted)), NodeOptions::default());
        if listens {
            let mut addresses = node.listening();
            node.listen(Address::new("/ip4/127.0.0.1/tcp/0").unwrap()).await.unwrap();
            addresses.next().await.unwrap();
        }
        Self { node, network, bytes }
    }

    pub(crate) fn frame_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) {
        self.node.shutdown().await;
        self.network.close().await;
    }
}

/// The store, with a device in it.
pub(crate) fn open(folder: &Path) -> Arc<dyn Store> {
    let (path, is_new) = (folder.join("store.redb"), !folder.exists());
    if is_new {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::File::create_new(&path).unwrap();
    }
    let store: Arc<dyn Store> = Arc::new(RedbStore::on_disk(FileDisk::open(&path).unwrap()).unwrap());
    if is_new {
        Engine::create(&store, now(), &mut *system_random().unwrap()).unwrap();
    }
    store
}

/// A node without a network, to write while nobody hears it.
pub(crate) fn offline(folder: &Path) -> Node {
    let store = open(folder);
    let engine = Engine::open(Arc::clone(&store), now(), system_random().unwrap()).unwrap();
    Node::start(engine, store, None, NodeOptions::default())
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}
