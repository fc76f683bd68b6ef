//! Where a node accepts connections.

use tokio::sync::watch;
use walytis_core::{Address, OtherProtocol};
#[cfg(feature = "offchain")]
use walytis_offchain::RefusedJoin;

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

/// Joiners whom a node did not admit; see [`Node::refused_joins`](crate::Node::refused_joins).
#[cfg(feature = "offchain")]
#[derive(Clone, Debug)]
pub struct RefusedJoins {
    /// The last ones, numbered in the order in which they were refused.
    known: watch::Receiver<Vec<(u64, RefusedJoin)>>,
    /// The number of the last one given.
    given: u64,
}

#[cfg(feature = "offchain")]
impl RefusedJoins {
    /// How many joiners are kept for whoever has not asked for them yet; the oldest one makes room.
    pub(crate) const JOINERS_MAX: usize = 64;

    pub(crate) fn new(known: watch::Receiver<Vec<(u64, RefusedJoin)>>) -> Self {
        Self { known, given: 0 }
    }

    /// Waits for the next one. `None` once the node has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<RefusedJoin> {
        let given = self.given;
        let next = |known: &Vec<(u64, RefusedJoin)>| known.iter().find(|(number, _)| *number > given).cloned();
        let known = self.known.wait_for(|known| next(known).is_some()).await.ok()?;
        let (number, refused) = next(&known)?;
        self.given = number;
        Some(refused)
    }
}

/// Peers that speak another protocol than this build; see [`Node::other_protocols`](crate::Node::other_protocols).
#[derive(Clone, Debug)]
pub struct OtherProtocols {
    /// Those that there are, numbered in the order in which they came: one that has another build now is not among them.
    known: watch::Receiver<Vec<(u64, OtherProtocol)>>,
    /// The number of the last one given.
    given: u64,
}

impl OtherProtocols {
    /// How many peers are told of: strangers make as many as they like.
    pub(crate) const PEERS_MAX: usize = 64;

    pub(crate) fn new(known: watch::Receiver<Vec<(u64, OtherProtocol)>>) -> Self {
        Self { known, given: 0 }
    }

    /// Waits for the next peer that was met. `None` once the node has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<OtherProtocol> {
        let given = self.given;
        let next = |known: &Vec<(u64, OtherProtocol)>| known.iter().find(|(number, _)| *number > given).copied();
        let known = self.known.wait_for(|known| next(known).is_some()).await.ok()?;
        let (number, other) = next(&known)?;
        self.given = number;
        Some(other)
    }
}

/// Whether a node's store has room; see [`Node::fullness`](crate::Node::fullness).
#[derive(Clone, Debug)]
pub struct Fullness(watch::Receiver<Option<String>>);

impl Fullness {
    pub(crate) fn new(mut full: watch::Receiver<Option<String>>) -> Self {
        full.mark_changed();
        Self(full)
    }

    /// Why nothing can be written now; `None` if the store has room.
    #[must_use]
    pub fn now(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits for the next change: `Some(Some(reason))` once nothing can be written, `Some(None)` once it can again. `None` once
    /// the node has stopped. The first call gives what is so now. Safe to cancel.
    pub async fn next(&mut self) -> Option<Option<String>> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use walytis_core::PeerId;

    #[tokio::test]
    async fn a_peer_that_has_another_build_by_now_hides_none_that_comes_after_it() {
        let met = |seed: u8| OtherProtocol { peer: PeerId([seed; 32]), theirs: 3, ours: 2 };
        let (known, told) = watch::channel(vec![(1, met(1)), (2, met(2))]);
        let mut others = OtherProtocols::new(told);
        assert_eq!(others.next().await, Some(met(1)));
        assert_eq!(others.next().await, Some(met(2)));
        known.send_modify(|known| {
            known.remove(0);
            known.push((3, met(3)));
        });
        assert_eq!(others.next().await, Some(met(3)));
        drop(known);
        assert_eq!(others.next().await, None);
    }
}
