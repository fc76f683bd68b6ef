//! What waits to leave. A message to a member is sealed when it leaves, not when it is decided on: frames of a session are
//! counted as they are sealed, so whatever may leave earlier could not overtake one that was sealed before.
//!
//! **Invariant:** a message leaves in the session for which it was decided on, or never: sealed for whoever has a session with
//! that peer by then, it would open for somebody who has come to be told nothing. What gives something of a chain leaves only
//! to who is a member there when it does.

use walytis_core::{ChainId, PeerId};
use walytis_engine::sync::SyncMessage;

use super::event::{Effect, EngineError};
use super::{Engine, handshake};
use crate::message::{FrameKind, Message};

/// An effect that waits, or a message that is not sealed yet.
pub(super) enum Leaving {
    Effect(Effect),
    Told(Told),
}

/// A message that was decided on for one session.
pub(super) struct Told {
    peer: PeerId,
    /// Which session, counted over the run.
    session: u64,
    /// The chain of which it gives something, and how many operations this engine had taken in when that was decided.
    gives: Option<(ChainId, u64)>,
    bytes: Vec<u8>,
}

impl From<Effect> for Leaving {
    fn from(effect: Effect) -> Self {
        Self::Effect(effect)
    }
}

/// What a step has decided on, in order.
#[derive(Default)]
pub(super) struct Outgoing(Vec<Leaving>);

impl Outgoing {
    pub(super) fn push(&mut self, leaving: impl Into<Leaving>) {
        self.0.push(leaving.into());
    }

    pub(super) fn extend(&mut self, effects: impl Iterator<Item = Effect>) {
        self.0.extend(effects.map(Leaving::Effect));
    }

    /// All of it. There is nothing left then.
    pub(super) fn take(&mut self) -> Vec<Leaving> {
        std::mem::take(&mut self.0)
    }
}

/// The chain of which a message gives something; `None` if it only asks or greets.
const fn gives(message: &Message) -> Option<ChainId> {
    let Message::Sync(message) = message else { return None };
    match message {
        SyncMessage::Heads { chain, .. }
        | SyncMessage::Portion { chain, .. }
        | SyncMessage::Push { chain, .. }
        | SyncMessage::Attachment { chain, .. } => Some(*chain),
        _ => None,
    }
}

impl Engine {
    /// Says something in the session that is open with a peer. Without one nothing is said.
    pub(super) fn tell(&mut self, peer: PeerId, message: &Message) {
        let Some(open) = self.peers.get(&peer).and_then(|known| known.open.as_ref()) else { return };
        let gives = gives(message).map(|chain| (chain, self.operations));
        let told = Told { peer, session: open.id, gives, bytes: message.encode() };
        let leaving = if walytis_core::mutant!(SealEarly) {
            self.sealed(&told).map(Leaving::Effect)
        } else {
            Some(Leaving::Told(told))
        };
        leaving.into_iter().for_each(|leaving| self.outgoing.push(leaving));
    }

    /// What leaves now of what waited: a message is sealed, or dropped if it has lost its session or its right.
    pub(super) fn leave(&mut self, leaving: Leaving) -> Result<Option<Effect>, EngineError> {
        let told = match leaving {
            Leaving::Effect(effect) => return Ok(Some(effect)),
            Leaving::Told(told) => told,
        };
        if let Some((chain, operations)) = told.gives
            && operations != self.operations
            && !handshake::serves_strangers()
            && self.device_of(told.peer, chain)?.is_none()
        {
            return Ok(None);
        }
        Ok(self.sealed(&told))
    }

    /// A message as a frame of the session for which it was decided on; `None` if that has ended or was replaced.
    fn sealed(&mut self, told: &Told) -> Option<Effect> {
        let open = self.peers.get_mut(&told.peer)?.open.as_mut()?;
        if open.id != told.session && !walytis_core::mutant!(SealForWhoever) {
            return None;
        }
        let sealed = open.session.seal(&told.bytes).ok()?;
        let mut frame = vec![FrameKind::Data as u8, open.number];
        frame.extend_from_slice(&sealed);
        Some(Effect::Send { peer: told.peer, frame })
    }
}
