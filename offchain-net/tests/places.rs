//! Who is let in while somebody with many keys keeps coming, over real sockets on several loopback addresses.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod common;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use common::raw::{Raw, tunnel};
use common::{TCP, guarded, key, listen, next, node, node_with, seeds_by_key};
use libp2p::futures::{AsyncReadExt, AsyncWriteExt};
use offchain_net::{Libp2pNetwork, NetConfig, PROTOCOL};
use offchain_testkit::network_contract::exchange;
use tokio::net::TcpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use walytis_core::{Address, Merit, Network, NetworkEvent, PeerId};

/// The address from which somebody with many keys comes.
const CROWDED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// As many keys as were seen to take 126 of 128 places.
const KEYS: u16 = 160;

/// Comes under a key again and again, and says so each time.
async fn come_again(number: u16, at: Address, came: UnboundedSender<u16>) {
    let mut seed = [200; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    loop {
        let connection = Raw::try_dial(seed, &at).await;
        if came.send(number).is_err() {
            return;
        }
        if let Some(connection) = connection {
            connection.last().await;
        }
    }
}

/// Many keys that keep coming, until this is dropped, and word of each time that one has come.
async fn crowd(at: &Address) -> (JoinSet<()>, UnboundedReceiver<u16>) {
    let (came, word) = unbounded_channel();
    let mut crowd = JoinSet::new();
    for number in 0..KEYS {
        crowd.spawn(come_again(number, at.clone(), came.clone()));
    }
    (crowd, word)
}

/// Waits until each of them has come once more.
async fn all_came(word: &mut UnboundedReceiver<u16>) {
    let mut missing: BTreeSet<u16> = (0..KEYS).collect();
    while word.try_recv().is_ok() {}
    // Those that hold a place do not come again: an eighth of all is what one address has.
    while missing.len() > 16 {
        missing.remove(&word.recv().await.unwrap());
    }
}

/// Dials, and again if that comes to nothing, until both say that they are connected.
async fn meet(dialer: &Libp2pNetwork, node: &Libp2pNetwork, at: &Address) {
    let (mut here, mut there) = (false, false);
    dialer.dial(at.clone()).await.unwrap();
    while !(here && there) {
        tokio::select! {
            event = next(dialer) => match event {
                NetworkEvent::Connected { .. } => here = true,
                NetworkEvent::DialFailed { .. } | NetworkEvent::Disconnected { .. } => {
                    here = false;
                    dialer.dial(at.clone()).await.unwrap();
                }
                _ => {}
            },
            event = next(node) => match event {
                NetworkEvent::Connected { peer, .. } if peer == dialer.local_peer() => there = true,
                NetworkEvent::Disconnected { peer } if peer == dialer.local_peer() => there = false,
                _ => {}
            },
        }
    }
}

async fn until_gone(node: &Libp2pNetwork, peer: PeerId) {
    while next(node).await != (NetworkEvent::Disconnected { peer }) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_restart_come_in_beside_160_keys_of_one_address() {
    let victim = node(1);
    let address = listen(&victim, TCP).await;
    let [crowded, other] = [tunnel(CROWDED, &address).await, tunnel(OTHER, &address).await];
    // They have proven themselves, as an engine says.
    let members = [(2, &crowded), (3, &other)];
    for (seed, at) in members {
        let member = node(seed);
        guarded(meet(&member, &victim, at)).await;
        victim.set_merit(member.local_peer(), Merit::Member).await;
        member.close().await;
        guarded(until_gone(&victim, member.local_peer())).await;
    }
    let (crowd, mut word) = crowd(&crowded).await;
    guarded(all_came(&mut word)).await;
    for (seed, at) in members {
        let member = node(seed);
        guarded(meet(&member, &victim, at)).await;
        guarded(all_came(&mut word)).await;
        guarded(exchange(&victim, &member, 10)).await;
    }
    // And so does a stranger from elsewhere, who may turn out to be one.
    let stranger = node(4);
    guarded(meet(&stranger, &victim, &other)).await;
    guarded(all_came(&mut word)).await;
    guarded(exchange(&victim, &stranger, 10)).await;
    drop(crowd);
}

/// Opens sockets from an address that say nothing, and again whatever is closed, until this is dropped.
fn silent(from: Ipv4Addr, at: SocketAddr, sockets: usize) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for _ in 0..sockets {
        all.spawn(async move {
            loop {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind((from, 0).into()).unwrap();
                let Ok(mut stream) = socket.connect(at).await else { continue };
                // What the other side says first, and then its end.
                let mut said = Vec::new();
                let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said).await;
            }
        });
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_of_two_addresses_keep_no_third_one_out() {
    let victim = node(1);
    let address = listen(&victim, TCP).await;
    let port = address.as_str().split('/').nth(4).unwrap().parse().unwrap();
    let at = (Ipv4Addr::LOCALHOST, port).into();
    let silent = [silent(CROWDED, at, 200), silent(OTHER, at, 200)];
    // All places for handshakes are taken once somebody is turned away: then newcomers from there are, too.
    let member = node(2);
    for _ in 0..3 {
        guarded(meet(&member, &victim, &address)).await;
        guarded(exchange(&victim, &member, 10)).await;
        member.disconnect(victim.local_peer()).await;
        guarded(until_gone(&victim, member.local_peer())).await;
        guarded(until_gone(&member, victim.local_peer())).await;
    }
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_makes_room_for_a_member_at_once() {
    let mut config = NetConfig::default();
    config.incoming_max = 1;
    let victim = node_with(1, config);
    let address = listen(&victim, TCP).await;
    let stranger = node(2);
    guarded(meet(&stranger, &victim, &address)).await;
    // It does not read, so that a polite end would take a minute.
    let frame = vec![7; 1024 * 1024];
    let _queued = victim.send(stranger.local_peer(), frame).await;
    victim.set_merit(key(3).peer(), Merit::Member).await;
    let member = node(3);
    guarded(meet(&member, &victim, &address)).await;
    guarded(until_gone(&stranger, victim.local_peer())).await;
    // Frames pass both ways. The victim hears of the stranger's end before them, among them or behind them.
    let gone = NetworkEvent::Disconnected { peer: stranger.local_peer() };
    for number in 0..10 {
        member.send(victim.local_peer(), vec![number]).await.unwrap();
        victim.send(member.local_peer(), vec![number]).await.unwrap();
        let mut heard = guarded(next(&victim)).await;
        if heard == gone {
            heard = guarded(next(&victim)).await;
        }
        assert_eq!(heard, NetworkEvent::Frame { peer: member.local_peer(), bytes: vec![number] });
        let heard = guarded(next(&member)).await;
        assert_eq!(heard, NetworkEvent::Frame { peer: victim.local_peer(), bytes: vec![number] });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_opens_three_streams_and_those_beyond_end_at_once() {
    let (smaller, larger) = seeds_by_key();
    let node = node(larger);
    let address = listen(&node, TCP).await;
    let mut raw = Raw::dial(smaller, &address).await;
    let mut frames = raw.open(PROTOCOL).await;
    let _ping = raw.open("/ipfs/ping/1.0.0").await;
    let [mut third, mut beyond] = [raw.stream().await, raw.stream().await];
    let connection = raw.run();
    // The first byte opens it.
    third.write_all(&Raw::asking(PROTOCOL)[..1]).await.unwrap();
    third.flush().await.unwrap();
    beyond.write_all(&Raw::asking(PROTOCOL)).await.unwrap();
    beyond.flush().await.unwrap();
    assert!(!matches!(guarded(beyond.read(&mut [0])).await, Ok(1..)), "it is reset");
    // The frames go on.
    frames.write_all(&[1, 0, 0, 0, 42]).await.unwrap();
    frames.flush().await.unwrap();
    let peer = key(smaller).peer();
    assert!(matches!(guarded(next(&node)).await, NetworkEvent::Connected { .. }));
    assert_eq!(guarded(next(&node)).await, NetworkEvent::Frame { peer, bytes: vec![42] });
    connection.abort();
}
