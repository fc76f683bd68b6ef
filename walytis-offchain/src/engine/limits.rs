//! The engine's bounds, and how often each was reached.

use std::collections::BTreeMap;

use super::Engine;

/// A bound that peers, or many of them, can bring an engine to. What happens then is said where the bound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// A peer began more handshakes than a stranger may, on one connection or over several: it is shunned. Or a spent
    /// invitation was shown more often than it is answered.
    Handshakes,
    /// A peer sent more frames that belong to no session than a connection may bring: it is shunned. Or more about chains that
    /// nobody here knows: the connection is ended.
    Strays,
    /// A peer was connected for long without a session: the connection is ended.
    Stranger,
    /// A peer's blocks without parents filled its share of the pool: the oldest were dropped, to be asked for again.
    Orphans,
    /// A group has more heads than one message names: the last ones and a random choice of the rest were named.
    Heads,
    /// A portion was awaited for as long as one may be: the exchange was given up.
    Waits,
    /// An inviter ended the connection as often as it may while it was asked: the join was given up.
    Drops,
    /// A portion was full: the rest came in further ones.
    Portion,
    /// More attachments were missing than one message asks for: the rest was asked for later.
    Wanted,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Handshakes,
        Self::Strays,
        Self::Stranger,
        Self::Orphans,
        Self::Heads,
        Self::Waits,
        Self::Drops,
        Self::Portion,
        Self::Wanted,
    ];
}

/// How often each limit was reached in this run. Those that were not are not in it.
pub type LimitsReached = BTreeMap<Limit, u64>;

impl Engine {
    /// How often each of its limits was reached since the engine was opened.
    #[must_use]
    pub const fn limits_reached(&self) -> &LimitsReached {
        &self.limits
    }

    /// How many bytes of blocks it holds that wait for their parents: at most
    /// [`ORPHAN_BYTES_PER_PEER_MAX`](walytis_engine::ORPHAN_BYTES_PER_PEER_MAX) for each connected peer.
    #[must_use]
    pub fn orphan_bytes(&self) -> usize {
        self.orphans.bytes()
    }

    /// How many memberships were computed since the engine was opened: those that were not remembered.
    #[must_use]
    pub const fn memberships_computed(&self) -> u64 {
        self.parts.fold.computed()
    }

    pub(super) fn reached(&mut self, limit: Limit) {
        let times = self.limits.entry(limit).or_default();
        *times = times.saturating_add(1);
    }
}
