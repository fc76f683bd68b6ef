//! Named subscriptions: how far each application has come on a chain, and what it could not handle.
//!
//! **Invariant:** a cursor is moved to a block by a failure of it, and behind it only by an acknowledgement, or in the batch
//! that sets it aside as a dead letter; so each block that is shown is handled, a dead letter, or still to come.
//! **Invariant:** of one name there is one live reader.

use serde::{Deserialize, Serialize};

use super::delivery::{
    DeliveryAnswer, DeliveryCommand, DeliveryError, LETTERS_MAX, Letter, REASON_BYTES_MAX, SUBSCRIPTIONS_MAX, Start,
    SubscriptionSummary,
};
use super::publish::entry;
use super::{ChainAnswer, ChainEffect, ChainEntry, Desk, PublicChains, PublicError};
use crate::Ticket;
use walytis_core::chains::query::{self, Query, Span};
use walytis_core::limits::TOPICS_MAX;
use walytis_core::{ChainError, ChainId, CodecError, KeyRange, Pending, Table, chains, codec, planted};

/// (chain's number here, subscription's number) -> [`SubscriptionRow`].
const SUBSCRIPTIONS: Table = Table::changing("public.subscriptions");
/// (chain's number here, subscription's number, block's position) -> [`LetterRow`].
const LETTERS: Table = Table::changing("public.letters");

/// The longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 64;
/// The most blocks of one page, and after how many bytes of content a page of dead letters ends.
const PAGE_ENTRIES: usize = 256;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct SubscriptionRow {
    name: String,
    /// All before this position is handled or set aside.
    next: u64,
    /// The block that is being tried, and how often it has failed.
    tried: u64,
    tries: u32,
    letters: u32,
    /// How many of the letters are to be handed out again.
    again: u32,
}

#[derive(Serialize, Deserialize)]
struct LetterRow {
    tries: u32,
    failed_at_ms: u64,
    again: bool,
    reason: String,
}

/// Which subscription of which chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The chain's number here.
    chain: u32,
    number: u32,
}

impl Place {
    fn key(self) -> Vec<u8> {
        [self.chain.to_be_bytes(), self.number.to_be_bytes()].concat()
    }

    fn letter_key(self, position: u64) -> Vec<u8> {
        [&self.key()[..], &position.to_be_bytes()].concat()
    }

    fn row(self, view: &Pending) -> Result<Option<SubscriptionRow>, ChainError> {
        view.get(SUBSCRIPTIONS, &self.key())?.map(|bytes| read(SUBSCRIPTIONS, &bytes)).transpose()
    }

    fn write(self, view: &mut Pending, row: &SubscriptionRow) {
        view.put(SUBSCRIPTIONS, self.key(), codec::encode(row));
    }

    fn letter(self, view: &Pending, position: u64) -> Result<Option<LetterRow>, ChainError> {
        view.get(LETTERS, &self.letter_key(position))?.map(|bytes| read(LETTERS, &bytes)).transpose()
    }

    fn write_letter(self, view: &mut Pending, position: u64, letter: &LetterRow) {
        view.put(LETTERS, self.letter_key(position), codec::encode(letter));
    }

    /// The letters from a position on.
    fn letters(self, view: &Pending, from: u64) -> Result<Vec<(u64, LetterRow)>, ChainError> {
        let (start, end) = (self.letter_key(from), [&self.letter_key(u64::MAX)[..], &[0]].concat());
        let rows = view.scan(LETTERS, KeyRange::between(&start, &end), usize::MAX)?;
        rows.iter().map(|row| Ok((position_of(&row.key)?, read(LETTERS, &row.value)?))).collect()
    }
}

/// A reader under a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    pub(super) chain: ChainId,
    place: Place,
}

/// The rows of a chain, by its number here, are removed, at most so many. Returns how many there were.
pub(super) fn remove(view: &mut Pending, chain: u32, limit: usize) -> Result<usize, ChainError> {
    let mut removed = 0_usize;
    for table in [LETTERS, SUBSCRIPTIONS] {
        let start = chain.to_be_bytes();
        let end = [&start[..], &[u8::MAX; 13]].concat();
        let rows = view.scan(table, KeyRange::between(&start, &end), limit.saturating_sub(removed))?;
        removed = removed.saturating_add(rows.len());
        for row in rows {
            view.delete(table, row.key);
        }
    }
    Ok(removed)
}

impl PublicChains {
    pub(super) fn about_delivery(
        &mut self,
        desk: &mut Desk<'_>,
        ticket: Ticket,
        command: DeliveryCommand,
    ) -> Result<ChainAnswer, PublicError> {
        match command {
            DeliveryCommand::Open { chain, name, start } => self.open_subscription(desk, ticket, &chain, name, start),
            DeliveryCommand::Read { subscription, from, held, topics, limit } => {
                self.read_on(desk.view, subscription, (from, limit), &held, topics).map(ChainAnswer::Delivery)
            }
            DeliveryCommand::Acknowledge { subscription, position } => {
                self.acknowledge(desk.view, subscription, position).map(|()| ChainAnswer::Done)
            }
            DeliveryCommand::Fail { subscription, position, reason, tries_max } => {
                self.fail(desk, subscription, position, reason, tries_max).map(ChainAnswer::Delivery)
            }
            DeliveryCommand::List { chain } => self.subscription_list(desk.view, &chain).map(ChainAnswer::Delivery),
            DeliveryCommand::Letters { chain, name, from } => {
                let (id, place, _) = self.named(desk.view, &chain, &name)?;
                self.letters(desk.view, id, place, from).map(ChainAnswer::Delivery)
            }
            DeliveryCommand::Replay { chain, name, position } => {
                self.replay(desk, &chain, &name, position).map(ChainAnswer::Delivery)
            }
            DeliveryCommand::Discard { chain, name, position } => {
                self.discard(desk.view, &chain, &name, position).map(ChainAnswer::Delivery)
            }
            DeliveryCommand::Forget { chain, name } => {
                let (_, place, _) = self.named(desk.view, &chain, &name)?;
                if self.is_live(place) {
                    return Err(DeliveryError::Live(name).into());
                }
                for (position, _) in place.letters(desk.view, 0)? {
                    desk.view.delete(LETTERS, place.letter_key(position));
                }
                desk.view.delete(SUBSCRIPTIONS, place.key());
                Ok(ChainAnswer::Done)
            }
        }
    }

    fn is_live(&self, place: Place) -> bool {
        self.live.values().any(|live| live.place == place)
    }

    fn number_of(&self, chain: ChainId) -> Result<u32, PublicError> {
        self.chains.get(&chain).map(super::records::Followed::number).ok_or(PublicError::NotPublic)
    }

    /// A chain's subscriptions.
    fn subscriptions_of(view: &Pending, chain: u32) -> Result<Vec<(Place, SubscriptionRow)>, ChainError> {
        let start = chain.to_be_bytes();
        let end = [&start[..], &[u8::MAX; 5]].concat();
        let rows = view.scan(SUBSCRIPTIONS, KeyRange::between(&start, &end), usize::MAX)?;
        let place = |key: &[u8]| {
            let number = key.get(4..)?.try_into().ok()?;
            Some(Place { chain, number: u32::from_be_bytes(number) })
        };
        let row = |row: walytis_core::Record| {
            let place = place(&row.key).ok_or_else(|| malformed(SUBSCRIPTIONS))?;
            Ok((place, read(SUBSCRIPTIONS, &row.value)?))
        };
        rows.into_iter().map(row).collect()
    }

    fn named(&self, view: &Pending, chain: &str, name: &str) -> Result<(ChainId, Place, SubscriptionRow), PublicError> {
        let chain = self.find_followed(chain)?;
        let all = Self::subscriptions_of(view, self.number_of(chain)?)?;
        let found = all.into_iter().find(|(_, row)| row.name == name);
        let (place, row) = found.ok_or_else(|| DeliveryError::Unknown(name.to_owned()))?;
        Ok((chain, place, row))
    }

    fn open_subscription(
        &mut self,
        desk: &mut Desk<'_>,
        ticket: Ticket,
        chain: &str,
        name: String,
        start: Start,
    ) -> Result<ChainAnswer, PublicError> {
        let chain = self.find_followed(chain)?;
        check_name(&name)?;
        let number = self.number_of(chain)?;
        let all = Self::subscriptions_of(desk.view, number)?;
        let (place, from) = match all.iter().find(|(_, row)| row.name == name) {
            Some((place, _)) if self.is_live(*place) => return Err(DeliveryError::Live(name).into()),
            Some((place, row)) => (*place, row.next),
            None if all.len() >= SUBSCRIPTIONS_MAX => return Err(DeliveryError::TooMany.into()),
            None => {
                let last = all.iter().map(|(place, _)| place.number).max();
                let place = Place { chain: number, number: last.map_or(0, |last| last.saturating_add(1)) };
                let next = match start {
                    Start::Beginning => 0,
                    Start::Now => chains::length(desk.view, chain)?,
                };
                let row = SubscriptionRow { name, next, tried: 0, tries: 0, letters: 0, again: 0 };
                place.write(desk.view, &row);
                (place, next)
            }
        };
        self.live.insert(ticket, Live { chain, place });
        self.subscriptions.insert(ticket, chain);
        Ok(ChainAnswer::Subscribed { chain: self.kept(chain)?, from })
    }

    /// A live subscription and its row.
    fn live(&self, view: &Pending, ticket: Ticket) -> Result<(Live, SubscriptionRow), PublicError> {
        let live = *self.live.get(&ticket).ok_or(DeliveryError::Ended)?;
        let row = live.place.row(view)?.ok_or(DeliveryError::Ended)?;
        Ok((live, row))
    }

    /// The block at a position, if it is shown.
    fn shown_at(&self, view: &Pending, chain: ChainId, position: u64) -> Result<Option<ChainEntry>, ChainError> {
        let stored = chains::block_at(view, chain, position)?;
        let shows = |entry: &ChainEntry| self.chains.get(&chain).is_some_and(|known| known.shows(&entry.author));
        Ok(stored.as_ref().and_then(entry).filter(shows))
    }

    fn read_on(
        &self,
        view: &Pending,
        ticket: Ticket,
        (from, limit): (u64, usize),
        held: &[u64],
        topics: Vec<Vec<u8>>,
    ) -> Result<DeliveryAnswer, PublicError> {
        let (Live { chain, place }, row) = self.live(view, ticket)?;
        if topics.len() > TOPICS_MAX {
            return Err(DeliveryError::TooManyTopics.into());
        }
        let limit = limit.clamp(1, PAGE_ENTRIES);
        let mut again = Vec::new();
        let mut bytes = 0_usize;
        if row.again > 0 {
            for (position, letter) in place.letters(view, 0)? {
                if again.len() >= limit || bytes >= PAGE_BYTES {
                    break;
                }
                if !letter.again || held.contains(&position) {
                    continue;
                }
                if let Some(entry) = self.shown_at(view, chain, position)? {
                    bytes = bytes.saturating_add(entry.content.len());
                    again.push(entry);
                }
            }
        }
        if !again.is_empty() {
            return Ok(DeliveryAnswer::Blocks { again, entries: Vec::new(), next: from });
        }
        let followed = self.chains.get(&chain).ok_or(PublicError::NotPublic)?;
        let query = Query { topics, positions: Span { from, to: u64::MAX }, ..Query::default() };
        let mut after = None;
        let (blocks, next) = loop {
            let page = query::page(view, chain, &query, after, limit)?;
            match (page.blocks.last(), page.next) {
                (_, None) => break (page.blocks, chains::length(view, chain)?),
                (Some(last), Some(_)) => {
                    let skipped = if planted!(SkipBetweenPages) { 1 } else { 0 };
                    let next = last.position.saturating_add(1).saturating_add(skipped);
                    break (page.blocks, next);
                }
                (None, Some(next)) => after = Some(next),
            }
        };
        let entries = blocks.iter().filter_map(entry).filter(|entry| followed.shows(&entry.author)).collect();
        Ok(DeliveryAnswer::Blocks { again, entries, next: next.max(from) })
    }

    fn acknowledge(&self, view: &mut Pending, ticket: Ticket, position: u64) -> Result<(), PublicError> {
        let (Live { chain, place }, mut row) = self.live(view, ticket)?;
        if position < row.next {
            // Of a block that is behind the cursor, only a letter is left to be acknowledged.
            if let Some(letter) = place.letter(view, position)? {
                row.forget_letter(&letter);
                view.delete(LETTERS, place.letter_key(position));
                place.write(view, &row);
            }
            return Ok(());
        }
        row.pass(view, chain, position)?;
        if !planted!(ForgetCursor) {
            place.write(view, &row);
        }
        Ok(())
    }

    fn fail(
        &self,
        desk: &mut Desk<'_>,
        ticket: Ticket,
        position: u64,
        reason: String,
        tries_max: u32,
    ) -> Result<DeliveryAnswer, PublicError> {
        let (Live { chain, place }, mut row) = self.live(desk.view, ticket)?;
        let (failed_at_ms, reason) = (desk.now.0, shortened(reason));
        if position < row.next {
            let old = place.letter(desk.view, position)?.ok_or(DeliveryError::NotDelivered(position))?;
            let tries = old.tries.saturating_add(1);
            let again = old.again && tries < tries_max;
            if old.again && !again {
                row.again = row.again.saturating_sub(1);
            }
            place.write_letter(desk.view, position, &LetterRow { tries, failed_at_ms, again, reason });
            place.write(desk.view, &row);
            return Ok(DeliveryAnswer::Failed { tries, set_aside: !again });
        }
        let tries = if row.tried == position { row.tries.saturating_add(1) } else { 1 };
        let set_aside = tries >= tries_max;
        if set_aside {
            if row.letters >= LETTERS_MAX {
                return Err(DeliveryError::LettersFull(row.name).into());
            }
            row.pass(desk.view, chain, position)?;
            row.letters = row.letters.saturating_add(1);
            if !planted!(LoseLetter) {
                place.write_letter(desk.view, position, &LetterRow { tries, failed_at_ms, again: false, reason });
            }
        } else {
            // What was handed out before is handled, also if the program ends before the next try.
            row.reach(desk.view, chain, position)?;
            row.tried = position;
            row.tries = tries;
        }
        place.write(desk.view, &row);
        Ok(DeliveryAnswer::Failed { tries, set_aside })
    }

    fn subscription_list(&self, view: &Pending, chain: &str) -> Result<DeliveryAnswer, PublicError> {
        let chain = self.find_followed(chain)?;
        let length = chains::length(view, chain)?;
        let all = Self::subscriptions_of(view, self.number_of(chain)?)?;
        let summary = |(place, row): (Place, SubscriptionRow)| SubscriptionSummary {
            name: row.name,
            next: row.next,
            behind: length.saturating_sub(row.next),
            letters: row.letters,
            live: self.is_live(place),
        };
        Ok(DeliveryAnswer::Subscriptions(all.into_iter().map(summary).collect()))
    }

    fn letters(&self, view: &Pending, chain: ChainId, place: Place, from: u64) -> Result<DeliveryAnswer, PublicError> {
        let (mut letters, mut bytes) = (Vec::new(), 0_usize);
        for (position, letter) in place.letters(view, from)? {
            if bytes >= PAGE_BYTES {
                return Ok(DeliveryAnswer::Letters { letters, next: Some(position) });
            }
            let Some(entry) = self.shown_at(view, chain, position)? else { continue };
            bytes = bytes.saturating_add(entry.content.len());
            let LetterRow { tries, failed_at_ms, again, reason } = letter;
            letters.push(Letter { entry, tries, reason, failed_at_ms, again });
        }
        Ok(DeliveryAnswer::Letters { letters, next: None })
    }

    /// The letters that a command is about.
    fn chosen(view: &Pending, place: Place, position: Option<u64>) -> Result<Vec<(u64, LetterRow)>, PublicError> {
        match position {
            None => Ok(place.letters(view, 0)?),
            Some(position) => {
                let letter = place.letter(view, position)?.ok_or(DeliveryError::NoLetter(position))?;
                Ok(vec![(position, letter)])
            }
        }
    }

    fn replay(
        &self,
        desk: &mut Desk<'_>,
        chain: &str,
        name: &str,
        position: Option<u64>,
    ) -> Result<DeliveryAnswer, PublicError> {
        let (chain, place, mut row) = self.named(desk.view, chain, name)?;
        let chosen = Self::chosen(desk.view, place, position)?;
        let letters = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let mut first = None;
        for (position, letter) in chosen {
            if !letter.again {
                row.again = row.again.saturating_add(1);
            }
            place.write_letter(desk.view, position, &LetterRow { tries: 0, again: true, ..letter });
            first = first.or(Some(position));
        }
        place.write(desk.view, &row);
        // Whoever reads is told that there is something to read.
        let reader = self.live.iter().find(|(_, live)| live.place == place);
        if let (Some((subscription, _)), Some(first)) = (reader, first)
            && let Some(entry) = self.shown_at(desk.view, chain, first)?
        {
            desk.out.push(ChainEffect::Delivered { subscription: *subscription, entry });
        }
        Ok(DeliveryAnswer::Changed { letters })
    }

    fn discard(
        &self,
        view: &mut Pending,
        chain: &str,
        name: &str,
        position: Option<u64>,
    ) -> Result<DeliveryAnswer, PublicError> {
        let (_, place, mut row) = self.named(view, chain, name)?;
        let chosen = Self::chosen(view, place, position)?;
        let letters = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        for (position, letter) in chosen {
            row.forget_letter(&letter);
            view.delete(LETTERS, place.letter_key(position));
        }
        place.write(view, &row);
        Ok(DeliveryAnswer::Changed { letters })
    }
}

impl SubscriptionRow {
    /// Moves the cursor to a block that is on the chain.
    fn reach(&mut self, view: &Pending, chain: ChainId, position: u64) -> Result<(), PublicError> {
        if position >= chains::length(view, chain)? {
            return Err(DeliveryError::NotDelivered(position).into());
        }
        self.next = position;
        Ok(())
    }

    /// Moves the cursor behind a block that is on the chain.
    fn pass(&mut self, view: &Pending, chain: ChainId, position: u64) -> Result<(), PublicError> {
        self.reach(view, chain, position)?;
        self.next = position.saturating_add(1);
        self.tried = self.next;
        self.tries = 0;
        Ok(())
    }

    fn forget_letter(&mut self, letter: &LetterRow) {
        self.letters = self.letters.saturating_sub(1);
        if letter.again {
            self.again = self.again.saturating_sub(1);
        }
    }
}

fn check_name(name: &str) -> Result<(), DeliveryError> {
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count());
    if !fits || name.chars().any(walytis_core::is_unseen) || name.trim() != name {
        return Err(DeliveryError::BadName);
    }
    Ok(())
}

/// The reason, cut where it has the most bytes that are kept.
fn shortened(mut reason: String) -> String {
    let mut end = REASON_BYTES_MAX.min(reason.len());
    while !reason.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    reason.truncate(end);
    reason
}

fn malformed(table: Table) -> ChainError {
    ChainError::Record { table: table.name, reason: CodecError::Malformed }
}

fn read<T: Serialize + for<'de> Deserialize<'de>>(table: Table, bytes: &[u8]) -> Result<T, ChainError> {
    codec::decode(bytes).map_err(|reason| ChainError::Record { table: table.name, reason })
}

fn position_of(key: &[u8]) -> Result<u64, ChainError> {
    let position = key.get(8..).and_then(|bytes| bytes.try_into().ok());
    position.map(u64::from_be_bytes).ok_or_else(|| malformed(LETTERS))
}
