//! What goes into the engine, and what comes out of it.

use std::fmt;

use walytis_core::chains::Owner;
use walytis_core::{Address, BlockId, ChainError, ChainId, KnownPeer, PeerId, StoreError};
use walytis_engine::Protocol;
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainEntry, ChainSummary, ChainTimer, PublicError};
use walytis_identities::{FoldError, History, InvitationError, Refusal, Role, WriteError};

use crate::content::ContentError;
use crate::message::JoinRefusal;
use crate::newer::Newer;

pub use walytis_engine::{Progress, Target, Ticket};

/// What is this engine's own in what it hears and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offchain {}

impl Protocol for Offchain {
    type Command = Command;
    type Answer = Answer;
    type Error = EngineError;
    type Timer = Timer;
    type Delivery = Delivery;
}

/// What the engine is told.
pub type Event = walytis_engine::Event<Offchain>;

/// What the shell has to do.
pub type Effect = walytis_engine::Effect<Offchain>;

/// What an application asks for. A group is named by its local name or its DID.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Makes a group. Answered by [`Answer::Group`].
    NewGroup {
        /// Its local name.
        name: String,
        /// What newcomers may read.
        history: History,
    },
    /// Lists the groups. Answered by [`Answer::Groups`].
    Groups,
    /// Describes a group. Answered by [`Answer::GroupDetails`].
    Group {
        /// The group.
        group: String,
    },
    /// Opens an invitation. Answered by [`Answer::Invitation`].
    Invite {
        /// The group.
        group: String,
        /// How many may come in by it.
        uses: u32,
    },
    /// Joins a group. Answered by [`Answer::Group`] once all that the inviter had is here; [`walytis_engine::Effect::Progress`] before.
    Join {
        /// The invitation code.
        code: String,
        /// The group's local name; `None` picks one.
        name: Option<String>,
    },
    /// Adds a private block. Answered by [`Answer::Posted`] once it is durable.
    Post {
        /// The group.
        group: String,
        /// Its topics.
        topics: Vec<Vec<u8>>,
        /// Its content.
        content: Vec<u8>,
    },
    /// Lists private blocks in the order that is the same on all nodes with equal sets. Answered by [`Answer::Page`].
    List {
        /// The group.
        group: String,
        /// Behind which entry to begin; `None` for the first.
        after: Option<Cursor>,
        /// Only blocks that arrived before this position; `None` for all.
        below: Option<u64>,
        /// Only blocks with this topic.
        topic: Option<Vec<u8>>,
    },
    /// Lists private blocks in the order of their arrival here. Answered by [`Answer::Page`], whose `next` is `None`.
    Since {
        /// The group.
        group: String,
        /// The first position.
        from: u64,
        /// How many entries at most; a page also ends after about 1 MiB of content.
        limit: usize,
    },
    /// Reads one private block. Answered by [`Answer::Page`], with one entry or none.
    Block {
        /// The group.
        group: String,
        /// The block.
        id: BlockId,
    },
    /// Delivers private blocks as they arrive from now on, each after its parents. Answered by [`Answer::Subscribed`],
    /// then [`walytis_engine::Effect::Delivered`] with the same ticket until [`Command::Unsubscribe`].
    Subscribe {
        /// The group.
        group: String,
    },
    /// Ends a subscription. Answered by [`Answer::Done`].
    Unsubscribe {
        /// The ticket of its [`Command::Subscribe`].
        subscription: Ticket,
    },
    /// Something about public chains. Answered by [`Answer::Chain`].
    Chain(ChainCommand),
    /// Says how the node is. Answered by [`Answer::Status`].
    Status,
    /// Says what is remembered of peers. Answered by [`Answer::Peers`].
    Peers,
    /// Connects to an address now, and again whenever the connection is lost. Answered by [`Answer::Done`].
    Connect {
        /// The address.
        address: Address,
    },
}

impl fmt::Debug for Command {
    /// Shows neither codes nor content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewGroup { name, history } => write!(f, "NewGroup({name:?}, {history:?})"),
            Self::Groups => f.write_str("Groups"),
            Self::Group { group } => write!(f, "Group({group:?})"),
            Self::Invite { group, uses } => write!(f, "Invite({group:?}, {uses})"),
            Self::Join { name, .. } => write!(f, "Join({name:?})"),
            Self::Post { group, content, .. } => write!(f, "Post({group:?}, {} bytes)", content.len()),
            Self::List { group, after, below, .. } => write!(f, "List({group:?}, {after:?}, {below:?})"),
            Self::Since { group, from, limit } => write!(f, "Since({group:?}, {from}, {limit})"),
            Self::Block { group, id } => write!(f, "Block({group:?}, {id})"),
            Self::Subscribe { group } => write!(f, "Subscribe({group:?})"),
            Self::Unsubscribe { subscription } => write!(f, "Unsubscribe({subscription:?})"),
            Self::Chain(command) => write!(f, "Chain({command:?})"),
            Self::Status => f.write_str("Status"),
            Self::Peers => f.write_str("Peers"),
            Self::Connect { address } => write!(f, "Connect({address})"),
        }
    }
}

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// Dial again.
    Redial {
        /// Whom.
        target: Target,
        /// Which attempt, so that one that was overtaken does nothing.
        attempt: u64,
    },
    /// Tell a member of each group the heads, in case that a notice was lost.
    Quiet,
    /// Tell peers which heads are new.
    Announce,
    /// A peer owes a portion of an exchange.
    Pull {
        /// The chain.
        chain: ChainId,
        /// Which exchange, so that a later one is not ended.
        exchange: u64,
    },
    /// An exchange has had its turn: if another peer has news, too, it is asked now.
    PullTurn {
        /// The chain.
        chain: ChainId,
        /// The exchange's first number.
        first: u64,
    },
    /// A join has gone on for long without a sign of life.
    Join {
        /// The group.
        group: ChainId,
        /// Which sign of life was the last when the timer was set.
        seen: u64,
    },
    /// A peer has been connected for a while; by now it should have a session.
    Stranger {
        /// The peer.
        peer: PeerId,
        /// Which connection, so that a later one is not ended.
        connection: u64,
    },
    /// Speak to a peer again that misbehaved.
    Forgive(PeerId),
    /// About public chains.
    Public(ChainTimer),
}

/// One private block as an application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The block.
    pub id: BlockId,
    /// Its place in a listing.
    pub generation: u64,
    /// Its place in the order of arrival here.
    pub position: u64,
    /// The member who wrote it.
    pub author: ChainId,
    /// The member's device.
    pub device: ChainId,
    /// Its author's clock, in milliseconds since 1970. Informative.
    pub created_at_ms: u64,
    /// Topics and content; `None` while the content is on its way.
    pub content: Option<EntryContent>,
}

/// The content of an [`Entry`].
#[derive(Clone, PartialEq, Eq)]
pub struct EntryContent {
    /// The topics, in their author's order.
    pub topics: Vec<Vec<u8>>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for EntryContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryContent").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What a subscription hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// A block, after its parents. Its content may still be on its way.
    Block(Entry),
    /// The content of a block that was delivered without it.
    Content(Entry),
    /// A block of a public chain, after its parents.
    Chain(ChainEntry),
    /// Nothing more comes: the public chain is being deleted.
    ChainEnded,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// The group.
    pub group: ChainId,
    /// Its local name.
    pub name: String,
    /// How many private blocks and operations are here.
    pub blocks: u64,
    /// How many blocks lack their content.
    pub missing: u64,
    /// How many members it has.
    pub members: u64,
    /// What came on its chain that needs a newer program: it is kept and served on, and shown once this program knows it. And
    /// what no program can read ([`crate::NewerKind::Unreadable`]): it is kept and served on, and never shown.
    pub newer: Vec<Newer>,
}

/// A member, as [`GroupDetails`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDetails {
    /// The member's identity.
    pub identity: ChainId,
    /// What it may do.
    pub role: Role,
    /// Its devices: identity, and the key by which the transport knows each.
    pub devices: Vec<(ChainId, PeerId)>,
}

/// All about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDetails {
    /// The summary.
    pub summary: GroupSummary,
    /// The members, seniors first.
    pub members: Vec<MemberDetails>,
    /// The epoch under which this device would seal now; `None` if the next block begins a new one.
    pub epoch: Option<BlockId>,
    /// What newcomers may read.
    pub history: History,
    /// The heads of the chain.
    pub heads: Vec<BlockId>,
}

/// How the node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it accepts connections.
    pub addresses: Vec<Address>,
    /// Peers with whom a session is open.
    pub peers: Vec<PeerId>,
    /// Its groups.
    pub groups: Vec<GroupSummary>,
    /// Its public chains.
    pub chains: Vec<ChainSummary>,
    /// What came in this run that needs a newer program, and was not kept.
    pub newer: Vec<Newer>,
}

/// Somebody whom this node did not admit to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedJoin {
    /// The group.
    pub group: ChainId,
    /// Its local name; empty if there is no such group here.
    pub name: String,
    /// The key by which the transport knows who asked.
    pub peer: PeerId,
    /// What it was told.
    pub reason: JoinRefusal,
    /// What is wrong with the request, if that is the reason and this node found out.
    pub because: Option<String>,
}

/// A place in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The generation of the last entry seen.
    pub generation: u64,
    /// Its id.
    pub id: BlockId,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// What a command is answered with.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A group was made or joined.
    Group(GroupSummary),
    /// The groups.
    Groups(Vec<GroupSummary>),
    /// All about a group.
    GroupDetails(GroupDetails),
    /// The text of an invitation. Whoever has it can join.
    Invitation(String),
    /// A block is durable.
    Posted(BlockId),
    /// A part of a listing.
    Page(Page),
    /// Blocks from this position on will be delivered.
    Subscribed {
        /// The position.
        from: u64,
    },
    /// How the node is.
    Status(Status),
    /// What is remembered of peers.
    Peers(Vec<KnownPeer>),
    /// About public chains.
    Chain(ChainAnswer),
    /// It is done.
    Done,
}

impl fmt::Debug for Answer {
    /// Shows no invitation code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(summary) => write!(f, "Group({summary:?})"),
            Self::Groups(groups) => write!(f, "Groups({groups:?})"),
            Self::GroupDetails(details) => write!(f, "GroupDetails({details:?})"),
            Self::Invitation(_) => f.write_str("Invitation(..)"),
            Self::Posted(id) => write!(f, "Posted({id})"),
            Self::Page(page) => write!(f, "Page({page:?})"),
            Self::Subscribed { from } => write!(f, "Subscribed({from})"),
            Self::Status(status) => write!(f, "Status({status:?})"),
            Self::Peers(peers) => write!(f, "Peers({peers:?})"),
            Self::Chain(answer) => write!(f, "Chain({answer:?})"),
            Self::Done => f.write_str("Done"),
        }
    }
}

/// Why a command could not be carried out.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// No group has this name.
    #[error("there is no group {0:?} here: `group list` shows those that are")]
    UnknownGroup(String),
    /// Another group has this name.
    #[error("a group is called {0:?} already: choose another name")]
    NameTaken(String),
    /// The text cannot be a name.
    #[error(
        "a group's name has 1 to 64 characters, none of them a control character or one that nobody sees, no blanks at its \
         ends, and does not begin with \"did:\""
    )]
    BadName,
    /// This device may not do that.
    #[error("only who manages the group may do that: ask its founder")]
    NotManager,
    /// This device may not write there.
    #[error("this device may not write in the group")]
    NotWriter,
    /// An invitation needs addresses, and the node has none.
    #[error("an invitation carries this node's addresses, and it has none yet: run `serve` once, then invite")]
    NoAddresses,
    /// An invitation needs uses.
    #[error("an invitation has at least one use")]
    NoUses,
    /// The invitation code cannot be read.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// This device's user is a member already.
    #[error("you are a member of that group already; here it is called {0:?}")]
    AlreadyMember(String),
    /// The id is handled here as something else.
    #[error(
        "this is no private group: {0}. A public chain that is only being joined can be deleted (`walytis chain list`); \
         then join again"
    )]
    OtherKind(Owner),
    /// What came under the id is a public chain.
    #[error("this is no private group: what its inviter has under this id is a public chain")]
    PublicGenesis,
    /// The same join is under way.
    #[error("this group is being joined already")]
    AlreadyJoining,
    /// No inviter could be reached.
    #[error("no inviter answers: ask one to run `serve`, and check that its address can be reached from here")]
    NoInviter,
    /// An inviter said no.
    #[error("not admitted: {0}")]
    Refused(JoinRefusal),
    /// The inviter ended the connection when it was asked.
    #[error("the inviter ended the connection: it does not know this invitation, or not any more: ask for a new one")]
    Dropped,
    /// What the only inviter answers is not valid.
    #[error("what the inviter answers is not valid: ask for an invitation by another member, or try again in a minute")]
    BadInviter,
    /// The inviter went away.
    #[error("the inviter went away before everything had arrived: run the same command again")]
    Interrupted,
    /// The content is too large.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Writing did not work.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Reading did not work.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Something about public chains could not be done.
    #[error(transparent)]
    Public(PublicError),
    /// A membership could not be computed.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The store failed earlier, so the node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(String),
    /// The store holds an identity already.
    #[error("this store holds an identity already")]
    IdentityExists,
    /// This store holds no identity.
    #[error("this store holds no identity yet")]
    NoIdentity,
}

impl From<PublicError> for EngineError {
    /// What is the store's is told as such, whoever met it.
    fn from(error: PublicError) -> Self {
        match error {
            PublicError::Chain(error) => Self::Chain(error),
            other => Self::Public(other),
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        Self::Chain(ChainError::Store(error))
    }
}

impl From<walytis_identities::KeyringError> for EngineError {
    fn from(error: walytis_identities::KeyringError) -> Self {
        Self::Write(error.into())
    }
}

impl EngineError {
    /// Whether the store is the reason: then nothing more can be done with it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        let chain = |error: &ChainError| !error.is_about_block();
        match self {
            Self::Public(error) => error.is_fatal(),
            Self::Chain(error) | Self::Fold(FoldError::Chain(error)) => chain(error),
            Self::Write(WriteError::Chain(error) | WriteError::Fold(FoldError::Chain(error))) => chain(error),
            Self::Write(WriteError::Refused(refusal)) => Refusal::is_ours(refusal),
            Self::Write(WriteError::Keyring(error)) => !matches!(error, walytis_identities::KeyringError::Missing(_)),
            _ => false,
        }
    }
}
