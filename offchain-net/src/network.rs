//! The handle that callers hold.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use walytis_core::{Address, Merit, Network, NetworkError, NetworkEvent, PeerId, Route};

use crate::config::NetConfig;
use crate::discovery::Discovery;
use crate::driver::{Command, Driver};
use crate::key::TransportKey;
use crate::queues::{EventReceiver, Events, Registry};
use crate::sockets::Sockets;
use crate::transport;

/// Commands that may wait for the driver. Callers wait for the answer to each, so this is how many can call at once
/// without waiting for a place.
const COMMANDS_MAX: usize = 16;

/// Why a network could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no tokio runtime here to run on.
    #[error("a network needs a tokio runtime to run on")]
    Runtime,
    /// The key for the Noise handshake could not be signed.
    #[error("the transport key cannot be used")]
    Noise(#[source] libp2p::noise::Error),
    /// The address of a relay, or of a node that looks others up, cannot be used.
    #[error(transparent)]
    Helper(NetworkError),
}

/// A node's network over libp2p. Clones are handles of the same network; when the last one is dropped, it shuts down.
#[derive(Clone)]
pub struct Libp2pNetwork {
    local: PeerId,
    commands: mpsc::Sender<Command>,
    registry: Arc<Registry>,
    events: Arc<Mutex<EventReceiver>>,
}

impl Libp2pNetwork {
    /// Starts a network that listens nowhere and dials nobody yet. Must be called within a tokio runtime, on which it
    /// then runs.
    ///
    /// # Errors
    /// [`StartError`] if there is no runtime, or the system refuses what a transport needs.
    pub fn start(key: TransportKey, config: NetConfig) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::Runtime)?;
        let sockets = Sockets::default();
        let mut swarm = transport::swarm(&key.keypair(), &config, &sockets)?;
        let discovery = Discovery::start(&mut swarm, &config.reach)?;
        let local = key.peer();
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let (events, given) = Events::new();
        let registry = Arc::new(Registry::default());
        let ends = (received, events, Arc::clone(&registry));
        let driver = Driver::new(local, swarm, config, ends, discovery, sockets);
        runtime.spawn(driver.run());
        Ok(Self { local, commands, registry, events: Arc::new(Mutex::new(given)) })
    }

    /// Ends every connection and closes the listeners. Afterwards [`Network::next`] gives what was still queued and
    /// then `None`, and everything else says [`NetworkError::Closed`]. Frames under way may be lost.
    pub async fn close(&self) {
        let _ = self.ask(Command::Close).await;
    }

    /// Says that this machine has lost an address: what was connected from there is closed, and the caller hears that
    /// addresses have changed. Where the system says so itself, as on Linux, macOS and Windows, this need not be called; it
    /// is for hosts that alone are told, such as an app.
    pub async fn address_lost(&self, address: IpAddr) {
        let _ = self.ask(|answer| Command::AddressLost { address, answer }).await;
    }

    /// Gives a command to the driver and waits for the answer.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, NetworkError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| NetworkError::Closed)?;
        answered.await.map_err(|_| NetworkError::Closed)
    }
}

#[async_trait::async_trait]
impl Network for Libp2pNetwork {
    fn local_peer(&self) -> PeerId {
        self.local
    }

    async fn listen(&self, address: Address) -> Result<(), NetworkError> {
        self.ask(|answer| Command::Listen { address, answer }).await?
    }

    async fn dial(&self, address: Address) -> Result<(), NetworkError> {
        self.ask(|answer| Command::Dial { address, answer }).await?
    }

    async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError> {
        self.registry.send(peer, frame).await
    }

    async fn disconnect(&self, peer: PeerId) {
        let _ = self.ask(|answer| Command::Disconnect { peer, answer }).await;
    }

    async fn find(&self, peer: PeerId) {
        let _ = self.ask(|answer| Command::Find { peer, answer }).await;
    }

    async fn set_merit(&self, peer: PeerId, merit: Merit) {
        let _ = self.ask(|answer| Command::SetMerit { peer, merit, answer }).await;
    }

    async fn routes(&self) -> Vec<Route> {
        self.ask(Command::Routes).await.unwrap_or_default()
    }

    async fn next(&self) -> Option<NetworkEvent> {
        // The event's share of the budget is given back here, when the caller takes it.
        self.events.lock().await.recv().await.map(|(event, _)| event)
    }
}

impl fmt::Debug for Libp2pNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Libp2pNetwork({})", self.local)
    }
}
