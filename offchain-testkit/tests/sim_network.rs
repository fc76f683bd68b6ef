//! Networks in memory keep the contract of all networks, and production nodes run over them on a paused clock.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::sync::Arc;
use std::time::Duration;

use offchain_testkit::network_contract::check_network;
use offchain_testkit::{MemoryStore, SimMedium};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use walytis_node::{
    Address, BlockId, Committer, Delivery, Engine, Entry, EntryContent, History, Identity, Listing, Network, Node,
    NodeOptions, PeerId, Post, Store, Timestamp,
};

fn address(number: u64) -> Address {
    Address::new(format!("/memory/{number}")).expect("a short address")
}

#[tokio::test(start_paused = true)]
async fn the_network_in_memory_keeps_the_contract() {
    let medium = SimMedium::new();
    let [first, second, third] = [1, 2, 3].map(|number| medium.network(PeerId([number; 32])));
    check_network(&first, &second, &third, &address(1)).await;
}

/// The store and the identity of a node, which outlive its runs.
struct Home {
    number: u64,
    store: MemoryStore,
    identity: Identity,
}

impl Home {
    fn new(number: u64) -> Self {
        let store = MemoryStore::new();
        let as_store: Arc<dyn Store> = Arc::new(store.clone());
        let mut rng = ChaCha20Rng::seed_from_u64(number);
        let identity = Engine::create(&as_store, Timestamp(0), &mut rng).expect("an empty store");
        Self { number, store, identity }
    }

    async fn start(&self, medium: &SimMedium, run: u64) -> Node {
        let store: Arc<dyn Store> = Arc::new(self.store.reopened());
        let rng = Box::new(ChaCha20Rng::seed_from_u64(1_000 * run + self.number));
        let engine = Engine::open(Arc::clone(&store), Timestamp(0), rng).expect("a sound store");
        let network: Arc<dyn Network> = Arc::new(medium.network(self.identity.peer));
        let mut options = NodeOptions::default();
        options.committer = Committer::Inline;
        options.now = Arc::new(|| Timestamp(1_700_000_000_000));
        let node = Node::start(engine, store, Some(network), options);
        node.listen(address(self.number)).await.expect("a free address");
        node
    }
}

async fn read(node: &Node) -> Vec<Entry> {
    let mut pager = node.list("friends", Listing::default());
    let mut entries = Vec::new();
    while let Some(page) = pager.next_page().await.expect("a sound store") {
        entries.extend(page);
    }
    entries
}

fn contents(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().filter_map(|entry| Some(entry.content.as_ref()?.bytes.as_slice())).collect()
}

/// Reads until everything that was posted is here, at most an hour of the paused clock.
async fn read_all(node: &Node, count: usize) -> Vec<Entry> {
    let all = async {
        let mut subscription = node.subscribe("friends").await.expect("a member");
        loop {
            let entries = read(node).await;
            if contents(&entries).len() == count {
                return entries;
            }
            subscription.next().await.expect("the node runs");
        }
    };
    tokio::time::timeout(Duration::from_secs(3_600), all).await.expect("everything arrives")
}

#[tokio::test(start_paused = true)]
async fn three_nodes_found_invite_join_post_deliver_and_list() {
    let medium = SimMedium::new();
    let homes = [1, 2, 3].map(Home::new);
    let [a, b, c] =
        [homes[0].start(&medium, 1).await, homes[1].start(&medium, 1).await, homes[2].start(&medium, 1).await];
    assert_eq!(a.identity(), homes[0].identity);
    a.listening().next().await.expect("it listens");
    a.new_group("friends", History::All).await.expect("a new name");
    let first = a.post("friends", Post::new("before anybody came").topic("a topic")).await.expect("a member");
    let code = a.invite("friends", 2).await.expect("a manager");
    for node in [&b, &c] {
        let group = node.join(&code, Some("friends")).await.expect("a good code").finish().await.expect("admitted");
        assert_eq!(group.name, "friends");
    }

    let mut subscription = c.subscribe("friends").await.expect("a member");
    let mut posted = vec![first];
    for number in 0..10_u32 {
        let node = if number % 2 == 0 { &a } else { &b };
        posted.push(node.post("friends", format!("post {number}")).await.expect("a member"));
    }
    let mut delivered: Vec<BlockId> = Vec::new();
    while delivered.len() < 10 {
        match subscription.next().await.expect("the node runs") {
            Delivery::Block(entry) => {
                assert!(matches!(&entry.content, Some(EntryContent { bytes, .. }) if bytes.starts_with(b"post ")));
                delivered.push(entry.id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(delivered.iter().filter(|id| posted.contains(id)).count(), 10);

    let at_a = read_all(&a, 11).await;
    for node in [&b, &c] {
        let found = read_all(node, 11).await;
        assert_eq!(contents(&found), contents(&at_a));
        assert_eq!(found[0].content.as_ref().expect("it is here").topics, [b"a topic"]);
    }

    // One is cut off, misses something, is stopped and started, and has it all in the end.
    let peers = homes.each_ref().map(|home| home.identity.peer);
    medium.cut(peers[0], peers[2]);
    medium.cut(peers[1], peers[2]);
    a.post("friends", "missed").await.expect("a member");
    c.post("friends", "alone").await.expect("a member");
    c.shutdown().await;
    drop(subscription);
    medium.mend(peers[0], peers[2]);
    medium.mend(peers[1], peers[2]);
    let c = homes[2].start(&medium, 2).await;
    let at_a = read_all(&a, 13).await;
    for node in [&b, &c] {
        assert_eq!(contents(&read_all(node, 13).await), contents(&at_a));
    }
    for node in [a, b, c] {
        node.shutdown().await;
        assert!(node.stopped().await.is_none());
    }
    for home in &homes {
        let report = walytis_offchain::check(Arc::new(home.store.clone()), &mut |_, _| {}).expect("a sound store");
        assert_eq!(report.problems, Vec::<String>::new());
    }
}
