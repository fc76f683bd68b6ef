//! A home on the network.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offchain_net::{Libp2pNetwork, NetConfig, Reach, TransportKey};
use walytis_core::{Address, NetworkError};

use crate::error::NodeError;
use crate::home::Home;
use crate::node::{Beside, Node};
use crate::places;
use crate::wishes;

/// How long [`Home::serve`] waits for the addresses that result from listening. The system gives them within
/// milliseconds, unless it has no interface for them.
const ADDRESSES_WAIT: Duration = Duration::from_secs(1);

/// How a home is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeOptions {
    /// Whether connections are accepted at all. What else stands here about listening is of no use without.
    pub accept: Accept,
    /// Where to accept connections, such as `/ip4/0.0.0.0/tcp/4001` or `/ip6/::/udp/4001/quic-v1`. Empty: where the node
    /// listened last, or else on every interface over TCP and QUIC, at ports that the system chooses.
    pub listen: Vec<Address>,
    /// Whom to connect to now, and again whenever the connection is lost. Members of shared groups are remembered, and
    /// need not be named.
    pub connect: Vec<Address>,
    /// How peers are found beyond that, and how they find this node. By default not at all.
    pub reach: Reach,
}

/// Whether a node accepts connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// It does, where [`ServeOptions::listen`] says.
    #[default]
    Connections,
    /// It dials others and listens nowhere. Where it listens the next time does not change. A connection that leads
    /// through a relay stays one: to become a direct one, both sides have to accept connections.
    Nothing,
}

/// What may be worth saying while a node begins to serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeNotice {
    /// A place where the node listened before is taken, so it listens at another port, or not there. The next time the
    /// place is tried again.
    Taken {
        /// The place.
        place: Address,
        /// What the network says of it.
        error: NetworkError,
    },
}

impl Home {
    /// A node on the network, over TCP and QUIC, and on the tokio runtime in which this is called. When it returns,
    /// the node accepts connections.
    ///
    /// # Errors
    /// [`NetworkError::Address`](crate::NetworkError::Address) if an address that was given cannot be used or is taken;
    /// otherwise as [`Home::offline`], or [`NodeError::Start`].
    pub async fn serve(self, options: ServeOptions) -> Result<Node, NodeError> {
        self.serve_with(options, &mut |_| ()).await
    }

    /// As [`Home::serve`]; `notice` is told what may be worth saying.
    ///
    /// # Errors
    /// As [`Home::serve`].
    pub async fn serve_with(
        self,
        options: ServeOptions,
        notice: &mut (dyn FnMut(ServeNotice) + Send),
    ) -> Result<Node, NodeError> {
        let folder = self.folder.clone();
        let room = self.room();
        let (store, engine) = self.engine()?;
        // A home that served before wishes were kept.
        let before = places::again(&engine.remembered_listening()?);
        let mut config = NetConfig::default();
        config.reach.clone_from(&options.reach);
        let network = Libp2pNetwork::start(TransportKey::from_seed(engine.transport_seed()), config)?;
        let closing = network.clone();
        let close = Box::pin(async move { closing.close().await });
        let node_options = room.options();
        let beside = Beside { afterwards: Some(close), room: Some(room) };
        let node = Node::start_then(engine, store, Some(Arc::new(network)), &node_options, beside);
        match begin(&node, options, &folder, before, notice).await {
            Ok(()) => Ok(node),
            Err(error) => {
                node.shutdown().await;
                Err(error)
            }
        }
    }
}

async fn begin(
    node: &Node,
    options: ServeOptions,
    folder: &Path,
    before: Vec<Address>,
    notice: &mut (dyn FnMut(ServeNotice) + Send),
) -> Result<(), NodeError> {
    if options.accept == Accept::Connections {
        listen(node, options.listen, folder, before, notice).await?;
    }
    for address in options.connect {
        node.connect(address).await?;
    }
    Ok(())
}

/// Listens where it is wished, where the node did before, or everywhere; and keeps in mind where.
async fn listen(
    node: &Node,
    mut wishes: Vec<Address>,
    folder: &Path,
    before: Vec<Address>,
    notice: &mut (dyn FnMut(ServeNotice) + Send),
) -> Result<(), NodeError> {
    let mut listening = Vec::new();
    for place in &wishes {
        node.listen(place.clone()).await?;
        listening.push(place.clone());
    }
    if wishes.is_empty() {
        let kept = wishes::kept(folder);
        wishes = if kept.is_empty() { before } else { kept };
        listening = listen_again(node, &wishes, notice).await?;
    }
    if listening.is_empty() {
        listening = listen_everywhere(node).await?;
        if wishes.is_empty() {
            wishes.clone_from(&listening);
        }
    }
    let _ = tokio::time::timeout(ADDRESSES_WAIT, has_addresses(node, listening)).await;
    let addresses = node.known_addresses();
    let mut used = Vec::new();
    let wishes: Vec<Address> = wishes.iter().map(|wish| places::with_port(wish, &addresses, &mut used)).collect();
    wishes::keep(folder, &wishes);
    Ok(())
}

/// Listens where the node did before, at another port where that one is taken.
async fn listen_again(
    node: &Node,
    wishes: &[Address],
    notice: &mut (dyn FnMut(ServeNotice) + Send),
) -> Result<Vec<Address>, NodeError> {
    let mut listening = Vec::new();
    for place in wishes {
        match node.listen(place.clone()).await {
            Ok(()) => listening.push(place.clone()),
            Err(NodeError::Network(error)) => {
                tracing::warn!(%place, %error, "cannot listen where it did before");
                notice(ServeNotice::Taken { place: place.clone(), error });
                let Some(elsewhere) = places::at_any_port(place) else { continue };
                if node.listen(elsewhere.clone()).await.is_ok() {
                    listening.push(elsewhere);
                }
            }
            Err(other) => return Err(other),
        }
    }
    Ok(listening)
}

/// Listens on every interface: at least one kind of address must work.
async fn listen_everywhere(node: &Node) -> Result<Vec<Address>, NodeError> {
    let mut listening = Vec::new();
    let mut failed = None;
    for place in places::everywhere() {
        match node.listen(place.clone()).await {
            Ok(()) => listening.push(place),
            Err(error) => {
                tracing::debug!(%place, %error, "not listening");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if listening.is_empty() => Err(error),
        _ => Ok(listening),
    }
}

/// Waits until each place that will have an address has one.
async fn has_addresses(node: &Node, mut places: Vec<Address>) {
    places.retain(places::has_address_for_sure);
    let mut addresses = node.listening();
    while !places.is_empty() {
        let Some(address) = addresses.next().await else { return };
        places.retain(|place| !places::is_at(&address, place));
    }
}
