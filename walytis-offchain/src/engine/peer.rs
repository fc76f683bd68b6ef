//! What the engine knows about a connected peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use walytis_core::{BlockId, ChainId, Hash, HybridKey, Merit};
use walytis_identities::Membership;
use walytis_identities::session::{Initiator, Responder, Session};

use super::handshake::Reader;

/// How many first flights a peer may send on one connection before it proves that it is a member. To look at one costs
/// little; how many are answered is limited for each peer, over all its connections: see
/// [`Attempts`](super::attempts::Attempts).
pub(super) const HANDSHAKES_MAX: u32 = 16;

/// How many frames that belong to no session a peer may send on one connection. A few are honest: what was under way on
/// an earlier connection can arrive on the next.
pub(super) const STRAYS_MAX: u32 = 16;

/// How many questions and blocks about chains that nobody here knows may come in a session. As many as about public chains:
/// when a join has ended, or this home was put back to a copy from before a group, what others had on its way still comes.
pub(super) const UNKNOWN_CHAINS_MAX: u32 = 64;

/// A handshake under way.
#[derive(Default)]
pub(super) enum Handshake {
    #[default]
    None,
    /// We began it, with this first flight.
    Begun(Box<Initiator>, Vec<u8>),
    /// The peer began it, and we answered with this second flight.
    Answered(Box<Responder>, Vec<u8>),
}

/// A session, with its number on this connection.
pub(super) struct Open {
    pub(super) session: Session,
    /// Which it is, counted over the run.
    pub(super) id: u64,
    /// The session that it replaced, until the peer has noticed.
    pub(super) older: Option<Session>,
    pub(super) number: u8,
    pub(super) remote: HybridKey,
    /// Who it is on each chain, as of a membership: it is asked for with every message.
    pub(super) readers: BTreeMap<ChainId, (Arc<Membership>, Option<Reader>)>,
}

/// How often, at most, a peer that had an attachment not to give is passed over before it is asked again. What it gets
/// later it gives unasked; so this is for what was lost on the way.
const PASSES_MAX: u32 = 64;

/// That a peer had an attachment not to give.
#[derive(Default)]
pub(super) struct Lacking {
    /// How often it said so.
    times: u32,
    /// How often it is still passed over.
    passes: u32,
}

impl Lacking {
    /// Notes that it said so: each time it is passed over twice as often.
    pub(super) fn again(&mut self) {
        self.times = self.times.saturating_add(1);
        self.passes = 1_u32.checked_shl(self.times).unwrap_or(u32::MAX).saturating_sub(1).min(PASSES_MAX);
    }

    /// Whether it is passed over this time.
    pub(super) fn pass(&mut self) -> bool {
        let pass = self.passes > 0;
        self.passes = self.passes.saturating_sub(1);
        pass
    }
}

/// A walk through the attachments that are missing, some at a time. What the peer cannot give does not hold up the rest.
pub(super) struct Asked {
    /// For which the answers are still to come.
    pub(super) waiting: BTreeSet<BlockId>,
    /// The last block that was asked for.
    pub(super) last: BlockId,
    /// Whether the peer may have more by now than when the walk began.
    pub(super) again: bool,
}

/// A connected peer.
pub(super) struct Peer {
    /// Which connection it is, counted over the run.
    pub(super) connection: u64,
    pub(super) handshake: Handshake,
    pub(super) open: Option<Open>,
    pub(super) handshakes: u32,
    pub(super) strays: u32,
    /// How much came from it about chains that nobody here knows.
    pub(super) unknown_chains: u32,
    /// Whether it asked to join and was not admitted.
    pub(super) refused: bool,
    /// What the network was told that it has earned.
    pub(super) merit: Merit,
    /// The first flight that was answered last: a copy of it costs no handshake.
    pub(super) answered: Option<Hash>,
    /// The heads that it told last, by chain.
    pub(super) announced: BTreeMap<ChainId, Vec<BlockId>>,
    /// What it is being sent: positions still to come.
    pub(super) transfers: BTreeMap<ChainId, VecDeque<u64>>,
    /// The attachments that it was asked for.
    pub(super) asked: BTreeMap<ChainId, Asked>,
    /// The attachments that it had not to give when it was asked: those that are missing here.
    pub(super) lacking: BTreeMap<(ChainId, BlockId), Lacking>,
    /// The attachments that it asked for and that were missing here.
    pub(super) awaits: BTreeSet<(ChainId, BlockId)>,
    /// The number of the last exchange with it.
    pub(super) pulled: u64,
}

impl Peer {
    pub(super) fn new(connection: u64) -> Self {
        Self {
            connection,
            handshake: Handshake::None,
            open: None,
            handshakes: 0,
            strays: 0,
            unknown_chains: 0,
            refused: false,
            merit: Merit::Stranger,
            answered: None,
            announced: BTreeMap::new(),
            transfers: BTreeMap::new(),
            asked: BTreeMap::new(),
            lacking: BTreeMap::new(),
            awaits: BTreeSet::new(),
            pulled: 0,
        }
    }
}
