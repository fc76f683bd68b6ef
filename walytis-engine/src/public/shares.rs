//! What each peer may still have this node do, and send: kept for a while after it is gone.

use std::collections::BTreeMap;

use super::limits::{ADMITTED_LOOKS, Budget, GONE_MAX, Limits, SHOWN, SHOWN_WORK, STRANGERS_WORK, WORK};
use super::reading::STRANGER_BYTES;
use super::records::Followed;
use super::upload::Upload;
use super::{ChainLimit, Desk, PublicChains};
use walytis_core::{ChainId, Merit, PeerId, Timestamp};

/// With whom a peer shares what it is sent and has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// No chain keeps a place for it: with all strangers.
    Stranger,
    /// It has brought blocks before others did, and that is all: what it is sent, with others of its kind.
    Follower,
    /// It let this node in, or a person allows it by name: with nobody.
    Friend,
}

/// A peer's shares.
pub(super) struct Shares {
    /// What it may still ask for, or have looked at by what it answers.
    work: Budget,
    /// What it may still send, by chain.
    bytes: BTreeMap<ChainId, Budget>,
    /// What it was sent, and may still be.
    pub(super) upload: Upload,
    /// What a stranger has done counts against [`STRANGERS_WORK`], too.
    pub(super) class: Class,
    /// How many invitations it may still show.
    shown: Budget,
    /// The looks that it has beside strangers' since an invitation let it in.
    admitted_looks: u64,
    /// What it may still have decoded while it shares nothing; see [`super::reading`].
    pub(super) unread: Option<Budget>,
}

impl Shares {
    fn full(now: Timestamp) -> Self {
        Self {
            work: Budget::full(WORK, now),
            bytes: BTreeMap::new(),
            upload: Upload::full(now),
            class: Class::Stranger,
            shown: Budget::full(SHOWN, now),
            admitted_looks: 0,
            unread: None,
        }
    }

    /// Whether no chain keeps a place for the peer.
    pub(super) fn is_stranger(&self) -> bool {
        self.class == Class::Stranger
    }

    /// Gives the looks of a first download to a peer that was let in, so that it need not wait for what strangers have.
    pub(super) fn is_admitted(&mut self, blocks: u64) {
        self.admitted_looks = self.admitted_looks.max(blocks.saturating_add(ADMITTED_LOOKS));
    }

    pub(super) fn forget_chain(&mut self, chain: ChainId) {
        self.bytes.remove(&chain);
        self.upload.forget_chain(chain);
    }

    /// Whether anything is left of its own share of work.
    pub(super) fn has_work(&mut self, now: Timestamp) -> bool {
        self.work.has_some(WORK, now) || walytis_core::mutant!(ForgetWorkShare)
    }

    /// Whether somebody who was never here has as much. What is full is forgotten.
    fn are_full(&mut self, limits: impl Fn(ChainId) -> Option<Limits>, now: Timestamp) -> bool {
        self.bytes.retain(|chain, bytes| limits(*chain).is_some_and(|limits| !bytes.is_full(limits.peer_bytes(), now)));
        let unread = self.unread.as_mut().is_none_or(|unread| unread.is_full(STRANGER_BYTES, now));
        unread
            && self.bytes.is_empty()
            && self.shown.is_full(SHOWN, now)
            && self.work.is_full(WORK, now)
            && self.upload.is_full(now)
    }
}

/// The shares of peers that are gone, by the order in which they went: of strangers, and apart from these of who has proven itself
/// or was let in.
#[derive(Default)]
pub(super) struct Gone {
    strangers: BTreeMap<PeerId, (u64, Shares)>,
    others: BTreeMap<PeerId, (u64, Shares)>,
    went: u64,
}

impl Gone {
    pub(super) fn forget_chain(&mut self, chain: ChainId) {
        let all = self.strangers.values_mut().chain(self.others.values_mut());
        all.for_each(|(_, shares)| shares.forget_chain(chain));
    }

    fn take(&mut self, peer: PeerId) -> Option<Shares> {
        self.strangers.remove(&peer).or_else(|| self.others.remove(&peer)).map(|(_, shares)| shares)
    }
}

impl PublicChains {
    /// The shares of a peer that has come: what it had left when it went.
    pub(super) fn shares_of_newcomer(&mut self, desk: &Desk<'_>, peer: PeerId) -> Shares {
        let gone = self.gone.take(peer);
        let shares = gone.unwrap_or_else(|| Shares::full(desk.now));
        Shares { class: self.class_of(peer), ..shares }
    }

    fn class_of(&self, peer: PeerId) -> Class {
        let keeps = |followed: &&Followed| followed.keeps_place_for(peer);
        let kept = self.chains.values().filter(keeps);
        kept.fold(Class::Stranger, |class, followed| match class {
            Class::Friend => Class::Friend,
            _ if followed.trusts(peer) => Class::Friend,
            _ => Class::Follower,
        })
    }

    /// Notes that a person has changed the rules, or that somebody has let this node in.
    pub(super) fn classify(&mut self, peer: PeerId) {
        let class = self.class_of(peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.shares.class = class;
        }
    }

    /// Notes that a peer has let this node in, or brought something.
    pub(super) fn has_proven_itself(&mut self, desk: &mut Desk<'_>, chain: ChainId, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|known| known.shares.is_stranger())
            && self.chains.get(&chain).is_some_and(|followed| followed.keeps_place_for(peer))
        {
            self.classify(peer);
            self.has_earned(desk, peer, Merit::Follower);
        }
    }

    /// Keeps the shares of a peer that is gone, unless it has taken nothing.
    pub(super) fn keep_shares(&mut self, desk: &Desk<'_>, peer: PeerId, mut shares: Shares) {
        let chains = &self.chains;
        let limits = |chain: ChainId| chains.get(&chain).map(|followed| followed.rules.limits);
        if shares.are_full(limits, desk.now) {
            return;
        }
        let is_stranger = shares.is_stranger() && !shares.upload.is_admitted(desk.now);
        self.gone.went = self.gone.went.saturating_add(1);
        let went = self.gone.went;
        let is_among_strangers = is_stranger || walytis_core::mutant!(ForgetWhoBrought);
        let gone = if is_among_strangers { &mut self.gone.strangers } else { &mut self.gone.others };
        if gone.len() >= GONE_MAX {
            gone.retain(|_, (_, shares)| !shares.are_full(limits, desk.now));
        }
        if gone.len() >= GONE_MAX {
            let first = gone.iter().min_by_key(|(_, (went, _))| *went).map(|(peer, _)| *peer);
            first.map(|first| gone.remove(&first));
        }
        gone.insert(peer, (went, shares));
    }

    /// Whether a peer has something left of its share of work. What it asks for is passed over if not.
    pub(super) fn may_have_work_done(&mut self, desk: &Desk<'_>, peer: PeerId) -> bool {
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        known.shares.has_work(desk.now)
            && (!known.shares.is_stranger()
                || known.shares.admitted_looks > 0
                || self.strangers.has_some(STRANGERS_WORK, desk.now)
                || walytis_core::mutant!(ForgetStrangersShare))
    }

    /// As [`PublicChains::may_have_work_done`], for a question of which it is known that it takes so many looks.
    pub(super) fn may_ask(&mut self, desk: &Desk<'_>, peer: PeerId, looks: usize) -> bool {
        let may = self.may_have_work_done(desk, peer);
        if may {
            self.worked(peer, looks);
        } else {
            self.reached(ChainLimit::Work);
        }
        may
    }

    /// Whether an invitation that a peer shows is looked at. What strangers have asked does not matter for it.
    pub(super) fn may_show(&mut self, desk: &Desk<'_>, peer: PeerId, chain: ChainId) -> bool {
        let invitations = self.chains.get(&chain).map_or(0, |followed| followed.invitations.len());
        let looks = u64::try_from(invitations).unwrap_or(u64::MAX).saturating_add(1);
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        let shares = &mut known.shares;
        let may = shares.has_work(desk.now)
            && (shares.shown.spend(1, SHOWN, desk.now) || walytis_core::mutant!(ShowWithoutEnd))
            && (self.shown.has_some(SHOWN_WORK, desk.now) || walytis_core::mutant!(ForgetShownWork));
        if may {
            shares.work.take(looks, WORK);
            self.shown.take(looks, SHOWN_WORK);
        } else {
            self.reached(ChainLimit::Work);
        }
        may
    }

    /// So much was looked at for a peer.
    pub(super) fn worked(&mut self, peer: PeerId, looks: usize) {
        if let Some(known) = self.peers.get_mut(&peer) {
            let looks = u64::try_from(looks).unwrap_or(u64::MAX);
            known.shares.work.take(looks, WORK);
            if known.shares.is_stranger() {
                let beside = looks.min(known.shares.admitted_looks);
                known.shares.admitted_looks = known.shares.admitted_looks.saturating_sub(beside);
                self.strangers.take(looks.saturating_sub(beside), STRANGERS_WORK);
            }
        }
    }

    /// Whether a chain is being joined, and this is who let us in.
    fn downloads(&self, peer: PeerId, chain: ChainId) -> bool {
        self.joins.get(&chain).is_some_and(|join| join.receives_from(peer))
    }

    /// Whether a peer has something left of its share of a chain's bytes. A first download by an invitation does not count.
    pub(super) fn may_send(&mut self, desk: &Desk<'_>, peer: PeerId, chain: ChainId) -> bool {
        if self.downloads(peer, chain) {
            return true;
        }
        let Some(pace) = self.chains.get(&chain).map(|followed| followed.rules.limits.peer_bytes()) else {
            return false;
        };
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        let budget = known.shares.bytes.entry(chain).or_insert_with(|| Budget::full(pace, desk.now));
        budget.has_some(pace, desk.now) || walytis_core::mutant!(ForgetBytesShare)
    }

    /// A peer has sent so many bytes of a chain's blocks.
    pub(super) fn has_sent(&mut self, desk: &Desk<'_>, peer: PeerId, chain: ChainId, bytes: usize) {
        if self.downloads(peer, chain) {
            return;
        }
        let Some(pace) = self.chains.get(&chain).map(|followed| followed.rules.limits.peer_bytes()) else { return };
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let budget = known.shares.bytes.entry(chain).or_insert_with(|| Budget::full(pace, desk.now));
        // What is given back until now counts first: a debt has a bound.
        budget.has_some(pace, desk.now);
        budget.take(u64::try_from(bytes).unwrap_or(u64::MAX), pace);
    }
}
