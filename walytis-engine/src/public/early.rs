//! The second half of a chain's room: kept for authors who were there early, each of whom has a share of it.
//!
//! An author counts as early who wrote on the chain here before a quarter of its room was taken. One key could fill the half all the
//! same, so each early author has a sixteenth of it, but for the founder. What comes in only because an early author builds on it has a quarter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::{EARLY_COUNTED_MAX, EARLY_SHARES, SHARES_BELOW};
use walytis_core::codec::{self, AtMost, CodecError};
use walytis_core::{AuthorKey, ChainError, ChainId, Pending, Table, chains};

/// A chain's number here -> [`EarlyRow`]. A chain without a row has less than a quarter of its room taken, or was followed before
/// there was this table.
const EARLY: Table = Table::changing("public.early");

#[derive(Serialize, Deserialize)]
struct EarlyRow {
    chain: ChainId,
    quarter: Option<u64>,
    #[serde(with = "AtMost::<EARLY_COUNTED_MAX, 33>")]
    counts: Vec<(AuthorKey, u64)>,
    below: u64,
}

/// Who may write in the second half of a chain's room, and who has.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// The chain's length when a quarter of its room was taken. Whoever wrote below it is early.
    quarter: Option<u64>,
    /// Bytes in the second half, by author. With as many as are counted, a newcomer takes over the smallest count: so nobody has more
    /// than is counted, and a newcomer is charged at most one part in as many as are counted.
    counts: BTreeMap<AuthorKey, u64>,
    /// Bytes there of blocks that came in only because others build on them.
    below: u64,
    dirty: bool,
}

/// The position of a chain's genesis. Whoever wrote it is no stranger: a person chose to follow its chain.
const FOUNDING: u64 = 0;

/// The bytes of an early author's share, where a chain's limit is this.
const fn share(chain_bytes_max: u64) -> u64 {
    chain_bytes_max / 2 / EARLY_SHARES
}

impl Early {
    pub(super) fn load(view: &Pending, number: u32, chain: ChainId) -> Result<Self, ChainError> {
        let Some(bytes) = view.get(EARLY, &number.to_be_bytes())? else { return Ok(Self::default()) };
        let row: Result<EarlyRow, CodecError> = codec::decode(&bytes);
        let row = row.map_err(|reason| ChainError::Record { table: EARLY.name, reason })?;
        if row.chain != chain {
            // An earlier program removed that chain, and did not know of this row.
            return Ok(Self::default());
        }
        let (quarter, counts, below) = (row.quarter, row.counts.into_iter().collect(), row.below);
        Ok(Self { quarter, counts, below, dirty: false })
    }

    pub(super) fn write(&mut self, view: &mut Pending, number: u32, chain: ChainId) {
        if std::mem::take(&mut self.dirty) {
            let counts = self.counts.iter().map(|(author, bytes)| (*author, *bytes)).collect();
            let row = EarlyRow { chain, quarter: self.quarter, counts, below: self.below };
            view.put(EARLY, number.to_be_bytes(), codec::encode(&row));
        }
    }

    pub(super) fn remove(view: &mut Pending, number: u32) {
        view.delete(EARLY, number.to_be_bytes());
    }

    /// Whether an author's block of so many bytes is taken by itself in the second half.
    pub(super) fn takes(
        &self,
        view: &Pending,
        chain: ChainId,
        (author, bytes): (&AuthorKey, u64),
        chain_bytes_max: u64,
    ) -> Result<bool, ChainError> {
        let fits =
            |has: u64| has.saturating_add(bytes) <= share(chain_bytes_max) || walytis_core::mutant!(ForgetEarlyShare);
        if let Some(has) = self.counts.get(author) {
            return Ok(fits(*has));
        }
        let Some(first) = chains::first_of(view, chain, *author)? else { return Ok(false) };
        if first == FOUNDING {
            return Ok(true);
        }
        let is_early = self.quarter.is_none_or(|quarter| first < quarter) || walytis_core::mutant!(CountLateAsEarly);
        Ok(is_early && fits(self.smallest()))
    }

    /// Whether a block of so many bytes comes into the second half because somebody builds on it.
    pub(super) fn takes_below(&self, bytes: u64, chain_bytes_max: u64) -> bool {
        let most = share(chain_bytes_max).saturating_mul(SHARES_BELOW);
        self.below.saturating_add(bytes) <= most || walytis_core::mutant!(ForgetBelowShare)
    }

    /// What a newcomer's count begins with.
    fn smallest(&self) -> u64 {
        if self.counts.len() < EARLY_COUNTED_MAX { 0 } else { self.counts.values().copied().min().unwrap_or_default() }
    }

    /// Counts a block in the second half that an author wrote by itself. The founder's count for nobody.
    pub(super) fn count_of(
        &mut self,
        view: &Pending,
        chain: ChainId,
        author: AuthorKey,
        bytes: u64,
    ) -> Result<(), ChainError> {
        if chains::first_of(view, chain, author)? != Some(FOUNDING) {
            self.count(author, bytes);
        }
        Ok(())
    }

    /// Counts a block there that came in only because others build on it.
    pub(super) const fn count_below(&mut self, bytes: u64) {
        self.dirty = true;
        self.below = self.below.saturating_add(bytes);
    }

    fn count(&mut self, author: AuthorKey, bytes: u64) {
        self.dirty = true;
        let has = self.counts.get(&author).copied().unwrap_or_else(|| {
            let smallest = self.smallest();
            if self.counts.len() >= EARLY_COUNTED_MAX {
                let first = self.counts.iter().find(|(_, has)| **has == smallest).map(|(author, _)| *author);
                first.map(|first| self.counts.remove(&first));
            }
            smallest
        });
        self.counts.insert(author, has.saturating_add(bytes));
    }

    /// The chain has so many bytes now. Where a person has raised the limit, what was counted below the new marks counts no more.
    pub(super) fn has_grown(&mut self, view: &Pending, chain: ChainId, bytes: u64, chain_bytes_max: u64) {
        if bytes <= chain_bytes_max / 2 && (!self.counts.is_empty() || self.below > 0) {
            self.counts.clear();
            (self.below, self.dirty) = (0, true);
        }
        if (bytes > chain_bytes_max / 4) == self.quarter.is_some() {
            return;
        }
        // A store that fails says so where the next block is taken.
        self.quarter = self.quarter.is_none().then(|| chains::length(view, chain).ok()).flatten();
        self.dirty = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_authors_are_counted_and_nobody_has_more_than_its_count() {
        let key = |number: usize| AuthorKey(*blake3::hash(&number.to_be_bytes()).as_bytes());
        let (mut early, mut had) = (Early::default(), BTreeMap::new());
        for round in 0..20 {
            for number in 0..EARLY_COUNTED_MAX + 40 {
                let author = if number % 2 == 0 { key(0) } else { key(number + round) };
                early.count(author, 10);
                *had.entry(author).or_insert(0_u64) += 10;
                assert!(early.counts.len() <= EARLY_COUNTED_MAX);
                assert!(early.counts.iter().all(|(author, count)| count >= &had[author]));
            }
        }
        let all: u64 = had.values().sum();
        assert!(early.smallest() <= all / u64::try_from(EARLY_COUNTED_MAX).unwrap());
        assert_eq!(early.counts[&key(0)], had[&key(0)], "whoever writes most is never forgotten");
    }
}
