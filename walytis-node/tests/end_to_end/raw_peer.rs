//! A peer that says what it likes: a home's keys on a real connection, without an engine.

use std::sync::Arc;

use offchain_net::{Libp2pNetwork, NetConfig, TransportKey};
use offchain_store::system_random;
use rand_core::Rng as _;
use walytis_core::{NetworkEvent, Pending};
use walytis_engine::sync::SyncMessage;
use walytis_identities::keyring::{self, LocalDevice};
use walytis_identities::session::{self, Initiator, Session};
use walytis_identities::{Fold, InvitationSecret};
use walytis_node::{ChainId, Network, Node, PeerId, Store};
use walytis_offchain::Message;

use crate::kit::{TestHome, within};

/// The first byte of each kind of frame.
const FLIGHT_1: u8 = 1;
const FLIGHT_2: u8 = 2;
const FLIGHT_3: u8 = 3;
const DATA: u8 = 4;

pub(crate) struct RawPeer {
    network: Libp2pNetwork,
    view: Pending,
    device: LocalDevice,
    them: PeerId,
    session: Option<Session>,
}

impl RawPeer {
    /// Connects with the keys of a home that no node runs on.
    pub(crate) async fn connect(home: &TestHome, node: &Node) -> Self {
        let (view, device) = Self::keys(home);
        let key = TransportKey::from_seed(device.transport.clone());
        Self::connect_by(key, view, device, node).await
    }

    /// Connects with the keys of such a home, but for the transport's.
    pub(crate) async fn connect_from_elsewhere(home: &TestHome, node: &Node) -> Self {
        let (view, device) = Self::keys(home);
        let mut seed = [0; 32];
        system_random().unwrap().fill_bytes(&mut seed);
        Self::connect_by(TransportKey::from_seed(seed.into()), view, device, node).await
    }

    fn keys(home: &TestHome) -> (Pending, LocalDevice) {
        let store: Arc<dyn Store> = Arc::new(offchain_store::open(home.path(), &TestHome::unlock()).unwrap());
        let view = Pending::new(store);
        let device = keyring::device(&view).unwrap().unwrap();
        (view, device)
    }

    async fn connect_by(key: TransportKey, view: Pending, device: LocalDevice, node: &Node) -> Self {
        let network = Libp2pNetwork::start(key, NetConfig::default()).unwrap();
        let them = node.identity().peer;
        network.dial(within(node.listening().next()).await.unwrap()).await.unwrap();
        match within(network.next()).await.unwrap() {
            NetworkEvent::Connected { peer, .. } => assert_eq!(peer, them),
            other => panic!("{other:?}"),
        }
        Self { network, view, device, them, session: None }
    }

    pub(crate) async fn send(&self, frame: Vec<u8>) {
        // If the node has ended the connection already, that is what the caller finds next.
        let _ = self.network.send(self.them, frame).await;
    }

    /// The next frame of the node; `None` if it ended the connection.
    pub(crate) async fn next_frame(&self) -> Option<Vec<u8>> {
        loop {
            match within(self.network.next()).await.unwrap() {
                NetworkEvent::Frame { bytes, .. } => return Some(bytes),
                NetworkEvent::Disconnected { .. } => return None,
                _ => {}
            }
        }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.network.local_peer()
    }

    fn me(&self) -> session::LocalDevice<'_> {
        session::LocalDevice { secret: &self.device.secret, peer: self.peer() }
    }

    /// Begins a handshake for being admitted.
    pub(crate) async fn ask_to_join(&self, group: ChainId, secret: &InvitationSecret) {
        let mut random = system_random().unwrap();
        let (_, flight) = Initiator::join(self.me(), self.them, group, secret, &mut *random).unwrap();
        self.send([&[FLIGHT_1], flight.as_slice()].concat()).await;
    }

    /// Begins a handshake as a member of a group that the home has. `transport` is what the flight names as the peer.
    pub(crate) async fn begin_session(&self, group: ChainId, transport: PeerId) -> Initiator {
        let membership = Fold::default().current(&self.view, group).unwrap();
        let key = membership.device_of_peer(&self.them).unwrap().1.key.clone();
        let me = session::LocalDevice { secret: &self.device.secret, peer: transport };
        let mut random = system_random().unwrap();
        let (initiator, flight) = Initiator::member(me, self.them, key, Vec::new(), &mut *random).unwrap();
        self.send([&[FLIGHT_1], flight.as_slice()].concat()).await;
        initiator
    }

    /// Opens a session as a member of a group that the home has.
    pub(crate) async fn open_session(&mut self, group: ChainId) {
        let initiator = self.begin_session(group, self.peer()).await;
        let answer = loop {
            // The node may begin a handshake of its own at the same time.
            match self.next_frame().await.unwrap().split_first().unwrap() {
                (&FLIGHT_2, flight) => break flight.to_vec(),
                (&FLIGHT_1, _) => {}
                (kind, _) => panic!("a frame of kind {kind}"),
            }
        };
        let ready = initiator.receive(self.them, &answer).unwrap();
        let hello = Message::Hello { addresses: Vec::new() }.encode();
        let (flight, session) = ready.finish(self.me(), &hello, &mut *system_random().unwrap()).unwrap();
        self.send([&[FLIGHT_3], flight.as_slice()].concat()).await;
        self.session = Some(session);
    }

    /// Says something in the session, which is the first on its connection.
    pub(crate) async fn tell(&mut self, message: &Message) {
        let sealed = self.session.as_mut().unwrap().seal(&message.encode()).unwrap();
        self.send([&[DATA, 0], sealed.as_slice()].concat()).await;
    }

    pub(crate) async fn ask(&mut self, message: SyncMessage) {
        self.tell(&Message::Sync(message)).await;
    }

    /// What the node says next in the session.
    pub(crate) async fn hear(&mut self) -> Message {
        loop {
            let frame = self.next_frame().await.expect("the session is open");
            if let [DATA, 0, sealed @ ..] = frame.as_slice() {
                let opened = self.session.as_mut().unwrap().open(sealed).unwrap();
                return Message::decode(&opened).unwrap();
            }
        }
    }
}
