//! How two blocks stand to each other.

use std::collections::BTreeSet;

use super::super::{BlockRow, ChainError, ChainNumber, Location, chain_row, locate, missing_row, row};
use super::LOOKED_AT_MAX;
use crate::{BlockId, ChainId, Pending};

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
/// between them; what is held is one number for each branch there. [`AncestryWalk`] does the same in steps.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn ancestry(view: &Pending, a: BlockId, b: BlockId) -> Result<Option<Ancestry>, ChainError> {
    let Some(of_a) = locate(view, a)? else { return Ok(None) };
    let mut walk = AncestryWalk::between(a, b);
    loop {
        match walk.step(view, of_a.chain)? {
            AncestryStep::Known(stands) => return Ok(Some(stands)),
            AncestryStep::Unknown(_) => return Ok(None),
            AncestryStep::GoOn => {}
        }
    }
}

/// What a step of an [`AncestryWalk`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AncestryStep {
    /// How the first stands to the second.
    Known(Ancestry),
    /// This one is not on the chain.
    Unknown(BlockId),
    /// Not known yet.
    GoOn,
}

/// The way from one block down to another, a step at a time: a host that has other things to do goes on when it likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AncestryWalk {
    a: BlockId,
    b: BlockId,
    /// Where the two are, and the positions from which is still to be walked down.
    under_way: Option<(Location, Location, BTreeSet<u64>)>,
}

impl AncestryWalk {
    /// Begins to ask how `a` stands to `b`.
    #[must_use]
    pub const fn between(a: BlockId, b: BlockId) -> Self {
        Self { a, b, under_way: None }
    }

    /// The two blocks.
    #[must_use]
    pub const fn blocks(&self) -> [BlockId; 2] {
        [self.a, self.b]
    }

    /// Reads the next blocks of the chain between the two, at most 4,096 of them. Whatever is inserted meanwhile, the
    /// answer is the same; if the chain was removed and came back, the walk begins again.
    ///
    /// # Errors
    /// [`ChainError`] if the store fails.
    pub fn go_on(&mut self, view: &Pending, chain: ChainId) -> Result<AncestryStep, ChainError> {
        match chain_row(view, chain)? {
            Some((number, _)) => self.step(view, number),
            None => Ok(AncestryStep::Unknown(self.a)),
        }
    }

    fn step(&mut self, view: &Pending, chain: ChainNumber) -> Result<AncestryStep, ChainError> {
        let on_chain = |id| Ok::<_, ChainError>(locate(view, id)?.filter(|location| location.chain == chain));
        let Some(of_a) = on_chain(self.a)? else { return Ok(AncestryStep::Unknown(self.a)) };
        let Some(of_b) = on_chain(self.b)? else { return Ok(AncestryStep::Unknown(self.b)) };
        if of_a == of_b {
            return Ok(AncestryStep::Known(Ancestry::Same));
        }
        // Ancestors arrive first.
        let (low, high, answer) =
            if of_a < of_b { (of_a, of_b, Ancestry::Before) } else { (of_b, of_a, Ancestry::After) };
        let mut open = match self.under_way.take() {
            Some((then_a, then_b, open)) if (then_a, then_b) == (of_a, of_b) => open,
            _ => BTreeSet::from([high.position]),
        };
        let read = |position| -> Result<BlockRow, ChainError> {
            row(view, Location { position, ..high })?.ok_or_else(|| missing_row(BlockId([0; 32])))
        };
        let lowest = read(low.position)?.generation;
        for _ in 0..LOOKED_AT_MAX {
            let Some(position) = open.pop_last() else { return Ok(AncestryStep::Known(Ancestry::Concurrent)) };
            let found = read(position)?;
            if found.parents.contains(&low.position) {
                return Ok(AncestryStep::Known(answer));
            }
            // Its parents' generations are lower than its own.
            if found.generation.saturating_sub(1) > lowest {
                open.extend(found.parents.into_iter().filter(|parent| *parent > low.position));
            }
        }
        self.under_way = Some((of_a, of_b, open));
        Ok(AncestryStep::GoOn)
    }
}
