//! Public chains beside groups: hosted over the engine's own view, and over the connections that there are anyway.

use std::sync::Arc;

use walytis_core::{Address, BatchNumber, Dialer, PeerId, Workers};
use walytis_engine::public::{ChainCommand, ChainEffect, ChainTimer, Desk, PublicChains, PublicError};

use super::Engine;
use super::event::{Answer, Delivery, Effect, EngineError, Ticket, Timer};

impl Engine {
    /// What it knows of its public chains and their limits.
    #[must_use]
    pub const fn public(&self) -> &PublicChains {
        &self.public
    }

    /// Lets others verify the signatures of public chains' blocks, on several processors if there are. Without this call one
    /// is verified after the other.
    #[must_use]
    pub fn with_workers(mut self, workers: Arc<dyn Workers>) -> Self {
        self.public.employ(workers);
        self
    }

    /// The most bytes that all public chains have here together; without this call,
    /// [`PUBLIC_BYTES_MAX`](walytis_engine::public::PUBLIC_BYTES_MAX).
    #[must_use]
    pub fn with_public_bytes_max(mut self, bytes: u64) -> Self {
        self.public.limit_all(bytes);
        self
    }

    /// Whether the removal of a public chain was cut short and is to go on.
    #[must_use]
    pub fn removes_chains(&self) -> bool {
        self.public.removes()
    }

    /// Leaves removals that were cut short as they are, until another chain is removed or the store is opened anew: where
    /// there is no room for their first step, the rest can be used.
    pub fn put_off_removals(&mut self) {
        self.public.put_off_removals();
    }

    /// Lets public chains do something, and passes on what they want done.
    fn with_public(
        &mut self,
        act: impl FnOnce(&mut PublicChains, &mut Desk<'_>) -> Result<(), PublicError>,
    ) -> Result<(), EngineError> {
        let mut out = Vec::new();
        let parts = &mut self.parts;
        let mut desk = Desk { view: &mut parts.view, now: parts.now, rng: &mut *parts.rng, out: &mut out };
        let done = act(&mut self.public, &mut desk);
        let mut expelled = Vec::new();
        for effect in out {
            let effect = match effect {
                ChainEffect::Send { peer, frame } => Effect::Send { peer, frame },
                ChainEffect::SendAtOnce { peer, frame } => {
                    self.at_once.push(Effect::Send { peer, frame });
                    continue;
                }
                ChainEffect::Next(timer) => {
                    self.at_once.push(Effect::Timer { after_ms: 0, timer: Timer::Public(timer) });
                    continue;
                }
                ChainEffect::AskDiskSpace => {
                    self.at_once.push(Effect::AskDiskSpace);
                    continue;
                }
                ChainEffect::Dial(address) => Effect::Dial(address),
                ChainEffect::Find(peer) => Effect::Find(peer),
                ChainEffect::Merit { peer, merit } => {
                    self.has_earned(peer, merit);
                    continue;
                }
                ChainEffect::Timer { after_ms, timer } => Effect::Timer { after_ms, timer: Timer::Public(timer) },
                ChainEffect::Reply { ticket, answer } => {
                    Effect::Reply { ticket, answer: answer.map(Answer::Chain).map_err(EngineError::from) }
                }
                ChainEffect::Delivered { subscription, entry } => {
                    Effect::Delivered { subscription, delivery: Delivery::Chain(entry) }
                }
                ChainEffect::Ended { subscription } => {
                    Effect::Delivered { subscription, delivery: Delivery::ChainEnded }
                }
                ChainEffect::Progress { ticket, progress } => Effect::Progress { ticket, progress },
                ChainEffect::Expelled { chain, blocks } => {
                    expelled.push((chain, blocks));
                    continue;
                }
                ChainEffect::Misbehaved(peer) => {
                    self.misbehaved(peer);
                    continue;
                }
                ChainEffect::Disconnect(peer) => Effect::Disconnect(peer),
            };
            self.outgoing.push(effect);
        }
        done?;
        expelled.into_iter().try_for_each(|(chain, blocks)| self.expelled(chain, &blocks))
    }

    /// Before the first event.
    pub(super) fn register_public(&mut self) -> Result<(), EngineError> {
        self.with_public(|public, desk| public.register(desk))
    }

    /// The end of each step.
    pub(super) fn finish_public(&mut self) -> Result<(), EngineError> {
        self.with_public(|public, desk| public.finish(desk))
    }

    pub(super) fn public_committed(&mut self, number: BatchNumber) -> Result<(), EngineError> {
        self.with_public(|public, desk| {
            public.committed(desk, number);
            Ok(())
        })
    }

    pub(super) fn public_command(&mut self, ticket: Ticket, command: ChainCommand) -> Result<(), EngineError> {
        self.with_public(|public, desk| public.command(desk, ticket, command))
    }

    pub(super) fn public_frame(&mut self, peer: PeerId, bytes: &[u8]) -> Result<(), EngineError> {
        self.with_public(|public, desk| public.frame(desk, peer, bytes))
    }

    pub(super) fn public_timer(&mut self, timer: ChainTimer) -> Result<(), EngineError> {
        self.with_public(|public, desk| public.timer(desk, timer))
    }

    pub(super) fn public_online(&mut self) -> Result<(), EngineError> {
        self.with_public(|public, desk| {
            public.online(desk);
            Ok(())
        })
    }

    pub(super) fn public_listening(&mut self) -> Result<(), EngineError> {
        let addresses = self.listening.clone();
        self.with_public(|public, desk| {
            public.listening(desk, &addresses);
            Ok(())
        })
    }

    pub(super) fn public_addresses_changed(&mut self) -> Result<(), EngineError> {
        self.with_public(|public, desk| {
            public.addresses_changed(desk);
            Ok(())
        })
    }

    pub(super) fn public_connected(
        &mut self,
        peer: PeerId,
        dialer: Dialer,
        address: Option<&Address>,
    ) -> Result<(), EngineError> {
        if self.shunned.contains(&peer) {
            return Ok(());
        }
        self.with_public(|public, desk| {
            public.connected(desk, peer, dialer, address);
            Ok(())
        })
    }

    /// A peer that misbehaved is spoken to again, if it came back meanwhile.
    pub(super) fn public_forgiven(&mut self, peer: PeerId) -> Result<(), EngineError> {
        if !self.peers.contains_key(&peer) || self.public.is_connected(peer) {
            return Ok(());
        }
        self.public_connected(peer, Dialer::Peer, None)
    }

    pub(super) fn public_disconnected(&mut self, peer: PeerId) -> Result<(), EngineError> {
        self.with_public(|public, desk| public.disconnected(desk, peer))
    }

    pub(super) fn public_discovered(&mut self, address: &Address) -> Result<(), EngineError> {
        self.with_public(|public, desk| {
            public.discovered(desk, address);
            Ok(())
        })
    }

    pub(super) fn public_dial_failed(&mut self, address: &Address) -> Result<(), EngineError> {
        self.with_public(|public, desk| {
            public.dial_failed(desk, address);
            Ok(())
        })
    }
}
