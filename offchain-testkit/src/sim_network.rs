//! Several nodes' networks in one process, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, Sleep, sleep_until};
use walytis_core::{Address, Dialer, FRAME_BYTES_MAX, Network, NetworkError, NetworkEvent, PeerId};

/// The most bytes that may be under way from one node to another before a sender waits: a few of the longest frames.
pub const UNDER_WAY_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// How a [`SimMedium`] treats what it carries. The default carries all of it at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediumConfig {
    /// The shortest way of a frame. Tokio's clock counts milliseconds.
    pub latency_min: Duration,
    /// The longest way of a frame. Frames of one direction keep their order.
    pub latency_max: Duration,
    /// Of how many million frames one breaks its connection, and is lost with what is under way.
    pub breaks_per_million: u32,
}

/// The medium between [`SimNetwork`]s. Clones are the same medium.
///
/// Its addresses are `/memory/<any name>`. Time is what the runtime says: with a paused clock a whole swarm of nodes runs
/// as fast as it computes. What is random follows from the seed, so equal runs have equal traces.
#[derive(Clone, Debug, Default)]
pub struct SimMedium {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    config: MediumConfig,
    rng: ChaCha20Rng,
    ends: BTreeMap<PeerId, End>,
    /// One for each direction of each connection.
    flows: BTreeMap<(PeerId, PeerId), Flow>,
    /// When the last event of each direction arrives, those of connections that are gone included.
    paces: BTreeMap<(PeerId, PeerId), Instant>,
    cut: BTreeSet<(PeerId, PeerId)>,
    /// Counts events, connections and ends, so that each has a number of its own.
    numbers: u64,
    trace: Trace,
}

impl Default for State {
    fn default() -> Self {
        Self {
            config: MediumConfig::default(),
            rng: ChaCha20Rng::seed_from_u64(0),
            ends: BTreeMap::new(),
            flows: BTreeMap::new(),
            paces: BTreeMap::new(),
            cut: BTreeSet::new(),
            numbers: 0,
            trace: Trace { begun: None, hasher: blake3::Hasher::new(), frames: 0, bytes: 0 },
        }
    }
}

/// What was delivered, and when.
#[derive(Debug)]
struct Trace {
    begun: Option<Instant>,
    hasher: blake3::Hasher,
    frames: u64,
    bytes: u64,
}

impl Trace {
    fn note(&mut self, to: PeerId, event: &NetworkEvent) {
        let now = Instant::now();
        let since = now.saturating_duration_since(*self.begun.get_or_insert(now));
        let (kind, from, bytes): (u8, PeerId, &[u8]) = match event {
            NetworkEvent::Frame { peer, bytes } => {
                self.frames = self.frames.saturating_add(1);
                self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                (0, *peer, bytes)
            }
            NetworkEvent::Connected { peer, .. } => (1, *peer, &[]),
            NetworkEvent::Disconnected { peer } => (2, *peer, &[]),
            _ => (3, to, &[]),
        };
        self.hasher.update(&since.as_nanos().to_le_bytes());
        self.hasher.update(&[kind]);
        self.hasher.update(&to.0);
        self.hasher.update(&from.0);
        self.hasher.update(&bytes.len().to_le_bytes());
        self.hasher.update(bytes);
    }
}

#[derive(Debug)]
struct End {
    /// Which of the networks of this peer it is: a peer that was restarted has another one.
    number: u64,
    listening: Vec<String>,
    /// What arrives, by its time and its number.
    events: BTreeMap<(Instant, u64), Arriving>,
    waiting: Option<Waker>,
}

#[derive(Debug)]
struct Arriving {
    /// The connection that it belongs to.
    link: u64,
    event: NetworkEvent,
}

#[derive(Debug)]
struct Flow {
    link: u64,
    /// Whether the sender has heard of the connection. Nobody can use one before.
    is_known: bool,
    bytes: usize,
    waiting: Vec<Waker>,
}

impl Flow {
    fn new(link: u64) -> Self {
        Self { link, is_known: false, bytes: 0, waiting: Vec::new() }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }

    fn latency(&mut self) -> Duration {
        let MediumConfig { latency_min, latency_max, .. } = self.config;
        let spread = latency_max.saturating_sub(latency_min).as_micros();
        match u64::try_from(spread) {
            Ok(spread) if spread > 0 => {
                latency_min.saturating_add(Duration::from_micros(self.rng.next_u64() % spread.saturating_add(1)))
            }
            _ => latency_min,
        }
    }

    fn breaks(&mut self) -> bool {
        let breaks = self.config.breaks_per_million;
        breaks > 0 && self.rng.next_u32() % 1_000_000 < breaks
    }

    /// Has an event arrive at `to`, behind all earlier ones from the same peer. Gives the time.
    fn tell(&mut self, from: PeerId, to: PeerId, link: u64, after: Duration, event: NetworkEvent) -> Instant {
        let soonest = Instant::now() + after;
        let pace = self.paces.entry((from, to)).or_insert(soonest);
        *pace = soonest.max(*pace);
        let (due, number) = (*pace, self.number());
        if let Some(end) = self.ends.get_mut(&to) {
            end.events.insert((due, number), Arriving { link, event });
            if let Some(waiting) = end.waiting.take() {
                waiting.wake();
            }
        }
        due
    }

    fn disconnect(&mut self, a: PeerId, b: PeerId) {
        for (from, to) in [(a, b), (b, a)] {
            let Some(flow) = self.flows.remove(&(from, to)) else { continue };
            flow.waiting.into_iter().for_each(Waker::wake);
            if let Some(end) = self.ends.get_mut(&to) {
                end.events.retain(
                    |_, arriving| !matches!(&arriving.event, NetworkEvent::Frame { peer, .. } if *peer == from),
                );
            }
            let after = self.latency();
            self.tell(from, to, flow.link, after, NetworkEvent::Disconnected { peer: from });
        }
    }

    fn disconnect_all(&mut self, peer: PeerId) {
        let others: Vec<PeerId> = self.flows.keys().filter(|(from, _)| *from == peer).map(|(_, to)| *to).collect();
        for other in others {
            self.disconnect(peer, other);
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
        let link = self.number();
        self.flows.insert((from, to), Flow::new(link));
        self.flows.insert((to, from), Flow::new(link));
        let there = self.latency();
        let answer = NetworkEvent::Connected { peer: from, dialer: Dialer::Peer, address: None };
        self.tell(from, to, link, there, answer);
        let back = there.saturating_add(self.latency());
        let answer = NetworkEvent::Connected { peer: to, dialer: Dialer::Us, address: Some(address.clone()) };
        self.tell(to, from, link, back, answer);
        Ok(())
    }

    /// Takes what has arrived at one end; or says when the next event does, if one is under way.
    fn take(&mut self, to: PeerId) -> Result<NetworkEvent, Option<Instant>> {
        let end = self.ends.get_mut(&to).ok_or(None)?;
        let first = end.events.first_entry().ok_or(None)?;
        let (due, _) = *first.key();
        if due > Instant::now() {
            return Err(Some(due));
        }
        let Arriving { link, event } = first.remove();
        self.trace.note(to, &event);
        match &event {
            NetworkEvent::Frame { peer, bytes } => {
                if let Some(flow) = self.flows.get_mut(&(*peer, to)) {
                    flow.bytes = flow.bytes.saturating_sub(bytes.len());
                    flow.waiting.drain(..).for_each(Waker::wake);
                }
            }
            NetworkEvent::Connected { peer, .. } => {
                if let Some(flow) = self.flows.get_mut(&(to, *peer)).filter(|flow| flow.link == link) {
                    flow.is_known = true;
                }
            }
            _ => {}
        }
        Ok(event)
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

    /// A medium with nobody in it, whose latencies and breaks follow from a seed.
    #[must_use]
    pub fn seeded(seed: u64, config: MediumConfig) -> Self {
        let state = State { config, rng: ChaCha20Rng::seed_from_u64(seed), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// From now on treats what it carries so.
    pub fn configure(&self, config: MediumConfig) {
        self.lock().config = config;
    }

    /// How it treats what it carries.
    #[must_use]
    pub fn config(&self) -> MediumConfig {
        self.lock().config
    }

    /// The network of a node with this key, in place of an earlier one. It ends when it is dropped.
    #[must_use]
    pub fn network(&self, peer: PeerId) -> SimNetwork {
        let mut state = self.lock();
        state.trace.begun.get_or_insert_with(Instant::now);
        state.disconnect_all(peer);
        let number = state.number();
        let end = End { number, listening: Vec::new(), events: BTreeMap::new(), waiting: None };
        if let Some(waiting) = state.ends.insert(peer, end).and_then(|earlier| earlier.waiting) {
            waiting.wake();
        }
        SimNetwork { medium: self.clone(), peer, number }
    }

    /// Unplugs a node: its connections end, what is under way to it is lost, and its network has closed for it.
    pub fn unplug(&self, peer: PeerId) {
        let mut state = self.lock();
        state.disconnect_all(peer);
        if let Some(waiting) = state.ends.remove(&peer).and_then(|end| end.waiting) {
            waiting.wake();
        }
    }

    /// Breaks the connection between two nodes, if there is one. They may connect again at once.
    pub fn break_connection(&self, a: PeerId, b: PeerId) {
        self.lock().disconnect(a, b);
    }

    /// A hash over everything that was delivered, with its time. Equal runs have equal traces.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        *self.lock().trace.hasher.finalize().as_bytes()
    }

    /// How many frames were delivered, and how many bytes they had.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        let state = self.lock();
        (state.trace.frames, state.trace.bytes)
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
    number: u64,
}

impl SimNetwork {
    /// The medium, for as long as this end is the peer's and is plugged in.
    fn plugged(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.medium.lock();
        let is_ours = state.ends.get(&self.peer).is_some_and(|end| end.number == self.number);
        is_ours.then_some(state)
    }

    fn poll_event(&self, cx: &mut Context<'_>, sleep: &mut Option<Pin<Box<Sleep>>>) -> Poll<Option<NetworkEvent>> {
        loop {
            let Some(mut state) = self.plugged() else { return Poll::Ready(None) };
            let due = match state.take(self.peer) {
                Ok(event) => return Poll::Ready(Some(event)),
                Err(due) => due,
            };
            if let Some(end) = state.ends.get_mut(&self.peer) {
                end.waiting = Some(cx.waker().clone());
            }
            drop(state);
            let Some(due) = due else { return Poll::Pending };
            if sleep.insert(Box::pin(sleep_until(due))).as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for SimNetwork {
    fn drop(&mut self) {
        let Some(mut state) = self.plugged() else { return };
        state.disconnect_all(self.peer);
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
        let mut state = self.plugged().ok_or(NetworkError::Closed)?;
        if state.ends.values().any(|end| end.listening.iter().any(|known| known == place)) {
            return Err(refuse("somebody listens there already"));
        }
        if let Some(end) = state.ends.get_mut(&self.peer) {
            end.listening.push(place.to_owned());
        }
        state.tell(self.peer, self.peer, 0, Duration::ZERO, NetworkEvent::Listening { address: full });
        Ok(())
    }

    async fn dial(&self, address: Address) -> Result<(), NetworkError> {
        if place(&address).is_none() {
            return Err(NetworkError::Address { address, reason: "not an address in memory".to_owned() });
        }
        let mut state = self.plugged().ok_or(NetworkError::Closed)?;
        if let Err(reason) = state.connect(self.peer, &address) {
            let after = state.latency();
            let failed = NetworkEvent::DialFailed { address, reason: reason.to_owned() };
            state.tell(self.peer, self.peer, 0, after, failed);
        }
        Ok(())
    }

    async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError> {
        let bytes = frame.len();
        if bytes > FRAME_BYTES_MAX {
            return Err(NetworkError::TooLong { bytes });
        }
        let mut frame = Some(frame);
        let mut waited_for = None;
        poll_fn(|context| {
            let Some(mut state) = self.plugged() else { return Poll::Ready(Err(NetworkError::Closed)) };
            let Some(flow) = state.flows.get_mut(&(self.peer, peer)).filter(|flow| flow.is_known) else {
                return Poll::Ready(Err(NetworkError::NotConnected { peer }));
            };
            let link = flow.link;
            if *waited_for.get_or_insert(link) != link {
                return Poll::Ready(Err(NetworkError::NotConnected { peer }));
            }
            if flow.bytes > 0 && flow.bytes.saturating_add(bytes) > UNDER_WAY_BYTES_MAX {
                flow.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            if state.breaks() {
                state.disconnect(self.peer, peer);
                return Poll::Ready(Err(NetworkError::NotConnected { peer }));
            }
            if let Some(flow) = state.flows.get_mut(&(self.peer, peer)) {
                flow.bytes = flow.bytes.saturating_add(bytes);
            }
            let after = state.latency();
            let bytes = frame.take().unwrap_or_default();
            state.tell(self.peer, peer, link, after, NetworkEvent::Frame { peer: self.peer, bytes });
            Poll::Ready(Ok(()))
        })
        .await
    }

    async fn disconnect(&self, peer: PeerId) {
        if let Some(mut state) = self.plugged() {
            state.disconnect(self.peer, peer);
        }
    }

    async fn next(&self) -> Option<NetworkEvent> {
        let mut sleep = None;
        poll_fn(|cx| self.poll_event(cx, &mut sleep)).await
    }
}
