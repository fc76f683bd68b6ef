//! What another node lacks of a chain, by the blocks that it names.

use std::collections::{BTreeMap, VecDeque};

use super::{ChainError, ChainNumber, Location, chain_row, heads, locate, missing_row, row};
use crate::{BlockId, ChainId, Pending};

/// How many heads are read at once.
const HEADS_READ: usize = 256;

/// The positions, ascending, of blocks that are neither among `known` nor ancestors of one of them. Ids that are not in
/// the set are passed over. The cost grows with the answer and the blocks above the known ones, not with the chain.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn difference(view: &Pending, chain: ChainId, known: &[BlockId]) -> Result<Vec<u64>, ChainError> {
    let mut difference = Difference::new(view, chain, known, usize::MAX)?;
    difference.go_on(view, usize::MAX)?;
    Ok(difference.into_ranges().into_iter().flat_map(|(from, to)| from..to).collect())
}

/// As [`difference`], in as many steps as one likes. Blocks that come meanwhile are not in it, and of a head that they
/// cover meanwhile it is not sure.
#[derive(Debug)]
pub struct Difference {
    chain: ChainId,
    number: Option<ChainNumber>,
    /// Position -> whether it is known. Positions above their children's never occur, so the highest is always final.
    open: BTreeMap<u64, bool>,
    unknown: usize,
    /// The heads below this position are not in `open` yet. At 0 there are no more.
    heads_below: u64,
    /// Ranges of positions (from, included; to, excluded), ascending.
    found: VecDeque<(u64, u64)>,
    ranges_max: usize,
}

impl Difference {
    /// Begins to look for what somebody lacks who has these blocks. If it is in more ranges of positions than `ranges_max`,
    /// it is those that came here first.
    ///
    /// # Errors
    /// [`ChainError`] if the store fails.
    pub fn new(view: &Pending, chain: ChainId, known: &[BlockId], ranges_max: usize) -> Result<Self, ChainError> {
        let row = chain_row(view, chain)?;
        let number = row.as_ref().map(|(number, _)| *number);
        let mut open = BTreeMap::new();
        for id in known {
            if let Some(location) = locate(view, *id)?
                && Some(location.chain) == number
            {
                open.insert(location.position, true);
            }
        }
        let heads_below = row.map_or(0, |(_, row)| row.length);
        Ok(Self { chain, number, open, unknown: 0, heads_below, found: VecDeque::new(), ranges_max })
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// Looks at so many rows, or some more. Returns how many they were; less than that, and all is found.
    ///
    /// # Errors
    /// [`ChainError`] if the store fails.
    pub fn go_on(&mut self, view: &Pending, rows: usize) -> Result<usize, ChainError> {
        let mut looked_at = 0_usize;
        let Some(number) = self.number else { return Ok(looked_at) };
        while looked_at < rows {
            let highest = self.open.last_key_value().map(|(position, _)| *position);
            // Heads come before what is below them, and behind all that is unknown there may be more of them.
            let heads_first = highest.is_none_or(|highest| highest < self.heads_below) || self.unknown == 0;
            if self.heads_below > 0 && heads_first {
                looked_at = looked_at.saturating_add(self.read_heads(view, number)?);
                continue;
            }
            if self.unknown == 0 {
                break;
            }
            let Some((position, known)) = self.open.pop_last() else { break };
            if !known {
                self.unknown = self.unknown.saturating_sub(1);
                self.find(position);
            }
            looked_at = looked_at.saturating_add(1);
            let row = row(view, Location { chain: number, position })?.ok_or_else(|| missing_row(self.chain.into()))?;
            for parent in row.parents {
                self.open(parent, known);
            }
        }
        Ok(looked_at)
    }

    /// What was found, as ascending ranges of positions (from, included; to, excluded).
    #[must_use]
    pub fn into_ranges(self) -> VecDeque<(u64, u64)> {
        self.found
    }

    /// Reads some more heads. Returns how many rows that took.
    fn read_heads(&mut self, view: &Pending, number: ChainNumber) -> Result<usize, ChainError> {
        let heads = heads::positions_below(view, number, self.heads_below, HEADS_READ)?;
        self.heads_below = heads.last().copied().filter(|_| heads.len() == HEADS_READ).unwrap_or_default();
        for position in &heads {
            self.open(*position, false);
        }
        Ok(heads.len().max(1))
    }

    fn open(&mut self, position: u64, known: bool) {
        match self.open.get_mut(&position) {
            None => {
                self.open.insert(position, known);
                self.unknown = self.unknown.saturating_add(usize::from(!known));
            }
            Some(before) if known && !*before => {
                *before = true;
                self.unknown = self.unknown.saturating_sub(1);
            }
            Some(_) => {}
        }
    }

    /// Notes a position that is below all that were found before.
    fn find(&mut self, position: u64) {
        match self.found.front_mut() {
            Some((from, _)) if *from == position.saturating_add(1) => *from = position,
            _ => self.found.push_front((position, position.saturating_add(1))),
        }
        if self.found.len() > self.ranges_max {
            self.found.pop_back();
        }
    }
}
