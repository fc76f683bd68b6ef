//! A swarm of whole production nodes in one thread, on tokio's paused clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::time::{Instant, sleep, timeout};
use walytis_node::{
    Address, Clock, Committer, Engine, EngineError, Entry, History, Identity, Listing, Network, Node, NodeError,
    NodeOptions, Store, StoreError, Timestamp,
};

use crate::{MediumConfig, MemoryStore, NodeId, SimMedium, Snapshot};

/// The virtual clock's start: what the nodes' wall clocks show then, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// How long an application may take, in virtual time, unless [`NodeSwarm::within`] says otherwise: longer than any node
/// waits before it dials again.
const LIMIT: Duration = Duration::from_secs(4 * 3_600);

/// How long it takes until nodes are asked again for their connections, in virtual time.
const ASKED_EVERY: Duration = Duration::from_millis(10);

/// How long it takes until nodes are compared again, in virtual time.
const COMPARED_EVERY: Duration = Duration::from_millis(500);

/// Whole nodes of `walytis-node`, each with a store, a wall clock and a generator of its own, over a [`SimMedium`].
///
/// All of it runs in one thread on tokio's paused clock: whenever every task waits, the clock jumps to the next time
/// that somebody waits for. The same seed and the same calls give the same [`NodeSwarm::trace_hash`]. Clones are the
/// same swarm, so that tasks of the application can have one each.
///
/// ```
/// use offchain_testkit::{NodeId, NodeSwarm};
///
/// NodeSwarm::new(7).run(async |swarm| {
///     let members = swarm.group_of("friends", 3).await?;
///     let [alice, bob] = [swarm.node(members[0])?, swarm.node(members[1])?];
///     swarm.partition(&[&members[..1]]); // Alice is alone.
///     alice.post("friends", "Bridge at nine").await?;
///     swarm.heal();
///     let entries = swarm.converged("friends", &members).await?;
///     assert_eq!(entries.len(), 1);
///     assert_eq!(bob.list("friends", Default::default()).next_page().await?, Some(entries));
///     Ok::<(), walytis_node::NodeError>(())
/// })?;
/// # Ok::<(), walytis_node::NodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NodeSwarm {
    seed: u64,
    limit: Duration,
    medium: SimMedium,
    begun: Instant,
    places: Arc<Mutex<Vec<Place>>>,
}

/// A node, whether it runs or not.
#[derive(Debug)]
struct Place {
    store: MemoryStore,
    identity: Identity,
    skew_ms: Arc<AtomicI64>,
    /// How often it was started.
    lives: u64,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    node: Node,
    /// The handle of the store by which this life of the node writes.
    handle: MemoryStore,
}

impl NodeSwarm {
    /// A swarm of nobody, with 1 to 20 ms between its nodes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let config = MediumConfig {
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(20),
            breaks_per_million: 0,
        };
        Self {
            seed,
            limit: LIMIT,
            medium: SimMedium::seeded(seed, config),
            begun: Instant::now(),
            places: Arc::default(),
        }
    }

    /// The same swarm, whose application may take so much virtual time. The default is four hours.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs an application on the swarm, in a runtime with one thread and a paused clock, and gives what it returns.
    ///
    /// # Panics
    /// If the application panics, or takes more virtual time than it may: then something waits in vain. The seed is
    /// printed either way.
    #[expect(clippy::panic, reason = "a test whose application waits in vain must fail")]
    pub fn run<T>(self, application: impl AsyncFnOnce(Self) -> T) -> T {
        let _seed = SeedOnPanic(self.seed);
        let built = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = built.unwrap_or_else(|error| panic!("a runtime without input and output: {error}"));
        let (places, limit) = (Arc::clone(&self.places), self.limit);
        let ended = runtime.block_on(async move {
            let swarm = Self { begun: Instant::now(), ..self };
            timeout(limit, application(swarm)).await
        });
        // What runs ends with its runtime; the handles of it go first.
        lock(&places).clear();
        ended.unwrap_or_else(|_| panic!("the application did not end within {limit:?} of virtual time"))
    }

    /// What everything random follows from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How much virtual time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Lets so much virtual time pass.
    pub async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    /// What the nodes are connected by: its latency, breaks and traffic.
    #[must_use]
    pub const fn medium(&self) -> &SimMedium {
        &self.medium
    }

    /// A hash over all frames that were delivered so far, with their times.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        self.medium.trace_hash()
    }

    /// Adds a node with a device and a user of its own, and starts it.
    ///
    /// # Errors
    /// None that a store in memory has.
    pub async fn add(&self) -> Result<NodeId, NodeError> {
        let id = NodeId(lock(&self.places).len());
        let store = MemoryStore::new();
        let as_store: Arc<dyn Store> = Arc::new(store.clone());
        let identity = Engine::create(&as_store, self.wall_clock(&Arc::default()), &mut self.generator(id, 0))?;
        self.place(store, identity).await
    }

    /// Adds a node that has what another one had, of this swarm or of an earlier one, and starts it. Nodes that are added
    /// in the order in which they were there find each other where they did.
    ///
    /// # Errors
    /// Why the rows cannot be opened.
    pub async fn add_from(&self, rows: Snapshot) -> Result<NodeId, NodeError> {
        let id = NodeId(lock(&self.places).len());
        let store = MemoryStore::from_snapshot(rows);
        let generator = Box::new(self.generator(id, 0));
        let engine = Engine::open(Arc::new(store.clone()), self.wall_clock(&AtomicI64::default()), generator)?;
        let identity = engine.identity();
        self.place(store, identity).await
    }

    async fn place(&self, store: MemoryStore, identity: Identity) -> Result<NodeId, NodeError> {
        let id = {
            let mut places = lock(&self.places);
            places.push(Place { store, identity, skew_ms: Arc::default(), lives: 0, running: None });
            NodeId(places.len() - 1)
        };
        self.start(id).await?;
        Ok(id)
    }

    /// Starts a node that was killed or stopped, on what its store holds. One that runs goes on.
    ///
    /// # Errors
    /// Why its store cannot be opened.
    pub async fn start(&self, id: NodeId) -> Result<(), NodeError> {
        let node = {
            let mut places = lock(&self.places);
            let place = place_of(&mut places, id);
            if place.running.is_some() {
                return Ok(());
            }
            place.lives += 1;
            let handle = place.store.reopened();
            let store: Arc<dyn Store> = Arc::new(handle.clone());
            let generator = Box::new(self.generator(id, place.lives));
            let engine = Engine::open(Arc::clone(&store), self.wall_clock(&place.skew_ms), generator)?;
            let network: Arc<dyn Network> = Arc::new(self.medium.network(place.identity.peer));
            let mut options = NodeOptions::default();
            options.committer = Committer::Inline;
            options.now = self.clock(Arc::clone(&place.skew_ms));
            let asked = handle.clone();
            options.room = Some(Arc::new(move |_| !asked.is_full()));
            let node = Node::start(engine, store, Some(network), options);
            place.running = Some(Running { node: node.clone(), handle });
            node
        };
        node.listen(address(id)).await
    }

    /// The handle of a node that runs.
    ///
    /// # Errors
    /// [`NodeError::Closed`] if it does not run.
    pub fn node(&self, id: NodeId) -> Result<Node, NodeError> {
        let mut places = lock(&self.places);
        let running = place_of(&mut places, id).running.as_ref();
        running.map(|running| running.node.clone()).ok_or(NodeError::Closed)
    }

    /// Cuts a node's power: what is under way to it is lost, and nothing that it still does has an effect. Handles of it
    /// say that it has stopped.
    pub async fn kill(&self, id: NodeId) {
        let (running, peer) = {
            let mut places = lock(&self.places);
            let place = place_of(&mut places, id);
            (place.running.take(), place.identity.peer)
        };
        let Some(Running { node, handle }) = running else { return };
        handle.fail_commit(0, StoreError::Poisoned);
        self.medium.unplug(peer);
        node.shutdown().await;
    }

    /// Shuts a node down in order.
    pub async fn stop(&self, id: NodeId) {
        let running = place_of(&mut lock(&self.places), id).running.take();
        if let Some(Running { node, .. }) = running {
            node.shutdown().await;
        }
    }

    /// Lets a running node's store take `commits` more batches and fail with the next one, upon which the node stops.
    /// [`NodeSwarm::kill`] clears it away, and [`NodeSwarm::start`] starts it from what was taken.
    pub fn fail_commit(&self, id: NodeId, commits: u64, error: StoreError) {
        if let Some(running) = &place_of(&mut lock(&self.places), id).running {
            running.handle.fail_commit(commits, error);
        }
    }

    /// Fills the disk of a running node, so that nothing more fits, or makes room on it again.
    pub fn fill(&self, id: NodeId, full: bool) {
        if let Some(running) = &place_of(&mut lock(&self.places), id).running {
            running.handle.set_full(full);
        }
    }

    /// The rows of a node's store, whether it runs or not.
    #[must_use]
    pub fn store(&self, id: NodeId) -> MemoryStore {
        place_of(&mut lock(&self.places), id).store.clone()
    }

    /// Sets a node's wall clock off by so much.
    pub fn skew(&self, id: NodeId, skew_ms: i64) {
        place_of(&mut lock(&self.places), id).skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// Sets how long frames take, at least and at most.
    pub fn latency(&self, latency_min: Duration, latency_max: Duration) {
        self.medium.configure(MediumConfig { latency_min, latency_max, ..self.medium.config() });
    }

    /// Sets of how many million frames one breaks its connection.
    pub fn breaks(&self, breaks_per_million: u32) {
        self.medium.configure(MediumConfig { breaks_per_million, ..self.medium.config() });
    }

    /// Breaks the connection between two nodes once.
    pub fn break_connection(&self, a: NodeId, b: NodeId) {
        let [a, b] = self.peers(a, b);
        self.medium.break_connection(a, b);
    }

    /// Cuts the way between two nodes.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        let [a, b] = self.peers(a, b);
        self.medium.cut(a, b);
    }

    /// Mends the way between two nodes.
    pub fn mend(&self, a: NodeId, b: NodeId) {
        let [a, b] = self.peers(a, b);
        self.medium.mend(a, b);
    }

    /// Cuts the ways between all nodes that are not in the same one of these parts. Who is in no part is together with
    /// the others who are in none.
    pub fn partition(&self, parts: &[&[NodeId]]) {
        let part = |id: NodeId| parts.iter().position(|part| part.contains(&id));
        for (a, b) in self.pairs() {
            if part(a) == part(b) {
                self.mend(a, b);
            } else {
                self.cut(a, b);
            }
        }
    }

    /// Mends all ways.
    pub fn heal(&self) {
        self.partition(&[]);
    }

    /// Has the first of these nodes found a group, and the others join it all at once.
    ///
    /// # Errors
    /// As [`Node::new_group`], [`Node::invite`] and [`Node::join`].
    pub async fn form_group(&self, name: &str, members: &[NodeId]) -> Result<(), NodeError> {
        let Some((founder, others)) = members.split_first() else { return Ok(()) };
        let founder = self.node(*founder)?;
        founder.new_group(name, History::All).await?;
        if others.is_empty() {
            return Ok(());
        }
        let code = founder.invite(name, u32::try_from(others.len()).unwrap_or(u32::MAX)).await?;
        let mut joins = Vec::new();
        for other in others {
            joins.push(self.node(*other)?.join(&code, Some(name)).await?);
        }
        for join in joins {
            join.finish().await?;
        }
        Ok(())
    }

    /// Adds so many nodes, and makes a group of them.
    ///
    /// # Errors
    /// As [`NodeSwarm::form_group`].
    pub async fn group_of(&self, name: &str, count: usize) -> Result<Vec<NodeId>, NodeError> {
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(self.add().await?);
        }
        self.form_group(name, &members).await?;
        Ok(members)
    }

    /// Has each of these nodes connect to the next `ways` of them, around in a ring, and waits until they are connected.
    /// After [`NodeSwarm::form_group`] the others know the founder's address only: nobody else connects them.
    ///
    /// # Errors
    /// As [`Node::connect`].
    pub async fn acquaint(&self, members: &[NodeId], ways: usize) -> Result<(), NodeError> {
        let next = |(position, id): (usize, &NodeId)| {
            let others = members.iter().cycle().skip(position + 1).take(ways.min(members.len().saturating_sub(1)));
            others.map(|other| (*id, *other)).collect::<Vec<_>>()
        };
        let pairs: Vec<(NodeId, NodeId)> = members.iter().enumerate().flat_map(next).collect();
        for (id, other) in &pairs {
            self.node(*id)?.connect(address(*other)).await?;
        }
        for (id, other) in pairs {
            let [_, peer] = self.peers(id, other);
            while !self.node(id)?.status().await?.peers.contains(&peer) {
                sleep(ASKED_EVERY).await;
            }
        }
        Ok(())
    }

    /// All of a group's blocks at a node, in their order.
    ///
    /// # Errors
    /// As [`Pager::next_page`](walytis_node::Pager::next_page).
    pub async fn entries(&self, group: &str, id: NodeId) -> Result<Vec<Entry>, NodeError> {
        let mut pager = self.node(id)?.list(group, Listing::default());
        let mut entries = Vec::new();
        while let Some(page) = pager.next_page().await? {
            entries.extend(page);
        }
        Ok(entries)
    }

    /// Waits until these nodes all list the same blocks, each with its content, and gives them. Positions are the first
    /// node's: they are the order of arrival, and no two nodes need agree on that.
    ///
    /// # Errors
    /// As [`NodeSwarm::entries`].
    pub async fn converged(&self, group: &str, members: &[NodeId]) -> Result<Vec<Entry>, NodeError> {
        let Some((first, others)) = members.split_first() else { return Ok(Vec::new()) };
        let same = |one: &Entry, other: &Entry| one.id == other.id && one.content == other.content;
        loop {
            let entries = self.entries(group, *first).await?;
            let mut are_same = entries.iter().all(|entry| entry.content.is_some());
            for other in others {
                are_same = are_same && {
                    let theirs = self.entries(group, *other).await?;
                    theirs.len() == entries.len() && entries.iter().zip(&theirs).all(|(one, other)| same(one, other))
                };
            }
            if are_same {
                return Ok(entries);
            }
            sleep(COMPARED_EVERY).await;
        }
    }

    /// Verifies what a node's store holds, and gives what is wrong.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn problems(&self, id: NodeId) -> Result<Vec<String>, EngineError> {
        let report = walytis_offchain::check(Arc::new(self.store(id).reopened()), &mut |_, _| {})?;
        Ok(report.problems)
    }

    fn pairs(&self) -> Vec<(NodeId, NodeId)> {
        let count = lock(&self.places).len();
        (0..count).flat_map(|a| (0..a).map(move |b| (NodeId(b), NodeId(a)))).collect()
    }

    fn peers(&self, a: NodeId, b: NodeId) -> [walytis_node::PeerId; 2] {
        let mut places = lock(&self.places);
        [a, b].map(|id| place_of(&mut places, id).identity.peer)
    }

    /// The generator of one life of a node; life 0 makes its keys.
    fn generator(&self, id: NodeId, life: u64) -> ChaCha20Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&id.0.to_le_bytes());
        hasher.update(&life.to_le_bytes());
        ChaCha20Rng::from_seed(*hasher.finalize().as_bytes())
    }

    fn clock(&self, skew_ms: Arc<AtomicI64>) -> Clock {
        let begun = self.begun;
        Arc::new(move || wall_clock(begun, &skew_ms))
    }

    fn wall_clock(&self, skew_ms: &AtomicI64) -> Timestamp {
        wall_clock(self.begun, skew_ms)
    }
}

/// Where a node listens.
pub(crate) fn address(id: NodeId) -> Address {
    Address::new(format!("/memory/{}", id.0)).unwrap_or_else(|| unreachable!("it is short"))
}

fn wall_clock(begun: Instant, skew_ms: &AtomicI64) -> Timestamp {
    let since = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Timestamp(EPOCH_MS.saturating_add(since).saturating_add_signed(skew_ms.load(Ordering::Relaxed)))
}

/// The node of this number. An application that names one that it never added has a bug.
fn place_of(places: &mut [Place], id: NodeId) -> &mut Place {
    let count = places.len();
    places.get_mut(id.0).unwrap_or_else(|| unreachable!("node {} was never added: there are {count}", id.0))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the seed of a run that fails.
struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of this swarm is {}", self.0);
        }
    }
}
