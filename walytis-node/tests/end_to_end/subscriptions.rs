//! What applications are handed.

use walytis_node::{Delivery, EngineError, History, Listing, Node, NodeError};

use crate::kit::{TestHome, follow, list_only, texts, within};

async fn post_many(node: &Node, numbers: std::ops::Range<u32>) {
    let mut posts = tokio::task::JoinSet::new();
    for number in numbers {
        let node = node.clone();
        posts.spawn(async move { node.post("g", format!("{number}")).await });
    }
    while let Some(posted) = within(posts.join_next()).await {
        posted.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_subscriber_that_lags_loses_nothing() {
    let home = TestHome::create();
    let node = home.open().offline().unwrap();
    node.new_group("g", History::All).await.unwrap();
    post_many(&node, 0..10).await;
    let mut subscription = node.subscribe("g").await.unwrap();
    let before = list_only(&node, "g", Listing { topic: None, below: Some(subscription.from()) }).await;
    // More than a subscription keeps in memory.
    post_many(&node, 10..2510).await;
    let seen = follow(&mut subscription, 2500).await;
    assert!(seen.iter().zip(&seen[1..]).all(|(one, next)| one.position < next.position));
    let mut numbers: Vec<u32> = texts(&before).iter().chain(&texts(&seen)).map(|text| text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2510).collect::<Vec<_>>());

    post_many(&node, 2510..2511).await;
    assert_eq!(texts(&follow(&mut subscription, 1).await), ["2510"], "it has caught up");
    node.shutdown().await;
    assert_eq!(within(subscription.next()).await, None);
}

#[tokio::test]
async fn a_subscriber_sees_its_own_group_only_and_no_more_once_dropped() {
    let home = TestHome::create();
    let node = home.open().offline().unwrap();
    node.new_group("g", History::All).await.unwrap();
    node.new_group("other", History::All).await.unwrap();
    let unknown = node.subscribe("no such group").await;
    assert!(matches!(unknown, Err(NodeError::Engine(EngineError::UnknownGroup(_)))), "{unknown:?}");
    let dropped = node.subscribe("g").await.unwrap();
    let mut kept = node.subscribe("g").await.unwrap();
    drop(dropped);
    node.post("other", "not here").await.unwrap();
    let id = node.post("g", "here").await.unwrap();
    match within(kept.next()).await {
        Some(Delivery::Block(entry)) => assert_eq!(entry.id, id),
        other => panic!("{other:?}"),
    }
}
