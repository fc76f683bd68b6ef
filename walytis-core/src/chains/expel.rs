//! Taking back what got into a chain that cannot be on it.

use std::collections::BTreeSet;

use super::insert::insert;
use super::owner::{ChainKind, kind};
use super::remove::remove_any;
use super::{ChainError, Location, chain_row, load, missing_row, row};
use crate::{ChainId, Pending, VerifiedBlock};

/// Removes from a chain the blocks of another kind than its genesis, and whatever is above them, which nobody else takes:
/// earlier programs let strangers' blocks into a private chain that was joined as a public one, and began to remove such
/// a chain. What is left is as if none of that had come, so positions behind the first of these blocks change.
///
/// It is one step, so that no crash leaves half of it. Where there is something to be removed it holds the whole chain, and
/// writes it anew; elsewhere it reads the chain's headers.
///
/// Returns what was removed, parents first.
///
/// # Errors
/// [`ChainError`] if the store fails or a record of the chain is damaged; then nothing must be committed.
pub fn expel(view: &mut Pending, chain: ChainId) -> Result<Vec<VerifiedBlock>, ChainError> {
    let Some((number, kept)) = chain_row(view, chain)? else { return Ok(Vec::new()) };
    let Some(own) = kind(view, chain)? else { return Ok(Vec::new()) };
    let mut strange: BTreeSet<u64> = BTreeSet::new();
    for position in 0..kept.length {
        let found = row(view, Location { chain: number, position })?.ok_or_else(|| missing_row(chain.into()))?;
        let fits = ChainKind::of_header(&found.header) == Some(own);
        if !fits || found.parents.iter().any(|parent| strange.contains(parent)) {
            strange.insert(position);
        }
    }
    // A chain whose removal had begun has no heads: what is left of it is made whole.
    if strange.is_empty() && kept.heads > 0 {
        return Ok(Vec::new());
    }
    let (mut own, mut removed) = (Vec::new(), Vec::new());
    for position in 0..kept.length {
        let stored = load(view, Location { chain: number, position })?.ok_or_else(|| missing_row(chain.into()))?;
        if strange.contains(&position) { &mut removed } else { &mut own }.push(stored.block);
    }
    remove_any(view, chain, usize::MAX)?;
    for block in &own {
        insert(view, block)?;
    }
    Ok(removed)
}
