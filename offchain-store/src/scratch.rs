//! Files that are written beside their final place and renamed into it, so that a crash leaves all or nothing.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::file_lock;
use crate::open_error::OpenError;

/// The place beside `path` where its first version is written.
pub(crate) fn scratch_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".new");
    path.with_file_name(name)
}

/// Opens the scratch file of `path`, locked and empty; refuses if any of `results` exists. Leftovers of a creation that
/// was cut short are overwritten: nothing in them was ever acknowledged.
pub(crate) fn open_scratch(path: &Path, results: &[&Path]) -> Result<File, OpenError> {
    let scratch = scratch_path(path);
    let file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
        .open(&scratch)
        .map_err(|error| OpenError::io(&scratch, error))?;
    lock(&file, &scratch)?;
    // Only under the lock: whoever held it before may have renamed this very file into place.
    for result in results {
        if result.try_exists().map_err(|error| OpenError::io(result, error))? {
            return Err(OpenError::exists(result));
        }
    }
    file.set_len(0).map_err(|error| OpenError::io(&scratch, error))?;
    Ok(file)
}

/// Takes the file's lock, where the platform has locks.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    match file_lock::try_lock(file) {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::in_use(path)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(OpenError::io(path, error)),
    }
}

/// Renames the scratch file of `path` into place, durably.
pub(crate) fn settle(path: &Path) -> Result<(), OpenError> {
    std::fs::rename(scratch_path(path), path).map_err(|error| OpenError::io(path, error))?;
    sync_parent(path)
}

/// Makes the folder's list of names durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if cfg!(unix) {
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(|error| OpenError::io(parent, error))?;
    }
    Ok(())
}

/// Makes the folder, for its owner only, if it is not there.
pub(crate) fn make_folder(path: &Path) -> Result<(), OpenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| OpenError::io(path, error))?;
    sync_parent(path)
}

/// New files are for their owner only.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
