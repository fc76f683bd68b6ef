//! What nodes say to each other about the blocks of a chain. The layer above decides to whom, and seals it.

use std::collections::VecDeque;
use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use walytis_core::codec::AtMost;
use walytis_core::limits::FOREIGN_ANCESTORS_MAX;
use walytis_core::reconcile::{Compare, Differ};
use walytis_core::{BlockId, ChainError, ChainId, FRAME_BYTES_MAX, Pending, RawBlock, chains};

/// The most ids in one message: heads, a sample, or blocks asked for.
pub const IDS_MAX: usize = 256;

/// The most blocks in one message: as many as a frame has room for.
pub const BLOCKS_MAX: usize = FRAME_BYTES_MAX / RawBlock::BYTES_MIN;

/// The most attachments that one message may ask for. Each may have a little more than 1 MiB.
pub const WANTED_MAX: usize = 4;

/// Bytes of blocks after which a portion of an exchange is sent and the next is asked for: large enough that a round
/// trip is small beside it, small enough that a receiver's memory and other traffic do not suffer.
pub const PORTION_BYTES: usize = 256 * 1024;

/// How long a peer may take for a portion before another one is asked, in milliseconds.
pub const PULL_MS: u64 = 10_000;

/// How often a portion is waited for anew while nobody else can be asked: a large block on a slow link takes its time.
pub const WAITS_MAX: u32 = 6;

/// How long changes are gathered before other peers hear of them, in milliseconds.
pub const ANNOUNCE_MS: u64 = 20;

/// The shortest pause between two exchanges of heads in quiet, in milliseconds; the longest is twice as long.
pub const QUIET_MS: u64 = 20_000;

/// The most heads that are told with a comparison: whoever has more tells none.
pub const COMPARED_HEADS_MAX: usize = 8;

/// The highest number of a [`SyncMessage`] that is known.
pub const MESSAGE_MAX: u32 = 8;

/// How many blocks further back than the heads are named when pulling.
pub const SAMPLE: usize = 64;

/// A block on its way, with all that its receiver needs to judge it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireBlock {
    /// The block.
    pub block: RawBlock,
    /// What the layer above sends along: content, or the receiver's wrap of an epoch.
    pub attachment: Option<ByteBuf>,
    /// The blocks of other chains that are ancestors of this one, parents first.
    #[serde(with = "AtMost::<FOREIGN_ANCESTORS_MAX, { RawBlock::BYTES_MIN }>")]
    pub foreign: Vec<RawBlock>,
}

impl fmt::Debug for WireBlock {
    /// Names the block alone: an attachment may be content in the clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireBlock({:?}, {} bytes)", walytis_core::Header::id_of(&self.block.header), self.bytes())
    }
}

impl WireBlock {
    /// Whether nothing stands beside the block.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.attachment.is_none() && self.foreign.is_empty()
    }

    /// About how many bytes of memory it has allocated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let attachment = self.attachment.as_ref().map_or(0, |bytes| bytes.len());
        let foreign = self.foreign.iter().map(|block| block.memory_bytes().saturating_add(size_of::<RawBlock>()));
        foreign.fold(self.block.memory_bytes().saturating_add(attachment), usize::saturating_add)
    }

    /// About how many bytes the block takes in a message.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let raw = |block: &RawBlock| block.header.len() + block.signature.len() + block.content.len() + 16;
        raw(&self.block)
            + self.attachment.as_ref().map_or(0, |bytes| bytes.len())
            + self.foreign.iter().map(raw).sum::<usize>()
    }
}

/// One message about a chain.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncMessage {
    /// These are my heads. Sent on connecting, and when they have changed by what did not come from the receiver.
    Heads {
        /// The chain.
        chain: ChainId,
        /// At most [`IDS_MAX`] heads.
        #[serde(with = "AtMost::<IDS_MAX, 32>")]
        heads: Vec<BlockId>,
    },
    /// Send me what is not below these; answered by `Portion`.
    Pull {
        /// The chain.
        chain: ChainId,
        /// Some blocks that I hold: heads, and others further back. At most [`IDS_MAX`].
        #[serde(with = "AtMost::<IDS_MAX, 32>")]
        have: Vec<BlockId>,
    },
    /// Send me the next portion of the exchange that my last `Pull` began.
    More {
        /// The chain.
        chain: ChainId,
    },
    /// A part of the answer to `Pull`, parents first.
    Portion {
        /// The chain.
        chain: ChainId,
        /// The blocks: at most [`BLOCKS_MAX`].
        #[serde(with = "AtMost::<BLOCKS_MAX, { RawBlock::BYTES_MIN }>")]
        blocks: Vec<WireBlock>,
        /// How many blocks are still to come in this exchange.
        left: u64,
    },
    /// A new block, sent without being asked for.
    Push {
        /// The chain.
        chain: ChainId,
        /// The block.
        block: WireBlock,
    },
    /// Send me the attachments of these blocks; answered by an `Attachment` for each.
    WantAttachments {
        /// The chain.
        chain: ChainId,
        /// At most [`WANTED_MAX`] ids.
        #[serde(with = "AtMost::<WANTED_MAX, 32>")]
        ids: Vec<BlockId>,
    },
    /// The attachment of a block.
    Attachment {
        /// The chain.
        chain: ChainId,
        /// The block.
        id: BlockId,
        /// The attachment; empty if the sender has none to give to the receiver.
        attachment: ByteBuf,
    },
    /// Send me what I lack, or say where to look closer; answered by `Portion` or `Differ`.
    Compare {
        /// The chain.
        chain: ChainId,
        /// All my heads, if they are at most [`COMPARED_HEADS_MAX`]; otherwise none. Who has them all need not compare.
        #[serde(with = "AtMost::<COMPARED_HEADS_MAX, 32>")]
        heads: Vec<BlockId>,
        /// What I have.
        compare: Compare,
    },
    /// Where my set differs from yours.
    Differ {
        /// The chain.
        chain: ChainId,
        /// Where.
        differ: Differ,
    },
}

impl fmt::Debug for SyncMessage {
    /// Says what the message is about: an attachment may be content in the clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, count) = match self {
            Self::Heads { heads, .. } => ("Heads", heads.len()),
            Self::Pull { have, .. } => ("Pull", have.len()),
            Self::More { .. } => ("More", 0),
            Self::Portion { blocks, .. } => ("Portion", blocks.len()),
            Self::Push { .. } => ("Push", 1),
            Self::WantAttachments { ids, .. } => ("WantAttachments", ids.len()),
            Self::Attachment { .. } => ("Attachment", 1),
            Self::Compare { compare, .. } => ("Compare", compare.told.len()),
            Self::Differ { differ, .. } => ("Differ", differ.open.len()),
        };
        write!(f, "{name}({:?}, {count})", self.chain())
    }
}

impl SyncMessage {
    /// The chain that the message is about.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        match self {
            Self::Heads { chain, .. }
            | Self::Pull { chain, .. }
            | Self::More { chain }
            | Self::Portion { chain, .. }
            | Self::Push { chain, .. }
            | Self::WantAttachments { chain, .. }
            | Self::Attachment { chain, .. }
            | Self::Compare { chain, .. }
            | Self::Differ { chain, .. } => *chain,
        }
    }

    /// Whether every list keeps to its bound.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Heads { heads: ids, .. } | Self::Pull { have: ids, .. } => ids.len() <= IDS_MAX,
            Self::WantAttachments { ids, .. } => ids.len() <= WANTED_MAX,
            Self::Compare { heads, compare, .. } => heads.len() <= COMPARED_HEADS_MAX && compare.is_bounded(),
            Self::Differ { differ, .. } => differ.is_bounded(),
            _ => true,
        }
    }
}

/// The heads of a chain as they are told, ascending, and whether some were left out. If one message cannot name them all,
/// it names those that arrived last, which others are the most likely to lack, and those behind a place that is drawn each
/// time: whoever lacks one hears of it sooner or later.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn heads_to_tell(
    view: &Pending,
    rng: &mut dyn CryptoRng,
    chain: ChainId,
) -> Result<(Vec<BlockId>, bool), ChainError> {
    let mut some = chains::latest_heads(view, chain, IDS_MAX.saturating_add(1))?;
    let cut = some.len() > IDS_MAX;
    if cut {
        some.truncate(IDS_MAX / 2);
        let length = chains::length(view, chain)?.max(1);
        for head in chains::heads_from(view, chain, rng.next_u64() % length, IDS_MAX)? {
            if some.len() < IDS_MAX && !some.contains(&head) {
                some.push(head);
            }
        }
    }
    some.sort_unstable();
    Ok((some, cut))
}

/// Ascending positions as ranges (from, included; to, excluded).
#[must_use]
pub fn ranges_of(positions: Vec<u64>) -> VecDeque<(u64, u64)> {
    let mut ranges: VecDeque<(u64, u64)> = VecDeque::new();
    for position in positions {
        match ranges.back_mut() {
            Some((_, to)) if *to == position => *to = position.saturating_add(1),
            _ => ranges.push_back((position, position.saturating_add(1))),
        }
    }
    ranges
}

/// How many positions ranges have.
#[must_use]
pub fn blocks_in(ranges: &VecDeque<(u64, u64)>) -> u64 {
    ranges.iter().fold(0, |sum: u64, (from, to)| sum.saturating_add(to.saturating_sub(*from)))
}
