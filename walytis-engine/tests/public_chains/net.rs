//! A small network of engines: one thread, one queue of events, a virtual clock, everything drawn from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use walytis_core::query::{Order, Query};
use walytis_core::{
    Address, Batch, BatchNumber, BlockId, Change, Dialer, Direction, KeyRange, Merit, PeerId, Pending, Record, Store,
    StoreError, Table, Timestamp, chains,
};
use walytis_engine::engine::{Answer, Command, Delivery, Effect, Event};
use walytis_engine::public::{
    ChainAnswer, ChainCommand, ChainDetails, ChainEntry, PUBLIC_BYTES_MAX, PublicError, Sharing,
};
use walytis_engine::{DiskSpace, Engine, Progress, Ticket};

/// Rows by table and key.
type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Rows in memory. A commit is one change of all of them. The testkit's `MemoryStore` does more, and these tests would wait
/// for every layer above to be built.
#[derive(Default)]
pub(crate) struct Memory {
    rows: Mutex<Rows>,
    reads: AtomicUsize,
}

impl Store for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.rows.lock().unwrap().get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        let rows = self.rows.lock().unwrap();
        let first = match range.start {
            Bound::Included(key) | Bound::Excluded(key) => key.to_vec(),
            Bound::Unbounded => Vec::new(),
        };
        let last = match range.end {
            Bound::Included(key) | Bound::Excluded(key) => Bound::Included((table, key.to_vec())),
            // No key is as long.
            Bound::Unbounded => Bound::Included((table, vec![0xFF; 128])),
        };
        let rows = rows.range((Bound::Included((table, first)), last));
        let rows = rows.filter(|((_, key), _)| range.contains(key));
        let record =
            |((_, key), value): (&(Table, Vec<u8>), &Vec<u8>)| Record { key: key.clone(), value: value.clone() };
        let found: Vec<Record> = match range.direction {
            Direction::Ascending => rows.take(limit).map(record).collect(),
            Direction::Descending => rows.rev().take(limit).map(record).collect(),
        };
        self.reads.fetch_add(found.len().max(1), Ordering::Relaxed);
        Ok(found)
    }

    fn by_prefix(&self, table: Table, clear: &[u8], first: [u8; 4], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let prefix = [clear, &first[..]].concat();
        let rows = self.rows.lock().unwrap();
        let rows = rows.iter().filter(|((of, key), _)| *of == table && key.starts_with(&prefix));
        Ok(rows.take(limit).map(|(_, value)| value.clone()).collect())
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut rows = self.rows.lock().unwrap();
        for change in batch.changes() {
            match change {
                Change::Put { table, key, value } => rows.insert((*table, key.clone()), value.clone()),
                Change::Delete { table, key } => rows.remove(&(*table, key.clone())),
            };
        }
        Ok(())
    }
}

impl Memory {
    /// How many rows there are, by table.
    pub(crate) fn rows(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (table, _) in self.rows.lock().unwrap().keys() {
            *counts.entry(table.name).or_default() += 1;
        }
        counts
    }

    /// How many bytes all rows have.
    pub(crate) fn bytes(&self) -> u64 {
        self.rows.lock().unwrap().iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }

    /// Cuts a table's n-th row short.
    pub(crate) fn damage(&self, table: &str, row: usize) {
        let mut rows = self.rows.lock().unwrap();
        let damaged = rows.iter_mut().filter(|((of, _), _)| of.name == table).nth(row);
        damaged.unwrap().1.truncate(3);
    }

    /// Takes a table's n-th row away.
    pub(crate) fn lose(&self, table: &str, row: usize) {
        let mut rows = self.rows.lock().unwrap();
        let lost = rows.keys().filter(|(of, _)| of.name == table).nth(row).unwrap().clone();
        rows.remove(&lost);
    }

    /// A copy of everything.
    pub(crate) fn copy(&self) -> Self {
        Self { rows: Mutex::new(self.rows.lock().unwrap().clone()), reads: AtomicUsize::new(0) }
    }

    /// How many rows were read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

enum Happening {
    Event(Event),
    Frame { from: usize, link: u64, bytes: Vec<u8> },
    Commit(BatchNumber),
}

#[derive(Default)]
struct Node {
    store: Arc<Memory>,
    /// `None`: off, or in the test's own hands.
    engine: Option<Engine>,
    peer: Option<PeerId>,
    life: u64,
    links: BTreeMap<usize, u64>,
    writing: VecDeque<Batch>,
    answers: BTreeMap<Ticket, Result<Answer, PublicError>>,
    delivered: Vec<(Ticket, ChainEntry)>,
    ended: Vec<Ticket>,
    progress: Vec<Progress>,
    merits: BTreeMap<PeerId, Merit>,
    mail: Vec<(PeerId, Vec<u8>)>,
    last_arrival: BTreeMap<usize, u64>,
}

/// The network.
pub(crate) struct Net {
    nodes: Vec<Node>,
    now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    due: BTreeMap<u64, (usize, u64, Happening)>,
    cut: BTreeSet<(usize, usize)>,
    pub(crate) rng: ChaCha20Rng,
    seed: u64,
    links: u64,
    pub(crate) frames: u64,
    /// What nodes have sent, and who did, if a test asks for it.
    pub(crate) sent: Option<Vec<(usize, Vec<u8>)>>,
    /// Bytes of all frames that were sent.
    pub(crate) frame_bytes: usize,
    /// The most rows that one batch changed.
    pub(crate) largest_batch: usize,
    /// How many batches were written.
    pub(crate) commits: usize,
    /// The most rows that one step of a node read.
    pub(crate) largest_step: usize,
    /// Who dialled whom.
    pub(crate) dials: Vec<(usize, Option<PeerId>)>,
    /// How much room nodes' disks have, where that can be known.
    pub(crate) disks: BTreeMap<usize, fn(&Memory) -> DiskSpace>,
    /// How often nodes asked for that.
    pub(crate) disk_asked: usize,
    /// The most bytes that all chains of a node have.
    pub(crate) public_bytes_max: Option<u64>,
}

impl Net {
    pub(crate) fn new(seed: u64, nodes: usize) -> Self {
        let mut net = Self {
            nodes: Vec::new(),
            now: 1_700_000_000_000,
            sequence: 0,
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            cut: BTreeSet::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            seed,
            links: 0,
            frames: 0,
            sent: None,
            frame_bytes: 0,
            largest_batch: 0,
            commits: 0,
            largest_step: 0,
            dials: Vec::new(),
            disks: BTreeMap::new(),
            disk_asked: 0,
            public_bytes_max: None,
        };
        for node in 0..nodes {
            let store = Arc::new(Memory::default());
            let mut rng = net.node_rng(node, 0);
            let peer = Engine::create(&(Arc::clone(&store) as Arc<dyn Store>), &mut rng).unwrap();
            net.nodes.push(Node { store, peer: Some(peer), ..Node::default() });
            net.start(node);
        }
        net
    }

    fn node_rng(&self, node: usize, life: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(self.seed.wrapping_mul(1_000_003) ^ ((node as u64) << 32) ^ life)
    }

    pub(crate) fn start(&mut self, node: usize) {
        let life = self.nodes[node].life + 1;
        let rng = Box::new(self.node_rng(node, life));
        let store = Arc::clone(&self.nodes[node].store) as Arc<dyn Store>;
        let engine = Engine::open(store, Timestamp(self.now), rng).unwrap();
        let bytes_max = self.public_bytes_max.unwrap_or(PUBLIC_BYTES_MAX);
        let engine = engine.with_public_bytes_max(bytes_max);
        self.nodes[node].engine = Some(engine);
        self.nodes[node].life = life;
        self.nodes[node].merits.clear();
        let address = self.address(node);
        self.push(0, node, Happening::Event(Event::Listening(address)));
        self.push(0, node, Happening::Event(Event::Online));
    }

    /// As if the node's disk had no room for removals when it started.
    pub(crate) fn put_off_removals(&mut self, node: usize) {
        let engine = self.nodes[node].engine.as_mut().unwrap();
        assert!(engine.removes_chains());
        engine.put_off_removals();
    }

    /// The node's store has no room.
    pub(crate) fn set_full(&mut self, node: usize) {
        self.nodes[node].engine.as_mut().unwrap().set_full();
    }

    /// The node's store has room again.
    pub(crate) fn room_again(&mut self, node: usize) {
        let mut effects = Vec::new();
        self.nodes[node].engine.as_mut().unwrap().room_again(Timestamp(self.now), &mut effects);
        effects.into_iter().for_each(|effect| self.carry_out(node, effect));
    }

    /// Ends a node at once; what it was writing is lost.
    pub(crate) fn kill(&mut self, node: usize) {
        self.take_over(node);
        self.nodes[node].life += 1;
    }

    /// Ends a node's engine, and keeps its place in the network for the test to speak from.
    pub(crate) fn take_over(&mut self, node: usize) {
        for other in self.nodes[node].links.keys().copied().collect::<Vec<_>>() {
            self.unlink(node, other);
        }
        self.nodes[node].engine = None;
        self.nodes[node].writing.clear();
    }

    /// Puts another store below a node that is off.
    pub(crate) fn put_back(&mut self, node: usize, store: Memory) {
        self.nodes[node].store = Arc::new(store);
    }

    pub(crate) fn store(&self, node: usize) -> &Memory {
        &self.nodes[node].store
    }

    pub(crate) fn peer(&self, node: usize) -> PeerId {
        self.nodes[node].peer.unwrap()
    }

    pub(crate) fn engine(&self, node: usize) -> &Engine {
        self.nodes[node].engine.as_ref().unwrap()
    }

    pub(crate) fn address(&self, node: usize) -> Address {
        Address::new(format!("/memory/{node}/p2p/{}", self.peer(node))).unwrap()
    }

    fn find(&self, peer: PeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer == Some(peer))
    }

    fn push(&mut self, after: u64, node: usize, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + after, self.sequence)));
        self.due.insert(self.sequence, (node, self.nodes[node].life, happening));
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a.min(b), a.max(b)));
        self.unlink(a, b);
    }

    /// Cuts every way but those to the first node.
    pub(crate) fn cut_each_other(&mut self, nodes: usize) {
        for a in 1..nodes {
            (a + 1..nodes).for_each(|b| self.cut(a, b));
        }
    }

    /// The clock's reading, in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn mend(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn connected(&self, a: usize, b: usize) -> bool {
        self.nodes[a].links.contains_key(&b)
    }

    fn unlink(&mut self, a: usize, b: usize) {
        for (end, other) in [(a, b), (b, a)] {
            if self.nodes[end].links.remove(&other).is_some() {
                let peer = self.peer(other);
                self.push(1, end, Happening::Event(Event::Disconnected(peer)));
            }
        }
    }

    pub(crate) fn dial(&mut self, from: usize, address: &Address) {
        let to = address.peer().and_then(|peer| self.find(peer)).filter(|to| *to != from);
        let open = to.filter(|to| !self.cut.contains(&(from.min(*to), from.max(*to))));
        // A node in the test's hands dials, and is not dialled.
        let Some(to) = open.filter(|to| self.nodes[*to].engine.is_some()) else {
            return self.push(5, from, Happening::Event(Event::DialFailed(address.clone())));
        };
        if self.connected(from, to) {
            return;
        }
        self.links += 1;
        self.nodes[from].links.insert(to, self.links);
        self.nodes[to].links.insert(from, self.links);
        let (ours, theirs) = (self.peer(from), self.peer(to));
        let event = Event::Connected { peer: theirs, dialer: Dialer::Us, address: Some(address.clone()) };
        self.push(1, from, Happening::Event(event));
        let event = Event::Connected { peer: ours, dialer: Dialer::Peer, address: None };
        self.push(1, to, Happening::Event(event));
    }

    /// Connects two nodes now.
    pub(crate) fn link(&mut self, from: usize, to: usize) {
        let address = self.address(to);
        self.dial(from, &address);
    }

    /// Sends a frame as if the node's engine did.
    pub(crate) fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let Some(link) = self.nodes[from].links.get(&to).copied() else { return };
        self.frames += 1;
        if let Some(sent) = &mut self.sent {
            sent.push((from, bytes.clone()));
        }
        self.frame_bytes += bytes.len();
        let arrival = self.now + 1 + self.rng.next_u64() % 40;
        let last = self.nodes[to].last_arrival.entry(from).or_default();
        *last = arrival.max(*last);
        let after = *last - self.now;
        self.push(after, to, Happening::Frame { from, link, bytes });
    }

    fn step(&mut self) -> bool {
        let Some(Reverse((time, sequence))) = self.queue.pop() else { return false };
        self.now = self.now.max(time);
        let Some((node, life, happening)) = self.due.remove(&sequence) else { return true };
        if self.nodes[node].life != life {
            return true;
        }
        let event = match happening {
            Happening::Event(event) => event,
            Happening::Commit(number) => {
                let Some(batch) = self.nodes[node].writing.pop_front() else { return true };
                self.nodes[node].store.commit(&batch).unwrap();
                Event::Committed(number)
            }
            Happening::Frame { from, link, bytes } => {
                if self.nodes[node].links.get(&from) != Some(&link) {
                    return true;
                }
                Event::Frame { peer: self.peer(from), bytes }
            }
        };
        let now = Timestamp(self.now);
        let mut effects = Vec::new();
        let read = self.nodes[node].store.reads();
        match self.nodes[node].engine.as_mut() {
            Some(engine) => engine.handle(now, event, &mut effects),
            None => {
                if let Event::Frame { peer, bytes } = event {
                    self.nodes[node].mail.push((peer, bytes));
                }
            }
        }
        self.largest_step = self.largest_step.max(self.nodes[node].store.reads() - read);
        for effect in effects {
            self.carry_out(node, effect);
        }
        true
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Commit { number, batch } => {
                self.largest_batch = self.largest_batch.max(batch.changes().len());
                self.commits += 1;
                self.nodes[node].writing.push_back(batch);
                self.push(1, node, Happening::Commit(number));
            }
            Effect::Send { peer, frame } => {
                if let Some(to) = self.find(peer) {
                    self.send(node, to, frame);
                }
            }
            Effect::Disconnect(peer) => {
                if let Some(other) = self.find(peer) {
                    self.unlink(node, other);
                }
            }
            Effect::Dial(address) => {
                self.dials.push((node, address.peer()));
                self.dial(node, &address);
            }
            // Nobody can be asked here.
            Effect::Find(_) => {}
            Effect::Merit { peer, merit } => {
                let known = self.nodes[node].merits.entry(peer).or_default();
                *known = known.once_said(merit);
            }
            Effect::AskDiskSpace => {
                self.disk_asked += 1;
                if let Some(space) = self.disks.get(&node) {
                    let space = space(&self.nodes[node].store);
                    self.push(0, node, Happening::Event(Event::DiskSpace(space)));
                }
            }
            Effect::Timer { after_ms, timer } => self.push(after_ms, node, Happening::Event(Event::Timer(timer))),
            Effect::Reply { ticket, answer } => drop(self.nodes[node].answers.insert(ticket, answer)),
            Effect::Delivered { subscription, delivery: Delivery::Chain(entry) } => {
                self.nodes[node].delivered.push((subscription, entry));
            }
            Effect::Delivered { subscription, .. } => self.nodes[node].ended.push(subscription),
            Effect::Progress { progress, .. } => self.nodes[node].progress.push(progress),
            Effect::Stopped(error) => panic!("node {node} stopped: {error}"),
        }
    }

    /// Lets so many milliseconds pass.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.queue.peek().is_some_and(|Reverse((time, _))| *time <= end) {
            self.step();
        }
        self.now = end;
    }

    pub(crate) fn ask(&mut self, node: usize, command: ChainCommand) -> Ticket {
        self.sequence += 1;
        let ticket = Ticket(self.sequence);
        self.push(0, node, Happening::Event(Event::Command { ticket, command: Command::Chain(command) }));
        ticket
    }

    pub(crate) fn answer(&mut self, node: usize, ticket: Ticket) -> Option<Result<ChainAnswer, PublicError>> {
        self.nodes[node].answers.remove(&ticket).map(|answer| match answer {
            Ok(Answer::Chain(answer)) => Ok(answer),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        })
    }

    /// Gives a command and waits for its answer, up to a virtual minute.
    pub(crate) fn call(&mut self, node: usize, command: ChainCommand) -> Result<ChainAnswer, PublicError> {
        let ticket = self.ask(node, command);
        let end = self.now + 60_000;
        while !self.nodes[node].answers.contains_key(&ticket) && self.now <= end && self.step() {}
        self.answer(node, ticket).expect("each command is answered")
    }

    pub(crate) fn found(&mut self, node: usize) {
        self.call(node, ChainCommand::New { name: "c".into() }).unwrap();
    }

    pub(crate) fn post(&mut self, node: usize, content: &[u8]) -> BlockId {
        let post = ChainCommand::Post { chain: "c".into(), topics: vec![b"t".to_vec()], content: content.to_vec() };
        match self.call(node, post).unwrap() {
            ChainAnswer::Posted(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn invite(&mut self, node: usize, uses: Option<u32>, sharing: Sharing) -> String {
        match self.call(node, ChainCommand::Invite { chain: "c".into(), uses, sharing }).unwrap() {
            ChainAnswer::Invitation(invitation) => invitation.code.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn join(&mut self, node: usize, code: &str) -> Result<ChainAnswer, PublicError> {
        self.call(node, ChainCommand::Join { code: code.into(), name: Some("c".into()) })
    }

    /// All nodes follow one chain of the first.
    pub(crate) fn all_join(&mut self) {
        self.found(0);
        let code = self.invite(0, None, Sharing::Joiners);
        for node in 1..self.nodes.len() {
            self.join(node, &code).unwrap();
        }
    }

    pub(crate) fn details(&mut self, node: usize) -> ChainDetails {
        match self.call(node, ChainCommand::Show { chain: "c".into() }).unwrap() {
            ChainAnswer::Details(details) => *details,
            other => panic!("{other:?}"),
        }
    }

    /// The whole listing of a node.
    pub(crate) fn list(&mut self, node: usize) -> Vec<ChainEntry> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let query = Box::new(Query { order: Order::Listing, ..Query::default() });
            let list = ChainCommand::List { chain: "c".into(), query, after, limit: 256 };
            let page = match self.call(node, list).unwrap() {
                ChainAnswer::Page(page) => page,
                other => panic!("{other:?}"),
            };
            all.extend(page.entries);
            let Some(next) = page.next else { return all };
            after = Some(next);
        }
    }

    pub(crate) fn delivered(&self, node: usize) -> &[(Ticket, ChainEntry)] {
        &self.nodes[node].delivered
    }

    pub(crate) fn ended(&self, node: usize) -> &[Ticket] {
        &self.nodes[node].ended
    }

    /// What another node has earned by what a node's engine said.
    pub(crate) fn merit(&self, node: usize, other: usize) -> Merit {
        let peer = self.nodes[other].peer.unwrap();
        self.nodes[node].merits.get(&peer).copied().unwrap_or_default()
    }

    pub(crate) fn progress(&self, node: usize) -> &[Progress] {
        &self.nodes[node].progress
    }

    pub(crate) fn mail(&mut self, node: usize) -> Vec<(PeerId, Vec<u8>)> {
        std::mem::take(&mut self.nodes[node].mail)
    }

    /// What a node's store holds, durable alone.
    pub(crate) fn view(&self, node: usize) -> Pending {
        Pending::new(Arc::clone(&self.nodes[node].store) as Arc<dyn Store>)
    }

    /// All heads that a node's store holds.
    pub(crate) fn heads(&mut self, node: usize) -> Vec<BlockId> {
        let chain = self.details(node).summary.chain;
        chains::heads(&self.view(node), chain).unwrap()
    }

    /// What every set must be like: each block verifies, stands behind its ancestors, and is indexed as it was
    /// inserted (B3, B5, B6).
    pub(crate) fn check(&self, node: usize) {
        let view = self.view(node);
        let leaving = walytis_engine::public::leaving(&view).unwrap();
        for chain in chains::all_chains(&view).unwrap() {
            if leaving.contains(&chain) {
                continue;
            }
            for position in 0..chains::length(&view, chain).unwrap() {
                let stored = chains::block_at(&view, chain, position).unwrap().unwrap();
                stored.block.parsed().clone().verify(None).unwrap();
                chains::recheck(&view, &stored).unwrap();
                assert_eq!(stored.block.chain(), chain);
            }
        }
    }
}
