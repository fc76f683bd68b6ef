//! Walking a chain: what another node lacks, what a block rests on, and the order that is the same everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{
    ChainError, ChainNumber, Location, ORDER, StoredBlock, block, chain_row, load, locate, missing_row, order_key, row,
};
use crate::limits::{FOREIGN_ANCESTORS_MAX, FOREIGN_BYTES_MAX, PARENTS_MAX};
use crate::{AuthorKey, BlockId, ChainId, CodecError, Direction, ForeignHead, KeyRange, Pending, RawBlock};

/// The positions, ascending, of blocks that are neither among `known` nor ancestors of one of them. Ids that are not in
/// the set are passed over. The cost grows with the answer and the blocks above the known ones, not with the chain.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn difference(view: &Pending, chain: ChainId, known: &[BlockId]) -> Result<Vec<u64>, ChainError> {
    let Some((number, row_of_chain)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    // Position -> whether it is known. Positions above their children's never occur, so the highest is always final.
    let mut open: BTreeMap<u64, bool> = row_of_chain.heads.iter().map(|(_, position)| (*position, false)).collect();
    for id in known {
        if let Some(location) = locate(view, *id)?
            && location.chain == number
        {
            open.insert(location.position, true);
        }
    }
    let mut unknown = open.values().filter(|known| !**known).count();
    let mut found = Vec::new();
    while unknown > 0 {
        let Some((position, known)) = open.pop_last() else { break };
        if !known {
            unknown = unknown.saturating_sub(1);
            found.push(position);
        }
        let row = row(view, Location { chain: number, position })?.ok_or_else(|| missing_row(chain.into()))?;
        for parent in row.parents {
            match open.get_mut(&parent) {
                None => {
                    open.insert(parent, known);
                    unknown = unknown.saturating_add(usize::from(!known));
                }
                Some(before) if known && !*before => {
                    *before = true;
                    unknown = unknown.saturating_sub(1);
                }
                Some(_) => {}
            }
        }
    }
    found.reverse();
    Ok(found)
}

/// Ids by which another node can find what this one lacks: the heads, then blocks further and further back.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn sample(view: &Pending, chain: ChainId, limit: usize) -> Result<Vec<BlockId>, ChainError> {
    let Some((number, row_of_chain)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    let mut ids: Vec<BlockId> = row_of_chain.heads.iter().take(limit / 2).map(|(id, _)| *id).collect();
    let mut back = 1_u64;
    while ids.len() < limit {
        let Some(position) = row_of_chain.length.checked_sub(back) else { break };
        let found = row(view, Location { chain: number, position })?.ok_or_else(|| missing_row(chain.into()))?;
        let id = crate::Header::id_of(&found.header);
        if !ids.contains(&id) {
            ids.push(id);
        }
        back = back.saturating_mul(2);
    }
    Ok(ids)
}

/// The parents of a new block: all heads, or, if they are too many, those with the lowest keyed hash, so that authors pick
/// different ones.
#[must_use]
pub fn choose_parents(mut heads: Vec<BlockId>, author: AuthorKey) -> Vec<BlockId> {
    if heads.len() > PARENTS_MAX {
        let salt = blake3::derive_key("walytis v1 choice of parents", &author.0);
        heads.sort_by_key(|head| *blake3::keyed_hash(&salt, &head.0).as_bytes());
        heads.truncate(PARENTS_MAX);
    }
    heads
}

/// The blocks of other chains on which an operation that names these heads rests, parents first: the heads and all their
/// ancestors, on whatever chain. `None` if they are more than [`FOREIGN_ANCESTORS_MAX`] or [`FOREIGN_BYTES_MAX`] allow;
/// blocks that are not in the set are passed over.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn foreign_ancestors(view: &Pending, heads: &[ForeignHead]) -> Result<Option<Vec<RawBlock>>, ChainError> {
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    // Each entry is met twice: first to open what it rests on, then to be written behind that.
    let mut open: Vec<(BlockId, bool)> = heads.iter().map(|head| (head.block, false)).collect();
    let mut opened = BTreeSet::new();
    while let Some((id, ready)) = open.pop() {
        if done.contains(&id) || (!ready && !opened.insert(id)) {
            continue;
        }
        let Some(ancestor) = block(view, id)? else { continue };
        if ready {
            let raw = ancestor.block.raw();
            bytes = bytes
                .saturating_add(raw.header.len())
                .saturating_add(raw.signature.len())
                .saturating_add(raw.content.len());
            done.insert(id);
            found.push(raw.clone());
            if bytes > FOREIGN_BYTES_MAX || found.len() > FOREIGN_ANCESTORS_MAX {
                return Ok(None);
            }
        } else {
            open.push((id, true));
            let header = ancestor.block.header();
            open.extend(header.all_parents().map(|parent| (parent, false)));
            open.extend(header.foreign.iter().map(|head| (head.block, false)));
        }
    }
    Ok(Some(found))
}

/// The blocks of one or more generations in the order that is the same on all nodes with equal sets: by generation, then
/// id. Begins at `from` and ends with the generation in which `limit` is reached; returns the generation to go on with.
///
/// # Errors
/// [`ChainError`] if the store fails, or a whole generation is missing in the order.
pub fn in_order(
    view: &Pending,
    chain: ChainId,
    from: u64,
    limit: usize,
) -> Result<(Vec<StoredBlock>, Option<u64>), ChainError> {
    let Some((number, row_of_chain)) = chain_row(view, chain)? else { return Ok((Vec::new(), None)) };
    let mut top = 0;
    for (id, position) in &row_of_chain.heads {
        let head = row(view, Location { chain: number, position: *position })?.ok_or_else(|| missing_row(*id))?;
        top = top.max(head.generation);
    }
    // Every generation up to the highest has a block: a child's is its highest parent's and one.
    let mut expected = from;
    let mut blocks: Vec<StoredBlock> = Vec::new();
    let mut start = order_key(number, from, 0);
    let end = ChainNumber(number.0.saturating_add(1)).0.to_be_bytes();
    loop {
        let range = KeyRange {
            start: Bound::Included(&start),
            end: Bound::Excluded(&end[..]),
            direction: Direction::Ascending,
        };
        let page = view.scan(ORDER, range, limit.max(1))?;
        let Some(last) = page.last() else {
            if expected <= top {
                return Err(gap(chain));
            }
            sort(&mut blocks);
            return Ok((blocks, None));
        };
        start = last.key.clone();
        start.push(0);
        for record in &page {
            let Some((generation, position)) = record.key.get(4..).and_then(|key| key.split_first_chunk::<8>()) else {
                return Err(ChainError::Record { table: ORDER.name, reason: CodecError::Malformed });
            };
            let generation = u64::from_be_bytes(*generation);
            if generation > expected {
                return Err(gap(chain));
            }
            if generation == expected {
                expected = expected.saturating_add(1);
            }
            let full = blocks.len() >= limit;
            if full && blocks.last().is_some_and(|block| block.generation != generation) {
                sort(&mut blocks);
                return Ok((blocks, Some(generation)));
            }
            let position = position.try_into().map(u64::from_be_bytes);
            let position =
                position.map_err(|_| ChainError::Record { table: ORDER.name, reason: CodecError::Malformed })?;
            let stored = load(view, Location { chain: number, position })?;
            blocks.push(stored.ok_or_else(|| missing_row(chain.into()))?);
        }
    }
}

fn gap(chain: ChainId) -> ChainError {
    ChainError::Inconsistent { id: chain.into(), what: "blocks of its chain are missing in the order" }
}

fn sort(blocks: &mut [StoredBlock]) {
    if !crate::planted!(OrderByArrival) {
        blocks.sort_by_key(|stored| (stored.generation, stored.block.id()));
    }
}
