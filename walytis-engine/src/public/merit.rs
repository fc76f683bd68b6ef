//! What peers have earned, for the network: it lets go of those first that have earned least.
//!
//! **Invariant:** to name a chain that is followed here earns nothing, for that is all that a stranger needs to know.

use super::{ChainEffect, Desk, PublicChains};
use walytis_core::{Merit, PeerId};

impl PublicChains {
    /// What a connected peer has earned before it came.
    fn merit_of(&self, peer: PeerId) -> Merit {
        if self.peers.get(&peer).is_some_and(|known| !known.shares.is_stranger()) {
            return Merit::Follower;
        }
        let asked = self.joins.values().any(|join| join.invites(peer));
        let let_in = |rules: &super::records::Rules| {
            !rules.blocked_peers.contains(&peer)
                && (rules.admitted.contains(&peer) || rules.allowed_peers.contains(&peer))
        };
        if asked || self.chains.values().any(|followed| let_in(&followed.rules)) {
            return Merit::Invited;
        }
        Merit::Stranger
    }

    /// Tells the network what somebody has earned who has come.
    pub(super) fn value(&mut self, desk: &mut Desk<'_>, peer: PeerId) {
        let merit = self.merit_of(peer);
        self.has_earned(desk, peer, merit);
    }

    /// Tells the network that a peer has earned at least this.
    pub(super) fn has_earned(&mut self, desk: &mut Desk<'_>, peer: PeerId, merit: Merit) {
        if let Some(known) = self.peers.get_mut(&peer) {
            if merit <= known.merit {
                return;
            }
            known.merit = merit;
        }
        desk.out.push(ChainEffect::Merit { peer, merit });
    }

    /// Tells the network for whom places are kept, so that they need not prove themselves anew to be let in.
    pub(super) fn value_all(&self, desk: &mut Desk<'_>) {
        let kept = self.chains.values().flat_map(super::records::Followed::kept);
        desk.out.extend(kept.map(|peer| ChainEffect::Merit { peer, merit: Merit::Follower }));
    }
}
