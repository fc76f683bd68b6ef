//! What a store's bytes lie on: a trait for the simulator's sake, and the real file.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::file_lock;

/// Random-access bytes that can be locked and made durable.
///
/// A write may be lost, kept or torn until the next [`Disk::sync`] has returned; after it, everything written before it
/// survives power loss. Calls come from several threads at once.
#[expect(clippy::len_without_is_empty, reason = "whether a disk is empty is asked once, by its length")]
pub trait Disk: Send + Sync + 'static {
    /// The disk's length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the disk ends earlier; otherwise what the system says.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; the range lies within the disk's length.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] or [`io::ErrorKind::QuotaExceeded`] if there is no space; otherwise what the system
    /// says.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or extends the disk to `bytes`; new bytes read as zeros.
    ///
    /// # Errors
    /// As [`Disk::write`].
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes everything written so far durable, the length included.
    ///
    /// # Errors
    /// What the system says; what was written since the last sync may then be lost in any part.
    fn sync(&self) -> io::Result<()>;

    /// Takes the whole disk for this handle; `false` if another handle, of this process or another, has it. Taking it
    /// again through the same handle succeeds.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where there are no locks: the store then opens without one.
    fn try_lock(&self) -> io::Result<bool>;

    /// Gives the lock back. Called once, last.
    ///
    /// # Errors
    /// What the system says.
    fn close(&self) -> io::Result<()>;
}

/// A real file.
///
/// Its lock is advisory, of the whole file, and goes when the process ends, however it ends.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
}

impl FileDisk {
    /// Opens the file at `path`, which must exist, for reading and writing. It is not locked yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or what else the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().read(true).write(true).open(path)? })
    }

    pub(crate) fn from_file(file: File) -> Self {
        Self { file }
    }
}

impl Disk for FileDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        positional::read_exact(&self.file, offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        positional::write_all(&self.file, offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // Data and length: the times of the file are nobody's concern.
        self.file.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        file_lock::try_lock(&self.file)
    }

    fn close(&self) -> io::Result<()> {
        file_lock::unlock(&self.file)
    }
}

#[cfg(unix)]
mod positional {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    pub(super) fn read_exact(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        file.read_exact_at(out, offset)
    }

    pub(super) fn write_all(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

#[cfg(not(unix))]
mod positional {
    use std::fs::File;
    use std::io::{self, Read, Seek, SeekFrom, Write};
    use std::sync::{Mutex, PoisonError};

    // One cursor a file: whoever moves it must use it before anybody else does. One lock for all files is enough where
    // a process has one store open.
    static CURSOR: Mutex<()> = Mutex::new(());

    pub(super) fn read_exact(mut file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let _held = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(out)
    }

    pub(super) fn write_all(mut file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _held = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}
