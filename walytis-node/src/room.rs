//! Room for deleting where the disk is full.
//!
//! A store needs room to delete: a step is written beside what it replaces, which becomes free behind it. So each home keeps
//! a file that says nothing, and gives it up when a chain is to be deleted and nothing else is left. It comes back once
//! there is room again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walytis_engine::DiskSpace;

use crate::options::NodeOptions;

/// The file's name in the store's folder.
const NAME: &str = "reserve";

/// A file that is being made, or that tries whether there is room.
const UNFINISHED: &str = "reserve.new";

/// How large the file is: several times what the first steps of a deletion change in a store of any size.
const BYTES: usize = 1024 * 1024;

/// The folder of a store, and the room that is kept in it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    folder: PathBuf,
}

impl Room {
    pub(crate) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// What a node on this disk is started with: it asks the file system how much room there is.
    pub(crate) fn options(&self) -> NodeOptions {
        let (room, folder) = (self.clone(), self.folder.clone());
        NodeOptions {
            room: Some(Arc::new(move |bytes| room.has(bytes))),
            disk_space: Some(Arc::new(move || disk_space(&folder))),
            ..NodeOptions::default()
        }
    }

    /// Keeps the file, if there is room for it and as much again.
    pub(crate) fn keep(&self) {
        let wanted = u64::try_from(BYTES).ok();
        let kept = fs::metadata(self.folder.join(NAME)).ok().map(|file| file.len());
        if kept.is_some() && kept == wanted {
            return;
        }
        let keep = || -> io::Result<()> {
            let file = self.fill(2 * BYTES)?;
            file.set_len(wanted.unwrap_or_default())?;
            file.sync_all()?;
            fs::rename(self.folder.join(UNFINISHED), self.folder.join(NAME))
        };
        if let Err(error) = keep() {
            tracing::debug!(%error, "no room is kept for deleting");
            let _ = fs::remove_file(self.folder.join(UNFINISHED));
        }
    }

    /// Whether there is room for so many bytes beside what is kept.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        // What the file system says is cheap, and may be too much: only where there could be room it is tried.
        if disk_space(&self.folder).is_some_and(|disk| disk.free_bytes < bytes) {
            return false;
        }
        self.keep();
        let kept = fs::metadata(self.folder.join(NAME)).is_ok();
        let there_is = kept && usize::try_from(bytes).is_ok_and(|bytes| self.fill(bytes).is_ok());
        let _ = fs::remove_file(self.folder.join(UNFINISHED));
        there_is
    }

    /// Whether there is room to begin a deletion. If need be, the file is given up for it.
    pub(crate) fn make(&self) -> bool {
        let there_is = self.fill(BYTES).is_ok();
        let _ = fs::remove_file(self.folder.join(UNFINISHED));
        there_is || fs::remove_file(self.folder.join(NAME)).is_ok()
    }

    /// Writes a file of so many bytes, which no file system can make small.
    fn fill(&self, bytes: usize) -> io::Result<File> {
        let mut random = offchain_store::system_random().map_err(io::Error::other)?;
        let mut content = vec![0; bytes];
        random.fill_bytes(&mut content);
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(self.folder.join(UNFINISHED))?;
        file.write_all(&content)?;
        // Some file systems find out only now.
        file.sync_all()?;
        Ok(file)
    }
}

/// How much room the disk of a folder has for this user.
#[cfg(unix)]
fn disk_space(folder: &Path) -> Option<DiskSpace> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some(DiskSpace { free_bytes: bytes(disk.f_bavail), total_bytes: bytes(disk.f_blocks) })
}

/// No library that is in use here says it elsewhere: a full disk is noticed when writing fails.
#[cfg(not(unix))]
const fn disk_space(_folder: &Path) -> Option<DiskSpace> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_home_asks_its_own_disk_how_much_room_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let space = Room::of(folder.path()).options().disk_space.unwrap()().unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0, "{space:?}");
        assert_eq!(Room::of(&folder.path().join("nowhere")).options().disk_space.unwrap()(), None);
    }

    #[test]
    fn what_is_kept_is_given_up_once_there_is_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::of(folder.path());
        let files = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        room.keep();
        assert_eq!(files(), [NAME]);
        assert_eq!(fs::metadata(folder.path().join(NAME)).unwrap().len(), 1024 * 1024);
        assert!(room.make());
        assert_eq!(files(), [NAME], "there is room, so it is kept");
        // A folder in its place keeps the trial from being written.
        fs::create_dir(folder.path().join(UNFINISHED)).unwrap();
        assert!(room.make());
        assert_eq!(files(), [UNFINISHED]);
        assert!(!room.make(), "nothing is left to give up");
        room.keep();
        assert_eq!(files(), [UNFINISHED], "there is no room for it");
        fs::remove_dir(folder.path().join(UNFINISHED)).unwrap();
        room.keep();
        assert_eq!(files(), [NAME]);
    }
}
