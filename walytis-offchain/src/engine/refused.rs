//! Whom this node did not admit, so that a person hears of it.

use std::collections::VecDeque;

use walytis_core::Hash;

use super::event::RefusedJoin;

/// How many refused joiners are remembered; the oldest one makes room.
pub(super) const REFUSED_JOINS_MAX: usize = 64;

/// How many of them by one code. Whoever has a code can be refused under any number of keys; beyond these, it pushes out its
/// own, and nobody else's.
pub(super) const REFUSED_OF_A_CODE_MAX: usize = 8;

/// A refused joiner, the number of its telling, and the code by which it came.
#[derive(Debug)]
struct Told {
    number: u64,
    invitation: Hash,
    refused: RefusedJoin,
}

/// The joiners that were refused last, numbered from 1 on.
#[derive(Debug, Default)]
pub(super) struct RefusedJoins {
    told: VecDeque<Told>,
    last: u64,
}

impl RefusedJoins {
    /// Notes one. While it is remembered, each peer and reason is told once.
    pub(super) fn add(&mut self, invitation: Hash, refused: RefusedJoin) {
        let same = |told: &Told| told.refused.peer == refused.peer && told.refused.reason == refused.reason;
        if self.told.iter().any(same) {
            return;
        }
        if walytis_core::mutant!(MuteRefusals) && self.told.len() >= REFUSED_JOINS_MAX {
            return;
        }
        let by_code = self.told.iter().filter(|told| told.invitation == invitation).count();
        if by_code >= REFUSED_OF_A_CODE_MAX
            && let Some(oldest) = self.told.iter().position(|told| told.invitation == invitation)
        {
            self.told.remove(oldest);
        }
        if self.told.len() >= REFUSED_JOINS_MAX {
            self.told.pop_front();
        }
        self.last = self.last.saturating_add(1);
        self.told.push_back(Told { number: self.last, invitation, refused });
    }

    /// Those that are remembered, oldest first, with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &RefusedJoin)> {
        self.told.iter().map(|told| (told.number, &told.refused))
    }
}

#[cfg(test)]
mod tests {
    use walytis_core::{ChainId, PeerId};

    use super::*;
    use crate::message::JoinRefusal;

    fn refused(peer: u8) -> RefusedJoin {
        let (group, name) = (ChainId([1; 32]), String::new());
        RefusedJoin { group, name, peer: PeerId([peer; 32]), reason: JoinRefusal::Spent, because: None }
    }

    fn peers(refusals: &RefusedJoins) -> Vec<(u64, u8)> {
        refusals.all().map(|(number, refused)| (number, refused.peer.0[0])).collect()
    }

    #[test]
    fn the_last_refused_joiner_is_told_however_many_there_were() {
        let mut refusals = RefusedJoins::default();
        for peer in 0..200 {
            refusals.add(Hash([peer; 32]), refused(peer));
            refusals.add(Hash([peer; 32]), refused(peer));
            assert_eq!(
                refusals.all().last().map(|(number, last)| (number, last.peer.0[0])),
                Some((u64::from(peer) + 1, peer))
            );
            assert!(refusals.all().count() <= REFUSED_JOINS_MAX);
        }
        assert_eq!(peers(&refusals).first(), Some(&(137, 136)));
    }

    #[test]
    fn whoever_has_one_code_pushes_out_nobody_elses_refusal() {
        let mut refusals = RefusedJoins::default();
        refusals.add(Hash([9; 32]), refused(250));
        for peer in 0..200 {
            refusals.add(Hash([7; 32]), refused(peer));
        }
        let expected = [(1, 250)].into_iter().chain((192..200).map(|peer| (u64::from(peer) + 2, peer)));
        assert_eq!(peers(&refusals), expected.collect::<Vec<_>>());
    }
}
