//! Homes, and waiting for what has to come.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use walytis_node::{
    Address, Delivery, Entry, GroupSummary, History, Home, Identity, KdfCost, Listing, Node, ServeOptions,
    Subscription, Unlock,
};

/// A home in a temporary folder, unlocked by a raw key.
pub(crate) struct TestHome {
    folder: TempDir,
    pub(crate) identity: Identity,
}

impl TestHome {
    pub(crate) fn create() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Home::create(folder.path().join("home"), &Self::unlock(), KdfCost::MINIMUM).unwrap();
        Self { folder, identity }
    }

    pub(crate) fn unlock() -> Unlock {
        Unlock::key([7; 32])
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn open(&self) -> Home {
        Home::open(self.path(), &Self::unlock()).unwrap()
    }

    /// A node that listens on loopback, over TCP and QUIC.
    pub(crate) async fn serve(&self) -> Node {
        self.serve_at(&["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]).await
    }

    pub(crate) async fn serve_at(&self, listen: &[&str]) -> Node {
        let listen = listen.iter().map(|address| Address::new(*address).unwrap()).collect();
        within(self.open().serve(ServeOptions { listen, ..ServeOptions::default() })).await.unwrap()
    }

    /// A node that listens where it did before.
    pub(crate) async fn serve_again(&self) -> Node {
        within(self.open().serve(ServeOptions::default())).await.unwrap()
    }

    /// What the store's check finds wrong.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.open().check(&mut |_, _| ()).unwrap().problems
    }
}

/// Waits for what has to come. The time is a guard against hanging: nothing is measured by it.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("it has to come")
}

/// A group of the first node, which the others join.
pub(crate) async fn group_of(name: &str, founder: &Node, others: &[&Node]) -> GroupSummary {
    let group = founder.new_group(name, History::All).await.unwrap();
    for other in others {
        join(name, founder, other).await;
    }
    group
}

pub(crate) async fn join(name: &str, inviter: &Node, joiner: &Node) -> GroupSummary {
    let code = inviter.invite(name, 1).await.unwrap();
    within(joiner.join(&code, Some(name)).await.unwrap().finish()).await.unwrap()
}

/// All that a node has in a group, in the order that is the same everywhere.
pub(crate) async fn list(node: &Node, group: &str) -> Vec<Entry> {
    list_only(node, group, Listing::default()).await
}

pub(crate) async fn list_only(node: &Node, group: &str, listing: Listing) -> Vec<Entry> {
    let mut pager = node.list(group, listing);
    let mut entries = Vec::new();
    while let Some(page) = within(pager.next_page()).await.unwrap() {
        entries.extend(page);
    }
    entries
}

/// The contents of entries, as text.
pub(crate) fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(text).collect()
}

pub(crate) fn text(entry: &Entry) -> String {
    entry.content.as_ref().map_or_else(String::new, |content| String::from_utf8(content.bytes.clone()).unwrap())
}

/// Follows a group until `count` blocks have their contents, and gives them in the order in which the blocks came.
pub(crate) async fn follow(subscription: &mut Subscription, count: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    while entries.len() < count || entries.iter().any(|entry| entry.content.is_none()) {
        match within(subscription.next()).await.expect("the node runs") {
            Delivery::Block(entry) => entries.push(entry),
            Delivery::Content(entry) => {
                let place = entries.iter_mut().find(|known| known.id == entry.id);
                *place.expect("a content comes after its block") = entry;
            }
            other => panic!("{other:?}"),
        }
    }
    entries
}

/// Waits until a node has `count` blocks with their contents in a group.
pub(crate) async fn until_has(node: &Node, group: &str, count: usize) -> Vec<Entry> {
    let mut subscription = node.subscribe(group).await.unwrap();
    let below = Some(subscription.from());
    let before = list_only(node, group, Listing { topic: None, below }).await;
    let mut complete = before.iter().filter(|entry| entry.content.is_some()).count();
    while complete < count {
        match within(subscription.next()).await.expect("the node runs") {
            Delivery::Block(entry) => complete += usize::from(entry.content.is_some()),
            Delivery::Content(_) => complete += 1,
            other => panic!("{other:?}"),
        }
    }
    list(node, group).await
}
