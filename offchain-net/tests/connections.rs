//! Several connections between two nodes, and the ways in which a network begins and ends.

mod common;

use common::{QUIC, TCP, address, guarded, listen, next, node};
use offchain_testkit::network_contract::{both, connect, exchange};
use walytis_core::{Network, NetworkError, NetworkEvent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_dials_over_both_transports_make_one_connection() {
    for _ in 0..10 {
        let (left, right) = (node(1), node(2));
        let (left_tcp, left_quic) = (listen(&left, TCP).await, listen(&left, QUIC).await);
        let (right_tcp, right_quic) = (listen(&right, TCP).await, listen(&right, QUIC).await);
        guarded(async {
            let dials = both(
                both(left.dial(right_tcp), right.dial(left_tcp)),
                both(left.dial(right_quic), right.dial(left_quic)),
            );
            assert_eq!(dials.await, ((Ok(()), Ok(())), (Ok(()), Ok(()))));
            for (network, other) in [(&left, &right), (&right, &left)] {
                let event = next(network).await;
                assert!(
                    matches!(event, NetworkEvent::Connected { peer, .. } if peer == other.local_peer()),
                    "connected first, not {event:?}"
                );
            }
            // Any second `Connected` would show up among the frames.
            exchange(&left, &right, 1_000).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_a_peer_can_be_dialled() {
    for place in [TCP, QUIC] {
        let (left, right) = (node(1), node(2));
        let full = listen(&left, place).await;
        let bare = address(full.as_str().rsplit_once("/p2p/").unwrap().0);
        guarded(connect(&left, &right, &bare)).await;
        guarded(exchange(&left, &right, 10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_that_fail_say_why() {
    let (near, far) = (node(1), node(2));
    let gone = listen(&far, TCP).await;
    far.close().await;
    let own = listen(&near, "/ip4/0.0.0.0/tcp/0").await;
    assert!(!own.as_str().contains("/0.0.0.0/"), "{own} can be dialled");
    let own_bare = own.as_str().rsplit_once("/p2p/").unwrap().0;
    let cases = [(gone.as_str(), "Connection refused"), (own_bare, "the address is this node's own")];
    for (text, expected) in cases {
        let dialled = address(text);
        assert_eq!(near.dial(dialled.clone()).await, Ok(()));
        match guarded(next(&near)).await {
            NetworkEvent::DialFailed { address, reason } => {
                assert_eq!(address, dialled);
                assert!(reason.starts_with(expected), "{text}: {reason}");
            }
            event => panic!("{text}: {event:?}"),
        }
    }
    for text in [TCP, QUIC, "/ip4/0.0.0.0/tcp/1", "/ip6/::/udp/1/quic-v1"] {
        assert!(matches!(near.dial(address(text)).await, Err(NetworkError::Address { .. })), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_an_error() {
    for place in [TCP, QUIC] {
        let (left, right) = (node(1), node(2));
        let taken = listen(&left, place).await;
        let taken = address(taken.as_str().rsplit_once("/p2p/").unwrap().0);
        let refused = right.listen(taken.clone()).await;
        assert!(
            matches!(&refused, Err(NetworkError::Address { address, reason })
                if *address == taken && reason.starts_with("Address already in use")),
            "{refused:?}"
        );
        left.close().await;
        if place == TCP {
            assert_eq!(right.listen(taken).await, Ok(()), "closing frees the port");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_network_says_so_and_its_peers_notice() {
    for place in [TCP, QUIC] {
        let (left, right) = (node(1), node(2));
        let full = listen(&left, place).await;
        guarded(connect(&left, &right, &full)).await;
        left.close().await;
        assert_eq!(left.send(right.local_peer(), vec![1]).await, Err(NetworkError::Closed));
        assert_eq!(left.dial(full.clone()).await, Err(NetworkError::Closed));
        assert_eq!(left.listen(full).await, Err(NetworkError::Closed));
        left.disconnect(right.local_peer()).await;
        left.close().await;
        guarded(async { while left.next().await.is_some() {} }).await;
        assert_eq!(guarded(next(&right)).await, NetworkEvent::Disconnected { peer: left.local_peer() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_ends_the_network() {
    for place in [TCP, QUIC] {
        let (left, right) = (node(1), node(2));
        let full = listen(&left, place).await;
        guarded(connect(&left, &right, &full)).await;
        let (peer, other) = (left.local_peer(), left.clone());
        drop(left);
        guarded(exchange(&other, &right, 1)).await;
        drop(other);
        assert_eq!(guarded(next(&right)).await, NetworkEvent::Disconnected { peer });
    }
}

#[test]
fn a_network_needs_a_runtime() {
    let started = offchain_net::Libp2pNetwork::start(common::key(1), offchain_net::NetConfig::default());
    assert!(matches!(started, Err(offchain_net::StartError::Runtime)));
}
