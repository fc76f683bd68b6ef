//! What the tests share. Not every test uses all of it.
#![expect(dead_code, reason = "each test program uses its part")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it fails")]

pub(crate) mod raw;

use std::time::Duration;

use offchain_net::{Libp2pNetwork, NetConfig, TransportKey};
use offchain_testkit::network_contract::listening;
use walytis_core::{Address, Network, NetworkEvent};

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Ends a test that hangs. Nothing is measured by it.
pub(crate) async fn guarded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test hangs")
}

pub(crate) fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

pub(crate) fn key(seed: u8) -> TransportKey {
    TransportKey::from_seed([seed; 32].into())
}

pub(crate) fn node(seed: u8) -> Libp2pNetwork {
    node_with(seed, NetConfig::default())
}

pub(crate) fn node_with(seed: u8, config: NetConfig) -> Libp2pNetwork {
    Libp2pNetwork::start(key(seed), config).unwrap()
}

pub(crate) async fn listen(network: &Libp2pNetwork, place: &str) -> Address {
    listening(network, &address(place)).await
}

/// The next event that is not about our own addresses: those of the machine may change while a test runs.
pub(crate) async fn next(network: &Libp2pNetwork) -> NetworkEvent {
    loop {
        match network.next().await.expect("the network is open") {
            NetworkEvent::Listening { .. } | NetworkEvent::AddressesChanged => {}
            event => return event,
        }
    }
}

/// The seeds 1 and 2, that of the smaller key first: its node is the one that opens streams.
pub(crate) fn seeds_by_key() -> (u8, u8) {
    if key(1).peer() < key(2).peer() { (1, 2) } else { (2, 1) }
}
