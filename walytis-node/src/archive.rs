//! Public chains as files: exports piece by piece, and imports of them.

use walytis_core::RawBlock;
use walytis_core::query::IdPrefix;
use walytis_engine::public::{
    ArchiveAnswer, ArchiveCommand, ArchiveHead, ArchiveKind, ArchiveReader, Archived, ChainAnswer, ChainCommand,
    ChainName, ChainSummary, ImportError, KeptChain, PublicError, archived,
};

use crate::error::NodeError;
use crate::machine::engine_error;
use crate::node::{Node, mismatch};

/// A step of an import ends once it has this many blocks, or this many bytes: one commit.
const STEP_BLOCKS: usize = 256;
const STEP_BYTES: usize = 1024 * 1024;

/// Exports and imports of public chains. A file says everything that is needed to verify it, and needs no network; the
/// bytes are those of `docs/format.md`.
impl Node {
    /// Begins to export all blocks that are here now of a chain, or one block, whose id begins so.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown), [`ImportError::NotFound`](crate::ImportError::NotFound) or
    /// [`ImportError::Several`](crate::ImportError::Several).
    pub async fn export_chain(&self, chain: &str, block: Option<IdPrefix>) -> Result<ChainExport, NodeError> {
        let (kind, blocks, (chain, first)) = match block {
            None => {
                let read = ArchiveCommand::Read { chain: chain.into(), from: 0 };
                let (chain, first, length) = self.ask_blocks(read).await?;
                (ArchiveKind::Chain, length, (chain, first))
            }
            Some(id) => (ArchiveKind::Blocks, 1, self.look_for(chain, id).await?),
        };
        let head = ArchiveHead { kind, chain: chain.id, blocks };
        Ok(ChainExport { node: self.clone(), chain, head, first: Some(first), written: 0 })
    }

    /// The one block of a chain whose id begins so, looked for in steps, between which the node does other things.
    async fn look_for(&self, chain: &str, id: IdPrefix) -> Result<(KeptChain, Vec<RawBlock>), NodeError> {
        let (mut chain, mut found, mut after) = (ChainName::from(chain), Vec::new(), None);
        loop {
            let find = ArchiveCommand::Find { chain, id, after };
            let (kept, blocks, next) = match self.ask_chain(ChainCommand::Archive(find)).await? {
                ChainAnswer::Archive(ArchiveAnswer::Found { chain, blocks, next }) => (chain, blocks, next),
                other => mismatch(&other),
            };
            found.extend(blocks);
            let failure = match (found.len(), next) {
                (0 | 1, Some(_)) => {
                    (chain, after) = (kept.into(), next);
                    continue;
                }
                (1, None) => return Ok((kept, found)),
                (0, None) => ImportError::NotFound(id),
                _ => ImportError::Several(id),
            };
            return Err(engine_error(PublicError::from(failure)).into());
        }
    }

    /// Begins to import what [`Node::export_chain`] gave. A chain that is not here is followed, under this name or one
    /// that is free; one that is here keeps its name. Everything is verified as if a peer had sent it. The limits of peers
    /// and authors in a time do not count, that of the chain's bytes does. A blocked author's blocks are taken, and not
    /// shown.
    #[must_use]
    pub fn import_chain(&self, name: Option<&str>) -> ChainImport {
        ChainImport {
            node: self.clone(),
            name: name.map(ToOwned::to_owned),
            reader: ArchiveReader::new(),
            head: None,
            step: Vec::new(),
            step_bytes: 0,
            chain: None,
            new: 0,
            known: 0,
        }
    }

    async fn ask_blocks(&self, command: ArchiveCommand) -> Result<(KeptChain, Vec<RawBlock>, u64), NodeError> {
        match self.ask_chain(ChainCommand::Archive(command)).await? {
            ChainAnswer::Archive(ArchiveAnswer::Blocks { chain, blocks, length }) => Ok((chain, blocks, length)),
            other => mismatch(&other),
        }
    }
}

/// An export under way; see [`Node::export_chain`].
#[derive(Debug)]
pub struct ChainExport {
    node: Node,
    chain: KeptChain,
    head: ArchiveHead,
    /// The first blocks, until they are given.
    first: Option<Vec<RawBlock>>,
    written: u64,
}

impl ChainExport {
    /// What the file holds.
    #[must_use]
    pub const fn head(&self) -> &ArchiveHead {
        &self.head
    }

    /// How many blocks the pieces that were given hold.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// The file's next bytes, some mebibytes at most; `None` at its end.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown) if the chain was deleted meanwhile, also if it has come back: its
    /// blocks may be in another order then. Or the store's failure, as when one of its blocks cannot be read.
    pub async fn next_piece(&mut self) -> Result<Option<Vec<u8>>, NodeError> {
        let (mut piece, blocks) = match self.first.take() {
            Some(first) => (self.head.encode().to_vec(), first),
            None if self.written >= self.head.blocks => return Ok(None),
            None => {
                let command = ArchiveCommand::Read { chain: self.chain.into(), from: self.written };
                let (_, blocks, _) = self.node.ask_blocks(command).await?;
                if blocks.is_empty() {
                    // The chain only grows.
                    return Err(NodeError::BrokenOff);
                }
                (Vec::new(), blocks)
            }
        };
        // What has arrived since the export began is not part of it.
        for block in &blocks {
            if self.written < self.head.blocks {
                piece.extend(archived(block));
                self.written = self.written.saturating_add(1);
            }
        }
        Ok(Some(piece))
    }
}

/// What an import has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The chain.
    pub chain: ChainSummary,
    /// How many blocks are new.
    pub new: u64,
    /// How many were here already.
    pub known: u64,
}

/// An import under way; see [`Node::import_chain`]. What it has taken stays, however it ends: the same file goes on there,
/// and passes quickly over what is here.
#[derive(Debug)]
pub struct ChainImport {
    node: Node,
    name: Option<String>,
    reader: ArchiveReader,
    head: Option<ArchiveHead>,
    step: Vec<RawBlock>,
    step_bytes: usize,
    chain: Option<ChainSummary>,
    new: u64,
    known: u64,
}

impl ChainImport {
    /// What the file says that it holds, once that was read.
    #[must_use]
    pub const fn head(&self) -> Option<&ArchiveHead> {
        self.head.as_ref()
    }

    /// How many blocks of the file are here, and durable.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.new.saturating_add(self.known)
    }

    /// Takes the file's next bytes, as many as is convenient. It holds these, one block and a step of 256 blocks or
    /// about a mebibyte.
    ///
    /// # Errors
    /// [`NodeError::Archive`] if the file is damaged, [`NodeError::NotTaken`] if a block does not hold; the blocks before
    /// are kept. Or the chain cannot be followed: [`PublicError::NameTaken`](crate::PublicError::NameTaken) and others.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), NodeError> {
        self.reader.push(bytes);
        loop {
            match self.reader.next_part() {
                Ok(None) => return Ok(()),
                Ok(Some(Archived::Head(head))) => self.head = Some(head),
                Ok(Some(Archived::Block(block))) => {
                    let bytes = block.header.len().saturating_add(block.content.len());
                    self.step_bytes = self.step_bytes.saturating_add(bytes);
                    self.step.push(block);
                    if self.step.len() >= STEP_BLOCKS || self.step_bytes >= STEP_BYTES {
                        self.take().await?;
                    }
                }
                Err(error) => {
                    self.take().await?;
                    return Err(error.into());
                }
            }
        }
    }

    /// The file has ended. Afterwards [`ChainImport::taken`] counts all that is here, whatever this returns.
    ///
    /// # Errors
    /// [`ArchiveError::Truncated`](crate::ArchiveError::Truncated) if it is not whole; otherwise as
    /// [`ChainImport::write`].
    pub async fn finish(&mut self) -> Result<Imported, NodeError> {
        self.take().await?;
        std::mem::take(&mut self.reader).finish()?;
        match self.chain.take() {
            Some(chain) => Ok(Imported { chain, new: self.new, known: self.known }),
            // A whole archive has a block, which is here now.
            None => Err(NodeError::BrokenOff),
        }
    }

    /// Has the blocks that wait taken in.
    async fn take(&mut self) -> Result<(), NodeError> {
        let Some(head) = self.head.filter(|_| !self.step.is_empty()) else { return Ok(()) };
        let blocks = std::mem::take(&mut self.step);
        self.step_bytes = 0;
        let command = ArchiveCommand::Take { chain: head.chain, name: self.name.clone(), blocks };
        match self.node.ask_chain(ChainCommand::Archive(command)).await? {
            ChainAnswer::Archive(ArchiveAnswer::Taken { chain, new, known, refused }) => {
                self.chain = chain.or(self.chain.take());
                self.new = self.new.saturating_add(new);
                self.known = self.known.saturating_add(known);
                match refused {
                    None => Ok(()),
                    Some(reason) => Err(NodeError::NotTaken { block: self.taken().saturating_add(1), reason }),
                }
            }
            other => mismatch(&other),
        }
    }
}
