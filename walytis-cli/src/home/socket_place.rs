//! Where the socket of a running node is, so that its address fits and nobody else gets between.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::HomeFolder;

/// The socket's name in its folder.
const SOCKET: &str = "socket";

/// The most bytes of a socket's path that every Unix takes: 104 with the zero behind it, less a margin.
const ADDRESS_BYTES_MAX: usize = 100;

/// A place for the socket.
///
/// **Invariant:** the folder belongs to this user, and nobody else can look into it.
#[derive(Debug)]
pub(crate) struct SocketPlace {
    path: PathBuf,
    address: PathBuf,
    // The address leads through this descriptor.
    _folder: Option<OwnedFd>,
}

impl SocketPlace {
    /// Where the socket is as a file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path to the same file, short enough for an address.
    pub(crate) fn address(&self) -> &Path {
        &self.address
    }

    /// A socket in a private folder, if its address can be made to fit.
    fn inside(folder: &Path) -> Option<Self> {
        let path = folder.join(SOCKET);
        if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Some(Self { address: path.clone(), path, _folder: None });
        }
        Self::through_descriptor(folder, path)
    }

    /// Linux: the same folder under a short name.
    #[cfg(target_os = "linux")]
    fn through_descriptor(folder: &Path, path: PathBuf) -> Option<Self> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        use std::os::fd::AsRawFd;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let descriptor = openat(CWD, folder, flags, Mode::empty()).ok()?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
        // Without /proc there is no such way.
        short.is_dir().then(|| Self { path, address: short.join(SOCKET), _folder: Some(descriptor) })
    }

    #[cfg(not(target_os = "linux"))]
    fn through_descriptor(_folder: &Path, _path: PathBuf) -> Option<Self> {
        None
    }
}

/// Whether folders that are missing are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folders {
    /// A node is about to listen.
    Make,
    /// A command looks for a node.
    Find,
}

/// The place of the home's socket: in the home, or, where its address cannot be made to fit, in a folder of this user's
/// among the system's short-lived ones. `None` if no node of this home can be listening.
///
/// # Errors
/// A node cannot listen, because somebody else has the place.
pub(crate) fn socket_place(home: &HomeFolder, folders: Folders) -> anyhow::Result<Option<SocketPlace>> {
    let run = home.run();
    if !private(&run, folders)? {
        return Ok(None);
    }
    if let Some(place) = SocketPlace::inside(&run) {
        return Ok(Some(place));
    }
    let folder = short_lived(home)?;
    let usable = private(folder.parent().unwrap_or(&folder), folders)? && private(&folder, folders)?;
    Ok(usable.then(|| SocketPlace::inside(&folder)).flatten())
}

/// The folder with the home's socket, if others can look into it: then no command trusts what is there.
pub(crate) fn opened_to_others(home: &HomeFolder) -> Option<PathBuf> {
    let elsewhere = short_lived(home).ok();
    let parent = elsewhere.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    [Some(home.run()), parent, elsewhere].into_iter().flatten().find(|folder| {
        fs::symlink_metadata(folder).is_ok_and(|found| {
            found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 != 0
        })
    })
}

/// This user's folder for this home's socket, outside of the home. Its name is made from the home's, so that every
/// command finds it.
fn short_lived(home: &HomeFolder) -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let parent = match given {
        Some(folder) => folder.join("walytis"),
        None => std::env::temp_dir().join(format!("walytis-{}", rustix::process::geteuid().as_raw())),
    };
    let home = fs::canonicalize(home.path()).with_context(|| format!("cannot find {}", home.path().display()))?;
    let hash = blake3::hash(home.as_os_str().as_encoded_bytes());
    Ok(parent.join(hash.to_hex().get(..16).unwrap_or_default()))
}

/// Whether the folder is there, is this user's, and is closed to everybody else. For a node that is about to listen it is
/// made, or closed, if need be; what somebody else put in its place is an error then.
fn private(folder: &Path, folders: Folders) -> anyhow::Result<bool> {
    let cannot = || format!("cannot use {} for the node's socket", folder.display());
    if folders == Folders::Make {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).with_context(cannot),
            _ => {}
        }
    }
    // Not followed: a link would lead to where somebody else wants.
    let found = match fs::symlink_metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(cannot),
    };
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    let closed = found.mode() & 0o077 == 0;
    if folders == Folders::Find {
        return Ok(ours && closed);
    }
    ensure!(ours, "{} has to be a folder of this user, for the node's socket: remove what is there", folder.display());
    if !closed {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).with_context(cannot)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn a_socket_fits_however_long_the_home_is() {
        let parent = tempfile::tempdir().expect("a folder");
        for length in [1, 60, 200] {
            let home = HomeFolder::at(parent.path().join("h".repeat(length)).join("deep"));
            home.make().expect("made");
            assert!(socket_place(&home, Folders::Find).expect("looked").is_none());
            let place = socket_place(&home, Folders::Make).expect("found").expect("a place");
            assert_eq!(mode(&home.run()), 0o700);
            let listener = UnixListener::bind(place.address()).expect("bound");
            UnixStream::connect(place.address()).expect("connected");
            assert!(place.path().starts_with(home.path()) && place.path().exists());
            drop(listener);
        }
    }

    #[test]
    fn a_folder_of_others_is_refused() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("run");
        fs::create_dir(&folder).expect("made");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("set");
        assert!(!private(&folder, Folders::Find).expect("looked"), "others can look into it");
        let home = HomeFolder::at(parent.path());
        assert_eq!(opened_to_others(&home).as_ref(), Some(&folder));
        assert!(private(&folder, Folders::Make).expect("closed"));
        assert_eq!((mode(&folder), opened_to_others(&home)), (0o700, None));

        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).expect("linked");
        assert!(private(&link, Folders::Make).expect_err("a link").to_string().contains("a folder of this user"));
        let file = parent.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(!private(&file, Folders::Find).expect("looked"));
    }

    #[test]
    fn two_homes_have_two_short_places() {
        let parent = tempfile::tempdir().expect("a folder");
        let [one, two] = ["one", "two"].map(|name| HomeFolder::at(parent.path().join(name)));
        one.make().expect("made");
        two.make().expect("made");
        let [one, two] = [&one, &two].map(|home| short_lived(home).expect("a place"));
        assert!(one != two && one.parent() == two.parent() && one.as_os_str().len() < ADDRESS_BYTES_MAX);
    }
}
