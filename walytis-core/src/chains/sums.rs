//! Sums of the ids of some generations, kept so that comparing a chain with another node's does not read all of it.
//!
//! Every [`LEVELS`] number of generations has a row with the count and the sum of its blocks' ids. Those of the highest
//! generations, which most new blocks change, stand in the chain's own row, which each block rewrites anyway; so
//! appending costs a row of sums for each 64 generations, and a block below them one that is read and rewritten.

use std::collections::BTreeMap;

use super::{ChainError, ChainNumber, ChainRow, ORDER, SUMS, chain_row, order_key, order_place, read};
use crate::reconcile::{Bound, Index, Item, LOOKED_AT_MAX, Span, Sum, Sums};
use crate::{BlockId, ChainId, CodecError, KeyRange, Pending, codec, planted};

/// 2 to these powers is how many generations a sum has.
pub(super) const LEVELS: [u8; 2] = [Sums::SHORT_LOG2, Sums::LONG_LOG2];

/// How many rows one scan reads.
const ROWS: usize = 256;

fn key(chain: ChainNumber, level: u8, bucket: u64) -> Vec<u8> {
    [&chain.0.to_be_bytes()[..], &[level], &bucket.to_be_bytes()].concat()
}

fn bucket(generation: u64, level: u8) -> u64 {
    generation.checked_shr(u32::from(level)).unwrap_or_default()
}

fn kept(view: &Pending, chain: ChainNumber, level: u8, bucket: u64) -> Result<Option<Sum>, ChainError> {
    view.get(SUMS, &key(chain, level, bucket))?.map(|bytes| read(SUMS, &bytes)).transpose()
}

/// Adds a block to the sums of its generation. The caller writes the chain's row, in which the highest generation is not
/// counted yet.
pub(super) fn add(
    view: &mut Pending,
    chain: ChainNumber,
    row: &mut ChainRow,
    generation: u64,
    id: BlockId,
) -> Result<(), ChainError> {
    let highest = row.generations.checked_sub(1);
    for (level, newest) in LEVELS.into_iter().zip(&mut row.newest_sums) {
        let of_block = bucket(generation, level);
        let of_newest = highest.map_or(of_block, |highest| bucket(highest, level));
        if of_block < of_newest {
            let mut sum = kept(view, chain, level, of_block)?.unwrap_or_default();
            sum.add(Sum::of(id));
            if !planted!(ForgetSums) {
                view.put(SUMS, key(chain, level, of_block), codec::encode(&sum));
            }
        } else {
            if of_block > of_newest {
                view.put(SUMS, key(chain, level, of_newest), codec::encode(newest));
                *newest = Sum::default();
            }
            newest.add(Sum::of(id));
        }
    }
    Ok(())
}

/// Removes the sums that begin with a generation. Each generation has a block, so whoever removes all blocks removes all
/// sums.
pub(super) fn forget(view: &mut Pending, chain: ChainNumber, generation: u64) {
    for level in LEVELS {
        if generation.trailing_zeros() >= u32::from(level) {
            view.delete(SUMS, key(chain, level, bucket(generation, level)));
        }
    }
}

/// All sums as they are kept, and as they should be by the blocks: those that the caller has added up.
#[derive(Default)]
pub(super) struct Recount(BTreeMap<(u8, u64), Sum>);

impl Recount {
    pub(super) fn add(&mut self, generation: u64, id: BlockId) {
        for level in LEVELS {
            self.0.entry((level, bucket(generation, level))).or_default().add(Sum::of(id));
        }
    }

    /// Whether the kept sums are these.
    pub(super) fn agrees(mut self, view: &Pending, chain: ChainNumber, row: &ChainRow) -> Result<bool, ChainError> {
        let highest = row.generations.saturating_sub(1);
        let mut agrees = true;
        for (level, newest) in LEVELS.into_iter().zip(&row.newest_sums) {
            agrees &= self.0.remove(&(level, bucket(highest, level))).unwrap_or_default() == *newest;
        }
        for ((level, bucket), sum) in self.0 {
            agrees &= kept(view, chain, level, bucket)? == Some(sum);
        }
        Ok(agrees)
    }
}

/// A chain as it is compared with another node's: nothing of it is held but what was asked for.
pub struct ChainIndex<'a> {
    view: &'a Pending,
    number: ChainNumber,
    row: ChainRow,
    /// How many blocks were looked at, and rows of sums read.
    looked_at: usize,
}

impl std::fmt::Debug for ChainIndex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainIndex").field("looked_at", &self.looked_at).finish_non_exhaustive()
    }
}

impl<'a> ChainIndex<'a> {
    /// A chain that is kept here; `None` if it is not.
    ///
    /// # Errors
    /// [`ChainError`] if the store fails.
    pub fn open(view: &'a Pending, chain: ChainId) -> Result<Option<Self>, ChainError> {
        Ok(chain_row(view, chain)?.map(|(number, row)| Self { view, number, row, looked_at: 0 }))
    }

    /// How many blocks were looked at, and rows of sums read, so far.
    #[must_use]
    pub const fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// Calls `each` with the blocks of some generations, until it returns `false`.
    fn walk(&mut self, (from, to): (u64, u64), mut each: impl FnMut(Bound, Item) -> bool) -> Result<bool, ChainError> {
        let malformed = || ChainError::Record { table: ORDER.name, reason: CodecError::Malformed };
        let mut start = order_key(self.number, from, 0);
        let end = order_key(self.number, to.min(self.row.generations), 0);
        while start < end {
            let rows = self.view.scan(ORDER, KeyRange::between(&start, &end), ROWS)?;
            let Some(last) = rows.last() else { break };
            start = last.key.clone();
            start.push(0);
            self.looked_at = self.looked_at.saturating_add(rows.len());
            let ended = rows.len() < ROWS;
            for row in rows {
                let (generation, position) = order_place(&row.key).ok_or_else(malformed)?;
                let id = BlockId(row.value.try_into().map_err(|_| malformed())?);
                if !each(Bound::of(generation, id), Item { generation, id, position }) {
                    return Ok(false);
                }
            }
            if ended {
                break;
            }
        }
        Ok(true)
    }

    /// The sum of the kept ones of a level from one to another, the last one excluded.
    fn of_level(&mut self, place: usize, (from, to): (u64, u64)) -> Result<Sum, ChainError> {
        let mut sum = Sum::default();
        let (Some(level), Some(newest)) = (LEVELS.get(place).copied(), self.row.newest_sums.get(place)) else {
            return Ok(sum);
        };
        let of_newest = bucket(self.row.generations.saturating_sub(1), level);
        if from <= of_newest && of_newest < to {
            sum.add(*newest);
        }
        let end = key(self.number, level, to.min(of_newest));
        let mut start = key(self.number, level, from);
        while start < end {
            let rows = self.view.scan(SUMS, KeyRange::between(&start, &end), ROWS)?;
            self.looked_at = self.looked_at.saturating_add(rows.len());
            for row in &rows {
                sum.add(read(SUMS, &row.value)?);
            }
            match rows.last() {
                Some(last) if rows.len() == ROWS => {
                    start = last.key.clone();
                    start.push(0);
                }
                _ => break,
            }
        }
        Ok(sum)
    }

    /// The sum of whole generations as far as it is kept, and the generations at both ends of which it is not.
    fn of_whole(&mut self, from: u64, to: u64) -> Result<(Sum, [(u64, u64); 2]), ChainError> {
        let top = self.row.generations;
        let step = |level: u8| 1_u64 << level;
        // Above the highest generation there is nothing, so a sum that ends there may end anywhere.
        let up = |generation: u64, level: u8| generation.checked_next_multiple_of(step(level)).unwrap_or(u64::MAX);
        let down = |generation: u64, level: u8| {
            if generation >= top { up(top, level) } else { generation & !(step(level) - 1) }
        };
        let [short, long] = LEVELS;
        let (first, last) = (up(from, short), down(to, short));
        if first >= last {
            return Ok((Sum::default(), [(from, to.min(top)), (to, to)]));
        }
        let mut sum = Sum::default();
        let (first_long, last_long) = (up(first, long), down(last, long));
        if first_long < last_long {
            sum.add(self.of_level(1, (bucket(first_long, long), bucket(last_long, long)))?);
            sum.add(self.of_level(0, (bucket(first, short), bucket(first_long, short)))?);
            if last_long < last {
                sum.add(self.of_level(0, (bucket(last_long, short), bucket(last, short)))?);
            }
        } else {
            sum.add(self.of_level(0, (bucket(first, short), bucket(last, short)))?);
        }
        Ok((sum, [(from, first), (last, to.min(top))]))
    }
}

/// The range among ascending ones in which a place is.
fn range_of(spans: &[Span], place: Bound) -> Option<usize> {
    let number = spans.partition_point(|span| span.to <= place);
    spans.get(number).filter(|span| span.contains(place)).map(|_| number)
}

/// The generations that ranges touch, as ascending ranges that do not overlap.
fn merged(touched: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in touched.filter(|(from, to)| from < to) {
        match merged.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Behind the last generation of which a range has something.
fn end(span: &Span) -> u64 {
    span.to.generation.saturating_add(u64::from(span.to.prefix > 0))
}

impl Index for ChainIndex<'_> {
    type Error = ChainError;

    fn generations(&self) -> u64 {
        self.row.generations
    }

    fn sums(&mut self, spans: &[Span]) -> Result<Option<Vec<Sum>>, ChainError> {
        let mut sums = vec![Sum::default(); spans.len()];
        let mut touched = Vec::new();
        for (sum, span) in sums.iter_mut().zip(spans) {
            // Of a generation that is not in it whole, blocks are looked at.
            let from = span.from.generation.saturating_add(u64::from(span.from.prefix > 0));
            let to = span.to.generation;
            if from > to {
                touched.push((span.from.generation, end(span)));
                continue;
            }
            let (whole, [low, high]) = self.of_whole(from, to)?;
            sum.add(whole);
            touched.extend([(span.from.generation, from), low, high, (to, end(span))]);
        }
        let mut left = LOOKED_AT_MAX;
        for generations in merged(touched.into_iter()) {
            let fits = self.walk(generations, |place, item| {
                if let Some(sum) = range_of(spans, place).and_then(|number| sums.get_mut(number)) {
                    sum.add(Sum::of(item.id));
                }
                left = left.saturating_sub(1);
                left > 0
            })?;
            if !fits {
                return Ok(None);
            }
        }
        Ok(Some(sums))
    }

    fn items(&mut self, spans: &[Span], limit: usize) -> Result<Vec<(usize, Item)>, ChainError> {
        let mut found = Vec::new();
        let mut left = LOOKED_AT_MAX;
        for generations in merged(spans.iter().map(|span| (span.from.generation, end(span)))) {
            let fits = self.walk(generations, |place, item| {
                if found.len() < limit
                    && let Some(number) = range_of(spans, place)
                {
                    found.push((number, item));
                }
                left = left.saturating_sub(1);
                left > 0 && found.len() < limit
            })?;
            if !fits {
                break;
            }
        }
        Ok(found)
    }
}
