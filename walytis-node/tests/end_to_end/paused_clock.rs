//! A node whose time and network are a test's own, as the simulator runs it.

use std::sync::Arc;

use offchain_store::system_random;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use walytis_core::NetworkEvent;
use walytis_node::{
    Address, Committer, Engine, EngineError, History, Network, NetworkError, Node, NodeError, NodeOptions, PeerId,
    Store, Timestamp,
};

use crate::kit::TestHome;

/// A network on which a node can listen, and nobody answers.
struct Nowhere {
    local: PeerId,
    events: mpsc::UnboundedSender<NetworkEvent>,
    given: Mutex<mpsc::UnboundedReceiver<NetworkEvent>>,
}

#[async_trait::async_trait]
impl Network for Nowhere {
    fn local_peer(&self) -> PeerId {
        self.local
    }

    async fn listen(&self, address: Address) -> Result<(), NetworkError> {
        let address = Address::new(format!("{address}/p2p/{}", self.local)).unwrap();
        self.events.send(NetworkEvent::Listening { address }).unwrap();
        Ok(())
    }

    async fn dial(&self, _: Address) -> Result<(), NetworkError> {
        Ok(()) // It takes longer than anybody waits.
    }

    async fn send(&self, peer: PeerId, _: Vec<u8>) -> Result<(), NetworkError> {
        Err(NetworkError::NotConnected { peer })
    }

    async fn disconnect(&self, _: PeerId) {}

    async fn next(&self) -> Option<NetworkEvent> {
        self.given.lock().await.recv().await
    }
}

fn start(home: &TestHome) -> Node {
    let store: Arc<dyn Store> = Arc::new(offchain_store::open(home.path(), &TestHome::unlock()).unwrap());
    let engine = Engine::open(Arc::clone(&store), Timestamp(0), system_random().unwrap()).unwrap();
    let (events, given) = mpsc::unbounded_channel();
    let network = Nowhere { local: engine.identity().peer, events, given: Mutex::new(given) };
    let begun = Instant::now();
    let mut options = NodeOptions::default();
    options.committer = Committer::Inline;
    options.now = Arc::new(move || Timestamp(u64::try_from(begun.elapsed().as_millis()).unwrap()));
    Node::start(engine, store, Some(Arc::new(network)), options)
}

#[tokio::test(start_paused = true)]
async fn a_node_runs_by_the_clock_that_it_is_given() {
    let homes = [TestHome::create(), TestHome::create()];
    let alice = start(&homes[0]);
    alice.new_group("g", History::All).await.unwrap();
    alice.listen(Address::new("/memory/1").unwrap()).await.unwrap();
    assert!(alice.listening().next().await.unwrap().as_str().starts_with("/memory/1/p2p/"));
    let code = alice.invite("g", 1).await.unwrap();

    let bob = start(&homes[1]);
    let begun = Instant::now();
    let unheard = bob.join(&code, None).await.unwrap().finish().await;
    assert!(matches!(unheard, Err(NodeError::Engine(EngineError::NoInviter))), "{unheard:?}");
    let waited_s = begun.elapsed().as_secs();
    assert!((1..3600).contains(&waited_s), "{waited_s} s of the paused clock");
    bob.new_group("own", History::All).await.unwrap();
    bob.post("own", "written at that time").await.unwrap();
    let entries = crate::kit::list(&bob, "own").await;
    assert_eq!(entries[0].created_at_ms / 1000, waited_s);
    alice.shutdown().await;
    bob.shutdown().await;
}
