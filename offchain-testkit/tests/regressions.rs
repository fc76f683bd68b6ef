//! Plans that failed once, replayed, and plans that proptest draws.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod common;

use common::runner;
use offchain_testkit::Mangle;
use offchain_testkit::swarm::{self, Action, Partition, Plan, Ranges, Setting, Step};
use proptest::prelude::*;

/// Every plan that was kept.
fn kept() -> Vec<(String, Plan)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut plans = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of plans") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a plan's text");
        plans.push((name.clone(), text.parse().unwrap_or_else(|error| panic!("{name}: {error}"))));
    }
    plans.sort_by(|one, other| one.0.cmp(&other.0));
    plans
}

#[test]
fn what_failed_once_passes() {
    let plans = kept();
    assert!(plans.len() >= 2, "the plans that were kept are found");
    for (name, plan) in plans {
        swarm::run(&plan).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

const NODES: usize = 5;

fn action() -> impl Strategy<Value = Action> {
    let node = || 0..NODES;
    prop_oneof![
        8 => (node(), 0..2_000_usize).prop_map(|(node, bytes)| Action::Post { node, bytes }),
        1 => node().prop_map(|node| Action::Join { node }),
        1 => node().prop_map(|node| Action::Read { node }),
        2 => (node(), node(), mangle()).prop_map(|(from, to, how)| Action::Mangle { from, to, how }),
        1 => (node(), node()).prop_map(|(a, b)| Action::Break { a, b }),
        1 => (node(), node()).prop_map(|(loses, keeps)| Action::HalfOpen { loses, keeps }),
        2 => (node(), node()).prop_map(|(a, b)| Action::Partition(Partition::Pair { a, b })),
        1 => node().prop_map(|node| Action::Partition(Partition::Isolate { node })),
        1 => (node(), node()).prop_map(|(from, to)| Action::OneWay { from, to }),
        2 => (node(), node()).prop_map(|(a, b)| Action::Mend { a, b }),
        1 => Just(Action::MendAll),
        2 => (node(), 0..4_usize).prop_map(|(node, keep)| Action::Kill { node, keep }),
        2 => node().prop_map(|node| Action::Start { node }),
        1 => (node(), 0..40_000_u64).prop_map(|(node, after_us)| Action::CrashInRecovery { node, after_us }),
        1 => (node(), 0..6_u64, any::<bool>()).prop_map(|(node, after, full)| Action::FailCommit { node, after, full }),
        1 => (node(), 0..30_000_u64).prop_map(|(node, ms)| Action::Pause { node, ms }),
        1 => (node(), -315_360_000_000..315_360_000_000_i64).prop_map(|(node, ms)| Action::Skew { node, ms }),
    ]
}

fn mangle() -> impl Strategy<Value = Mangle> {
    prop_oneof![
        Just(Mangle::Drop),
        Just(Mangle::Duplicate),
        (0..64_u16).prop_map(Mangle::Late),
        (0..1000_u16).prop_map(Mangle::Cut),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let step = (prop_oneof![4 => 0..8_u64, 4 => 0..500_u64, 1 => 0..20_000_u64], action())
        .prop_map(|(wait_ms, action)| Step { wait_ms, action });
    let setting = (any::<u64>(), 2..=NODES, 1..=NODES, any::<bool>(), 1..100_u64).prop_map(
        |(seed, nodes, members, mesh, latency_ms)| Setting {
            seed,
            nodes,
            members: members.min(nodes),
            disks: usize::from(seed % 4 == 0),
            mesh,
            latency_ms,
            commit_us: 400,
            tail_permille: 0,
            enemies: Vec::new(),
            circle: seed % 3 == 0,
            public: false,
        },
    );
    (setting, proptest::collection::vec(step, 10..60)).prop_map(|(setting, steps)| Plan { setting, steps })
}

#[test]
fn every_invariant_holds_over_plans_that_proptest_draws_and_shrinks() {
    let operations = std::cell::Cell::new(0_u64);
    runner(60)
        .run(&plan(), |plan| {
            let outcome = swarm::run(&plan).map_err(|failure| TestCaseError::fail(format!("{failure}\n{plan}")))?;
            operations.set(operations.get() + outcome.operations);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(operations.get() > 500, "the plans do something: {} operations", operations.get());
}

#[test]
fn a_drawn_run_leaves_the_same_trace_again_and_its_neighbour_another() {
    let enemies = vec!["equivocation".to_owned(), "outsider".to_owned()];
    let ranges = Ranges { nodes_min: 5, nodes_max: 6, enemies };
    let trace = |seed| swarm::run(&Plan::drawn(seed, &ranges)).expect("it passes").trace;
    let first: Vec<[u8; 32]> = (7_000..7_004).map(trace).collect();
    assert_eq!(first, (7_000..7_004).map(trace).collect::<Vec<_>>());
    let mut different = first.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), first.len());
}
