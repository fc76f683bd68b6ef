//! Chains as they are kept: blocks by position, with what is computed about them when they are inserted.

mod remove;
mod walk;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    AuthorKey, BlockError, BlockId, BlockKind, ChainId, CodecError, KeyRange, ParsedBlock, Pending, RawBlock,
    StoreError, Table, VerifiedBlock, codec, planted,
};

pub use remove::remove;
pub use walk::{choose_parents, difference, foreign_ancestors, in_order, sample};

/// (chain number, position) -> [`BlockRow`].
const BLOCKS: Table = Table::permanent("core.blocks");
/// (chain number, position) -> the content of a block of kind content; other kinds keep it in their row.
const CONTENTS: Table = Table::permanent("core.contents");
/// (chain number, generation, position) -> nothing.
const ORDER: Table = Table::permanent("core.order");
/// Block id -> (chain number, position).
const IDS: Table = Table::hidden("core.ids");
/// Chain number -> [`ChainRow`].
const CHAINS: Table = Table::changing("core.chains");
/// (chain number, author key) -> [`AuthorRow`].
const AUTHORS: Table = Table { name: "core.authors", keys: crate::Keys::Hidden, rows: crate::Rows::Derived };

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
    /// A block was inserted before its ancestors.
    #[error("block {id} lacks ancestors")]
    Orphan {
        /// The block.
        id: BlockId,
    },
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

#[derive(Serialize, Deserialize)]
struct ChainRow {
    id: ChainId,
    length: u64,
    /// Heads and their positions, by id.
    heads: Vec<(BlockId, u64)>,
}

#[derive(Serialize, Deserialize)]
struct AuthorRow {
    id: BlockId,
    sequence: u64,
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

fn row(view: &Pending, location: Location) -> Result<Option<BlockRow>, ChainError> {
    view.get(BLOCKS, &location.key())?.map(|bytes| read(BLOCKS, &bytes)).transpose()
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

/// The heads of a chain, by id: the blocks that no other one names as a parent. Empty if the chain is not kept here.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn heads(view: &Pending, chain: ChainId) -> Result<Vec<BlockId>, ChainError> {
    let row = chain_row(view, chain)?;
    Ok(row.map(|(_, row)| row.heads.into_iter().map(|(id, _)| id).collect()).unwrap_or_default())
}

/// The heads of a chain as [`heads`] gives them, but the one that arrived here last first.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn latest_heads(view: &Pending, chain: ChainId) -> Result<Vec<BlockId>, ChainError> {
    let mut heads = chain_row(view, chain)?.map(|(_, row)| row.heads).unwrap_or_default();
    heads.sort_unstable_by_key(|(_, position)| std::cmp::Reverse(*position));
    Ok(heads.into_iter().map(|(id, _)| id).collect())
}

/// How many blocks of a chain are kept here.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn length(view: &Pending, chain: ChainId) -> Result<u64, ChainError> {
    Ok(chain_row(view, chain)?.map_or(0, |(_, row)| row.length))
}

/// Computes again what was computed when a block was inserted, and compares: its sequence number, its generation, its
/// parents' positions, the heads of operations before it, and that its author's last block is not older.
///
/// # Errors
/// [`ChainError`] says what does not agree.
pub fn recheck(view: &Pending, stored: &StoredBlock) -> Result<(), ChainError> {
    let id = stored.block.id();
    let Some(location) = locate(view, id)? else { return Err(missing_row(id)) };
    let Some(kept) = row(view, location)? else { return Err(missing_row(id)) };
    let wrong = |what| Err(ChainError::Inconsistent { id, what });
    check_sequence(view, &stored.block)?;
    let parents = parent_positions(view, location.chain, &stored.block)?;
    if parents != kept.parents || parents.iter().any(|parent| *parent >= location.position) {
        return wrong("its parents' positions are not those that are kept");
    }
    let mut generation = 0;
    for parent in &parents {
        let parent =
            row(view, Location { chain: location.chain, position: *parent })?.ok_or_else(|| missing_row(id))?;
        generation = generation.max(parent.generation.saturating_add(1));
    }
    if generation != kept.generation {
        return wrong("its generation is not the one that is kept");
    }
    if operations_above(view, location.chain, &parents)? != kept.operations {
        return wrong("the operations before it are not those that are kept");
    }
    let header = stored.block.header();
    match previous(view, stored.block.chain(), header.author)? {
        Some((_, sequence)) if sequence >= header.sequence => Ok(()),
        _ => wrong("its author's last block is older than it"),
    }
}

/// An author's last block on a chain with its sequence number; of a fork, on the longest branch.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn previous(view: &Pending, chain: ChainId, author: AuthorKey) -> Result<Option<(BlockId, u64)>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(None) };
    let Some(bytes) = view.get(AUTHORS, &author_key(number, author))? else { return Ok(None) };
    let row: AuthorRow = read(AUTHORS, &bytes)?;
    Ok(Some((row.id, row.sequence)))
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

/// The parents of a block that are not in the set. A block of a chain that is not kept here lacks its genesis.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn missing_parents(view: &Pending, block: &ParsedBlock) -> Result<Vec<BlockId>, ChainError> {
    let parents = locate_parents(view, block.header())?;
    Ok(parents.into_iter().filter(|(_, location)| location.is_none()).map(|(parent, _)| parent).collect())
}

/// The heads of operations among the ancestors of a block that is not inserted yet: what its validity rests on.
///
/// # Errors
/// [`ChainError::Orphan`] if a parent is not in the set.
pub fn operations_before(view: &Pending, block: &ParsedBlock) -> Result<Vec<BlockId>, ChainError> {
    if block.header().genesis.is_some() {
        return Ok(Vec::new());
    }
    let Some((chain, _)) = chain_row(view, block.chain())? else {
        return Err(ChainError::Orphan { id: block.id() });
    };
    let parents = parent_positions(view, chain, block)?;
    let heads = operations_above(view, chain, &parents)?;
    ids_of(view, chain, &heads)
}

/// The heads of operations in the whole set of a chain.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn operation_heads(view: &Pending, chain: ChainId) -> Result<Vec<BlockId>, ChainError> {
    let Some((number, row)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    let heads: Vec<u64> = row.heads.iter().map(|(_, position)| *position).collect();
    let operations = operations_above(view, number, &heads)?;
    ids_of(view, number, &operations)
}

/// The operations that these operations have as nearest ones among their ancestors.
///
/// # Errors
/// [`ChainError`] if the store fails or the block is not in the set.
pub fn operation_parents(view: &Pending, id: BlockId) -> Result<Vec<BlockId>, ChainError> {
    let location = locate(view, id)?.ok_or(ChainError::Orphan { id })?;
    let row = row(view, location)?.ok_or_else(|| missing_row(id))?;
    ids_of(view, location.chain, &row.operations)
}

fn ids_of(view: &Pending, chain: ChainNumber, positions: &[u64]) -> Result<Vec<BlockId>, ChainError> {
    let mut ids = Vec::with_capacity(positions.len());
    for position in positions {
        let found = row(view, Location { chain, position: *position })?;
        let header = found.map(|row| row.header).ok_or_else(|| missing_row(BlockId([0; 32])))?;
        ids.push(crate::Header::id_of(&header));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// All parents, and where they are kept; `None` for one that is not in the set.
fn locate_parents(view: &Pending, header: &crate::Header) -> Result<Vec<(BlockId, Option<Location>)>, ChainError> {
    let mut parents = Vec::new();
    for parent in header.all_parents() {
        let location = locate(view, parent)?;
        if planted!(TakeOrphan) && location.is_none() && header.previous != Some(parent) {
            continue;
        }
        parents.push((parent, location));
    }
    Ok(parents)
}

fn parent_positions(view: &Pending, chain: ChainNumber, block: &ParsedBlock) -> Result<Vec<u64>, ChainError> {
    let mut positions = Vec::new();
    for (_, location) in locate_parents(view, block.header())? {
        let location = location.ok_or(ChainError::Orphan { id: block.id() })?;
        if location.chain != chain {
            return Err(ChainError::Rule { id: block.id(), rule: "parents are on the block's own chain" });
        }
        positions.push(location.position);
    }
    positions.sort_unstable();
    Ok(positions)
}

/// The heads of operations among blocks and their ancestors.
fn operations_above(view: &Pending, chain: ChainNumber, blocks: &[u64]) -> Result<Vec<u64>, ChainError> {
    let mut candidates = BTreeSet::new();
    for position in blocks {
        let id = BlockId([0; 32]);
        let row = row(view, Location { chain, position: *position })?.ok_or_else(|| missing_row(id))?;
        let kind = crate::Header::decode(&row.header).map_err(ChainError::Stored)?.kind;
        if kind == BlockKind::Operation {
            candidates.insert(*position);
        } else {
            candidates.extend(row.operations);
        }
    }
    if candidates.len() < 2 {
        return Ok(candidates.into_iter().collect());
    }
    // Walk down from all candidates at once, highest position first; whatever is met below another one is no head.
    let lowest = candidates.first().copied().unwrap_or_default();
    let mut below: BTreeSet<u64> = BTreeSet::new();
    let mut open: BTreeSet<u64> = candidates.clone();
    while let Some(position) = open.pop_last() {
        if position < lowest {
            break;
        }
        let id = BlockId([0; 32]);
        let row = row(view, Location { chain, position })?.ok_or_else(|| missing_row(id))?;
        for ancestor in row.operations {
            if below.insert(ancestor) {
                open.insert(ancestor);
            }
        }
    }
    Ok(candidates.difference(&below).copied().collect())
}

/// Adds a verified block whose ancestors are in the set. Adding one that is there already changes nothing.
///
/// Whether its author may write it is not decided here: that is the identities' rule, asked before.
///
/// # Errors
/// [`ChainError::Orphan`] if a parent is missing, [`ChainError::Rule`] if its sequence number or its parents are wrong.
pub fn insert(view: &mut Pending, block: &VerifiedBlock) -> Result<StoredBlock, ChainError> {
    if let Some(known) = self::block(view, block.id())? {
        return Ok(known);
    }
    let header = block.header();
    let (number, mut chain) = if header.genesis.is_some() {
        let last = view.scan(CHAINS, KeyRange::all().descending(), 1)?;
        let last = last.first().and_then(|record| Some(u32::from_be_bytes(record.key.as_slice().try_into().ok()?)));
        let number = ChainNumber(last.map_or(0, |last| last.saturating_add(1)));
        (number, ChainRow { id: block.chain(), length: 0, heads: Vec::new() })
    } else {
        chain_row(view, header.chain)?.ok_or(ChainError::Orphan { id: block.id() })?
    };
    let parents = parent_positions(view, number, block)?;
    check_sequence(view, block)?;
    let operations = operations_above(view, number, &parents)?;
    let mut generation = 0;
    for parent in &parents {
        let found = row(view, Location { chain: number, position: *parent })?.ok_or_else(|| missing_row(block.id()))?;
        let others = if planted!(LastParentsGeneration) { 0 } else { generation };
        generation = others.max(found.generation.saturating_add(1));
    }

    let location = Location { chain: number, position: chain.length };
    let raw = block.raw();
    let inline = header.kind != BlockKind::Content;
    if !inline {
        view.put(CONTENTS, location.key(), raw.content.clone());
    }
    let row = BlockRow {
        generation,
        parents: parents.clone(),
        operations,
        header: raw.header.clone(),
        signature: raw.signature.clone(),
        content: inline.then(|| serde_bytes::ByteBuf::from(raw.content.clone())),
    };
    view.put(BLOCKS, location.key(), codec::encode(&row));
    view.put(IDS, block.id().0, location.key());
    view.put(ORDER, order_key(number, generation, location.position), []);
    chain.heads.retain(|(_, position)| !parents.contains(position) && !planted!(ForgetHead));
    chain.heads.push((block.id(), location.position));
    chain.heads.sort_unstable();
    chain.length = chain.length.saturating_add(1);
    view.put(CHAINS, number.0.to_be_bytes(), codec::encode(&chain));
    let last = previous(view, block.chain(), header.author)?;
    if last.is_none_or(|(_, sequence)| sequence <= header.sequence) {
        let author = AuthorRow { id: block.id(), sequence: header.sequence };
        view.put(AUTHORS, author_key(number, header.author), codec::encode(&author));
    }
    Ok(StoredBlock { block: block.clone(), position: location.position, generation })
}

fn check_sequence(view: &Pending, block: &ParsedBlock) -> Result<(), ChainError> {
    let header = block.header();
    let Some(own) = header.previous else { return Ok(()) };
    let previous = self::block(view, own)?.ok_or(ChainError::Orphan { id: block.id() })?;
    let before = previous.block.header();
    if before.author != header.author {
        return Err(ChainError::Rule { id: block.id(), rule: "the previous block is by the same author" });
    }
    if before.sequence.checked_add(1) != Some(header.sequence) && !planted!(SkipSequence) {
        return Err(ChainError::Rule { id: block.id(), rule: "the sequence number follows the previous block's" });
    }
    Ok(())
}
