//! Homes of earlier formats: they are brought to today's when they are opened, or refused and called sound.

use std::sync::Arc;

use offchain_store::{OpenError, RedbStore, STORE_FORMAT, SealedStore};
use walytis_core::{Batch, ChainError, Pending, Store, StoreError, chains};
use walytis_engine::public;

use crate::error::NodeError;
use crate::machine::{Engine, EngineError, store_failure};
use crate::options::system_time;

/// A home had an earlier format, and was brought to today's when it was opened. Builds that know the earlier one alone do
/// not open it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The format's number before.
    pub from: u8,
    /// Its number now.
    pub to: u8,
}

/// Brings a store to today's format. One commit does all of it, so whoever is killed meanwhile leaves the store as it was, or
/// done.
///
/// **Invariant:** only what fails its own checks (a seal, a sum, a digest) is called damaged. Builds before 7c53815 wrote
/// other rows under the number 1: their seals hold, and this build cannot read them, so they are another build's.
pub(crate) fn migrate(store: SealedStore<RedbStore>) -> Result<(SealedStore<RedbStore>, Option<Migration>), NodeError> {
    let from = store.format();
    if from == STORE_FORMAT {
        return Ok((store, None));
    }
    let store = Arc::new(store);
    let changes = changes(&(Arc::clone(&store) as Arc<dyn Store>)).map_err(|error| match store_failure(&error) {
        Some(failure) => NodeError::Open(failure.into()),
        None => NodeError::Open(OpenError::EarlierBuild { number: u32::from(from), reason: error.to_string() }),
    })?;
    store.migrate(&changes).map_err(|error| match error {
        StoreError::Full { .. } => NodeError::NoRoomToMigrate(from),
        other => NodeError::Open(other.into()),
    })?;
    // Nobody else has it: what read it is gone.
    let store = Arc::into_inner(store).ok_or(OpenError::InUse { what: "the store".to_owned() })?;
    Ok((store, Some(Migration { from, to: STORE_FORMAT })))
}

/// What an older store needs to become one of today's format, if its rows can be read: those that are read when a home is
/// opened, and the first and the last block of each chain.
///
/// Tables that formats 2 and 3 added are made from these rows when they are missing, so no row has to be written here.
fn changes(store: &Arc<dyn Store>) -> Result<Batch, EngineError> {
    let mut view = Pending::new(Arc::clone(store));
    public::leaving(&view)?;
    for chain in chains::all_chains(&view)? {
        let length = chains::length(&view, chain)?;
        for position in [0, length.saturating_sub(1)] {
            chains::block_at(&view, chain, position)?;
        }
    }
    let random = offchain_store::system_random().map_err(|error| StoreError::Disk { reason: error.to_string() });
    match Engine::open(Arc::clone(store), system_time(), random.map_err(ChainError::Store)?) {
        // One whose creation was cut short has no rows yet.
        Ok(_) | Err(EngineError::NoIdentity) => {}
        Err(error) => return Err(error),
    }
    Ok(view.close_step().map(|(_, batch)| batch).unwrap_or_default())
}
