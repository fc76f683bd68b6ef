//! Joining a chain by an invitation: whoever it names is tried, and all that arrives is verified from the genesis on.

use std::collections::BTreeSet;

use super::code::ChainCode;
use super::limits::{CHAINS_MAX, LISTED_MAX};
use super::message::{JoinRefusal, proof};
use super::records::{Followed, InvitationRow, Meeting};
use super::{ChainAnswer, ChainEffect, ChainTimer, Desk, PublicChains, PublicError, PublicMessage, Standing};
use crate::{Progress, Ticket};
use walytis_core::chains::{self, ChainKind, Owner};
use walytis_core::{Address, AuthorSecret, BlockId, ChainId, Merit, PeerId};

/// How long a join may go on without a sign of life.
const JOIN_MS: u64 = 20_000;

/// How many portions without a new block are signs of life of a join: honest ones bring something, but for a few in a join
/// that goes on with what is here.
const FREE_PORTIONS: u32 = 16;

/// How often an inviter may end the connection before the join is given up.
const DROPS_MAX: u32 = 3;

/// How far a join is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Inviters are dialled.
    Dialling,
    /// This inviter is asked.
    Asking(PeerId),
    /// This inviter has let us in, and sends the chain's blocks.
    Receiving(PeerId),
}

/// What came of an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is not over, or it brought something: what is still missing is asked for anew.
    GoesOn,
    /// All that this peer had to send has come, and nothing of it was new: what is not here cannot be taken in.
    Exhausted(PeerId),
}

/// A join under way.
pub(super) struct Joining {
    pub(super) ticket: Ticket,
    code: ChainCode,
    phase: Phase,
    /// The heads that the inviter who has let us in told last; `None` until it has told any. They are kept here, because
    /// what is known of a peer is forgotten once it is slow, and nobody else says what this one has.
    told: Option<Vec<BlockId>>,
    /// Counts signs of life.
    seen: u64,
    /// Addresses that could not be reached.
    failed: BTreeSet<Address>,
    /// Inviters that said no.
    refused: BTreeSet<PeerId>,
    /// How often an inviter ended the connection.
    dropped: u32,
    /// How many of its portions brought nothing new.
    empty: u32,
}

impl Joining {
    /// Whether the code names this peer.
    pub(super) fn invites(&self, peer: PeerId) -> bool {
        self.code.inviters.iter().any(|inviter| inviter.peer == peer)
    }

    /// Whether this peer has let us in, and is the one whose blocks make the join complete.
    pub(super) fn receives_from(&self, peer: PeerId) -> bool {
        self.phase == Phase::Receiving(peer)
    }

    fn addresses(&self) -> impl Iterator<Item = &Address> {
        let asked = self.code.inviters.iter().filter(|inviter| !self.refused.contains(&inviter.peer));
        asked.flat_map(|inviter| &inviter.addresses)
    }
}

impl PublicChains {
    pub(super) fn join(
        &mut self,
        desk: &mut Desk<'_>,
        ticket: Ticket,
        code: &str,
        name: Option<String>,
    ) -> Result<(), PublicError> {
        let code: ChainCode = code.parse()?;
        let chain = code.chain;
        self.check_kind(desk.view, chain)?;
        match self.chains.get(&chain).map(|followed| (followed.standing, followed.name.clone())) {
            Some((Standing::Followed, name)) => return Err(PublicError::AlreadyFollowed(name)),
            Some((Standing::Leaving, _)) => return Err(PublicError::Leaving),
            Some((Standing::Misfiled, name)) => return Err(PublicError::Misfiled(name)),
            Some((Standing::Joining, _)) if self.joins.contains_key(&chain) => return Err(PublicError::AlreadyJoining),
            Some((Standing::Joining, before)) => {
                // It goes on with what is here.
                if let Some(name) = name.filter(|name| *name != before) {
                    self.check_name(&name)?;
                    if let Some(followed) = self.chains.get_mut(&chain) {
                        followed.name = name;
                        followed.touch();
                    }
                }
            }
            None => {
                // One that is kept here and is nobody's is not told of publicly either.
                if chains::kind(desk.view, chain)? == Some(ChainKind::Public) {
                    return Err(PublicError::NotPublic);
                }
                if self.chains.len() >= CHAINS_MAX {
                    return Err(PublicError::TooManyChains);
                }
                let name = name.unwrap_or_else(|| free_name(chain));
                self.check_name(&name)?;
                Self::claim(desk.view, chain, Owner::JoiningPublic)?;
                let author = AuthorSecret::generate(desk.rng);
                let followed = Followed::new(self.next_number, chain, name, author, Standing::Joining);
                self.next_number = self.next_number.saturating_add(1);
                self.chains.insert(chain, followed);
            }
        }
        // Its limit may have been raised since it was found full.
        self.full.remove(&chain);
        let inviters: Vec<PeerId> = code.inviters.iter().map(|inviter| inviter.peer).collect();
        let joining = Joining {
            ticket,
            code,
            phase: Phase::Dialling,
            told: None,
            seen: 0,
            failed: BTreeSet::new(),
            refused: BTreeSet::new(),
            dropped: 0,
            empty: 0,
        };
        self.joins.insert(chain, joining);
        // Before they are dialled: what they send on these connections is what we ask for.
        for peer in &inviters {
            self.has_earned(desk, *peer, Merit::Invited);
        }
        desk.out.push(ChainEffect::Progress { ticket, progress: Progress::Dialling });
        self.alive(desk, chain);
        if self.online {
            self.dial_inviters(desk, chain);
        }
        for peer in inviters {
            self.ask_inviter(desk, peer);
        }
        Ok(())
    }

    pub(super) fn dial_inviters(&mut self, desk: &mut Desk<'_>, chain: ChainId) {
        let Some(join) = self.joins.get(&chain) else { return };
        desk.out.extend(join.addresses().cloned().map(ChainEffect::Dial));
    }

    /// Notes a sign of life of a join, and waits for the next.
    fn alive(&mut self, desk: &mut Desk<'_>, chain: ChainId) {
        let Some(join) = self.joins.get_mut(&chain) else { return };
        join.seen = join.seen.wrapping_add(1);
        let timer = ChainTimer::Join { chain, seen: join.seen };
        desk.out.push(ChainEffect::Timer { after_ms: JOIN_MS, timer });
    }

    pub(super) fn join_timed_out(&mut self, desk: &mut Desk<'_>, chain: ChainId, seen: u64) {
        let Some(join) = self.joins.get(&chain).filter(|join| join.seen == seen) else { return };
        let error = match join.phase {
            Phase::Receiving(_) => PublicError::Interrupted,
            Phase::Dialling | Phase::Asking(_) => PublicError::NoInviter,
        };
        self.end_join(desk, chain, error);
    }

    /// A join came to nothing. What has arrived is kept, for when it is tried again.
    pub(super) fn end_join(&mut self, desk: &mut Desk<'_>, chain: ChainId, error: PublicError) {
        let Some(join) = self.joins.remove(&chain) else { return };
        if self.chains.get(&chain).is_some_and(|followed| followed.bytes == 0)
            && let Some(followed) = self.chains.remove(&chain)
        {
            followed.remove(desk.view);
            self.forget_chain(chain);
            self.given_up.insert(chain);
        }
        desk.out.push(ChainEffect::Reply { ticket: join.ticket, answer: Err(error) });
    }

    /// A chain that is being joined has no room for all of its blocks.
    pub(super) fn join_is_full(&mut self, desk: &mut Desk<'_>, chain: ChainId) {
        if let Some(error) = self.chains.get(&chain).map(|followed| self.no_room(followed)) {
            self.end_join(desk, chain, error);
        }
    }

    /// Shows the invitation to a peer that is connected, if it is one that admits.
    pub(super) fn ask_inviter(&mut self, desk: &mut Desk<'_>, peer: PeerId) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        let mut asked = Vec::new();
        for (chain, join) in &mut self.joins {
            let asks = join.phase == Phase::Dialling && join.invites(peer) && !join.refused.contains(&peer);
            if asks {
                join.phase = Phase::Asking(peer);
                asked.push((*chain, join.ticket, proof(&join.code.secret, self.me, peer, *chain)));
            }
        }
        for (chain, ticket, proof) in asked {
            self.tell(desk, peer, &PublicMessage::Join { chain, proof });
            desk.out.push(ChainEffect::Progress { ticket, progress: Progress::Asking });
            self.alive(desk, chain);
        }
    }

    /// An inviter lets us in: now everything is fetched, and verified from the genesis on.
    pub(super) fn joined(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId) -> Result<(), PublicError> {
        let Some(join) = self.joins.get_mut(&chain).filter(|join| join.phase == Phase::Asking(peer)) else {
            return Ok(());
        };
        join.phase = Phase::Receiving(peer);
        join.told = None;
        self.alive(desk, chain);
        // Its heads follow, and with them the exchange begins.
        self.share(desk, peer, chain)
    }

    pub(super) fn join_refused(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId, reason: JoinRefusal) {
        let Some(join) = self.joins.get_mut(&chain).filter(|join| join.phase == Phase::Asking(peer)) else {
            self.not_shared(peer, chain);
            return;
        };
        join.refused.insert(peer);
        join.phase = Phase::Dialling;
        let others: Vec<PeerId> = join.code.inviters.iter().map(|inviter| inviter.peer).collect();
        if others.iter().all(|other| join.refused.contains(other)) {
            self.end_join(desk, chain, PublicError::Refused(reason));
            return;
        }
        for other in others {
            self.ask_inviter(desk, other);
        }
    }

    /// A peer is gone: who was asked, or sent, is asked again, or another one is.
    pub(super) fn join_interrupted(&mut self, desk: &mut Desk<'_>, peer: PeerId) {
        let mut again = Vec::new();
        for (chain, join) in &mut self.joins {
            let was_asked = join.phase == Phase::Asking(peer) || join.phase == Phase::Receiving(peer);
            if was_asked {
                let error = match join.phase {
                    Phase::Receiving(_) => PublicError::Interrupted,
                    _ => PublicError::NoInviter,
                };
                join.phase = Phase::Dialling;
                join.dropped = join.dropped.saturating_add(1);
                again.push((*chain, (join.dropped >= DROPS_MAX).then_some(error)));
            }
        }
        for (chain, error) in again {
            match error {
                Some(error) => self.end_join(desk, chain, error),
                None => {
                    self.dial_inviters(desk, chain);
                    let inviters = self.joins.get(&chain).map(|join| join.code.inviters.clone()).unwrap_or_default();
                    for inviter in inviters {
                        self.ask_inviter(desk, inviter.peer);
                    }
                }
            }
        }
    }

    /// An address could not be reached. Once none can, there is nobody to ask.
    pub(super) fn inviter_failed(&mut self, desk: &mut Desk<'_>, address: &Address) {
        let mut ended = Vec::new();
        for (chain, join) in &mut self.joins {
            if join.addresses().any(|known| known == address) {
                join.failed.insert(address.clone());
            }
            if join.phase == Phase::Dialling && join.addresses().all(|known| join.failed.contains(known)) {
                ended.push(*chain);
            }
        }
        for chain in ended {
            self.end_join(desk, chain, PublicError::NoInviter);
        }
    }

    /// A portion of a chain that is being joined has arrived. It is a sign of life if it brought something, or is one of the
    /// inviter's first few that did not: so nobody keeps a join going without end that brings nothing.
    pub(super) fn join_progressed(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        (from, new): (PeerId, u64),
        left: u64,
    ) -> Result<(), PublicError> {
        let Some(join) = self.joins.get_mut(&chain) else { return Ok(()) };
        join.empty = join.empty.saturating_add(u32::from(new == 0));
        let is_free = join.receives_from(from) && join.empty <= FREE_PORTIONS;
        let (ticket, alive) = (join.ticket, new > 0 || is_free);
        let blocks = chains::length(desk.view, chain)?;
        desk.out.push(ChainEffect::Progress { ticket, progress: Progress::Receiving { blocks, left } });
        if alive {
            self.alive(desk, chain);
        }
        Ok(())
    }

    /// Notes the heads of the inviter that has let us in.
    pub(super) fn inviter_told(&mut self, peer: PeerId, chain: ChainId, heads: &[BlockId]) {
        if let Some(join) = self.joins.get_mut(&chain).filter(|join| join.receives_from(peer)) {
            join.told = Some(heads.to_vec());
        }
    }

    /// The join is done once all that the inviter told of is here, whoever sent it; before it has told what it has, it is not.
    /// If an exchange with the inviter itself was exhausted, what is not here is nothing that this program can take in.
    pub(super) fn join_complete(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        ended: Ended,
    ) -> Result<(), PublicError> {
        let Some(join) = self.joins.get(&chain) else { return Ok(()) };
        let Phase::Receiving(peer) = join.phase else { return Ok(()) };
        let exhausted = ended == Ended::Exhausted(peer);
        if !chains::contains_on(desk.view, chain, chain.into())? {
            if exhausted {
                self.end_join(desk, chain, PublicError::Interrupted);
            }
            return Ok(());
        }
        let Some(told) = &join.told else { return Ok(()) };
        for head in told {
            if !exhausted && !self.orphans.is_held(*head) && !chains::contains_on(desk.view, chain, *head)? {
                return Ok(());
            }
        }
        let Some(join) = self.joins.remove(&chain) else { return Ok(()) };
        let Some(followed) = self.chains.get_mut(&chain) else { return Ok(()) };
        followed.standing = Standing::Followed;
        followed.touch();
        Self::claim(desk.view, chain, Owner::Public)?;
        for inviter in &join.code.inviters {
            followed.welcome(desk.view, inviter.peer, Meeting { peers: &self.peers, now: desk.now });
            followed.hear_of(desk.view, inviter.peer, &inviter.addresses);
        }
        for inviter in &join.code.inviters {
            self.has_proven_itself(desk, chain, inviter.peer);
            self.classify(inviter.peer);
        }
        let Some(followed) = self.chains.get_mut(&chain) else { return Ok(()) };
        if join.code.shareable && followed.invitations.len() < LISTED_MAX {
            let number = followed.invited;
            let row = InvitationRow { number, secret: *join.code.secret, uses: None, shareable: true };
            followed.add_invitation(row);
        }
        let summary = self.summary(desk.view, chain)?;
        desk.out.push(ChainEffect::Reply { ticket: join.ticket, answer: Ok(ChainAnswer::Chain(summary)) });
        self.greet_all(desk);
        Ok(())
    }
}

pub(super) fn free_name(chain: ChainId) -> String {
    let text = chain.to_string();
    format!("chain-{}", text.get(..8).unwrap_or_default())
}
