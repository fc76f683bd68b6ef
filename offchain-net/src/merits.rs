//! What peers have earned, as the caller says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walytis_core::{Merit, PeerId};

/// Peers that have earned something and are remembered, connected or not: the members of many groups. About 400 KiB.
pub(crate) const MERITS_MAX: usize = 4096;

/// What is remembered of peers: clones share it. Who is not in it is a stranger.
#[derive(Clone, Default)]
pub(crate) struct Merits(Arc<Mutex<Words>>);

#[derive(Default)]
struct Words {
    /// With the number of the word that said so.
    peers: HashMap<PeerId, (Merit, u64)>,
    words: u64,
}

impl Merits {
    pub(crate) fn of(&self, peer: PeerId) -> Merit {
        self.lock().peers.get(&peer).map_or(Merit::Stranger, |(merit, _)| *merit)
    }

    /// Notes what a peer has earned. If there are too many, whoever has earned least is forgotten, and of those whoever was
    /// spoken of longest ago: so no number of invited keys makes a member a stranger.
    pub(crate) fn set(&self, peer: PeerId, merit: Merit) {
        self.lock().set(peer, merit);
    }

    fn lock(&self) -> MutexGuard<'_, Words> {
        // Nothing inside can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Words {
    fn set(&mut self, peer: PeerId, merit: Merit) {
        self.words = self.words.wrapping_add(1);
        if merit == Merit::Stranger {
            self.peers.remove(&peer);
            return;
        }
        let merit = self.peers.get(&peer).map_or(merit, |(before, _)| before.once_said(merit));
        if self.peers.len() >= MERITS_MAX && !self.peers.contains_key(&peer) {
            let least = self.peers.iter().min_by_key(|(_, word)| **word).map(|(peer, (least, _))| (*peer, *least));
            match least {
                Some((_, least)) if least > merit => return,
                Some((other, _)) => drop(self.peers.remove(&other)),
                None => {}
            }
        }
        self.peers.insert(peer, (merit, self.words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        PeerId(bytes)
    }

    #[test]
    fn no_number_of_invited_keys_makes_a_member_a_stranger() {
        let merits = Merits::default();
        merits.set(peer(0), Merit::Member);
        for number in 1..=MERITS_MAX {
            merits.set(peer(number), Merit::Invited);
        }
        assert_eq!(merits.lock().peers.len(), MERITS_MAX);
        assert_eq!(merits.of(peer(0)), Merit::Member);
        assert_eq!(merits.of(peer(1)), Merit::Stranger, "it was spoken of longest ago");
        assert_eq!(merits.of(peer(MERITS_MAX)), Merit::Invited);
        merits.set(peer(0), Merit::Follower);
        assert_eq!(merits.of(peer(0)), Merit::Member, "a member that follows a public chain, too");
        merits.set(peer(0), Merit::Stranger);
        assert_eq!(merits.of(peer(0)), Merit::Stranger);
        for number in 1..=2 * MERITS_MAX {
            merits.set(peer(number), Merit::Member);
        }
        merits.set(peer(0), Merit::Invited);
        assert_eq!(merits.of(peer(0)), Merit::Stranger, "no member is forgotten for it");
        assert_eq!(merits.lock().peers.len(), MERITS_MAX);
    }
}
