//! Rows of indexes of ids that were written lately.
//!
//! Ids are random, so each of them belongs on a page of its own: of a group of blocks that is committed, most pages would be
//! of the index alone. Such rows are written one behind the other into a log first, and kept in memory; once there are many,
//! they go into their tables together, a page for several.

use std::collections::BTreeMap;

use walytis_core::{Change, ID_PREFIX_BYTES, Keys, Rows as Lives, StoreError, Table};

/// The table of the log: each row is what one commit wrote, by its number.
pub(crate) const LOG: &str = "offchain-store.recent";

/// How many rows are kept in the log before they go into their tables. In memory they take about 200 bytes each, and to read
/// them when a store is opened a few milliseconds.
pub(crate) const ROWS_MAX: usize = 8_192;

/// The longest value, sealed ones included, that is logged: an index leads to a position. Longer ones fill pages by themselves.
const VALUE_BYTES_MAX: usize = 64;

/// The longest key that is logged: an id behind a few numbers.
const KEY_BYTES_MAX: usize = 128;

/// Whether rows of a table may be in the log. One whose name is longer than a key may be is not logged.
pub(crate) fn may_hold(table: Table) -> bool {
    table.keys == Keys::Hidden && table.rows == Lives::Permanent && table.name.len() <= KEY_BYTES_MAX
}

/// What the log does with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note<'a> {
    /// The row is this one.
    Row(&'a [u8]),
    /// The row is as its table says: it was removed, or replaced by a longer one.
    Elsewhere,
}

/// The rows of one table, by key.
type TableRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows that the log holds.
#[derive(Default)]
pub(crate) struct Recent {
    tables: Vec<(String, TableRows)>,
    rows: usize,
    /// The number of the next commit that is logged.
    next: u64,
}

impl Recent {
    /// Adds a row of the log, which is behind all others.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is not one that was written.
    pub(crate) fn add(&mut self, key: &[u8], entry: &[u8]) -> Result<(), StoreError> {
        let damaged =
            || StoreError::Damaged { table: LOG.to_owned(), reason: "a row is not a list of rows".to_owned() };
        let number = u64::from_be_bytes(key.try_into().map_err(|_| damaged())?);
        let mut rest = entry;
        while !rest.is_empty() {
            let (table, key, note, left) = take_note(rest).ok_or_else(damaged)?;
            self.note(table, key, note);
            rest = left;
        }
        self.next = self.next.max(number.saturating_add(1));
        Ok(())
    }

    /// The key of the next row of the log.
    pub(crate) const fn next_key(&self) -> [u8; 8] {
        self.next.to_be_bytes()
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn get(&self, table: &str, key: &[u8]) -> Option<&[u8]> {
        self.of(table)?.get(key).map(Vec::as_slice)
    }

    /// The rows whose key is `clear` and then an id that begins with `first`.
    pub(crate) fn by_prefix<'a>(
        &'a self,
        table: &str,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a {
        let prefix = [clear, &first[..]].concat();
        let rows = self.of(table).into_iter().flat_map({
            let prefix = prefix.clone();
            move |rows| rows.range(prefix.clone()..)
        });
        rows.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// Every table that has rows here, and these in the order of their keys.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&str, &TableRows)> {
        self.tables.iter().map(|(name, rows)| (name.as_str(), rows))
    }

    /// What the log is to note of a change, if anything. A row that is logged is in no table; any other one is, and is
    /// noted only where the log knows an older one.
    pub(crate) fn note_of<'a>(&self, change: &'a Change) -> Option<Note<'a>> {
        if !may_hold(change.table()) {
            return None;
        }
        match change {
            Change::Put { key, value, .. } if key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX => {
                Some(Note::Row(value))
            }
            Change::Put { table, key, .. } | Change::Delete { table, key } => {
                self.get(table.name, key).map(|_| Note::Elsewhere)
            }
        }
    }

    fn of(&self, table: &str) -> Option<&TableRows> {
        self.tables.iter().find(|(name, _)| name == table).map(|(_, rows)| rows)
    }

    fn note(&mut self, table: &str, key: &[u8], note: Note<'_>) {
        if !self.tables.iter().any(|(name, _)| name == table) {
            self.tables.push((table.to_owned(), BTreeMap::new()));
        }
        let Some((_, rows)) = self.tables.iter_mut().find(|(name, _)| name == table) else { return };
        match note {
            Note::Row(value) => {
                self.rows = self.rows.saturating_add(usize::from(rows.insert(key.to_vec(), value.to_vec()).is_none()));
            }
            Note::Elsewhere => {
                self.rows = self.rows.saturating_sub(usize::from(rows.remove(key).is_some()));
            }
        }
    }
}

/// Adds a note to a row of the log: lengths as one byte each, but for a value's, of which 255 says that there is none.
pub(crate) fn push_note(entry: &mut Vec<u8>, table: &str, key: &[u8], note: Note<'_>) {
    let value: (u8, &[u8]) = match note {
        Note::Row(value) => (u8::try_from(value.len()).unwrap_or_default(), value),
        Note::Elsewhere => (NONE, &[]),
    };
    for (length, bytes) in [(length_of(table.as_bytes()), table.as_bytes()), (length_of(key), key), (value.0, value.1)]
    {
        entry.push(length);
        entry.extend_from_slice(bytes);
    }
}

const NONE: u8 = 255;
const _: () = assert!(VALUE_BYTES_MAX < 255 && KEY_BYTES_MAX < 255);

/// Longer names and keys are not logged.
fn length_of(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or_default()
}

fn take_note(bytes: &[u8]) -> Option<(&str, &[u8], Note<'_>, &[u8])> {
    let (table, rest) = take(bytes)?;
    let (key, rest) = take(rest)?;
    let (note, rest) = match rest.split_first()? {
        (&NONE, rest) => (Note::Elsewhere, rest),
        _ => {
            let (value, rest) = take(rest)?;
            (Note::Row(value), rest)
        }
    };
    Some((std::str::from_utf8(table).ok()?, key, note, rest))
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Table = Table::hidden("ids");

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change::Put { table: IDS, key: key.to_vec(), value: value.to_vec() }
    }

    #[test]
    fn what_is_noted_is_read_back() {
        let mut entry = Vec::new();
        push_note(&mut entry, "ids", b"one", Note::Row(b"1"));
        push_note(&mut entry, "ids", b"two", Note::Row(b""));
        push_note(&mut entry, "others", b"one", Note::Row(b"other"));
        let mut later = Vec::new();
        push_note(&mut later, "ids", b"one", Note::Elsewhere);
        let log = [(0_u64.to_be_bytes(), entry), (6_u64.to_be_bytes(), later)];
        let mut recent = Recent::default();
        log.iter().for_each(|(key, entry)| recent.add(key, entry).unwrap());
        assert_eq!((recent.rows(), recent.next_key()), (2, 7_u64.to_be_bytes()));
        assert_eq!(recent.get("ids", b"one"), None);
        assert_eq!(recent.get("ids", b"two"), Some(&b""[..]));
        assert_eq!(recent.get("others", b"one"), Some(&b"other"[..]));
    }

    #[test]
    fn only_short_rows_that_stay_are_logged() {
        let mut recent = Recent::default();
        let (short, long) = (put(b"key", &[1; VALUE_BYTES_MAX]), put(b"key", &[1; VALUE_BYTES_MAX + 1]));
        assert_eq!(recent.note_of(&short), Some(Note::Row(&[1; VALUE_BYTES_MAX])));
        assert_eq!(recent.note_of(&long), None);
        assert_eq!(recent.note_of(&put(&[0; KEY_BYTES_MAX + 1], b"")), None);
        assert_eq!(recent.note_of(&Change::Put { table: Table::permanent("rows"), key: vec![], value: vec![] }), None);
        // Of what the log knows, it notes that it is elsewhere.
        recent.note("ids", b"key", Note::Row(b"old"));
        assert_eq!(recent.note_of(&long), Some(Note::Elsewhere));
        assert_eq!(recent.note_of(&Change::Delete { table: IDS, key: b"key".to_vec() }), Some(Note::Elsewhere));
        assert_eq!(recent.note_of(&Change::Delete { table: IDS, key: b"other".to_vec() }), None);
    }

    #[test]
    fn of_a_malformed_entry_nothing_is_read_that_it_does_not_say() {
        let mut honest = Vec::new();
        for key in 0..4_u8 {
            let value = [key; 12];
            let note = if key == 2 { Note::Elsewhere } else { Note::Row(&value) };
            push_note(&mut honest, "ids", &[key; 32], note);
        }
        let mut damager = offchain_testkit::fuzz::Damager::new(7);
        let (mut refused, mut tried) = (0, 0);
        while refused < 50_000 {
            let damaged = damager.damaged(&honest);
            let mut rest = damaged.as_slice();
            let mut again = Vec::new();
            while let Some((table, key, note, left)) = take_note(rest) {
                push_note(&mut again, table, key, note);
                rest = left;
            }
            assert!(damaged.starts_with(&again) && again.len() + rest.len() == damaged.len());
            assert_eq!(Recent::default().add(&[0; 8], &damaged).is_ok(), rest.is_empty());
            refused += u32::from(!rest.is_empty());
            tried += 1;
            assert!(tried < 500_000, "most damage is noticed");
        }
    }

    #[test]
    fn a_damaged_log_is_an_error_and_never_a_panic() {
        let mut entry = Vec::new();
        push_note(&mut entry, "ids", b"key", Note::Row(b"value"));
        for end in 1..entry.len() {
            assert!(Recent::default().add(&[0; 8], &entry[..end]).is_err(), "{end} bytes");
        }
        assert!(Recent::default().add(&[0; 7], &entry).is_err());
        assert!(Recent::default().add(&[0; 8], &[1, 0xff, 0, 0]).is_err());
    }
}
