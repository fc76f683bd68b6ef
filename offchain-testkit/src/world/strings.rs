//! The strings by which a [`Puppet`](crate::Puppet) hangs.

use std::collections::VecDeque;

use rand_chacha::ChaCha20Rng;
use walytis_core::PeerId;

use super::node::Body;
use super::{NodeId, World};

impl World {
    /// Stops a node and gives it to a puppet: from now on it can be dialled, and what is sent to it is collected.
    pub(crate) fn possess(&mut self, node: NodeId) {
        self.switch_off(node);
        self.node_mut(node).body = Body::Puppet(VecDeque::new());
    }

    /// The frames that were sent to a puppet's node and not taken yet, oldest first.
    pub(crate) fn take_mail(&mut self, node: NodeId) -> Vec<(PeerId, Vec<u8>)> {
        match &mut self.node_mut(node).body {
            Body::Puppet(mail) => mail.drain(..).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether frames wait at a puppet's node.
    pub(crate) fn has_mail(&self, node: NodeId) -> bool {
        matches!(&self.node(node).body, Body::Puppet(mail) if !mail.is_empty())
    }

    /// Sends a frame for a puppet.
    pub(crate) fn send_for(&mut self, node: NodeId, to: NodeId, frame: Vec<u8>) {
        let peer = self.node(to).identity.peer;
        self.send(node, peer, frame);
    }

    /// Fresh randomness for a puppet of a node.
    pub(crate) fn puppet_rng(&mut self, node: NodeId) -> ChaCha20Rng {
        self.links = self.links.saturating_add(1);
        self.node_rng(node, u64::MAX - self.links)
    }
}
