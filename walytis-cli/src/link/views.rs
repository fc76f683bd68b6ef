//! What a command shows of the engine's answers: the same over the socket and as JSON.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use walytis_identities::{Did, History, Role};
use walytis_node::{
    ChainId, Entry, GroupDetails, GroupSummary, Identity, MemberDetails, Newer, NewerKind, Progress, Status,
};

use super::chain_views::ChainView;

/// Who the home is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdentityView {
    pub(crate) user: String,
    pub(crate) device: String,
    pub(crate) peer: String,
}

impl From<Identity> for IdentityView {
    fn from(identity: Identity) -> Self {
        Self { user: did(identity.user), device: did(identity.device), peer: identity.peer.to_string() }
    }
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupView {
    pub(crate) name: String,
    pub(crate) did: String,
    /// Private blocks and operations.
    pub(crate) blocks: u64,
    /// Blocks whose content is not here yet.
    pub(crate) missing: u64,
    pub(crate) members: u64,
    /// What came that needs a newer program.
    pub(crate) newer: Vec<NewerView>,
}

/// The kind of what no program reads: its author made it wrong.
const UNREADABLE: &str = "unreadable";

/// What came that this program cannot read, by its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewerView {
    /// What it is.
    pub(crate) kind: String,
    /// Its number; none for all further numbers together.
    pub(crate) number: Option<u32>,
    pub(crate) count: u64,
}

impl From<Newer> for NewerView {
    fn from(newer: Newer) -> Self {
        let kind = match newer.kind {
            NewerKind::Body => "body",
            NewerKind::Overlay => "overlay",
            NewerKind::Attachment => "attachment",
            NewerKind::Block => "block",
            NewerKind::Operation => "operation",
            NewerKind::Message => "message",
            NewerKind::MessageVersion => "message version",
            NewerKind::Frame => "frame",
            NewerKind::Unreadable => UNREADABLE,
            _ => "other",
        };
        Self { kind: kind.to_owned(), number: newer.number, count: newer.count }
    }
}

impl NewerView {
    /// Whether a newer program reads it.
    pub(crate) fn needs_newer(&self) -> bool {
        self.kind != UNREADABLE
    }
}

impl std::fmt::Display for NewerView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, number, count } = self;
        match number {
            _ if !self.needs_newer() => write!(f, "{count}: cannot be read, by whatever program"),
            Some(number) => write!(f, "{count} of {kind} {number}: needs a newer program"),
            None => write!(f, "{count} of other {kind} numbers: needs a newer program"),
        }
    }
}

impl From<GroupSummary> for GroupView {
    fn from(group: GroupSummary) -> Self {
        let GroupSummary { group, name, blocks, missing, members, newer } = group;
        let newer = newer.into_iter().map(NewerView::from).collect();
        Self { name, did: did(group), blocks, missing, members, newer }
    }
}

/// A member and its devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberView {
    pub(crate) did: String,
    pub(crate) role: String,
    pub(crate) devices: Vec<DeviceView>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceView {
    pub(crate) did: String,
    pub(crate) peer: String,
}

impl From<MemberDetails> for MemberView {
    fn from(member: MemberDetails) -> Self {
        let role = match member.role {
            Role::Read => "read",
            Role::Write => "write",
            Role::Manage => "manage",
        };
        let device =
            |(device, peer): (ChainId, walytis_node::PeerId)| DeviceView { did: did(device), peer: peer.to_string() };
        let devices = member.devices.into_iter().map(device).collect();
        Self { did: did(member.identity), role: role.to_owned(), devices }
    }
}

/// All about a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupDetailsView {
    pub(crate) name: String,
    pub(crate) did: String,
    pub(crate) blocks: u64,
    pub(crate) missing: u64,
    /// What newcomers may read.
    pub(crate) history: String,
    /// The block that began the epoch in use; none if the next block begins one.
    pub(crate) epoch: Option<String>,
    pub(crate) heads: Vec<String>,
    pub(crate) members: Vec<MemberView>,
    /// What came that needs a newer program.
    pub(crate) newer: Vec<NewerView>,
}

impl From<GroupDetails> for GroupDetailsView {
    fn from(details: GroupDetails) -> Self {
        let history = match details.history {
            History::All => "all",
            History::SinceJoin => "since joining",
        };
        Self {
            name: details.summary.name,
            did: did(details.summary.group),
            blocks: details.summary.blocks,
            missing: details.summary.missing,
            history: history.to_owned(),
            epoch: details.epoch.map(|epoch| epoch.to_string()),
            heads: details.heads.iter().map(ToString::to_string).collect(),
            members: details.members.into_iter().map(MemberView::from).collect(),
            newer: details.summary.newer.into_iter().map(NewerView::from).collect(),
        }
    }
}

/// How the node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusView {
    /// Whether a node serves the home.
    pub(crate) running: bool,
    pub(crate) addresses: Vec<String>,
    pub(crate) peers: Vec<String>,
    pub(crate) groups: Vec<GroupView>,
    pub(crate) chains: Vec<ChainView>,
    /// What came in this run that needs a newer program, and was passed over.
    pub(crate) newer: Vec<NewerView>,
}

impl StatusView {
    pub(crate) fn new(running: bool, status: Status) -> Self {
        Self {
            running,
            addresses: status.addresses.iter().map(ToString::to_string).collect(),
            peers: status.peers.iter().map(ToString::to_string).collect(),
            groups: status.groups.into_iter().map(GroupView::from).collect(),
            chains: status.chains.into_iter().map(ChainView::from).collect(),
            newer: status.newer.into_iter().map(NewerView::from).collect(),
        }
    }
}

/// How far a join is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProgressView {
    Dialling,
    Asking,
    Receiving { blocks: u64, left: u64 },
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Asking => Self::Asking,
            Progress::Receiving { blocks, left } => Self::Receiving { blocks, left },
            // What later versions tell apart looks like waiting.
            _ => Self::Dialling,
        }
    }
}

impl std::fmt::Display for ProgressView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dialling => f.write_str("dialling the inviter"),
            Self::Asking => f.write_str("asking for admission"),
            Self::Receiving { blocks, left } => write!(f, "receiving: {blocks} blocks are here, {left} to come"),
        }
    }
}

/// A block.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryView {
    pub(crate) id: String,
    pub(crate) author: String,
    /// Empty on a public chain, where an author is a key.
    pub(crate) device: String,
    /// How many blocks its author wrote before; told of public chains.
    pub(crate) sequence: Option<u64>,
    /// Its place in the order of arrival here; told of public chains.
    pub(crate) position: Option<u64>,
    pub(crate) created_at_ms: u64,
    /// `None` while the content is on its way.
    pub(crate) content: Option<ContentView>,
}

/// What a block says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContentView {
    pub(crate) topics: Vec<ByteBuf>,
    pub(crate) bytes: ByteBuf,
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        let content = entry.content.map(|content| ContentView {
            topics: content.topics.into_iter().map(ByteBuf::from).collect(),
            bytes: ByteBuf::from(content.bytes),
        });
        Self {
            id: entry.id.to_string(),
            author: did(entry.author),
            device: did(entry.device),
            sequence: None,
            position: None,
            created_at_ms: entry.created_at_ms,
            content,
        }
    }
}

impl std::fmt::Debug for EntryView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryView").field("id", &self.id).finish_non_exhaustive()
    }
}

fn did(chain: ChainId) -> String {
    Did(chain).to_string()
}
