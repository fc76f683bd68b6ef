//! Two nodes that dial, send and disconnect in any order still see a well-formed history.
#![expect(clippy::expect_used, reason = "a test stops where it fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{QUIC, TCP, guarded, listen, node};
use offchain_net::Libp2pNetwork;
use tokio::sync::Notify;
use walytis_core::{Address, Network, NetworkEvent, PeerId};

const END: &[u8] = b"the end";

/// One node's view.
struct View {
    network: Libp2pNetwork,
    peer: PeerId,
    address: Address,
    settled: Arc<AtomicBool>,
    ended: Arc<Notify>,
}

impl View {
    /// Follows the events for ever: `Connected` and `Disconnected` alternate, frames come between them with rising
    /// numbers. Once things are to settle, connects again whenever the connection is lost, and says so when connected.
    async fn watch(self) {
        let mut connected = false;
        let mut last = 0;
        while let Some(event) = self.network.next().await {
            match event {
                NetworkEvent::Connected { peer, .. } => {
                    assert!(peer == self.peer && !connected, "connected once");
                    (connected, last) = (true, 0);
                    if self.settled.load(Ordering::SeqCst) {
                        let _ = self.network.send(self.peer, END.to_vec()).await;
                    }
                }
                NetworkEvent::Disconnected { peer } => {
                    assert!(peer == self.peer && connected, "disconnected after connected");
                    connected = false;
                }
                NetworkEvent::Frame { peer, bytes } => {
                    assert!(peer == self.peer && connected, "frames come while connected");
                    if bytes == END {
                        self.ended.notify_one();
                    } else {
                        let number = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                        assert!(number > last, "in order");
                        last = number;
                    }
                }
                _ => {}
            }
            if self.settled.load(Ordering::SeqCst) && !connected {
                self.network.dial(self.address.clone()).await.expect("open");
            }
        }
    }
}

async fn churn(seed: u64) {
    let (left, right) = (node(1), node(2));
    let mut addresses = Vec::new();
    for network in [&left, &right] {
        addresses.push([listen(network, TCP).await, listen(network, QUIC).await]);
    }
    let nodes = [left, right];
    let settled = Arc::new(AtomicBool::new(false));
    let ended = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let mut watches = tokio::task::JoinSet::new();
    for own in 0..2 {
        let view = View {
            network: nodes[own].clone(),
            peer: nodes[1 - own].local_peer(),
            address: addresses[1 - own][0].clone(),
            settled: Arc::clone(&settled),
            ended: Arc::clone(&ended[own]),
        };
        watches.spawn(view.watch());
    }
    let mut state = seed;
    for number in 1..400_u64 {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let own = usize::from(state & 1 == 1);
        let (network, peer) = (&nodes[own], nodes[1 - own].local_peer());
        match (state >> 8) % 16 {
            0..5 => network.dial(addresses[1 - own][usize::from(state & 2 == 2)].clone()).await.expect("open"),
            5..6 => network.disconnect(peer).await,
            6..8 => tokio::task::yield_now().await,
            _ => drop(network.send(peer, number.to_le_bytes().to_vec()).await),
        }
    }
    settled.store(true, Ordering::SeqCst);
    for own in 0..2 {
        nodes[own].dial(addresses[1 - own][0].clone()).await.expect("open");
        let _ = nodes[own].send(nodes[1 - own].local_peer(), END.to_vec()).await;
    }
    let both_ended = async {
        ended[0].notified().await;
        ended[1].notified().await;
    };
    tokio::select! {
        () = both_ended => {}
        failed = watches.join_next() => panic!("seed {seed}: {failed:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_well_formed_in_any_order_of_calls() {
    for seed in 1..=20 {
        eprintln!("seed {seed}"); // Shown if it fails.
        guarded(churn(seed)).await;
    }
}
