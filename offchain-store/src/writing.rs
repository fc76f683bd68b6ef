//! One commit: rows go into their tables, and those of indexes of ids into the log until there are many.

use redb::{Database, Durability, WriteTransaction};
use walytis_core::{Batch, Change, StoreError};

use crate::recent::{LOG, Note, ROWS_MAX, Recent, push_note};
use crate::redb_errors::store_error;
use crate::snapshot::{Newest, definition};

/// How errors name the store when no single table is concerned.
const WHOLE: &str = "(whole store)";

/// What a batch comes to.
struct Plan<'a> {
    /// What is written into tables, by table and key.
    direct: Vec<&'a Change>,
    /// What is logged: the row of the log.
    entry: Vec<u8>,
    /// The key of that row.
    key: [u8; 8],
    /// All that the log held before and what is logged now goes into the tables, by table and key, and the log is empty.
    merged: Option<Vec<(String, Vec<u8>, Vec<u8>)>>,
}

/// Commits a batch durably. Whoever reads goes on with the state before it until it is.
pub(crate) fn write(database: &Database, newest: &Newest, batch: &Batch) -> Result<(), StoreError> {
    let changes = batch.last_changes();
    let plan = newest.hold(database, |recent| plan(recent, &changes))?;
    let mut transaction = database.begin_write().map_err(|error| store_error(WHOLE, error))?;
    transaction.set_durability(Durability::Immediate).map_err(|error| store_error(WHOLE, error))?;
    transaction.set_quick_repair(true);
    put_direct(&transaction, &plan.direct)?;
    match &plan.merged {
        Some(rows) => merge(&transaction, rows)?,
        None if plan.entry.is_empty() => {}
        None => {
            let mut log = transaction.open_table(definition(LOG)).map_err(|error| store_error(LOG, error))?;
            log.insert(plan.key.as_slice(), plan.entry.as_slice()).map_err(|error| store_error(LOG, error))?;
        }
    }
    transaction.commit().map_err(|error| store_error(WHOLE, error))?;
    newest.replace(|recent| {
        if plan.merged.is_some() {
            *recent = Recent::default();
        } else if !plan.entry.is_empty() {
            recent.add(&plan.key, &plan.entry)?;
        }
        Ok(())
    })
}

fn plan<'a>(recent: &Recent, changes: &[&'a Change]) -> Plan<'a> {
    let (mut direct, mut entry, mut logged) = (Vec::with_capacity(changes.len()), Vec::new(), Vec::new());
    for change in changes.iter().copied() {
        let note = recent.note_of(change);
        match note {
            Some(note @ Note::Row(value)) => {
                push_note(&mut entry, change.table().name, change.key(), note);
                logged.push((change, value));
            }
            Some(note @ Note::Elsewhere) => {
                push_note(&mut entry, change.table().name, change.key(), note);
                direct.push(change);
            }
            None => direct.push(change),
        }
    }
    let merged = (recent.rows().saturating_add(logged.len()) > ROWS_MAX).then(|| {
        // What the batch itself changes, it writes into the table.
        let changed = |table: &str, key: &[u8]| {
            changes.binary_search_by(|change| (change.table().name, change.key()).cmp(&(table, key))).is_ok()
        };
        let mut rows: Vec<(String, Vec<u8>, Vec<u8>)> = Vec::new();
        for (table, known) in recent.tables() {
            let kept = known.iter().filter(|(key, _)| !changed(table, key));
            rows.extend(kept.map(|(key, value)| (table.to_owned(), key.clone(), value.clone())));
        }
        rows.extend(
            logged
                .iter()
                .map(|(change, value)| (change.table().name.to_owned(), change.key().to_vec(), value.to_vec())),
        );
        rows.sort_unstable();
        rows
    });
    Plan { direct, entry, key: recent.next_key(), merged }
}

/// Opening a table costs more than a change of a row, a row that is replaced at once is not written at all, and rows that
/// are neighbours are on one page.
fn put_direct(transaction: &WriteTransaction, changes: &[&Change]) -> Result<(), StoreError> {
    for of_one_table in changes.chunk_by(|left, right| left.table().name == right.table().name) {
        let Some(first) = of_one_table.first() else { continue };
        let name = first.table().name;
        let mut rows = transaction.open_table(definition(name)).map_err(|error| store_error(name, error))?;
        for change in of_one_table {
            match change {
                Change::Put { key, value, .. } => rows.insert(key.as_slice(), value.as_slice()).map(drop),
                Change::Delete { key, .. } => rows.remove(key.as_slice()).map(drop),
            }
            .map_err(|error| store_error(name, error))?;
        }
    }
    Ok(())
}

/// Puts the log's rows where they belong, and empties it.
fn merge(transaction: &WriteTransaction, rows: &[(String, Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
    for of_one_table in rows.chunk_by(|left, right| left.0 == right.0) {
        let Some((name, ..)) = of_one_table.first() else { continue };
        let mut table = transaction.open_table(definition(name)).map_err(|error| store_error(name, error))?;
        for (_, key, value) in of_one_table {
            table.insert(key.as_slice(), value.as_slice()).map_err(|error| store_error(name, error))?;
        }
    }
    transaction.delete_table(definition(LOG)).map(drop).map_err(|error| store_error(LOG, error))
}
