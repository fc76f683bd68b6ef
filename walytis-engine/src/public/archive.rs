//! Blocks of a public chain as a file: the bytes, and what an application asks for to write and to read one.
//!
//! `docs/format.md` draws the bytes. What is decoded here is well-formed and no more: whether a block holds is asked where
//! it is taken in.

use super::entry::{ChainName, KeptChain};
use super::event::ChainSummary;
use walytis_core::chains::query::{Cursor, IdPrefix};
use walytis_core::limits::{CONTENT_BYTES_MAX, HEADER_BYTES_MAX};
use walytis_core::{BlockError, BlockId, ChainId, CodecError, FormatFault, HYBRID_SIGNATURE_BYTES, RawBlock, codec};

/// What every archive begins with. A program that takes it for text changes some of it.
pub const ARCHIVE_MAGIC: [u8; 8] = *b"\x89WAL\r\n\x1a\n";
/// The format's version.
pub const ARCHIVE_VERSION: u8 = 1;
/// How long the head of an archive is, in bytes.
pub const ARCHIVE_HEAD_BYTES: usize = 50;
/// The most bytes of one block in an archive, without its length: a block, and lengths of its parts.
pub const ARCHIVE_BLOCK_BYTES_MAX: usize = HEADER_BYTES_MAX + HYBRID_SIGNATURE_BYTES + CONTENT_BYTES_MAX + 16;

const VERSION_AT: usize = ARCHIVE_MAGIC.len();
const LENGTH_BYTES: usize = 4;

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// All that the exporting node had of a chain, from its genesis on.
    Chain,
    /// Single blocks of a chain, whose ancestors are elsewhere.
    Blocks,
}

/// The head of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveHead {
    /// What is in it.
    pub kind: ArchiveKind,
    /// The chain.
    pub chain: ChainId,
    /// How many blocks follow: at least one.
    pub blocks: u64,
}

impl ArchiveHead {
    /// The archive's first bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; ARCHIVE_HEAD_BYTES] {
        let kind = match self.kind {
            ArchiveKind::Chain => 0,
            ArchiveKind::Blocks => 1,
        };
        let mut bytes = [0; ARCHIVE_HEAD_BYTES];
        let parts = [&ARCHIVE_MAGIC[..], &[ARCHIVE_VERSION, kind], &self.chain.0, &self.blocks.to_be_bytes()];
        for (byte, part) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *part;
        }
        bytes
    }

    fn decode(bytes: &[u8; ARCHIVE_HEAD_BYTES]) -> Result<Self, ArchiveError> {
        let rest = bytes.strip_prefix(&ARCHIVE_MAGIC).ok_or(ArchiveError::NoArchive)?;
        let (&[version, kind], rest) = rest.split_first_chunk::<2>().ok_or(ArchiveError::NoArchive)?;
        if version != ARCHIVE_VERSION {
            return Err(ArchiveError::Version { found: version });
        }
        let kind = match kind {
            0 => ArchiveKind::Chain,
            1 => ArchiveKind::Blocks,
            _ => return Err(ArchiveError::NoArchive),
        };
        let (chain, blocks) = rest.split_first_chunk::<32>().ok_or(ArchiveError::NoArchive)?;
        let blocks = u64::from_be_bytes(blocks.try_into().map_err(|_| ArchiveError::NoArchive)?);
        if blocks == 0 {
            return Err(ArchiveError::NoArchive);
        }
        Ok(Self { kind, chain: ChainId(*chain), blocks })
    }
}

/// A block as it stands in an archive.
#[must_use]
pub fn archived(block: &RawBlock) -> Vec<u8> {
    let body = codec::encode(block);
    // No block that is kept is longer than 4 GiB.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// Why a file is no archive, or not a whole one. Blocks are counted from 1.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It does not begin as one.
    #[error("this is no export of a chain, or a program changed it as if it were text")]
    NoArchive,
    /// It is of a newer version.
    #[error("this export has version {found} (this program knows {ARCHIVE_VERSION}): update the program")]
    Version {
        /// The version.
        found: u8,
    },
    /// A block's length or encoding is none.
    #[error("block {block} is damaged: {reason}")]
    Damaged {
        /// Which.
        block: u64,
        /// What is wrong.
        reason: CodecError,
    },
    /// It ends early.
    #[error("the file ends before block {block} of {blocks} is whole")]
    Truncated {
        /// The first block that is missing; 1 if even the head is.
        block: u64,
        /// How many there should be; 0 if the head is missing.
        blocks: u64,
    },
    /// Something follows the last block.
    #[error("bytes follow block {blocks}, which is the last")]
    Trailing {
        /// How many blocks there are.
        blocks: u64,
    },
}

/// What is read from an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archived {
    /// The head, which comes first.
    Head(ArchiveHead),
    /// A block.
    Block(RawBlock),
}

/// Reads an archive piece by piece. It holds the pieces that were pushed and not read: read all there is before pushing
/// the next, and it holds a block and a piece at most. After an error it gives that error again.
#[derive(Debug, Default)]
pub struct ArchiveReader {
    bytes: Vec<u8>,
    /// How many of the bytes are read.
    at: usize,
    head: Option<ArchiveHead>,
    blocks: u64,
    failed: Option<ArchiveError>,
}

impl ArchiveReader {
    /// A reader of an archive from its first byte on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// How many blocks were read.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The next part, if its bytes are here.
    ///
    /// # Errors
    /// [`ArchiveError`]; what was read before is sound.
    pub fn next_part(&mut self) -> Result<Option<Archived>, ArchiveError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let part = match self.head {
            None => self.next_head(),
            Some(head) => self.next_block(head),
        };
        self.failed = part.as_ref().err().cloned();
        part
    }

    /// Nothing more is to come.
    ///
    /// # Errors
    /// [`ArchiveError::Truncated`], or the error that was met.
    pub fn finish(mut self) -> Result<ArchiveHead, ArchiveError> {
        while self.next_part()?.is_some() {}
        match self.head {
            Some(head) if head.blocks == self.blocks => Ok(head),
            head => {
                let blocks = head.map_or(0, |head| head.blocks);
                Err(ArchiveError::Truncated { block: self.blocks.saturating_add(1), blocks })
            }
        }
    }

    fn unread(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn next_head(&mut self) -> Result<Option<Archived>, ArchiveError> {
        let unread = self.unread();
        let seen = unread.len().min(VERSION_AT);
        if unread.get(..seen) != ARCHIVE_MAGIC.get(..seen) {
            return Err(ArchiveError::NoArchive);
        }
        let Some(bytes) = unread.first_chunk() else { return Ok(None) };
        let head = ArchiveHead::decode(bytes)?;
        self.at = self.at.saturating_add(ARCHIVE_HEAD_BYTES);
        self.head = Some(head);
        Ok(Some(Archived::Head(head)))
    }

    fn next_block(&mut self, head: ArchiveHead) -> Result<Option<Archived>, ArchiveError> {
        if self.blocks >= head.blocks {
            let clean = self.unread().is_empty();
            return if clean { Ok(None) } else { Err(ArchiveError::Trailing { blocks: head.blocks }) };
        }
        let block = self.blocks.saturating_add(1);
        let damaged = |reason| ArchiveError::Damaged { block, reason };
        let Some((length, rest)) = self.unread().split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > ARCHIVE_BLOCK_BYTES_MAX {
            return Err(damaged(CodecError::Malformed));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let raw = codec::decode(body).map_err(damaged)?;
        self.at = self.at.saturating_add(LENGTH_BYTES).saturating_add(length);
        self.blocks = block;
        Ok(Some(Archived::Block(raw)))
    }
}

/// What an application asks for to write or read an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveCommand {
    /// Reads blocks as they are kept, each after its parents, the genesis first. Answered by [`ArchiveAnswer::Blocks`].
    Read {
        /// The chain.
        chain: ChainName,
        /// The first position.
        from: u64,
    },
    /// Looks for blocks whose ids begin so. Answered by [`ArchiveAnswer::Found`]: by what a part of the chain has, if the rest
    /// takes long.
    Find {
        /// The chain.
        chain: ChainName,
        /// What the ids begin with.
        id: IdPrefix,
        /// Where an earlier part ended; `None` for the first.
        after: Option<Cursor>,
    },
    /// Takes blocks in, which this node's user asks for: a chain that is not here yet is followed from its genesis on.
    /// They are verified as a peer's are. Answered by [`ArchiveAnswer::Taken`] once those that hold are durable.
    Take {
        /// The chain.
        chain: ChainId,
        /// Its local name, if it is not here yet; `None` picks one.
        name: Option<String>,
        /// The blocks, each after its parents.
        blocks: Vec<RawBlock>,
    },
}

/// What a command about archives is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveAnswer {
    /// Blocks as they are kept.
    Blocks {
        /// The chain, by which more is asked for.
        chain: KeptChain,
        /// The blocks: at least one, if the chain has any from the position on that was asked for.
        blocks: Vec<RawBlock>,
        /// How many blocks the chain has here.
        length: u64,
    },
    /// Blocks that were looked for.
    Found {
        /// The chain, by which the search is gone on with.
        chain: KeptChain,
        /// The blocks, as they are kept: at most two.
        blocks: Vec<RawBlock>,
        /// Where to go on; `None` at the end.
        next: Option<Cursor>,
    },
    /// Blocks were taken in.
    Taken {
        /// The chain, if it is followed now.
        chain: Option<ChainSummary>,
        /// How many of the blocks are new.
        new: u64,
        /// How many were here already.
        known: u64,
        /// Why the block behind these was not taken, and none behind it was looked at.
        refused: Option<ImportError>,
    },
}

/// Why a block of an archive was not taken in, or none could be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// It does not hold by itself.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// It is of another chain than the archive says, or is none that a public chain has.
    #[error("block {id} is no block of this public chain")]
    Foreign {
        /// The block.
        id: BlockId,
    },
    /// Its parents are not here.
    #[error("the parents of block {id} are not here: import the whole chain, or join it, first")]
    Parents {
        /// The block.
        id: BlockId,
    },
    /// It breaks a rule that needs its ancestors.
    #[error("block {id} breaks the rules: {rule}")]
    Rule {
        /// The block.
        id: BlockId,
        /// The rule.
        rule: &'static str,
    },
    /// Its format does not fit its parents'.
    #[error("block {id} breaks the rules: {fault}")]
    Format {
        /// The block.
        id: BlockId,
        /// What does not fit.
        fault: FormatFault,
    },
    /// The chain has as many bytes as its limit lets it have.
    #[error("the chain is full: `chain rules --chain-bytes-max` lets it have more")]
    Full,
    /// No block's id begins so.
    #[error("no block of this chain begins with {0}")]
    NotFound(IdPrefix),
    /// Several blocks' ids do.
    #[error("several blocks of this chain begin with {0}: give more digits")]
    Several(IdPrefix),
}
