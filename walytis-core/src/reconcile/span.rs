//! Ranges in the order of (generation, id).

use serde::{Deserialize, Serialize};

use crate::BlockId;

/// A place between blocks: before all blocks of a generation whose ids' first four bytes, most significant first, are at
/// least these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bound {
    /// The generation.
    pub generation: u64,
    /// The first bytes of an id.
    pub prefix: u32,
}

impl Bound {
    /// Before all blocks.
    pub const START: Self = Self::before(0);
    /// Behind all blocks.
    pub const END: Self = Self::before(u64::MAX);

    /// Before all blocks of a generation.
    #[must_use]
    pub const fn before(generation: u64) -> Self {
        Self { generation, prefix: 0 }
    }

    /// Where a block is: at this place or right behind it.
    #[must_use]
    pub fn of(generation: u64, id: BlockId) -> Self {
        let prefix = id.0.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
        Self { generation, prefix }
    }
}

/// The blocks between two places; not empty of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub from: Bound,
    /// Where it ends: not in it.
    pub to: Bound,
}

impl Span {
    /// Whether a place is in it.
    #[must_use]
    pub fn contains(&self, place: Bound) -> bool {
        self.from <= place && place < self.to
    }

    /// How many generations it touches, below a highest one.
    fn generations(&self, below: u64) -> u64 {
        let end = self.to.generation.saturating_add(u64::from(self.to.prefix > 0)).min(below);
        end.saturating_sub(self.from.generation).max(1)
    }

    /// The parts of a grid in it; of more than `most`, the last one holds the rest.
    #[must_use]
    pub fn parts(&self, grid: Grid, most: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut from = self.from;
        while from < self.to {
            let next = if parts.len().saturating_add(1) < most { grid.after(from).min(self.to) } else { self.to };
            parts.push(Self { from, to: next });
            from = next;
        }
        parts
    }
}

/// How a range is divided: at every generation that is a multiple of a power of two, or, where that is 1, also within each
/// generation at equal distances of the first four bytes of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// 2 to this power is how many generations a part has.
    pub generations_log2: u8,
    /// 2 to this power is how many parts a generation has; 0 unless a part has one generation at most.
    pub prefixes_log2: u8,
}

impl Grid {
    /// Whether it can be.
    #[must_use]
    pub const fn is_possible(&self) -> bool {
        self.generations_log2 < 64
            && self.prefixes_log2 <= 32
            && (self.generations_log2 == 0 || self.prefixes_log2 == 0)
    }

    /// The first place of the grid behind a place.
    fn after(self, place: Bound) -> Bound {
        let next = |generation: u64, step_log2: u8| {
            let step = 1_u64.checked_shl(u32::from(step_log2)).unwrap_or(u64::MAX);
            Bound::before((generation & !step.saturating_sub(1)).saturating_add(step))
        };
        if self.prefixes_log2 == 0 {
            return next(place.generation, self.generations_log2);
        }
        let step = 1_u64.checked_shl(32_u32.saturating_sub(u32::from(self.prefixes_log2))).unwrap_or(u64::MAX);
        let prefix = (u64::from(place.prefix) & !step.saturating_sub(1)).saturating_add(step);
        match u32::try_from(prefix) {
            Ok(prefix) => Bound { prefix, ..place },
            Err(_) => next(place.generation, 0),
        }
    }

    /// The grid by which a range with so many blocks is divided into at most `most` parts; `None` if it is too narrow to
    /// be divided. `below` is above the highest generation. Parts of many generations are as long as a store's sums are.
    pub(super) fn for_span(span: &Span, count: u64, below: u64, most: u64) -> Option<Self> {
        let wanted = (count / super::PART_BLOCKS).clamp(2, most.max(2));
        let generations = span.generations(below);
        if generations > 1 && generations.saturating_mul(2) > wanted {
            let mut generations_log2 = 0_u8;
            while generations.checked_shr(u32::from(generations_log2)).unwrap_or_default() >= wanted {
                generations_log2 = generations_log2.saturating_add(1);
            }
            let whole = if generations > 128 { Sums::SHORT_LOG2 } else { 0 };
            return Some(Self { generations_log2: generations_log2.max(whole), prefixes_log2: 0 });
        }
        // Where a range has one generation, its ids may begin or end in between.
        let end = if span.to.generation > span.from.generation { 1_u64 << 32 } else { u64::from(span.to.prefix) };
        let begin = if generations > 1 { 0 } else { u64::from(span.from.prefix) };
        let width = end.saturating_sub(begin);
        if width < 2 {
            return None;
        }
        // The widest step by which the range has the wanted number of parts, or as many as there may be.
        let mut prefixes_log2 = 32_u8;
        let cells = |prefixes_log2: u8| {
            let step_log2 = 32_u32.saturating_sub(u32::from(prefixes_log2));
            width.checked_shr(step_log2).unwrap_or_default().max(1).saturating_mul(generations)
        };
        while prefixes_log2 > 1 && (cells(prefixes_log2) > most || cells(prefixes_log2.saturating_sub(1)) >= wanted) {
            prefixes_log2 = prefixes_log2.saturating_sub(1);
        }
        Some(Self { generations_log2: 0, prefixes_log2 })
    }
}

/// The sums that a store keeps.
pub(crate) struct Sums;

impl Sums {
    /// 2 to this power is how many generations the shorter sums have.
    pub(crate) const SHORT_LOG2: u8 = 6;
    /// 2 to this power is how many generations the longer sums have.
    pub(crate) const LONG_LOG2: u8 = 12;
}
