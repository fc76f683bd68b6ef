//! The network of the world: connections, frames on their way, and everything that can happen to them.
//!
//! A connection is ordered and reliable, as the transports' are, unless a [`Mangle`] says otherwise. So loss shows as delay,
//! or as a connection that breaks with everything under way.

use std::collections::VecDeque;

use rand_core::Rng as _;
use walytis_core::{Address, Dialer, PeerId};
use walytis_offchain::{Event, FrameKind};

use super::{Fault, Happening, NodeId, TAIL_US, World};

/// How long an end takes to notice that nothing comes from the other one any more, in microseconds.
const TIMEOUT_US: u64 = 15_000_000;

/// How long dialling into nothing takes, in microseconds.
const DIAL_TIMEOUT_US: u64 = 5_000_000;

/// A direction: from one node to another.
pub(super) type Way = (NodeId, NodeId);

/// Frames that wait for a blocked way to open: each with the connection that it was sent over.
pub(super) type Blocked = Vec<(u64, Vec<u8>)>;

/// What happens to one frame, against what the transport promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mangle {
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives so many milliseconds late, behind frames that were sent after it.
    Late(u16),
    /// It loses its end: of a thousand parts of its length, so many are left.
    Cut(u16),
}

impl Mangle {
    const fn fault(self) -> Fault {
        match self {
            Self::Drop => Fault::Drop,
            Self::Duplicate => Fault::Duplicate,
            Self::Late(_) => Fault::Reorder,
            Self::Cut(_) => Fault::Cut,
        }
    }
}

impl World {
    /// Cuts the way between two nodes: their connection ends, and dialling fails.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        self.faults.arm(Fault::Partition);
        let connected = self.connected(a, b) || self.connected(b, a);
        self.cut.insert((a.min(b), a.max(b)), connected);
        if connected {
            self.faults.fire(Fault::Partition);
        }
        self.unlink(a, b);
    }

    /// Mends the way between two nodes, in both directions. Nodes that remember each other dial again by themselves.
    pub fn mend(&mut self, a: NodeId, b: NodeId) {
        self.cut.remove(&(a.min(b), a.max(b)));
        self.mangles.remove(&(a, b));
        self.mangles.remove(&(b, a));
        for way in [(a, b), (b, a)] {
            for (link, frame) in self.blocked.remove(&way).unwrap_or_default() {
                self.travel(way, link, frame);
            }
        }
    }

    /// Lets nothing through from one node to another any more. Nobody is told: what is sent waits, both ends notice after
    /// a while, and the way back stays open until then.
    pub fn block(&mut self, from: NodeId, to: NodeId) {
        self.faults.arm(Fault::OneWay);
        self.blocked.entry((from, to)).or_default();
        for (end, other) in [(from, to), (to, from)] {
            if let Some(link) = self.node(end).links.get(&other).copied() {
                self.schedule_any(end, TIMEOUT_US, Happening::LinkTimeout { with: other, link });
            }
        }
    }

    /// Breaks the connection between two nodes; the way stays open.
    pub fn break_link(&mut self, a: NodeId, b: NodeId) {
        self.faults.arm(Fault::Break);
        if self.connected(a, b) || self.connected(b, a) {
            self.faults.fire(Fault::Break);
        }
        self.unlink(a, b);
    }

    /// One end loses its connection, and the other does not notice for a while: what it sends is lost.
    pub fn half_open(&mut self, loses: NodeId, keeps: NodeId) {
        self.faults.arm(Fault::HalfOpen);
        let Some(link) = self.node_mut(loses).links.remove(&keeps) else { return };
        self.faults.fire(Fault::HalfOpen);
        let peer = self.node(keeps).identity.peer;
        self.schedule(loses, self.config.latency_min_us, Event::Disconnected(peer));
        self.schedule_any(keeps, TIMEOUT_US, Happening::LinkTimeout { with: loses, link });
    }

    /// Does something to the next frame from one node to another that nothing is done to yet.
    pub fn mangle(&mut self, from: NodeId, to: NodeId, mangle: Mangle) {
        self.faults.arm(mangle.fault());
        self.mangles.entry((from, to)).or_default().push_back(mangle);
    }

    /// When a frame was last sent or arrived between two nodes that is spoiled, or behind one that is, in microseconds. Who
    /// stands still takes it in late.
    #[must_use]
    pub fn mangled_us(&self, a: NodeId, b: NodeId) -> Option<u64> {
        let last_us = |way: Way| self.mangled_us.get(&way).map(|(last_us, _)| *last_us);
        last_us((a, b)).max(last_us((b, a)))
    }

    /// Connects two nodes now, as if the first had dialled.
    pub fn link(&mut self, from: NodeId, to: NodeId) {
        let address = self.address(to);
        self.dial(from, address);
    }

    /// Whether a node has a connection to another, as far as it knows.
    #[must_use]
    pub fn connected(&self, a: NodeId, b: NodeId) -> bool {
        self.node(a).links.contains_key(&b)
    }

    /// The number of the connection between two nodes, if there is one.
    #[must_use]
    pub fn link_between(&self, a: NodeId, b: NodeId) -> Option<u64> {
        self.node(a).links.get(&b).copied()
    }

    /// Notes that a frame is under way on a connection, or arrives: if it is a spoiled one, what it does begins now.
    pub(super) fn note_spoiled(&mut self, way: Way, link: u64) {
        if let Some((last_us, spoiled)) = self.mangled_us.get_mut(&way)
            && *spoiled == link
        {
            *last_us = self.now_us;
        }
    }

    pub(super) fn send(&mut self, from: NodeId, peer: PeerId, frame: Vec<u8>) {
        let Some(to) = self.find(peer) else { return };
        let Some(link) = self.node(from).links.get(&to).copied() else { return };
        if frame.first() == Some(&(FrameKind::Flight2 as u8)) {
            let answered = &mut self.node_mut(from).handshakes.1;
            *answered = answered.saturating_add(1);
        }
        self.frames_sent = self.frames_sent.saturating_add(1);
        self.bytes_sent = self.bytes_sent.saturating_add(u64::try_from(frame.len()).unwrap_or(u64::MAX));
        self.look_for_leaks(from, &frame);
        if self.keep_frames {
            self.frames.push(frame.clone());
        }
        if let Some(waiting) = self.blocked.get_mut(&(from, to)) {
            if waiting.is_empty() {
                self.faults.fire(Fault::OneWay);
            }
            waiting.push((link, frame));
            return;
        }
        let mangle = self.mangles.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        if let Some(mangle) = mangle {
            self.faults.fire(mangle.fault());
            self.mangled_us.insert((from, to), (self.now_us, link));
        } else {
            self.note_spoiled((from, to), link);
        }
        match mangle {
            None => self.travel((from, to), link, frame),
            Some(Mangle::Drop) => {}
            Some(Mangle::Duplicate) => {
                self.travel((from, to), link, frame.clone());
                self.travel((from, to), link, frame);
            }
            Some(Mangle::Late(ms)) => {
                let after_us = u64::from(ms).saturating_mul(1_000).saturating_add(self.config.latency_max_us);
                self.schedule_any(to, after_us, Happening::Frame { from, link, bytes: frame });
            }
            Some(Mangle::Cut(permille)) => {
                let left = frame.len().saturating_mul(usize::from(permille.min(1000))) / 1000;
                let left = left.min(frame.len().saturating_sub(1));
                self.travel((from, to), link, frame.get(..left).unwrap_or_default().to_vec());
            }
        }
    }

    /// Sends a frame on its way, behind all earlier ones of its direction.
    fn travel(&mut self, (from, to): Way, link: u64, bytes: Vec<u8>) {
        let spread = self.config.latency_max_us.saturating_sub(self.config.latency_min_us).saturating_add(1);
        let mut way = self.config.latency_min_us.saturating_add(self.rng.next_u64() % spread);
        if self.config.tail_permille > 0 && self.rng.next_u64() % 1000 < u64::from(self.config.tail_permille) {
            way = way.saturating_add(self.rng.next_u64() % TAIL_US);
            self.faults.fire(Fault::Delay);
        }
        let arrival = self.now_us.saturating_add(way);
        let last = self.node_mut(to).last_arrival_us.entry(from).or_insert(0);
        *last = arrival.max(last.saturating_add(1));
        let after = last.saturating_sub(self.now_us);
        self.schedule_any(to, after, Happening::Frame { from, link, bytes });
    }

    /// How often a node has dialled addresses of a peer.
    #[must_use]
    pub fn dials(&self, from: NodeId, peer: PeerId) -> u64 {
        self.dials.get(&(from, peer)).copied().unwrap_or_default()
    }

    pub(super) fn dial(&mut self, from: NodeId, address: Address) {
        if let Some(peer) = address.peer() {
            let dials = self.dials.entry((from, peer)).or_default();
            *dials = dials.saturating_add(1);
        }
        let Some(to) = address.peer().and_then(|peer| self.find(peer)).filter(|to| *to != from) else {
            self.schedule(from, 1_000, Event::DialFailed(address));
            return;
        };
        if let Some(noticed) = self.cut.get_mut(&(from.min(to), from.max(to))) {
            if !std::mem::replace(noticed, true) {
                self.faults.fire(Fault::Partition);
            }
            self.schedule(from, 1_000, Event::DialFailed(address));
            return;
        }
        if self.blocked.contains_key(&(from, to)) || self.blocked.contains_key(&(to, from)) {
            self.schedule(from, DIAL_TIMEOUT_US, Event::DialFailed(address));
            return;
        }
        if !self.node(to).is_on() || !self.node(from).is_on() {
            self.schedule(from, 1_000, Event::DialFailed(address));
            return;
        }
        if self.node(from).links.contains_key(&to) {
            return;
        }
        if self.node(to).links.contains_key(&from) {
            // The other end did not know yet that the last connection is gone: it learns it from the new one.
            self.unlink(to, from);
        }
        self.links = self.links.saturating_add(1);
        let link = self.links;
        self.node_mut(from).links.insert(to, link);
        self.node_mut(to).links.insert(from, link);
        let (ours, theirs) = (self.node(from).identity.peer, self.node(to).identity.peer);
        let way = self.config.latency_min_us;
        self.schedule(from, way, Event::Connected { peer: theirs, dialer: Dialer::Us, address: Some(address) });
        self.schedule(to, way, Event::Connected { peer: ours, dialer: Dialer::Peer, address: None });
    }

    /// Ends the connections of a process that is no more. What it sent is under way all the same: the other ends hear of the
    /// end behind it.
    pub(super) fn hang_up(&mut self, node: NodeId) {
        for (other, link) in std::mem::take(&mut self.node_mut(node).links) {
            let arrival = self.node(other).last_arrival_us.get(&node).copied().unwrap_or_default();
            let after_us = arrival.saturating_sub(self.now_us).saturating_add(self.config.latency_min_us);
            self.schedule_any(other, after_us, Happening::LinkTimeout { with: node, link });
            if let Some(waiting) = self.blocked.get_mut(&(node, other)) {
                waiting.clear();
            }
        }
    }

    /// Breaks a connection. Each end that had it hears of it as late as it heard of its beginning, so never before that.
    pub(super) fn unlink(&mut self, a: NodeId, b: NodeId) {
        let way = self.config.latency_min_us;
        for (end, other) in [(a, b), (b, a)] {
            if self.node_mut(end).links.remove(&other).is_some() {
                let peer = self.node(other).identity.peer;
                self.schedule(end, way, Event::Disconnected(peer));
            }
        }
        for way in [(a, b), (b, a)] {
            if let Some(waiting) = self.blocked.get_mut(&way) {
                waiting.clear();
            }
        }
    }
}
