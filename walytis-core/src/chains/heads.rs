//! Heads: the blocks that no other one names as a parent, and the operations that no other one is behind. Each is a row,
//! so that a new block touches only those that it changes.

use std::collections::BTreeSet;

use super::{
    ChainError, ChainNumber, ChainRow, HEADS, Location, OPERATION_HEADS, Parent, author_row, chain_row, ends, locate,
    missing_row, parents_of, row,
};
use crate::limits::PARENTS_MAX;
use crate::{AuthorKey, BlockId, ChainId, CodecError, KeyRange, ParsedBlock, Pending, Place, Table};

/// How many heads a block names where there are more than [`PARENTS_MAX`]. To merge them takes many blocks either way; with
/// a quarter of what it may name, none of them costs everybody more than twice what a block costs elsewhere.
pub const MERGED_MAX: usize = 8;

/// The heads of a chain, by id: the blocks that no other one names as a parent. Empty if the chain is not kept here.
/// All of them are held in memory: see [`latest_heads`] and [`heads_from`] for some.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn heads(view: &Pending, chain: ChainId) -> Result<Vec<BlockId>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    Ok(sorted(all(view, HEADS, number)?))
}

/// How many heads a chain has.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn head_count(view: &Pending, chain: ChainId) -> Result<u64, ChainError> {
    Ok(chain_row(view, chain)?.map_or(0, |(_, row)| row.heads))
}

/// At most `limit` heads of a chain, the one that arrived here last first.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn latest_heads(view: &Pending, chain: ChainId, limit: usize) -> Result<Vec<BlockId>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    let (start, end) = ends(number);
    let found = rows_of(view, HEADS, KeyRange::between(&start, &end).descending(), limit)?;
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

/// At most `limit` heads of a chain in the order of their positions, from the one at position `from` or behind it; after
/// the last one come those before `from`.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn heads_from(view: &Pending, chain: ChainId, from: u64, limit: usize) -> Result<Vec<BlockId>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    Ok(rows_around(view, number, from, limit)?.into_iter().map(|(_, id)| id).collect())
}

fn rows_around(view: &Pending, chain: ChainNumber, from: u64, limit: usize) -> Result<Vec<(u64, BlockId)>, ChainError> {
    let (start, end) = ends(chain);
    let middle = Location { chain, position: from }.key();
    let mut found = rows_of(view, HEADS, KeyRange::between(&middle, &end), limit)?;
    let left = limit.saturating_sub(found.len());
    found.extend(rows_of(view, HEADS, KeyRange::between(&start, &middle), left)?);
    Ok(found)
}

/// Where an author's next block on a chain stands: behind its own last block, of a fork the one on the longest branch, and
/// behind the heads. If these are more than [`PARENTS_MAX`], it is behind all heads of operations, as far as it may name
/// them, and behind others up to [`MERGED_MAX`] in all, but at least two: from a place on that is drawn by author and length of the chain, so
/// that authors pick different ones. Takes as long for many heads as for some.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn next_place(view: &Pending, chain: ChainId, author: AuthorKey) -> Result<Place, ChainError> {
    let Some((number, row)) = chain_row(view, chain)? else {
        return Ok(Place::After { chain, parents: Vec::new(), previous: None });
    };
    let previous = author_row(view, number, author)?.map(|last| (last.id, last.sequence));
    let parents = next_parents(view, number, &row, author)?;
    Ok(Place::After { chain, parents, previous })
}

fn next_parents(
    view: &Pending,
    number: ChainNumber,
    row: &ChainRow,
    author: AuthorKey,
) -> Result<Vec<BlockId>, ChainError> {
    if row.heads == 1 {
        // The block that came last is a head.
        let last = Location { chain: number, position: row.length.saturating_sub(1) };
        let id = view.get(HEADS, &last.key())?.and_then(|id| id.try_into().ok());
        return id.map(|id| vec![BlockId(id)]).ok_or_else(|| missing_row(row.id.into()));
    }
    let (start, end) = ends(number);
    let range = KeyRange::between(&start, &end);
    let first = rows_of(view, HEADS, range, PARENTS_MAX.saturating_add(1))?;
    if first.len() <= PARENTS_MAX {
        return Ok(sorted(first));
    }
    let mut parents = sorted(all(view, OPERATION_HEADS, number)?);
    let lowest = first.first().map_or(0, |(position, _)| *position);
    let highest = rows_of(view, HEADS, range.descending(), 1)?.first().map_or(0, |(position, _)| *position);
    let salt = blake3::derive_key("walytis v1 choice of parents", &author.0);
    let hash = blake3::keyed_hash(&salt, &row.length.to_be_bytes());
    let drawn = hash.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let span = highest.saturating_sub(lowest).saturating_add(1);
    let from = lowest.saturating_add(drawn.checked_rem(span).unwrap_or_default());
    // Its author's last block need be no head: two more, and there is one head less.
    let room = MERGED_MAX.saturating_sub(parents.len()).max(2);
    let operations = parents.len();
    for (_, head) in rows_around(view, number, from, room.saturating_add(operations))? {
        if parents.len() < operations.saturating_add(room) && !parents.contains(&head) {
            parents.push(head);
        }
    }
    parents.truncate(PARENTS_MAX);
    Ok(parents)
}

/// The heads of operations in the whole set of a chain, by id.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn operation_heads(view: &Pending, chain: ChainId) -> Result<Vec<BlockId>, ChainError> {
    let Some((number, _)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    Ok(sorted(all(view, OPERATION_HEADS, number)?))
}

/// The heads of operations among the ancestors of a block that is not inserted yet, by id: what its validity rests on.
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
    let parents = parents_of(view, chain, block)?;
    let heads = operations_above(view, chain, &parents)?;
    ids_of(view, chain, &heads)
}

/// The operations that these operations have as nearest ones among their ancestors.
///
/// # Errors
/// [`ChainError`] if the store fails or the block is not in the set.
pub fn operation_parents(view: &Pending, id: BlockId) -> Result<Vec<BlockId>, ChainError> {
    let location = locate(view, id)?.ok_or(ChainError::Orphan { id })?;
    let row = row(view, location)?.ok_or_else(|| missing_row(id))?;
    // An index that leads elsewhere could lead in a circle.
    if crate::Header::id_of(&row.header) != id {
        return Err(ChainError::Inconsistent { id, what: "its record holds another block" });
    }
    ids_of(view, location.chain, &row.operations)
}

/// Every row of a table of heads: position and id, by position.
pub(super) fn all(view: &Pending, table: Table, chain: ChainNumber) -> Result<Vec<(u64, BlockId)>, ChainError> {
    let (start, end) = ends(chain);
    rows_of(view, table, KeyRange::between(&start, &end), usize::MAX)
}

/// The positions of at most `limit` heads below a position, the highest first.
pub(super) fn positions_below(
    view: &Pending,
    chain: ChainNumber,
    below: u64,
    limit: usize,
) -> Result<Vec<u64>, ChainError> {
    let (start, _) = ends(chain);
    let end = Location { chain, position: below }.key();
    let found = rows_of(view, HEADS, KeyRange::between(&start, &end).descending(), limit)?;
    Ok(found.into_iter().map(|(position, _)| position).collect())
}

fn rows_of(view: &Pending, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<(u64, BlockId)>, ChainError> {
    let malformed = || ChainError::Record { table: table.name, reason: CodecError::Malformed };
    let rows = view.scan(table, range, limit)?;
    rows.into_iter()
        .map(|record| {
            let location = Location::from_key(&record.key).ok_or_else(malformed)?;
            let id = record.value.try_into().map_err(|_| malformed())?;
            Ok((location.position, BlockId(id)))
        })
        .collect()
}

fn sorted(rows: Vec<(u64, BlockId)>) -> Vec<BlockId> {
    let mut ids: Vec<BlockId> = rows.into_iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids
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

/// The positions, ascending, of the heads of operations among blocks and their ancestors.
pub(super) fn operations_above(view: &Pending, chain: ChainNumber, blocks: &[Parent]) -> Result<Vec<u64>, ChainError> {
    let mut candidates = BTreeSet::new();
    for block in blocks {
        if block.row.is_operation() {
            candidates.insert(block.position);
        } else {
            candidates.extend(&block.row.operations);
        }
    }
    // What one block rests on are heads already: no operation among them is below another one.
    let of_one = |block: &Parent| !block.row.is_operation() && block.row.operations.len() == candidates.len();
    if candidates.len() < 2 || blocks.iter().any(of_one) {
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
