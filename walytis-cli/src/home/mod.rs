//! The home: one folder with everything that belongs to this machine's node.
//!
//! ```text
//! lock     who uses the home; locked while somebody does
//! name     what `id` calls it, if it has a name
//! run/     the socket of a running node, for this user alone
//! store/   keys and records, sealed; `reserve`, random bytes in the way of others, so that there is room to delete;
//!          and `listen`, in clear: the addresses where `serve` listens
//! ```

mod lock;
#[cfg(unix)]
mod socket_place;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use etcetera::BaseStrategy;

use crate::arguments::Global;

pub(crate) use lock::{HomeLock, InUse, WAIT};
#[cfg(unix)]
pub(crate) use socket_place::{Folders, SocketPlace, opened_to_others, socket_place};

const STORE: &str = "store";
/// A store that is being made. It gets its name when it is whole, so an interruption leaves no half of a home.
const UNFINISHED: &str = "store.unfinished";
const NAME: &str = "name";
const LOCK: &str = "lock";
const RUN: &str = "run";

/// Where a home is, whether it exists or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HomeFolder {
    path: PathBuf,
    /// Whether it is another than the platform's.
    named: bool,
}

impl HomeFolder {
    /// The home that was named, or the platform's place for it.
    pub(crate) fn find(global: &Global) -> anyhow::Result<Self> {
        let path = match &global.home {
            Some(path) => path.clone(),
            None => {
                let platform = etcetera::base_strategy::choose_native_strategy();
                platform
                    .context("this user has no home folder: give --home or WALYTIS_HOME")?
                    .data_dir()
                    .join("walytis")
            }
        };
        ensure!(!path.as_os_str().is_empty(), "--home needs a folder");
        let path = std::path::absolute(&path).with_context(|| format!("{} is no path", path.display()))?;
        Ok(Self { path, named: global.home.is_some() })
    }

    /// For commands that need no home.
    pub(crate) fn none() -> Self {
        Self { path: PathBuf::new(), named: false }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Whether there is a home.
    pub(crate) fn exists(&self) -> anyhow::Result<bool> {
        let store = self.store();
        store.try_exists().with_context(|| format!("cannot look into {}", self.path.display()))
    }

    /// There has to be a home.
    pub(crate) fn must_exist(&self) -> anyhow::Result<()> {
        ensure!(
            self.exists()?,
            "there is no home in {}: make one with {}, or name another with --home",
            self.path.display(),
            self.init_command()
        );
        Ok(())
    }

    /// What to do when the home cannot be saved.
    pub(crate) fn way_out(&self) -> String {
        format!(
            "If another build of walytis used this home last, that build may read it: try that one first. If not, put back \
             a copy of {path}; without one, move that folder away and keep it, make a new home with {init}, and join the \
             groups again by new invitations: it will be another member, and what a founder managed stays without it",
            path = self.path.display(),
            init = self.init_command()
        )
    }

    /// The command that makes this home.
    fn init_command(&self) -> String {
        if self.named { format!("`walytis --home {} init`", self.path.display()) } else { "`walytis init`".to_owned() }
    }

    /// There must be none, nor anything else that is not ours.
    pub(crate) fn must_be_free(&self) -> anyhow::Result<()> {
        let path = self.path.display();
        ensure!(
            !self.exists()?,
            "{path} holds a home already: nothing was changed. Use it, or name another with --home"
        );
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("cannot look into {path}")),
        };
        for entry in entries {
            let name = entry?.file_name();
            if ![UNFINISHED, NAME, LOCK, RUN].iter().any(|ours| name == *ours) {
                bail!("{path} holds other files: nothing was changed. Name a folder for the home with --home");
            }
        }
        Ok(())
    }

    /// Makes the folder, for this user alone.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        let cannot = || format!("cannot make the folder {}", self.path.display());
        make_private(&self.path).with_context(cannot)?;
        // One that was there may be open to others.
        #[cfg(unix)]
        fs::set_permissions(&self.path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).with_context(cannot)?;
        Ok(())
    }

    /// Makes the store by `make`, which is given its place. The home exists from when this has returned, and not before.
    ///
    /// The lock shows that nobody else is at it.
    pub(crate) fn make_store<T>(
        &self,
        name: Option<&str>,
        _lock: &HomeLock,
        make: impl FnOnce(&Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let unfinished = self.path.join(UNFINISHED);
        let cannot = || format!("cannot make a home in {}", self.path.display());
        remove_folder(&unfinished).with_context(cannot)?;
        let finish = || {
            let made = make(&unfinished)?;
            if let Some(name) = name {
                write_private(&self.path.join(NAME), name).with_context(cannot)?;
            }
            fs::rename(&unfinished, self.store()).with_context(cannot)?;
            sync_folder(&self.path).with_context(cannot)?;
            Ok(made)
        };
        finish().inspect_err(|_| drop(remove_folder(&unfinished)))
    }

    /// What the home was named.
    pub(crate) fn name(&self) -> Option<String> {
        fs::read_to_string(self.path.join(NAME)).ok()
    }

    /// The folder for the socket of a running node.
    #[cfg(unix)]
    pub(crate) fn run(&self) -> PathBuf {
        self.path.join(RUN)
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    #[cfg(test)]
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), named: true }
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder, and those above it, that only this user can look into. One that exists keeps its permissions.
fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file that only this user can read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// Makes the names in a folder durable, where folders can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, HomeFolder) {
        let parent = tempfile::tempdir().expect("a folder");
        let home = HomeFolder::at(parent.path().join("home"));
        (parent, home)
    }

    #[test]
    fn a_home_is_there_whole_or_not_at_all() {
        let (_parent, home) = folder();
        home.must_be_free().expect("free");
        home.make().expect("made");
        let lock = HomeLock::take(&home, "init").expect("locked");
        let failed = home.make_store(None, &lock, |place| -> anyhow::Result<()> {
            fs::create_dir(place)?;
            bail!("broke off")
        });
        assert_eq!(failed.expect_err("failed").to_string(), "broke off");
        // A killed process leaves its unfinished store.
        fs::create_dir_all(home.path().join(UNFINISHED).join("deep")).expect("left behind");
        assert!(!home.exists().expect("looked"));
        home.must_be_free().expect("still free");
        home.must_exist().expect_err("not there yet");

        let made = home.make_store(Some("mine"), &lock, |place| Ok(fs::create_dir(place)?));
        made.expect("made");
        home.must_exist().expect("there");
        assert!(home.must_be_free().is_err() && !home.path().join(UNFINISHED).exists());
        assert_eq!(home.name().as_deref(), Some("mine"));
    }

    #[test]
    fn a_folder_with_other_files_is_no_place_for_a_home() {
        let (parent, _) = folder();
        fs::write(parent.path().join("letter.txt"), "").expect("written");
        let error = HomeFolder::at(parent.path()).must_be_free().expect_err("not free");
        assert!(error.to_string().contains("other files"), "{error}");
    }
}
