//! Whole nodes of which one has a full disk: it refuses to write, with its reason; reading, subscriptions and passing on go on;
//! and it writes again once there is room, in the same life.
#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::time::Duration;

use offchain_testkit::{NodeId, NodeSwarm};
use walytis_node::{Delivery, Listing, Node, NodeError};

const GROUP: &str = "friends";

/// What the group shows at a node, in its order.
async fn shown(node: &Node) -> Vec<Vec<u8>> {
    let mut pager = node.list(GROUP, Listing::default());
    let mut shown = Vec::new();
    while let Some(page) = pager.next_page().await.expect("reading goes on") {
        shown.extend(page.into_iter().filter_map(|entry| entry.content.map(|content| content.bytes)));
    }
    shown.sort();
    shown
}

fn refused_for_room<T: std::fmt::Debug>(result: Result<T, NodeError>) {
    let error = result.expect_err("there is no room");
    assert!(error.to_string().contains("no space is left for the store"), "{error}");
}

/// Fills the disk of a node, and has it notice.
async fn fill(swarm: &NodeSwarm, id: NodeId) {
    swarm.fill(id, true);
    refused_for_room(swarm.node(id).expect("it runs").post(GROUP, "too much").await);
}

#[test]
fn a_full_disk_refuses_writing_and_stops_nothing_else() {
    NodeSwarm::new(11).run(async |swarm| {
        let ids = swarm.group_of(GROUP, 2).await.expect("a group");
        let [full, other] = [swarm.node(ids[0]).expect("it runs"), swarm.node(ids[1]).expect("it runs")];
        full.post(GROUP, "1").await.expect("there is room");
        swarm.converged(GROUP, &ids).await.expect("they agree");
        let mut subscription = full.subscribe(GROUP).await.expect("a subscription");

        fill(&swarm, ids[0]).await;
        refused_for_room(full.post(GROUP, "more").await);
        refused_for_room(full.new_group("more", walytis_node::History::All).await);
        assert!(full.fullness().now().is_some());
        assert_eq!(shown(&full).await, [b"1"], "what was acknowledged is there, and nothing else");
        // The other goes on posting, and is not kept from anything.
        other.post(GROUP, "2").await.expect("there is room there");
        swarm.pass(Duration::from_secs(300)).await;
        assert_eq!(shown(&full).await, [b"1"]);
        assert_eq!(full.status().await.expect("it goes on").peers, [other.peer()], "they are connected");

        swarm.fill(ids[0], false);
        let entries = swarm.converged(GROUP, &ids).await.expect("they agree");
        assert_eq!(entries.len(), 2, "what came meanwhile is fetched");
        full.post(GROUP, "3").await.expect("there is room again");
        assert_eq!(full.fullness().now(), None);
        swarm.converged(GROUP, &ids).await.expect("they agree");
        // The subscription was never ended.
        for expected in [b"2", b"3"] {
            let Some(Delivery::Block(entry)) = subscription.next().await else { panic!("it goes on") };
            assert_eq!(entry.content.expect("its content").bytes, expected);
        }
        // Nothing of it is forgotten by a restart.
        swarm.kill(ids[0]).await;
        swarm.start(ids[0]).await.expect("it is sound");
        assert_eq!(shown(&swarm.node(ids[0]).expect("it runs")).await, [b"1", b"2", b"3"]);
    });
}

#[test]
fn whoever_has_a_full_disk_passes_on_what_it_has() {
    NodeSwarm::new(12).run(async |swarm| {
        let ids = swarm.group_of(GROUP, 3).await.expect("a group");
        swarm.cut(ids[1], ids[2]);
        swarm.partition(&[&ids[..2], &ids[2..]]);
        swarm.node(ids[1]).expect("it runs").post(GROUP, "1").await.expect("there is room");
        swarm.converged(GROUP, &ids[..2]).await.expect("they agree");
        swarm.kill(ids[1]).await;
        fill(&swarm, ids[0]).await;
        // The third was away, and finds nobody but the one whose disk is full.
        swarm.heal();
        let entries = swarm.converged(GROUP, &[ids[0], ids[2]]).await.expect("they agree");
        assert_eq!(entries.len(), 1);
    });
}

#[test]
fn a_disk_that_fails_otherwise_still_stops_the_node() {
    NodeSwarm::new(13).run(async |swarm| {
        let ids = swarm.group_of(GROUP, 1).await.expect("a group");
        let node = swarm.node(ids[0]).expect("it runs");
        swarm.fail_commit(ids[0], 0, walytis_node::StoreError::Disk { reason: "broken".to_owned() });
        node.post(GROUP, "1").await.expect_err("it fails");
        assert!(node.stopped().await.is_some());
    });
}
