//! What is said while two sets are compared.

use serde::{Deserialize, Serialize};

use super::{Bound, Grid, Mark, PARTS_MAX, RANGES_MAX, SHORTS_MAX, Salt, Short, Span};
use crate::codec::{AtMost, EncodedList};

/// What the asking side has, and lacks: the answer says where that differs from what is there, or is the blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// Makes the marks and short names.
    pub salt: Salt,
    /// More ranges are told later: nothing is to be sent now, even if all is clear about these.
    pub goes_on: bool,
    /// Ascending ranges that do not overlap, at most [`RANGES_MAX`]. Nothing is to be sent of what is in none.
    pub told: EncodedList<Told, RANGES_MAX>,
}

/// What the asking side has in one range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Where the range begins, unless that is where the one before it ends, or, for the first one, at [`Bound::START`].
    pub from: Option<Bound>,
    /// Where it ends.
    pub to: Bound,
    /// What is there.
    pub holding: Holding,
}

/// What the asking side has in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holding {
    /// Nothing: all is to be sent.
    Nothing,
    /// So many blocks, with this mark.
    Some(Part),
    /// These, and no others: all others are to be sent. Ascending, each once.
    These(#[serde(with = "AtMost::<SHORTS_MAX, 6>")] Vec<Short>),
    /// All that the other side has but these, which are to be sent. Ascending, each once.
    Lacking(#[serde(with = "AtMost::<SHORTS_MAX, 6>")] Vec<Short>),
}

/// How many blocks there are in a part of a range, and their mark; no mark of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How many blocks.
    pub count: u64,
    /// Their mark.
    pub mark: Option<Mark>,
}

/// Where the answering side has other blocks than the asking one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differ {
    /// The salt of the comparison that is answered.
    pub salt: Salt,
    /// The ranges that were told and are not equal, ascending.
    pub open: EncodedList<Open, RANGES_MAX>,
    /// Nothing is said of the ranges that were told from this number on: there is too much to say.
    pub cut: Option<u16>,
}

/// One range that is not equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The number of the range among those that were told.
    pub told: u16,
    /// What is said about it.
    pub there: Where,
}

/// What the answering side says about a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Where {
    /// List what you have there.
    List,
    /// This is what I have there. Ascending, each once.
    Mine(#[serde(with = "AtMost::<SHORTS_MAX, 6>")] Vec<Short>),
    /// This is what I have in its parts by this grid.
    Parts {
        /// How the range is divided.
        grid: Grid,
        /// The first parts of it; the last of them goes on to the end of the range.
        parts: EncodedList<Part, PARTS_MAX>,
    },
}

impl Part {
    /// Whether there is a mark if there are blocks.
    const fn is_possible(&self) -> bool {
        (self.count == 0) == self.mark.is_none()
    }
}

fn is_list(shorts: &[Short]) -> bool {
    shorts.is_sorted_by(|a, b| a < b)
}

impl Compare {
    /// The ranges, if they are as they should be.
    #[must_use]
    pub fn spans(&self) -> Option<Vec<Span>> {
        let mut spans = Vec::new();
        self.each_span(|span| spans.push(span)).then_some(spans)
    }

    /// Calls with each range, as long as they are as they should be. Returns whether all are.
    fn each_span(&self, mut each: impl FnMut(Span)) -> bool {
        let mut end = Bound::START;
        for told in self.told.iter() {
            let from = match told.from {
                Some(from) if from > end => from,
                None => end,
                Some(_) => return false,
            };
            if from >= told.to {
                return false;
            }
            end = told.to;
            each(Span { from, to: told.to });
        }
        self.told.len() <= RANGES_MAX
    }

    /// Whether it keeps to its bounds, and to its one encoding.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let mut shorts = 0_usize;
        let possible = self.told.iter().all(|told| match told.holding {
            Holding::Nothing => true,
            Holding::Some(part) => part.count > 0 && part.is_possible(),
            Holding::These(list) | Holding::Lacking(list) => {
                shorts = shorts.saturating_add(list.len());
                !list.is_empty() && is_list(&list)
            }
        });
        // What was made here and cannot be decoded has fewer elements than it says.
        let whole = self.told.iter().count() == self.told.len() && self.told.len() <= RANGES_MAX;
        possible && whole && shorts <= SHORTS_MAX && self.each_span(|_| {})
    }

    /// Puts ranges with what is in them, which are ascending and do not overlap, into the form of a message.
    pub(super) fn new(salt: Salt, goes_on: bool, ranges: Vec<(Span, Holding)>) -> Self {
        let mut end = Bound::START;
        let told = ranges.into_iter().map(|(span, holding)| {
            let from = (span.from != end).then_some(span.from);
            end = span.to;
            Told { from, to: span.to, holding }
        });
        Self { salt, goes_on, told: told.collect() }
    }
}

impl Differ {
    /// Whether it keeps to its bounds.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let (mut shorts, mut count) = (0_usize, 0_usize);
        let (mut ascending, mut last) = (true, None);
        let possible = self.open.iter().all(|open| {
            ascending &= last.is_none_or(|last| last < open.told);
            last = Some(open.told);
            match open.there {
                Where::List => true,
                Where::Mine(list) => {
                    shorts = shorts.saturating_add(list.len());
                    !list.is_empty() && is_list(&list)
                }
                Where::Parts { grid, parts } => {
                    count = count.saturating_add(parts.len());
                    !parts.is_empty() && grid.is_possible() && parts.iter().all(|part| part.is_possible())
                }
            }
        });
        possible
            && self.open.iter().count() == self.open.len()
            && self.open.len() <= RANGES_MAX
            && shorts <= SHORTS_MAX
            && count <= PARTS_MAX
            && ascending
            && last.is_none_or(|last| self.cut.is_none_or(|cut| last < cut))
    }
}
