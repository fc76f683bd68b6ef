//! How two blocks stand to each other.

use std::collections::BTreeSet;

use super::super::{ChainError, Location, locate, missing_row, row};
use crate::{BlockId, Pending};

/// How one block stands to another of its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ancestry {
    /// They are one block.
    Same,
    /// It is an ancestor of the other.
    Before,
    /// The other is an ancestor of it.
    After,
    /// Neither knew of the other.
    Concurrent,
}

/// How `a` stands to `b`; `None` if one of them is not in the set, or they are on different chains.
///
/// Blocks of one generation are concurrent. Otherwise the blocks between the two are read, at most all that arrived
/// between them; what is held is one number for each branch there.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn ancestry(view: &Pending, a: BlockId, b: BlockId) -> Result<Option<Ancestry>, ChainError> {
    let (Some(of_a), Some(of_b)) = (locate(view, a)?, locate(view, b)?) else { return Ok(None) };
    if of_a.chain != of_b.chain {
        return Ok(None);
    }
    if of_a == of_b {
        return Ok(Some(Ancestry::Same));
    }
    // Ancestors arrive first.
    let (low, high, answer) = if of_a < of_b { (of_a, of_b, Ancestry::Before) } else { (of_b, of_a, Ancestry::After) };
    let is_below = is_below(view, low, high)?;
    Ok(Some(if is_below { answer } else { Ancestry::Concurrent }))
}

/// Whether a block is an ancestor of one that arrived later.
fn is_below(view: &Pending, low: Location, high: Location) -> Result<bool, ChainError> {
    let read = |position| {
        let location = Location { position, ..high };
        row(view, location)?.ok_or_else(|| missing_row(BlockId([0; 32])))
    };
    let lowest = read(low.position)?.generation;
    let mut open = BTreeSet::from([high.position]);
    while let Some(position) = open.pop_last() {
        let found = read(position)?;
        if found.parents.contains(&low.position) {
            return Ok(true);
        }
        // Its parents' generations are lower than its own.
        if found.generation.saturating_sub(1) > lowest {
            open.extend(found.parents.into_iter().filter(|parent| *parent > low.position));
        }
    }
    Ok(false)
}
