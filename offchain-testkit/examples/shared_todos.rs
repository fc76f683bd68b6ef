//! An application, and how its author tests it: a list of things to do that a group shares, on a simulated swarm of 20
//! peers that is torn apart, loses the power here and there, and comes together again.
//!
//! `cargo run -p offchain-testkit --example shared_todos`; its test runs with all others. The guide is
//! `docs/testing-your-application.md`.

#![expect(clippy::print_stdout, reason = "an example that is run shows something")]

use std::time::Instant;

use offchain_testkit::NodeSwarm;
use todos::Todos;
use walytis_node::NodeError;

// ANCHOR: application
/// The application: it knows `walytis-node`, and nothing of any simulation.
mod todos {
    use std::collections::{BTreeMap, BTreeSet};

    use walytis_node::{BlockId, Delivery, Entry, Listing, Node, NodeError, Subscription};

    /// A list of things to do that the members of a group share.
    pub(crate) struct Todos {
        node: Node,
        group: String,
        arriving: Subscription,
        texts: BTreeMap<BlockId, String>,
        done: BTreeSet<BlockId>,
    }

    impl Todos {
        /// What the group has so far, and from then on what arrives.
        pub(crate) async fn open(node: Node, group: &str) -> Result<Self, NodeError> {
            let arriving = node.subscribe(group).await?;
            let mut before = node.list(group, Listing { below: Some(arriving.from()), topic: None });
            let (texts, done) = Default::default();
            let mut todos = Self { node, group: group.to_owned(), arriving, texts, done };
            while let Some(page) = before.next_page().await? {
                page.into_iter().for_each(|entry| todos.apply(entry));
            }
            Ok(todos)
        }

        /// Adds a thing to do. It is durable here when this returns.
        pub(crate) async fn add(&self, text: &str) -> Result<BlockId, NodeError> {
            self.node.post(&self.group, format!("do {text}")).await
        }

        /// Ticks a thing off.
        pub(crate) async fn tick(&self, thing: BlockId) -> Result<(), NodeError> {
            self.node.post(&self.group, [b"done ".as_slice(), &thing.0].concat()).await?;
            Ok(())
        }

        /// Waits for something to happen; `None` once the node has stopped.
        pub(crate) async fn next(&mut self) -> Option<()> {
            match self.arriving.next().await? {
                Delivery::Block(entry) | Delivery::Content(entry) => self.apply(entry),
                _ => {}
            }
            Some(())
        }

        /// What is still to do, and what is done.
        pub(crate) fn lists(&self) -> (Vec<&str>, Vec<&str>) {
            let text = |thing: &BlockId| self.texts.get(thing).map(String::as_str);
            let open = self.texts.keys().filter(|thing| !self.done.contains(*thing));
            (open.filter_map(text).collect(), self.done.iter().filter_map(text).collect())
        }

        /// Both kinds of posts may come in any order, so that peers with the same blocks have the same lists.
        fn apply(&mut self, entry: Entry) {
            let Some(content) = entry.content else { return };
            if let Some(text) = content.bytes.strip_prefix(b"do ") {
                self.texts.insert(entry.id, String::from_utf8_lossy(text).into_owned());
            } else if let Some(thing) = content.bytes.strip_prefix(b"done ").and_then(|id| id.try_into().ok()) {
                self.done.insert(BlockId(thing));
            }
        }
    }
}
// ANCHOR_END: application

/// How many peers there are.
const PEERS: usize = 20;
/// The group that they share.
const GROUP: &str = "household";

// ANCHOR: scenario
/// Two halves go on without each other, one peer of each loses its power, and in the end all have the same lists.
async fn household(swarm: NodeSwarm) -> Result<Vec<Row>, NodeError> {
    let mut rows = Vec::new();
    let peers = swarm.group_of(GROUP, PEERS).await?;
    swarm.acquaint(&peers, 2).await?; // Each knows its neighbours, so no half depends on one of its peers.
    let mut founder = Todos::open(swarm.node(peers[0])?, GROUP).await?;
    let milk = founder.add("buy milk").await?;
    founder.next().await.ok_or(NodeError::Closed)?;
    swarm.converged(GROUP, &peers).await?;
    rows.push(Row::of(&swarm, "20 peers joined", &founder));

    let (north, south) = peers.split_at(PEERS / 2);
    swarm.partition(&[north, south]);
    for (number, peer) in peers.iter().enumerate() {
        Todos::open(swarm.node(*peer)?, GROUP).await?.add(&format!("wish {number}")).await?;
    }
    Todos::open(swarm.node(south[1])?, GROUP).await?.tick(milk).await?;
    swarm.converged(GROUP, north).await?;
    swarm.converged(GROUP, south).await?;

    let mut follower = Todos::open(swarm.node(north[1])?, GROUP).await?;
    assert_eq!(follower.lists().0.len(), 11, "the milk, and what ten peers wish");
    rows.push(Row::of(&swarm, "two halves apart", &follower));

    for peer in [north[2], south[2]] {
        swarm.kill(peer).await;
    }
    swarm.heal();
    for peer in [north[2], south[2]] {
        swarm.start(peer).await?;
    }
    while follower.lists().0.len() < PEERS || follower.lists().1.is_empty() {
        follower.next().await.ok_or(NodeError::Closed)?;
    }
    swarm.converged(GROUP, &peers).await?;
    for peer in &peers {
        let todos = Todos::open(swarm.node(*peer)?, GROUP).await?;
        assert_eq!(todos.lists(), follower.lists(), "every peer has the same lists");
    }
    assert_eq!(follower.lists().1, ["buy milk"]);
    rows.push(Row::of(&swarm, "together again", &follower));
    Ok(rows)
}
// ANCHOR_END: scenario

/// How it was at one moment.
struct Row {
    what: &'static str,
    virtual_ms: u128,
    open: usize,
    done: usize,
    frames: u64,
}

impl Row {
    fn of(swarm: &NodeSwarm, what: &'static str, todos: &Todos) -> Self {
        let (open, done) = todos.lists();
        let (frames, _) = swarm.medium().traffic();
        Self { what, virtual_ms: swarm.elapsed().as_millis(), open: open.len(), done: done.len(), frames }
    }
}

fn main() -> Result<(), NodeError> {
    let begun = Instant::now();
    let rows = NodeSwarm::new(7).run(household)?;
    println!("{:<18} {:>12} {:>6} {:>6} {:>8}", "", "virtual ms", "to do", "done", "frames");
    for Row { what, virtual_ms, open, done, frames } in rows {
        println!("{what:<18} {virtual_ms:>12} {open:>6} {done:>6} {frames:>8}");
    }
    println!("all {PEERS} peers have the same lists; it took {:.2} s", begun.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_the_same_lists_in_the_end() {
        NodeSwarm::new(8).run(household).expect("no node stops by itself");
    }
}
