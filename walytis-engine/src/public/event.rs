//! What applications ask public chains for, and what they get.

use std::fmt;

use super::archive::{ArchiveAnswer, ArchiveCommand, ImportError};
use super::code::CodeError;
use super::delivery::{DeliveryAnswer, DeliveryCommand, DeliveryError};
use super::entry::{ChainEntry, ChainName, ChainPage, KeptChain};
use super::limits::{Limits, LimitsReached};
use super::message::JoinRefusal;
use super::timer::ChainTimer;
use crate::{Progress, Ticket};
use walytis_core::query::{Ancestry, AncestryWalk, Counted, Cursor, Query};
use walytis_core::{Address, AuthorKey, BlockError, BlockId, ChainError, ChainId, FormatVersion};
use walytis_core::{Merit, PeerId, StoreError, VerifiedBlock, chains::Owner};

/// What an application asks for. A chain is named by its local name or its id; by [`KeptChain`], where an answer is gone on
/// with.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainCommand {
    /// Founds a chain. Answered by [`ChainAnswer::Chain`].
    New {
        /// Its local name.
        name: String,
    },
    /// Lists the chains. Answered by [`ChainAnswer::Chains`].
    Chains,
    /// Describes a chain. Answered by [`ChainAnswer::Details`].
    Show {
        /// The chain.
        chain: String,
    },
    /// Stops following a chain, and removes all of its blocks from the store; of one that is [`Standing::Misfiled`] none. A join
    /// of it that is under way ends. Answered by [`ChainAnswer::Deleted`] once
    /// all of them are gone; what an end of the program cuts short goes on at the next start.
    Delete {
        /// The chain.
        chain: String,
    },
    /// Appends a block. Answered by [`ChainAnswer::Posted`] once it is durable.
    Post {
        /// The chain.
        chain: String,
        /// Its topics.
        topics: Vec<Vec<u8>>,
        /// Its content.
        content: Vec<u8>,
    },
    /// Lists the blocks that a query asks for. Answered by [`ChainAnswer::Page`].
    List {
        /// The chain.
        chain: ChainName,
        /// Which blocks, and in which order.
        query: Box<Query>,
        /// Where an earlier page of the same query ended; `None` for the first.
        after: Option<Cursor>,
        /// How many entries at most, up to 256; a page also ends after about 4 MiB of content.
        limit: usize,
    },
    /// Counts the blocks that a query asks for. Answered by [`ChainAnswer::Counted`]: a part of them, if that takes long.
    Count {
        /// The chain.
        chain: ChainName,
        /// Which blocks.
        query: Box<Query>,
        /// Where an earlier part of the same count ended; `None` for the first.
        after: Option<Cursor>,
    },
    /// Asks how two blocks stand to each other. Answered by [`ChainAnswer::Ancestry`]: by how far it got, if that takes long.
    Ancestry {
        /// The chain.
        chain: ChainName,
        /// The two blocks, and how far an earlier step got.
        walk: Box<AncestryWalk>,
    },
    /// Gives what has arrived here, in that order. Answered by [`ChainAnswer::Arrived`].
    Since {
        /// The chain.
        chain: ChainName,
        /// The first position.
        from: u64,
        /// How many blocks are looked at, up to 256; it also ends after about 4 MiB of content.
        limit: usize,
    },
    /// Delivers blocks as they arrive from now on, each after its parents. Answered by [`ChainAnswer::Subscribed`].
    Subscribe {
        /// The chain.
        chain: String,
    },
    /// Ends a subscription. Answered by [`ChainAnswer::Done`].
    Unsubscribe {
        /// The ticket of its [`ChainCommand::Subscribe`].
        subscription: Ticket,
    },
    /// Opens an invitation. Answered by [`ChainAnswer::Invitation`].
    Invite {
        /// The chain.
        chain: String,
        /// How many peers may come in by it; `None` for any number.
        uses: Option<u32>,
        /// Whether those who joined by it admit others by it, too.
        sharing: Sharing,
    },
    /// Lists the invitations by which this node admits. Answered by [`ChainAnswer::Invitations`].
    Invitations {
        /// The chain.
        chain: String,
    },
    /// Ends an invitation: nobody is admitted by it here any more. Answered by [`ChainAnswer::Done`].
    Revoke {
        /// The chain.
        chain: String,
        /// The invitation's number.
        invitation: u32,
    },
    /// Joins a chain. Answered by [`ChainAnswer::Chain`] once all that the inviter had is here.
    Join {
        /// The invitation's code.
        code: String,
        /// The chain's local name; `None` picks one.
        name: Option<String>,
    },
    /// Changes whom and what this node lets in. Answered by [`ChainAnswer::Done`].
    Rule {
        /// The chain.
        chain: String,
        /// The change.
        rule: Rule,
    },
    /// Moves a chain to a newer format: this node's blocks are of it from the next one on, and so are those of all who build
    /// on them. It cannot be taken back. Answered by [`ChainAnswer::Done`].
    Upgrade {
        /// The chain.
        chain: String,
        /// The version; one that is not newer than the present one changes nothing.
        version: FormatVersion,
    },
    /// Something about named subscriptions.
    Delivery(DeliveryCommand),
    /// Something about archives.
    Archive(ArchiveCommand),
}

impl fmt::Debug for ChainCommand {
    /// Shows neither codes nor content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New { name } => write!(f, "New({name:?})"),
            Self::Chains => f.write_str("Chains"),
            Self::Show { chain } => write!(f, "Show({chain:?})"),
            Self::Delete { chain } => write!(f, "Delete({chain:?})"),
            Self::Post { chain, content, .. } => write!(f, "Post({chain:?}, {} bytes)", content.len()),
            Self::List { chain, query, after, limit } => write!(f, "List({chain:?}, {query:?}, {after:?}, {limit})"),
            Self::Count { chain, query, after } => write!(f, "Count({chain:?}, {query:?}, {after:?})"),
            Self::Ancestry { chain, walk } => write!(f, "Ancestry({chain:?}, {:?})", walk.blocks()),
            Self::Since { chain, from, limit } => write!(f, "Since({chain:?}, {from}, {limit})"),
            Self::Subscribe { chain } => write!(f, "Subscribe({chain:?})"),
            Self::Unsubscribe { subscription } => write!(f, "Unsubscribe({subscription:?})"),
            Self::Invite { chain, uses, sharing } => write!(f, "Invite({chain:?}, {uses:?}, {sharing:?})"),
            Self::Invitations { chain } => write!(f, "Invitations({chain:?})"),
            Self::Revoke { chain, invitation } => write!(f, "Revoke({chain:?}, {invitation})"),
            Self::Join { name, .. } => write!(f, "Join({name:?})"),
            Self::Rule { chain, rule } => write!(f, "Rule({chain:?}, {rule:?})"),
            Self::Upgrade { chain, version } => write!(f, "Upgrade({chain:?}, {version})"),
            Self::Delivery(command) => command.fmt(f),
            Self::Archive(_) => f.write_str("Archive"),
        }
    }
}

/// Whether those who joined by an invitation may pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Only the inviter admits by it.
    Inviter,
    /// Each who joined by it admits others by it, too, as often as they ask.
    Joiners,
}

/// A change of whom and what a node lets in on a chain. The last word about a peer or an author counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// Serves and hears whoever knows the chain's id. So it begins.
    ServeAnyone,
    /// Serves and hears only those who were invited or allowed by name.
    ServeInvited,
    /// Neither serves nor hears this peer.
    BlockPeer(PeerId),
    /// Serves and hears this peer, also where only invited ones are.
    AllowPeer(PeerId),
    /// Forgets what was said about this peer.
    ForgetPeer(PeerId),
    /// Takes this author's blocks only if others build on them, and shows none.
    BlockAuthor(AuthorKey),
    /// Takes and shows this author's blocks. Once any author is allowed by name, all others count as blocked.
    AllowAuthor(AuthorKey),
    /// Forgets what was said about this author.
    ForgetAuthor(AuthorKey),
    /// Sets the limits.
    Limits(Limits),
}

/// What public chains want done. A host carries out each of them.
#[derive(Debug)]
pub enum ChainEffect {
    /// Send a frame.
    Send {
        /// To whom.
        peer: PeerId,
        /// The frame, its kind included.
        frame: Vec<u8>,
    },
    /// Send a frame that tells of nothing but what is durable, if of anything: at once, before what is under way is durable,
    /// too, and before what waits for that.
    SendAtOnce {
        /// To whom.
        peer: PeerId,
        /// The frame, its kind included.
        frame: Vec<u8>,
    },
    /// Give the timer back in a step of its own, at once in the same sense.
    Next(ChainTimer),
    /// Dial an address.
    Dial(Address),
    /// Look for addresses of a peer, if the network can.
    Find(PeerId),
    /// Tell the network what a peer has earned, connected or not.
    Merit {
        /// The peer.
        peer: PeerId,
        /// What it has earned.
        merit: Merit,
    },
    /// Give the timer back after so many milliseconds.
    Timer {
        /// How long.
        after_ms: u64,
        /// What to give back.
        timer: ChainTimer,
    },
    /// Answer a command.
    Reply {
        /// Whose.
        ticket: Ticket,
        /// The answer.
        answer: Result<ChainAnswer, PublicError>,
    },
    /// Hand a block to the application that subscribed.
    Delivered {
        /// The ticket of its [`ChainCommand::Subscribe`].
        subscription: Ticket,
        /// The block.
        entry: ChainEntry,
    },
    /// Nothing more is delivered: the chain is being deleted.
    Ended {
        /// The ticket of its [`ChainCommand::Subscribe`].
        subscription: Ticket,
    },
    /// A join goes on.
    Progress {
        /// Whose.
        ticket: Ticket,
        /// How far it is.
        progress: Progress,
    },
    /// These blocks were removed from a private chain: strangers' that had got into it, and what was above those.
    Expelled {
        /// The private chain.
        chain: ChainId,
        /// The blocks, parents first.
        blocks: Vec<VerifiedBlock>,
    },
    /// Say how much room the store's disk has, by [`PublicChains::disk_space`](super::PublicChains::disk_space), if that can
    /// be known.
    AskDiskSpace,
    /// The peer sent what no honest one sends: end its connections, and do not speak to it for a while.
    Misbehaved(PeerId),
    /// The peer goes on about what is nothing here: end its connections. That is no sign of bad faith.
    Disconnect(PeerId),
}

/// How far a chain is from being one that is kept here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is followed.
    Followed,
    /// It is being joined, or a join of it broke off. The same code goes on with what is here.
    Joining,
    /// It is being deleted.
    Leaving,
    /// It is none: its id is a private chain's. Earlier programs let one be joined as the other; deleting it removes this
    /// entry and what strangers wrote, and nothing of the private chain.
    Misfiled,
}

/// How much room a chain has here for what others write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainRoom {
    /// Enough for everybody.
    Free,
    /// More than half of [`Limits::chain_bytes_max`] is taken. The rest is kept for its founder, for authors who have written
    /// there before a quarter was, a share for each, and for those whom a person allows by name; what others write is taken once one of them builds on it.
    HalfFull,
    /// [`Limits::chain_bytes_max`] is taken: nothing by others is taken.
    Full,
    /// All public chains together have as many bytes as they may: only authors allowed by name are taken.
    AllFull,
    /// The disk has less room than is kept free for everything else: only authors allowed by name are taken.
    DiskScarce,
}

/// A chain in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSummary {
    /// The chain.
    pub chain: ChainId,
    /// Its local name.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// How many blocks are here, the genesis included.
    pub blocks: u64,
    /// How many bytes of headers, signatures and contents they have.
    pub bytes: u64,
    /// How many connected peers follow it, too.
    pub peers: u64,
    /// How much room there is for others' blocks.
    pub room: ChainRoom,
}

/// Two blocks by one author with one sequence number: proof that the author forked. Both are kept. By itself that costs
/// the author nothing: a restored disk looks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    /// The author.
    pub author: AuthorKey,
    /// The sequence number that both have.
    pub sequence: u64,
    /// The two blocks: the one that was here first, then the other.
    pub blocks: [BlockId; 2],
}

/// A peer of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPeer {
    /// The peer.
    pub peer: PeerId,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last seen, by this node's clock.
    pub last_seen_ms: u64,
    /// Where it can be dialled.
    pub addresses: Vec<Address>,
}

/// All about a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDetails {
    /// The summary.
    pub summary: ChainSummary,
    /// The key under which this node writes there.
    pub author: AuthorKey,
    /// The heads, ascending; if there are more than 256, those that arrived last.
    pub heads: Vec<BlockId>,
    /// How many heads there are.
    pub head_count: u64,
    /// The format version of this node's next block here: the one that is wished for, or the newest of its
    /// parents'.
    pub next_format: FormatVersion,
    /// The format versions of the heads above, ascending, each once.
    pub head_formats: Vec<FormatVersion>,
    /// The peers that are remembered, the last seen first.
    pub peers: Vec<ChainPeer>,
    /// Whether whoever knows the id is served, or only who was invited.
    pub serves_anyone: bool,
    /// Peers that are neither served nor heard.
    pub blocked_peers: Vec<PeerId>,
    /// Peers that are always served.
    pub allowed_peers: Vec<PeerId>,
    /// Authors whose blocks are not shown.
    pub blocked_authors: Vec<AuthorKey>,
    /// If there are any, the authors whose blocks alone are shown.
    pub allowed_authors: Vec<AuthorKey>,
    /// The limits.
    pub limits: Limits,
    /// Whether the chain has as many bytes as it may have here, so that blocks by others are not taken any more.
    pub full: bool,
    /// How often each limit was reached on any chain since the program started.
    pub limits_reached: LimitsReached,
    /// Blocks that this program refused since it started because they are of a newer format.
    pub newer: u64,
    /// Evidence of forks, at most one an author.
    pub equivocations: Vec<Equivocation>,
}

/// An invitation by which this node admits.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainInvitation {
    /// Its number, by which it is revoked.
    pub number: u32,
    /// How many may still come in by it; `None` for any number.
    pub uses: Option<u32>,
    /// Whether those who joined by it admit others by it.
    pub sharing: Sharing,
    /// Its code, with this node's addresses; `None` while there are none.
    pub code: Option<String>,
}

impl fmt::Debug for ChainInvitation {
    /// Shows no code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainInvitation({}, {:?}, {:?})", self.number, self.uses, self.sharing)
    }
}

/// What a command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainAnswer {
    /// A chain was founded or joined.
    Chain(ChainSummary),
    /// The chains.
    Chains(Vec<ChainSummary>),
    /// All about a chain.
    Details(Box<ChainDetails>),
    /// A chain's blocks are removed.
    Deleted {
        /// How many there were.
        blocks: u64,
    },
    /// A block is durable.
    Posted(BlockId),
    /// A part of a listing.
    Page(ChainPage),
    /// How many blocks of the chain a query asks for, or a part of them.
    Counted(KeptChain, Counted),
    /// How the first block stands to the second; or the walk to go on with on the chain, if that is not known yet.
    Ancestry(Result<Ancestry, (KeptChain, Box<AncestryWalk>)>),
    /// What has arrived.
    Arrived {
        /// The blocks that are shown, in the order of their arrival.
        entries: Vec<ChainEntry>,
        /// The position to go on with: behind what was looked at. At the end of the chain, that of the next block.
        next: u64,
    },
    /// Blocks from this position on will be delivered.
    Subscribed {
        /// The chain.
        chain: KeptChain,
        /// The position.
        from: u64,
    },
    /// An invitation.
    Invitation(ChainInvitation),
    /// The invitations.
    Invitations(Vec<ChainInvitation>),
    /// About named subscriptions.
    Delivery(DeliveryAnswer),
    /// About archives.
    Archive(ArchiveAnswer),
    /// It is done.
    Done,
}

/// Why something about public chains could not be done.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicError {
    /// No chain has this name.
    #[error("there is no chain {0:?} here: `chain list` shows those that are")]
    Unknown(String),
    /// Another chain has this name.
    #[error("a chain is called {0:?} already: choose another name")]
    NameTaken(String),
    /// The text cannot be a name.
    #[error(
        "a chain's name has 1 to 64 characters, none of them a control character or one that nobody sees, no blanks at its \
         ends, and is no id"
    )]
    BadName,
    /// There are as many chains as one node follows.
    #[error("this node follows {max} chains, which is the most: delete one first", max = super::limits::CHAINS_MAX)]
    TooManyChains,
    /// There are as many invitations, or listed peers or authors, as a chain has here.
    #[error("there are {max} of them already, which is the most: remove some first", max = super::limits::LISTED_MAX)]
    ListFull,
    /// An invitation needs addresses, and the node has none.
    #[error("an invitation carries this node's addresses, and it has none yet: run `serve` once, then invite")]
    NoAddresses,
    /// An invitation needs uses.
    #[error("an invitation has at least one use")]
    NoUses,
    /// There is no invitation with this number.
    #[error("there is no invitation {0}: `chain invitations` shows those that are")]
    UnknownInvitation(u32),
    /// The invitation code cannot be read.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The chain has no such block here.
    #[error("this chain has no block {0} here")]
    NoBlock(BlockId),
    /// The chain is followed already.
    #[error("this node follows that chain already; here it is called {0:?}")]
    AlreadyFollowed(String),
    /// The chain is being joined already.
    #[error("this chain is being joined already")]
    AlreadyJoining,
    /// The join has not been finished.
    #[error("the join of this chain broke off: join it again by its code, or delete it")]
    NotJoined,
    /// The chain is being deleted.
    #[error("this chain is being deleted: try again when that is done")]
    Leaving,
    /// A chain of another kind has this id.
    #[error("this is no public chain")]
    NotPublic,
    /// The id is handled here as a private chain's.
    #[error(
        "this is no public chain: {0}. Whoever gave you this code or file may want others to read a private chain: do not \
         use it"
    )]
    OtherKind(Owner),
    /// What came under the id is a private chain.
    #[error(
        "this is no public chain: what its inviter has under this id is a private one, which only its members may read"
    )]
    PrivateGenesis,
    /// An earlier program let a private chain's id be joined as a public one.
    #[error(
        "{0:?} is no public chain: its id is a private one's. Run `walytis chain delete` with this name: it removes this \
         entry and what strangers wrote under the id, and nothing else of the private chain"
    )]
    Misfiled(String),
    /// No inviter could be reached.
    #[error("no inviter answers: ask one to run `serve`, and check that its address can be reached from here")]
    NoInviter,
    /// An inviter said no.
    #[error("not admitted: {0}")]
    Refused(JoinRefusal),
    /// The chain has more bytes than it may here.
    #[error(
        "this chain is larger than the {0} bytes that it may have here: raise its limit with `chain rules`, then join again"
    )]
    Full(u64),
    /// All public chains together have as many bytes as they may.
    #[error("this node's public chains have {0} bytes together, which is the most: delete one first")]
    AllFull(u64),
    /// The disk has little room left.
    #[error(
        "the disk has less than {0} bytes free, which are kept for everything else: make room there, then join again"
    )]
    DiskScarce(u64),
    /// The inviter went away.
    #[error("the inviter went away before everything had arrived: run the same command again")]
    Interrupted,
    /// The block would break a rule.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Reading or writing did not work.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Something about named subscriptions.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// Something about archives.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The store failed earlier, so the node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(String),
    /// The store holds a node's key already.
    #[error("this store holds an identity already")]
    IdentityExists,
    /// The store holds no key.
    #[error("this store holds no identity yet")]
    NoIdentity,
}

impl From<StoreError> for PublicError {
    fn from(error: StoreError) -> Self {
        Self::Chain(ChainError::Store(error))
    }
}

impl PublicError {
    /// Whether the store is the reason: then nothing more can be done with it.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Chain(error) => !error.is_about_block(),
            _ => false,
        }
    }
}
