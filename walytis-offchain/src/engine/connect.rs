//! Reaching members: dialling, dialling again, and what peers say about where they are.

use rand_core::Rng as _;
use walytis_core::{Address, Dialer, PeerId};

use super::Engine;
use super::event::{Effect, EngineError, Timer};
use super::peer::{Handshake, Peer};
use crate::message::{ADDRESSES_MAX, Message};
use crate::records;

/// The first pause before a peer is dialled again; it doubles up to [`REDIAL_MS_MAX`].
const REDIAL_MS: u64 = 500;
/// The longest pause: a member that comes back is usually the one who dials.
const REDIAL_MS_MAX: u64 = 60_000;
/// How long a peer may be connected without a session. Members that we do not know yet come back.
const STRANGER_MS: u64 = 30_000;
/// How long a peer that misbehaved is not spoken to.
const FORGIVE_MS: u64 = 60_000;

impl Engine {
    pub(super) fn go_online(&mut self) -> Result<(), EngineError> {
        self.online = true;
        for peer in self.members()? {
            self.dial_peer(peer);
        }
        let joins: Vec<_> = self.joins.keys().copied().collect();
        for group in joins {
            self.dial_inviters(group);
        }
        Ok(())
    }

    /// The transport keys of all devices with which this one shares a group.
    pub(super) fn members(&mut self) -> Result<Vec<PeerId>, EngineError> {
        let mut peers = std::collections::BTreeSet::new();
        for (group, _) in self.names.clone() {
            let membership = self.parts.membership(group)?;
            peers.extend(membership.devices.values().map(|device| device.peer));
        }
        peers.remove(&self.device.peer());
        Ok(peers.into_iter().collect())
    }

    fn dial_peer(&mut self, peer: PeerId) {
        for address in self.book.addresses(&peer) {
            self.outgoing.push(Effect::Dial(address.clone()));
        }
        if !self.book.addresses(&peer).is_empty() {
            self.dial_later(Timer::RedialPeer(peer));
        }
    }

    pub(super) fn connect_to(&mut self, address: Address) {
        if self.online {
            self.outgoing.push(Effect::Dial(address.clone()));
        }
        self.dial_later(Timer::RedialAddress(address));
    }

    /// Sets a timer to dial again, later each time, with jitter.
    fn dial_later(&mut self, timer: Timer) {
        let tries = self.dials.entry(timer.clone()).or_insert(0);
        let pause = REDIAL_MS.saturating_mul(1_u64.checked_shl(*tries).unwrap_or(u64::MAX)).min(REDIAL_MS_MAX);
        *tries = tries.saturating_add(1).min(16);
        let jitter = self.parts.rng.next_u64() % (pause / 4 + 1);
        self.outgoing.push(Effect::Timer { after_ms: pause.saturating_add(jitter), timer });
    }

    pub(super) fn redial(&mut self, timer: Timer) -> Result<(), EngineError> {
        if !self.dials.contains_key(&timer) {
            return Ok(());
        }
        let peer = match &timer {
            Timer::RedialPeer(peer) => Some(*peer),
            Timer::RedialAddress(address) => address.peer(),
            _ => None,
        };
        if peer.is_some_and(|peer| self.peers.contains_key(&peer)) {
            self.dials.remove(&timer);
            return Ok(());
        }
        match &timer {
            Timer::RedialPeer(peer) => {
                let addresses = self.book.addresses(peer).to_vec();
                self.outgoing.extend(addresses.into_iter().map(Effect::Dial));
            }
            Timer::RedialAddress(address) => self.outgoing.push(Effect::Dial(address.clone())),
            _ => return Ok(()),
        }
        self.dial_later(timer);
        Ok(())
    }

    /// Members are dialled again by their timers; only a join may end here.
    pub(super) fn dial_failed(&mut self, address: &Address) -> Result<(), EngineError> {
        self.inviter_failed(address);
        Ok(())
    }

    pub(super) fn end_stranger(&mut self, peer: PeerId, connection: u64) {
        let stranger = |known: &Peer| known.connection == connection && known.open.is_none();
        if self.peers.get(&peer).is_some_and(stranger) {
            self.outgoing.push(Effect::Disconnect(peer));
        }
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

    pub(super) fn hello(&self) -> Message {
        Message::Hello { addresses: self.listening.iter().take(ADDRESSES_MAX).cloned().collect() }
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
        self.dials.remove(&Timer::RedialPeer(peer));
        let timer = Timer::Stranger { peer, connection };
        self.outgoing.push(Effect::Timer { after_ms: STRANGER_MS, timer });
        if let Some(address) = &address
            && dialer == Dialer::Us
        {
            self.dials.retain(|timer, _| match timer {
                Timer::RedialAddress(given) => !address.as_str().starts_with(given.as_str()),
                _ => true,
            });
            if self.is_member(peer)? || self.joins.values().any(|join| join.invites(peer)) {
                let now = self.parts.now;
                self.book.learn(&mut self.parts.view, peer, std::slice::from_ref(address), now)?;
            }
        }
        if dialer == Dialer::Us || self.joins.values().any(|join| join.invites(peer)) {
            self.greet(peer)
        } else {
            Ok(())
        }
    }

    pub(super) fn is_member(&mut self, peer: PeerId) -> Result<bool, EngineError> {
        Ok(self.members()?.contains(&peer))
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
        self.join_interrupted(peer);
        if !self.book.addresses(&peer).is_empty() && !self.dials.contains_key(&Timer::RedialPeer(peer)) {
            self.dial_later(Timer::RedialPeer(peer));
        }
        Ok(())
    }

    /// Ends the connection to a peer that sent what no honest one sends, and does not speak to it for a while.
    pub(super) fn misbehaved(&mut self, peer: PeerId) {
        self.shunned.insert(peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.handshake = Handshake::None;
            known.open = None;
        }
        self.outgoing.push(Effect::Disconnect(peer));
        self.outgoing.push(Effect::Timer { after_ms: FORGIVE_MS, timer: Timer::Forgive(peer) });
    }
}
