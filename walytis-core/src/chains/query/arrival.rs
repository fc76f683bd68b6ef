//! Blocks in the order of their positions: from lists where there are some, otherwise one row after the other.

use std::collections::{BTreeMap, VecDeque};

use super::super::postings::{List, Term};
use super::super::{BLOCKS, BlockRow, CONTENTS, IDS, Location, missing_row, read, row};
use super::{Candidate, ChainError, Collected, Counted, Cursor, LOOKED_AT_MAX, Place, Query, Reader};
use crate::{AuthorKey, CodecError, Direction, Header, KeyRange, Table};

/// The most rows that one scan reads: enough that its own cost is small beside theirs, few enough where each has a
/// mebibyte.
const ROWS_MAX: usize = 32;

/// The most ids that begin alike and are looked up. Where there are more, all headers are read: whoever makes them, for
/// 2^32 hashes each, is not to be given the memory.
const ALIKE_MAX: usize = 1024;

pub(super) fn collect(reader: &Reader<'_>, after: Option<u64>, page: &mut Collected) -> Result<(), ChainError> {
    let Some(range) = Range::new(reader, after) else { return Ok(()) };
    let mut source = Source::choose(reader, range, page.limit)?;
    let mut last = None;
    for _ in 0..LOOKED_AT_MAX {
        if page.is_full() {
            break;
        }
        let Some(candidate) = source.next(reader)? else { return Ok(()) };
        last = Some(candidate.position);
        if candidate.is_wanted(reader.query) {
            let block = match source.content(candidate.position) {
                Some(content) => candidate.stored(Some(content))?,
                None => candidate.load(reader)?,
            };
            page.push(block);
        }
    }
    page.next = last.map(Place::Arrival);
    Ok(())
}

/// The count that is kept, if one is of this query.
pub(super) fn kept_count(reader: &Reader<'_>) -> Result<Option<u64>, ChainError> {
    let Some(range) = Range::new(reader, None) else { return Ok(Some(0)) };
    let query = reader.query;
    if !query.needs_no_header() {
        return Ok(None);
    }
    let term = match (query.author, query.topics.as_slice()) {
        (None, []) => return Ok(Some(range.high.saturating_sub(range.low).saturating_add(1))),
        (Some(author), _) => Term::Author(author),
        (None, [topic]) => Term::Topic(topic),
        (None, _) => return Ok(None),
    };
    let mut list = List::open(reader.view, reader.number, term)?;
    Ok(Some(list.place_of(range.high.saturating_add(1))?.saturating_sub(list.place_of(range.low)?)))
}

/// Counts by looking at headers, at most `looked_at_max` of them.
pub(super) fn count(
    reader: &Reader<'_>,
    after: Option<u64>,
    looked_at_max: usize,
    shown: &dyn Fn(&AuthorKey) -> bool,
) -> Result<Counted, ChainError> {
    let mut counted = Counted::default();
    let Some(range) = Range::new(reader, after) else { return Ok(counted) };
    let mut source = Source::choose(reader, range, usize::MAX)?;
    let mut last = None;
    for _ in 0..looked_at_max {
        let Some(candidate) = source.next(reader)? else { return Ok(counted) };
        last = Some(candidate.position);
        let counts = candidate.is_wanted(reader.query) && shown(&candidate.header.author);
        counted.blocks = counted.blocks.saturating_add(u64::from(counts));
    }
    counted.next = last.map(|position| Cursor(Place::Arrival(position)));
    Ok(counted)
}

/// The positions that are left to look at, both ends included; not empty.
#[derive(Clone, Copy)]
struct Range {
    low: u64,
    high: u64,
    direction: Direction,
}

impl Range {
    fn new(reader: &Reader<'_>, after: Option<u64>) -> Option<Self> {
        let Query { positions, direction, .. } = reader.query;
        let high = positions.to.min(reader.row.length.checked_sub(1)?);
        let range = Self { low: positions.from, high, direction: *direction };
        let range = match after {
            Some(last) => range.behind(last)?,
            None => range,
        };
        (range.low <= range.high).then_some(range)
    }

    /// What is left behind a position.
    fn behind(self, position: u64) -> Option<Self> {
        let left = match self.direction {
            Direction::Ascending => Self { low: self.low.max(position.checked_add(1)?), ..self },
            Direction::Descending => Self { high: self.high.min(position.checked_sub(1)?), ..self },
        };
        (left.low <= left.high).then_some(left)
    }

    /// Its rows of a table by position, the first `limit` of them.
    fn read(self, reader: &Reader<'_>, table: Table, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, ChainError> {
        let (start, end) = (reader.at(self.low).key(), reader.at(self.high.saturating_add(1)).key());
        let range = KeyRange { direction: self.direction, ..KeyRange::between(&start, &end) };
        let malformed = || ChainError::Record { table: table.name, reason: CodecError::Malformed };
        let rows = reader.view.scan(table, range, limit)?;
        rows.into_iter()
            .map(|record| Ok((Location::from_key(&record.key).ok_or_else(malformed)?.position, record.value)))
            .collect()
    }
}

/// Where the positions come from.
enum Source<'a> {
    /// Every row of a range.
    Rows(Rows),
    /// Positions, in their order.
    Few(VecDeque<u64>),
    /// Lists of one author or of topics.
    Lists { walks: Vec<Walk<'a>>, range: Range, of_author: bool },
}

/// Rows one after the other, some of them at a time.
struct Rows {
    left: Option<Range>,
    at_a_time: usize,
    rows: VecDeque<(u64, Vec<u8>)>,
    /// Whether every row is wanted, so that contents are read some at a time, too.
    all: bool,
    contents: BTreeMap<u64, Vec<u8>>,
}

impl Rows {
    fn next(&mut self, reader: &Reader<'_>) -> Result<Option<(u64, BlockRow)>, ChainError> {
        if self.rows.is_empty()
            && let Some(range) = self.left
        {
            self.rows = range.read(reader, BLOCKS, self.at_a_time)?.into();
            // No row is missing in between: a sealed store does not know which there were.
            let mut expected = Some(range);
            for (position, _) in &self.rows {
                let next = expected.map(|range| match range.direction {
                    Direction::Ascending => range.low,
                    Direction::Descending => range.high,
                });
                if next != Some(*position) {
                    return Err(missing_row(reader.chain.into()));
                }
                expected = expected.and_then(|range| range.behind(*position));
            }
            if self.rows.is_empty() {
                return Err(missing_row(reader.chain.into()));
            }
            if self.all {
                let first = self.rows.front().map_or(0, |(position, _)| *position);
                let last = self.rows.back().map_or(0, |(position, _)| *position);
                let read = Range { low: first.min(last), high: first.max(last), ..range };
                self.contents = read.read(reader, CONTENTS, self.at_a_time)?.into_iter().collect();
            }
            self.left = expected;
        }
        let Some((position, bytes)) = self.rows.pop_front() else { return Ok(None) };
        Ok(Some((position, read(BLOCKS, &bytes)?)))
    }
}

/// A list that is walked.
struct Walk<'a> {
    list: List<'a>,
    /// The place to be read next.
    place: Option<u64>,
    position: Option<u64>,
}

impl Walk<'_> {
    fn step(&mut self, direction: Direction) -> Result<(), ChainError> {
        let Some(place) = self.place else {
            self.position = None;
            return Ok(());
        };
        self.position = self.list.at(place)?;
        self.place = match direction {
            Direction::Ascending => place.checked_add(1),
            Direction::Descending => place.checked_sub(1),
        };
        Ok(())
    }
}

impl<'a> Source<'a> {
    /// The source with the fewest positions that has all that the query asks for.
    fn choose(reader: &Reader<'a>, range: Range, limit: usize) -> Result<Self, ChainError> {
        if let Some(few) = alike(reader, range)? {
            return Ok(Self::Few(few));
        }
        let query = reader.query;
        let mut topics: Vec<&'a [u8]> = query.topics.iter().map(Vec::as_slice).collect();
        topics.sort_unstable();
        topics.dedup();
        let open = |terms: Vec<Term<'a>>| -> Result<Vec<List<'a>>, ChainError> {
            terms.into_iter().map(|term| List::open(reader.view, reader.number, term)).collect()
        };
        let author = open(query.author.map(Term::Author).into_iter().collect())?;
        let topics = open(topics.into_iter().map(Term::Topic).collect())?;
        if author.is_empty() && topics.is_empty() {
            let all = query.needs_no_header();
            let at_a_time = if all { limit.min(ROWS_MAX) } else { ROWS_MAX };
            let (rows, contents) = (VecDeque::new(), BTreeMap::new());
            return Ok(Self::Rows(Rows { left: Some(range), at_a_time, rows, all, contents }));
        }
        let count = |lists: &[List<'_>]| lists.iter().fold(0_u64, |sum, list| sum.saturating_add(list.count()));
        let of_author = !author.is_empty() && (topics.is_empty() || count(&author) < count(&topics));
        let mut walks = Vec::new();
        for mut list in if of_author { author } else { topics } {
            let place = match range.direction {
                Direction::Ascending => Some(list.place_of(range.low)?),
                Direction::Descending => list.place_of(range.high.saturating_add(1))?.checked_sub(1),
            };
            let mut walk = Walk { list, place, position: None };
            walk.step(range.direction)?;
            walks.push(walk);
        }
        Ok(Self::Lists { walks, range, of_author })
    }

    fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Candidate>, ChainError> {
        let position = match self {
            Self::Rows(rows) => {
                let next = rows.next(reader)?;
                return next.map(|(position, row)| Candidate::read(position, row)).transpose();
            }
            Self::Few(positions) => positions.pop_front(),
            Self::Lists { walks, range, .. } => {
                let positions = walks.iter().filter_map(|walk| walk.position);
                let next = match range.direction {
                    Direction::Ascending => positions.min().filter(|next| *next <= range.high),
                    Direction::Descending => positions.max().filter(|next| *next >= range.low),
                };
                for walk in walks.iter_mut().filter(|walk| walk.position.is_some() && walk.position == next) {
                    walk.step(range.direction)?;
                }
                next
            }
        };
        let Some(position) = position else { return Ok(None) };
        let found = row(reader.view, reader.at(position))?.ok_or_else(|| missing_row(reader.chain.into()))?;
        let candidate = Candidate::read(position, found)?;
        if !self.has_led_to(reader.query, &candidate.header) {
            let what = "a list of an author's blocks or of a topic leads to it";
            return Err(ChainError::Inconsistent { id: candidate.id, what });
        }
        Ok(Some(candidate))
    }

    /// Whether a header is one that the list in which it was found is of.
    fn has_led_to(&self, query: &Query, header: &Header) -> bool {
        match self {
            Self::Lists { of_author: true, .. } => query.author == Some(header.author),
            Self::Lists { .. } => header.topics.iter().any(|topic| query.topics.contains(topic)),
            Self::Rows(_) | Self::Few(_) => true,
        }
    }

    /// The content at a position, if it was read with the row.
    fn content(&mut self, position: u64) -> Option<Vec<u8>> {
        match self {
            Self::Rows(rows) => rows.contents.remove(&position),
            Self::Few(_) | Self::Lists { .. } => None,
        }
    }
}

/// The positions of the blocks whose ids begin with what can be looked up of the query's prefix, if that is enough.
fn alike(reader: &Reader<'_>, range: Range) -> Result<Option<VecDeque<u64>>, ChainError> {
    let Some(first) = reader.query.id.first() else { return Ok(None) };
    let found = reader.view.by_prefix(IDS, &[], first, ALIKE_MAX.saturating_add(1))?;
    if found.len() > ALIKE_MAX {
        return Ok(None);
    }
    let mut positions = Vec::new();
    for key in found {
        let location =
            Location::from_key(&key).ok_or(ChainError::Record { table: IDS.name, reason: CodecError::Malformed })?;
        let in_range = range.low <= location.position && location.position <= range.high;
        if location.chain == reader.number && in_range {
            positions.push(location.position);
        }
    }
    positions.sort_unstable();
    if range.direction == Direction::Descending {
        positions.reverse();
    }
    Ok(Some(positions.into()))
}
