//! What a build needs: the target's standard library, a compiler and linker, and Android's libraries or stubs of them.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::TARGET;
use super::ndk::{self, Ndk, Surroundings};
use crate::process;

/// What the standard library comes with.
const INSTALL_STD: &str = "rustup target add aarch64-linux-android";

/// What the tools come with where there is no NDK, and the version that was tried.
const INSTALL_CLANG: &str = "apt-get install clang-19 lld-19 llvm-19";

/// What each sysroot of stubs has, from the folder of its API level.
const STUBS: &[&str] = &[
    "libc.so",
    "libm.so",
    "libdl.so",
    "liblog.so",
    "libunwind.a",
    "crtbegin_dynamic.o",
    "crtbegin_so.o",
    "crtend_android.o",
    "crtend_so.o",
];

/// C code of our dependencies is written for bionic's headers; musl's give some names only when they are asked for. Calls of
/// helpers for atomic instructions would need a library that a sysroot of stubs does not have.
const STUB_C_FLAGS: &[&str] = &["-D_DEFAULT_SOURCE", "-DNDEBUG", "-mno-outline-atomics"];

/// Something that is not there, and the command that brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) what: String,
    pub(super) command: String,
}

impl Missing {
    pub(super) fn new(what: impl Into<String>, command: impl Into<String>) -> Self {
        Self { what: what.into(), command: command.into() }
    }
}

/// All that is missing, in one message.
pub(super) fn message(missing: &[Missing]) -> String {
    let mut text = "nothing was built, for this is missing:".to_owned();
    for Missing { what, command } in missing {
        let _ = write!(text, "\n  - {what}\n      {command}");
    }
    text
}

/// A compiler that also links, and what it is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tools {
    /// What is used, for a person.
    pub(super) description: String,
    pub(super) clang: PathBuf,
    pub(super) clang_cpp: PathBuf,
    pub(super) archiver: PathBuf,
    /// What the compiler is told whatever it does.
    pub(super) flags: Vec<String>,
    /// What it is told when it compiles C.
    pub(super) c_flags: Vec<String>,
    /// What it is told when it links.
    pub(super) link_flags: Vec<String>,
    is_stub: bool,
}

impl Tools {
    /// Finds everything, or says all that is missing.
    pub(super) fn find(api: u32, stub_sysroot: Option<&Path>) -> Result<Self, Vec<Missing>> {
        let mut missing = Vec::new();
        missing.extend(standard_library(target_folder()).err());
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let tools = match stub_sysroot {
            Some(sysroot) => Self::of_stubs(sysroot, api, variable("PATH").unwrap_or_default().as_os_str()),
            None => {
                let around = Surroundings { variable: &variable, system: std::env::consts::OS };
                match ndk::find(&around) {
                    Ok(ndk) => Self::of_ndk(&ndk, api),
                    Err(what) => Err(vec![Missing::new(what, ndk::INSTALL)]),
                }
            }
        };
        match tools {
            Ok(tools) if missing.is_empty() => Ok(tools),
            Ok(_) => Err(missing),
            Err(more) => {
                missing.extend(more);
                Err(missing)
            }
        }
    }

    /// An NDK's tools.
    fn of_ndk(ndk: &Ndk, api: u32) -> Result<Self, Vec<Missing>> {
        let prebuilt = ndk.root.join("toolchains").join("llvm").join("prebuilt");
        // One folder, named after the machine for which the NDK is.
        let host =
            std::fs::read_dir(&prebuilt).ok().and_then(|mut hosts| hosts.find_map(|host| Some(host.ok()?.path())));
        let bin = host.unwrap_or_else(|| prebuilt.join("HOST")).join("bin");
        let tool = |name: &str| bin.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        let needed = [tool("clang"), tool("clang++"), tool("llvm-ar"), tool("ld.lld")];
        let sysroot = bin.with_file_name("sysroot").join("usr").join("lib").join(TARGET).join(api.to_string());
        let needs = needed.iter().chain([&sysroot]).filter(|path| !path.exists());
        let missing: Vec<Missing> = needs
            .map(|path| Missing::new(format!("the NDK {} lacks {}", ndk.version, path.display()), ndk::INSTALL))
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let [clang, clang_cpp, archiver, _] = needed;
        Ok(Self {
            description: format!("NDK {} in {} (by {}), API level {api}", ndk.version, ndk.root.display(), ndk.source),
            clang,
            clang_cpp,
            archiver,
            flags: vec![format!("--target={TARGET}{api}")],
            c_flags: Vec::new(),
            link_flags: Vec::new(),
            is_stub: false,
        })
    }

    /// The system's tools, and stubs.
    fn of_stubs(sysroot: &Path, api: u32, path: &OsStr) -> Result<Self, Vec<Missing>> {
        let mut missing = Vec::new();
        let mut tool = |names: &[&str]| {
            on_path(path, names).unwrap_or_else(|| {
                missing.push(Missing::new(format!("there is no {} on the path", names.join(" or ")), INSTALL_CLANG));
                PathBuf::new()
            })
        };
        let clang = tool(&["clang-19", "clang"]);
        let clang_cpp = tool(&["clang++-19", "clang++"]);
        let archiver = tool(&["llvm-ar-19", "llvm-ar"]);
        let linker = tool(&["ld.lld-19", "ld.lld"]);
        let usr = sysroot.join("usr");
        let libraries = usr.join("lib").join(TARGET).join(api.to_string());
        let files = STUBS.iter().map(|name| libraries.join(name)).chain([usr.join("include").join("stdlib.h")]);
        for file in files.filter(|file| !file.is_file()) {
            let command = "docs/android.md has the commands that make a sysroot of stubs";
            missing.push(Missing::new(format!("the sysroot lacks {}", file.display()), command));
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        let sysroot = std::path::absolute(sysroot).unwrap_or_else(|_| sysroot.to_path_buf());
        Ok(Self {
            description: format!("stubs in {}, API level {api}", sysroot.display()),
            clang,
            clang_cpp,
            archiver,
            flags: vec![format!("--target={TARGET}{api}"), format!("--sysroot={}", sysroot.display())],
            c_flags: STUB_C_FLAGS.iter().map(|flag| (*flag).to_owned()).collect(),
            link_flags: vec![format!("--ld-path={}", linker.display())],
            is_stub: true,
        })
    }

    /// What has to stand beside results that no device can be promised.
    pub(super) fn stub_note(&self) -> Option<&'static str> {
        self.is_stub.then_some("These files link against stubs, and were not run on Android.\n")
    }

    /// The last line.
    pub(super) fn conclusion(&self) -> &'static str {
        if self.is_stub { "links against stubs, not run on Android" } else { "linked by the NDK, not run on a device" }
    }
}

/// The first of these programs that a path of folders has.
pub(super) fn on_path(path: &OsStr, names: &[&str]) -> Option<PathBuf> {
    names.iter().find_map(|name| {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(path).map(|folder| folder.join(&file)).find(|file| file.is_file())
    })
}

/// Where the compiler that cargo uses has the target's libraries, whether it has them or not.
fn target_folder() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]);
    Some(PathBuf::from(process::output(&mut command).ok()?.trim_end()))
}

/// Whether a folder has the standard library.
fn standard_library(folder: Option<PathBuf>) -> Result<(), Missing> {
    let Some(folder) = folder else {
        return Err(Missing::new("rustc does not say where the target's libraries are", INSTALL_STD));
    };
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    if names.any(|name| name.starts_with("libstd-") && name.ends_with(".rlib")) {
        return Ok(());
    }
    let what = format!("the standard library for {TARGET} is not in {}", folder.display());
    Err(Missing::new(what, INSTALL_STD))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::ndk::{Surroundings, find};
    use super::{Missing, STUBS, Tools, message, on_path, standard_library};

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        std::fs::write(path, "").expect("room");
    }

    fn exe(name: &str) -> String {
        format!("{name}{}", std::env::consts::EXE_SUFFIX)
    }

    /// A made-up NDK with all of its tools but those that are left out.
    fn ndk_without(folder: &Path, left_out: &str) -> Result<Tools, Vec<Missing>> {
        let root = folder.join("ndk");
        let host = root.join("toolchains/llvm/prebuilt/some-machine");
        for name in ["clang", "clang++", "llvm-ar", "ld.lld"].into_iter().filter(|name| *name != left_out) {
            touch(&host.join("bin").join(exe(name)));
        }
        touch(&host.join("sysroot/usr/lib/aarch64-linux-android/24/libc.so"));
        std::fs::write(root.join("source.properties"), "Pkg.Revision = 28.0.1\n").expect("room");
        let variable = |name: &str| (name == "NDK_HOME").then(|| root.clone().into_os_string());
        let ndk = find(&Surroundings { variable: &variable, system: "linux" }).expect("an NDK");
        Tools::of_ndk(&ndk, if left_out == "level" { 23 } else { 24 })
    }

    #[test]
    fn an_ndk_is_taken_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let tools = ndk_without(folder.path(), "").expect("all is there");
        assert_eq!(tools.flags, ["--target=aarch64-linux-android24"]);
        assert!(tools.stub_note().is_none() && tools.description.starts_with("NDK 28.0.1 in "));
        for (left_out, named) in [("clang", "clang"), ("ld.lld", "ld.lld"), ("level", "23")] {
            let folder = tempfile::tempdir().expect("a folder");
            let missing = ndk_without(folder.path(), left_out).expect_err(left_out);
            assert_eq!(missing.len(), 1, "{missing:?}");
            assert!(missing[0].what.contains(named) && missing[0].command.starts_with("sdkmanager"), "{missing:?}");
        }
    }

    /// A made-up sysroot and path, without one file.
    fn stubs_without(folder: &Path, left_out: &str) -> Result<Tools, Vec<Missing>> {
        let programs =
            ["clang-19", "clang++-19", "llvm-ar-19", "ld.lld-19"].map(|name| folder.join("bin").join(exe(name)));
        let libraries = folder.join("usr/lib/aarch64-linux-android/24");
        let files = STUBS.iter().map(|name| libraries.join(name)).chain([folder.join("usr/include/stdlib.h")]);
        let wanted =
            |path: &PathBuf| left_out.is_empty() || !path.ends_with(exe(left_out)) && !path.ends_with(left_out);
        programs.into_iter().chain(files).filter(wanted).for_each(|path| touch(&path));
        Tools::of_stubs(folder, 24, folder.join("bin").as_os_str())
    }

    #[test]
    fn stubs_are_taken_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let tools = stubs_without(folder.path(), "").expect("all is there");
        assert_eq!(tools.conclusion(), "links against stubs, not run on Android");
        assert!(tools.stub_note().is_some() && tools.flags[1].starts_with("--sysroot="));
        for left_out in ["clang-19", "ld.lld-19", "libunwind.a", "stdlib.h"] {
            let folder = tempfile::tempdir().expect("a folder");
            let missing = stubs_without(folder.path(), left_out).expect_err(left_out);
            assert!(missing.len() == 1 && missing[0].what.contains(left_out), "{missing:?}");
        }
        // Everything at once, in one list.
        let missing = Tools::of_stubs(Path::new("nowhere"), 24, "".as_ref()).expect_err("nothing is there");
        assert_eq!(missing.len(), 4 + STUBS.len() + 1);
    }

    #[test]
    fn all_that_is_missing_is_in_one_message() {
        let missing = [Missing::new("a is gone", "get a"), Missing::new("b is gone", "get b")];
        let expected =
            "nothing was built, for this is missing:\n  - a is gone\n      get a\n  - b is gone\n      get b";
        assert_eq!(message(&missing), expected);
    }

    #[test]
    fn the_standard_library_is_looked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = || standard_library(Some(folder.path().to_path_buf()));
        touch(&folder.path().join("libstd_detect-1.rlib"));
        touch(&folder.path().join("libstd-1.rmeta"));
        let missing = found().expect_err("it is not there");
        assert_eq!(missing.command, "rustup target add aarch64-linux-android");
        touch(&folder.path().join("libstd-1.rlib"));
        found().expect("it is there");
        standard_library(None).expect_err("nobody said where");
        standard_library(Some("nowhere".into())).expect_err("there is no such folder");
    }

    #[test]
    fn programs_are_found_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (folder.path().join("1"), folder.path().join("2"));
        touch(&first.join(exe("b")));
        touch(&second.join(exe("a")));
        touch(&second.join(exe("b")));
        let path = std::env::join_paths([&first, &second]).expect("a path");
        assert_eq!(on_path(&path, &["a", "b"]), Some(second.join(exe("a"))));
        assert_eq!(on_path(&path, &["b"]), Some(first.join(exe("b"))));
        assert_eq!(on_path(&path, &["c"]), None);
    }
}
