//! One node of a demonstration: its folder, its keys, its store, its sockets.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use offchain_net::{Libp2pNetwork, NetConfig, TransportKey};
use offchain_store::{FileDisk, RedbStore, STORE_FILE, system_random};
use tokio::sync::watch;
use walytis_core::{Keys, Rows, Table};
use walytis_node::{
    Address, BlockId, CheckReport, Delivery, Engine, Home, KdfCost, Listing, Node, NodeOptions, Store, Timestamp,
    Unlock,
};

use super::search::Search;
use super::tap::Tap;

/// Where each node listens: over TCP and QUIC, at ports that the system chooses.
const PLACES: [&str; 2] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];

/// How a node keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtRest {
    Sealed,
    /// For showing that the check sees it.
    Unsealed,
}

/// The folder of a node, which outlasts it.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    at_rest: AtRest,
    unlock: Unlock,
}

impl Folder {
    /// Makes a device and its user in a folder.
    pub(super) fn create(path: PathBuf, at_rest: AtRest) -> anyhow::Result<Self> {
        let unlock = Unlock::key(rand::random());
        let folder = Self { path, at_rest, unlock };
        match at_rest {
            AtRest::Sealed => drop(Home::create(&folder.path, &folder.unlock, KdfCost::DEFAULT)?),
            AtRest::Unsealed => {
                std::fs::create_dir_all(&folder.path)?;
                File::create_new(folder.store_file())?;
                Engine::create(&folder.open()?, now(), &mut *system_random()?)?;
            }
        }
        Ok(folder)
    }

    /// Opens the store.
    pub(super) fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match self.at_rest {
            AtRest::Sealed => Arc::new(offchain_store::open(&self.path, &self.unlock)?),
            AtRest::Unsealed => Arc::new(RedbStore::on_disk(FileDisk::open(&self.store_file())?)?),
        })
    }

    /// Verifies all that the store holds.
    pub(super) fn check(&self) -> anyhow::Result<CheckReport> {
        Ok(match self.at_rest {
            AtRest::Sealed => Home::open(&self.path, &self.unlock)?.check(&mut |_, _| {})?,
            AtRest::Unsealed => walytis_offchain::check(self.open()?, &mut |_, _| {})?,
        })
    }

    /// Changes the last byte of a content, and seals it again.
    pub(super) fn change_content(&self, block: BlockId) -> anyhow::Result<()> {
        let table = Table { name: "offchain.contents", keys: Keys::Hidden, rows: Rows::Permanent };
        let store = self.open()?;
        let mut content = store.get(table, &block.0)?.context("the content is not there")?;
        let last = content.last_mut().context("the content is empty")?;
        *last ^= 1;
        let mut batch = walytis_core::Batch::new();
        batch.put(table, block.0, content);
        store.commit(&batch)?;
        Ok(())
    }

    /// The file of the records.
    pub(super) fn store_file(&self) -> PathBuf {
        self.path.join(STORE_FILE)
    }
}

/// A running node.
pub(super) struct Member {
    pub(super) folder: Folder,
    pub(super) node: Node,
    pub(super) tap: Arc<Tap>,
    /// Where it can be dialled.
    pub(super) addresses: Vec<Address>,
    /// How many blocks it was given to post.
    pub(super) posted: AtomicUsize,
    /// How many blocks are here with their contents.
    pub(super) held: watch::Receiver<usize>,
    hold: watch::Sender<usize>,
}

impl Member {
    /// Makes a node and starts it.
    pub(super) async fn start(path: &Path, at_rest: AtRest, search: Arc<Search>) -> anyhow::Result<Self> {
        let path = path.to_path_buf();
        let folder = tokio::task::spawn_blocking(move || Folder::create(path, at_rest)).await??;
        let store = folder.open()?;
        let engine = Engine::open(Arc::clone(&store), now(), system_random()?)?;
        let network = Libp2pNetwork::start(TransportKey::from_seed(engine.transport_seed()), NetConfig::default())?;
        let tap = Arc::new(Tap::new(network, search));
        let node = Node::start(engine, store, Some(Arc::<Tap>::clone(&tap)), NodeOptions::default());
        let mut listening = node.listening();
        let mut addresses = Vec::new();
        for place in PLACES {
            node.listen(Address::new(place).context("an address is too long")?).await?;
            addresses.push(listening.next().await.context("the node stopped")?);
        }
        let (hold, held) = watch::channel(0);
        Ok(Self { folder, node, tap, addresses, posted: AtomicUsize::new(0), held, hold })
    }

    /// Counts the blocks of a group as they arrive, for as long as the node runs.
    pub(super) async fn count(&self, group: &str) -> anyhow::Result<()> {
        let mut subscription = self.node.subscribe(group).await?;
        let listing = Listing { topic: None, below: Some(subscription.from()) };
        let mut pager = self.node.list(group, listing);
        let mut held = BTreeSet::new();
        while let Some(page) = pager.next_page().await? {
            held.extend(page.into_iter().filter(|entry| entry.content.is_some()).map(|entry| entry.id));
        }
        let hold = self.hold.clone();
        hold.send_replace(held.len());
        tokio::spawn(async move {
            while let Some(delivery) = subscription.next().await {
                if let Delivery::Block(entry) | Delivery::Content(entry) = delivery
                    && entry.content.is_some()
                    && held.insert(entry.id)
                {
                    hold.send_replace(held.len());
                }
            }
        });
        Ok(())
    }

    /// The group's blocks in their order: ids and contents.
    pub(super) async fn list(&self, group: &str) -> anyhow::Result<Vec<(BlockId, Option<Vec<u8>>)>> {
        let mut pager = self.node.list(group, Listing::default());
        let mut blocks = Vec::new();
        while let Some(page) = pager.next_page().await? {
            blocks.extend(page.into_iter().map(|entry| (entry.id, entry.content.map(|content| content.bytes))));
        }
        Ok(blocks)
    }

    /// Stops the node. Its folder stays.
    pub(super) async fn stop(&self) {
        self.node.shutdown().await;
        self.tap.close().await;
    }
}

/// Waits until so many blocks are here, but no longer than `patience` without another. Gives the moment.
pub(super) async fn wait_for(mut held: watch::Receiver<usize>, blocks: usize, patience: Duration) -> Option<Instant> {
    while *held.borrow_and_update() < blocks {
        tokio::time::timeout(patience, held.changed()).await.ok()?.ok()?;
    }
    Some(Instant::now())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
