//! A node's folder.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use offchain_store::{KdfCost, OpenError, RedbStore, SealedStore, Unlock, system_random};
use walytis_core::Store;
#[cfg(feature = "offchain")]
use walytis_core::{ChainError, StoreError};
#[cfg(feature = "offchain")]
use walytis_offchain::CheckReport;

use crate::error::NodeError;
use crate::machine::{Engine, EngineError};
use crate::migration::{Migration, migrate};
use crate::node::{Beside, Node};
use crate::options::system_time;
use crate::room::Room;

/// Who a new home is: its identity, or, without private groups, the key by which the transport knows it.
#[cfg(feature = "offchain")]
type Created = walytis_offchain::Identity;
#[cfg(not(feature = "offchain"))]
type Created = walytis_core::PeerId;

/// An open home: the folder with a node's keys and records, sealed at rest. Nobody else can open it until this, or the
/// node that is made of it, is gone.
///
/// Creating and opening stretch a passphrase, which takes its cost's time (0.2 s by default) on the calling thread.
pub struct Home {
    pub(crate) store: SealedStore<RedbStore>,
    /// Where it is.
    pub(crate) folder: std::path::PathBuf,
    migration: Option<Migration>,
}

impl Home {
    /// Makes a home in a folder that has none: the folder itself if need be, a store, and in it a device and its user.
    /// `cost` is a passphrase's alone. A home whose creation was cut short is completed.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is a home; otherwise as [`offchain_store::create`], or the store's failure.
    pub fn create(folder: impl AsRef<Path>, unlock: &Unlock, cost: KdfCost) -> Result<Created, NodeError> {
        let folder = folder.as_ref();
        let mut random = system_random()?;
        let mut set_up = |store| {
            let store: Arc<dyn Store> = Arc::new(store);
            #[cfg(feature = "offchain")]
            return Engine::create(&store, system_time(), &mut *random);
            #[cfg(not(feature = "offchain"))]
            return Engine::create(&store, &mut *random);
        };
        match offchain_store::create(folder, unlock, cost) {
            Ok(store) => Ok(set_up(store)?),
            Err(exists @ OpenError::Exists { .. }) => {
                let unfinished = offchain_store::open(folder, unlock).ok();
                match unfinished.map(set_up) {
                    Some(Ok(identity)) => Ok(identity),
                    Some(Err(EngineError::IdentityExists)) | None => Err(exists.into()),
                    Some(Err(other)) => Err(other.into()),
                }
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Opens a home. One of an earlier format is brought to today's, durably and in one step: [`Home::migration`] says so.
    ///
    /// # Errors
    /// As [`offchain_store::open`]: [`OpenError::NotFound`], [`OpenError::InUse`], [`OpenError::WrongUnlock`], ...; or
    /// [`OpenError::EarlierBuild`], after which nothing was changed.
    pub fn open(folder: impl AsRef<Path>, unlock: &Unlock) -> Result<Self, NodeError> {
        let folder = folder.as_ref();
        let (store, migration) = migrate(offchain_store::open(folder, unlock)?)?;
        Ok(Self { store, folder: folder.to_path_buf(), migration })
    }

    /// What was changed when the home was opened, if it had an earlier format.
    #[must_use]
    pub const fn migration(&self) -> Option<Migration> {
        self.migration
    }

    /// A node without a network: it reads and writes what is here. It runs on the tokio runtime in which this is called.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::NoIdentity`] if the home's creation was cut short, or the store's failure.
    pub fn offline(self) -> Result<Node, NodeError> {
        let room = self.room();
        let (store, engine) = self.engine()?;
        let options = room.options();
        let beside = Beside { room: Some(room), ..Beside::default() };
        Ok(Node::start_then(engine, store, None, &options, beside))
    }

    /// Verifies every block, signature, commitment and index, and then every page of the file. Takes as long as reading
    /// everything, on the calling thread. `progress` is told how much is done, and of how much.
    ///
    /// What is wrong is in the report, damage of the file included; what it holds comes first, since that names the table
    /// or the block.
    ///
    /// # Errors
    /// A failure of the store that is no damage.
    #[cfg(feature = "offchain")]
    pub fn check(self, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, NodeError> {
        let store = Arc::new(self.store);
        let mut report = match walytis_offchain::check(Arc::clone(&store) as Arc<dyn Store>, progress) {
            Ok(report) => report,
            Err(EngineError::Chain(ChainError::Store(error))) if !matches!(error, StoreError::Damaged { .. }) => {
                return Err(OpenError::from(error).into());
            }
            Err(error) => CheckReport { problems: vec![error.to_string()], ..CheckReport::default() },
        };
        // Whoever checked it has let it go.
        if let Some(mut store) = Arc::into_inner(store) {
            match store.check() {
                Ok(()) => {}
                Err(damaged @ StoreError::Damaged { .. }) => report.problems.push(damaged.to_string()),
                Err(other) => return Err(OpenError::from(other).into()),
            }
        }
        Ok(report)
    }

    /// The room that it has for deleting.
    pub(crate) fn room(&self) -> Room {
        Room::of(&self.folder)
    }

    pub(crate) fn engine(self) -> Result<(Arc<dyn Store>, Engine), NodeError> {
        let room = self.room();
        let store: Arc<dyn Store> = Arc::new(self.store);
        let mut engine = Engine::open(Arc::clone(&store), system_time(), system_random()?)?;
        if !engine.removes_chains() {
            room.keep();
        } else if !room.make() {
            // It would fail, and the node with it.
            tracing::warn!("there is no room on the disk to go on with deleting a chain");
            engine.put_off_removals();
        }
        Ok((store, engine))
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Home(..)")
    }
}
