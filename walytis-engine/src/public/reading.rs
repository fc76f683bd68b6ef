//! What is read of what peers send: it is paid for before it is decoded.

use super::limits::{Budget, Pace, STRAYS_MAX};
use super::message::Received;
use super::{ChainEffect, ChainLimit, Desk, JoinRefusal, PublicChains, PublicError, PublicMessage};
use walytis_core::{ChainId, PeerId};

/// What of the frames of a peer is decoded that shares no chain with this node and was not asked for one, in bytes. All that
/// it may have to say are greetings, of at most 32 KiB, and that it wants to join. So of the largest frames one is looked at,
/// and then none for a minute.
pub(super) const STRANGER_BYTES: Pace = Pace { burst: 1024 * 1024, per_second: 16 * 1024 };

/// How many bytes may be decoded for one look of a peer's share of work: about as much as a look at the store takes.
const BYTES_A_LOOK: usize = 1024;

/// The longest frame, without its kind, that a node has to decode which follows no public chain and joins none: a request to
/// join, of which it knows nothing. All others that it may honestly get are greetings, and tell it nothing.
const NOTHING_SHARED_BYTES_MAX: usize = 256;

impl PublicChains {
    /// Whether a frame of a peer, without its kind, is decoded. It is charged before it is.
    ///
    /// Who shares a chain pays with its own share of work, whatever strangers have left of theirs: a follower that has not
    /// proven itself yet does so by what it sends. The answer of a peer that was asked for blocks is read in any case: of
    /// blocks, it has its share by their bytes.
    pub(super) fn is_read(&mut self, desk: &mut Desk<'_>, peer: PeerId, bytes: &[u8]) -> bool {
        // Its connection is being ended.
        if self.peers.get(&peer).is_none_or(|known| known.strays > STRAYS_MAX) {
            return false;
        }
        let looks = bytes.len() / BYTES_A_LOOK;
        if self.knows(peer) {
            let answers = |chain: ChainId| self.pulls.get(&chain).is_some_and(|pull| pull.peer == peer);
            if Received::answered(bytes).is_some_and(answers) {
                return true;
            }
            let may = self.peers.get_mut(&peer).is_some_and(|known| known.shares.has_work(desk.now));
            if may {
                self.worked(peer, looks);
            } else {
                self.reached(ChainLimit::Work);
            }
            return may;
        }
        let has_some = self.peers.get_mut(&peer).is_some_and(|known| known.shares.may_be_read(bytes.len(), desk.now));
        if !has_some && !walytis_core::mutant!(ReadUnpaid) {
            self.reached(ChainLimit::Work);
            self.strayed(desk, peer);
            return false;
        }
        self.worked(peer, looks);
        if self.chains.is_empty() && self.joins.is_empty() {
            if Received::is_greeting(bytes) {
                return false;
            }
            if bytes.len() > NOTHING_SHARED_BYTES_MAX {
                self.strayed(desk, peer);
                return false;
            }
        }
        true
    }

    /// Answers what is about a chain that is not followed here, or on which the peer is not let in, and does not say which
    /// of the two. An honest peer then says no more of it: it has not heard yet that the chain was deleted, or that it is
    /// blocked. What is on its way meanwhile may be much, so that is no sign of bad faith; but of whoever goes on, the
    /// connection ends.
    pub(super) fn stray(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId) {
        if self.strayed(desk, peer) {
            self.tell(desk, peer, &PublicMessage::Refused { chain, reason: JoinRefusal::Unknown });
        }
    }

    /// Counts a frame that says nothing here. Returns whether it may be answered; beyond some, the connection ends.
    fn strayed(&mut self, desk: &mut Desk<'_>, peer: PeerId) -> bool {
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        known.strays = known.strays.saturating_add(1);
        let may = known.strays <= STRAYS_MAX;
        if !may {
            self.reached(ChainLimit::Strays);
            desk.out.push(ChainEffect::Disconnect(peer));
        }
        may
    }

    /// Blocks that came: what was asked for, with how many are still to come, or new ones.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) fn received(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        message: Received<'_>,
    ) -> Result<(), PublicError> {
        match message {
            Received::Message(message) => self.message(desk, peer, message),
            Received::Portion { chain, left, blocks } => {
                if self.hears(desk, peer, chain)? {
                    self.portion(desk, peer, chain, blocks, left)?;
                }
                Ok(())
            }
            Received::Pushed { chain, blocks } => {
                if self.hears(desk, peer, chain)? {
                    self.pushed(desk, peer, chain, &blocks)?;
                }
                Ok(())
            }
        }
    }
}

impl super::Shares {
    /// Takes so many bytes of what a stranger may have decoded, if it has anything left of that.
    fn may_be_read(&mut self, bytes: usize, now: walytis_core::Timestamp) -> bool {
        let unread = self.unread.get_or_insert_with(|| Budget::full(STRANGER_BYTES, now));
        let may = unread.has_some(STRANGER_BYTES, now);
        if may {
            unread.take(u64::try_from(bytes).unwrap_or(u64::MAX), STRANGER_BYTES);
        }
        may
    }
}
