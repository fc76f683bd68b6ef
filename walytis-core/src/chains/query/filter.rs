//! What a query asks for.

use super::IdPrefix;
use crate::{AuthorKey, BlockId, BlockKind, Direction, Header};

/// A range of numbers, both ends included. The default is all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lowest.
    pub from: u64,
    /// The highest.
    pub to: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self { from: 0, to: u64::MAX }
    }
}

impl Span {
    /// Whether no number lies in the range.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.from > self.to
    }

    /// Whether a number lies in the range.
    #[must_use]
    pub const fn contains(self, number: u64) -> bool {
        self.from <= number && number <= self.to
    }
}

/// In which order a query's blocks come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By position: in which they arrived here, parents first. The quickest, and the only one that topics and authors are
    /// looked up for.
    #[default]
    Arrival,
    /// By generation, then id: the same on all nodes with equal sets. A page reads the generations that it is of, whole.
    Listing,
}

/// Which blocks, and in which order. The default is every block of the chain in the order of arrival; each filter takes
/// away, and all of them hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Blocks that have one of these topics at least, if there are any here. Topics of private blocks are sealed and not
    /// found so.
    pub topics: Vec<Vec<u8>>,
    /// Blocks of this author.
    pub author: Option<AuthorKey>,
    /// Blocks of these kinds, if there are any here.
    pub kinds: Vec<BlockKind>,
    /// By their authors' clocks: milliseconds since 1970.
    pub created_at_ms: Span,
    /// Bytes of their content.
    pub content_bytes: Span,
    /// Blocks whose ids begin so.
    pub id: IdPrefix,
    /// By position: from 0, in the order of arrival on this node.
    pub positions: Span,
    /// The order.
    pub order: Order,
    /// Which way it is walked.
    pub direction: Direction,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            author: None,
            kinds: Vec::new(),
            created_at_ms: Span::default(),
            content_bytes: Span::default(),
            id: IdPrefix::default(),
            positions: Span::default(),
            order: Order::default(),
            direction: Direction::Ascending,
        }
    }
}

/// What a query looks at of a block.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its id.
    pub id: BlockId,
    /// Its place in the order of arrival here.
    pub position: u64,
    /// Its kind.
    pub kind: BlockKind,
    /// Its author.
    pub author: AuthorKey,
    /// Its author's clock, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Bytes of its content.
    pub content_bytes: u64,
    /// Its topics.
    pub topics: &'a [Vec<u8>],
}

impl<'a> Facts<'a> {
    pub(super) fn of(header: &'a Header, id: BlockId, position: u64) -> Self {
        let &Header { kind, author, created_at_ms, content_bytes, ref topics, .. } = header;
        Self { id, position, kind, author, created_at_ms, content_bytes, topics }
    }
}

impl Query {
    /// Whether a block is one of those that are asked for.
    #[must_use]
    pub fn wants(&self, block: &Facts<'_>) -> bool {
        self.positions.contains(block.position)
            && self.author.is_none_or(|author| author == block.author)
            && (self.kinds.is_empty() || self.kinds.contains(&block.kind))
            && self.created_at_ms.contains(block.created_at_ms)
            && self.content_bytes.contains(block.content_bytes)
            && self.id.begins(block.id)
            && (self.topics.is_empty() || block.topics.iter().any(|topic| self.topics.contains(topic)))
    }

    /// Whether every block between the positions that has one of the topics and the author is asked for.
    pub(super) fn needs_no_header(&self) -> bool {
        let rest = Self { topics: Vec::new(), author: None, positions: Span::default(), ..self.clone() };
        rest == Self { order: self.order, direction: self.direction, ..Self::default() }
            && (self.topics.is_empty() || self.author.is_none())
    }
}
