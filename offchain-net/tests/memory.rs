//! What strangers can have a node hold, by the counting allocator. They live in a process of their own: what they hold
//! themselves is no concern of the node's.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it fails, and its processes talk by lines"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use common::raw::{Raw, tunnel};
use common::{TCP, address, guarded, key, listen, next, node, node_with};
use libp2p::futures::AsyncWriteExt;
use offchain_net::{NetConfig, PROTOCOL};
use offchain_testkit::network_contract::{connect, exchange};
use peak_alloc::PeakAlloc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use walytis_core::{Address, FRAME_BYTES_MAX, Merit, Network, NetworkEvent};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const STRANGERS: usize = 128;

/// Names the address that the other process comes to.
const ADDRESS: &str = "OFFCHAIN_NET_CROWD";

/// What the other process says when it has sent.
const SENT: &str = "all have sent";

const MIB: usize = 1024 * 1024;

/// A seed whose key is larger than most, so that others open the streams.
fn large_seed() -> u8 {
    (1..=50).max_by_key(|seed| key(*seed).peer()).unwrap()
}

/// One that sends half of a frame and reads nothing.
async fn send_half(seed: [u8; 32], at: Address, sent: UnboundedSender<()>) {
    let mut raw = Raw::try_dial(seed, &at).await.unwrap();
    let mut stream = raw.open(PROTOCOL).await;
    let _connection = raw.run();
    let length = u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes();
    stream.write_all(&length).await.unwrap();
    // So many bytes are taken without anybody who reads them.
    stream.write_all(&vec![7; 200 * 1024]).await.unwrap();
    stream.flush().await.unwrap();
    sent.send(()).unwrap();
    let _ = stream.write_all(&vec![7; FRAME_BYTES_MAX / 2 - 200 * 1024]).await;
    let _ = stream.flush().await;
    std::future::pending::<()>().await;
}

/// What the other process does; nothing in this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd() {
    let Ok(at) = std::env::var(ADDRESS) else { return };
    let (at, node) = (address(&at), key(large_seed()).peer());
    let seed = |number: u32| [number.to_le_bytes(); 8].concat().try_into().unwrap();
    let is_smaller = |seed: &[u8; 32]| offchain_net::TransportKey::from_seed((*seed).into()).peer() < node;
    let (sent, mut word) = unbounded_channel();
    for (number, seed) in (0_u8..).zip((1_000..).map(seed).filter(is_smaller).take(STRANGERS)) {
        // From several networks and several addresses of each, so that no limit by address is reached.
        let from = Ipv4Addr::new(127, 0, 1 + number / 60, 1 + number % 60 / 20);
        let at = tunnel(from, &at).await;
        tokio::spawn(send_half(seed, at, sent.clone()));
    }
    for _ in 0..STRANGERS {
        word.recv().await.unwrap();
    }
    println!("{SENT}");
    std::future::pending::<()>().await;
}

/// The other process, which ends with this.
struct Crowd(Child);

impl Crowd {
    fn start(at: &Address) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crowd", "--nocapture"]).env(ADDRESS, at.as_str()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Waits until all have sent.
    fn has_sent(&mut self) -> JoinHandle<()> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        tokio::task::spawn_blocking(move || assert!(lines.map_while(Result::ok).any(|line| line == SENT)))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_send_half_a_frame_and_read_nothing_hold_64_mib_and_no_member_up() {
    let mut config = NetConfig::default();
    // Three fourths of them are for strangers.
    config.incoming_max = 172;
    let victim = node_with(large_seed(), config);
    let at = listen(&victim, TCP).await;
    let friend = node(60);
    guarded(connect(&victim, &friend, &at)).await;
    victim.set_merit(friend.local_peer(), Merit::Member).await;

    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut crowd = Crowd::start(&at);
    let sent = crowd.has_sent();
    guarded(async {
        for _ in 0..STRANGERS {
            let NetworkEvent::Connected { peer, .. } = next(&victim).await else { panic!("all of them come") };
            let victim = victim.clone();
            tokio::spawn(async move { while victim.send(peer, vec![7; 10_000]).await.is_ok() {} });
        }
        sent.await.unwrap();
        // What a member sends and is sent passes, also the longest frames.
        exchange(&victim, &friend, 100).await;
        for _ in 0..8 {
            friend.send(victim.local_peer(), vec![1; FRAME_BYTES_MAX]).await.unwrap();
            let frame = NetworkEvent::Frame { peer: friend.local_peer(), bytes: vec![1; FRAME_BYTES_MAX] };
            assert!(next(&victim).await == frame);
            victim.send(friend.local_peer(), vec![2; FRAME_BYTES_MAX]).await.unwrap();
            assert!(matches!(next(&friend).await, NetworkEvent::Frame { .. }));
        }
    })
    .await;
    let held = MEMORY.peak_usage() - before;
    println!("128 strangers have the node hold {} KiB at most", held / 1024);
    // What waits in the windows of their streams is counted apart.
    let windows = STRANGERS * 256 * 1024;
    assert!(held < 64 * MIB + windows, "{} KiB", held / 1024);
    drop(crowd);
}
