//! A node's folder.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use offchain_store::{KdfCost, OpenError, RedbStore, SealedStore, Unlock, system_random};
use walytis_core::Store;
use walytis_offchain::{CheckReport, Engine, EngineError, Identity};

use crate::error::NodeError;
use crate::node::Node;
use crate::options::{NodeOptions, system_time};

/// An open home: the folder with a node's keys and records, sealed at rest. Nobody else can open it until this, or the
/// node that is made of it, is gone.
///
/// Creating and opening stretch a passphrase, which takes its cost's time (0.2 s by default) on the calling thread.
pub struct Home {
    pub(crate) store: SealedStore<RedbStore>,
}

impl Home {
    /// Makes a home in a folder that has none: the folder itself if need be, a store, and in it a device and its user.
    /// `cost` is a passphrase's alone. A home whose creation was cut short is completed.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is a home; otherwise as [`offchain_store::create`], or the store's failure.
    pub fn create(folder: impl AsRef<Path>, unlock: &Unlock, cost: KdfCost) -> Result<Identity, NodeError> {
        let folder = folder.as_ref();
        let mut random = system_random()?;
        let mut set_up = |store| {
            let store: Arc<dyn Store> = Arc::new(store);
            Engine::create(&store, system_time(), &mut *random)
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

    /// Opens a home.
    ///
    /// # Errors
    /// As [`offchain_store::open`]: [`OpenError::NotFound`], [`OpenError::InUse`], [`OpenError::WrongUnlock`], ...
    pub fn open(folder: impl AsRef<Path>, unlock: &Unlock) -> Result<Self, NodeError> {
        Ok(Self { store: offchain_store::open(folder, unlock)? })
    }

    /// A node without a network: it reads and writes what is here. It runs on the tokio runtime in which this is called.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::NoIdentity`] if the home's creation was cut short, or the store's failure.
    pub fn offline(self) -> Result<Node, NodeError> {
        let (store, engine) = self.engine()?;
        Ok(Node::start(engine, store, None, NodeOptions::default()))
    }

    /// Verifies every page of the file, and then every block, signature, commitment and index. Takes as long as reading
    /// everything, on the calling thread. `progress` is told how much is done, and of how much.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if the file itself is damaged, or another failure of the store. What is wrong with what it
    /// holds is in the report.
    pub fn check(mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, NodeError> {
        self.store.check().map_err(OpenError::from)?;
        Ok(walytis_offchain::check(Arc::new(self.store), progress)?)
    }

    pub(crate) fn engine(self) -> Result<(Arc<dyn Store>, Engine), NodeError> {
        let store: Arc<dyn Store> = Arc::new(self.store);
        let engine = Engine::open(Arc::clone(&store), system_time(), system_random()?)?;
        Ok((store, engine))
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Home(..)")
    }
}
