//! What `check` compares: rows that were computed when a block was inserted, computed again.

use std::collections::BTreeMap;

use super::heads::{all, operations_above};
use super::insert::{check_kind, check_sequence, generation_above};
use super::postings::{List, Term};
use super::sums::Recount;
use super::{
    ChainError, HEADS, Location, OPERATION_HEADS, ORDER, StoredBlock, chain_row, format, length, locate, missing_row,
    order_key, parents_of, previous, row,
};
use crate::{BlockId, ChainId, FormatVersion, Header, Pending};

/// Computes again what was computed when a block was inserted, and compares: its kind, its sequence number, its generation, how its
/// format fits its parents', its parents' positions, the heads of operations before it, and that its author's last block is not older.
///
/// # Errors
/// [`ChainError`] says what does not agree.
pub fn recheck(view: &Pending, stored: &StoredBlock) -> Result<(), ChainError> {
    let id = stored.block.id();
    let Some(location) = locate(view, id)? else { return Err(missing_row(id)) };
    let Some(kept) = row(view, location)? else { return Err(missing_row(id)) };
    let wrong = |what| Err(ChainError::Inconsistent { id, what });
    let parents = parents_of(view, location.chain, &stored.block)?;
    check_kind(&stored.block, &parents)?;
    check_sequence(&stored.block, &parents)?;
    format::check(&stored.block, &parents)?;
    if kept.digest != format::digest(&stored.block, &parents) {
        return wrong("its digest in a newer hash is not the one that is kept");
    }
    let positions: Vec<u64> = parents.iter().map(|parent| parent.position).collect();
    if positions != kept.parents || positions.iter().any(|parent| *parent >= location.position) {
        return wrong("its parents' positions are not those that are kept");
    }
    let generation = generation_above(&parents);
    if generation != kept.generation {
        return wrong("its generation is not the one that is kept");
    }
    if view.get(ORDER, &order_key(location.chain, generation, location.position))?.as_deref() != Some(&id.0[..]) {
        return wrong("the order has another block in its place");
    }
    if operations_above(view, location.chain, &parents)? != kept.operations {
        return wrong("the operations before it are not those that are kept");
    }
    let header = stored.block.header();
    for term in std::iter::once(Term::Author(header.author)).chain(header.topics.iter().map(|topic| Term::Topic(topic)))
    {
        let beside = List::open(view, location.chain, term)?.around(location.position);
        for position in beside.map_err(|what| ChainError::Inconsistent { id, what })?.into_iter().flatten() {
            let found = row(view, Location { position, ..location })?.ok_or_else(|| missing_row(id))?;
            let header = Header::decode(&found.header).map_err(ChainError::Stored)?;
            let is_of = match term {
                Term::Author(author) => header.author == author,
                Term::Topic(topic) => header.topics.iter().any(|other| other == topic),
            };
            if !is_of {
                return wrong("a list of its author's blocks or of one of its topics has another block beside it");
            }
        }
    }
    match previous(view, stored.block.chain(), header.author)? {
        Some((_, sequence)) if sequence >= header.sequence => Ok(()),
        _ => wrong("its author's last block is older than it"),
    }
}

/// Computes the heads of a chain, its heads of operations, its number of generations and its sums again, from the rows of its
/// blocks, and compares. A chain that grows meanwhile is not compared. Holds an id for each head.
///
/// # Errors
/// [`ChainError`] says what does not agree.
pub fn recheck_heads(view: &Pending, chain: ChainId) -> Result<(), ChainError> {
    let Some((number, kept)) = chain_row(view, chain)? else { return Ok(()) };
    let wrong = |what| Err(ChainError::Inconsistent { id: chain.into(), what });
    let mut heads: BTreeMap<u64, BlockId> = BTreeMap::new();
    let mut operations: BTreeMap<u64, BlockId> = BTreeMap::new();
    let mut generations = 0;
    let mut newest = FormatVersion::V1;
    let mut recount = Recount::default();
    for position in 0..kept.length {
        let location = Location { chain: number, position };
        let found = row(view, location)?.ok_or_else(|| missing_row(chain.into()))?;
        let id = crate::Header::id_of(&found.header);
        newest = newest.max(found.version());
        for parent in &found.parents {
            heads.remove(parent);
        }
        heads.insert(position, id);
        if found.is_operation() {
            for before in &found.operations {
                operations.remove(before);
            }
            operations.insert(position, id);
        }
        recount.add(found.generation, id);
        generations = generations.max(found.generation.saturating_add(1));
    }
    let kept_heads = all(view, HEADS, number)?;
    let kept_operations = all(view, OPERATION_HEADS, number)?;
    if length(view, chain)? != kept.length {
        return Ok(());
    }
    if generations != kept.generations {
        return wrong("its number of generations is not the one that its blocks give");
    }
    if newest != kept.newest_format() {
        return wrong("its newest format version is not the one that its blocks give");
    }
    if !recount.agrees(view, number, &kept)? {
        return wrong("the sums of its generations are not those that its blocks give");
    }
    if u64::try_from(heads.len()) != Ok(kept.heads) {
        return wrong("its number of heads is not the one that its blocks give");
    }
    if kept_heads != heads.into_iter().collect::<Vec<_>>() {
        return wrong("its heads are not those that its blocks give");
    }
    if kept_operations != operations.into_iter().collect::<Vec<_>>() {
        return wrong("its heads of operations are not those that its blocks give");
    }
    Ok(())
}
