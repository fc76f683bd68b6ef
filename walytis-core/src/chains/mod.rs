//! Chains as they are kept: blocks by position, with what is computed about them when they are inserted.

mod difference;
mod expel;
mod format;
mod heads;
mod insert;
mod owner;
mod postings;
pub mod query;
mod recheck;
mod remove;
mod sums;
mod walk;

use serde::{Deserialize, Serialize};

use crate::{
    AuthorKey, BlockError, BlockId, BlockKind, ChainId, CodecError, FormatVersion, Hash, Header, KeyRange, ParsedBlock,
    Pending, RawBlock, StoreError, Table, VerifiedBlock, codec, planted, reconcile::Sum,
};

pub use difference::{Difference, difference};
pub use expel::expel;
pub use format::{FormatFault, format_at, formats};
pub use heads::{
    MERGED_MAX, head_count, heads, heads_from, latest_heads, next_place, operation_heads, operation_parents,
    operations_before,
};
pub use insert::{Inserted, insert, insert_behind};
pub use owner::{ChainKind, Owner, claim, kind, may_be, owner, owner_noted, recheck_owner, release};
pub use recheck::{recheck, recheck_heads};
pub use remove::remove;
pub use sums::ChainIndex;
pub use walk::{foreign_ancestors, in_order, sample};

/// (chain number, position) -> [`BlockRow`].
const BLOCKS: Table = Table::permanent("core.blocks");
/// (chain number, position) -> the content of a block of kind content; other kinds keep it in their row.
const CONTENTS: Table = Table::permanent("core.contents");
/// (chain number, generation, position) -> the block's id.
const ORDER: Table = Table::permanent("core.order");
/// Block id -> (chain number, position).
const IDS: Table = Table::hidden("core.ids");
/// (chain number, position of a head) -> its id.
const HEADS: Table = Table::changing("core.heads");
/// (chain number, position of a head of operations in the whole set) -> its id.
const OPERATION_HEADS: Table = Table::changing("core.operation-heads");
/// Chain number -> [`ChainRow`].
const CHAINS: Table = Table::changing("core.chains");
/// (chain number, level, number of the sum) -> the sum of some generations; see [`sums`].
const SUMS: Table = Table { name: "core.sums", keys: crate::Keys::Ordered, rows: crate::Rows::Derived };
/// (chain number, author key) -> [`AuthorRow`].
const AUTHORS: Table = Table { name: "core.authors", keys: crate::Keys::Hidden, rows: crate::Rows::Derived };

/// (chain number, hash of a topic) -> its [`postings::Postings`].
const TOPICS: Table = Table { name: "core.topics", keys: crate::Keys::Hidden, rows: crate::Rows::Derived };
/// (chain number, hash of author or topic and page number) -> a full page of positions.
const POSTINGS: Table = Table::hidden("core.postings");

/// Why a chain could not be read or added to.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record in the store is not what was written there.
    #[error("the store is damaged: a record of {table} cannot be read: {reason}")]
    Record {
        /// The table.
        table: &'static str,
        /// What is wrong.
        reason: CodecError,
    },
    /// A stored block is not what was written.
    #[error("the store is damaged: {0}")]
    Stored(BlockError),
    /// Two records contradict each other.
    #[error("the store is damaged: {what} (block {id})")]
    Inconsistent {
        /// The block that is concerned.
        id: BlockId,
        /// What is wrong.
        what: &'static str,
    },
    /// A block breaks a rule that needs its ancestors.
    #[error("block {id} breaks the rules: {rule}")]
    Rule {
        /// The block.
        id: BlockId,
        /// The rule.
        rule: &'static str,
    },
    /// A block's format does not fit its parents'.
    #[error("block {id} breaks the rules: {fault}")]
    Format {
        /// The block.
        id: BlockId,
        /// What does not fit.
        fault: FormatFault,
    },
    /// A cursor is of a query in another order.
    #[error("the cursor is of a query in another order")]
    Cursor,
    /// A private chain was to be handled as a public one.
    #[error("chain {chain} is not public: nothing of it is removed")]
    NotPublic {
        /// The chain.
        chain: ChainId,
    },
    /// A block was inserted before its ancestors.
    #[error("block {id} lacks ancestors")]
    Orphan {
        /// The block.
        id: BlockId,
    },
}

impl ChainError {
    /// Whether a block, or a mistaken chain, is the reason, and not our own store: nothing is wrong here then.
    #[must_use]
    pub const fn is_about_block(&self) -> bool {
        matches!(self, Self::Rule { .. } | Self::Format { .. } | Self::Orphan { .. } | Self::NotPublic { .. })
    }
}

/// A chain's number in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ChainNumber(u32);

/// Where a block is kept. Parents have lower positions than their children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Location {
    chain: ChainNumber,
    position: u64,
}

impl Location {
    fn key(self) -> [u8; 12] {
        let mut key = [0; 12];
        let (chain, position) = key.split_at_mut(4);
        chain.copy_from_slice(&self.chain.0.to_be_bytes());
        position.copy_from_slice(&self.position.to_be_bytes());
        key
    }

    fn from_key(key: &[u8]) -> Option<Self> {
        let (chain, position) = key.split_first_chunk::<4>()?;
        Some(Self {
            chain: ChainNumber(u32::from_be_bytes(*chain)),
            position: u64::from_be_bytes(position.try_into().ok()?),
        })
    }
}

fn order_key(chain: ChainNumber, generation: u64, position: u64) -> Vec<u8> {
    [&chain.0.to_be_bytes()[..], &generation.to_be_bytes(), &position.to_be_bytes()].concat()
}

/// The generation and the position in a key of the order.
fn order_place(key: &[u8]) -> Option<(u64, u64)> {
    let (generation, position) = key.get(4..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*generation), u64::from_be_bytes(position.try_into().ok()?)))
}

#[derive(Serialize, Deserialize)]
struct ChainRow {
    id: ChainId,
    /// How many blocks there are.
    length: u64,
    /// How many generations there are: the highest one, and one.
    generations: u64,
    /// How many heads there are.
    heads: u64,
    /// The sums of the highest generations, of each of the [`sums::LEVELS`].
    newest_sums: [Sum; 2],
    /// The number of the newest format version of its blocks.
    format: u8,
}

impl ChainRow {
    /// A chain of which only its length is known.
    fn of(id: ChainId, length: u64) -> Self {
        let format = FormatVersion::V1.number();
        Self { id, length, generations: 0, heads: 0, newest_sums: [Sum::default(); 2], format }
    }

    fn newest_format(&self) -> FormatVersion {
        FormatVersion::from_number(self.format).unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
struct AuthorRow {
    /// The last block on the longest branch.
    id: BlockId,
    /// Its sequence number.
    sequence: u64,
    /// Where all the author's blocks are.
    blocks: postings::Postings,
}

#[derive(Serialize, Deserialize)]
struct BlockRow {
    generation: u64,
    /// Positions of all parents.
    parents: Vec<u64>,
    /// Positions of the heads of operations among the block's ancestors, itself aside.
    operations: Vec<u64>,
    #[serde(with = "serde_bytes")]
    header: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
    content: Option<serde_bytes::ByteBuf>,
    /// The block and all below it in the hash of format version 2, if its id is not that itself; see [`format`].
    digest: Option<Hash>,
}

impl BlockRow {
    /// Whether the block is an operation, which its kind at the header's second byte says.
    fn is_operation(&self) -> bool {
        BlockKind::of_header(&self.header) == Some(BlockKind::Operation)
    }
}

/// A block, and what its ancestors say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// The block.
    pub block: VerifiedBlock,
    /// Its place in the order of arrival on this node, from 0.
    pub position: u64,
    /// One more than its parents' highest; 0 in a genesis. Sorting by (generation, id) puts ancestors first.
    pub generation: u64,
}

fn read<T: Serialize + for<'de> Deserialize<'de>>(table: Table, bytes: &[u8]) -> Result<T, ChainError> {
    codec::decode(bytes).map_err(|reason| ChainError::Record { table: table.name, reason })
}

/// **Invariant:** a row names only positions before its own, so that every walk down ends, whatever the store holds.
fn row(view: &Pending, location: Location) -> Result<Option<BlockRow>, ChainError> {
    let Some(bytes) = view.get(BLOCKS, &location.key())? else { return Ok(None) };
    let row: BlockRow = read(BLOCKS, &bytes)?;
    if row.parents.iter().chain(&row.operations).any(|below| *below >= location.position) {
        return Err(ChainError::Record { table: BLOCKS.name, reason: CodecError::Malformed });
    }
    Ok(Some(row))
}

fn locate(view: &Pending, id: BlockId) -> Result<Option<Location>, ChainError> {
    let Some(bytes) = view.get(IDS, &id.0)? else { return Ok(None) };
    Location::from_key(&bytes).map(Some).ok_or(ChainError::Record { table: IDS.name, reason: CodecError::Malformed })
}

fn chain_row(view: &Pending, chain: ChainId) -> Result<Option<(ChainNumber, ChainRow)>, ChainError> {
    match locate(view, chain.into())? {
        Some(Location { chain: number, position: 0 }) => {
            let Some(bytes) = view.get(CHAINS, &number.0.to_be_bytes())? else {
                return Err(ChainError::Inconsistent { id: chain.into(), what: "its chain has no entry" });
            };
            Ok(Some((number, read(CHAINS, &bytes)?)))
        }
        _ => Ok(None),
    }
}

/// Between these are the keys of a chain's rows in tables by position.
fn ends(chain: ChainNumber) -> ([u8; 12], [u8; 4]) {
    (Location { chain, position: 0 }.key(), chain.0.saturating_add(1).to_be_bytes())
}

fn missing_row(id: BlockId) -> ChainError {
    ChainError::Inconsistent { id, what: "an index names a block that is not there" }
}

/// Whether a block is in the set.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn contains(view: &Pending, id: BlockId) -> Result<bool, ChainError> {
    Ok(locate(view, id)?.is_some())
}

/// Whether a block is in the set of this chain. Whoever asks on behalf of a peer asks so: that a block of another chain is
/// kept here is nobody's to be told.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn contains_on(view: &Pending, chain: ChainId, id: BlockId) -> Result<bool, ChainError> {
    let Some(found) = locate(view, id)? else { return Ok(false) };
    let Some(genesis) = locate(view, chain.into())? else { return Ok(false) };
    Ok(found.chain == genesis.chain)
}

/// Whether a chain is kept here.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn knows_chain(view: &Pending, chain: ChainId) -> Result<bool, ChainError> {
    Ok(chain_row(view, chain)?.is_some())
}

/// Every chain that is kept here, in the order in which they came.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn all_chains(view: &Pending) -> Result<Vec<ChainId>, ChainError> {
    let rows = view.scan(CHAINS, KeyRange::all(), usize::MAX)?;
    rows.iter().map(|record| read::<ChainRow>(CHAINS, &record.value).map(|row| row.id)).collect()
}

/// How many blocks of a chain are kept here.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn length(view: &Pending, chain: ChainId) -> Result<u64, ChainError> {
    Ok(chain_row(view, chain)?.map_or(0, |(_, row)| row.length))
}

/// An author's last block on a chain with its sequence number; of a fork, on the longest branch.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn previous(view: &Pending, chain: ChainId, author: AuthorKey) -> Result<Option<(BlockId, u64)>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(None) };
    Ok(author_row(view, number, author)?.map(|row| (row.id, row.sequence)))
}

/// The position of an author's first block on a chain here.
///
/// # Errors
/// [`ChainError`] if the store fails or a record cannot be read.
pub fn first_of(view: &Pending, chain: ChainId, author: AuthorKey) -> Result<Option<u64>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(None) };
    postings::List::open(view, number, postings::Term::Author(author))?.at(0)
}

fn author_row(view: &Pending, chain: ChainNumber, author: AuthorKey) -> Result<Option<AuthorRow>, ChainError> {
    view.get(AUTHORS, &author_key(chain, author))?.map(|bytes| read(AUTHORS, &bytes)).transpose()
}

fn author_key(chain: ChainNumber, author: AuthorKey) -> Vec<u8> {
    [&chain.0.to_be_bytes()[..], &author.0].concat()
}

/// Reads a block.
///
/// # Errors
/// [`ChainError`] if the store fails or the record is not the block of this id.
pub fn block(view: &Pending, id: BlockId) -> Result<Option<StoredBlock>, ChainError> {
    let Some(location) = locate(view, id)? else { return Ok(None) };
    let stored = load(view, location)?.ok_or_else(|| missing_row(id))?;
    if stored.block.id() != id {
        return Err(ChainError::Inconsistent { id, what: "its record holds another block" });
    }
    Ok(Some(stored))
}

/// Reads a block's header alone.
///
/// # Errors
/// As [`block`].
pub fn header(view: &Pending, id: BlockId) -> Result<Option<Header>, ChainError> {
    let Some(location) = locate(view, id)? else { return Ok(None) };
    let row = row(view, location)?.ok_or_else(|| missing_row(id))?;
    if Header::id_of(&row.header) != id {
        return Err(ChainError::Inconsistent { id, what: "its record holds another block" });
    }
    Header::decode(&row.header).map(Some).map_err(ChainError::Stored)
}

/// Reads the block at a position of a chain, counted from 0 in the order of arrival.
///
/// # Errors
/// [`ChainError`] if the store fails or the record is damaged.
pub fn block_at(view: &Pending, chain: ChainId, position: u64) -> Result<Option<StoredBlock>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(None) };
    load(view, Location { chain: number, position })
}

fn load(view: &Pending, location: Location) -> Result<Option<StoredBlock>, ChainError> {
    let Some(row) = row(view, location)? else { return Ok(None) };
    let content = match row.content {
        Some(content) => content.into_vec(),
        None => view.get(CONTENTS, &location.key())?.unwrap_or_default(),
    };
    let raw = RawBlock { header: row.header, signature: row.signature, content };
    let parsed = ParsedBlock::parse(raw).map_err(ChainError::Stored)?;
    Ok(Some(StoredBlock {
        block: VerifiedBlock::from_store(parsed),
        position: location.position,
        generation: row.generation,
    }))
}

/// The parents of a block that are not in the set of its chain. One that is on another chain counts as missing, as if it were
/// nowhere here: no answer tells whether it is.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn missing_parents(view: &Pending, block: &ParsedBlock) -> Result<Vec<BlockId>, ChainError> {
    Ok(find_parents(view, block)?.missing().collect())
}

/// Where the parents of a block are kept; `None` for one that is not in the set. Positions hold until blocks are removed or
/// a step is taken back.
pub struct FoundParents {
    chain: Option<ChainNumber>,
    all: Vec<(BlockId, Option<Location>)>,
}

impl FoundParents {
    /// Those that are not in the set of the block's chain.
    pub fn missing(&self) -> impl Iterator<Item = BlockId> {
        let is_here = |location: &Location| self.chain == Some(location.chain);
        let missing = self.all.iter().filter(move |(_, location)| !location.as_ref().is_some_and(is_here));
        missing.map(|(parent, _)| *parent)
    }
}

/// Looks for the parents of a block.
///
/// # Errors
/// [`ChainError`] if the store fails or a record cannot be read.
pub fn find_parents(view: &Pending, block: &ParsedBlock) -> Result<FoundParents, ChainError> {
    let header = block.header();
    let mut all = Vec::with_capacity(header.parents.len().saturating_add(1));
    for parent in header.all_parents() {
        let location = locate(view, parent)?;
        if planted!(TakeOrphan) && location.is_none() && header.previous != Some(parent) {
            continue;
        }
        all.push((parent, location));
    }
    let chain = if all.is_empty() { None } else { locate(view, block.chain().into())?.map(|genesis| genesis.chain) };
    Ok(FoundParents { chain, all })
}

/// A parent of a block, as it is kept.
struct Parent {
    id: BlockId,
    position: u64,
    row: BlockRow,
}

/// All parents, by position.
fn parents_of(view: &Pending, chain: ChainNumber, block: &ParsedBlock) -> Result<Vec<Parent>, ChainError> {
    rows_of_parents(view, chain, block.id(), find_parents(view, block)?)
}

/// All parents of a block of this id, by position.
fn rows_of_parents(
    view: &Pending,
    chain: ChainNumber,
    id: BlockId,
    found: FoundParents,
) -> Result<Vec<Parent>, ChainError> {
    let mut parents = Vec::with_capacity(found.all.len());
    for (parent, location) in found.all {
        let location = location.ok_or(ChainError::Orphan { id })?;
        if location.chain != chain {
            return Err(ChainError::Rule { id, rule: "parents are on the block's own chain" });
        }
        let row = row(view, location)?.ok_or_else(|| missing_row(parent))?;
        parents.push(Parent { id: parent, position: location.position, row });
    }
    parents.sort_unstable_by_key(|parent| parent.position);
    Ok(parents)
}
