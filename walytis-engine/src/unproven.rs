//! Addresses that somebody said and nobody has been reached at.

use std::collections::BTreeMap;

use walytis_core::Address;

/// What a failure to dial weighs while somebody else is connected: then it is not this node that has no network.
const FAILURE: u32 = 8;

/// What it weighs while nobody is.
const FAILURE_ALONE: u32 = 1;

/// From this weight on an address is forgotten: after 8 failures, which take about 2 minutes, or 64 without any network, which
/// take an hour.
const FORGOTTEN: u32 = 64;

/// What became of an address that could not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// Its peer was reached there before, or it is not one of these: it stays.
    Proven,
    /// It stays for now.
    Counted,
    /// It is to be forgotten.
    Forgotten,
}

/// Addresses that peers, or invitations, have told, and at which nobody was reached yet, with the weight of the failures.
/// Whoever tells an address of somebody else has it dialled a few times, and not for ever.
///
/// Whoever keeps this bounds it: an address is in it only as long as it is kept elsewhere, see [`UnprovenAddresses::retain`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnprovenAddresses {
    weights: BTreeMap<Address, u32>,
}

impl UnprovenAddresses {
    /// What [`UnprovenAddresses::rows`] gave.
    pub fn from_rows(rows: impl IntoIterator<Item = (Address, u32)>) -> Self {
        Self { weights: rows.into_iter().collect() }
    }

    /// All of them, with the weights of their failures.
    pub fn rows(&self) -> impl Iterator<Item = (&Address, u32)> {
        self.weights.iter().map(|(address, weight)| (address, *weight))
    }

    /// An address was told that was not known.
    pub fn told(&mut self, address: Address) {
        self.weights.entry(address).or_insert(0);
    }

    /// Its peer was reached at an address. Returns whether that is new.
    pub fn reached(&mut self, address: &Address) -> bool {
        self.weights.remove(address).is_some()
    }

    /// An address could not be dialled. `connected` says whether any peer is connected meanwhile.
    pub fn failed(&mut self, address: &Address, connected: bool) -> DialFailure {
        let Some(weight) = self.weights.get_mut(address) else { return DialFailure::Proven };
        *weight = weight.saturating_add(if connected { FAILURE } else { FAILURE_ALONE });
        if *weight < FORGOTTEN || walytis_core::mutant!(DialForEver) {
            return DialFailure::Counted;
        }
        self.weights.remove(address);
        DialFailure::Forgotten
    }

    /// Drops those that are kept nowhere else. Returns whether there were any.
    pub fn retain(&mut self, is_kept: impl Fn(&Address) -> bool) -> bool {
        let before = self.weights.len();
        self.weights.retain(|address, _| is_kept(address));
        self.weights.len() < before
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_forgotten_after_a_few_failures_unless_it_was_reached() {
        for (connected, failures) in [(true, 8), (false, 64)] {
            let address = Address::new("/memory/1").unwrap();
            let mut unproven = UnprovenAddresses::default();
            unproven.told(address.clone());
            for _ in 1..failures {
                assert_eq!(unproven.failed(&address, connected), DialFailure::Counted);
                // What is told again is no new address.
                unproven.told(address.clone());
            }
            let kept = unproven.clone();
            assert_eq!(unproven.failed(&address, connected), DialFailure::Forgotten);
            assert!(unproven.is_empty());
            let mut reached =
                UnprovenAddresses::from_rows(kept.rows().map(|(address, weight)| (address.clone(), weight)));
            assert_eq!(reached, kept);
            assert!(reached.reached(&address) && !reached.reached(&address));
            assert_eq!(reached.failed(&address, connected), DialFailure::Proven);
        }
    }
}
