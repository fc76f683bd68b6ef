//! A peer made of a bare TCP connection, Noise and Yamux, and a way to come from another loopback address.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;

use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::upgrade::Version;
use libp2p::core::{Endpoint, Transport};
use libp2p::futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, noise, tcp, yamux};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use walytis_core::Address;

/// A connection of a peer that does what a test wants.
pub(crate) struct Raw {
    muxer: StreamMuxerBox,
}

impl Raw {
    pub(crate) async fn dial(seed: u8, address: &Address) -> Self {
        Self::try_dial([seed; 32], address).await.unwrap()
    }

    /// A connection, if the node lets it in as far as its handshake.
    pub(crate) async fn try_dial(seed: [u8; 32], address: &Address) -> Option<Self> {
        let keypair = Keypair::ed25519_from_bytes(seed).unwrap();
        let mut transport = tcp::tokio::Transport::default()
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(&keypair).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
        let mut place: Multiaddr = address.as_str().parse().unwrap();
        place.pop();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let (_, muxer) = transport.dial(place, options).unwrap().await.ok()?;
        Some(Self { muxer })
    }

    /// Opens a stream and asks for a protocol, by multistream-select's rules.
    pub(crate) async fn open(&mut self, protocol: &str) -> SubstreamBox {
        let mut stream = self.stream().await;
        let messages = Self::asking(protocol);
        let mut answer = vec![0; messages.len()];
        let mut negotiation = std::pin::pin!(async {
            stream.write_all(&messages).await.unwrap();
            stream.flush().await.unwrap();
            stream.read_exact(&mut answer).await.unwrap();
        });
        poll_fn(|cx| {
            let _ = self.muxer.poll_unpin(cx);
            negotiation.as_mut().poll(cx)
        })
        .await;
        assert_eq!(answer, messages, "the node agrees");
        stream
    }

    /// What asks for a protocol.
    pub(crate) fn asking(protocol: &str) -> Vec<u8> {
        let mut messages = Vec::new();
        for text in ["/multistream/1.0.0", protocol] {
            messages.push(u8::try_from(text.len() + 1).unwrap());
            messages.extend_from_slice(text.as_bytes());
            messages.push(b'\n');
        }
        messages
    }

    /// Opens a stream and asks for nothing.
    pub(crate) async fn stream(&mut self) -> SubstreamBox {
        poll_fn(|cx| {
            if let Poll::Ready(stream) = self.muxer.poll_outbound_unpin(cx) {
                return Poll::Ready(stream.unwrap());
            }
            assert!(self.muxer.poll_unpin(cx).is_pending());
            Poll::Pending
        })
        .await
    }

    /// Keeps the connection going, without answering, until the other side ends it.
    pub(crate) async fn last(mut self) {
        poll_fn(move |cx| {
            while let Poll::Ready(result) = self.muxer.poll_inbound_unpin(cx) {
                if result.is_err() {
                    return Poll::Ready(());
                }
            }
            self.muxer.poll_unpin(cx).map(|_| ())
        })
        .await;
    }

    /// As [`Raw::last`], in a task of its own.
    pub(crate) fn run(self) -> JoinHandle<()> {
        tokio::spawn(self.last())
    }
}

/// An address at which this process passes TCP connections on to a node, which sees them come from `source`.
pub(crate) async fn tunnel(source: Ipv4Addr, address: &Address) -> Address {
    let (place, peer) = address.as_str().rsplit_once("/p2p/").unwrap();
    let port = place.rsplit_once("/tcp/").unwrap().1.parse().unwrap();
    let node = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let entry = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = entry.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = entry.accept().await {
            tokio::spawn(async move {
                let socket = TcpSocket::new_v4()?;
                socket.bind((source, 0).into())?;
                let mut far = socket.connect(node).await?;
                far.set_nodelay(true)?;
                near.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    Address::new(format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")).unwrap()
}
