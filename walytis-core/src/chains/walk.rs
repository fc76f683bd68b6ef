//! Walking a chain: by what another node finds what is missing, what a block rests on, and the order that is the same everywhere.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::{
    ChainError, ChainNumber, Location, ORDER, StoredBlock, block, chain_row, heads, load, missing_row, order_key,
    order_place, row,
};
use crate::limits::{FOREIGN_ANCESTORS_MAX, FOREIGN_BYTES_MAX};
use crate::{BlockId, ChainId, CodecError, Direction, ForeignHead, KeyRange, Pending, RawBlock};

/// Ids by which another node can find what this one lacks: heads, the latest first, then blocks further and further back.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn sample(view: &Pending, chain: ChainId, limit: usize) -> Result<Vec<BlockId>, ChainError> {
    let Some((number, row_of_chain)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    let mut ids = heads::latest_heads(view, chain, limit / 2)?;
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
            if expected < row_of_chain.generations {
                return Err(gap(chain));
            }
            sort(&mut blocks);
            return Ok((blocks, None));
        };
        start = last.key.clone();
        start.push(0);
        for record in &page {
            let Some((generation, position)) = order_place(&record.key) else {
                return Err(ChainError::Record { table: ORDER.name, reason: CodecError::Malformed });
            };
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

            let stored = load(view, Location { chain: number, position })?;
            blocks.push(stored.ok_or_else(|| missing_row(chain.into()))?);
        }
    }
}

pub(super) fn gap(chain: ChainId) -> ChainError {
    ChainError::Inconsistent { id: chain.into(), what: "blocks of its chain are missing in the order" }
}

fn sort(blocks: &mut [StoredBlock]) {
    if !crate::planted!(OrderByArrival) {
        blocks.sort_by_key(|stored| (stored.generation, stored.block.id()));
    }
}
