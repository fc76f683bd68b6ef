//! A group's listing, read page by page.

use walytis_offchain::{Answer, Command, Cursor, Entry};

use crate::error::NodeError;
use crate::listing::Listing;
use crate::node::{Node, mismatch};

/// A listing under way; see [`Node::list`].
#[derive(Debug)]
pub struct Pager {
    node: Node,
    group: String,
    listing: Listing,
    after: Option<Cursor>,
    at_end: bool,
}

impl Pager {
    pub(crate) fn new(node: Node, group: String, listing: Listing) -> Self {
        Self { node, group, listing, after: None, at_end: false }
    }

    /// The next blocks, at least one; `None` at the end. What arrives meanwhile is shown if its place in the order is
    /// still to come.
    ///
    /// # Errors
    /// [`EngineError::UnknownGroup`](crate::EngineError::UnknownGroup), the store's failure or [`NodeError::Closed`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>, NodeError> {
        while !self.at_end {
            let command = Command::List {
                group: self.group.clone(),
                after: self.after,
                below: self.listing.below,
                topic: self.listing.topic.clone(),
            };
            let page = match self.node.ask(command).await? {
                Answer::Page(page) => page,
                other => mismatch(&other),
            };
            self.at_end = page.next.is_none();
            self.after = page.next;
            if !page.entries.is_empty() {
                return Ok(Some(page.entries));
            }
        }
        Ok(None)
    }
}
