//! Joining a group by an invitation, and admitting who asks.

use std::collections::BTreeSet;

use walytis_core::chains::{self, Owner};
use walytis_core::{Address, AuthorSecret, BlockId, ChainId, ForeignHead, Hash, Merit, ParsedBlock, PeerId};
use walytis_core::{BlockKind, RawBlock};
use walytis_identities::session::{self, Initiator, Ready};
use walytis_identities::{
    Admit, Device, Entry as Writing, InvitationCode, InvitationId, KeyringError, LeafSecret, Operation, Role,
    SignedBinding, join_transcript, keyring,
};

use super::event::{Answer, Effect, EngineError, Progress, RefusedJoin, Ticket, Timer};
use super::{Engine, Limit};
use crate::message::{JoinRefusal, JoinRequest, Message};
use crate::records;

/// How long a join may go on without a sign of life.
const JOIN_MS: u64 = 20_000;

/// How often an inviter may end the connection while it is asked.
const DROPS_MAX: u32 = 3;

/// How far a join is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Inviters are dialled.
    Dialling,
    /// This inviter is spoken to.
    Asking(PeerId),
    /// This inviter has admitted us, and sends the group's blocks.
    Receiving(PeerId),
}

/// A join under way.
pub(super) struct Joining {
    ticket: Ticket,
    code: InvitationCode,
    name: String,
    phase: Phase,
    /// Counts signs of life.
    seen: u64,
    /// Addresses that could not be reached.
    failed: BTreeSet<Address>,
    /// How often an inviter ended the connection while it was asked.
    dropped: u32,
}

impl Joining {
    /// Who waits for its end.
    pub(super) const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether the code names this peer as one who can admit.
    pub(super) fn invites(&self, peer: PeerId) -> bool {
        self.code.inviters().iter().any(|inviter| inviter.peer == peer)
    }

    /// Whether this peer is to be asked for admission.
    pub(super) fn wants(&self, peer: PeerId) -> bool {
        self.phase == Phase::Dialling && self.invites(peer)
    }

    /// Whether this peer is being asked.
    pub(super) fn asks(&self, peer: PeerId) -> bool {
        self.phase == Phase::Asking(peer)
    }

    /// Whether the group's blocks come from this peer.
    pub(super) fn receives_from(&self, peer: PeerId) -> bool {
        self.phase == Phase::Receiving(peer)
    }
}

impl Engine {
    pub(super) fn join(&mut self, ticket: Ticket, code: &str, name: Option<String>) -> Result<(), EngineError> {
        let code: InvitationCode = code.parse()?;
        let group = *code.group();
        if let Some(name) = self.name_of(group) {
            return Err(EngineError::AlreadyMember(name.to_owned()));
        }
        if self.joins.contains_key(&group) {
            return Err(EngineError::AlreadyJoining);
        }
        let name = match name {
            Some(name) => name,
            None => self.free_name(group),
        };
        self.check_name(&name)?;
        self.join_begins(group)?;
        let inviters: Vec<PeerId> = code.inviters().iter().map(|inviter| inviter.peer).collect();
        let joining =
            Joining { ticket, code, name, phase: Phase::Dialling, seen: 0, failed: BTreeSet::new(), dropped: 0 };
        self.joins.insert(group, joining);
        self.outgoing.push(Effect::Progress { ticket, progress: Progress::Dialling });
        self.alive(group);
        if self.online {
            self.dial_inviters(group);
        }
        for peer in inviters {
            self.greet(peer)?;
        }
        Ok(())
    }

    fn free_name(&self, group: ChainId) -> String {
        let text = group.to_string();
        format!("group-{}", text.get(..8).unwrap_or_default())
    }

    pub(super) fn dial_inviters(&mut self, group: ChainId) {
        let Some(join) = self.joins.get(&group) else { return };
        let addresses: Vec<_> = join.code.inviters().iter().flat_map(|inviter| inviter.addresses.clone()).collect();
        // Before they are dialled: what they send on these connections is what we ask for.
        for peer in join.code.inviters().iter().map(|inviter| inviter.peer).collect::<Vec<_>>() {
            self.has_earned(peer, Merit::Invited);
        }
        self.outgoing.extend(addresses.into_iter().map(Effect::Dial));
    }

    /// Notes a sign of life of a join, and waits for the next.
    fn alive(&mut self, group: ChainId) {
        let Some(join) = self.joins.get_mut(&group) else { return };
        join.seen = join.seen.wrapping_add(1);
        let timer = Timer::Join { group, seen: join.seen };
        self.outgoing.push(Effect::Timer { after_ms: JOIN_MS, timer });
    }

    pub(super) fn join_timed_out(&mut self, group: ChainId, seen: u64) -> Result<(), EngineError> {
        let Some(join) = self.joins.get(&group) else { return Ok(()) };
        if join.seen == seen {
            let error = match join.phase {
                Phase::Receiving(_) => EngineError::Interrupted,
                Phase::Dialling | Phase::Asking(_) => EngineError::NoInviter,
            };
            self.end_join(group, error);
        }
        Ok(())
    }

    pub(super) fn end_join(&mut self, group: ChainId, error: EngineError) {
        if let Some(join) = self.joins.remove(&group) {
            self.ended.insert(group);
            self.reply(join.ticket, Err(error));
        }
    }

    /// The handshake with an inviter came to nothing, or gave way to one that the inviter began as a member of another
    /// group of ours, and the connection stands: ask again.
    pub(super) fn join_dropped(&mut self, peer: PeerId) {
        for join in self.joins.values_mut().filter(|join| join.asks(peer)) {
            join.phase = Phase::Dialling;
        }
    }

    pub(super) fn join_interrupted(&mut self, peer: PeerId) -> Result<(), EngineError> {
        let mut ended = Vec::new();
        let mut again = Vec::new();
        for (group, join) in &mut self.joins {
            match join.phase {
                // Another inviter may do better; with the only one there is nothing left to wait for.
                Phase::Asking(asked) if asked == peer && self.shunned.contains(&peer) => {
                    join.phase = Phase::Dialling;
                    if join.code.inviters().iter().all(|inviter| self.shunned.contains(&inviter.peer)) {
                        ended.push((*group, EngineError::BadInviter));
                    } else {
                        again.push(*group);
                    }
                }
                Phase::Asking(asked) if asked == peer => {
                    join.phase = Phase::Dialling;
                    join.dropped = join.dropped.saturating_add(1);
                    if join.dropped < DROPS_MAX {
                        again.push(*group)
                    } else {
                        ended.push((*group, EngineError::Dropped))
                    }
                }
                Phase::Receiving(from) if from == peer => ended.push((*group, EngineError::Interrupted)),
                _ => {}
            }
        }
        for group in again {
            self.dial_inviters(group);
            let inviters = self.joins.get(&group).map(|join| join.code.inviters()).unwrap_or_default();
            for other in inviters.iter().map(|inviter| inviter.peer).collect::<Vec<_>>() {
                self.greet(other)?;
            }
        }
        for (group, error) in ended {
            if error == EngineError::Dropped {
                self.reached(Limit::Drops);
            }
            self.end_join(group, error);
        }
        Ok(())
    }

    /// An address could not be reached. Once none can, there is nobody to ask.
    pub(super) fn inviter_failed(&mut self, address: &Address) {
        let mut ended = Vec::new();
        for (group, join) in &mut self.joins {
            let mut all = join.code.inviters().iter().flat_map(|inviter| &inviter.addresses);
            if all.clone().any(|known| known == address) {
                join.failed.insert(address.clone());
            }
            if join.phase == Phase::Dialling && all.all(|known| join.failed.contains(known)) {
                ended.push(*group);
            }
        }
        for group in ended {
            self.end_join(group, EngineError::NoInviter);
        }
    }

    /// Begins the handshake in which an inviter is asked.
    pub(super) fn begin_join(&mut self, group: ChainId, peer: PeerId) -> Option<(Initiator, Vec<u8>)> {
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let join = self.joins.get_mut(&group)?;
        let begun = Initiator::join(me, peer, group, join.code.secret(), &mut *self.parts.rng).ok()?;
        join.phase = Phase::Asking(peer);
        let ticket = join.ticket;
        self.outgoing.push(Effect::Progress { ticket, progress: Progress::Asking });
        self.alive(group);
        Some(begun)
    }

    /// The request that goes with the third flight. The keys in it are kept before it leaves.
    pub(super) fn join_request(&mut self, group: ChainId, ready: &Ready) -> Result<Option<Message>, EngineError> {
        let (author, leaf) = self.join_keys(group)?;
        let Some(join) = self.joins.get(&group) else { return Ok(None) };
        let invitation = join.code.secret().key();
        let path = vec![self.device.user, self.device.identity];
        let joiner = self.device.bind(path, &group.0, &author, Some(&leaf), &mut *self.parts.rng);
        let transcript = join_transcript(
            &group,
            &self.device.user,
            &joiner.binding.device,
            &joiner.binding.hash(),
            ready.session_hash(),
        );
        let proof = invitation.sign(&transcript, &mut *self.parts.rng);
        let identities = self.own_identities()?;
        let invitation = invitation.public().clone();
        Ok(Some(Message::Join(Box::new(JoinRequest { joiner, invitation, proof, identities }))))
    }

    /// The keys with which this device asks. An interrupted join goes on with the same ones, and so does a member whose home
    /// was put back from a copy older than its admission.
    fn join_keys(&mut self, group: ChainId) -> Result<(AuthorSecret, LeafSecret), EngineError> {
        match (keyring::author(&self.parts.view, group), keyring::leaf(&self.parts.view, group)) {
            (Ok(author), Ok(leaf)) => Ok((author, leaf)),
            (Err(KeyringError::Missing(_)), _) | (_, Err(KeyringError::Missing(_))) => {
                let (author, leaf) = self.device.joining_keys(group);
                keyring::put_author(&mut self.parts.view, group, &author);
                keyring::put_leaf(&mut self.parts.view, group, &leaf);
                Ok((author, leaf))
            }
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        }
    }

    fn own_identities(&self) -> Result<Vec<RawBlock>, EngineError> {
        let mut blocks = Vec::new();
        for chain in [self.device.identity, self.device.user] {
            let mut from = 0;
            loop {
                let (page, next) = chains::in_order(&self.parts.view, chain, from, 64)?;
                blocks.extend(page.into_iter().map(|stored| stored.block.raw().clone()));
                let Some(next) = next else { break };
                from = next;
            }
        }
        Ok(blocks)
    }

    /// Admits who asks in a session that proved the invitation's secret, if the invitation is still open.
    pub(super) fn admit(
        &mut self,
        peer: PeerId,
        group: ChainId,
        invitation: InvitationId,
        session: Hash,
        request: &JoinRequest,
    ) -> Result<(), EngineError> {
        let mark = self.mark();
        let mut because = None;
        let answer = match self.try_admit(peer, group, invitation, session, request) {
            Ok(answer) => answer,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                because = Some(error.to_string());
                Err(JoinRefusal::Invalid)
            }
        };
        match answer {
            Ok(()) => {
                self.proven(peer);
                self.tell(peer, &Message::Joined);
                let hello = self.hello();
                self.tell(peer, &hello);
                self.session_ready(peer)
            }
            Err(refusal) => {
                self.take_back(mark);
                self.note_refused(
                    invitation.0,
                    RefusedJoin { group, name: String::new(), peer, reason: refusal, because },
                );
                self.tell(peer, &Message::JoinRefused(refusal));
                if !self.is_member(peer)? {
                    self.end_refused(peer);
                }
                Ok(())
            }
        }
    }

    /// Keeps in mind whom this node did not admit, so that a person hears of it.
    fn note_refused(&mut self, invitation: Hash, mut refused: RefusedJoin) {
        refused.name = self.name_of(refused.group).unwrap_or_default().to_owned();
        self.refused_joins.add(invitation, refused);
    }

    /// Whom this node did not admit, and why: the last 64, of which at most 8 by one code, oldest first, each peer and reason
    /// once. They are numbered from 1 on in the order in which they were refused since the engine was opened.
    pub fn refused_joins(&self) -> impl Iterator<Item = (u64, &RefusedJoin)> {
        self.refused_joins.all()
    }

    fn try_admit(
        &mut self,
        peer: PeerId,
        group: ChainId,
        invitation: InvitationId,
        session: Hash,
        request: &JoinRequest,
    ) -> Result<Result<(), JoinRefusal>, EngineError> {
        if self.name_of(group).is_none() {
            return Ok(Err(JoinRefusal::Unable));
        }
        if self.parts.view.is_full() {
            return Ok(Err(JoinRefusal::NoRoom));
        }
        let membership = self.parts.membership(group)?;
        let own = keyring::author(&self.parts.view, group)?.public();
        if membership.device(&own, Role::Manage).is_none() {
            return Ok(Err(JoinRefusal::Unable));
        }
        let SignedBinding { binding, .. } = &request.joiner;
        let remote = self.peers.get(&peer).and_then(|known| known.open.as_ref()).map(|open| open.remote.id());
        let is_other_peer = binding.peer != peer && !walytis_core::mutant!(AdmitOtherPeer);
        if is_other_peer || (remote != Some(binding.device) && !walytis_core::mutant!(AdmitOtherDevice)) {
            return Ok(Err(JoinRefusal::Invalid));
        }
        // Who was admitted before and did not hear of it, or has forgotten it, asks again with the same keys, by whatever
        // invitation: it is given the answer of the first time. No use is counted, and nobody is admitted.
        let is_same = |known: &Device| known.peer == peer && known.path == binding.path && known.leaf == binding.leaf;
        if membership.devices.get(&binding.author).is_some_and(|known| is_same(known)) {
            return Ok(Ok(()));
        }
        // The device is proven by the session: nobody else learns that its user is a member.
        let mut devices = membership.devices_of_peer(&peer);
        if devices.any(|(_, known)| known.key.id() == binding.device && known.path == binding.path) {
            return Ok(Err(JoinRefusal::OtherKeys));
        }
        let Some(open) = membership.invitations.get(&invitation.0) else { return Ok(Err(JoinRefusal::Invalid)) };
        if !open.is_open() {
            return Ok(Err(JoinRefusal::Spent));
        }
        if open
            .expires_at_ms
            .is_some_and(|expires| self.parts.now.0 >= expires && !walytis_core::mutant!(AdmitByExpired))
        {
            return Ok(Err(JoinRefusal::Expired));
        }
        let Some(foreign) = self.take_in_identities(&binding.path, &request.identities)? else {
            return Ok(Err(JoinRefusal::Invalid));
        };
        if request.invitation.id() != invitation.0 {
            return Ok(Err(JoinRefusal::Invalid));
        }
        let admit = Admit {
            joiner: request.joiner.clone(),
            invitation: request.invitation.clone(),
            session,
            proof: request.proof.clone(),
        };
        let content = Operation::Admit(Box::new(admit)).encode();
        let entry = Writing { kind: BlockKind::Operation, content, foreign };
        self.merge_operations(group)?;
        let admitted = self.device.append(&mut self.parts.desk(), group, entry)?;
        let epoch = self.device.begin_epoch(&mut self.parts.desk(), group)?;
        self.own_operation(group, admitted.block.id());
        self.own_operation(group, epoch);
        Ok(Ok(()))
    }

    /// Takes in the identity chains along a joiner's path, and no others: what is stored for a newcomer, nobody else has
    /// asked for. Returns the heads of its member's chain.
    fn take_in_identities(
        &mut self,
        path: &[ChainId],
        blocks: &[RawBlock],
    ) -> Result<Option<Vec<ForeignHead>>, EngineError> {
        for raw in blocks.iter().take(walytis_core::limits::FOREIGN_ANCESTORS_MAX) {
            let Ok(block) = ParsedBlock::parse(raw.clone()) else { return Ok(None) };
            if !path.contains(&block.chain()) && !walytis_core::mutant!(KeepAnyIdentity) {
                return Ok(None);
            }
            if chains::contains(&self.parts.view, block.id())? {
                continue;
            }
            if !chains::missing_parents(&self.parts.view, &block)?.is_empty() {
                return Ok(None);
            }
            match self.parts.fold.judge(&self.parts.view, block) {
                Ok(judged) => {
                    chains::insert(&mut self.parts.view, &judged.block)?;
                }
                Err(error) if error.is_ours() => return Err(walytis_identities::WriteError::Refused(error).into()),
                Err(_) => return Ok(None),
            }
        }
        let Some(member) = path.first().copied() else { return Ok(None) };
        let heads: Vec<BlockId> = chains::heads(&self.parts.view, member)?;
        Ok(Some(heads.into_iter().map(|block| ForeignHead { chain: member, block }).collect()))
    }

    /// An inviter says that we are members: now everything is fetched, and verified from the genesis on.
    pub(super) fn joined(&mut self, peer: PeerId) -> Result<(), EngineError> {
        let Some((group, join)) = self.joins.iter_mut().find(|(_, join)| join.asks(peer)) else { return Ok(()) };
        let group = *group;
        join.phase = Phase::Receiving(peer);
        self.alive(group);
        // Handshakes between members carry it; the one in which we asked could not.
        let hello = self.hello();
        self.tell(peer, &hello);
        self.pull(group, peer)
    }

    pub(super) fn join_refused(&mut self, peer: PeerId, reason: JoinRefusal) {
        let group = self.joins.iter().find(|(_, join)| join.asks(peer)).map(|(group, _)| *group);
        if let Some(group) = group {
            self.end_join(group, EngineError::Refused(reason));
        }
    }

    /// Something of a group that we join has arrived.
    pub(super) fn join_progressed(&mut self, group: ChainId, left: u64) -> Result<(), EngineError> {
        let Some(ticket) = self.joins.get(&group).map(|join| join.ticket) else { return Ok(()) };
        let blocks = chains::length(&self.parts.view, group)?;
        self.outgoing.push(Effect::Progress { ticket, progress: Progress::Receiving { blocks, left } });
        self.alive(group);
        Ok(())
    }

    /// All that the inviter had is here: we are members if the chain, verified from the genesis that the code names,
    /// says so.
    pub(super) fn join_complete(&mut self, peer: PeerId, group: ChainId) -> Result<(), EngineError> {
        if !self.joins.get(&group).is_some_and(|join| join.receives_from(peer)) {
            return Ok(());
        }
        let own = keyring::author(&self.parts.view, group)?.public();
        let known = chains::knows_chain(&self.parts.view, group)?;
        if !known || !self.parts.membership(group)?.devices.contains_key(&own) {
            self.end_join(group, EngineError::Refused(JoinRefusal::Unable));
            return Ok(());
        }
        let Some(join) = self.joins.remove(&group) else { return Ok(()) };
        self.claim(group, Owner::Group)?;
        records::forget_joining(&mut self.parts.view, group)?;
        for inviter in join.code.inviters() {
            let now = self.parts.now;
            self.book.learn(&mut self.parts.view, inviter.peer, &inviter.addresses, now)?;
        }
        // The name may have been given to another group meanwhile.
        let name = if self.check_name(&join.name).is_ok() { join.name } else { self.free_name(group) };
        self.add_name(group, name.clone());
        self.forget_unobtainable(group)?;
        let summary = self.summary(group, &name)?;
        self.reply(join.ticket, Ok(Answer::Group(summary)));
        // Others who are connected may be members here, too, and all may have written meanwhile.
        let open: Vec<PeerId> =
            self.peers.iter().filter(|(_, known)| known.open.is_some()).map(|(peer, _)| *peer).collect();
        for other in open {
            self.session_ready(other)?;
        }
        self.greet_known()
    }
}
