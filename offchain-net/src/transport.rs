//! TCP, QUIC, relayed connections and the behaviours, put together.

use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::futures::future::Either;
use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    PeerId, StreamProtocol, Swarm, Transport, autonat, connection_limits, dcutr, identify, kad, mdns, noise, quic,
    relay, swarm, tcp, upnp,
};
use walytis_core::Merit;

use crate::address::core_peer;
use crate::admission::Admission;
use crate::config::{self, NetConfig};
use crate::guard::Guarded;
use crate::lines::Lines;
use crate::liveness::Liveness;
use crate::merits::Merits;
use crate::muxer::{Came, Multiplexing, Purpose};
use crate::network::StartError;
use crate::protocol;
use crate::reach::{Reach, RelayLimits};
use crate::sockets::Sockets;
use crate::streams::Streams;

/// The name under which peers are looked up: not that of the public network of IPFS, whose nodes we neither ask nor
/// serve.
const LOOKUP_PROTOCOL: StreamProtocol = StreamProtocol::new("/walytis/kad/1");

/// What runs on each connection. The limits come first, so that they refuse before anything else is set up. What can be
/// turned off is a `Toggle`: when it is off, peers are not told of its protocol.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) admission: Admission,
    pub(crate) streams: Streams,
    identify: identify::Behaviour,
    pub(crate) liveness: Liveness,
    pub(crate) local: Toggle<mdns::tokio::Behaviour>,
    pub(crate) lookup: Toggle<kad::Behaviour<MemoryStore>>,
    autonat_client: Toggle<autonat::v2::client::Behaviour>,
    autonat_server: Toggle<autonat::v2::server::Behaviour>,
    relay_client: Toggle<relay::client::Behaviour>,
    relay_server: Toggle<relay::Behaviour>,
    hole_punching: Toggle<dcutr::Behaviour>,
    upnp: Toggle<upnp::tokio::Behaviour>,
}

/// Builds a swarm that listens nowhere yet.
pub(crate) fn swarm(keypair: &Keypair, config: &NetConfig, sockets: &Sockets) -> Result<Swarm<Behaviour>, StartError> {
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_outgoing(Some(config::HANDSHAKES_OUTGOING_MAX))
        .with_max_established_per_peer(Some(config::CONNECTIONS_PER_PEER_MAX))
        .with_max_established_outgoing(Some(config.outgoing_max));
    let identify = identify::Config::new(format!("walytis/{}", config.protocol), keypair.public())
        .with_agent_version("walytis".into())
        .with_interval(config::IDENTIFY_INTERVAL)
        .with_cache_size(0);
    let (merits, lines) = (Merits::default(), Lines::default());
    let (peer, reach) = (keypair.public().to_peer_id(), &config.reach);
    let (relay_transport, relay_client) = if reach.uses_relays() {
        let (transport, behaviour) = relay::client::new(peer);
        (Some(transport), Some(behaviour))
    } else {
        (None, None)
    };
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        admission: Admission::new(config.incoming_max, merits.clone(), lines.clone()),
        streams: Streams::new(protocol::name(config.protocol), config.open_timeout()),
        identify: identify::Behaviour::new(identify),
        liveness: Liveness::new(config.ping_interval(), config.probe_timeout()),
        local: reach.mdns.then(|| local(peer)).flatten().into(),
        lookup: reach.looks_up().then(|| lookup(peer, reach)).into(),
        autonat_client: reach.autonat.then(autonat::v2::client::Behaviour::default).into(),
        autonat_server: reach.autonat.then(autonat::v2::server::Behaviour::default).into(),
        relay_client: relay_client.into(),
        relay_server: reach.relay_server.map(|limits| relay_server(peer, limits)).into(),
        hole_punching: reach.hole_punching.then(|| dcutr::Behaviour::new(peer)).into(),
        upnp: reach.upnp.then(upnp::tokio::Behaviour::default).into(),
    };
    // What carries frames stays, as an open stream does; what does not is closed after `open_timeout` by `links`, which
    // also finds the connections that somebody keeps alive with other streams.
    let swarm_config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(config.open_timeout() * 2)
        .with_max_negotiating_inbound_streams(config::STREAMS_MAX.into());
    let transport = transport(keypair, config, (&merits, &lines, sockets), relay_transport)?;
    Ok(Swarm::new(transport, behaviour, peer, swarm_config))
}

/// Whoever is near. Without multicast a node works all the same.
fn local(peer: PeerId) -> Option<mdns::tokio::Behaviour> {
    let started = mdns::tokio::Behaviour::new(mdns::Config::default(), peer);
    started.inspect_err(|error| tracing::warn!(%error, "cannot look for nodes on the local network")).ok()
}

/// Looking peers up, as one who asks or as one who answers, too. Nothing is stored but what `discovery` checks.
fn lookup(peer: PeerId, reach: &Reach) -> kad::Behaviour<MemoryStore> {
    let store = MemoryStoreConfig {
        max_records: 0,
        max_value_bytes: 0,
        max_providers_per_key: 1,
        // One of them is this node itself.
        max_provided_keys: config::LOOKUP_PEERS_MAX + 1,
    };
    let mut kademlia = kad::Config::new(LOOKUP_PROTOCOL);
    kademlia.set_record_filtering(kad::StoreInserts::FilterBoth).set_query_timeout(config::LOOKUP_TIMEOUT);
    kademlia.set_provider_record_ttl(Some(config::LOOKUP_LIFE));
    kademlia.set_provider_publication_interval(Some(config::LOOKUP_REFRESH));
    kademlia.set_periodic_bootstrap_interval(Some(config::LOOKUP_REFRESH));
    let mut behaviour = kad::Behaviour::with_config(peer, MemoryStore::with_config(peer, store), kademlia);
    behaviour.set_mode(Some(if reach.lookup_server { kad::Mode::Server } else { kad::Mode::Client }));
    behaviour
}

/// A relay for others. How often one peer or one IP address may ask is left as libp2p has it: 30 and 60 times an hour.
fn relay_server(peer: PeerId, limits: RelayLimits) -> relay::Behaviour {
    let share = (limits.connections_max / 4).max(1);
    let mut behaviour = relay::Behaviour::new(
        peer,
        relay::Config {
            max_reservations: limits.places_max,
            max_reservations_per_peer: 1,
            max_circuits: limits.connections_max,
            // It compares with what there is before the new one.
            max_circuits_per_peer: share - 1,
            max_circuit_duration: std::time::Duration::from_secs(limits.connection_seconds_max.into()),
            max_circuit_bytes: limits.connection_bytes_max,
            ..relay::Config::default()
        },
    );
    behaviour.set_status(Some(relay::Status::Enable));
    behaviour
}

/// Connections to proven peers.
type Connected = Boxed<(PeerId, StreamMuxerBox)>;

/// TCP and QUIC, with host names where the system can resolve them; and relayed connections, if they are wanted.
fn transport(
    keypair: &Keypair,
    config: &NetConfig,
    with: (&Merits, &Lines, &Sockets),
    relayed: Option<relay::client::Transport>,
) -> Result<Connected, StartError> {
    let direct = with_names(tcp_or_quic(keypair, config, with)?, || tcp_or_quic(keypair, config, with))?;
    let Some(relayed) = relayed else { return Ok(direct) };
    let (stall, silence, sockets) = (config.stall_timeout(), config.silence_timeout(), with.2.clone());
    // From end to end: the relay has none of these keys.
    let relayed = relayed
        .map(move |circuit, _| Guarded::new(sockets.watch(circuit, None, silence), stall))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair).map_err(StartError::Noise)?)
        .multiplex_ext(multiplexing(with.0, &config.reach))
        .timeout(config::HANDSHAKE_TIMEOUT);
    Ok(relayed
        .or_transport(direct)
        .map(|either, _| match either {
            Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            Either::Right(direct) => direct,
        })
        .boxed())
}

/// A transport that resolves host names, or the same again without them.
#[cfg(not(target_os = "android"))]
fn with_names(
    named: Connected,
    plain: impl FnOnce() -> Result<Connected, StartError>,
) -> Result<Connected, StartError> {
    match libp2p::dns::tokio::Transport::system(named) {
        Ok(transport) => Ok(transport.boxed()),
        Err(error) => {
            tracing::warn!(%error, "host names cannot be resolved here, so only IP addresses can be dialled");
            plain()
        }
    }
}

/// On Android a program knows its name servers from an object of Java's alone. The resolver asks for that object and panics
/// where nobody has set it, so it is not asked.
#[cfg(target_os = "android")]
fn with_names(direct: Connected, _: impl FnOnce() -> Result<Connected, StartError>) -> Result<Connected, StartError> {
    tracing::info!("host names are not resolved on Android, so only IP addresses can be dialled");
    Ok(direct)
}

/// How many streams and which windows each peer gets.
fn multiplexing(
    merits: &Merits,
    reach: &Reach,
) -> impl FnOnce(&PeerId, &ConnectedPoint) -> Multiplexing + Clone + use<> {
    let merits = merits.clone();
    let (serves, uses_relays) = (reach.serves(), reach.uses_relays());
    move |peer, point| {
        let merit = core_peer(*peer).map_or(Merit::Stranger, |peer| merits.of(peer));
        let finds = serves || point.is_relayed() || (uses_relays && point.is_dialer());
        let came = if point.is_dialer() { Came::BecauseWeDialled } else { Came::ToUs };
        Multiplexing::of(merit, came, if finds { Purpose::Finding } else { Purpose::Frames })
    }
}

fn tcp_or_quic(
    keypair: &Keypair,
    settings: &NetConfig,
    (merits, lines, sockets): (&Merits, &Lines, &Sockets),
) -> Result<Connected, StartError> {
    // Small frames must not wait for more, so Nagle's algorithm is off (it is by default; this says that we rely on it).
    let (stall, silence) = (settings.stall_timeout(), settings.silence_timeout());
    let (sockets, lines) = (sockets.clone(), lines.clone());
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .map(move |socket, point| {
            let local = socket.0.local_addr().ok().map(|local| local.ip());
            let guarded = Guarded::new(sockets.watch(socket, local, silence), stall);
            match point {
                ConnectedPoint::Listener { local_addr, send_back_addr } => {
                    guarded.on(lines.add(&local_addr, &send_back_addr))
                }
                ConnectedPoint::Dialer { .. } => guarded,
            }
        })
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair).map_err(StartError::Noise)?)
        .multiplex_ext(multiplexing(merits, &settings.reach))
        .timeout(config::HANDSHAKE_TIMEOUT);

    let mut quic = quic::Config::new(keypair);
    quic.handshake_timeout = config::HANDSHAKE_TIMEOUT;
    quic.max_idle_timeout = settings.quic_idle_ms();
    quic.keep_alive_interval = settings.quic_keep_alive();
    quic.max_concurrent_stream_limit = config::STREAMS_MAX.into();
    quic.max_stream_data = config::QUIC_STREAM_WINDOW_BYTES;
    quic.max_connection_data = config::QUIC_WINDOW_BYTES;

    Ok(tcp
        .or_transport(quic::tokio::Transport::new(quic))
        .map(|either, _| match either {
            Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        })
        .boxed())
}
