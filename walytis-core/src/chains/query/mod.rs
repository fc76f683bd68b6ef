//! Queries: blocks of a chain by topic, author, time, length, kind, position or the beginning of their id, a page at a
//! time, and how two blocks stand to each other.
//!
//! What is held in memory is a page, however long the chain is. Topics, authors and long enough beginnings of ids are
//! looked up; by anything else the headers between the bounds are read one after the other.

mod ancestry;
mod arrival;
mod filter;
mod listing;
mod prefix;

use serde::{Deserialize, Serialize};

use super::{CONTENTS, ChainError, ChainNumber, ChainRow, Location, StoredBlock, chain_row};
use crate::{AuthorKey, BlockId, ChainId, Direction, Header, ParsedBlock, Pending, RawBlock, VerifiedBlock};

pub use ancestry::{Ancestry, AncestryStep, AncestryWalk, ancestry};
pub use filter::{Facts, Order, Query, Span};
pub use prefix::{IdPrefix, ParsePrefixError};

/// The most headers that one page looks at, when few of them are asked for: a page takes some 10 ms at most, and the next
/// goes on where it ended. A whole generation counts as one where blocks are in listing order.
const LOOKED_AT_MAX: usize = 4096;

/// After so many bytes of content a page ends, so that large blocks do not make it a large one.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A place in the answer to a query, to go on behind. It is of use with the query that it came from, on the same node if
/// its order is that of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(Place);

impl Cursor {
    /// The position behind which it stands, if it is of a query in the order of arrival.
    #[must_use]
    pub const fn position(self) -> Option<u64> {
        match self.0 {
            Place::Arrival(position) => Some(position),
            Place::Listing(..) => None,
        }
    }
}

/// Behind which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    Arrival(u64),
    Listing(u64, BlockId),
}

/// A part of the answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The blocks, in the query's order.
    pub blocks: Vec<StoredBlock>,
    /// Where to go on; `None` at the end of the answer. A page may have fewer blocks than it could, even none, before.
    pub next: Option<Cursor>,
}

/// The blocks of a chain that a query asks for, at most `limit` of them (at least one), behind those of an earlier page.
///
/// What was there when the first page was asked for comes exactly once, whatever is inserted meanwhile. Blocks that are
/// inserted meanwhile come if they stand behind the last page. A chain that is not kept here has no blocks.
///
/// # Errors
/// [`ChainError::Cursor`] if `after` is of a query in another order; otherwise [`ChainError`] if the store fails.
pub fn page(
    view: &Pending,
    chain: ChainId,
    query: &Query,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page, ChainError> {
    let Some((number, row)) = chain_row(view, chain)? else { return Ok(Page::default()) };
    if query.positions.is_empty() {
        return Ok(Page::default());
    }
    let reader = Reader { view, chain, number, row, query };
    let mut page = Collected { limit: limit.max(1), ..Collected::default() };
    match (query.order, after) {
        (Order::Arrival, None) => arrival::collect(&reader, None, &mut page)?,
        (Order::Arrival, Some(Cursor(Place::Arrival(last)))) => arrival::collect(&reader, Some(last), &mut page)?,
        (Order::Listing, None) => listing::collect(&reader, None, &mut page)?,
        (Order::Listing, Some(Cursor(Place::Listing(generation, id)))) => {
            listing::collect(&reader, Some((generation, id)), &mut page)?;
        }
        (Order::Arrival | Order::Listing, Some(_)) => return Err(ChainError::Cursor),
    }
    Ok(Page { blocks: page.blocks, next: page.next.map(Cursor) })
}

/// The last blocks to have arrived, the very last first: at most `limit`, as [`page`] bounds it.
///
/// # Errors
/// As [`page`].
pub fn latest(view: &Pending, chain: ChainId, limit: usize) -> Result<Page, ChainError> {
    let query = Query { direction: Direction::Descending, ..Query::default() };
    page(view, chain, &query, None, limit)
}

/// How many blocks a query asks for. By positions alone, or by one author or topic and positions, the count is kept; any
/// other query takes as long as reading the headers that it looks at.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn count(view: &Pending, chain: ChainId, query: &Query) -> Result<u64, ChainError> {
    let Some((number, row)) = chain_row(view, chain)? else { return Ok(0) };
    let reader = Reader { view, chain, number, row, query };
    if let Some(kept) = arrival::kept_count(&reader)? {
        return Ok(kept);
    }
    Ok(arrival::count(&reader, None, usize::MAX, &|_| true)?.blocks)
}

/// A part of a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many blocks were counted.
    pub blocks: u64,
    /// Where to go on; `None` once all are counted.
    pub next: Option<Cursor>,
}

/// As [`count`], in steps: each looks at 4,096 headers at most, and the next goes on where it ended. With `shown`, only
/// blocks by authors of whom it says so count. The query's order makes no difference.
///
/// # Errors
/// As [`page`].
pub fn count_some(
    view: &Pending,
    chain: ChainId,
    query: &Query,
    after: Option<Cursor>,
    shown: Option<&dyn Fn(&AuthorKey) -> bool>,
) -> Result<Counted, ChainError> {
    let after = match after.map(|cursor| cursor.0) {
        None => None,
        Some(Place::Arrival(position)) => Some(position),
        Some(Place::Listing(..)) => return Err(ChainError::Cursor),
    };
    let Some((number, row)) = chain_row(view, chain)? else { return Ok(Counted::default()) };
    let reader = Reader { view, chain, number, row, query };
    if after.is_none()
        && shown.is_none()
        && let Some(blocks) = arrival::kept_count(&reader)?
    {
        return Ok(Counted { blocks, next: None });
    }
    arrival::count(&reader, after, LOOKED_AT_MAX, shown.unwrap_or(&|_| true))
}

/// What the beginning of an id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No block of the chain.
    None,
    /// One block.
    One(Box<StoredBlock>),
    /// Several, of which these are two.
    Several([BlockId; 2]),
}

/// The block of a chain whose id begins so. From 8 digits on, that is looked up; less takes as long as reading headers
/// until two are found, of the whole chain if there are not two.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn by_prefix(view: &Pending, chain: ChainId, prefix: IdPrefix) -> Result<Found, ChainError> {
    let query = Query { id: prefix, ..Query::default() };
    let mut found: Option<StoredBlock> = None;
    let mut after = None;
    loop {
        let page = page(view, chain, &query, after, 2)?;
        for block in page.blocks {
            match found {
                Some(first) => return Ok(Found::Several([first.block.id(), block.block.id()])),
                None => found = Some(block),
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found.map_or(Found::None, |block| Found::One(Box::new(block)))),
        }
    }
}

/// What a query reads.
struct Reader<'a> {
    view: &'a Pending,
    chain: ChainId,
    number: ChainNumber,
    row: ChainRow,
    query: &'a Query,
}

impl Reader<'_> {
    const fn at(&self, position: u64) -> Location {
        Location { chain: self.number, position }
    }
}

/// A page in the making.
#[derive(Default)]
struct Collected {
    blocks: Vec<StoredBlock>,
    bytes: usize,
    limit: usize,
    next: Option<Place>,
}

impl Collected {
    /// Whether the page takes no more.
    fn is_full(&self) -> bool {
        self.blocks.len() >= self.limit || self.bytes >= PAGE_BYTES
    }

    fn push(&mut self, block: StoredBlock) {
        self.bytes = self.bytes.saturating_add(block.block.content().len());
        self.blocks.push(block);
    }
}

/// A row whose header was read.
struct Candidate {
    position: u64,
    id: BlockId,
    header: Header,
    row: super::BlockRow,
}

impl Candidate {
    /// Reads the header of a row.
    fn read(position: u64, row: super::BlockRow) -> Result<Self, ChainError> {
        let header = Header::decode(&row.header).map_err(ChainError::Stored)?;
        Ok(Self { position, id: Header::id_of(&row.header), header, row })
    }

    /// The bytes of what of it is held.
    fn row_bytes(&self) -> usize {
        self.row.header.len().saturating_add(self.row.content.as_ref().map_or(0, |content| content.len()))
    }

    fn is_wanted(&self, query: &Query) -> bool {
        query.wants(&Facts::of(&self.header, self.id, self.position))
    }

    /// The whole block. `content` is that of a block of content.
    fn stored(self, content: Option<Vec<u8>>) -> Result<StoredBlock, ChainError> {
        let content = match self.row.content {
            Some(content) => content.into_vec(),
            None => content.unwrap_or_default(),
        };
        let raw = RawBlock { header: self.row.header, signature: self.row.signature, content };
        let parsed = ParsedBlock::with_header(raw, self.header, self.id).map_err(ChainError::Stored)?;
        let block = VerifiedBlock::from_store(parsed);
        Ok(StoredBlock { block, position: self.position, generation: self.row.generation })
    }

    /// The whole block, its content read.
    fn load(self, reader: &Reader<'_>) -> Result<StoredBlock, ChainError> {
        let content = match self.row.content {
            Some(_) => None,
            None => reader.view.get(CONTENTS, &reader.at(self.position).key())?,
        };
        self.stored(content)
    }
}
