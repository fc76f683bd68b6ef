//! Whole nodes of which one has a full disk: it refuses to write, with its reason; reading, subscriptions and passing on go on;
//! and it writes again once there is room, in the same life.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

use std::sync::Arc;
use std::time::Duration;

use offchain_testkit::{MemoryStore, NodeId, NodeSwarm};
use walytis_core::{Pending, Store as _, Table};
use walytis_node::{Delivery, EngineError, JoinRefusal, Listing, Node, NodeError, StoreError};

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

/// A join is asked for, and the inviter says no.
async fn refused(node: &Node, code: &str) -> JoinRefusal {
    let join = node.join(code, Some(GROUP)).await.expect("a join");
    match join.finish().await {
        Err(NodeError::Engine(EngineError::Refused(reason))) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_joins_by_a_full_inviter_and_its_person_are_told_why() {
    NodeSwarm::new(14).run(async |swarm| {
        let ids = swarm.group_of(GROUP, 1).await.expect("a group");
        let (second, third) = (swarm.add().await.expect("a node"), swarm.add().await.expect("a node"));
        let [full, second, third] = [ids[0], second, third].map(|id| swarm.node(id).expect("it runs"));
        let mut told = full.refused_joins();
        let [once, more] = [1, 5].map(|uses| full.invite(GROUP, uses));
        let (once, more) = (once.await.expect("a code"), more.await.expect("a code"));
        second.join(&once, Some(GROUP)).await.expect("a join").finish().await.expect("it is a member");
        assert_eq!(refused(&third, &once).await, JoinRefusal::Spent);
        assert_eq!(told.next().await.map(|refused| refused.reason), Some(JoinRefusal::Spent));

        fill(&swarm, ids[0]).await;
        let reason = refused(&third, &more).await;
        assert_eq!(reason, JoinRefusal::NoRoom);
        assert!(reason.to_string().contains("the inviter's disk is full"), "{reason}");
        let known = tokio::time::timeout(Duration::from_secs(60), told.next()).await.expect("it is told");
        assert_eq!(known.map(|refused| (refused.peer, refused.reason)), Some((third.peer(), JoinRefusal::NoRoom)));
        swarm.fill(ids[0], false);
        swarm.pass(Duration::from_secs(60)).await;
        third.join(&more, Some(GROUP)).await.expect("a join").finish().await.expect("there is room again");
    });
}

#[test]
fn a_deletion_where_the_disk_is_full_writes_nothing_else() {
    NodeSwarm::new(15).run(async |swarm| {
        let ids = swarm.group_of(GROUP, 1).await.expect("a group");
        let node = swarm.node(ids[0]).expect("it runs");
        node.new_chain("news").await.expect("there is room");
        for number in 0..50_u8 {
            node.post_to_chain("news", vec![number]).await.expect("there is room");
        }
        fill(&swarm, ids[0]).await;
        // What was kept for deleting is given up: it is for nothing else.
        swarm.fill(ids[0], false);
        node.delete_chain("nothing").await.expect_err("there is none");
        assert!(node.fullness().now().is_some(), "writing is not turned on by it");
        assert_eq!(node.delete_chain("news").await.expect("it makes room"), 51);
        assert!(node.fullness().now().is_some(), "there may be no room but for that");
        assert!(node.chains().await.expect("it goes on").is_empty());
        // It was written, and nothing that waited brings it back.
        swarm.pass(Duration::from_secs(60)).await;
        assert_eq!(node.fullness().now(), None);
        node.post(GROUP, "1").await.expect("there is room again");
        swarm.kill(ids[0]).await;
        swarm.start(ids[0]).await.expect("it is sound");
        assert!(swarm.node(ids[0]).expect("it runs").chains().await.expect("it goes on").is_empty());
    });
}

#[test]
fn a_deletion_that_a_full_disk_cut_short_goes_on_once_there_is_room() {
    NodeSwarm::new(16).run(async |swarm| {
        let id = swarm.add().await.expect("a node");
        let node = swarm.node(id).expect("it runs");
        node.new_chain("news").await.expect("there is room");
        for number in 0..50_u8 {
            node.post_to_chain("news", vec![number]).await.expect("there is room");
        }
        swarm.fail_commit(id, 1, StoreError::Full { reason: "full".to_owned() });
        node.delete_chain("news").await.expect_err("there was no room for its second step");
        assert_eq!(node.chains().await.expect("it goes on").len(), 1);
        swarm.pass(Duration::from_secs(60)).await;
        assert!(node.chains().await.expect("it goes on").is_empty());
    });
}

#[test]
fn what_waits_for_room_is_seen_and_never_brings_back_what_was_removed() {
    let (table, store) = (Table::changing("test.rows"), MemoryStore::new());
    let mut view = Pending::new(Arc::new(store.clone()));
    view.set_full();
    for key in [b"a", b"b"] {
        view.put(table, *key, *b"waits");
        assert!(view.close_step().is_none());
    }
    view.delete(table, *b"a");
    view.make_room();
    let (first, batch) = view.close_step().expect("it is written");
    assert_eq!(batch.changes().len(), 1, "without what waits");
    assert_eq!(view.barrier(), Some(first), "its answer waits for it");
    store.commit(&batch).expect("a commit");
    view.committed(first);
    assert_eq!((view.barrier(), view.is_full()), (None, true));
    assert_eq!(view.get(table, b"b").expect("a read").as_deref(), Some(&b"waits"[..]));
    let (second, batch) = view.take_held().expect("something waits");
    assert!(second > first);
    assert_eq!(view.get(table, b"b").expect("a read").as_deref(), Some(&b"waits"[..]));
    store.commit(&batch).expect("a commit");
    view.committed(second);
    assert_eq!(view.get(table, b"a"), Ok(None));
    assert_eq!(view.get(table, b"b").expect("a read").as_deref(), Some(&b"waits"[..]));
}
