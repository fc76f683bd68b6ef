//! Several nodes' networks in one process, in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use walytis_core::{Address, Dialer, FRAME_BYTES_MAX, Network, NetworkError, NetworkEvent, PeerId};

/// The most bytes that may be under way from one node to another before a sender waits: a few of the longest frames.
pub const UNDER_WAY_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// The medium between [`SimNetwork`]s. Clones are the same medium.
///
/// Its addresses are `/memory/<any name>`. Frames arrive at once, so time is what the runtime says: with a paused clock a
/// whole swarm of nodes runs as fast as it computes.
#[derive(Clone, Debug, Default)]
pub struct SimMedium {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ends: BTreeMap<PeerId, End>,
    /// One for each direction of each connection.
    flows: BTreeMap<(PeerId, PeerId), Flow>,
    cut: BTreeSet<(PeerId, PeerId)>,
}

#[derive(Debug, Default)]
struct End {
    listening: Vec<String>,
    events: VecDeque<NetworkEvent>,
    waiting: Option<Waker>,
}

#[derive(Debug, Default)]
struct Flow {
    bytes: usize,
    waiting: Vec<Waker>,
}

impl State {
    fn tell(&mut self, peer: PeerId, event: NetworkEvent) {
        if let Some(end) = self.ends.get_mut(&peer) {
            end.events.push_back(event);
            if let Some(waiting) = end.waiting.take() {
                waiting.wake();
            }
        }
    }

    fn disconnect(&mut self, a: PeerId, b: PeerId) {
        for (from, to) in [(a, b), (b, a)] {
            let Some(flow) = self.flows.remove(&(from, to)) else { continue };
            flow.waiting.into_iter().for_each(Waker::wake);
            if let Some(end) = self.ends.get_mut(&to) {
                end.events.retain(|event| !matches!(event, NetworkEvent::Frame { peer, .. } if *peer == from));
            }
            self.tell(to, NetworkEvent::Disconnected { peer: from });
        }
    }

    /// Connects two nodes, or says why not.
    fn connect(&mut self, from: PeerId, address: &Address) -> Result<(), &'static str> {
        let place = place(address).ok_or("not an address in memory")?;
        let found = self.ends.iter().find(|(_, end)| end.listening.iter().any(|known| known == place));
        let to = *found.ok_or("nobody listens there")?.0;
        if address.peer().is_some_and(|expected| expected != to) {
            return Err("another peer answers there");
        }
        if to == from {
            return Err("that is this node itself");
        }
        if self.cut.contains(&pair(from, to)) {
            return Err("the way there is cut");
        }
        if self.flows.contains_key(&(from, to)) {
            return Ok(());
        }
        self.flows.insert((from, to), Flow::default());
        self.flows.insert((to, from), Flow::default());
        self.tell(from, NetworkEvent::Connected { peer: to, dialer: Dialer::Us, address: Some(address.clone()) });
        self.tell(to, NetworkEvent::Connected { peer: from, dialer: Dialer::Peer, address: None });
        Ok(())
    }
}

fn pair(a: PeerId, b: PeerId) -> (PeerId, PeerId) {
    (a.min(b), a.max(b))
}

/// An address in memory without the peer at its end.
fn place(address: &Address) -> Option<&str> {
    let text = address.as_str();
    let place = text.split_once("/p2p/").map_or(text, |(place, _)| place);
    place.starts_with("/memory/").then_some(place)
}

impl SimMedium {
    /// A medium with nobody in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The network of a node with this key. It ends when it is dropped.
    #[must_use]
    pub fn network(&self, peer: PeerId) -> SimNetwork {
        self.lock().ends.insert(peer, End::default());
        SimNetwork { medium: self.clone(), peer }
    }

    /// Cuts the way between two nodes: their connection ends, and dialling fails.
    pub fn cut(&self, a: PeerId, b: PeerId) {
        let mut state = self.lock();
        state.cut.insert(pair(a, b));
        state.disconnect(a, b);
    }

    /// Mends the way between two nodes.
    pub fn mend(&self, a: PeerId, b: PeerId) {
        self.lock().cut.remove(&pair(a, b));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One node's [`Network`] in a [`SimMedium`].
#[derive(Debug)]
pub struct SimNetwork {
    medium: SimMedium,
    peer: PeerId,
}

impl Drop for SimNetwork {
    fn drop(&mut self) {
        let mut state = self.medium.lock();
        let peers: Vec<PeerId> = state.flows.keys().filter(|(from, _)| *from == self.peer).map(|(_, to)| *to).collect();
        for peer in peers {
            state.disconnect(self.peer, peer);
        }
        state.ends.remove(&self.peer);
    }
}

#[async_trait::async_trait]
impl Network for SimNetwork {
    fn local_peer(&self) -> PeerId {
        self.peer
    }

    async fn listen(&self, address: Address) -> Result<(), NetworkError> {
        let refuse = |reason: &str| NetworkError::Address { address: address.clone(), reason: reason.to_owned() };
        let place = place(&address).ok_or_else(|| refuse("not an address in memory"))?;
        let full = Address::new(format!("{place}/p2p/{}", self.peer)).ok_or_else(|| refuse("it is too long"))?;
        let mut state = self.medium.lock();
        if state.ends.values().any(|end| end.listening.iter().any(|known| known == place)) {
            return Err(refuse("somebody listens there already"));
        }
        if let Some(end) = state.ends.get_mut(&self.peer) {
            end.listening.push(place.to_owned());
        }
        state.tell(self.peer, NetworkEvent::Listening { address: full });
        Ok(())
    }

    async fn dial(&self, address: Address) -> Result<(), NetworkError> {
        if place(&address).is_none() {
            return Err(NetworkError::Address { address, reason: "not an address in memory".to_owned() });
        }
        let mut state = self.medium.lock();
        if let Err(reason) = state.connect(self.peer, &address) {
            state.tell(self.peer, NetworkEvent::DialFailed { address, reason: reason.to_owned() });
        }
        Ok(())
    }

    async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError> {
        let bytes = frame.len();
        if bytes > FRAME_BYTES_MAX {
            return Err(NetworkError::TooLong { bytes });
        }
        let mut frame = Some(frame);
        poll_fn(|context| {
            let mut state = self.medium.lock();
            let Some(flow) = state.flows.get_mut(&(self.peer, peer)) else {
                return Poll::Ready(Err(NetworkError::NotConnected { peer }));
            };
            if flow.bytes > 0 && flow.bytes.saturating_add(bytes) > UNDER_WAY_BYTES_MAX {
                flow.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            flow.bytes = flow.bytes.saturating_add(bytes);
            state.tell(peer, NetworkEvent::Frame { peer: self.peer, bytes: frame.take().unwrap_or_default() });
            Poll::Ready(Ok(()))
        })
        .await
    }

    async fn disconnect(&self, peer: PeerId) {
        self.medium.lock().disconnect(self.peer, peer);
    }

    async fn next(&self) -> Option<NetworkEvent> {
        poll_fn(|context| {
            let mut state = self.medium.lock();
            let Some(end) = state.ends.get_mut(&self.peer) else { return Poll::Ready(None) };
            let Some(event) = end.events.pop_front() else {
                end.waiting = Some(context.waker().clone());
                return Poll::Pending;
            };
            if let NetworkEvent::Frame { peer, bytes } = &event
                && let Some(flow) = state.flows.get_mut(&(*peer, self.peer))
            {
                flow.bytes = flow.bytes.saturating_sub(bytes.len());
                flow.waiting.drain(..).for_each(Waker::wake);
            }
            Poll::Ready(Some(event))
        })
        .await
    }
}
