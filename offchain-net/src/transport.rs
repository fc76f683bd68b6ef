//! TCP, QUIC and the behaviours, put together.

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::futures::future::Either;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, Swarm, Transport, connection_limits, dns, identify, noise, ping, quic, swarm, tcp, yamux};

use crate::config::{self, NetConfig};
use crate::guard::Guarded;
use crate::network::StartError;
use crate::streams::Streams;

/// What runs on each connection. The limits come first, so that they refuse before anything else is set up.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) streams: Streams,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// Builds a swarm that listens nowhere yet.
pub(crate) fn swarm(keypair: &Keypair, config: &NetConfig) -> Result<Swarm<Behaviour>, StartError> {
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(config::HANDSHAKES_INCOMING_MAX))
        .with_max_pending_outgoing(Some(config::HANDSHAKES_OUTGOING_MAX))
        .with_max_established_per_peer(Some(config::CONNECTIONS_PER_PEER_MAX))
        .with_max_established_incoming(Some(config.incoming_max))
        .with_max_established_outgoing(Some(config.outgoing_max));
    let identify = identify::Config::new("walytis/1".into(), keypair.public())
        .with_agent_version("walytis".into())
        .with_interval(config::IDENTIFY_INTERVAL)
        .with_cache_size(0);
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        streams: Streams::new(config.open_timeout()),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(config::PING_INTERVAL)),
    };
    // What carries frames stays, as an open stream does; what does not is closed after `open_timeout` by `links`, which
    // also finds the connections that somebody keeps alive with other streams.
    let swarm_config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(config.open_timeout() * 2)
        .with_max_negotiating_inbound_streams(config::STREAMS_MAX.into());
    Ok(Swarm::new(transport(keypair, config)?, behaviour, keypair.public().to_peer_id(), swarm_config))
}

/// TCP and QUIC, with host names where the system can resolve them.
fn transport(keypair: &Keypair, config: &NetConfig) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    match dns::tokio::Transport::system(tcp_or_quic(keypair, config)?) {
        Ok(transport) => Ok(transport.boxed()),
        Err(error) => {
            tracing::warn!(%error, "host names cannot be resolved here, so only IP addresses can be dialled");
            tcp_or_quic(keypair, config)
        }
    }
}

fn tcp_or_quic(keypair: &Keypair, settings: &NetConfig) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    let mut multiplexing = yamux::Config::default();
    multiplexing.set_max_num_streams(config::STREAMS_MAX.into());
    // Small frames must not wait for more, so Nagle's algorithm is off (it is by default; this says that we rely on it).
    let stall = settings.stall_timeout();
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .map(move |socket, _| Guarded::new(socket, stall))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair).map_err(StartError::Noise)?)
        .multiplex(multiplexing)
        .timeout(config::HANDSHAKE_TIMEOUT);

    let mut quic = quic::Config::new(keypair);
    quic.handshake_timeout = config::HANDSHAKE_TIMEOUT;
    quic.max_idle_timeout = config::QUIC_IDLE_MS;
    quic.keep_alive_interval = config::QUIC_KEEP_ALIVE;
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
