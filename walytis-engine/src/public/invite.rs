//! Invitations: made, listed, ended, and honoured.

use zeroize::{Zeroize, Zeroizing};

use super::code::{ChainCode, ChainInviter};
use super::limits::{ADMITTED_MS, LISTED_MAX};
use super::message::{JoinRefusal, proof};
use super::records::{Followed, InvitationRow, Meeting};
use super::{ChainInvitation, Desk, PublicChains, PublicError, PublicMessage, Sharing, Standing};
use walytis_core::{Address, CODE_ADDRESSES_MAX, ChainId, Hash, Merit, PeerId, Pending, chains, planted};

/// How a peer was let in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// By one of so many uses.
    ByCount,
    /// By an invitation for any number.
    Uncounted,
    /// It was in before.
    Again,
}

impl PublicChains {
    pub(super) fn invite(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        uses: Option<u32>,
        sharing: Sharing,
    ) -> Result<ChainInvitation, PublicError> {
        if uses == Some(0) {
            return Err(PublicError::NoUses);
        }
        if self.listening.is_empty() {
            return Err(PublicError::NoAddresses);
        }
        let mut secret = Zeroizing::new([0; 16]);
        desk.rng.fill_bytes(secret.as_mut());
        let followed = self.chains.get_mut(&chain).ok_or(PublicError::NotPublic)?;
        if followed.invitations.len() >= LISTED_MAX {
            followed.invitations.retain(|invitation| invitation.uses != Some(0));
        }
        if followed.invitations.len() >= LISTED_MAX {
            return Err(PublicError::ListFull);
        }
        let shareable = sharing == Sharing::Joiners;
        let row = InvitationRow { number: followed.invited, secret: *secret, uses, shareable };
        followed.add_invitation(row.clone());
        Ok(self.shown(chain, &row))
    }

    pub(super) fn invitations(&self, chain: ChainId) -> Vec<ChainInvitation> {
        let rows = self.chains.get(&chain).map(|followed| followed.invitations.as_slice()).unwrap_or_default();
        rows.iter().map(|row| self.shown(chain, row)).collect()
    }

    fn shown(&self, chain: ChainId, row: &InvitationRow) -> ChainInvitation {
        let inviters =
            vec![ChainInviter { peer: self.me, addresses: Address::for_others(&self.listening, CODE_ADDRESSES_MAX) }];
        let code =
            ChainCode { chain, secret: Zeroizing::new(row.secret), shareable: row.shareable, inviters }.to_text();
        let code = (!self.listening.is_empty()).then_some(code);
        ChainInvitation { number: row.number, uses: row.uses, sharing: row.sharing(), code }
    }

    pub(super) fn revoke(&mut self, chain: ChainId, invitation: u32) -> Result<(), PublicError> {
        let followed = self.chains.get_mut(&chain).ok_or(PublicError::NotPublic)?;
        let before = followed.invitations.len();
        followed.invitations.retain(|row| row.number != invitation);
        if followed.invitations.len() == before {
            return Err(PublicError::UnknownInvitation(invitation));
        }
        followed.touch();
        Ok(())
    }

    /// A peer shows an invitation.
    pub(super) fn asked_to_admit(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        shown: Hash,
    ) -> Result<(), PublicError> {
        if !self.may_show(desk, peer, chain) {
            return Ok(());
        }
        let me = self.me;
        let followed = self.chains.get_mut(&chain).filter(|followed| followed.standing == Standing::Followed);
        let meeting = Meeting { peers: &self.peers, now: desk.now };
        let admitted = followed
            .map_or(Err(JoinRefusal::Unknown), |followed| followed.admit(desk.view, peer, (me, shown), meeting));
        match admitted {
            Ok(admitted) => {
                let length = chains::length(desk.view, chain)?;
                self.first_download(desk, peer, (chain, length), admitted);
                self.has_earned(desk, peer, Merit::Invited);
                self.tell(desk, peer, &PublicMessage::Joined { chain });
                // Heads follow, also if they were told for a join before, which came to nothing.
                if self.peers.get(&peer).is_some_and(|known| known.shared.contains(&chain)) {
                    return self.tell_heads(desk, peer, chain);
                }
                self.share(desk, peer, chain)
            }
            Err(reason) => {
                self.tell(desk, peer, &PublicMessage::Refused { chain, reason });
                Ok(())
            }
        }
    }
}

impl Followed {
    pub(super) fn add_invitation(&mut self, row: InvitationRow) {
        self.invitations.push(row);
        self.invited = self.invited.saturating_add(1);
        self.touch();
    }

    /// Lets a peer in by one of the invitations.
    fn admit(
        &mut self,
        view: &mut Pending,
        peer: PeerId,
        (me, shown): (PeerId, Hash),
        meeting: Meeting<'_>,
    ) -> Result<Admitted, JoinRefusal> {
        if self.rules.blocked_peers.contains(&peer) {
            return Err(JoinRefusal::Blocked);
        }
        // Compared in a time that says nothing of where they differ.
        let shown = blake3::Hash::from(shown.0);
        let is_shown = |row: &&mut InvitationRow| {
            blake3::Hash::from(proof(&row.secret, peer, me, self.id).0) == shown
                || walytis_core::mutant!(AdmitWithoutSecret)
        };
        let place = self.invitations.iter_mut().position(|mut row| is_shown(&mut row)).ok_or(JoinRefusal::Unknown)?;
        // Who was admitted before and did not hear of it asks again.
        if self.rules.admitted.contains(&peer) {
            return Ok(Admitted::Again);
        }
        let is_spent = self.invitations.get(place).is_some_and(|row| row.uses == Some(0));
        if is_spent && !walytis_core::mutant!(AdmitBySpent) {
            return Err(JoinRefusal::Spent);
        }
        // That an invitation was used has to be durable before it is answered.
        if view.is_full() && !walytis_core::mutant!(AdmitWithoutRoom) {
            return Err(JoinRefusal::NoRoom);
        }
        // Who is here or comes back is not forgotten for somebody new, as long as others are not.
        if self.rules.admitted.len() >= LISTED_MAX && !walytis_core::mutant!(ForgetWhoComesBack) {
            self.forget_admitted(view, meeting, ADMITTED_MS);
        }
        if self.rules.only_invited && self.rules.admitted.len() >= LISTED_MAX {
            return Err(JoinRefusal::Full);
        }
        let row = self.invitations.get_mut(place).ok_or(JoinRefusal::Unknown)?;
        let counted = row.uses.is_some();
        row.uses = row.uses.map(|uses| if planted!(ReuseInvitation) { uses } else { uses.saturating_sub(1) });
        if self.rules.admitted.len() >= LISTED_MAX {
            self.rules.admitted.remove(0);
        }
        self.rules.admitted.push(peer);
        self.admitted(view, peer, meeting.now);
        if !planted!(ForgetUse) {
            self.touch();
        }
        Ok(if counted { Admitted::ByCount } else { Admitted::Uncounted })
    }
}

impl Drop for InvitationRow {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}
