//! A node whose frames are counted.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use offchain_net::{Libp2pNetwork, NetConfig, TransportKey};
use offchain_store::{FileDisk, RedbStore, system_random};
use walytis_core::{BlockId, Header, Network, NetworkError, NetworkEvent, PeerId, Store, Timestamp};
use walytis_engine::public::PublicMessage;
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_node::{Address, Engine, Node, NodeOptions, Post, Posting};

pub(crate) const CHAIN: &str = "chain";
pub(crate) const IN_FLIGHT: usize = 64;

/// What is counted of frames.
#[derive(Default)]
struct Counts {
    /// Bytes of all frames, both ways.
    bytes: AtomicU64,
    /// Whether those that name parents are counted, too, which is work.
    reads: AtomicBool,
    /// Bytes of frames sent that name parents and previous blocks.
    of_parents: AtomicU64,
}

/// A network whose frames are counted.
struct Counted {
    below: Libp2pNetwork,
    counts: Arc<Counts>,
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
        self.counts.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
        if self.counts.reads.load(Ordering::Relaxed) {
            self.counts.of_parents.fetch_add(parent_bytes(&frame), Ordering::Relaxed);
        }
        self.below.send(peer, frame).await
    }

    async fn disconnect(&self, peer: PeerId) {
        self.below.disconnect(peer).await;
    }

    async fn next(&self) -> Option<NetworkEvent> {
        let event = self.below.next().await;
        if let Some(NetworkEvent::Frame { bytes, .. }) = &event {
            self.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        event
    }
}

/// How many bytes of a frame name parents and previous blocks: how much shorter it is with one parent in each block
/// that stands nowhere in the frame, and what that one takes.
fn parent_bytes(frame: &[u8]) -> u64 {
    // List or option of the one parent, none in the other, and the name of a block that is not in the frame: 1 + 32.
    const ONE_PARENT: usize = 1 + 1 + 33;
    let Some(Ok(PublicMessage::Sync(message))) = frame.get(1..).map(PublicMessage::decode) else { return 0 };
    let SyncMessage::Portion { chain, mut blocks, left } = message else { return 0 };
    let mut names_parents = 0;
    for WireBlock { block, .. } in &mut blocks {
        let mut header = Header::decode(&block.header).unwrap();
        if header.genesis.is_some() {
            continue;
        }
        names_parents += 1;
        let elsewhere = BlockId([0xff; 32]);
        (header.parents, header.previous) =
            if header.previous.is_some() { (Vec::new(), Some(elsewhere)) } else { (vec![elsewhere], None) };
        block.header = header.encode();
    }
    let without = PublicMessage::Sync(SyncMessage::Portion { chain, blocks, left }).frame();
    u64::try_from(frame.len() + names_parents * ONE_PARENT - without.len()).unwrap()
}

/// A node and what is around it.
pub(crate) struct Running {
    pub(crate) node: Node,
    network: Libp2pNetwork,
    counts: Arc<Counts>,
}

impl Running {
    /// Starts a node; `listens` on the loopback interface, or only dials.
    pub(crate) async fn start(folder: &Path, listens: bool) -> Self {
        let store = open(folder);
        let engine = Engine::open(Arc::clone(&store), now(), system_random().unwrap()).unwrap();
        let key = TransportKey::from_seed(engine.transport_seed());
        let network = Libp2pNetwork::start(key, NetConfig::default()).unwrap();
        let counts = Arc::new(Counts::default());
        let counted = Counted { below: network.clone(), counts: Arc::clone(&counts) };
        let node = Node::start(engine, store, Some(Arc::new(counted)), NodeOptions::default());
        if listens {
            let mut addresses = node.listening();
            node.listen(Address::new("/ip4/127.0.0.1/tcp/0").unwrap()).await.unwrap();
            addresses.next().await.unwrap();
        }
        Self { node, network, counts }
    }

    pub(crate) fn frame_bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Counts from now on what names parents in frames that are sent, or no more.
    pub(crate) fn read_frames(&self, reads: bool) {
        self.counts.reads.store(reads, Ordering::Relaxed);
    }

    pub(crate) fn parent_bytes(&self) -> u64 {
        self.counts.of_parents.load(Ordering::Relaxed)
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

/// Appends blocks, 64 under way.
pub(crate) async fn append(node: &Node, blocks: u64, bytes: usize) {
    let mut under_way = VecDeque::new();
    for _ in 0..blocks {
        if under_way.len() >= IN_FLIGHT
            && let Some(oldest) = under_way.pop_front()
        {
            Posting::durable(oldest).await.unwrap();
        }
        under_way.push_back(node.enqueue_to_chain(CHAIN, content(bytes)).await.unwrap());
    }
    for posting in under_way {
        posting.durable().await.unwrap();
    }
}

pub(crate) fn content(bytes: usize) -> Post {
    Post::new(vec![b'x'; bytes])
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}
