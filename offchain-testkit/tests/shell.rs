//! Properties of the asynchronous shell, over seeded schedules of whole nodes: many tasks post, subscribers lag and give
//! up waiting, nodes lose their power, stores fail and connections break.
//!
//! - H1: what was acknowledged is everywhere in the end.
//! - D1: a subscriber gets each block once, and each content once, from where its subscription begins.
//! - No task hangs: each ends within bounded virtual time.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use offchain_testkit::{NodeId, NodeSwarm, Snapshot};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use walytis_node::{BlockId, Delivery, Entry, Listing, NodeError, StoreError};

/// How many schedules are run.
const SEEDS: u64 = 100;
/// How many nodes there are, and how many tasks post at each, and how often.
const NODES: usize = 3;
const POSTERS: u64 = 3;
const POSTS: u64 = 3;
/// The schedule's trouble lasts so long, in virtual milliseconds.
const TROUBLE_MS: u64 = 5_000;
/// Nothing here takes longer than that in virtual time, unless it hangs.
const BOUND: Duration = Duration::from_secs(1_800);
/// Content of which a few go over what may wait for a subscriber.
const LARGE_BYTES: usize = 900_000;

const GROUP: &str = "friends";

/// What a subscriber has got.
#[derive(Clone, Debug, Default)]
struct Got {
    node: Option<NodeId>,
    from: u64,
    blocks: Vec<BlockId>,
    contents: Vec<BlockId>,
    before: Vec<BlockId>,
    ended: bool,
}

/// A subscriber: what it has got so far, and its task.
type Subscriber = (Arc<Mutex<Got>>, JoinHandle<()>);

/// What is shared by the tasks of one schedule.
#[derive(Clone)]
struct Schedule {
    swarm: NodeSwarm,
    members: Arc<Vec<NodeId>>,
    acknowledged: Arc<Mutex<BTreeMap<BlockId, String>>>,
    subscribers: Arc<Mutex<Vec<Subscriber>>>,
}

impl Schedule {
    fn generator(&self, task: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(self.swarm.seed() << 16 | task)
    }

    /// Subscribes twice at a node: once as fast as it can, once with pauses and with waits that it gives up.
    async fn subscribe(&self, id: NodeId, task: u64) {
        for lags in [false, true] {
            let Ok(node) = self.swarm.node(id) else { return };
            let Ok(mut subscription) = node.subscribe(GROUP).await else { return };
            let from = subscription.from();
            let Ok(before) = list(&self.swarm, id, Some(from)).await else { return };
            let before = before.into_iter().map(|entry| entry.id).collect();
            let got = Arc::new(Mutex::new(Got { node: Some(id), from, before, ..Got::default() }));
            let (told, mut rng, swarm) = (Arc::clone(&got), self.generator(1_000 + task), self.swarm.clone());
            let following = tokio::spawn(async move {
                loop {
                    let next = if lags {
                        swarm.pass(Duration::from_millis(rng.next_u64() % 2_000)).await;
                        let patience = Duration::from_millis(rng.next_u64() % 20);
                        match timeout(patience, subscription.next()).await {
                            Ok(next) => next,
                            Err(_) => continue,
                        }
                    } else {
                        subscription.next().await
                    };
                    let mut got = told.lock().expect("nobody panics with it");
                    match next {
                        Some(Delivery::Block(entry)) => {
                            got.blocks.push(entry.id);
                            got.contents.extend(entry.content.is_some().then_some(entry.id));
                        }
                        Some(Delivery::Content(entry)) => got.contents.push(entry.id),
                        Some(other) => panic!("{other:?}"),
                        None => {
                            got.ended = true;
                            return;
                        }
                    }
                }
            });
            self.subscribers.lock().expect("nobody panics with it").push((got, following));
        }
    }

    /// Posts now and then, at whatever run of the node there is; what fails may or may not have been written.
    async fn post(self, id: NodeId, task: u64) {
        let mut rng = self.generator(task);
        let large = self.swarm.seed().is_multiple_of(8) && task == 0;
        for number in 0..POSTS {
            self.swarm.pass(Duration::from_millis(rng.next_u64() % (TROUBLE_MS / POSTS))).await;
            let mut text = format!("{task} {number} ");
            if large {
                text.push_str(&"x".repeat(LARGE_BYTES));
            }
            let Ok(node) = self.swarm.node(id) else { continue };
            // Some are written in one go, so that they share the node's turns.
            let again = node.post(GROUP, format!("{text} again"));
            let (first, second) = tokio::join!(node.post(GROUP, text.clone()), again);
            let mut acknowledged = self.acknowledged.lock().expect("nobody panics with it");
            for (posted, text) in [(first, text.clone()), (second, format!("{text} again"))] {
                if let Ok(posted) = posted {
                    assert!(acknowledged.insert(posted, text).is_none(), "each post has an id of its own");
                }
            }
        }
    }

    /// Makes trouble, and has every node run again in the end.
    async fn trouble(&self) {
        let mut rng = self.generator(100);
        let mut draw = move |below: u64| rng.next_u64() % below;
        let until = self.swarm.elapsed() + Duration::from_millis(TROUBLE_MS);
        let mut task = 0;
        while self.swarm.elapsed() < until {
            self.swarm.pass(Duration::from_millis(draw(1_000))).await;
            let one = self.members[usize::try_from(draw(3)).expect("a small number")];
            let other = self.members[(one.0 + 1) % NODES];
            match draw(6) {
                0 => self.swarm.cut(one, other),
                1 => self.swarm.mend(one, other),
                2 => self.swarm.break_connection(one, other),
                kind => {
                    if kind == 3 {
                        self.swarm.fail_commit(one, draw(4), StoreError::Poisoned);
                        self.swarm.pass(Duration::from_millis(draw(1_500))).await;
                    }
                    if kind == 4 {
                        self.swarm.stop(one).await;
                    }
                    self.swarm.kill(one).await;
                    self.swarm.pass(Duration::from_millis(draw(500))).await;
                    self.swarm.start(one).await.expect("what is durable is sound");
                    task += 1;
                    self.subscribe(one, task).await;
                }
            }
        }
    }

    async fn run(&self) -> Result<(), NodeError> {
        for id in &*self.members {
            self.subscribe(*id, u64::try_from(id.0).unwrap_or(0)).await;
        }
        self.swarm.latency(Duration::ZERO, Duration::from_millis(100));
        self.swarm.breaks(3_000);
        let mut posters = Vec::new();
        for id in &*self.members {
            for poster in 0..POSTERS {
                let task = POSTERS * u64::try_from(id.0).unwrap_or(0) + poster;
                posters.push(tokio::spawn(self.clone().post(*id, task)));
            }
        }
        self.trouble().await;
        for poster in posters {
            timeout(BOUND, poster).await.expect("no post hangs").expect("no poster fails");
        }
        self.swarm.heal();
        self.swarm.breaks(0);
        for id in &*self.members {
            // A store that was to fail may still be waiting for its commit.
            self.swarm.kill(*id).await;
            self.swarm.start(*id).await?;
            self.subscribe(*id, 50).await;
        }
        self.swarm.node(self.members[0])?.post(GROUP, "the end").await?;
        let converging = self.swarm.converged(GROUP, &self.members);
        let entries = timeout(BOUND, converging).await.expect("they converge")?;
        self.h1(&entries);
        // Those who lag have time to come to the end.
        self.swarm.pass(Duration::from_secs(120)).await;
        self.d1().await?;
        for id in &*self.members {
            self.swarm.stop(*id).await;
            assert_eq!(self.swarm.problems(*id).map_err(NodeError::from)?, Vec::<String>::new());
        }
        let subscribers = std::mem::take(&mut *self.subscribers.lock().expect("nobody panics with it"));
        for (got, following) in subscribers {
            timeout(BOUND, following).await.expect("no subscriber hangs").expect("none fails");
            assert!(got.lock().expect("nobody panics with it").ended);
        }
        Ok(())
    }

    /// What was acknowledged is everywhere, and nothing is there twice.
    fn h1(&self, entries: &[Entry]) {
        let mut texts = BTreeMap::new();
        for entry in entries {
            let content = entry.content.as_ref().expect("it has converged");
            let text = String::from_utf8(content.bytes.clone()).expect("we wrote text");
            assert!(!texts.values().any(|known| *known == text), "one post is one block");
            texts.insert(entry.id, text);
        }
        for (id, text) in &*self.acknowledged.lock().expect("nobody panics with it") {
            assert_eq!(texts.get(id), Some(text), "{id} was acknowledged");
        }
    }

    /// No subscriber got a block twice; one whose node still runs got all of them.
    async fn d1(&self) -> Result<(), NodeError> {
        let all: Vec<_> = {
            let subscribers = self.subscribers.lock().expect("nobody panics with it");
            subscribers.iter().map(|(got, _)| Arc::clone(got)).collect()
        };
        for got in all {
            let got = got.lock().expect("nobody panics with it").clone();
            let set: BTreeSet<BlockId> = got.blocks.iter().copied().collect();
            assert_eq!(set.len(), got.blocks.len(), "each block once");
            let contents: BTreeSet<BlockId> = got.contents.iter().copied().collect();
            assert_eq!(contents.len(), got.contents.len(), "each content once");
            assert!(contents.is_subset(&set), "content comes with its block or after it");
            assert!(got.before.iter().all(|id| !set.contains(id)), "what was listed before does not come again");
            let mut here = list(&self.swarm, got.node.expect("it had a node"), None).await?;
            here.retain(|entry| entry.position >= got.from);
            here.sort_by_key(|entry| entry.position);
            let here: Vec<BlockId> = here.iter().map(|entry| entry.id).collect();
            if got.ended {
                assert!(here.starts_with(&got.blocks), "what it got is the beginning of what there is");
            } else {
                assert_eq!(got.blocks, here, "it got everything, in the order of arrival");
                assert_eq!(contents, set, "and all content");
            }
        }
        Ok(())
    }
}

async fn list(swarm: &NodeSwarm, id: NodeId, below: Option<u64>) -> Result<Vec<Entry>, NodeError> {
    let mut pager = swarm.node(id)?.list(GROUP, Listing { topic: None, below });
    let mut entries = Vec::new();
    while let Some(page) = pager.next_page().await? {
        entries.extend(page);
    }
    Ok(entries)
}

/// A group whose members know each other: what the stores of its nodes hold.
async fn founded(swarm: NodeSwarm) -> Result<Vec<Snapshot>, NodeError> {
    let members = swarm.group_of(GROUP, NODES).await?;
    swarm.acquaint(&members, 1).await?;
    let mut stores = Vec::new();
    for member in members {
        swarm.stop(member).await;
        stores.push(swarm.store(member).snapshot());
    }
    Ok(stores)
}

/// Runs one schedule, and gives how many posts were acknowledged.
async fn schedule(swarm: NodeSwarm, stores: &[Snapshot]) -> Result<usize, NodeError> {
    let mut members = Vec::new();
    for store in stores {
        members.push(swarm.add_from(store.clone()).await?);
    }
    swarm.acquaint(&members, 1).await?;
    let members = Arc::new(members);
    let schedule = Schedule { swarm, members, acknowledged: Arc::default(), subscribers: Arc::default() };
    schedule.run().await?;
    let acknowledged = schedule.acknowledged.lock().expect("nobody panics with it");
    Ok(acknowledged.len())
}

#[test]
fn h1_d1_hold_and_no_task_hangs_in_any_schedule() {
    let stores = NodeSwarm::new(0).run(founded).expect("a group");
    let mut acknowledged = 0;
    for seed in 0..SEEDS {
        let run = NodeSwarm::new(seed).run(async |swarm| schedule(swarm, &stores).await);
        acknowledged += run.expect("no node stops by itself");
    }
    assert!(acknowledged > 1_000, "most posts are acknowledged: {acknowledged}");
}
