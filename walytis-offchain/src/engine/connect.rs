//! Reaching members: dialling, dialling again, and what peers say about where they are.

use std::collections::BTreeMap;

use rand_core::Rng as _;
use walytis_core::{Address, Dialer, KnownPeer, Merit, PeerId};

use super::event::{Effect, EngineError, Target, Timer};
use super::peer::Peer;
use super::{Engine, Limit};
use crate::message::{ADDRESSES_MAX, Message};
use crate::records;

/// The first pause before a peer is dialled again; it doubles up to [`REDIAL_MS_MAX`].
const REDIAL_MS: u64 = 500;
/// The longest pause: a member that comes back is usually the one who dials.
const REDIAL_MS_MAX: u64 = 60_000;
/// How long a peer may be connected without a session. Members that we do not know yet come back.
const STRANGER_MS: u64 = 30_000;
/// How long a refused joiner may stay: long enough for the reason to arrive.
const REFUSED_MS: u64 = 2_000;
/// How long a peer that misbehaved is not spoken to.
const FORGIVE_MS: u64 = 60_000;

/// After how many tries in vain the network is asked whether a member is elsewhere by now.
const TRIES_BEFORE_FINDING: u32 = 2;

/// How an address or a member is dialled again.
pub(super) struct Redial {
    tries: u32,
    attempt: u64,
}

impl Engine {
    pub(super) fn go_online(&mut self) -> Result<(), EngineError> {
        self.online = true;
        self.quiet_later();
        for peer in self.member_peers()? {
            self.has_earned(peer, Merit::Member);
            self.dial_peer(peer);
        }
        let joins: Vec<_> = self.joins.keys().copied().collect();
        for group in joins {
            self.dial_inviters(group);
        }
        Ok(())
    }

    fn dial_peer(&mut self, peer: PeerId) {
        for address in self.book.addresses(&peer) {
            self.outgoing.push(Effect::Dial(address.clone()));
        }
        if self.book.addresses(&peer).is_empty() {
            self.outgoing.push(Effect::Find(peer));
        } else {
            self.dial_later(Target::Peer(peer));
        }
    }

    pub(super) fn connect_to(&mut self, address: Address) {
        if self.online {
            self.outgoing.push(Effect::Dial(address.clone()));
        }
        self.given.insert(address.clone(), None);
        self.dial_later(Target::Address(address));
    }

    /// Sets a timer to dial again, later each time, with jitter.
    fn dial_later(&mut self, target: Target) {
        self.attempts = self.attempts.wrapping_add(1);
        let attempt = self.attempts;
        let redial = self.dials.entry(target.clone()).or_insert(Redial { tries: 0, attempt });
        redial.attempt = attempt;
        let pause = REDIAL_MS.saturating_mul(1_u64.checked_shl(redial.tries).unwrap_or(u64::MAX)).min(REDIAL_MS_MAX);
        redial.tries = redial.tries.saturating_add(1).min(16);
        let jitter = self.parts.rng.next_u64() % (pause / 4 + 1);
        let timer = Timer::Redial { target, attempt };
        self.outgoing.push(Effect::Timer { after_ms: pause.saturating_add(jitter), timer });
    }

    pub(super) fn redial(&mut self, target: Target, attempt: u64) -> Result<(), EngineError> {
        if self.dials.get(&target).is_none_or(|redial| redial.attempt != attempt) {
            return Ok(());
        }
        let peer = match &target {
            Target::Peer(peer) => Some(*peer),
            Target::Address(address) => address.peer(),
        };
        if peer.is_some_and(|peer| self.peers.contains_key(&peer)) {
            self.dials.remove(&target);
            return Ok(());
        }
        match &target {
            Target::Peer(peer) => {
                if self.dials.get(&target).is_some_and(|redial| redial.tries >= TRIES_BEFORE_FINDING) {
                    self.outgoing.push(Effect::Find(*peer));
                }
                let addresses = self.book.addresses(peer).to_vec();
                self.outgoing.extend(addresses.into_iter().map(Effect::Dial));
            }
            Target::Address(address) => self.outgoing.push(Effect::Dial(address.clone())),
        }
        self.dial_later(target);
        Ok(())
    }

    /// Somebody says that a peer is at an address. Members and inviters are dialled; whether others are is up to public
    /// chains. It is not remembered before the peer has answered there: whoever says so could otherwise have us forget
    /// where a member is.
    pub(super) fn discovered(&mut self, address: Address) -> Result<(), EngineError> {
        let Some(peer) = address.peer().filter(|peer| *peer != self.device.peer()) else { return Ok(()) };
        if self.peers.contains_key(&peer) || self.shunned.contains(&peer) {
            return Ok(());
        }
        if self.is_member(peer)? || self.joins.values().any(|join| join.invites(peer)) {
            self.outgoing.push(Effect::Dial(address));
            return Ok(());
        }
        self.public_discovered(&address)
    }

    /// What is remembered of peers with which something is shared.
    pub(super) fn known_peers(&self) -> Vec<KnownPeer> {
        let mut peers: BTreeMap<PeerId, KnownPeer> = self.book.all().map(|known| (known.peer, known)).collect();
        for (peer, _) in self.peers.iter().filter(|(_, peer)| peer.open.is_some()) {
            peers.entry(*peer).or_insert_with(|| KnownPeer::new(*peer)).connected = true;
        }
        for known in self.public.known_peers() {
            peers.entry(known.peer).or_insert_with(|| KnownPeer::new(known.peer)).merge(known);
        }
        for (peer, known) in &mut peers {
            known.given |= self.given.values().any(|found| found.as_ref() == Some(peer));
        }
        peers.into_values().collect()
    }

    /// Members are dialled again by their timers; only a join may end here, and an address that nobody was ever reached at be
    /// forgotten.
    pub(super) fn dial_failed(&mut self, address: &Address) -> Result<(), EngineError> {
        self.inviter_failed(address);
        self.book.not_reached(&mut self.parts.view, address, !self.peers.is_empty());
        Ok(())
    }

    /// A joiner was refused: it hears why, and has little time left.
    pub(super) fn end_refused(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.refused = true;
        let timer = Timer::Stranger { peer, connection: known.connection };
        self.outgoing.push(Effect::Timer { after_ms: REFUSED_MS, timer });
    }

    pub(super) fn end_stranger(&mut self, peer: PeerId, connection: u64) -> Result<(), EngineError> {
        let Some(known) = self.peers.get(&peer).filter(|known| known.connection == connection) else { return Ok(()) };
        let (open, refused) = (known.open.is_some(), known.refused);
        // Who follows a public chain needs no session. But a member that has none by now never will on this connection:
        // a flight was lost, and the next connection begins anew.
        let follows = self.public.knows(peer) && !refused;
        let owes_session = self.is_member(peer)? || self.joins.values().any(|join| join.invites(peer));
        if refused || (!open && (owes_session || !follows)) {
            self.reached(Limit::Stranger);
            self.outgoing.push(Effect::Disconnect(peer));
        }
        Ok(())
    }

    pub(super) fn listening_on(&mut self, address: Address) -> Result<(), EngineError> {
        if self.listening.contains(&address) {
            return Ok(());
        }
        self.listening.push(address);
        records::put_listening(&mut self.parts.view, &self.listening);
        let hello = self.hello();
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.tell(peer, &hello);
        }
        Ok(())
    }

    pub(super) fn listen_ended(&mut self, address: &Address) {
        self.listening.retain(|known| known != address);
        records::put_listening(&mut self.parts.view, &self.listening);
    }

    /// This machine has lost an address, or got one: who is not connected is dialled at once, with all pauses begun anew,
    /// and looked for, as he may have moved as well.
    pub(super) fn addresses_changed(&mut self) -> Result<(), EngineError> {
        let targets: Vec<Target> = self.dials.keys().cloned().collect();
        let members =
            self.member_peers()?.into_iter().map(Target::Peer).filter(|target| !self.dials.contains_key(target));
        for target in members.collect::<Vec<_>>().into_iter().chain(targets) {
            let peer = match &target {
                Target::Peer(peer) => Some(*peer),
                Target::Address(address) => address.peer(),
            };
            if peer.is_some_and(|peer| self.peers.contains_key(&peer)) {
                continue;
            }
            self.dials.remove(&target);
            match target {
                Target::Peer(peer) => {
                    if !self.book.addresses(&peer).is_empty() {
                        self.outgoing.push(Effect::Find(peer));
                    }
                    self.dial_peer(peer);
                }
                Target::Address(address) => {
                    self.outgoing.push(Effect::Dial(address.clone()));
                    self.dial_later(Target::Address(address));
                }
            }
        }
        for group in self.joins.keys().copied().collect::<Vec<_>>() {
            self.dial_inviters(group);
        }
        Ok(())
    }

    pub(super) fn hello(&self) -> Message {
        Message::Hello { addresses: Address::for_others(&self.listening, ADDRESSES_MAX) }
    }

    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        dialer: Dialer,
        address: Option<Address>,
    ) -> Result<(), EngineError> {
        self.connections = self.connections.wrapping_add(1);
        let connection = self.connections;
        self.peers.insert(peer, Peer::new(connection));
        self.dials.remove(&Target::Peer(peer));
        let timer = Timer::Stranger { peer, connection };
        self.outgoing.push(Effect::Timer { after_ms: STRANGER_MS, timer });
        if let Some(address) = &address
            && dialer == Dialer::Us
        {
            for (given, found) in &mut self.given {
                let rest = address.as_str().strip_prefix(given.as_str());
                if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("/p2p/")) {
                    *found = Some(peer);
                    self.dials.remove(&Target::Address(given.clone()));
                }
            }
            if self.is_member(peer)? || self.joins.values().any(|join| join.invites(peer)) {
                let now = self.parts.now;
                self.book.learn(&mut self.parts.view, peer, std::slice::from_ref(address), now)?;
                self.book.reached(&mut self.parts.view, address);
            }
        }
        if dialer == Dialer::Us || self.joins.values().any(|join| join.invites(peer)) {
            self.greet(peer)
        } else {
            Ok(())
        }
    }

    /// Tells the network that a peer has earned at least this: a place, and a share of what may wait here.
    pub(super) fn has_earned(&mut self, peer: PeerId, merit: Merit) {
        if let Some(known) = self.peers.get_mut(&peer) {
            if merit <= known.merit {
                return;
            }
            known.merit = merit;
        }
        self.outgoing.push(Effect::Merit { peer, merit });
    }

    pub(super) fn disconnected(&mut self, peer: PeerId) -> Result<(), EngineError> {
        self.peers.remove(&peer);
        self.orphans.forget(peer);
        self.announcing.retain(|(to, _)| *to != peer);
        let broken: Vec<_> = self.pulls.iter().filter(|(_, pull)| pull.peer == peer).map(|(chain, _)| *chain).collect();
        for chain in broken {
            self.pulls.remove(&chain);
            self.pull_if_behind(chain)?;
        }
        self.join_interrupted(peer)?;
        if !self.book.addresses(&peer).is_empty() {
            self.dial_later(Target::Peer(peer));
        }
        let given: Vec<Address> =
            self.given.iter().filter(|(_, found)| **found == Some(peer)).map(|(given, _)| given.clone()).collect();
        for given in given {
            self.dial_later(Target::Address(given));
        }
        Ok(())
    }

    /// Ends the connection to a peer that sent what no honest one sends, and does not speak to it for a while.
    pub(super) fn misbehaved(&mut self, peer: PeerId) {
        self.shunned.insert(peer);
        self.outgoing.push(Effect::Merit { peer, merit: Merit::Stranger });
        if let Some(known) = self.peers.get_mut(&peer) {
            // Nothing that it told or asked for counts any more.
            *known = Peer::new(known.connection);
        }
        self.orphans.forget(peer);
        self.public.forget(peer);
        let chains: Vec<_> = self.pulls.iter().filter(|(_, pull)| pull.peer == peer).map(|(chain, _)| *chain).collect();
        for chain in chains {
            self.pulls.remove(&chain);
            self.stalled.insert(chain);
        }
        self.outgoing.push(Effect::Disconnect(peer));
        self.outgoing.push(Effect::Timer { after_ms: FORGIVE_MS, timer: Timer::Forgive(peer) });
    }
}
