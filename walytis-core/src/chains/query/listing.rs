//! Blocks by generation, then id.

use std::collections::{BTreeMap, VecDeque};

use super::super::walk::gap;
use super::super::{CodecError, ORDER, missing_row, order_key, order_place, row};
use super::{Candidate, ChainError, Collected, LOOKED_AT_MAX, PAGE_BYTES, Place, Reader};
use crate::{BlockId, Direction, KeyRange};

/// How many keys of the order one scan reads.
const KEYS: usize = 64;

pub(super) fn collect(
    reader: &Reader<'_>,
    after: Option<(u64, BlockId)>,
    page: &mut Collected,
) -> Result<(), ChainError> {
    let direction = reader.query.direction;
    let Some(highest) = reader.row.generations.checked_sub(1) else { return Ok(()) };
    let mut generation = match (after, direction) {
        (Some((generation, _)), _) => generation.min(highest),
        (None, Direction::Ascending) => 0,
        (None, Direction::Descending) => highest,
    };
    let mut order = Keys::from(generation, direction);
    let mut looked_at = 0_usize;
    loop {
        let mut nearest = Nearest::new(page.limit.saturating_sub(page.blocks.len()), direction);
        let mut of_generation = 0_usize;
        while let Some(position) = order.next(reader, generation)? {
            of_generation = of_generation.saturating_add(1);
            if !reader.query.positions.contains(position) {
                continue;
            }
            let found = row(reader.view, reader.at(position))?.ok_or_else(|| missing_row(reader.chain.into()))?;
            let candidate = Candidate::read(position, found)?;
            let is_behind = after.is_none_or(|(last, id)| match direction {
                Direction::Ascending => generation > last || candidate.id > id,
                Direction::Descending => generation < last || candidate.id < id,
            });
            if is_behind && candidate.is_wanted(reader.query) {
                nearest.add(candidate);
            }
        }
        if of_generation == 0 {
            return Err(gap(reader.chain));
        }
        looked_at = looked_at.saturating_add(of_generation);
        let mut last = before_all(direction);
        let is_cut = nearest.is_cut;
        while let Some(candidate) = nearest.pop() {
            let id = candidate.id;
            page.push(candidate.load(reader)?);
            if page.is_full() || (is_cut && nearest.by_id.is_empty()) {
                last = id;
                break;
            }
        }
        if page.is_full() || is_cut {
            page.next = Some(Place::Listing(generation, last));
            return Ok(());
        }
        let next = match direction {
            Direction::Ascending => generation.checked_add(1).filter(|next| *next <= highest),
            Direction::Descending => generation.checked_sub(1),
        };
        let Some(next) = next else { return Ok(()) };
        // Nothing is left of this generation, however many blocks it has: it is not looked at again.
        if looked_at >= LOOKED_AT_MAX {
            page.next = Some(Place::Listing(next, before_all(direction)));
            return Ok(());
        }
        generation = next;
    }
}

/// The id behind which a generation begins.
const fn before_all(direction: Direction) -> BlockId {
    match direction {
        Direction::Ascending => BlockId([0; 32]),
        Direction::Descending => BlockId([0xff; 32]),
    }
}

/// The first candidates of a generation, as many as a page may take.
struct Nearest {
    limit: usize,
    direction: Direction,
    by_id: BTreeMap<BlockId, Candidate>,
    bytes: usize,
    /// Whether there were more.
    is_cut: bool,
}

impl Nearest {
    const fn new(limit: usize, direction: Direction) -> Self {
        Self { limit, direction, by_id: BTreeMap::new(), bytes: 0, is_cut: false }
    }

    fn add(&mut self, candidate: Candidate) {
        self.bytes = self.bytes.saturating_add(candidate.row_bytes());
        self.by_id.insert(candidate.id, candidate);
        while self.by_id.len() > self.limit || (self.bytes > PAGE_BYTES && self.by_id.len() > 1) {
            self.is_cut = true;
            let farthest = match self.direction {
                Direction::Ascending => self.by_id.pop_last(),
                Direction::Descending => self.by_id.pop_first(),
            };
            self.bytes = self.bytes.saturating_sub(farthest.map_or(0, |(_, candidate)| candidate.row_bytes()));
        }
    }

    fn pop(&mut self) -> Option<Candidate> {
        let first = match self.direction {
            Direction::Ascending => self.by_id.pop_first(),
            Direction::Descending => self.by_id.pop_last(),
        };
        first.map(|(_, candidate)| candidate)
    }
}

/// The keys of the order, some at a time.
struct Keys {
    direction: Direction,
    /// Where to read on: a generation, or behind a key.
    from: Result<u64, Vec<u8>>,
    read: VecDeque<(u64, u64)>,
}

impl Keys {
    const fn from(generation: u64, direction: Direction) -> Self {
        Self { direction, from: Ok(generation), read: VecDeque::new() }
    }

    /// The next position of a generation; `None` behind its last one.
    fn next(&mut self, reader: &Reader<'_>, generation: u64) -> Result<Option<u64>, ChainError> {
        if self.read.is_empty() {
            self.read_on(reader)?;
        }
        let next = self.read.pop_front_if(|(of, _)| *of == generation);
        Ok(next.map(|(_, position)| position))
    }

    fn read_on(&mut self, reader: &Reader<'_>) -> Result<(), ChainError> {
        let number = reader.number;
        let start = match (self.direction, &self.from) {
            (Direction::Descending, _) => order_key(number, 0, 0),
            (Direction::Ascending, Ok(generation)) => order_key(number, *generation, 0),
            (Direction::Ascending, Err(key)) => [key.as_slice(), &[0]].concat(),
        };
        let end = match (self.direction, &self.from) {
            (Direction::Ascending, _) => order_key(number, u64::MAX, u64::MAX),
            (Direction::Descending, Ok(generation)) => order_key(number, generation.saturating_add(1), 0),
            (Direction::Descending, Err(key)) => key.clone(),
        };
        let range = KeyRange { direction: self.direction, ..KeyRange::between(&start, &end) };
        for record in reader.view.scan(ORDER, range, KEYS)? {
            let place = order_place(&record.key);
            self.read.push_back(place.ok_or(ChainError::Record { table: ORDER.name, reason: CodecError::Malformed })?);
            self.from = Err(record.key);
        }
        Ok(())
    }
}
