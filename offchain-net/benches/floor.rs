//! The least that a message can cost: a 100-byte frame between two warm nodes, and one signature with its check.
//!
//! Prints one JSON line per metric. `tcp_pingpong_100B` is the same round trip over bare TCP sockets: what remains
//! between it and `f_transfer_100B` is the price of encryption, multiplexing and queues.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer, SigningKey};
use offchain_net::{Libp2pNetwork, NetConfig, TransportKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use walytis_core::{Address, Network, NetworkEvent, PeerId};

const BYTES: usize = 100;
const WARM_UP: usize = 500;
const ROUNDS: usize = 5_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        transfer("/ip4/127.0.0.1/tcp/0", "f_transfer_100B").await;
        transfer("/ip4/127.0.0.1/udp/0/quic-v1", "f_transfer_100B_quic").await;
        tcp_pingpong().await;
    });
    sign_verify();
}

/// One-way transfers between two networks: half a round trip each.
async fn transfer(listen: &str, metric: &str) {
    let (near, far) = (node(1), node(2));
    far.listen(Address::new(listen).unwrap()).await.unwrap();
    let address = loop {
        if let NetworkEvent::Listening { address } = far.next().await.unwrap() {
            break address;
        }
    };
    near.dial(address).await.unwrap();
    connected(&near).await;
    connected(&far).await;
    let echo = tokio::spawn({
        let far = far.clone();
        async move {
            while let Some(event) = far.next().await {
                if let NetworkEvent::Frame { peer, bytes } = event {
                    far.send(peer, bytes).await.unwrap();
                }
            }
        }
    });
    let peer = far.local_peer();
    for _ in 0..WARM_UP {
        round_trip(&near, peer).await;
    }
    let cpu = cpu_seconds();
    let mut samples = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round_trip(&near, peer).await;
        samples.push(start.elapsed() / 2);
    }
    report(metric, BYTES, samples, cpu_seconds() - cpu);
    near.close().await;
    far.close().await;
    echo.await.unwrap();
}

async fn round_trip(near: &Libp2pNetwork, peer: PeerId) {
    near.send(peer, vec![7; BYTES]).await.unwrap();
    while !matches!(near.next().await.unwrap(), NetworkEvent::Frame { .. }) {}
}

async fn connected(network: &Libp2pNetwork) {
    while !matches!(network.next().await.unwrap(), NetworkEvent::Connected { .. }) {}
}

fn node(seed: u8) -> Libp2pNetwork {
    Libp2pNetwork::start(TransportKey::from_seed([seed; 32].into()), NetConfig::default()).unwrap()
}

async fn tcp_pingpong() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut bytes = [0; BYTES];
        while socket.read_exact(&mut bytes).await.is_ok() {
            socket.write_all(&bytes).await.unwrap();
        }
    });
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut bytes = [7; BYTES];
    let mut samples = Vec::with_capacity(ROUNDS);
    let mut cpu = 0.0;
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            cpu = cpu_seconds();
        }
        let start = Instant::now();
        socket.write_all(&bytes).await.unwrap();
        socket.read_exact(&mut bytes).await.unwrap();
        if round >= WARM_UP {
            samples.push(start.elapsed() / 2);
        }
    }
    report("tcp_pingpong_100B", BYTES, samples, cpu_seconds() - cpu);
    drop(socket);
    echo.await.unwrap();
}

fn sign_verify() {
    let key = SigningKey::from_bytes(&[3; 32]);
    let public = key.verifying_key();
    let message = [5; BYTES];
    let cpu = cpu_seconds();
    let samples = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let signature = key.sign(black_box(&message));
            public.verify_strict(black_box(&message), &signature).unwrap();
            start.elapsed()
        })
        .collect();
    report("f_sign_verify", BYTES, samples, cpu_seconds() - cpu);
}

fn report(metric: &str, bytes: usize, mut samples: Vec<Duration>, cpu_s: f64) {
    samples.sort_unstable();
    let n = samples.len();
    for (suffix, per_mille) in [("median", 500), ("p99", 990)] {
        let value = samples[(n - 1) * per_mille / 1000].as_secs_f64() * 1000.0;
        writeln!(
            std::io::stdout().lock(),
            r#"{{"system":"floor","metric":"{metric}_{suffix}","n":{n},"bytes":{bytes},"value":{value:.4},"unit":"ms","cpu_s":{cpu_s:.2}}}"#
        )
        .unwrap();
    }
}

/// Processor time of this process so far, in seconds of Linux's clock of 100 ticks; zero elsewhere.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
