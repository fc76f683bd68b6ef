//! One process at a time uses a home.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::time::Duration;

use anyhow::Context;

use super::HomeFolder;

/// How long a command waits for a home that another has.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// The most bytes of a lock file that are looked at.
const HOLDER_BYTES_MAX: u64 = 200;

/// Another process has the home.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the home {home} is in use by {holder}: wait until it is done, or end it, and try again")]
pub(crate) struct InUse {
    home: String,
    holder: String,
}

/// The home is ours until this is dropped, or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct HomeLock {
    // Closing the file gives the lock back.
    _file: File,
}

impl HomeLock {
    /// Takes the home for the command of this name, unless somebody has it ([`InUse`]).
    pub(crate) fn take(home: &HomeFolder, command: &str) -> anyhow::Result<Self> {
        let path = home.lock_file();
        let cannot = || format!("cannot lock the home by {}", path.display());
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let home = home.path().display().to_string();
                return Err(InUse { home, holder: holder(&path) }.into());
            }
            // Without locks the store's own still keeps two processes apart, if less kindly.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        // On a full disk nobody knows who has the home, and it is locked all the same.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{} {command}", std::process::id()));
        Ok(Self { _file: file })
    }
}

impl HomeFolder {
    /// Who has the home, for a person.
    pub(crate) fn holder(&self) -> String {
        holder(&self.lock_file())
    }
}

/// Who says in the lock file that it has the home. Where a locked file cannot be read, nobody knows.
fn holder(path: &std::path::Path) -> String {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(HOLDER_BYTES_MAX).read_to_string(&mut text));
    let line = text.lines().next().unwrap_or_default();
    match line.split_once(' ') {
        Some((pid, command)) if read.is_ok() && pid.parse::<u32>().is_ok() => {
            format!("process {pid} (`walytis {}`)", crate::escape::printable_line(command))
        }
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_the_home() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = HomeFolder::at(folder.path());
        let lock = HomeLock::take(&home, "serve").expect("locked");
        let error = HomeLock::take(&home, "read").expect_err("in use");
        let expected = format!("is in use by process {} (`walytis serve`): ", std::process::id());
        assert!(error.downcast_ref::<InUse>().is_some() && error.to_string().contains(&expected), "{error}");
        drop(lock);
        HomeLock::take(&home, "read").expect("free again");
    }

    #[test]
    fn a_lock_file_of_rubbish_names_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        for rubbish in [&b""[..], b"\xff\xfe", b"no pid", b"12"] {
            fs::write(&path, rubbish).expect("written");
            assert_eq!(holder(&path), "another process");
        }
    }
}
