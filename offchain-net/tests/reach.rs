//! Finding peers and being found: relays and lookups, on the loopback interface. What needs multicast or a router, as hole
//! punching does, is in `cargo xtask hosts`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{QUIC, TCP, address, guarded, key, listen, next, node, node_with};
use libp2p::core::Transport as _;
use libp2p::core::upgrade::Version;
use libp2p::futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, identify, noise, tcp, yamux};
use offchain_net::{HELPERS_MAX, Libp2pNetwork, NetConfig, PROTOCOL, Reach, RelayLimits, StartError};
use offchain_testkit::network_contract::exchange;
use walytis_core::{Address, Carrier, Dialer, Found, Network, NetworkError, NetworkEvent, PeerId, Route, Way};

fn reaching(change: impl FnOnce(&mut Reach)) -> NetConfig {
    let mut config = NetConfig::default();
    change(&mut config.reach);
    config
}

/// The protocols that a node tells whoever connects.
async fn protocols(address: &Address) -> BTreeSet<String> {
    let keypair = Keypair::ed25519_from_bytes([99; 32]).unwrap();
    let transport = tcp::tokio::Transport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&keypair).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let behaviour = identify::Behaviour::new(identify::Config::new("test/1".into(), keypair.public()));
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
    let mut swarm = Swarm::new(transport, behaviour, keypair.public().to_peer_id(), config);
    swarm.dial(address.as_str().parse::<Multiaddr>().unwrap()).unwrap();
    loop {
        if let SwarmEvent::Behaviour(identify::Event::Received { info, .. }) = swarm.select_next_some().await {
            return info.protocols.iter().map(ToString::to_string).collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_off_is_no_protocol_of_the_node() {
    const ALWAYS: [&str; 4] = [PROTOCOL, "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"];
    let elsewhere = listen(&node(50), TCP).await;
    let cases: [(NetConfig, &[&str]); 6] = [
        (NetConfig::default(), &[]),
        (reaching(|reach| reach.relay = true), &["/libp2p/circuit/relay/0.2.0/stop"]),
        (reaching(|reach| reach.relay_server = Some(RelayLimits::default())), &["/libp2p/circuit/relay/0.2.0/hop"]),
        (reaching(|reach| reach.lookup_server = true), &["/walytis/kad/1"]),
        // Who only asks answers nobody.
        (reaching(|reach| reach.bootstrap = vec![elsewhere]), &[]),
        (reaching(|reach| reach.autonat = true), &["/libp2p/autonat/2/dial-back", "/libp2p/autonat/2/dial-request"]),
    ];
    for (config, more) in cases {
        let node = node_with(1, config.clone());
        let spoken = guarded(protocols(&listen(&node, TCP).await)).await;
        let expected = ALWAYS.iter().chain(more).map(ToString::to_string).collect();
        assert_eq!(spoken, expected, "{:?}", config.reach);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helpers_are_direct_full_addresses_and_few() {
    let peer = PeerId([7; 32]);
    let good = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}");
    let relayed = format!("{good}/p2p-circuit/p2p/{}", PeerId([8; 32]));
    for bad in [vec!["/ip4/127.0.0.1/tcp/1"], vec![relayed.as_str()], vec![good.as_str(); HELPERS_MAX + 1]] {
        let bad: Vec<Address> = bad.into_iter().map(address).collect();
        for config in [reaching(|reach| reach.relays = bad.clone()), reaching(|reach| reach.bootstrap = bad.clone())] {
            let started = Libp2pNetwork::start(key(1), config).map(drop);
            assert!(matches!(&started, Err(StartError::Helper(NetworkError::Address { .. }))), "{started:?}");
        }
    }
}

/// A relay, a guest that has a place there, and the address of that place.
async fn relay_and_guest(place: &str, limits: RelayLimits) -> (Libp2pNetwork, Libp2pNetwork, Address) {
    let relay = node_with(1, reaching(|reach| reach.relay_server = Some(limits)));
    let at = listen(&relay, place).await;
    let config = reaching(|reach| {
        reach.relays = vec![at.clone()];
    });
    let guest = node_with(2, config);
    // Nobody is told of it, but a place at a relay is asked for from there.
    assert_eq!(guest.listen(address(place)).await, Ok(()));
    let told = relayed_address(&guest).await;
    assert_eq!(told.as_str(), format!("{at}/p2p-circuit/p2p/{}", guest.local_peer()));
    (relay, guest, told)
}

async fn relayed_address(guest: &Libp2pNetwork) -> Address {
    loop {
        if let Some(NetworkEvent::Listening { address }) = guarded(guest.next()).await
            && address.is_relayed()
        {
            return address;
        }
    }
}

/// Dials, and waits until both sides are told.
async fn meet(dialer: &Libp2pNetwork, other: &Libp2pNetwork, at: &Address) {
    assert_eq!(dialer.dial(at.clone()).await, Ok(()));
    let connected = NetworkEvent::Connected { peer: other.local_peer(), dialer: Dialer::Us, address: Some(at.clone()) };
    assert_eq!(guarded(next(dialer)).await, connected);
    let answered = NetworkEvent::Connected { peer: dialer.local_peer(), dialer: Dialer::Peer, address: None };
    assert_eq!(guarded(next(other)).await, answered);
}

/// How a peer is reached, and how it was found.
async fn route(network: &Libp2pNetwork, peer: PeerId) -> Option<(Way, Found)> {
    let routes = network.routes().await;
    routes.into_iter().find(|route| route.peer == peer).map(|Route { way, found, .. }| (way, found))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_cannot_dial_one_another_talk_through_a_relay() {
    for place in [TCP, QUIC] {
        for seed in [3, 4, 5] {
            let (relay, guest, told) = relay_and_guest(place, RelayLimits::default()).await;
            let visitor = node_with(seed, reaching(|reach| reach.relay = true));
            meet(&visitor, &guest, &told).await;
            guarded(exchange(&visitor, &guest, 100)).await;
            let way = Way::Relayed { relay: Some(relay.local_peer()) };
            assert_eq!(route(&visitor, guest.local_peer()).await, Some((way, Found::Told)));
            assert_eq!(route(&guest, visitor.local_peer()).await, Some((way, Found::CameToUs)));
            assert_eq!(relay.routes().await, [], "the relay itself has no frames with them");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_way_is_told_as_such() {
    for (place, carrier) in [(TCP, Carrier::Tcp), (QUIC, Carrier::Quic)] {
        let (left, right) = (node(1), node(2));
        let at = listen(&left, place).await;
        meet(&right, &left, &at).await;
        assert_eq!(route(&right, left.local_peer()).await, Some((Way::Direct(carrier), Found::Told)));
        assert_eq!(route(&left, right.local_peer()).await, Some((Way::Direct(carrier), Found::CameToUs)));
        right.disconnect(left.local_peer()).await;
        assert!(matches!(guarded(next(&right)).await, NetworkEvent::Disconnected { .. }));
        assert_eq!(right.routes().await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_uses_no_relays_dials_none() {
    let (_relay, _guest, told) = relay_and_guest(TCP, RelayLimits::default()).await;
    let visitor = node(3);
    assert_eq!(visitor.dial(told.clone()).await, Ok(()));
    let event = guarded(next(&visitor)).await;
    assert!(matches!(&event, NetworkEvent::DialFailed { address, .. } if *address == told), "{event:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_keeps_to_its_limits() {
    let mut limits = RelayLimits::default();
    limits.connections_max = 1;
    limits.connection_bytes_max = 200_000;
    let (_relay, guest, told) = relay_and_guest(TCP, limits).await;
    let first = node_with(3, reaching(|reach| reach.relay = true));
    meet(&first, &guest, &told).await;
    // As many connections as it carries.
    let second = node_with(4, reaching(|reach| reach.relay = true));
    assert_eq!(second.dial(told.clone()).await, Ok(()));
    let event = guarded(next(&second)).await;
    assert!(matches!(&event, NetworkEvent::DialFailed { address, .. } if *address == told), "{event:?}");
    // And as many bytes on each.
    assert_eq!(first.send(guest.local_peer(), vec![1; 1000]).await, Ok(()));
    let frame = NetworkEvent::Frame { peer: first.local_peer(), bytes: vec![1; 1000] };
    assert_eq!(guarded(next(&guest)).await, frame);
    assert_eq!(first.send(guest.local_peer(), vec![2; 1_000_000]).await, Ok(()));
    let gone = |peer| NetworkEvent::Disconnected { peer };
    assert_eq!(guarded(next(&guest)).await, gone(first.local_peer()));
    assert_eq!(guarded(next(&first)).await, gone(guest.local_peer()));
    // The next one begins anew.
    meet(&second, &guest, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_at_a_relay_outlasts_the_time_in_which_others_must_carry_frames() {
    let mut server = reaching(|reach| reach.relay_server = Some(RelayLimits::default()));
    server.open_timeout_ms = 2_000;
    let relay = node_with(1, server);
    let at = listen(&relay, TCP).await;
    let mut config = reaching(|reach| reach.relays = vec![at.clone()]);
    config.open_timeout_ms = 2_000;
    let guest = node_with(2, config);
    assert_eq!(guest.listen(address(TCP)).await, Ok(()));
    let told = relayed_address(&guest).await;
    // One that came later and wants nothing is let go, so the others' time is over as well.
    let a_while = async || {
        let mut socket = silent(&at).await;
        guarded(async { while socket.select_next_some().await.is_open() {} }).await;
    };
    a_while().await;
    let mut config = reaching(|reach| reach.relay = true);
    config.open_timeout_ms = 2_000;
    let visitor = node_with(3, config);
    meet(&visitor, &guest, &told).await;
    // And so does what leads to the relay of a connection.
    a_while().await;
    guarded(exchange(&visitor, &guest, 10)).await;
}

/// A connection that speaks nothing.
async fn silent(address: &Address) -> Swarm<libp2p::swarm::dummy::Behaviour> {
    let keypair = Keypair::ed25519_from_bytes([98; 32]).unwrap();
    let transport = tcp::tokio::Transport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&keypair).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(600));
    let mut swarm = Swarm::new(transport, libp2p::swarm::dummy::Behaviour, keypair.public().to_peer_id(), config);
    swarm.dial(address.as_str().parse::<Multiaddr>().unwrap()).unwrap();
    swarm
}

trait IsOpen {
    fn is_open(&self) -> bool;
}

impl<T> IsOpen for SwarmEvent<T> {
    fn is_open(&self) -> bool {
        match self {
            Self::ConnectionClosed { .. } => false,
            Self::OutgoingConnectionError { error, .. } => panic!("{error}"),
            _ => true,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_is_looked_up_through_a_node_that_both_know() {
    let server = node_with(1, reaching(|reach| reach.lookup_server = true));
    let at = listen(&server, TCP).await;
    let config = || reaching(|reach| reach.bootstrap = vec![at.clone()]);
    let sought = node_with(2, config());
    let told = listen(&sought, QUIC).await;
    let seeker = node_with(3, config());
    guarded(async {
        loop {
            // Until what the one tells has arrived, there is nothing to find.
            seeker.find(sought.local_peer()).await;
            tokio::select! {
                event = next(&seeker) => {
                    assert_eq!(event, NetworkEvent::Discovered { address: told.clone() });
                    break;
                }
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
    meet(&seeker, &sought, &told).await;
    let found = route(&seeker, sought.local_peer()).await;
    assert_eq!(found, Some((Way::Direct(Carrier::Quic), Found::LookedUp)));
}
