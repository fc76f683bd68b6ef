//! What is acknowledged is there; what fails says so.

use std::sync::{Arc, Mutex};

use offchain_store::{RedbStore, SealedStore, system_random};
use walytis_core::{Batch, ID_PREFIX_BYTES, KeyRange, Record, Table};
use walytis_node::{
    Committer, Engine, EngineError, History, Home, KdfCost, Node, NodeError, NodeOptions, OpenError, Store, StoreError,
    Timestamp,
};

use crate::kit::{TestHome, follow, group_of, list, until_has, within};

/// A home's store that notes which tables each commit writes, and can be told to fail.
struct Watched {
    store: SealedStore<RedbStore>,
    commits: Mutex<Vec<Vec<&'static str>>>,
    fails_after: Mutex<Option<usize>>,
}

impl Watched {
    fn open(home: &TestHome) -> Arc<Self> {
        let store = offchain_store::open(home.path(), &TestHome::unlock()).unwrap();
        Arc::new(Self { store, commits: Mutex::default(), fails_after: Mutex::default() })
    }

    fn commits(&self) -> Vec<Vec<&'static str>> {
        std::mem::take(&mut *self.commits.lock().unwrap())
    }
}

impl Store for Watched {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(table, key)
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.store.scan(table, range, limit)
    }

    fn by_prefix(
        &self,
        table: Table,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.by_prefix(table, clear, first, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(left) = &mut *self.fails_after.lock().unwrap() {
            *left = left.checked_sub(1).ok_or_else(|| StoreError::Full { reason: "by the test".to_owned() })?;
        }
        let mut tables: Vec<&str> = batch.changes().iter().map(|change| change.table().name).collect();
        tables.sort_unstable();
        tables.dedup();
        self.commits.lock().unwrap().push(tables);
        self.store.commit(batch)
    }
}

fn start(store: &Arc<Watched>, committer: Committer) -> Node {
    let store = Arc::clone(store) as Arc<dyn Store>;
    let engine = Engine::open(Arc::clone(&store), Timestamp(1), system_random().unwrap()).unwrap();
    let mut options = NodeOptions::default();
    options.committer = committer;
    Node::start(engine, store, None, options)
}

#[tokio::test]
async fn header_and_sealed_content_are_one_commit() {
    let home = TestHome::create();
    for committer in [Committer::Thread, Committer::Inline] {
        let store = Watched::open(&home);
        let node = start(&store, committer);
        node.new_group(&format!("{committer:?}"), History::All).await.unwrap();
        node.post(&format!("{committer:?}"), "the first may begin an epoch").await.unwrap();
        store.commits();
        node.post(&format!("{committer:?}"), "the second only writes").await.unwrap();
        let commits = store.commits();
        assert_eq!(commits.len(), 1, "{commits:?}");
        for table in ["core.blocks", "core.ids", "core.order", "offchain.contents"] {
            assert!(commits[0].contains(&table), "{table} is not in {commits:?}");
        }
        node.shutdown().await;
    }

    // Whatever the commit at which the disk fails: no header without its content, and nothing acknowledged is lost.
    for fails_after in [0, 1, 2, 7] {
        for committer in [Committer::Thread, Committer::Inline] {
            let store = Watched::open(&home);
            let node = start(&store, committer);
            let before = list(&node, "Thread").await.len();
            *store.fails_after.lock().unwrap() = Some(fails_after);
            let mut acknowledged = Vec::new();
            let failure = loop {
                match within(node.post("Thread", "once more")).await {
                    Ok(id) => acknowledged.push(id),
                    Err(error) => break error,
                }
            };
            assert!(matches!(&failure, NodeError::Engine(_)), "{failure:?}");
            let why = within(node.stopped()).await.expect("the store failed");
            assert!(why.to_string().contains("by the test"), "{why}");
            let later = within(node.post("Thread", "too late")).await;
            assert!(matches!(later, Err(NodeError::Engine(_))), "{later:?}");
            drop((node, store));

            let node = home.open().offline().unwrap();
            let entries = list(&node, "Thread").await;
            assert_eq!((acknowledged.len(), entries.len()), (fails_after, before + fails_after));
            assert!(entries.iter().all(|entry| entry.content.is_some()));
            assert!(acknowledged.iter().all(|id| entries.iter().any(|entry| entry.id == *id)));
            node.shutdown().await;
            assert_eq!(home.problems(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn posts_in_flight_share_commits_and_none_that_is_acknowledged_is_lost() {
    let home = TestHome::create();
    let store = Watched::open(&home);
    let node = start(&store, Committer::Thread);
    node.new_group("g", History::All).await.unwrap();
    *store.fails_after.lock().unwrap() = Some(5);
    let mut posts = tokio::task::JoinSet::new();
    for number in 0..256 {
        let node = node.clone();
        posts.spawn(async move { node.post("g", format!("{number}")).await });
    }
    let mut acknowledged = Vec::new();
    while let Some(posted) = within(posts.join_next()).await {
        acknowledged.extend(posted.unwrap());
    }
    if acknowledged.len() < 256 {
        assert!(within(node.stopped()).await.is_some());
    }
    node.shutdown().await;
    drop((node, store));

    let node = home.open().offline().unwrap();
    let kept = list(&node, "g").await;
    assert!(acknowledged.iter().all(|id| kept.iter().any(|entry| entry.id == *id)));
    assert!(kept.iter().all(|entry| entry.content.is_some()));
    node.shutdown().await;
    assert_eq!(home.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_home_is_held_until_its_node_is_shut_down() {
    let homes = [TestHome::create(), TestHome::create()];
    let (alice, bob) = (homes[0].serve().await, homes[1].serve().await);
    group_of("g", &alice, &[&bob]).await;
    let mut arriving = bob.subscribe("g").await.unwrap();
    let in_use =
        || matches!(Home::open(homes[0].path(), &TestHome::unlock()), Err(NodeError::Open(OpenError::InUse { .. })));
    assert!(in_use());
    let exists = Home::create(homes[0].path(), &TestHome::unlock(), KdfCost::MINIMUM);
    assert!(matches!(exists, Err(NodeError::Open(OpenError::Exists { .. }))), "{exists:?}");

    // What was asked before a shutdown is done; what is asked later is refused.
    let early = tokio::spawn({
        let alice = alice.clone();
        async move { alice.post("g", "before").await }
    });
    while !early.is_finished() {
        tokio::task::yield_now().await;
    }
    alice.shutdown().await;
    let id = early.await.unwrap().unwrap();
    assert!(!in_use());
    let late = alice.post("g", "after").await;
    assert!(matches!(late, Err(NodeError::Closed)), "{late:?}");
    assert!(alice.stopped().await.is_none());
    alice.shutdown().await;

    let alice = homes[0].serve_again().await;
    assert_eq!(until_has(&alice, "g", 1).await[0].id, id);
    assert_eq!(follow(&mut arriving, 1).await[0].id, id);
}

#[tokio::test]
async fn the_last_handle_stops_the_node() {
    let home = TestHome::create();
    let node = home.serve().await;
    node.new_group("g", History::All).await.unwrap();
    let pager = node.list("g", walytis_node::Listing::default());
    drop(node);
    drop(pager);
    // It stops by itself; only its end cannot be waited for without a handle.
    let reopened = async {
        loop {
            match Home::open(home.path(), &TestHome::unlock()) {
                Ok(home) => return home,
                Err(NodeError::Open(OpenError::InUse { .. })) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    within(reopened).await;
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let unlock = TestHome::unlock();
    drop(offchain_store::create(folder.path(), &unlock, KdfCost::MINIMUM).unwrap());
    let unfinished = Home::open(folder.path(), &unlock).unwrap().offline();
    assert!(matches!(unfinished, Err(NodeError::Engine(EngineError::NoIdentity))), "{unfinished:?}");
    let identity = Home::create(folder.path(), &unlock, KdfCost::MINIMUM).unwrap();
    assert_eq!(Home::open(folder.path(), &unlock).unwrap().offline().unwrap().identity(), identity);
}

#[tokio::test]
async fn a_node_without_a_network_says_so() {
    let home = TestHome::create();
    let node = home.open().offline().unwrap();
    let address = walytis_node::Address::new("/ip4/127.0.0.1/tcp/1").unwrap();
    assert!(matches!(node.listen(address.clone()).await, Err(NodeError::Offline)));
    assert!(matches!(node.connect(address).await, Err(NodeError::Offline)));
    assert!(matches!(node.join("walytis1", None).await, Err(NodeError::Offline)));
    assert_eq!(node.status().await.unwrap().addresses, []);
    node.shutdown().await;

    let node = home.serve().await;
    let unusable = node.connect(walytis_node::Address::new("/nonsense").unwrap()).await;
    assert!(matches!(unusable, Err(NodeError::Network(_))), "{unusable:?}");
}
