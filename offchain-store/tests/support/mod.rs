//! Disks and random sources for the tests of this crate.

#![expect(dead_code, clippy::unwrap_used, reason = "each test uses its part; a broken helper fails the test")]

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use offchain_store::{Disk, Random, RootKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{SeedableRng, TryCryptoRng, TryRng};
use walytis_core::{Batch, Table};

/// A batch of one row.
pub(crate) fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key, value);
    batch
}

/// A batch that removes one row.
pub(crate) fn delete(table: Table, key: impl Into<Vec<u8>>) -> Batch {
    let mut batch = Batch::new();
    batch.delete(table, key);
    batch
}

/// A random source that differs at each call and is the same in each run.
pub(crate) fn random() -> Random {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    Box::new(ChaCha20Rng::seed_from_u64(CALLS.fetch_add(1, Ordering::Relaxed)))
}

/// The same root key each time, and none that `random` gives.
pub(crate) fn root_key() -> RootKey {
    RootKey::generate(&mut ChaCha20Rng::seed_from_u64(u64::MAX))
}

/// Gives 00 01 02 ... ff 00 ...
#[derive(Default)]
pub(crate) struct Counting(u8);

impl TryRng for Counting {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counting {}

/// A disk in memory; clones are handles of the same bytes. It can be told to fail.
#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

/// From the n-th change on (counting from 0), `times` changes fail.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) after: u64,
    pub(crate) times: u64,
    pub(crate) kind: io::ErrorKind,
}

impl MemoryDisk {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)), failure: Arc::default() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub(crate) fn arm(&self, failure: Failure) {
        *self.failure.lock().unwrap() = Some(failure);
    }

    /// Takes the failure away; whether it had fired.
    pub(crate) fn disarm(&self) -> bool {
        self.failure.lock().unwrap().take().is_none_or(|failure| failure.after == 0)
    }

    fn change(&self) -> io::Result<()> {
        let mut armed = self.failure.lock().unwrap();
        match armed.as_mut() {
            Some(failure) if failure.after > 0 => failure.after -= 1,
            Some(failure) if failure.times > 0 => {
                failure.times -= 1;
                return Err(failure.kind.into());
            }
            _ => {}
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len());
        let range = end.and_then(|end| bytes.get(start..end));
        out.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change()?;
        let mut all = self.bytes.lock().unwrap();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(bytes.len());
        let range = end.and_then(|end| all.get_mut(start..end));
        range.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change()?;
        // More would be a length out of a damaged header.
        if bytes > 1 << 28 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.lock().unwrap().resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.change()
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}
