//! Public chains over whole nodes, each a `walytis-node` on the simulated medium and tokio's paused clock: they are
//! founded, joined, written by all, cut and mended, killed and started again, read on where a reader stopped, and deleted.
//!
//! - H1: what was acknowledged is everywhere in the end.
//! - D1, D2: a reader under a name handles each block once, across kills too, and parents before children; who follows a
//!   chain gets each block once from where that begins.
//! - C1, C2: nodes that can reach each other have the same listing.
//! - No task hangs: each schedule ends within bounded virtual time.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use offchain_testkit::{NodeId, NodeSwarm};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::time::timeout;
use walytis_node::{BlockId, ChainEntry, EngineError, Listing, NodeError, PublicError, Reading, Sharing, StoreError};

const CHAIN: &str = "news";
const SEEDS: u64 = 24;
const NODES: usize = 4;
const ROUNDS: usize = 5;
/// Nothing here takes longer in virtual time, unless it hangs.
const BOUND: Duration = Duration::from_secs(1_800);
/// How often nodes are compared while they become equal.
const COMPARED_EVERY: Duration = Duration::from_millis(500);

/// What a reader has handled, and what it had said so of.
#[derive(Debug, Default)]
struct Handled {
    acknowledged: Vec<BlockId>,
    /// Handled, and not known to be acknowledged: it may come once more.
    unsure: BTreeSet<BlockId>,
}

/// A schedule's nodes, and what they were told.
#[derive(Clone)]
struct Schedule {
    swarm: NodeSwarm,
    nodes: Vec<NodeId>,
    acknowledged: Arc<Mutex<BTreeMap<BlockId, Vec<u8>>>>,
    handled: Arc<Mutex<Handled>>,
}

impl Schedule {
    /// Nodes that follow one chain of the first: two joined by its invitation, the last by one of those who joined.
    async fn begin(swarm: NodeSwarm) -> Result<Self, NodeError> {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(swarm.add().await?);
        }
        let first = swarm.node(nodes[0])?;
        first.new_chain(CHAIN).await?;
        let invitation = first.invite_to_chain(CHAIN, Some(2), Sharing::Joiners).await?;
        let code = invitation.code.expect("it listens");
        for node in &nodes[1..3] {
            swarm.node(*node)?.join_chain(&code, Some(CHAIN)).await?.finish().await?;
        }
        let spent = swarm.node(nodes[3])?.join_chain(&code, Some(CHAIN)).await?.finish().await;
        assert!(matches!(&spent, Err(NodeError::Engine(EngineError::Public(PublicError::Refused(_))))), "{spent:?}");
        let shared = swarm.node(nodes[1])?.chain_invitations(CHAIN).await?;
        let code = shared[0].code.clone().expect("it listens");
        swarm.node(nodes[3])?.join_chain(&code, Some(CHAIN)).await?.finish().await?;
        Ok(Self { swarm, nodes, acknowledged: Arc::default(), handled: Arc::default() })
    }

    /// Posts at all nodes that run, some blocks at once; what fails may or may not have been written.
    async fn post(&self, round: usize) {
        for node in &self.nodes {
            for number in 0..4 {
                let Ok(running) = self.swarm.node(*node) else { break };
                let text = format!("round {round}, node {}, number {number}", node.0).into_bytes();
                if let Ok(id) = running.post_to_chain(CHAIN, text.clone()).await {
                    let known = self.acknowledged.lock().expect("nobody panics with it").insert(id, text);
                    assert!(known.is_none(), "each post has an id of its own");
                }
            }
        }
    }

    /// Reads on under a name at a node, and handles what waits. Every third block is handled and then not acknowledged,
    /// as if the program had ended between the two.
    async fn read(&self, node: NodeId) -> Result<(), NodeError> {
        let mut reader = self.swarm.node(node)?.read_chain(CHAIN, Reading::named("index")).await?;
        let acknowledger = reader.acknowledger();
        let mut before = BTreeSet::new();
        for place in 1_usize.. {
            let Some(entry) = reader.next_here().await? else { return Ok(()) };
            let again = {
                let mut handled = self.handled.lock().expect("nobody panics with it");
                assert!(!handled.acknowledged.contains(&entry.id), "{} was acknowledged", entry.id);
                !handled.unsure.insert(entry.id)
            };
            assert!(before.insert(entry.id), "one reader gets each block once");
            if place.is_multiple_of(7) && !again {
                return Ok(());
            }
            acknowledger.acknowledge(&entry).await?;
            let mut handled = self.handled.lock().expect("nobody panics with it");
            handled.unsure.remove(&entry.id);
            handled.acknowledged.push(entry.id);
        }
        Ok(())
    }

    /// Waits until the nodes list the same.
    async fn converged(&self, nodes: &[NodeId]) -> Result<Vec<ChainEntry>, NodeError> {
        loop {
            let first = list(&self.swarm, nodes[0]).await?;
            let mut same = true;
            for node in &nodes[1..] {
                let theirs = list(&self.swarm, *node).await?;
                same &= theirs.iter().map(shown).eq(first.iter().map(shown));
            }
            if same {
                return Ok(first);
            }
            self.swarm.pass(COMPARED_EVERY).await;
        }
    }

    async fn run(self) -> Result<usize, NodeError> {
        let mut rng = ChaCha20Rng::seed_from_u64(self.swarm.seed());
        let mut draw = move |below: usize| usize::try_from(rng.next_u64()).unwrap_or(0) % below;
        let (swarm, nodes) = (&self.swarm, &self.nodes);
        let mut following = swarm.node(nodes[0])?.follow_chain(CHAIN).await?;
        let (from, mut lives) = (following.from(), true);
        for round in 0..ROUNDS {
            match draw(5) {
                0 => swarm.partition(&[&nodes[..2]]),
                1 => swarm.cut(nodes[draw(2)], nodes[2 + draw(2)]),
                2 => swarm.fail_commit(nodes[1 + draw(3)], 2, StoreError::Poisoned),
                3 => swarm.break_connection(nodes[0], nodes[1 + draw(3)]),
                _ => {}
            }
            self.post(round).await;
            let one = nodes[draw(NODES)];
            if draw(2) == 0 {
                lives &= one != nodes[0];
                swarm.kill(one).await;
            }
            swarm.pass(Duration::from_millis(u64::try_from(draw(3_000)).unwrap_or(0))).await;
            // Whoever was killed, or whose store failed, starts again.
            for node in nodes {
                let stopped = match swarm.node(*node) {
                    Ok(running) => running.chains().await.is_err(),
                    Err(_) => true,
                };
                if stopped {
                    swarm.kill(*node).await;
                    swarm.start(*node).await?;
                }
            }
            if draw(2) == 0 {
                swarm.heal();
            }
            self.read(nodes[2]).await?;
        }
        swarm.heal();
        let entries = timeout(BOUND, self.converged(nodes)).await.expect("they become equal")?;
        self.judge(&entries).await?;
        if lives {
            self.followed(&mut following, from).await?;
        }
        self.delete(&entries).await
    }

    /// H1, D1, D2: what was acknowledged is there, and the reader has handled every block, in order.
    async fn judge(&self, entries: &[ChainEntry]) -> Result<(), NodeError> {
        let texts: BTreeMap<BlockId, &[u8]> = entries.iter().map(|entry| (entry.id, &entry.content[..])).collect();
        for (id, text) in self.acknowledged.lock().expect("nobody panics with it").iter() {
            assert_eq!(texts.get(id), Some(&&text[..]), "{id} was acknowledged");
        }
        // A reading may end early, once for each block.
        while self.handled.lock().expect("nobody panics with it").acknowledged.len() < entries.len() {
            self.read(self.nodes[2]).await?;
        }
        let handled = self.handled.lock().expect("nobody panics with it");
        let ids: BTreeSet<BlockId> = handled.acknowledged.iter().copied().collect();
        assert_eq!((ids.len(), handled.acknowledged.len()), (entries.len(), entries.len()));
        // Of one author blocks come in the order in which they were written.
        let mut last = BTreeMap::new();
        for id in &handled.acknowledged {
            let entry = entries.iter().find(|entry| entry.id == *id).expect("it is listed");
            let before = last.insert(entry.author, entry.sequence);
            assert!(before.is_none_or(|before| before < entry.sequence), "{id} came too early or too late");
        }
        Ok(())
    }

    /// D1: who followed the chain all the time got each block that came after, once.
    async fn followed(&self, following: &mut walytis_node::ChainSubscription, from: u64) -> Result<(), NodeError> {
        let expected: BTreeSet<BlockId> = list(&self.swarm, self.nodes[0])
            .await?
            .into_iter()
            .filter(|entry| entry.position >= from)
            .map(|entry| entry.id)
            .collect();
        let mut got = BTreeSet::new();
        while got.len() < expected.len() {
            let entry = timeout(BOUND, following.next()).await.expect("it comes").expect("the node runs");
            assert!(got.insert(entry.id), "{} came twice", entry.id);
        }
        assert_eq!(got, expected);
        Ok(())
    }

    /// One deletes the chain, and is killed meanwhile: it is gone there as a whole, and the others go on.
    async fn delete(&self, entries: &[ChainEntry]) -> Result<usize, NodeError> {
        let (swarm, leaver) = (&self.swarm, self.nodes[3]);
        let node = swarm.node(leaver)?;
        let deleting = tokio::spawn(async move { node.delete_chain(CHAIN).await });
        swarm.pass(Duration::from_millis(swarm.seed() % 4)).await;
        swarm.kill(leaver).await;
        drop(deleting.await);
        swarm.start(leaver).await?;
        swarm.pass(Duration::from_secs(5)).await;
        let left = swarm.node(leaver)?.chains().await?;
        if let [there] = &left[..] {
            // It was killed before anything of it was durable.
            assert_eq!(usize::try_from(there.blocks), Ok(entries.len() + 1));
            swarm.node(leaver)?.delete_chain(CHAIN).await?;
        }
        assert!(swarm.node(leaver)?.chains().await?.is_empty());
        let posted = swarm.node(self.nodes[0])?.post_to_chain(CHAIN, "afterwards").await?;
        let entries = timeout(BOUND, self.converged(&self.nodes[..3])).await.expect("they become equal")?;
        assert!(entries.iter().any(|entry| entry.id == posted));
        for node in &self.nodes {
            assert_eq!(swarm.problems(*node).expect("it can be read"), Vec::<String>::new());
        }
        Ok(entries.len())
    }
}

fn shown(entry: &ChainEntry) -> (BlockId, u64, u64, &[u8]) {
    (entry.id, entry.generation, entry.sequence, &entry.content)
}

async fn list(swarm: &NodeSwarm, node: NodeId) -> Result<Vec<ChainEntry>, NodeError> {
    let mut pager = swarm.node(node)?.list_chain(CHAIN, Listing::default());
    let mut entries = Vec::new();
    while let Some(page) = pager.next_page().await? {
        entries.extend(page);
    }
    Ok(entries)
}

async fn schedule(swarm: NodeSwarm) -> Result<usize, NodeError> {
    Schedule::begin(swarm).await?.run().await
}

#[test]
fn h1_d1_c1_hold_for_public_chains_of_whole_nodes_in_any_schedule() {
    let mut blocks = 0;
    for seed in 0..SEEDS {
        blocks += NodeSwarm::new(seed).run(schedule).expect("no node stops by itself");
    }
    assert!(blocks > 1_000, "most posts are there: {blocks}");
}

#[test]
fn a_schedule_of_public_chains_is_the_same_from_the_same_seed() {
    let run = || {
        let application = async |swarm: NodeSwarm| schedule(swarm.clone()).await.map(|_| swarm.trace_hash());
        NodeSwarm::new(7).run(application).expect("no node stops by itself")
    };
    assert_eq!(run(), run());
}
