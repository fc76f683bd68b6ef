//! Where a node accepts connections.

use tokio::sync::watch;
use walytis_core::Address;

/// The full addresses at which a node accepts connections; see [`Node::listening`](crate::Node::listening).
#[derive(Clone, Debug)]
pub struct Listening {
    /// Those that there are, numbered in the order in which they came.
    known: watch::Receiver<Vec<(u64, Address)>>,
    /// The number of the last one given.
    given: u64,
}

impl Listening {
    pub(crate) fn new(known: watch::Receiver<Vec<(u64, Address)>>) -> Self {
        Self { known, given: 0 }
    }

    /// Waits for the next address, which others can dial as it is; those that are there already come first. One that was
    /// gone and is back comes again. `None` once the node has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<Address> {
        let given = self.given;
        let next = |known: &Vec<(u64, Address)>| known.iter().find(|(number, _)| *number > given).cloned();
        let known = self.known.wait_for(|known| next(known).is_some()).await.ok()?;
        let (number, address) = next(&known)?;
        self.given = number;
        Some(address)
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
