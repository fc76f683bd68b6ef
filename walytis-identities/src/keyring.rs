//! The secrets of this device, as rows of the store. A sealing store keeps them, so they are never on disk in clear.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use walytis_core::codec::{self, CodecError};
use walytis_core::{AuthorSecret, BlockId, ChainId, HybridSecret, Keys, PeerId, Pending, Rows, StoreError, Table};
use zeroize::{Zeroize, Zeroizing};

use crate::{EpochSeed, LeafSecret};

/// (kind, id) -> a secret.
const SECRETS: Table = Table { name: "identities.secrets", keys: Keys::Hidden, rows: Rows::Permanent };

/// What a secret is for: the first byte of its key.
#[derive(Clone, Copy)]
enum Kind {
    Device = 0,
    Author = 1,
    Leaf = 2,
    Epoch = 3,
}

fn key(kind: Kind, id: &[u8; 32]) -> Vec<u8> {
    let mut key = vec![kind as u8];
    key.extend_from_slice(id);
    key
}

/// Why a secret could not be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyringError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is not what was written.
    #[error("the store is damaged: a key cannot be read: {0}")]
    Record(#[from] CodecError),
    /// There is no such key here.
    #[error("this device has no {0} key for this chain")]
    Missing(&'static str),
}

/// Who this device is: its identity and its user's, with the device's own secrets.
pub struct LocalDevice {
    /// The device's identity.
    pub identity: ChainId,
    /// The identity of the user whose device it is.
    pub user: ChainId,
    /// The device's signing key.
    pub secret: HybridSecret,
    /// The secret of the key by which the transport knows the device: an Ed25519 seed.
    pub transport: Zeroizing<[u8; 32]>,
    /// Author keys that were read before: deriving a public key costs more than signing with it.
    authors: RefCell<BTreeMap<ChainId, Arc<AuthorSecret>>>,
    /// Leaf secrets that were read before: expanding one costs more than opening a wrap with it.
    leaves: RefCell<BTreeMap<ChainId, Arc<LeafSecret>>>,
}

impl LocalDevice {
    pub(crate) fn new(identity: ChainId, user: ChainId, secret: HybridSecret, transport: Zeroizing<[u8; 32]>) -> Self {
        Self { identity, user, secret, transport, authors: RefCell::default(), leaves: RefCell::default() }
    }

    /// The key under which this device writes on a chain that it has joined.
    ///
    /// # Errors
    /// [`KeyringError::Missing`] if it has none there.
    pub fn author(&self, view: &Pending, chain: ChainId) -> Result<Arc<AuthorSecret>, KeyringError> {
        if let Some(known) = self.authors.borrow().get(&chain) {
            return Ok(Arc::clone(known));
        }
        let secret = Arc::new(author(view, chain)?);
        self.authors.borrow_mut().insert(chain, Arc::clone(&secret));
        Ok(secret)
    }

    /// The secret to which a chain's epochs are wrapped for this device; `None` if it has none there.
    ///
    /// # Errors
    /// [`KeyringError`] if the store fails or the record is damaged.
    pub fn leaf(&self, view: &Pending, chain: ChainId) -> Result<Option<Arc<LeafSecret>>, KeyringError> {
        let Some(seed) = read32(view, Kind::Leaf, &chain.0)? else { return Ok(None) };
        let mut leaves = self.leaves.borrow_mut();
        if let Some(known) = leaves.get(&chain).filter(|known| *known.seed() == *seed) {
            return Ok(Some(Arc::clone(known)));
        }
        let secret = Arc::new(LeafSecret::from_seed(&seed));
        leaves.insert(chain, Arc::clone(&secret));
        Ok(Some(secret))
    }

    /// The keys with which this device asks to be admitted to a chain: of one device and one chain always the same. So a
    /// home that is put back from a copy older than its admission has them again, and whoever admitted it knows it again.
    /// (Who is admitted again after a removal needs other ones: nothing removes a member yet.)
    #[must_use]
    pub fn joining_keys(&self, chain: ChainId) -> (AuthorSecret, LeafSecret) {
        let device = Zeroizing::new(self.secret.seed());
        let derive = |context: &str| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(&device[..]).update(&chain.0);
            Zeroizing::new(*hasher.finalize().as_bytes())
        };
        let author = derive("walytis v1 author key of a joining device");
        let leaf = derive("walytis v1 leaf key of a joining device");
        (AuthorSecret::from_seed(&author), LeafSecret::from_seed(&leaf))
    }

    /// The key by which the transport knows the device.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        PeerId(AuthorSecret::from_seed(&self.transport).public().0)
    }
}

impl std::fmt::Debug for LocalDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalDevice")
            .field("identity", &self.identity)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct DeviceRow {
    identity: ChainId,
    user: ChainId,
    #[serde(with = "codec::array")]
    secret: [u8; HybridSecret::SEED_BYTES],
    transport: [u8; 32],
}

impl Drop for DeviceRow {
    fn drop(&mut self) {
        self.secret.zeroize();
        self.transport.zeroize();
    }
}

/// Keeps who this device is. There is one such record in a store.
pub fn put_device(view: &mut Pending, device: &LocalDevice) {
    let row = DeviceRow {
        identity: device.identity,
        user: device.user,
        secret: device.secret.seed(),
        transport: *device.transport,
    };
    view.put(SECRETS, key(Kind::Device, &[0; 32]), codec::encode(&row));
}

/// Reads who this device is; `None` in a store that is not set up yet.
///
/// # Errors
/// [`KeyringError`] if the store fails or the record is damaged.
pub fn device(view: &Pending) -> Result<Option<LocalDevice>, KeyringError> {
    let Some(bytes) = view.get(SECRETS, &key(Kind::Device, &[0; 32]))?.map(Zeroizing::new) else { return Ok(None) };
    let row: DeviceRow = codec::decode(&bytes)?;
    let (secret, transport) = (HybridSecret::from_seed(&row.secret), Zeroizing::new(row.transport));
    Ok(Some(LocalDevice::new(row.identity, row.user, secret, transport)))
}

fn read32(view: &Pending, kind: Kind, id: &[u8; 32]) -> Result<Option<Zeroizing<[u8; 32]>>, KeyringError> {
    let Some(bytes) = view.get(SECRETS, &key(kind, id))?.map(Zeroizing::new) else { return Ok(None) };
    let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| CodecError::Malformed)?;
    Ok(Some(Zeroizing::new(bytes)))
}

/// Keeps the key under which this device writes on a chain.
pub fn put_author(view: &mut Pending, chain: ChainId, secret: &AuthorSecret) {
    view.put(SECRETS, key(Kind::Author, &chain.0), secret.seed());
}

/// The key under which this device writes on a chain.
///
/// # Errors
/// [`KeyringError::Missing`] if it has none there.
pub fn author(view: &Pending, chain: ChainId) -> Result<AuthorSecret, KeyringError> {
    let seed = read32(view, Kind::Author, &chain.0)?.ok_or(KeyringError::Missing("author"))?;
    Ok(AuthorSecret::from_seed(&seed))
}

/// Keeps the secret to which a chain's epochs are wrapped for this device.
pub fn put_leaf(view: &mut Pending, chain: ChainId, secret: &LeafSecret) {
    view.put(SECRETS, key(Kind::Leaf, &chain.0), *secret.seed());
}

/// The secret to which a chain's epochs are wrapped for this device.
///
/// # Errors
/// [`KeyringError::Missing`] if it has none there.
pub fn leaf(view: &Pending, chain: ChainId) -> Result<LeafSecret, KeyringError> {
    let seed = read32(view, Kind::Leaf, &chain.0)?.ok_or(KeyringError::Missing("leaf"))?;
    Ok(LeafSecret::from_seed(&seed))
}

/// Keeps the seed of an epoch that this device has opened or made.
pub fn put_epoch(view: &mut Pending, epoch: BlockId, seed: &EpochSeed) {
    view.put(SECRETS, key(Kind::Epoch, &epoch.0), *seed.as_bytes());
}

/// The seed of an epoch, if this device has opened it.
///
/// # Errors
/// [`KeyringError`] if the store fails or the record is damaged.
pub fn epoch(view: &Pending, epoch: BlockId) -> Result<Option<EpochSeed>, KeyringError> {
    Ok(read32(view, Kind::Epoch, &epoch.0)?.map(|seed| EpochSeed::from_bytes(&seed)))
}
