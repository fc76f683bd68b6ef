//! The contract of `Network`, over each transport.

mod common;

use common::{QUIC, TCP, address, guarded, node};
use offchain_testkit::network_contract::check_network;

/// Both orders of the keys, since they decide who opens the stream.
async fn check(listen: &str) {
    for (first, second) in [(1, 2), (2, 1)] {
        guarded(check_network(&node(first), &node(second), &node(3), &address(listen))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_keeps_the_contract() {
    check(TCP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_keeps_the_contract() {
    check(QUIC).await;
}

/// Engines and shells may run on one thread.
#[tokio::test(flavor = "current_thread")]
async fn one_thread_suffices() {
    check(TCP).await;
}
