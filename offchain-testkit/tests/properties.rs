//! Properties of a whole swarm, each under the name of its invariant in the threat model: random schedules of posts,
//! joins, cuts and kills, then everything is mended.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::*;
use offchain_testkit::{NodeId, Puppet, World, WorldConfig};
use proptest::prelude::*;
use proptest::sample::Index;
use walytis_core::{BlockId, Pending, Store, chains};
use walytis_identities::{History, keyring};
use walytis_offchain::{Answer, Command, Delivery, Ticket};

const GROUP: &str = "friends";

/// One step of a schedule. Numbers of nodes are taken modulo the number of nodes.
#[derive(Clone, Debug)]
enum Step {
    Post(usize, usize),
    Cut(usize, usize),
    Mend(usize, usize),
    Kill(usize),
    Start(usize),
    Link(usize, usize),
    Skew(usize, i64),
    Run(u64),
    /// A node that is not a member yet asks the founder, without waiting for the end.
    Join(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..5_usize;
    prop_oneof![
        6 => (node(), 0..2_000_usize).prop_map(|(node, bytes)| Step::Post(node, bytes)),
        3 => (node(), node()).prop_map(|(a, b)| Step::Cut(a, b)),
        2 => (node(), node()).prop_map(|(a, b)| Step::Mend(a, b)),
        1 => node().prop_map(Step::Kill),
        2 => node().prop_map(Step::Start),
        2 => (node(), node()).prop_map(|(a, b)| Step::Link(a, b)),
        1 => (node(), -315_360_000_000..315_360_000_000_i64).prop_map(|(node, ms)| Step::Skew(node, ms)),
        4 => (0..20_u64).prop_map(Step::Run),
        2 => (100..3_000_u64).prop_map(Step::Run),
        1 => node().prop_map(Step::Join),
    ]
}

#[derive(Clone, Debug)]
struct Schedule {
    seed: u64,
    nodes: usize,
    members: usize,
    steps: Vec<Step>,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (any::<u64>(), 2..=5_usize, 1..=5_usize, proptest::collection::vec(step(), 10..60))
        .prop_map(|(seed, nodes, members, steps)| Schedule { seed, nodes, members: members.min(nodes), steps })
}

/// A world after a schedule, and what is known about it.
struct Run {
    world: World,
    nodes: Vec<NodeId>,
    members: BTreeSet<NodeId>,
    acknowledged: Vec<(BlockId, Vec<u8>)>,
    subscriptions: Vec<(NodeId, Ticket)>,
}

impl Run {
    fn begin(schedule: &Schedule, keep_frames: bool) -> Self {
        let config = WorldConfig { latency_max_us: 30_000, ..WorldConfig::calm(schedule.seed) };
        let mut world = World::new(config);
        if keep_frames {
            world.keep_frames();
        }
        let nodes: Vec<NodeId> = (0..schedule.nodes).map(|_| world.add_node().expect("a new store")).collect();
        group_of(&mut world, GROUP, nodes[0], &nodes[1..schedule.members]);
        let members = nodes[..schedule.members].iter().copied().collect();
        let mut run = Self { world, nodes, members, acknowledged: Vec::new(), subscriptions: Vec::new() };
        for node in run.members.clone() {
            run.subscribe(node);
        }
        run
    }

    fn subscribe(&mut self, node: NodeId) {
        let subscription = subscribe(&mut self.world, node, GROUP);
        self.subscriptions.push((node, subscription));
    }

    fn carry_out(&mut self, steps: &[Step]) {
        let code = invite(&mut self.world, self.nodes[0], GROUP, 5);
        let mut posts: BTreeMap<(NodeId, Ticket), Vec<u8>> = BTreeMap::new();
        let mut joins: BTreeMap<NodeId, Ticket> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let node = |index: &usize| self.nodes[index % self.nodes.len()];
            match step {
                Step::Post(index, bytes) => {
                    let node = node(index);
                    if self.members.contains(&node) && self.world.is_running(node) {
                        let mut content =
                            format!("canary {number} of {node:?} in {}", self.world.now_us()).into_bytes();
                        content.resize(content.len() + bytes, b'.');
                        let command = Command::Post { group: GROUP.into(), topics: vec![], content: content.clone() };
                        posts.insert((node, self.world.ask(node, command)), content);
                    }
                }
                Step::Cut(a, b) => self.world.cut(node(a), node(b)),
                Step::Mend(a, b) => self.world.mend(node(a), node(b)),
                Step::Kill(index) => self.world.kill(node(index)),
                Step::Start(index) => {
                    let node = node(index);
                    if !self.world.is_running(node) {
                        self.world.start(node).expect("every store opens after a kill");
                        if self.members.contains(&node) {
                            self.subscribe(node);
                        }
                    }
                }
                Step::Link(a, b) => {
                    if node(a) != node(b) {
                        self.world.link(node(a), node(b));
                    }
                }
                Step::Skew(index, ms) => self.world.skew(node(index), *ms),
                Step::Run(ms) => self.world.run_for(*ms),
                Step::Join(index) => {
                    let node = node(index);
                    if !self.members.contains(&node) && !joins.contains_key(&node) && self.world.is_running(node) {
                        let command = Command::Join { code: code.clone(), name: Some(GROUP.into()) };
                        joins.insert(node, self.world.ask(node, command));
                    }
                }
            }
            joins.retain(|node, ticket| match self.world.take_answer(*node, *ticket) {
                Some(Ok(_)) => {
                    self.members.insert(*node);
                    false
                }
                Some(Err(_)) => false,
                None => true,
            });
            posts.retain(|(node, ticket), content| match self.world.take_answer(*node, *ticket) {
                Some(Ok(Answer::Posted(id))) => {
                    self.acknowledged.push((id, content.clone()));
                    false
                }
                Some(other) => panic!("a member posts: {other:?}"),
                None => true,
            });
        }
        self.heal(&code, joins);
        for ((node, ticket), content) in posts {
            if let Some(Ok(Answer::Posted(id))) = self.world.take_answer(node, ticket) {
                self.acknowledged.push((id, content));
            }
        }
    }

    fn heal(&mut self, code: &str, joins: BTreeMap<NodeId, Ticket>) {
        for a in &self.nodes {
            self.world.skew(*a, 0);
            for b in &self.nodes {
                self.world.mend(*a, *b);
            }
        }
        for node in self.nodes.clone() {
            if !self.world.is_running(node) {
                self.world.start(node).expect("every store opens after a kill");
                if self.members.contains(&node) {
                    self.subscribe(node);
                }
            }
        }
        self.world.run_for(LONG_MS);
        for (node, ticket) in joins {
            if let Some(Ok(_)) = self.world.take_answer(node, ticket) {
                self.members.insert(node);
            }
        }
        // Whoever was interrupted asks again with the same code, as a person would.
        for node in self.nodes.clone() {
            if !self.members.contains(&node) {
                match join(&mut self.world, node, code, GROUP) {
                    Ok(_) | Err(walytis_offchain::EngineError::AlreadyMember(_)) => drop(self.members.insert(node)),
                    Err(error) => panic!("{node:?} cannot join a healed world: {error}"),
                }
            }
        }
        let members: Vec<NodeId> = self.members.iter().copied().collect();
        converge(&mut self.world, GROUP, &members);
    }

    /// Everything that must hold at the end.
    fn check(&mut self) {
        let first = self.nodes[0];
        let group = group_id(&mut self.world, first, GROUP);
        let (listing, of_first) = (list(&mut self.world, first, GROUP), membership(&self.world, first, group));
        let heads = details(&mut self.world, first, GROUP).heads;
        assert_eq!(of_first.members.len(), self.members.len());
        for node in self.members.clone() {
            assert_eq!(details(&mut self.world, node, GROUP).heads, heads, "C1");
            let own = list(&mut self.world, node, GROUP);
            let shown = |entry: &walytis_offchain::Entry| {
                (entry.id, entry.generation, entry.author, entry.device, entry.created_at_ms, entry.content.clone())
            };
            assert!(own.iter().map(shown).eq(listing.iter().map(shown)), "C2: equal listings");
            assert_eq!(membership(&self.world, node, group), of_first, "C2: equal memberships and epochs");
            assert_sound(&self.world, node);
        }
        for (id, content) in &self.acknowledged {
            let entry = listing.iter().find(|entry| entry.id == *id).expect("W1: what was acknowledged is there");
            assert_eq!(&entry.content.as_ref().expect("all content is here").bytes, content, "H2");
        }
        for (node, subscription) in &self.subscriptions {
            assert_delivered_in_order(&self.world, *node, &delivered(&self.world, *node, *subscription));
        }
    }
}

#[test]
fn c1_c2_d2_s1_w1_after_healing_all_members_are_equal() {
    let acknowledged = std::cell::Cell::new(0_usize);
    runner(60)
        .run(&schedule(), |schedule| {
            let mut run = Run::begin(&schedule, false);
            run.carry_out(&schedule.steps);
            run.check();
            acknowledged.set(acknowledged.get() + run.acknowledged.len());
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(acknowledged.get() > 200, "the schedules do something: {} posts", acknowledged.get());
}

#[test]
fn d1_every_subscriber_gets_every_later_block_exactly_once() {
    for seed in 0..4 {
        let mut world = calm(100 + seed);
        let [a, b, c] = nodes(&mut world);
        group_of(&mut world, GROUP, a, &[b, c]);
        converge(&mut world, GROUP, &[a, b, c]);
        let subscriptions = [a, b, c].map(|node| (node, subscribe(&mut world, node, GROUP)));
        world.cut(a, c);
        let mut posted = BTreeSet::new();
        for number in 0..10_u8 {
            for node in [a, b, c] {
                posted.insert(post(&mut world, node, GROUP, &[number; 30]));
            }
            if number == 5 {
                world.cut(b, c);
            }
        }
        world.mend(a, c);
        world.mend(b, c);
        converge(&mut world, GROUP, &[a, b, c]);
        for (node, subscription) in subscriptions {
            let deliveries = delivered(&world, node, subscription);
            assert_delivered_in_order(&world, node, &deliveries);
            let blocks: BTreeSet<BlockId> = deliveries
                .iter()
                .filter_map(|delivery| match delivery {
                    Delivery::Block(entry) => Some(entry.id),
                    _ => None,
                })
                .collect();
            assert_eq!(blocks, posted, "{node:?}");
        }
    }
}

#[test]
fn b4_b5_b6_any_order_of_arrival_gives_the_same_set_and_listing() {
    let mut world = calm(31);
    let [a, b, c, d] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, c, d]);
    converge(&mut world, GROUP, &[a, b, c, d]);
    world.kill(d);
    let before = world.store(d).snapshot();
    for round in 0..4_u8 {
        world.cut(a, b);
        world.cut(b, c);
        world.cut(a, c);
        for node in [a, b, c] {
            for number in 0..=round % 3 {
                post(&mut world, node, GROUP, &[round, number]);
            }
        }
        for (one, other) in [(a, b), (b, c), (a, c)] {
            world.mend(one, other);
        }
        converge(&mut world, GROUP, &[a, b, c]);
    }
    // An operation in the middle: who is a member, and by which epoch, hangs on the order too.
    let code = invite(&mut world, a, GROUP, 1);
    let [e] = nodes(&mut world);
    join(&mut world, e, &code, GROUP).expect("an open invitation");
    for node in [b, e] {
        post(&mut world, node, GROUP, b"after the join");
    }
    converge(&mut world, GROUP, &[a, b, c, e]);
    let group = group_id(&mut world, a, GROUP);
    let expected =
        (details(&mut world, a, GROUP).heads, ids(&list(&mut world, a, GROUP)), membership(&world, a, group));
    for node in [a, b, e] {
        world.kill(node);
    }
    let puppet = Puppet::possess(&mut world, c).expect("a sound store");
    let blocks = puppet.wire_chain(group).expect("a sound store");
    assert!(blocks.len() > 27, "enough of them are new to the fourth node");

    let order = proptest::collection::vec(any::<Index>(), blocks.len());
    let both = std::cell::RefCell::new((world, puppet));
    runner(24)
        .run(&order, |order| {
            let (world, puppet) = &mut *both.borrow_mut();
            world.put_back(d, before.clone());
            // What its earlier run had sent arrives, and that it is gone is noticed.
            puppet.listen(world, 300);
            world.start(d).expect("an old copy opens");
            assert!(puppet.open_session(world, d, group), "a member gets a session");
            let mut left = blocks.clone();
            let mut sent = 0;
            while !left.is_empty() {
                let next = order[sent].index(left.len());
                let block = left.swap_remove(next);
                // Every third block twice: insertion is idempotent.
                for _ in 0..=usize::from(sent % 3 == 0) {
                    assert!(puppet.push(world, d, group, block.clone()));
                }
                sent += 1;
            }
            puppet.listen(world, 300);
            let found = (details(world, d, GROUP).heads, ids(&list(world, d, GROUP)), membership(world, d, group));
            prop_assert_eq!(&found, &expected);
            assert_sound(world, d);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Every place in `bytes` at which one of the canaries stands. Canaries are found by their first 16 bytes.
fn contains_any(bytes: &[u8], canaries: &BTreeSet<[u8; 16]>) -> bool {
    bytes.windows(16).any(|window| <[u8; 16]>::try_from(window).is_ok_and(|window| canaries.contains(&window)))
}

fn canary(bytes: &[u8]) -> [u8; 16] {
    bytes[..16].try_into().expect("at least 16 bytes")
}

#[test]
fn s2_no_plaintext_and_no_key_in_any_frame() {
    let schedules = [(41, 3, 1), (42, 4, 2)].map(|(seed, nodes, members)| Schedule {
        seed,
        nodes,
        members,
        steps: vec![
            Step::Post(0, 10),
            Step::Run(50),
            Step::Cut(0, 1),
            Step::Post(0, 900),
            Step::Post(1, 300),
            Step::Run(500),
            Step::Mend(0, 1),
            Step::Join(2),
            Step::Run(3_000),
            Step::Post(2, 20),
            Step::Kill(1),
            Step::Post(0, 10),
            Step::Run(100),
            Step::Start(1),
            Step::Run(2_000),
            Step::Join(3),
            Step::Run(2_000),
            Step::Post(1, 70_000),
        ],
    });
    for schedule in schedules {
        let mut run = Run::begin(&schedule, true);
        run.carry_out(&schedule.steps);
        run.check();
        let group = group_id(&mut run.world, run.nodes[0], GROUP);
        let mut canaries: BTreeSet<[u8; 16]> = run.acknowledged.iter().map(|(_, content)| canary(content)).collect();
        assert!(canaries.len() >= 3);
        for node in &run.members {
            let store: Arc<dyn Store> = run.world.store(*node);
            let view = Pending::new(store);
            let device = keyring::device(&view).expect("a sound store").expect("a device");
            let seed = device.secret.seed();
            canaries.extend([canary(&seed[..32]), canary(&seed[32..]), canary(&*device.transport)]);
            for chain in chains::all_chains(&view).expect("a sound store") {
                if let Ok(author) = keyring::author(&view, chain) {
                    canaries.insert(canary(&author.seed()));
                }
                if let Ok(leaf) = keyring::leaf(&view, chain) {
                    canaries.insert(canary(&leaf.seed()[..]));
                }
            }
            for epoch in membership(&run.world, *node, group).epochs.keys() {
                if let Some(seed) = keyring::epoch(&view, *epoch).expect("a sound store") {
                    canaries.insert(canary(seed.as_bytes()));
                }
            }
        }
        assert!(run.world.frames().len() > 20);
        for frame in run.world.frames() {
            assert!(!contains_any(frame, &canaries), "a frame of {} bytes shows a canary", frame.len());
        }
        // The same search finds them where they are kept in clear: it can fail.
        let shown = run.world.store(run.nodes[0]).raw_bytes().filter(|row| contains_any(row, &canaries)).count();
        assert!(shown > 3, "{shown}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let hash = |seed| {
        let steps = vec![
            Step::Post(0, 10),
            Step::Cut(0, 1),
            Step::Post(1, 10),
            Step::Kill(0),
            Step::Run(700),
            Step::Start(0),
            Step::Mend(0, 1),
            Step::Join(2),
            Step::Run(4_000),
            Step::Post(2, 3),
        ];
        let schedule = Schedule { seed, nodes: 3, members: 2, steps };
        let mut run = Run::begin(&schedule, false);
        run.carry_out(&schedule.steps);
        (run.world.trace_hash(), run.world.traffic(), run.world.now_us())
    };
    let all: Vec<_> = (50..58).map(hash).collect();
    assert_eq!(all, (50..58).map(hash).collect::<Vec<_>>());
    let different: BTreeSet<[u8; 32]> = all.iter().map(|(hash, _, _)| *hash).collect();
    assert_eq!(different.len(), all.len(), "another seed is another run");
}

#[test]
fn since_join_listings_agree_on_blocks_whatever_can_be_read() {
    let mut world = calm(61);
    let [a, b] = nodes(&mut world);
    ok(world.call(a, Command::NewGroup { name: GROUP.into(), history: History::SinceJoin }, LONG_MS));
    let old: Vec<BlockId> = (0..5_u8).map(|number| post(&mut world, a, GROUP, &[number; 30])).collect();
    let code = invite(&mut world, a, GROUP, 1);
    join(&mut world, b, &code, GROUP).expect("an open invitation");
    let new: Vec<BlockId> = (0..5_u8).map(|number| post(&mut world, a, GROUP, &[50 + number; 30])).collect();
    let own = post(&mut world, b, GROUP, b"from the newcomer");
    world.run_for(5_000);
    assert_eq!(ids(&list(&mut world, a, GROUP)), ids(&list(&mut world, b, GROUP)));
    for entry in list(&mut world, b, GROUP) {
        assert_eq!(entry.content.is_some(), new.contains(&entry.id) || entry.id == own, "S4: {:?}", entry.id);
        assert_eq!(entry.content.is_none(), old.contains(&entry.id));
    }
    assert!(list(&mut world, a, GROUP).iter().all(|entry| entry.content.is_some()));
}
