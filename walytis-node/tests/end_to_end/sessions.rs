//! Whom a node answers, and what it serves.

use walytis_engine::sync::SyncMessage;
use walytis_node::History;
use walytis_offchain::Message;

use crate::kit::{TestHome, follow, group_of, texts};
use crate::raw_peer::RawPeer;

#[tokio::test]
async fn sessions_are_between_devices_that_both_know() {
    let homes = [TestHome::create(), TestHome::create()];
    let (alice, bob) = (homes[0].serve().await, homes[1].serve().await);
    let group = group_of("g", &alice, &[&bob]).await.group;
    assert_eq!(bob.status().await.unwrap().peers, [alice.identity().peer]);
    bob.shutdown().await;

    // The device's own key, from another transport peer than the group's chain names for it: not answered, whichever of
    // the two the flight names.
    let thief = RawPeer::connect_from_elsewhere(&homes[1], &alice).await;
    thief.begin_session(group, homes[1].identity.peer).await;
    assert_eq!(thief.next_frame().await, None, "disconnected without an answer");
    drop(thief);
    let thief = RawPeer::connect_from_elsewhere(&homes[1], &alice).await;
    thief.begin_session(group, thief.peer()).await;
    thief.send(b"nonsense, at which the node disconnects".to_vec()).await;
    assert_eq!(thief.next_frame().await, None, "disconnected without an answer");
    drop(thief);

    let bob = homes[1].serve_again().await;
    let mut arriving = bob.subscribe("g").await.unwrap();
    alice.post("g", "still here").await.unwrap();
    assert_eq!(texts(&follow(&mut arriving, 1).await), ["still here"]);
}

#[tokio::test]
async fn membership_is_checked_for_each_request() {
    let homes = [TestHome::create(), TestHome::create()];
    let (alice, bob) = (homes[0].serve().await, homes[1].serve().await);
    let shared = group_of("shared", &alice, &[&bob]).await.group;
    bob.shutdown().await;
    let hidden = alice.new_group("hidden", History::All).await.unwrap().group;
    let secret = alice.post("hidden", "not for bob").await.unwrap();
    let common = alice.post("shared", "for bob").await.unwrap();

    // Bob's device has a good session, and asks for what it may not have; then for what it may.
    let mut bob = RawPeer::connect(&homes[1], &alice).await;
    bob.open_session(shared).await;
    bob.ask(SyncMessage::Heads { chain: hidden, heads: vec![secret] }).await;
    bob.ask(SyncMessage::Pull { chain: hidden, have: Vec::new() }).await;
    bob.ask(SyncMessage::More { chain: hidden }).await;
    bob.ask(SyncMessage::WantAttachments { chain: hidden, ids: vec![secret] }).await;
    bob.ask(SyncMessage::WantAttachments { chain: shared, ids: vec![secret] }).await;
    bob.ask(SyncMessage::Pull { chain: shared, have: vec![secret] }).await;
    bob.ask(SyncMessage::WantAttachments { chain: shared, ids: vec![common] }).await;
    let mut portions = 0;
    loop {
        match bob.hear().await {
            Message::Hello { .. } => {}
            Message::Sync(SyncMessage::Heads { chain, heads }) => {
                assert_eq!(chain, shared);
                assert!(!heads.contains(&secret));
            }
            Message::Sync(SyncMessage::Portion { chain, blocks, left }) => {
                assert_eq!((chain, left), (shared, 0));
                let ids: Vec<_> = blocks.iter().map(|wire| walytis_core::Header::id_of(&wire.block.header)).collect();
                assert!(ids.contains(&common) && !ids.contains(&secret));
                portions += 1;
            }
            Message::Sync(SyncMessage::Attachment { chain, id, attachment }) => {
                assert_eq!(chain, shared);
                // Of a block of another chain it says what it says of one that it does not know: there is nothing.
                assert_eq!(attachment.is_empty(), id == secret);
                if id == common {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(portions, 1);
}

#[tokio::test]
async fn random_bytes_cost_a_stranger_its_connection_and_nobody_else_anything() {
    let homes = [TestHome::create(), TestHome::create(), TestHome::create()];
    let (alice, bob) = (homes[0].serve().await, homes[1].serve().await);
    group_of("g", &alice, &[&bob]).await;
    let mut arriving = bob.subscribe("g").await.unwrap();
    for frame in [vec![], vec![0], vec![255; 1000], vec![1; 100], vec![1]] {
        let stranger = RawPeer::connect_from_elsewhere(&homes[2], &alice).await;
        stranger.send(frame.clone()).await;
        assert_eq!(stranger.next_frame().await, None, "{frame:?}");
        drop(stranger);
        alice.post("g", "untouched").await.unwrap();
        assert_eq!(texts(&follow(&mut arriving, 1).await), ["untouched"]);
    }
}
