//! The answer to a query, read page by page.

use walytis_core::query::{Cursor, Query};
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainEntry, ChainName};

use crate::error::NodeError;
use crate::node::{Node, mismatch};

/// How many blocks a page has at most.
const PAGE_BLOCKS: usize = 256;

/// A public chain's blocks, page by page; see [`Node::query_chain`] and [`Node::list_chain`]. A page is what it holds in
/// memory: at most 256 blocks, of about 4 MiB.
#[derive(Debug)]
pub struct ChainPager {
    node: Node,
    /// Before the first page the chain that has the name then, from there on that one.
    chain: ChainName,
    query: Query,
    /// How many blocks are still wanted.
    left: u64,
    after: Option<Cursor>,
    at_end: bool,
}

impl ChainPager {
    pub(crate) const fn new(node: Node, chain: ChainName, query: Query) -> Self {
        Self { node, chain, query, left: u64::MAX, after: None, at_end: false }
    }

    /// The same, ending after so many blocks.
    #[must_use]
    pub const fn at_most(mut self, blocks: u64) -> Self {
        self.left = blocks;
        self
    }

    /// The next blocks, at least one; `None` at the end. What arrives meanwhile is shown if its place in the order is
    /// still to come.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown), also if the chain was deleted since the first page, whatever has
    /// its name now; the store's failure or [`NodeError::Closed`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<ChainEntry>>, NodeError> {
        while !self.at_end && self.left > 0 {
            let command = ChainCommand::List {
                chain: self.chain.clone(),
                query: Box::new(self.query.clone()),
                after: self.after,
                limit: usize::try_from(self.left).unwrap_or(PAGE_BLOCKS).min(PAGE_BLOCKS),
            };
            let page = match self.node.ask_chain(command).await? {
                ChainAnswer::Page(page) => page,
                other => mismatch(&other),
            };
            self.chain = page.chain.into();
            self.at_end = page.next.is_none();
            self.after = page.next;
            if !page.entries.is_empty() {
                self.left = self.left.saturating_sub(u64::try_from(page.entries.len()).unwrap_or(u64::MAX));
                return Ok(Some(page.entries));
            }
        }
        Ok(None)
    }
}
