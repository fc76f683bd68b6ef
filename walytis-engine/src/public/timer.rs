//! What public chains want to be reminded of.

use crate::Target;
use walytis_core::{ChainId, PeerId};

/// What a timer of public chains is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ChainTimer {
    /// Dial again.
    Redial {
        /// Whom.
        target: Target,
        /// Which attempt, so that one that was overtaken does nothing.
        attempt: u64,
    },
    /// Tell a peer of each chain the heads, in case that a notice was lost.
    Quiet,
    /// Tell peers which heads are new.
    Announce,
    /// A peer owes a portion.
    Pull {
        /// The chain.
        chain: ChainId,
        /// Which exchange, so that a later one is not ended.
        exchange: u64,
    },
    /// An exchange has had its turn.
    PullTurn {
        /// The chain.
        chain: ChainId,
        /// The exchange's first number.
        first: u64,
    },
    /// A peer that sent more than its share may send again.
    More {
        /// The peer.
        peer: PeerId,
        /// The chain.
        chain: ChainId,
        /// Which exchange.
        exchange: u64,
    },
    /// A peer that sent more than its share, or had more looked at, may be asked again.
    Paced {
        /// The chain.
        chain: ChainId,
    },
    /// What a peer lacks is looked for further.
    Search {
        /// The peer.
        peer: PeerId,
        /// The chain.
        chain: ChainId,
        /// Which search, so that one that was overtaken does nothing.
        number: u64,
    },
    /// Transfers that wait for their turn go on.
    Serve,
    /// If nobody who has brought something of a chain was reached yet, others are dialled.
    DialOn {
        /// The chain.
        chain: ChainId,
    },
    /// A portion that has come is taken in: what follows it has been asked for.
    Arrived {
        /// The chain.
        chain: ChainId,
    },
    /// An author that wrote more than its share may be asked for again.
    Resume {
        /// The chain.
        chain: ChainId,
    },
    /// Blocks that wait for nothing any more are taken in.
    Settle,
    /// A join has gone on for long without a sign of life.
    Join {
        /// The chain.
        chain: ChainId,
        /// Which sign of life was the last when the timer was set.
        seen: u64,
    },
    /// The next portion of a deleted chain's blocks is removed.
    Sweep,
}
