//! What a pull brings, a portion at a time.

use super::compact::Parcel;
use super::join::Ended;
use super::{ChainEffect, ChainLimit, ChainTimer, Desk, PublicChains, PublicError, Pull};
use walytis_core::{ChainId, PeerId, chains};

/// A portion that has come and is not taken in yet.
pub(super) struct Arrived {
    peer: PeerId,
    /// The pull's first number.
    first: u64,
    blocks: Parcel<'static>,
    left: u64,
}

impl PublicChains {
    /// A portion has come. If more is to come, that is asked for in this step, and what came is taken in in the next: so the
    /// peer reads the next portion and sends it while this one is verified.
    pub(super) fn portion(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        blocks: Parcel<'_>,
        left: u64,
    ) -> Result<(), PublicError> {
        // One that came before goes first.
        self.take_arrived(desk, chain)?;
        let asked = |pull: &&Pull| pull.peer == peer && !pull.paused;
        let Some(pull) = self.pulls.get(&chain).filter(asked) else { return Ok(()) };
        let next = Pull { waits: 0, ..*pull };
        let Ok(contents) = blocks.check() else {
            self.misbehaved(desk, peer);
            return Ok(());
        };
        let arrived = Arrived { peer, first: next.first, blocks: blocks.into_owned(), left };
        self.has_sent(desk, peer, chain, contents.bytes);
        if left == 0 || contents.blocks == 0 {
            return self.take_portion(desk, chain, arrived);
        }
        let paused = !self.may_send(desk, peer, chain);
        if paused {
            self.reached(ChainLimit::PeerBytes);
        }
        self.await_portion(desk, chain, Pull { paused, ..next });
        self.arrived.insert(chain, arrived);
        desk.out.push(ChainEffect::Next(ChainTimer::Arrived { chain }));
        Ok(())
    }

    /// Takes in the portion of a chain that has come, if one waits.
    pub(super) fn take_arrived(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        self.arrived.remove(&chain).map_or(Ok(()), |arrived| self.take_portion(desk, chain, arrived))
    }

    fn take_portion(&mut self, desk: &mut Desk<'_>, chain: ChainId, arrived: Arrived) -> Result<(), PublicError> {
        let Arrived { peer, first, blocks, left } = arrived;
        // Meanwhile the peer may have gone, or have lost its turn.
        let ours = |pull: &&Pull| pull.peer == peer && pull.first == first;
        let Some(pull) = self.pulls.get(&chain).filter(ours) else { return Ok(()) };
        let (gained, known, below) = (pull.gained, pull.known, pull.below);
        let sent = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
        let (before, repeats) = (chains::length(desk.view, chain)?, self.repeats);
        if !self.take_in(desk, peer, chain, &blocks)? {
            // Somebody else is asked, even if this was the last portion.
            self.stalled.insert(chain);
            return Ok(());
        }
        let new = chains::length(desk.view, chain)?.saturating_sub(before);
        self.join_progressed(desk, chain, (peer, new), left)?;
        let gained = gained || new > 0;
        let known = known.saturating_add(self.repeats.saturating_sub(repeats));
        // Each block comes once, so more that were here already than there are at all is a peer that keeps the others
        // from being asked.
        let crowded = self.peers.get(&peer).is_some_and(|known| known.crowded.contains(&chain));
        let waits = self.waiting.contains(&chain);
        // Nothing more is fetched that there is no room for.
        let ended = left == 0 || sent == 0 || known > before || self.is_full_for_all(chain) || (waits && crowded);
        if ended {
            self.pulls.remove(&chain);
            // What came may be free and not taken in yet: then the pull that follows sees to the rest.
            if left == 0
                && !self.orphans.has_free()
                && !self.is_full_for_all(chain)
                && self.compared(desk, chain, (peer, first), gained)?
            {
                return Ok(());
            }
            // One that made room by taking what is below, and one during which an author had to wait: it begins anew.
            let room = below || waits;
            let again = waits || (crowded && !below);
            if let Some(known) = self.peers.get_mut(&peer) {
                // A whole exchange that brought nothing: the peer has what this program cannot take in, or says so.
                if !gained && !again {
                    known.announced.remove(&chain);
                }
                if room {
                    known.crowded.remove(&chain);
                }
            }
            if self.full.contains(&chain) {
                self.join_is_full(desk, chain);
            }
            let exhausted = left == 0 && !gained && !again;
            self.join_complete(desk, chain, if exhausted { Ended::Exhausted(peer) } else { Ended::GoesOn })?;
            self.pull_if_behind(desk, chain)?;
        } else if let Some(pull) = self.pulls.get_mut(&chain) {
            (pull.gained, pull.known) = (gained, known);
        }
        Ok(())
    }
}
