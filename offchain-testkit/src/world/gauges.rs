//! What can be read off a world.

use walytis_offchain::{Engine, LimitsReached};

use super::node::Body;
use super::{NodeId, World};

impl World {
    /// How many frames were sent, and how many bytes they had.
    #[must_use]
    pub const fn traffic(&self) -> (u64, u64) {
        (self.frames_sent, self.bytes_sent)
    }

    /// How often a node came to each of its limits, in all of its runs.
    #[must_use]
    pub fn limits_reached(&self, node: NodeId) -> LimitsReached {
        let known = self.node(node);
        let mut reached = known.limits.clone();
        if let Body::Engine(engine) = &known.body {
            for (limit, times) in engine.limits_reached() {
                let sum = reached.entry(*limit).or_default();
                *sum = sum.saturating_add(*times);
            }
        }
        reached
    }

    /// The engine at a node, if one runs there.
    #[must_use]
    pub fn engine(&self, node: NodeId) -> Option<&Engine> {
        match &self.node(node).body {
            Body::Engine(engine) => Some(engine),
            _ => None,
        }
    }

    /// Lets a node go on as an earlier program does, which reads private content up to an older version, until it is started
    /// again.
    pub fn read_content_up_to(&mut self, node: NodeId, version: u8) {
        let body = &mut self.node_mut(node).body;
        if let Body::Engine(engine) = std::mem::replace(body, Body::Off) {
            *body = Body::Engine(Box::new(engine.reading_content_up_to(version)));
        }
    }

    /// How many first flights reached a node, and how many second flights it answered them with.
    #[must_use]
    pub fn handshakes(&self, node: NodeId) -> (u64, u64) {
        self.node(node).handshakes
    }

    /// How many bytes of blocks a node holds that wait for their parents, and how many connections it has.
    #[must_use]
    pub fn orphan_bytes(&self, node: NodeId) -> (usize, usize) {
        let known = self.node(node);
        match &known.body {
            Body::Engine(engine) => (engine.orphan_bytes().max(engine.public().orphan_bytes()), known.links.len()),
            _ => (0, known.links.len()),
        }
    }

    /// How many bytes of blocks of public chains a node holds that wait for their parents.
    #[must_use]
    pub fn public_orphan_bytes(&self, node: NodeId) -> usize {
        match &self.node(node).body {
            Body::Engine(engine) => engine.public().orphan_bytes(),
            _ => 0,
        }
    }

    /// The longest that a frame without delay and a commit take together, in milliseconds.
    #[must_use]
    pub const fn slowest_ms(&self) -> u64 {
        self.config.latency_max_us.saturating_add(self.config.commit_us) / 1_000
    }
}
