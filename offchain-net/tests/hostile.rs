//! Peers that do not keep to the protocol, made of a bare TCP connection, Noise and Yamux.

mod common;

use common::raw::Raw;
use common::{TCP, guarded, key, listen, next, node, node_with, seeds_by_key};
use libp2p::futures::{AsyncReadExt, AsyncWriteExt};
use offchain_net::{Libp2pNetwork, NetConfig, PROTOCOL};
use offchain_testkit::network_contract::{connect, exchange};
use walytis_core::{Address, FRAME_BYTES_MAX, Merit, Network, NetworkError, NetworkEvent};

/// A node that a raw peer with a smaller key can open streams to, with a third node that must not suffer.
async fn victim(config: NetConfig) -> (Libp2pNetwork, Address, Libp2pNetwork) {
    let (_, larger) = seeds_by_key();
    let victim = node_with(larger, config);
    let address = listen(&victim, TCP).await;
    let friend = node(3);
    guarded(connect(&victim, &friend, &address)).await;
    (victim, address, friend)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_frames_end_the_connection_and_nothing_else() {
    let (victim, address, friend) = victim(NetConfig::default()).await;
    let (smaller, _) = seeds_by_key();
    let peer = key(smaller).peer();
    let longer = u32::try_from(FRAME_BYTES_MAX).unwrap() + 1;
    let random: Vec<u8> = (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0] | 1).collect();
    let half = [1_000_u32.to_le_bytes().as_slice(), &[7; 500]].concat();
    let cases: [(&str, &[u8]); 6] = [
        ("random bytes", &random),
        ("the greatest length", &[255; 4]),
        ("a length over the limit", &longer.to_le_bytes()),
        ("half a frame", &half),
        ("half a length", &[1, 0]),
        ("nothing", &[]),
    ];
    for (name, bytes) in cases {
        let mut raw = Raw::dial(smaller, &address).await;
        let mut stream = raw.open(PROTOCOL).await;
        let connection = raw.run();
        let event = guarded(next(&victim)).await;
        assert!(matches!(event, NetworkEvent::Connected { peer: seen, .. } if seen == peer), "{name}: {event:?}");
        // The node may have hung up before it took everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.close().await;
        assert_eq!(guarded(next(&victim)).await, NetworkEvent::Disconnected { peer }, "{name}");
        guarded(connection).await.unwrap();
        guarded(exchange(&victim, &friend, 10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_halfway_is_disconnected() {
    let mut config = NetConfig::default();
    config.stall_timeout_ms = 300;
    let (victim, address, friend) = victim(config).await;
    let (smaller, _) = seeds_by_key();
    let peer = key(smaller).peer();

    let mut raw = Raw::dial(smaller, &address).await;
    let mut stream = raw.open(PROTOCOL).await;
    let connection = raw.run();
    assert!(matches!(guarded(next(&victim)).await, NetworkEvent::Connected { .. }));
    stream.write_all(&[9, 0, 0, 0, 1, 2]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(guarded(next(&victim)).await, NetworkEvent::Disconnected { peer });
    guarded(connection).await.unwrap();

    let mut raw = Raw::dial(smaller, &address).await;
    let _unread = raw.open(PROTOCOL).await;
    let connection = raw.run();
    assert!(matches!(guarded(next(&victim)).await, NetworkEvent::Connected { .. }));
    let refused = guarded(async {
        loop {
            if let Err(error) = victim.send(peer, vec![0; FRAME_BYTES_MAX]).await {
                break error;
            }
        }
    });
    assert_eq!(refused.await, NetworkError::NotConnected { peer });
    assert_eq!(guarded(next(&victim)).await, NetworkEvent::Disconnected { peer });
    guarded(connection).await.unwrap();
    guarded(exchange(&victim, &friend, 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_that_never_end_their_frames_stop_no_members_longest_frame() {
    let (_, larger) = seeds_by_key();
    let victim = node_with(larger, NetConfig::default());
    let address = listen(&victim, TCP).await;
    let member = node(60);
    guarded(connect(&victim, &member, &address)).await;
    victim.set_merit(member.local_peer(), Merit::Member).await;
    let length = u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes();
    let mut crowd = Vec::new();
    for seed in (61..=250).filter(|seed| key(*seed).peer() < victim.local_peer()).take(12) {
        victim.set_merit(key(seed).peer(), Merit::Follower).await;
        let mut raw = Raw::dial(seed, &address).await;
        let mut stream = raw.open(PROTOCOL).await;
        let connection = raw.run();
        assert!(matches!(guarded(next(&victim)).await, NetworkEvent::Connected { .. }));
        // One short frame, which the node gives on; then, read right behind it, the length of one that never ends.
        stream.write_all(&[1, 0, 0, 0, 7]).await.unwrap();
        stream.write_all(&length).await.unwrap();
        stream.write_all(&[7; 1000]).await.unwrap();
        stream.flush().await.unwrap();
        assert!(matches!(guarded(next(&victim)).await, NetworkEvent::Frame { .. }));
        crowd.push((stream, connection));
    }
    assert_eq!(crowd.len(), 12);
    guarded(exchange(&victim, &member, 10)).await;
    let frame = vec![1; FRAME_BYTES_MAX];
    member.send(victim.local_peer(), frame.clone()).await.unwrap();
    assert_eq!(guarded(next(&victim)).await, NetworkEvent::Frame { peer: member.local_peer(), bytes: frame });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_frames_are_closed_in_time() {
    let mut config = NetConfig::default();
    config.open_timeout_ms = 1_000;
    let (victim, address, friend) = victim(config).await;
    let (smaller, _) = seeds_by_key();
    let peer = key(smaller).peer();

    // One that opens nothing, one that holds a stream of another protocol, and one with frames.
    let idle = Raw::dial(smaller, &address).await.run();
    let mut busy = Raw::dial(smaller, &address).await;
    let _ping = busy.open("/ipfs/ping/1.0.0").await;
    let busy = busy.run();
    let mut good = Raw::dial(smaller, &address).await;
    let mut stream = good.open(PROTOCOL).await;
    let good = good.run();
    assert!(matches!(guarded(next(&victim)).await, NetworkEvent::Connected { .. }));
    guarded(idle).await.unwrap();
    guarded(busy).await.unwrap();

    stream.write_all(&[1, 0, 0, 0, 42]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(guarded(next(&victim)).await, NetworkEvent::Frame { peer, bytes: vec![42] });
    guarded(exchange(&victim, &friend, 10)).await;
    drop(stream);
    assert_eq!(guarded(next(&victim)).await, NetworkEvent::Disconnected { peer });
    guarded(good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_stream_replaces_the_older_one() {
    let (victim, address, _friend) = victim(NetConfig::default()).await;
    let (smaller, _) = seeds_by_key();
    let peer = key(smaller).peer();
    let mut raw = Raw::dial(smaller, &address).await;
    let _older = raw.open(PROTOCOL).await;
    assert!(matches!(guarded(next(&victim)).await, NetworkEvent::Connected { .. }));
    let mut newer = raw.open(PROTOCOL).await;
    let _connection = raw.run();
    assert_eq!(guarded(next(&victim)).await, NetworkEvent::Disconnected { peer });
    assert!(matches!(guarded(next(&victim)).await, NetworkEvent::Connected { .. }));
    newer.write_all(&[1, 0, 0, 0, 42]).await.unwrap();
    newer.flush().await.unwrap();
    assert_eq!(guarded(next(&victim)).await, NetworkEvent::Frame { peer, bytes: vec![42] });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_smaller_key_may_open() {
    let (smaller, larger) = seeds_by_key();
    let mut config = NetConfig::default();
    config.open_timeout_ms = 1_000;
    let node = node_with(smaller, config);
    let address = listen(&node, TCP).await;
    let mut raw = Raw::dial(larger, &address).await;
    let mut stream = raw.open(PROTOCOL).await;
    let connection = raw.run();
    let mut byte = [0];
    assert!(!matches!(guarded(stream.read(&mut byte)).await, Ok(1..)), "the stream is reset");
    guarded(connection).await.unwrap();
    let friend = common::node(3);
    guarded(connect(&node, &friend, &address)).await;
}
