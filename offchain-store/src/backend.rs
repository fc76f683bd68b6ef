//! Our disk as redb wants it, and the digest behind redb's header.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

use crate::disk::Disk;
use crate::open_error::OpenError;

/// How long redb's header is, in bytes, from the file's beginning on. The rest of its page redb leaves alone.
const HEADER_BYTES: usize = 320;

/// Behind the header: the beginning of its BLAKE3 digest.
///
/// Which of its two commit slots is the newer one redb keeps in one bit, and no sum of its own covers that bit: flipped,
/// it makes a file that was not closed open as it was a commit earlier, and every check passes. Header and digest lie
/// within one sector, so a crash leaves both or none.
const DIGEST_BYTES: usize = 16;

const GUARDED_BYTES: usize = HEADER_BYTES + DIGEST_BYTES;

/// A disk for redb. The store itself holds the disk's lock for longer than redb has it open, so redb is told that there
/// are none.
pub(crate) struct Backend {
    disk: Arc<dyn Disk>,
    closed: Arc<AtomicBool>,
    unsettled: Arc<AtomicBool>,
}

impl Backend {
    /// A backend that leaves the disk once `closed` is set. `unsettled` says whether the header was written and not synced.
    pub(crate) fn new(disk: Arc<dyn Disk>, closed: Arc<AtomicBool>, unsettled: Arc<AtomicBool>) -> Self {
        Self { disk, closed, unsettled }
    }

    fn open_disk(&self) -> io::Result<&dyn Disk> {
        if self.closed.load(Ordering::Acquire) { Err(io::Error::other("the store is closed")) } else { Ok(&*self.disk) }
    }
}

/// Compares the header with its digest. A file that only redb itself ever wrote to has none, and is taken as it is.
pub(crate) fn check_header(disk: &dyn Disk, name: &str) -> Result<(), OpenError> {
    let mut guarded = [0; GUARDED_BYTES];
    disk.read(0, &mut guarded).map_err(|source| OpenError::Io { what: name.to_owned(), source })?;
    let (header, kept) = guarded.split_at(HEADER_BYTES);
    if kept == digest(header) || kept == [0; DIGEST_BYTES] {
        return Ok(());
    }
    let reason = "its header is not what was written".to_owned();
    Err(OpenError::Damaged { what: name.to_owned(), reason })
}

/// Writes the header once more as it is, durably: after a sync has failed, what is read need not be on the disk.
pub(crate) fn settle_header(disk: &dyn Disk) -> io::Result<()> {
    let mut guarded = [0; GUARDED_BYTES];
    disk.read(0, &mut guarded)?;
    disk.write(0, &guarded)?;
    disk.sync()
}

fn digest(header: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&blake3::hash(header).as_bytes()[..DIGEST_BYTES]);
    digest
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        self.open_disk()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.open_disk()?.read(offset, out)
    }

    fn set_len(&self, bytes: u64) -> Result<(), io::Error> {
        self.open_disk()?.set_len(bytes)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.open_disk()?.sync()?;
        self.unsettled.store(false, Ordering::Release);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), io::Error> {
        let disk = self.open_disk()?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if start >= HEADER_BYTES {
            return disk.write(offset, bytes);
        }
        self.unsettled.store(true, Ordering::Release);
        let (of_header, behind) = bytes.split_at(bytes.len().min(HEADER_BYTES - start));
        let mut guarded = [0; GUARDED_BYTES];
        if of_header.len() < HEADER_BYTES {
            disk.read(0, &mut guarded[..HEADER_BYTES])?;
        }
        guarded[start..start + of_header.len()].copy_from_slice(of_header);
        let digest = digest(&guarded[..HEADER_BYTES]);
        guarded[HEADER_BYTES..].copy_from_slice(&digest);
        disk.write(0, &guarded)?;
        match behind.get(DIGEST_BYTES..) {
            Some(behind) if !behind.is_empty() => disk.write(GUARDED_BYTES as u64, behind),
            _ => Ok(()),
        }
    }
}
