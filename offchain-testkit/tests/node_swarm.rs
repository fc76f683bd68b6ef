//! Whole nodes on a simulated swarm: equal runs are equal, whatever the network does to them.

use std::time::Duration;

use offchain_testkit::network_contract::check_network;
use offchain_testkit::{MediumConfig, NodeSwarm, SimMedium};
use walytis_node::{Address, NodeError, PeerId, StoreError};

/// A group whose ways are slow and break, of which one is killed and started again. Gives the trace.
async fn busy(swarm: NodeSwarm) -> Result<[u8; 32], NodeError> {
    let members = swarm.group_of("friends", 4).await?;
    swarm.acquaint(&members, 1).await?;
    swarm.skew(members[1], -3_600_000);
    swarm.latency(Duration::ZERO, Duration::from_millis(300));
    swarm.breaks(20_000);
    for round in 0..4 {
        for member in &members {
            swarm.node(*member)?.post("friends", format!("round {round}")).await?;
        }
        match round {
            0 => swarm.partition(&[&members[..2]]),
            1 => swarm.kill(members[3]).await,
            2 => swarm.heal(),
            _ => {}
        }
        swarm.pass(Duration::from_secs(1)).await;
        swarm.start(members[3]).await?;
    }
    let entries = swarm.converged("friends", &members).await?;
    assert_eq!(entries.len(), 16);
    let hour_early = entries.iter().filter(|entry| entry.created_at_ms < 1_700_000_000_000).count();
    assert_eq!(hour_early, 4, "one's wall clock is off, and it decides nothing");
    assert!(swarm.elapsed() < Duration::from_secs(300), "dialling again takes a minute at most");
    Ok(swarm.trace_hash())
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = Vec::new();
    for seed in 1..=8 {
        let [once, again] = [(); 2].map(|()| NodeSwarm::new(seed).run(busy).expect("no node stops by itself"));
        assert_eq!(once, again, "seed {seed}");
        assert!(!traces.contains(&once), "seed {seed} is like another");
        traces.push(once);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_medium_keeps_the_contract_too() {
    for seed in 0..4 {
        let latency_max = Duration::from_millis(40 * seed);
        let config = MediumConfig { latency_max, ..MediumConfig::default() };
        let medium = SimMedium::seeded(seed, config);
        let [first, second, third] = [1, 2, 3].map(|number| medium.network(PeerId([number; 32])));
        let listen = Address::new("/memory/1").expect("a short address");
        check_network(&first, &second, &third, &listen).await;
    }
}

#[test]
fn a_node_whose_power_is_cut_has_no_effect_any_more() {
    NodeSwarm::new(3).run(async |swarm| {
        let members = swarm.group_of("friends", 2).await.expect("a group");
        let dead = swarm.node(members[0]).expect("it runs");
        let rows = swarm.store(members[0]).snapshot();
        swarm.kill(members[0]).await;
        assert!(dead.post("friends", "from beyond").await.is_err());
        assert!(matches!(swarm.node(members[0]), Err(NodeError::Closed)));
        assert!(swarm.store(members[0]).snapshot() == rows);
        assert_eq!(swarm.entries("friends", members[1]).await.expect("it runs"), []);
        swarm.start(members[0]).await.expect("a sound store");
        let again = swarm.node(members[0]).expect("it runs");
        again.post("friends", "alive").await.expect("a member");
        assert_eq!(swarm.converged("friends", &members).await.expect("both run").len(), 1);
    });
}

#[test]
fn a_node_whose_store_fails_stops_and_starts_from_what_was_taken() {
    NodeSwarm::new(4).run(async |swarm| {
        let members = swarm.group_of("friends", 2).await.expect("a group");
        let node = swarm.node(members[0]).expect("it runs");
        swarm.fail_commit(members[0], 1, StoreError::Poisoned);
        node.post("friends", "taken").await.expect("one more batch is taken");
        assert!(node.post("friends", "lost").await.is_err());
        assert!(node.stopped().await.is_some(), "it says why");
        swarm.kill(members[0]).await;
        swarm.start(members[0]).await.expect("a sound store");
        let entries = swarm.converged("friends", &members).await.expect("both run");
        assert_eq!(entries.len(), 1);
        assert_eq!(swarm.problems(members[0]).expect("it can be read"), Vec::<String>::new());
    });
}

#[test]
#[should_panic(expected = "did not end within 60s of virtual time")]
fn an_application_that_waits_in_vain_fails() {
    NodeSwarm::new(5).within(Duration::from_secs(60)).run(async |swarm| {
        let alone = swarm.add().await.expect("a node");
        let node = swarm.node(alone).expect("it runs");
        node.stopped().await;
    });
}
