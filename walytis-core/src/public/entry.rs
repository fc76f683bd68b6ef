//! Blocks as applications see them.

use std::fmt;

use crate::chains::query::{Cursor, Facts, Query};
use crate::{AuthorKey, BlockId, BlockKind};

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

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPage {
    /// The entries.
    pub entries: Vec<ChainEntry>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}
