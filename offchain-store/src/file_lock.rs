//! The lock of a whole file. It is advisory, belongs to an open file, and goes when the process ends, however it ends.
//!
//! On Linux it is taken by the system's call itself, as the standard library does there, too: on Android the standard library
//! has no locks though the system has, and this is the one way for both, so that tests on Linux run it.

use std::fs::File;
use std::io;

/// Takes the lock for this open file; `false` if another one has it.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] where there are no locks, or what else the system says.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;

    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// As above.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    use std::fs::TryLockError;

    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Gives the lock back.
///
/// # Errors
/// What the system says.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    return Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock)?);
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    return file.unlock();
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::{try_lock, unlock};

    #[test]
    fn one_open_file_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let first = File::create(&path).expect("room");
        let open = || File::options().read(true).write(true).open(&path).expect("it is there");
        assert!(try_lock(&first).expect("there are locks"));
        assert!(try_lock(&first).expect("again by the same one"));
        assert!(!try_lock(&open()).expect("another one has it"));
        // A lock that others take by the standard library is the same.
        assert!(open().try_lock().is_err());
        unlock(&first).expect("it is given back");
        assert!(try_lock(&open()).expect("and gone with the file"));
        assert!(try_lock(&first).expect("so it is free"));
    }
}
