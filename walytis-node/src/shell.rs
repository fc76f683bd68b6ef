//! The task that runs an engine: it turns requests, network events, commits and timers into the engine's events, and
//! the engine's effects into answers, sends, commits and timers.
//!
//! **Invariant:** it holds no protocol decision. Effects are carried out in the engine's order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use walytis_core::{Address, Network, NetworkEvent, OtherProtocol, Store};
use walytis_engine::Ticket;
use walytis_engine::public::ChainCommand;

use crate::committer::Commits;
use crate::full::FullState;
#[cfg(feature = "offchain")]
use crate::listening::RefusedJoins;
use crate::listening::{OtherProtocols, Unreached};
use crate::machine::{Command, Effect, Engine, EngineError, Event, Timer};
use crate::options::{Clock, Committer, DiskProbe, NodeOptions, Room};
use crate::outbox::Outbox;
use crate::request::{Notice, Request};
use crate::threads::Threads;
use crate::timers::Timers;
use crate::waiting::Waiting;

/// How many events are handled before other tasks get their turn: about a millisecond's work.
const EVENTS_PER_TURN: u32 = 32;

/// How a node's task ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It was shut down.
    Shutdown,
    /// Its store failed.
    Failed(EngineError),
}

/// What the task has to do next.
enum Next {
    Notice(Notice),
    Timer(Timer),
    Room,
    Network(Option<NetworkEvent>),
    Request(Option<Request>),
}

/// The network's next event. It is kept until it has come, so that none is lost between two of them.
type Arriving<'a> = Option<Pin<Box<dyn Future<Output = Option<NetworkEvent>> + Send + 'a>>>;

/// The channels between a node's handles and its task.
pub(crate) struct Channels {
    pub(crate) requests: Receiver<Request>,
    pub(crate) notices: UnboundedReceiver<Notice>,
    pub(crate) notify: UnboundedSender<Notice>,
    pub(crate) listening: watch::Sender<Vec<(u64, Address)>>,
    pub(crate) unreached: watch::Sender<Vec<(Address, String)>>,
    #[cfg(feature = "offchain")]
    pub(crate) refused: watch::Sender<Vec<(u64, walytis_offchain::RefusedJoin)>>,
    pub(crate) others: watch::Sender<Vec<(u64, OtherProtocol)>>,
    pub(crate) full: watch::Sender<Option<String>>,
}

/// An engine and what it needs around it. See the module's documentation.
pub(crate) struct Shell {
    /// `None` only once it has failed.
    pub(crate) engine: Option<Engine>,
    pub(crate) store: Arc<dyn Store>,
    committer: Committer,
    pub(crate) now: Clock,
    disk_space: Option<DiskProbe>,
    public_bytes_max: u64,
    pub(crate) commits: Commits,
    pub(crate) outbox: Option<Outbox>,
    pub(crate) timers: Timers,
    pub(crate) waiting: Waiting,
    pub(crate) channels: Channels,
    pub(crate) ready: VecDeque<Event>,
    effects: Vec<Effect>,
    /// Numbers the addresses at which connections are accepted, in their order.
    listened: u64,
    /// Numbers the peers that speak another protocol, in their order.
    met: u64,
    pub(crate) fullness: FullState,
    /// How many of the engine's refused joiners were told.
    #[cfg(feature = "offchain")]
    pub(crate) told: u64,
    pub(crate) room: Option<Room>,
    network_first: bool,
    closing: bool,
    pub(crate) failed: Option<EngineError>,
}

impl Shell {
    pub(crate) fn new(
        engine: Engine,
        store: Arc<dyn Store>,
        network: Option<Arc<dyn Network>>,
        options: &NodeOptions,
        channels: Channels,
    ) -> Self {
        let commits = Commits::start(options.committer, Arc::clone(&store), channels.notify.clone());
        let mut shell = Self {
            engine: None,
            store,
            committer: options.committer,
            now: Arc::clone(&options.now),
            disk_space: options.disk_space.clone(),
            public_bytes_max: options.public_bytes_max,
            commits,
            outbox: network.map(|network| Outbox::start(network, channels.notify.clone())),
            timers: Timers::new(),
            waiting: Waiting::new(channels.notify.clone()),
            channels,
            ready: VecDeque::new(),
            effects: Vec::new(),
            listened: 0,
            met: 0,
            fullness: FullState::default(),
            #[cfg(feature = "offchain")]
            told: 0,
            room: options.room.clone(),
            network_first: false,
            closing: false,
            failed: None,
        };
        shell.engine = Some(shell.equipped(engine));
        shell
    }

    /// The engine with what it does not keep itself.
    pub(crate) fn equipped(&self, engine: Engine) -> Engine {
        let engine = engine.with_public_bytes_max(self.public_bytes_max);
        match self.committer {
            Committer::Thread => engine.with_workers(Arc::new(Threads::new())),
            Committer::Inline => engine,
        }
    }

    pub(crate) fn new_commits(&self) -> Commits {
        Commits::start(self.committer, Arc::clone(&self.store), self.channels.notify.clone())
    }

    /// Runs until the node is shut down, its last handle is dropped or its store fails. Then the store and the network
    /// have been let go.
    pub(crate) async fn run(mut self, network: Option<Arc<dyn Network>>) -> End {
        if network.is_some() {
            self.handle(Event::Online);
        }
        let mut arriving: Arriving<'_> = network.as_deref().map(Network::next);
        let mut events = 0_u32;
        while self.failed.is_none() && !(self.closing && self.commits.is_idle()) {
            match poll_fn(|cx| self.poll_next(cx, &mut arriving)).await {
                Next::Notice(Notice::Event(event)) => self.handle(event),
                Next::Notice(Notice::Unsubscribe(subscription)) => self.unsubscribe(subscription),
                Next::Timer(timer) => {
                    // Work that goes on in steps goes on by timers. What the last one had to say leaves first: a task that
                    // this one has woken waits for it, and no other thread takes it.
                    tokio::task::yield_now().await;
                    self.handle(Event::Timer(timer));
                }
                Next::Room => self.try_room(),
                Next::Network(Some(event)) => {
                    arriving = network.as_deref().map(Network::next);
                    self.network_event(event);
                }
                Next::Network(None) => {
                    arriving = None;
                    tracing::warn!("the network was closed, so this node is alone from now on");
                }
                Next::Request(Some(request)) => self.request(request),
                Next::Request(None) => self.closing = true,
            }
            events = events.wrapping_add(1);
            if events.is_multiple_of(EVENTS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
        drop(arriving);
        drop(network);
        self.finish().await
    }

    /// What is our own goes first: it is little, and others wait for it. Requests and the network take turns.
    fn poll_next(&mut self, cx: &mut Context<'_>, arriving: &mut Arriving<'_>) -> Poll<Next> {
        if let Poll::Ready(Some(notice)) = self.channels.notices.poll_recv(cx) {
            return Poll::Ready(Next::Notice(notice));
        }
        if let Poll::Ready(timer) = self.timers.poll_due(cx) {
            return Poll::Ready(Next::Timer(timer));
        }
        if self.fullness.poll_again(cx).is_ready() {
            return Poll::Ready(Next::Room);
        }
        if self.closing || !self.commits.has_room() {
            return Poll::Pending;
        }
        self.network_first = !self.network_first;
        for network in [self.network_first, !self.network_first] {
            if network {
                if let Some(arriving) = arriving
                    && let Poll::Ready(event) = arriving.as_mut().poll(cx)
                {
                    return Poll::Ready(Next::Network(event));
                }
            } else if let Poll::Ready(request) = self.channels.requests.poll_recv(cx) {
                return Poll::Ready(Next::Request(request));
            }
        }
        Poll::Pending
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.ready.push_back(event);
        self.handle_ready();
    }

    pub(crate) fn handle_ready(&mut self) {
        while let Some(event) = self.ready.pop_front() {
            if let Event::Committed(number) = &event {
                self.commits.done(*number);
                self.has_written();
            }
            let Some(engine) = &mut self.engine else { return };
            let mut effects = std::mem::take(&mut self.effects);
            engine.handle((self.now)(), event, &mut effects);
            self.effects = self.carry_out_all(effects);
        }
        #[cfg(feature = "offchain")]
        self.tell_refused();
    }

    /// Tells of joiners that were not admitted since the last call.
    #[cfg(feature = "offchain")]
    fn tell_refused(&mut self) {
        let Some(engine) = &self.engine else { return };
        let last = engine.refused_joins().last().map_or(0, |(number, _)| number);
        // An engine that has begun anew counts from 1 again.
        let told = if last < self.told { 0 } else { self.told };
        self.told = last;
        if last == told {
            return;
        }
        self.channels.refused.send_if_modified(|known| {
            let before = known.last().map_or(0, |(number, _)| *number);
            let mut next = before;
            for (_, refused) in engine.refused_joins().filter(|(number, _)| *number > told) {
                // And refuses the same ones again.
                if known.iter().any(|(_, other)| other == refused) {
                    continue;
                }
                next = next.saturating_add(1);
                known.push((next, refused.clone()));
                if known.len() > RefusedJoins::JOINERS_MAX {
                    known.remove(0);
                }
            }
            next > before
        });
    }

    /// Returns the emptied list.
    pub(crate) fn carry_out_all(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        if let Some(reason) = Self::lacks_room(&effects) {
            self.begin_anew(reason, effects);
            return Vec::new();
        }
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        effects
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Commit { number, batch } => self.ready.extend(self.commits.push(number, batch)),
            Effect::Send { peer, frame } => {
                if let Some(outbox) = &mut self.outbox {
                    outbox.send(peer, frame);
                }
            }
            Effect::Disconnect(peer) => {
                if let Some(outbox) = &mut self.outbox {
                    outbox.disconnect(peer);
                }
            }
            Effect::Dial(address) => {
                let answer = self.waiting.connecting(&address);
                match &self.outbox {
                    Some(outbox) => outbox.dial(address, answer),
                    None => self.ready.push_back(Event::DialFailed(address)),
                }
            }
            Effect::Find(peer) => {
                if let Some(outbox) = &self.outbox {
                    outbox.find(peer);
                }
            }
            Effect::Merit { peer, merit } => {
                if let Some(outbox) = &mut self.outbox {
                    outbox.set_merit(peer, merit);
                }
            }
            Effect::AskDiskSpace => {
                let space = self.disk_space.as_ref().and_then(|ask| ask());
                self.ready.extend(space.map(Event::DiskSpace));
            }
            Effect::Timer { after_ms, timer } => self.timers.set(after_ms, timer),
            Effect::Reply { ticket, answer } => {
                if answer.is_err() {
                    self.fullness.forget(ticket);
                }
                self.waiting.answer(ticket, answer);
            }
            Effect::Delivered { subscription, delivery } => self.waiting.deliver(subscription, delivery),
            Effect::Progress { ticket, progress } => self.waiting.progress(ticket, progress),
            Effect::Stopped(error) => {
                tracing::error!(%error, "the node stops");
                self.failed = Some(error);
            }
        }
    }

    fn network_event(&mut self, event: NetworkEvent) {
        let event = match event {
            NetworkEvent::Listening { address } => {
                tracing::debug!(%address, "listening");
                self.handle(Event::Listening(address.clone()));
                self.listened = self.listened.saturating_add(1);
                let number = self.listened;
                self.channels.listening.send_if_modified(|known| {
                    let new = known.iter().all(|(_, other)| *other != address);
                    if new {
                        known.push((number, address));
                    }
                    new
                });
                return;
            }
            NetworkEvent::ListenEnded { address } => {
                tracing::debug!(%address, "not listening any more");
                self.channels.listening.send_if_modified(|known| {
                    known.retain(|(_, other)| *other != address);
                    true
                });
                Event::ListenEnded(address)
            }
            NetworkEvent::AddressesChanged => {
                tracing::debug!("this machine's addresses have changed");
                Event::AddressesChanged
            }
            NetworkEvent::Connected { peer, dialer, address } => {
                tracing::debug!(%peer, ?dialer, "connected");
                if let Some(outbox) = &mut self.outbox {
                    outbox.connected(peer);
                }
                self.fullness.connected(peer);
                // It has another build now.
                self.channels.others.send_if_modified(|known| {
                    let before = known.len();
                    known.retain(|(_, other)| other.peer != peer);
                    known.len() != before
                });
                Event::Connected { peer, dialer, address }
            }
            NetworkEvent::Disconnected { peer } => {
                tracing::debug!(%peer, "disconnected");
                if let Some(outbox) = &mut self.outbox {
                    outbox.disconnected(peer);
                }
                if !self.fullness.disconnected(peer) {
                    self.go_online_anew();
                    return;
                }
                Event::Disconnected(peer)
            }
            NetworkEvent::Frame { peer, .. } if self.fullness.is_ending(peer) => return,
            NetworkEvent::Frame { peer, bytes } => Event::Frame { peer, bytes },
            NetworkEvent::DialFailed { address, reason } => {
                tracing::debug!(%address, reason, "not reached");
                self.channels.unreached.send_if_modified(|known| {
                    let new =
                        known.len() < Unreached::ADDRESSES_MAX && known.iter().all(|(other, _)| *other != address);
                    if new {
                        known.push((address.clone(), reason));
                    }
                    new
                });
                Event::DialFailed(address)
            }
            NetworkEvent::OtherProtocol(other) => {
                tracing::debug!(%other, "no frames can be exchanged");
                self.met = self.met.saturating_add(1);
                let number = self.met;
                self.channels.others.send_if_modified(|known| {
                    let new =
                        known.len() < OtherProtocols::PEERS_MAX && known.iter().all(|(_, before)| *before != other);
                    if new {
                        known.push((number, other));
                    }
                    new
                });
                return;
            }
            NetworkEvent::Discovered { address } => {
                tracing::debug!(%address, "discovered");
                Event::Discovered(address)
            }
            other => {
                tracing::error!(?other, "an unknown event of the network, which is a bug");
                return;
            }
        };
        self.handle(event);
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Command(command, waiter) => self.command(command, Some(waiter)),
            Request::Listen(address, answer) => match &self.outbox {
                Some(outbox) => outbox.listen(address, answer),
                // Nobody but a handle of a node with a network asks.
                None => drop(answer),
            },
            Request::Routes(answer) => match &self.outbox {
                Some(outbox) => outbox.routes(answer),
                None => drop(answer.send(Vec::new())),
            },
            Request::Shutdown => {
                self.channels.requests.close();
                self.closing = true;
            }
        }
    }

    fn unsubscribe(&mut self, subscription: Ticket) {
        self.waiting.forget(subscription);
        self.fullness.forget(subscription);
        for command in unsubscribing(subscription) {
            self.command(command, None);
        }
    }

    /// Lets go of everything, and says how it ended when it has.
    async fn finish(self) -> End {
        let Self { engine, store, commits, outbox, waiting, channels, failed, .. } = self;
        drop((engine, store));
        if let Some(outbox) = outbox {
            outbox.close().await;
        }
        commits.close().await;
        // Those who still wait hear that there is no answer, and then why.
        drop((waiting, channels));
        failed.map_or(End::Shutdown, End::Failed)
    }
}

/// What ends a subscription, whichever kind it is of.
fn unsubscribing(subscription: Ticket) -> impl Iterator<Item = Command> {
    let chain = Command::Chain(ChainCommand::Unsubscribe { subscription });
    #[cfg(feature = "offchain")]
    return [Command::Unsubscribe { subscription }, chain].into_iter();
    #[cfg(not(feature = "offchain"))]
    return std::iter::once(chain);
}
