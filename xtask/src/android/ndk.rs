//! Where the Android NDK is, in the order in which cargo-ndk looks for it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Variables that name an NDK, the first that is set first.
const NDK_VARIABLES: &[&str] = &["ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK_PATH", "NDK_HOME"];

/// Variables that name an SDK, whose folder `ndk` has a folder for each version.
const SDK_VARIABLES: &[&str] = &["ANDROID_HOME", "ANDROID_SDK_ROOT", "ANDROID_SDK_HOME"];

/// The first version with LLVM's unwinder, which the standard library needs.
const MAJOR_MIN: u32 = 23;

/// The command that brings one.
pub(super) const INSTALL: &str = "sdkmanager --install \"ndk;28.2.13676358\"";

/// What this machine says of itself: tests make it up.
pub(super) struct Surroundings<'a> {
    /// A variable of the environment; `None` if it is not set, or empty.
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// `linux`, `macos` or `windows`, as [`std::env::consts::OS`] has it.
    pub(super) system: &'a str,
}

/// A version as `source.properties` has it: major, minor, build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32, u32);

impl Version {
    /// Reads the line `Pkg.Revision = 28.2.13676358`; what follows the numbers, such as `-beta1`, does not count.
    fn of(root: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(root.join("source.properties")).ok()?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Pkg.Revision"))?;
        let value = line.trim_start().strip_prefix('=')?.trim();
        let mut numbers = value.split('.').map(|part| {
            let end = part.find(|char: char| !char.is_ascii_digit()).unwrap_or(part.len());
            part.get(..end)?.parse().ok()
        });
        Some(Self(numbers.next()??, numbers.next().flatten().unwrap_or(0), numbers.next().flatten().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// An NDK that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ndk {
    pub(super) root: PathBuf,
    pub(super) version: Version,
    /// What named it.
    pub(super) source: String,
}

/// Finds the NDK.
///
/// # Errors
/// What is wrong, in a sentence without the command that helps: a variable names something else, the version is too old, or
/// there is none.
pub(super) fn find(around: &Surroundings<'_>) -> Result<Ndk, String> {
    for name in NDK_VARIABLES {
        if let Some(value) = (around.variable)(name) {
            let root = PathBuf::from(value);
            return match Version::of(&root) {
                Some(version) => recent(Ndk { root, version, source: (*name).to_owned() }),
                None => Err(format!("{name} is {}, which has no source.properties of an NDK", root.display())),
            };
        }
    }
    let named = SDK_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), (around.variable)(name)?.into())));
    let default = default_sdk(around).map(|sdk| ("the platform's default folder".to_owned(), sdk));
    for (source, sdk) in named.chain(default) {
        if let Some((version, root)) = highest(&sdk.join("ndk")) {
            return recent(Ndk { root, version, source });
        }
    }
    Err("there is no Android NDK".to_owned())
}

fn recent(ndk: Ndk) -> Result<Ndk, String> {
    if ndk.version.0 < MAJOR_MIN {
        let root = ndk.root.display();
        return Err(format!("the NDK in {root} is version {}, and {MAJOR_MIN} or later is needed", ndk.version));
    }
    Ok(ndk)
}

/// The highest version of an SDK's folder. Folders that are no NDK are passed over.
fn highest(folder: &Path) -> Option<(Version, PathBuf)> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter_map(|root| Some((Version::of(&root)?, root))).max()
}

fn default_sdk(around: &Surroundings<'_>) -> Option<PathBuf> {
    let home = |name| (around.variable)(name).map(PathBuf::from);
    match around.system {
        "windows" => home("LOCALAPPDATA").map(|home| home.join("Android").join("Sdk")),
        "macos" => home("HOME").map(|home| home.join("Library").join("Android").join("sdk")),
        _ => home("HOME").map(|home| home.join("Android").join("Sdk")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::{MAJOR_MIN, Ndk, Surroundings, Version, find};

    /// A folder with made-up NDKs, and an environment.
    struct Tree {
        folder: tempfile::TempDir,
        variables: BTreeMap<&'static str, PathBuf>,
        system: &'static str,
    }

    impl Tree {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            Self { folder, variables: BTreeMap::new(), system: "linux" }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.folder.path().join(path)
        }

        fn ndk(self, path: &str, revision: &str) -> Self {
            std::fs::create_dir_all(self.path(path)).expect("room");
            let text = format!("Pkg.Desc = Android NDK\nPkg.Revision = {revision}\nPkg.BaseRevision = 1.0.0\n");
            std::fs::write(self.path(path).join("source.properties"), text).expect("room");
            self
        }

        fn set(mut self, name: &'static str, path: &str) -> Self {
            let value = self.path(path);
            self.variables.insert(name, value);
            self
        }

        fn find(&self) -> Result<Ndk, String> {
            let variable = |name: &str| self.variables.get(name).map(|path| path.clone().into_os_string());
            find(&Surroundings { variable: &variable, system: self.system })
        }

        /// Checks where an NDK is found, and by what.
        fn finds(&self, path: &str, source: &str) {
            let found = self.find().expect("an NDK");
            assert_eq!((found.root.as_path(), found.source.as_str()), (self.path(path).as_path(), source));
        }

        fn fails(&self, message: &str) {
            let error = self.find().expect_err("no NDK");
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn variables_come_in_their_order() {
        let mut tree = Tree::new().ndk("sdk/ndk/29.0.1", "29.0.1").set("ANDROID_HOME", "sdk");
        for (index, name) in ["NDK_HOME", "ANDROID_NDK_PATH", "ANDROID_NDK_ROOT", "ANDROID_NDK_HOME"].iter().enumerate()
        {
            let path = format!("ndk{index}");
            tree = tree.ndk(&path, "27.0.1").set(name, &path);
            tree.finds(&path, name);
        }
    }

    #[test]
    fn the_highest_version_of_the_first_sdk_is_taken() {
        let tree = Tree::new()
            .ndk("a/ndk/9", "27.2.9")
            .ndk("a/ndk/10", "27.10.1")
            .ndk("b/ndk/99", "99.0.0")
            .ndk("c/ndk/98", "98.0.0");
        std::fs::create_dir_all(tree.path("a/ndk/no-ndk")).expect("room");
        let tree = tree.set("ANDROID_SDK_HOME", "c");
        tree.finds("c/ndk/98", "ANDROID_SDK_HOME");
        let tree = tree.set("ANDROID_SDK_ROOT", "b");
        tree.finds("b/ndk/99", "ANDROID_SDK_ROOT");
        let tree = tree.set("ANDROID_HOME", "a");
        tree.finds("a/ndk/10", "ANDROID_HOME");
        // One without any is passed over.
        tree.set("ANDROID_HOME", "nowhere").finds("b/ndk/99", "ANDROID_SDK_ROOT");
    }

    #[test]
    fn each_platform_has_a_default() {
        for (system, variable, path) in [
            ("linux", "HOME", "home/Android/Sdk/ndk/1"),
            ("macos", "HOME", "home/Library/Android/sdk/ndk/1"),
            ("windows", "LOCALAPPDATA", "home/Android/Sdk/ndk/1"),
        ] {
            let mut tree = Tree::new().ndk(path, "28.0.0").set(variable, "home");
            tree.system = system;
            tree.finds(path, "the platform's default folder");
        }
    }

    #[test]
    fn what_is_no_ndk_is_named() {
        Tree::new().fails("there is no Android NDK");
        // A variable that leads nowhere is not passed over: whoever set it would be surprised by another one.
        let tree = Tree::new().ndk("sdk/ndk/28", "28.0.0").set("ANDROID_HOME", "sdk").set("ANDROID_NDK_ROOT", "gone");
        tree.fails("ANDROID_NDK_ROOT is ");
        Tree::new().ndk("old", "21.4.7075529").set("NDK_HOME", "old").fails("is version 21.4.7075529, and 23");
    }

    #[test]
    fn versions_are_read() {
        for (text, expected) in [
            ("28.2.13676358", Some(Version(28, 2, 13_676_358))),
            ("27.0.11883388-beta1", Some(Version(27, 0, 11_883_388))),
            ("29", Some(Version(29, 0, 0))),
            ("r29", None),
            ("", None),
        ] {
            let tree = Tree::new().ndk("n", text);
            assert_eq!(Version::of(&tree.path("n")), expected, "{text}");
        }
        assert_eq!(Version::of(Path::new("nowhere")), None);
        assert!(Version(27, 10, 1) > Version(27, 9, 2) && MAJOR_MIN > 0);
    }
}
