//! Sessions with peers: who begins, what is answered, and how frames are told apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use walytis_core::{AuthorKey, ChainId, CodecError, Hash, HybridKey, PeerId, planted};
use walytis_identities::Device;
use walytis_identities::session::{
    self, Asks, FirstFlight, Initiator, Purpose, Ready, Session, SessionError, Stays, choose,
};

use super::event::{Effect, EngineError};
use super::peer::{HANDSHAKES_MAX, Handshake, Open, STRAYS_MAX, UNKNOWN_CHAINS_MAX};
use super::{Engine, Limit};
use crate::message::{FrameKind, JoinRefusal, Message};
use crate::newer::NewerKind;

/// A member's device, and the key under which it writes on a chain.
pub(super) type Reader = (AuthorKey, Arc<Device>);

impl Engine {
    /// Begins a session with a connected peer, if there is a reason to.
    pub(super) fn greet(&mut self, peer: PeerId) -> Result<(), EngineError> {
        if self.shunned.contains(&peer) {
            return Ok(());
        }
        let Some(known) = self.peers.get(&peer) else { return Ok(()) };
        if !matches!(known.handshake, Handshake::None) {
            return Ok(());
        }
        let joining = self.joins.iter().find(|(_, join)| join.wants(peer)).map(|(group, _)| *group);
        let open = known.open.is_some();
        let begun = if let Some(group) = joining {
            self.begin_join(group, peer)
        } else if open {
            return Ok(());
        } else {
            let Some(key) = self.devices_of(peer)?.into_key() else { return Ok(()) };
            let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
            Initiator::member(me, peer, key, Vec::new(), &mut *self.parts.rng).ok()
        };
        let Some((initiator, flight)) = begun else { return Ok(()) };
        if let Some(known) = self.peers.get_mut(&peer) {
            known.handshake = Handshake::Begun(Box::new(initiator), flight.clone());
        }
        self.send_flight(peer, FrameKind::Flight1, &flight);
        Ok(())
    }

    fn send_flight(&mut self, peer: PeerId, kind: FrameKind, flight: &[u8]) {
        let mut frame = vec![kind as u8];
        frame.extend_from_slice(flight);
        self.outgoing.push(Effect::Send { peer, frame });
    }

    pub(super) fn frame(&mut self, peer: PeerId, bytes: &[u8]) -> Result<(), EngineError> {
        if !self.peers.contains_key(&peer) || self.shunned.contains(&peer) {
            return Ok(());
        }
        let Some((kind, rest)) = bytes.split_first() else {
            self.misbehaved(peer);
            return Ok(());
        };
        match FrameKind::from_byte(*kind) {
            Some(FrameKind::Flight1) => self.flight1(peer, rest),
            Some(FrameKind::Flight2) => self.flight2(peer, rest),
            Some(FrameKind::Flight3) => self.flight3(peer, rest),
            Some(FrameKind::Data) => self.data(peer, rest),
            Some(FrameKind::Public) => self.public_frame(peer, rest),
            None => {
                self.newer.add(NewerKind::Frame, u32::from(*kind));
                // A member's newer program may send what it likes. Anybody else's may as often as what belongs to no session.
                if self.peers.get(&peer).is_some_and(|known| known.open.is_none()) {
                    self.stray(peer);
                }
                Ok(())
            }
        }
    }

    fn flight1(&mut self, peer: PeerId, flight: &[u8]) -> Result<(), EngineError> {
        let me = self.device.peer();
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        let digest = Hash(*blake3::hash(flight).as_bytes());
        if known.answered == Some(digest) {
            // A copy, which costs no handshake. If the peer took our answer for another flight's, it needs that again.
            if let Handshake::Answered(_, answer) = &known.handshake {
                let answer = answer.clone();
                self.send_flight(peer, FrameKind::Flight2, &answer);
            }
            return Ok(());
        }
        known.handshakes = known.handshakes.saturating_add(1);
        if known.handshakes > HANDSHAKES_MAX && !walytis_core::mutant!(ForgetHandshakes) {
            self.reached(Limit::Handshakes);
            self.misbehaved(peer);
            return Ok(());
        }
        // A joiner can do nothing with a member's flight: it need not know us yet, though it may have been admitted without
        // hearing of it. So a join stays on both sides; of two of a kind, both sides choose alike.
        let stays = |ours: &[u8]| match (session::asks_to_join(ours), session::asks_to_join(flight)) {
            (true, false) => Stays::Mine,
            (false, true) => Stays::Theirs,
            _ => choose(&me, &peer),
        };
        if let Handshake::Begun(_, ours) = &known.handshake
            && stays(ours) == Stays::Mine
        {
            // Ours stays. The peer may have passed it over because it did not know us then, as it does now.
            let ours = ours.clone();
            self.send_flight(peer, FrameKind::Flight1, &ours);
            return Ok(());
        }
        // Parsed before anything is asked, and only what it names is asked for: whoever sends it is anybody.
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let first = match FirstFlight::read(me, peer, flight) {
            Ok(first) => first,
            // Of a newer program. It is told nothing: what it says, this program does not know.
            Err(error) if error.is_newer() => return Ok(()),
            Err(_) => {
                self.misbehaved(peer);
                return Ok(());
            }
        };
        let asks = first.asks();
        let consulted = self.consult(peer, asks)?;
        if !consulted.is_empty() && !self.may_answer(peer, asks)? {
            self.reached(Limit::Handshakes);
            return Ok(());
        }
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        match first.answer(me, &consulted, &mut *self.parts.rng) {
            Ok((responder, answer)) => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    // One attempt at a time: what was begun or answered before is given up.
                    let answered = Handshake::Answered(Box::new(responder), answer.clone());
                    let before = std::mem::replace(&mut known.handshake, answered);
                    known.answered = Some(digest);
                    if matches!(before, Handshake::Begun(..)) {
                        self.join_dropped(peer);
                    }
                }
                self.send_flight(peer, FrameKind::Flight2, &answer);
            }
            // It may be a member of whom we have not heard yet. It is told nothing, and greeted once we have.
            // Or it takes us for another of our devices.
            Err(SessionError::UnknownDevice { .. } | SessionError::OtherKey { .. }) => {}
            Err(_) => self.misbehaved(peer),
        }
        Ok(())
    }

    /// Counts a first flight that is answered if it holds. Returns whether it may be: a peer that never proves anything is
    /// answered less and less often, whatever connection it comes by; and so is whoever shows the code of an invitation that
    /// is spent, whatever peer it is, unless it is a member's, who may ask again. A peer that was not answered before has a
    /// part of its own in what newcomers are answered together, so that others who have its code do not keep its answer back.
    fn may_answer(&mut self, peer: PeerId, asks: Asks) -> Result<bool, EngineError> {
        let now = self.parts.now;
        if let Asks::Join { group, invitation } = asks
            && !self.is_member_of(peer, group)?
            && self.is_spent(group, invitation)?
            && !self.answered.may_answer(invitation.0.0, now)
            && !self.answered.may_answer_newcomer(&peer.0, now)
        {
            return Ok(false);
        }
        let may = self.answered.may_answer(peer.0, now);
        if !may {
            self.misbehaved(peer);
        }
        Ok(may)
    }

    fn flight2(&mut self, peer: PeerId, flight: &[u8]) -> Result<(), EngineError> {
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        let Handshake::Begun(initiator, ours) = &known.handshake else { return Ok(()) };
        let Ok(ready) = initiator.receive(peer, flight) else {
            // Perhaps it answers what we sent before, on an earlier connection. Then the answer to this one is still to come,
            // and a new question would cross it: the two would chase each other. A copy of the same costs whoever has it
            // nothing, and brings the same answer again. If that is bad each time, it is the peer that is.
            let ours = ours.clone();
            if self.stray(peer) {
                self.send_flight(peer, FrameKind::Flight1, &ours);
            }
            return Ok(());
        };
        known.handshake = Handshake::None;
        let remote = ready.remote().clone();
        let asks = |group: &ChainId| matches!(ready.purpose(), Purpose::Join { group: asked, .. } if asked == *group);
        let group = self.joins.iter().find(|(group, join)| join.asks(peer) && asks(group)).map(|(group, _)| *group);
        let first = match group {
            Some(group) => match self.join_request(group, &ready)? {
                Some(request) => request,
                None => return Ok(()),
            },
            // The join has ended since. There is nothing left to ask, and a greeting would not be taken for a question.
            None if matches!(ready.purpose(), Purpose::Join { .. }) => return self.greet(peer),
            None => self.hello(),
        };
        self.finish(peer, ready, remote, &first)
    }

    fn finish(&mut self, peer: PeerId, ready: Ready, remote: HybridKey, first: &Message) -> Result<(), EngineError> {
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let Ok((flight, session)) = ready.finish(me, &first.encode(), &mut *self.parts.rng) else {
            self.misbehaved(peer);
            return Ok(());
        };
        self.send_flight(peer, FrameKind::Flight3, &flight);
        let joining = matches!(first, Message::Join(_));
        self.opened(peer, session, remote);
        if joining { Ok(()) } else { self.session_ready(peer) }
    }

    /// Counts a frame that belongs to no session. Returns whether the peer may go on.
    fn stray(&mut self, peer: PeerId) -> bool {
        let Some(known) = self.peers.get_mut(&peer) else { return false };
        known.strays = known.strays.saturating_add(1);
        if known.strays > STRAYS_MAX && !walytis_core::mutant!(ForgetStrays) {
            self.reached(Limit::Strays);
            self.misbehaved(peer);
            return false;
        }
        true
    }

    /// Counts what came in a session about a chain that nobody here knows. Beyond some the connection ends, and nobody is
    /// thought ill of: a member of a group that this home has forgotten knows no better.
    pub(super) fn strayed(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.unknown_chains = known.unknown_chains.saturating_add(1);
        if known.unknown_chains > UNKNOWN_CHAINS_MAX && !walytis_core::mutant!(ForgetUnknownChains) {
            self.reached(Limit::Strays);
            self.outgoing.push(Effect::Disconnect(peer));
        }
    }

    fn flight3(&mut self, peer: PeerId, flight: &[u8]) -> Result<(), EngineError> {
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        if !matches!(known.handshake, Handshake::Answered(..)) {
            return Ok(());
        }
        let Handshake::Answered(responder, _) = std::mem::take(&mut known.handshake) else { return Ok(()) };
        let remote = responder.remote().clone();
        let (session, first) = match responder.receive(peer, flight) {
            Ok(received) => received,
            Err(error) if error.is_newer() => return Ok(()),
            Err(_) => {
                self.misbehaved(peer);
                return Ok(());
            }
        };
        let purpose = session.purpose();
        let hash = *session.hash();
        self.opened(peer, session, remote);
        match (purpose, Message::decode(&first)) {
            (Purpose::Join { group, invitation }, Ok(Message::Join(request))) => {
                self.admit(peer, group, invitation, hash, &request)
            }
            (Purpose::Member, Ok(hello @ Message::Hello { .. })) => {
                self.proven(peer);
                let greeting = self.hello();
                self.tell(peer, &greeting);
                self.message(peer, hello)?;
                self.session_ready(peer)
            }
            // A newer program begins with what this one does not know. It is a member all the same.
            (Purpose::Member, Err(error)) if error.is_newer() => {
                self.count_newer_message(&error);
                self.proven(peer);
                let greeting = self.hello();
                self.tell(peer, &greeting);
                self.session_ready(peer)
            }
            (Purpose::Join { .. }, Err(error)) if error.is_newer() => {
                self.count_newer_message(&error);
                self.tell(peer, &Message::JoinRefused(JoinRefusal::Unable));
                self.end_refused(peer);
                Ok(())
            }
            _ => {
                self.misbehaved(peer);
                Ok(())
            }
        }
    }

    /// Counts a message that this program does not know. Its sender may be newer.
    fn count_newer_message(&mut self, error: &CodecError) {
        let kind =
            if matches!(error, CodecError::Version { .. }) { NewerKind::MessageVersion } else { NewerKind::Message };
        self.newer.add(kind, error.number());
    }

    /// Forgives a peer what it cost us to find out that it is a member.
    pub(super) fn proven(&mut self, peer: PeerId) {
        self.answered.forgive(&peer.0);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.handshakes = 0;
            known.refused = false;
        }
    }

    fn opened(&mut self, peer: PeerId, session: Session, remote: HybridKey) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        self.sessions = self.sessions.wrapping_add(1);
        let id = self.sessions;
        let before = known.open.take();
        let number = before.as_ref().map_or(0, |open| open.number.wrapping_add(1));
        let replaces = before.is_some();
        let older = before.map(|open| open.session);
        known.open = Some(Open { session, id, older, number, remote, readers: BTreeMap::new() });
        if replaces {
            self.ask_anew(peer);
        }
    }

    fn data(&mut self, peer: PeerId, rest: &[u8]) -> Result<(), EngineError> {
        let open = self.peers.get_mut(&peer).and_then(|known| known.open.as_mut());
        let Some((open, (number, sealed))) = open.zip(rest.split_first()) else {
            self.stray(peer);
            return Ok(());
        };
        let opened = if *number == open.number {
            open.older = None;
            open.session.open(sealed)
        } else {
            open.older.as_mut().map_or(Err(SessionError::Over), |older| older.open(sealed))
        };
        match opened.map(|bytes| Message::decode(&bytes)) {
            Ok(Ok(message)) => self.message(peer, message),
            Ok(Err(error)) if error.is_newer() => {
                self.count_newer_message(&error);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => {
                self.misbehaved(peer);
                Ok(())
            }
        }
    }

    fn message(&mut self, peer: PeerId, message: Message) -> Result<(), EngineError> {
        match message {
            // Whoever is neither a member nor invites us cannot push members out of the address book.
            Message::Hello { addresses }
                if self.is_member(peer)? || self.joins.values().any(|join| join.invites(peer)) =>
            {
                let now = self.parts.now;
                Ok(self.book.learn(&mut self.parts.view, peer, &addresses, now)?)
            }
            Message::Hello { .. } => Ok(()),
            Message::Sync(sync) => self.sync(peer, sync),
            Message::Joined => self.joined(peer),
            Message::JoinRefused(reason) => {
                self.join_refused(peer, reason);
                Ok(())
            }
            // Requests to join come with a handshake, never later.
            Message::Join(_) => {
                self.misbehaved(peer);
                Ok(())
            }
        }
    }

    /// Speaks to connected peers that have become known since.
    pub(super) fn greet_known(&mut self) -> Result<(), EngineError> {
        let waiting: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, known)| known.open.is_none() && matches!(known.handshake, Handshake::None))
            .map(|(peer, _)| *peer)
            .collect();
        waiting.into_iter().try_for_each(|peer| self.greet(peer))
    }

    /// The device on the other side of a session, as a chain's current membership has it, with the key under which it
    /// writes there. Asked for each request.
    pub(super) fn device_of(&mut self, peer: PeerId, chain: ChainId) -> Result<Option<Reader>, EngineError> {
        if self.name_of(chain).is_none() {
            return Ok(None);
        }
        if self.peers.get(&peer).is_none_or(|known| known.open.is_none()) {
            return Ok(None);
        }
        if !self.is_member_of(peer, chain)? && !serves_strangers() {
            return Ok(None);
        }
        let membership = self.parts.membership(chain)?;
        let Some(open) = self.peers.get_mut(&peer).and_then(|known| known.open.as_mut()) else { return Ok(None) };
        if let Some((seen, reader)) = open.readers.get(&chain)
            && Arc::ptr_eq(seen, &membership)
        {
            return Ok(reader.clone());
        }
        let mut found = membership.devices_of_peer(&peer).find(|(_, device)| device.key == open.remote);
        if serves_strangers() {
            found = found.or(membership.devices.first_key_value());
        }
        let found = found.map(|(author, device)| (*author, Arc::clone(device)));
        open.readers.insert(chain, (membership, found.clone()));
        Ok(found)
    }
}

/// Whether who is no member of a group is served as if it were its first one: never, but for a planted bug.
pub(super) fn serves_strangers() -> bool {
    planted!(ServeStranger)
}
