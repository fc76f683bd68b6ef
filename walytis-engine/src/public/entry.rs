//! Blocks as applications see them.

use std::fmt;

use walytis_core::chains::query::{Cursor, Facts, Query};
use walytis_core::{AuthorKey, BlockId, BlockKind, ChainId};

/// One block as an application sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainEntry {
    /// The block.
    pub id: BlockId,
    /// Its place in a listing.
    pub generation: u64,
    /// Its place in the order of arrival here.
    pub position: u64,
    /// The key under which it was written.
    pub author: AuthorKey,
    /// How many blocks its author wrote before on this chain.
    pub sequence: u64,
    /// Its author's clock, in milliseconds since 1970. Informative.
    pub created_at_ms: u64,
    /// Its topics, in their author's order.
    pub topics: Vec<Vec<u8>>,
    /// Its content.
    pub content: Vec<u8>,
}

impl ChainEntry {
    /// Whether it is one of the blocks that a query asks for.
    #[must_use]
    pub fn fits(&self, query: &Query) -> bool {
        let Self { id, position, author, created_at_ms, .. } = *self;
        let content_bytes = u64::try_from(self.content.len()).unwrap_or(u64::MAX);
        let kind = BlockKind::Content;
        query.wants(&Facts { id, position, kind, author, created_at_ms, content_bytes, topics: &self.topics })
    }
}

impl fmt::Debug for ChainEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainEntry({:?}, {} bytes)", self.id, self.content.len())
    }
}

/// A chain as it is kept here: what goes on step by step names it so. Another chain of the same name is another, and so is
/// the same one once it was deleted and came back, since its blocks may have other positions then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptChain {
    /// The chain.
    pub id: ChainId,
    /// The number that it has here. It is not given again while the program runs.
    pub number: u32,
}

/// Which chain a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainName {
    /// The one that has this local name or id now.
    Text(String),
    /// This one, or none.
    Kept(KeptChain),
}

impl From<&str> for ChainName {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<KeptChain> for ChainName {
    fn from(kept: KeptChain) -> Self {
        Self::Kept(kept)
    }
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPage {
    /// The chain, by which the next page is asked for.
    pub chain: KeptChain,
    /// The entries.
    pub entries: Vec<ChainEntry>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}
