//! What a command shows of the engine's answers about public chains.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use walytis_core::query::ParsePrefixError;
use walytis_node::{
    AuthorKey, ChainDetails, ChainEntry, ChainInvitation, ChainRoom, ChainSummary, Direction, Limits, Order, PeerId,
    Query, Rule, Sharing, Span, Standing,
};

use super::views::{ContentView, EntryView};

/// A public chain in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChainView {
    pub(crate) name: String,
    pub(crate) id: String,
    /// `followed`, `joining`, `leaving` or `misfiled`.
    pub(crate) standing: String,
    /// The genesis included.
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    /// Connected nodes that follow it, too.
    pub(crate) peers: u64,
    /// How much room there is for others' blocks: `free`, `half-full`, `full`, `all-full` or `disk-scarce`.
    pub(crate) room: String,
}

impl From<ChainSummary> for ChainView {
    fn from(chain: ChainSummary) -> Self {
        let ChainSummary { chain, name, standing, blocks, bytes, peers, room } = chain;
        let standing = match standing {
            Standing::Followed => "followed",
            Standing::Joining => "joining",
            Standing::Leaving => "leaving",
            Standing::Misfiled => "misfiled",
        };
        let room = match room {
            ChainRoom::HalfFull => "half-full",
            ChainRoom::Full => "full",
            ChainRoom::AllFull => "all-full",
            ChainRoom::DiskScarce => "disk-scarce",
            _ => "free",
        };
        Self { name, id: chain.to_string(), standing: standing.to_owned(), blocks, bytes, peers, room: room.to_owned() }
    }
}

/// A peer of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChainPeerView {
    pub(crate) peer: String,
    pub(crate) connected: bool,
    pub(crate) last_seen_ms: u64,
    pub(crate) addresses: Vec<String>,
}

/// Two blocks by one author with one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EquivocationView {
    pub(crate) author: String,
    pub(crate) sequence: u64,
    pub(crate) blocks: Vec<String>,
}

/// The limits of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitsView {
    pub(crate) chain_bytes_max: u64,
    pub(crate) peer_bytes_burst: u64,
    pub(crate) peer_bytes_per_second: u64,
    pub(crate) author_blocks_burst: u64,
    pub(crate) author_blocks_per_second: u64,
}

impl From<Limits> for LimitsView {
    fn from(limits: Limits) -> Self {
        Self {
            chain_bytes_max: limits.chain_bytes_max,
            peer_bytes_burst: limits.peer_bytes_burst,
            peer_bytes_per_second: limits.peer_bytes_per_second,
            author_blocks_burst: limits.author_blocks_burst,
            author_blocks_per_second: limits.author_blocks_per_second,
        }
    }
}

/// All about a public chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChainDetailsView {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) standing: String,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    /// The key under which this node writes there.
    pub(crate) author: String,
    /// At most 256 of them.
    pub(crate) heads: Vec<String>,
    pub(crate) head_count: u64,
    /// The format versions of the heads, ascending.
    pub(crate) head_formats: Vec<u8>,
    /// That of this node's next block, and what its hash is called.
    pub(crate) next_format: u8,
    pub(crate) next_hash: String,
    pub(crate) peers: Vec<ChainPeerView>,
    /// `anyone` or `invited`.
    pub(crate) serves: String,
    pub(crate) blocked_peers: Vec<String>,
    pub(crate) allowed_peers: Vec<String>,
    pub(crate) blocked_authors: Vec<String>,
    pub(crate) allowed_authors: Vec<String>,
    pub(crate) limits: LimitsView,
    /// Whether blocks by others are not taken any more.
    pub(crate) full: bool,
    /// As in [`ChainView`].
    pub(crate) room: String,
    /// Blocks that were refused since the node started, because they are of a newer format.
    pub(crate) newer: u64,
    pub(crate) equivocations: Vec<EquivocationView>,
}

impl From<ChainDetails> for ChainDetailsView {
    fn from(details: ChainDetails) -> Self {
        fn texts<T: ToString>(items: &[T]) -> Vec<String> {
            items.iter().map(ToString::to_string).collect()
        }
        let ChainView { name, id, standing, blocks, bytes, room, .. } = details.summary.into();
        let peers = details.peers.into_iter().map(|peer| ChainPeerView {
            peer: peer.peer.to_string(),
            connected: peer.connected,
            last_seen_ms: peer.last_seen_ms,
            addresses: texts(&peer.addresses),
        });
        let equivocations = details.equivocations.iter().map(|fork| EquivocationView {
            author: fork.author.to_string(),
            sequence: fork.sequence,
            blocks: texts(&fork.blocks),
        });
        Self {
            name,
            id,
            standing,
            blocks,
            bytes,
            author: details.author.to_string(),
            heads: texts(&details.heads),
            head_count: details.head_count,
            head_formats: details.head_formats.iter().map(|version| version.number()).collect(),
            next_format: details.next_format.number(),
            next_hash: details.next_format.hash_name().to_owned(),
            peers: peers.collect(),
            serves: if details.serves_anyone { "anyone" } else { "invited" }.to_owned(),
            blocked_peers: texts(&details.blocked_peers),
            allowed_peers: texts(&details.allowed_peers),
            blocked_authors: texts(&details.blocked_authors),
            allowed_authors: texts(&details.allowed_authors),
            limits: details.limits.into(),
            full: details.full,
            room,
            newer: details.newer,
            equivocations: equivocations.collect(),
        }
    }
}

/// An invitation to a public chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChainInvitationView {
    pub(crate) number: u32,
    /// How many may still come in by it; none for any number.
    pub(crate) uses: Option<u32>,
    /// Whether those who joined by it admit others by it.
    pub(crate) shareable: bool,
    /// None while the node has no address.
    pub(crate) code: Option<String>,
}

impl From<ChainInvitation> for ChainInvitationView {
    fn from(invitation: ChainInvitation) -> Self {
        let ChainInvitation { number, uses, sharing, code } = invitation;
        Self { number, uses, shareable: sharing == Sharing::Joiners, code }
    }
}

/// A change of whom and what a node lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RuleView {
    ServeAnyone,
    ServeInvited,
    BlockPeer([u8; 32]),
    AllowPeer([u8; 32]),
    ForgetPeer([u8; 32]),
    BlockAuthor([u8; 32]),
    AllowAuthor([u8; 32]),
    ForgetAuthor([u8; 32]),
    Limits(LimitsView),
}

impl From<RuleView> for Rule {
    fn from(rule: RuleView) -> Self {
        match rule {
            RuleView::ServeAnyone => Self::ServeAnyone,
            RuleView::ServeInvited => Self::ServeInvited,
            RuleView::BlockPeer(peer) => Self::BlockPeer(PeerId(peer)),
            RuleView::AllowPeer(peer) => Self::AllowPeer(PeerId(peer)),
            RuleView::ForgetPeer(peer) => Self::ForgetPeer(PeerId(peer)),
            RuleView::BlockAuthor(author) => Self::BlockAuthor(AuthorKey(author)),
            RuleView::AllowAuthor(author) => Self::AllowAuthor(AuthorKey(author)),
            RuleView::ForgetAuthor(author) => Self::ForgetAuthor(AuthorKey(author)),
            RuleView::Limits(limits) => Self::Limits(Limits {
                chain_bytes_max: limits.chain_bytes_max,
                peer_bytes_burst: limits.peer_bytes_burst,
                peer_bytes_per_second: limits.peer_bytes_per_second,
                author_blocks_burst: limits.author_blocks_burst,
                author_blocks_per_second: limits.author_blocks_per_second,
            }),
        }
    }
}

/// Which blocks of a public chain are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueryView {
    pub(crate) topics: Vec<ByteBuf>,
    pub(crate) author: Option<[u8; 32]>,
    /// The first and the last millisecond since 1970.
    pub(crate) created_at_ms: (u64, u64),
    /// The fewest and the most.
    pub(crate) content_bytes: (u64, u64),
    /// The beginning of an id.
    pub(crate) id: String,
    /// The first and the last.
    pub(crate) positions: (u64, u64),
    /// In the order of arrival here, instead of the one that is the same everywhere.
    pub(crate) by_arrival: bool,
    /// The last first.
    pub(crate) reverse: bool,
}

impl TryFrom<QueryView> for Query {
    type Error = ParsePrefixError;

    fn try_from(view: QueryView) -> Result<Self, ParsePrefixError> {
        let span = |(from, to)| Span { from, to };
        Ok(Self {
            topics: view.topics.into_iter().map(ByteBuf::into_vec).collect(),
            author: view.author.map(AuthorKey),
            created_at_ms: span(view.created_at_ms),
            content_bytes: span(view.content_bytes),
            id: view.id.parse()?,
            positions: span(view.positions),
            order: if view.by_arrival { Order::Arrival } else { Order::Listing },
            direction: if view.reverse { Direction::Descending } else { Direction::Ascending },
            ..Self::default()
        })
    }
}

impl From<ChainEntry> for EntryView {
    fn from(entry: ChainEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            author: entry.author.to_string(),
            device: String::new(),
            sequence: Some(entry.sequence),
            position: Some(entry.position),
            created_at_ms: entry.created_at_ms,
            content: Some(ContentView {
                topics: entry.topics.into_iter().map(ByteBuf::from).collect(),
                bytes: ByteBuf::from(entry.content),
            }),
        }
    }
}
