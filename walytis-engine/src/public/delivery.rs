//! What applications ask of named subscriptions, and what they get.

use super::ChainEntry;
use crate::Ticket;

/// The most named subscriptions of a chain on one node.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// The most dead letters of one subscription. When there are as many, the next block that cannot be handled stays where
/// it is: nothing is passed over unseen.
pub const LETTERS_MAX: u32 = 1024;
/// The longest reason that is kept with a dead letter, in bytes; a longer one is cut.
pub const REASON_BYTES_MAX: usize = 512;

/// Where a subscription begins that has not been there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the chain's first block.
    #[default]
    Beginning,
    /// Behind the blocks that are here.
    Now,
}

/// What an application asks for. A chain is named by its local name or its id, and a live subscription by the ticket of
/// its [`DeliveryCommand::Open`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryCommand {
    /// Reads under a name, which is made if it is not there. It ends with
    /// [`ChainCommand::Unsubscribe`](super::ChainCommand::Unsubscribe); the name and its cursor stay. Answered by
    /// [`ChainAnswer::Subscribed`](super::ChainAnswer::Subscribed) with the first position that is not handled.
    Open {
        /// The chain.
        chain: String,
        /// The name: 1 to 64 characters.
        name: String,
        /// Where a new one begins.
        start: Start,
    },
    /// Reads blocks: dead letters to be handed out again first, then what lies behind. It changes nothing. Answered by
    /// [`DeliveryAnswer::Blocks`].
    Read {
        /// The subscription.
        subscription: Ticket,
        /// The first position.
        from: u64,
        /// Dead letters, by position, that the reader has already.
        held: Vec<u64>,
        /// Only blocks with one of these topics, if any are named: at most 32.
        topics: Vec<Vec<u8>>,
        /// How many blocks at most; a page also ends after about 4 MiB of content.
        limit: usize,
    },
    /// The block at this position is handled, and all before it; or it was a dead letter, which is no more. Answered by
    /// [`ChainAnswer::Done`](super::ChainAnswer::Done) once that is durable.
    Acknowledge {
        /// The subscription.
        subscription: Ticket,
        /// The block's position.
        position: u64,
    },
    /// The block at this position could not be handled; all before it are. After `tries_max` times it becomes a dead
    /// letter, and counts as passed. Answered by [`DeliveryAnswer::Failed`].
    Fail {
        /// The subscription.
        subscription: Ticket,
        /// The block's position.
        position: u64,
        /// Why, for people.
        reason: String,
        /// How often it is tried; 0 counts as 1.
        tries_max: u32,
    },
    /// Lists a chain's subscriptions. Answered by [`DeliveryAnswer::Subscriptions`].
    List {
        /// The chain.
        chain: String,
    },
    /// Lists dead letters. Answered by [`DeliveryAnswer::Letters`].
    Letters {
        /// The chain.
        chain: String,
        /// The subscription's name.
        name: String,
        /// The first position.
        from: u64,
    },
    /// Has dead letters handed out again to whoever reads under the name, now or next. Answered by
    /// [`DeliveryAnswer::Changed`].
    Replay {
        /// The chain.
        chain: String,
        /// The subscription's name.
        name: String,
        /// The position of one; `None` for all.
        position: Option<u64>,
    },
    /// Throws dead letters away; the blocks stay on the chain. Answered by [`DeliveryAnswer::Changed`].
    Discard {
        /// The chain.
        chain: String,
        /// The subscription's name.
        name: String,
        /// The position of one; `None` for all.
        position: Option<u64>,
    },
    /// Forgets a subscription with its cursor and its dead letters. Answered by
    /// [`ChainAnswer::Done`](super::ChainAnswer::Done).
    Forget {
        /// The chain.
        chain: String,
        /// The subscription's name.
        name: String,
    },
}

/// What a command about subscriptions is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryAnswer {
    /// Blocks to handle.
    Blocks {
        /// Dead letters that are handed out again.
        again: Vec<ChainEntry>,
        /// Blocks that lie behind, each after its parents.
        entries: Vec<ChainEntry>,
        /// Where to go on. Nothing before it is missing in `entries`.
        next: u64,
    },
    /// A failure is noted.
    Failed {
        /// How often the block has failed.
        tries: u32,
        /// Whether it is a dead letter now, and not to be tried again.
        set_aside: bool,
    },
    /// The subscriptions, in the order in which they were made.
    Subscriptions(Vec<SubscriptionSummary>),
    /// Dead letters, by position.
    Letters {
        /// The letters.
        letters: Vec<Letter>,
        /// The position to go on from; `None` at the end.
        next: Option<u64>,
    },
    /// So many dead letters are concerned.
    Changed {
        /// How many.
        letters: u32,
    },
}

/// A named subscription in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSummary {
    /// Its name.
    pub name: String,
    /// The first position that is not handled.
    pub next: u64,
    /// How many blocks of the chain, of whatever topic, lie from there on.
    pub behind: u64,
    /// How many dead letters there are.
    pub letters: u32,
    /// Whether somebody reads under the name now.
    pub live: bool,
}

/// A block that could not be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The block.
    pub entry: ChainEntry,
    /// How often it was tried.
    pub tries: u32,
    /// Why it failed the last time.
    pub reason: String,
    /// When that was, by this node's clock, in milliseconds since 1970.
    pub failed_at_ms: u64,
    /// Whether it is to be handed out again.
    pub again: bool,
}

/// Why something about subscriptions could not be done.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The text cannot be a name.
    #[error(
        "a subscription's name has 1 to 64 characters, none of them a control character or one that nobody sees, and no blanks \
         at its ends"
    )]
    BadName,
    /// There are as many subscriptions as a chain has.
    #[error("this chain has {SUBSCRIPTIONS_MAX} subscriptions here, which is the most: forget one first")]
    TooMany,
    /// There is none with this name.
    #[error("there is no subscription {0:?} of this chain here")]
    Unknown(String),
    /// Somebody reads under this name.
    #[error("somebody reads as {0:?} already: one reader at a time, so that each block is handled once")]
    Live(String),
    /// There are as many dead letters as a subscription has.
    #[error("{0:?} has {LETTERS_MAX} dead letters, which is the most: replay or discard some first")]
    LettersFull(String),
    /// There is no such dead letter.
    #[error("there is no dead letter at position {0}")]
    NoLetter(u64),
    /// More topics were named than a block has.
    #[error("a subscription names at most {max} topics", max = walytis_core::limits::TOPICS_MAX)]
    TooManyTopics,
    /// No block at this position can have been handed out.
    #[error("no block at position {0} was handed out")]
    NotDelivered(u64),
    /// The subscription has ended, or its chain is being deleted.
    #[error("this subscription has ended")]
    Ended,
}
