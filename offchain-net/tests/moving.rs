//! Addresses that are lost, and peers that fall silent without a word.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{QUIC, TCP, guarded, listen, next, node, node_with, seeds_by_key};
use offchain_net::{Libp2pNetwork, NetConfig};
use offchain_testkit::network_contract::{both, connect, exchange};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use walytis_core::{Address, Network, NetworkEvent};

/// What passes between two nodes, until it is cut: then everything is taken, and nothing passed on, as by a machine that
/// has gone to another network.
struct Wire {
    /// Where to dial to get to the listener through it.
    address: Address,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    is_cut: AtomicBool,
    /// One permit for each piece that was passed on.
    passed: Semaphore,
}

impl State {
    fn passes(&self) -> bool {
        let passes = !self.is_cut.load(Ordering::SeqCst);
        self.passed.add_permits(usize::from(passes));
        passes
    }
}

impl Wire {
    async fn to(listener: &Address) -> Self {
        let state = Arc::new(State { is_cut: AtomicBool::new(false), passed: Semaphore::new(0) });
        let mut tasks = JoinSet::new();
        let parts: Vec<&str> = listener.as_str().split('/').collect();
        let there = format!("127.0.0.1:{}", parts[4]);
        let port = if parts[3] == "tcp" {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = socket.local_addr().unwrap().port();
            tasks.spawn(carry_connections(socket, there, Arc::clone(&state)));
            port
        } else {
            let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            let far = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            far.connect(there).await.unwrap();
            let port = near.local_addr().unwrap().port();
            tasks.spawn(carry_datagrams(near, far, Arc::clone(&state)));
            port
        };
        let port = port.to_string();
        let through = [&parts[..4], &[port.as_str()], &parts[5..]].concat().join("/");
        Self { address: Address::new(through).unwrap(), state, _tasks: tasks }
    }

    fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
    }

    /// Waits until so many more pieces have passed.
    async fn passed(&self, pieces: u32) {
        self.state.passed.forget_permits(Semaphore::MAX_PERMITS);
        self.state.passed.acquire_many(pieces).await.unwrap().forget();
    }
}

async fn carry_connections(listener: TcpListener, there: String, state: Arc<State>) {
    let mut ways = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(&there).await.unwrap();
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        ways.spawn(carry(from_near, to_far, Arc::clone(&state)));
        ways.spawn(carry(from_far, to_near, Arc::clone(&state)));
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if !state.passes() {
            // An end is not passed on, either.
            std::future::pending::<()>().await;
        }
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

async fn carry_datagrams(near: Arc<UdpSocket>, far: Arc<UdpSocket>, state: Arc<State>) {
    let (mut there, mut back) = (vec![0; 2048], vec![0; 2048]);
    let mut dialer = None;
    loop {
        tokio::select! {
            received = near.recv_from(&mut there) => {
                let (count, from) = received.unwrap();
                dialer = Some(from);
                if state.passes() {
                    far.send(&there[..count]).await.unwrap();
                }
            }
            Ok(count) = far.recv(&mut back) => {
                if let Some(dialer) = dialer.filter(|_| state.passes()) {
                    near.send_to(&back[..count], dialer).await.unwrap();
                }
            }
        }
    }
}

/// A node that asks and gives up as fast as this machine allows.
fn hasty() -> NetConfig {
    let mut config = NetConfig::default();
    config.ping_interval_ms = 100;
    config.silence_timeout_ms = 1_500;
    config.probe_timeout_ms = 500;
    config
}

/// A node that does not notice by itself in time.
fn patient() -> NetConfig {
    let mut config = hasty();
    config.ping_interval_ms = 600_000;
    config.silence_timeout_ms = 600_000;
    config
}

async fn expect_disconnected(network: &Libp2pNetwork, from: &Libp2pNetwork) {
    assert_eq!(next(network).await, NetworkEvent::Disconnected { peer: from.local_peer() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_peer_is_kept_and_a_silent_one_is_let_go() {
    for place in [TCP, QUIC] {
        let (left, right) = (node_with(1, hasty()), node_with(2, hasty()));
        let wire = Wire::to(&listen(&left, place).await).await;
        guarded(async {
            connect(&left, &right, &wire.address).await;
            exchange(&left, &right, 10).await;
            // Nothing but signs of life passes, for longer than silence is borne, and nobody is disconnected.
            wire.passed(100).await;
            exchange(&left, &right, 10).await;
            wire.cut();
            both(expect_disconnected(&left, &right), expect_disconnected(&right, &left)).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_let_go_whatever_is_sent_to_it() {
    let (left, right) = (node_with(1, hasty()), node_with(2, hasty()));
    let wire = Wire::to(&listen(&left, TCP).await).await;
    guarded(async {
        connect(&left, &right, &wire.address).await;
        wire.cut();
        // More than all that lies between takes: closing waits for what was written, and the peer is let go before.
        let flood = async { while right.send(left.local_peer(), vec![0; 1024 * 1024]).await.is_ok() {} };
        both(flood, expect_disconnected(&right, &left)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_connects_anew_is_let_in_though_its_old_connection_seems_to_live() {
    let (opener, other) = seeds_by_key();
    for place in [TCP, QUIC] {
        // The one that stays opens the streams, and would wait for ten minutes.
        let (stays, moves) = (node_with(opener, patient()), node_with(other, hasty()));
        let at = listen(&stays, place).await;
        let wire = Wire::to(&at).await;
        guarded(async {
            connect(&stays, &moves, &wire.address).await;
            wire.cut();
            expect_disconnected(&moves, &stays).await;
            assert_eq!(moves.dial(at).await, Ok(()));
            let peer = stays.local_peer();
            let event = next(&moves).await;
            assert!(matches!(event, NetworkEvent::Connected { peer: found, .. } if found == peer), "{event:?}");
            expect_disconnected(&stays, &moves).await;
            let event = next(&stays).await;
            assert!(matches!(event, NetworkEvent::Connected { .. }), "{event:?}");
            exchange(&stays, &moves, 10).await;
        })
        .await;
    }
}

/// Waits until addresses have changed, and until so much else has happened, which it gives.
async fn heard_of_a_loss(network: &Libp2pNetwork, count: usize) -> Vec<NetworkEvent> {
    let (mut heard, mut changed) = (Vec::new(), false);
    while !changed || heard.len() < count {
        match network.next().await.unwrap() {
            NetworkEvent::AddressesChanged => changed = true,
            event => heard.push(event),
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_address_ends_what_was_dialled_from_it_and_it_can_be_dialled_again() {
    let (left, right) = (node(1), node(2));
    let at = listen(&left, TCP).await;
    let lost: IpAddr = [127, 0, 0, 1].into();
    guarded(async {
        connect(&left, &right, &at).await;
        right.address_lost(lost).await;
        assert_eq!(heard_of_a_loss(&right, 1).await, [NetworkEvent::Disconnected { peer: left.local_peer() }]);
        expect_disconnected(&left, &right).await;
        connect(&left, &right, &at).await;
        exchange(&left, &right, 10).await;
        // A listener there is gone with it, and so is what came in by it.
        left.address_lost(lost).await;
        let heard = heard_of_a_loss(&left, 2).await;
        assert!(heard.contains(&NetworkEvent::ListenEnded { address: at }), "{heard:?}");
        assert!(heard.contains(&NetworkEvent::Disconnected { peer: right.local_peer() }), "{heard:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_come_from_a_lost_address_goes_on() {
    for place in [TCP, QUIC] {
        let (left, right) = (node(1), node(2));
        let at = listen(&left, place).await;
        guarded(async {
            connect(&left, &right, &at).await;
            // One of many addresses of this machine. QUIC's connections are asked, and answer.
            right.address_lost([192, 0, 2, 1].into()).await;
            assert_eq!(heard_of_a_loss(&right, 0).await, []);
            exchange(&left, &right, 10).await;
        })
        .await;
    }
}
