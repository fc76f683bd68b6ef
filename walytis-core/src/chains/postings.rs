//! Lists of positions: the blocks of one author, and those of one topic. What is newest stands in a row that each block
//! rewrites; each [`PAGE`] of them move into a row of their own, which stays.
//!
//! Every key ends in a hash, so that a sealing store shows neither which blocks have an author or a topic in common, nor
//! how many: only how many lists and full pages a chain has.

use serde::{Deserialize, Serialize};

use super::{AUTHORS, AuthorRow, ChainError, ChainNumber, POSTINGS, TOPICS, author_key, read};
use crate::{AuthorKey, CodecError, Pending, Table, codec};

/// How many positions a page has. Finding a position takes a read for each doubling of the pages before it, and each
/// block rewrites half a page of 1 to 4 bytes a position.
const PAGE: u64 = 32;

/// What the blocks of a list have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term<'a> {
    /// Their author.
    Author(AuthorKey),
    /// One of their topics.
    Topic(&'a [u8]),
}

impl Term<'_> {
    pub(super) const fn table(self) -> Table {
        match self {
            Self::Author(_) => AUTHORS,
            Self::Topic(_) => TOPICS,
        }
    }

    pub(super) fn key(self, chain: ChainNumber) -> Vec<u8> {
        match self {
            Self::Author(author) => author_key(chain, author),
            Self::Topic(topic) => [&chain.0.to_be_bytes()[..], blake3::hash(topic).as_bytes()].concat(),
        }
    }

    /// The key of a full page.
    fn page_key(self, chain: ChainNumber, page: u64) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_derive_key("walytis v1 page of postings");
        hasher.update(self.table().name.as_bytes()).update(&self.key(chain)).update(&page.to_be_bytes());
        [&chain.0.to_be_bytes()[..], hasher.finalize().as_bytes()].concat()
    }
}

/// The end of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Postings {
    /// How many positions the list has.
    count: u64,
    /// Those behind its last full page, ascending.
    newest: Vec<u64>,
}

impl Postings {
    /// Adds a position behind all others. The caller writes the row that this is part of.
    pub(super) fn push(&mut self, view: &mut Pending, chain: ChainNumber, term: Term<'_>, position: u64) {
        let page = self.count / PAGE;
        self.count = self.count.saturating_add(1);
        self.newest.push(position);
        if self.count.is_multiple_of(PAGE) {
            let full = std::mem::take(&mut self.newest);
            view.put(POSTINGS, term.page_key(chain, page), codec::encode(&full));
        }
    }
}

/// Adds a block to the list of a topic.
pub(super) fn push_topic(
    view: &mut Pending,
    chain: ChainNumber,
    topic: &[u8],
    position: u64,
) -> Result<(), ChainError> {
    let (term, mut postings) = (Term::Topic(topic), of_topic(view, chain, topic)?);
    postings.push(view, chain, term, position);
    view.put(TOPICS, term.key(chain), codec::encode(&postings));
    Ok(())
}

fn of_topic(view: &Pending, chain: ChainNumber, topic: &[u8]) -> Result<Postings, ChainError> {
    let row = view.get(TOPICS, &Term::Topic(topic).key(chain))?;
    Ok(row.map(|bytes| read(TOPICS, &bytes)).transpose()?.unwrap_or_default())
}

/// Removes a list with all of its pages.
pub(super) fn forget(view: &mut Pending, chain: ChainNumber, term: Term<'_>) -> Result<(), ChainError> {
    let pages = List::open(view, chain, term)?.count() / PAGE;
    for page in 0..pages {
        view.delete(POSTINGS, term.page_key(chain, page));
    }
    view.delete(term.table(), term.key(chain));
    Ok(())
}

/// A list that is being read: one page of it at a time.
pub(super) struct List<'a> {
    view: &'a Pending,
    chain: ChainNumber,
    term: Term<'a>,
    postings: Postings,
    page: Option<(u64, Vec<u64>)>,
}

impl<'a> List<'a> {
    pub(super) fn open(view: &'a Pending, chain: ChainNumber, term: Term<'a>) -> Result<Self, ChainError> {
        let postings = match term {
            Term::Topic(topic) => of_topic(view, chain, topic)?,
            Term::Author(_) => {
                let row = view.get(AUTHORS, &term.key(chain))?;
                let row = row.map(|bytes| read::<AuthorRow>(AUTHORS, &bytes)).transpose()?;
                row.map(|row| row.blocks).unwrap_or_default()
            }
        };
        Ok(Self { view, chain, term, postings, page: None })
    }

    /// How many positions there are.
    pub(super) const fn count(&self) -> u64 {
        self.postings.count
    }

    /// The position at a place of the list, counted from 0.
    pub(super) fn at(&mut self, place: u64) -> Result<Option<u64>, ChainError> {
        if place >= self.postings.count {
            return Ok(None);
        }
        let (number, offset) = (place / PAGE, usize::try_from(place % PAGE).unwrap_or(usize::MAX));
        let malformed = ChainError::Record { table: POSTINGS.name, reason: CodecError::Malformed };
        if number == self.postings.count / PAGE {
            return self.postings.newest.get(offset).copied().map(Some).ok_or(malformed);
        }
        if self.page.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let row = self.view.get(POSTINGS, &self.term.page_key(self.chain, number))?;
            self.page = Some((number, read(POSTINGS, &row.ok_or_else(|| malformed.clone())?)?));
        }
        let page = self.page.as_ref().map(|(_, page)| page.as_slice()).unwrap_or_default();
        page.get(offset).copied().map(Some).ok_or(malformed)
    }

    /// The first place whose position is not below `position`; their count if there is none.
    pub(super) fn place_of(&mut self, position: u64) -> Result<u64, ChainError> {
        let (mut low, mut high) = (0, self.postings.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle)? {
                Some(found) if found < position => low = middle.saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The positions beside one that is in the list; what is wrong if it is not, or not in its order.
    pub(super) fn around(&mut self, position: u64) -> Result<[Option<u64>; 2], &'static str> {
        let unreadable = |_| "a list of its author's blocks or of one of its topics cannot be read";
        let place = self.place_of(position).map_err(unreadable)?;
        if self.at(place).map_err(unreadable)? != Some(position) {
            return Err("it is missing in the list of its author's blocks or of one of its topics");
        }
        let before = place.checked_sub(1).map(|place| self.at(place)).transpose().map_err(unreadable)?.flatten();
        let after = self.at(place.saturating_add(1)).map_err(unreadable)?;
        if before.is_some_and(|before| before >= position) || after.is_some_and(|after| after <= position) {
            return Err("a list of its author's blocks or of one of its topics is out of order");
        }
        Ok([before, after])
    }
}
