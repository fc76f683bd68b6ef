//! Where a node accepts connections.

use tokio::sync::watch;
use walytis_core::Address;
#[cfg(feature = "offchain")]
use walytis_offchain::RefusedJoin;

/// The full addresses at which a node accepts connections; see [`Node::listening`](crate::Node::listening).
#[derive(Clone, Debug)]
pub struct Listening {
    known: watch::Receiver<Vec<Address>>,
    given: usize,
}

impl Listening {
    pub(crate) fn new(known: watch::Receiver<Vec<Address>>) -> Self {
        Self { known, given: 0 }
    }

    /// Waits for the next address, which others can dial as it is; those that are there already come first. `None` once
    /// the node has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<Address> {
        let given = self.given;
        let address = self.known.wait_for(|known| known.len() > given).await.ok()?.get(given).cloned();
        self.given = given.saturating_add(1);
        address
    }
}

/// Addresses at which nobody could be reached; see [`Node::unreached`](crate::Node::unreached).
#[derive(Clone, Debug)]
pub struct Unreached {
    known: watch::Receiver<Vec<(Address, String)>>,
    given: usize,
}

impl Unreached {
    /// How many addresses are told of.
    pub(crate) const ADDRESSES_MAX: usize = 256;

    pub(crate) fn new(known: watch::Receiver<Vec<(Address, String)>>) -> Self {
        Self { known, given: 0 }
    }

    /// Waits for the next address that was tried in vain for the first time, and why it failed. `None` once the node has
    /// stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<(Address, String)> {
        let given = self.given;
        let failure = self.known.wait_for(|known| known.len() > given).await.ok()?.get(given).cloned();
        self.given = given.saturating_add(1);
        failure
    }
}

/// Joiners whom a node did not admit; see [`Node::refused_joins`](crate::Node::refused_joins).
#[cfg(feature = "offchain")]
#[derive(Clone, Debug)]
pub struct RefusedJoins {
    known: watch::Receiver<Vec<RefusedJoin>>,
    given: usize,
}

#[cfg(feature = "offchain")]
impl RefusedJoins {
    pub(crate) fn new(known: watch::Receiver<Vec<RefusedJoin>>) -> Self {
        Self { known, given: 0 }
    }

    /// Waits for the next one. `None` once the node has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<RefusedJoin> {
        let given = self.given;
        let refused = self.known.wait_for(|known| known.len() > given).await.ok()?.get(given).cloned();
        self.given = given.saturating_add(1);
        refused
    }
}
