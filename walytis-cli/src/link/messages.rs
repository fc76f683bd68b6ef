//! What a command and a node say to each other.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::chain_views::{ChainDetailsView, ChainInvitationView, ChainView, QueryView, RuleView};
use super::delivery_host::{LetterChange, LetterView, SubscriptionView};
use super::peer_views::PeerView;
use super::views::{EntryView, GroupDetailsView, GroupView, IdentityView, ProgressView, StatusView};

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// [`Reply::Identity`].
    Identity,
    /// [`Reply::Checked`].
    Check,
    /// [`Reply::Status`].
    Status,
    /// A [`Reply::Peer`] each.
    Peers,
    /// [`Reply::Group`].
    NewGroup { name: String },
    /// A [`Reply::Group`] each.
    Groups,
    /// [`Reply::GroupDetails`].
    Group { group: String },
    /// [`Reply::Code`].
    Invite { group: String, uses: u32 },
    /// [`Reply::Progress`], then [`Reply::Group`].
    Join { code: String, name: Option<String> },
    /// [`Request::Content`] follows as often as wanted, then [`Request::End`]; a [`Reply::Posted`] for each, in order.
    Post { group: String, topics: Vec<ByteBuf> },
    /// One block of a [`Request::Post`].
    Content(ByteBuf),
    /// The last block was given.
    End,
    /// A [`Reply::Entry`] each. With `follow`, [`Reply::CaughtUp`] and then what arrives, until the command is gone.
    Read { group: String, topic: Option<ByteBuf>, follow: bool },
    /// [`Reply::Chain`].
    NewChain { name: String },
    /// A [`Reply::Chain`] each.
    Chains,
    /// [`Reply::ChainDetails`].
    Chain { chain: String },
    /// [`Reply::Deleted`].
    DeleteChain { chain: String },
    /// [`Reply::ChainInvitation`].
    InviteToChain { chain: String, uses: Option<u32>, shareable: bool },
    /// A [`Reply::ChainInvitation`] each.
    ChainInvitations { chain: String },
    /// [`Reply::Changed`].
    RevokeChainInvitation { chain: String, invitation: u32 },
    /// [`Reply::Changed`].
    RuleChain { chain: String, rules: Vec<RuleView> },
    /// [`Reply::Progress`], then [`Reply::Chain`].
    JoinChain { code: String, name: Option<String> },
    /// As [`Request::Post`], to a public chain.
    PostToChain { chain: String, topics: Vec<ByteBuf> },
    /// As [`Request::Read`], of a public chain: the blocks that a query asks for, or so many of them.
    ReadChain { chain: String, query: QueryView, at_most: Option<u64>, follow: bool },
    /// [`Reply::Counted`].
    CountChain { chain: String, query: QueryView },
    /// [`Reply::Ancestry`]; of the blocks whose ids begin so.
    Ancestry { chain: String, a: String, b: String },
    /// As [`Request::ReadChain`], from where the name is. The node waits for [`Request::Printed`] after each block.
    ReadNamed { chain: String, name: String, topics: Vec<ByteBuf>, follow: bool },
    /// The last block of a [`Request::ReadNamed`] is written.
    Printed,
    /// A [`Reply::Subscription`] each.
    Subscriptions { chain: String },
    /// [`Reply::Changed`].
    ForgetSubscription { chain: String, name: String },
    /// A [`Reply::Letter`] each, as it is after the change; of one block if the beginning of its id is given.
    Letters { chain: String, name: String, change: LetterChange, block: Option<String> },
    /// A [`Reply::Piece`] each; of one block if the beginning of its id is given.
    ExportChain { chain: String, block: Option<String> },
    /// [`Request::Content`] follows with the file's bytes, then [`Request::End`]; [`Reply::Importing`], then
    /// [`Reply::Imported`].
    ImportChain { name: Option<String> },
    /// To the newest format version that the node knows. [`Reply::ChainDetails`], as they are then.
    UpgradeChain { chain: String },
}

/// What the node says to it. The last is [`Reply::Done`] or [`Reply::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Who the home is.
    Identity(IdentityView),
    /// What was verified: chains, blocks, contents, and the first problems.
    Checked { chains: u64, blocks: u64, contents: u64, problems: Vec<String> },
    /// How the node is.
    Status(StatusView),
    /// A peer.
    Peer(PeerView),
    /// A group.
    Group(GroupView),
    /// All about a group.
    GroupDetails(GroupDetailsView),
    /// An invitation's code.
    Code(String),
    /// A public chain.
    Chain(ChainView),
    /// All about a public chain.
    ChainDetails(Box<ChainDetailsView>),
    /// An invitation to a public chain.
    ChainInvitation(ChainInvitationView),
    /// A chain is deleted; so many blocks were removed.
    Deleted { blocks: u64 },
    /// It is done.
    Changed,
    /// How far a join is.
    Progress(ProgressView),
    /// A block is durable.
    Posted(String),
    /// A block.
    Entry(EntryView),
    /// So many blocks are asked for.
    Counted { blocks: u64 },
    /// How one block stands to another: `before`, `after`, `concurrent` or `same`.
    Ancestry { a: String, b: String, ancestry: String },
    /// A name under which a chain is read.
    Subscription(SubscriptionView),
    /// A dead letter.
    Letter(LetterView),
    /// Bytes of an export, and how many blocks are told of how many.
    Piece { bytes: ByteBuf, blocks: u64, of: u64 },
    /// So many blocks of how many are imported.
    Importing { blocks: u64, of: u64 },
    /// An import is done.
    Imported { chain: ChainView, new: u64, known: u64 },
    /// What was here is told; what arrives follows.
    CaughtUp,
    /// All is said.
    Done,
    /// It cannot be done.
    Failed(String),
}
