//! Cargo's part, and what becomes of its results.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::elf::PAGE_BYTES;
use super::tools::Tools;
use super::{ABI, LIBRARY, TARGET};
use crate::process;
use crate::workspace::Workspace;

/// What stands beside results that link against stubs.
const NOTE: &str = "LINKED-AGAINST-STUBS.txt";

/// What cargo made.
pub(super) struct Built {
    pub(super) shared: PathBuf,
    pub(super) program: PathBuf,
}

/// Builds the library and the program.
pub(super) fn build(workspace: &Workspace, tools: &Tools, release: bool) -> Result<Built> {
    let mut command = process::cargo(&workspace.root);
    command.args(["build", "--target", TARGET, "--package", "walytis-android", "--package", "walytis-cli"]);
    command.args(["--lib", "--bin", "walytis"]);
    if release {
        command.arg("--release");
    }
    surround(&mut command, tools);
    process::run(&mut command)?;
    let profile = if release { "release" } else { "debug" };
    let folder = workspace.target_directory.join(TARGET).join(profile);
    Ok(Built { shared: folder.join(LIBRARY), program: folder.join("walytis") })
}

/// What cargo, rustc and the compiler of C are told by their environment.
fn surround(command: &mut Command, tools: &Tools) {
    let mut link: Vec<String> = tools.flags.iter().chain(&tools.link_flags).cloned().collect();
    // A shared library may have undefined symbols, and would be found to lack them on the device.
    link.push("-Wl,--no-undefined".to_owned());
    link.push(format!("-Wl,-z,max-page-size={PAGE_BYTES}"));
    let rust_flags: Vec<String> = link.iter().map(|flag| format!("-Clink-arg={flag}")).collect();
    // This form may have blanks inside a flag, and comes before any other.
    command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\u{1f}"));
    command.env("CARGO_TARGET_AARCH64_LINUX_ANDROID_LINKER", &tools.clang);
    let c_flags: Vec<&str> = tools.flags.iter().chain(&tools.c_flags).map(String::as_str).collect();
    for (name, program) in [("CC", &tools.clang), ("CXX", &tools.clang_cpp), ("AR", &tools.archiver)] {
        command.env(format!("{name}_{}", TARGET.replace('-', "_")), program);
    }
    for name in ["CFLAGS", "CXXFLAGS"] {
        command.env(format!("{name}_{}", TARGET.replace('-', "_")), c_flags.join(" "));
    }
}

/// Puts the results into a folder. Each file is there whole or as it was before; nothing else in the folder is touched.
pub(super) fn deliver(built: &Built, header: &Path, out: &Path, note: Option<&str>) -> Result<()> {
    put(&std::fs::read(&built.shared)?, &out.join("jniLibs").join(ABI).join(LIBRARY))?;
    put(&std::fs::read(header)?, &out.join("include").join("walytis.h"))?;
    let program = out.join("bin").join(ABI).join("walytis");
    put(&std::fs::read(&built.program)?, &program)?;
    std::fs::set_permissions(&program, std::fs::metadata(&built.program)?.permissions())?;
    let place = out.join(NOTE);
    match note {
        Some(note) => put(note.as_bytes(), &place),
        None if place.exists() => std::fs::remove_file(&place).context("cannot remove the note about stubs"),
        None => Ok(()),
    }
}

fn put(bytes: &[u8], place: &Path) -> Result<()> {
    let write = || -> std::io::Result<()> {
        place.parent().map(std::fs::create_dir_all).transpose()?;
        let beside = place.with_extension("part");
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, place)
    };
    write().with_context(|| format!("cannot write {}", place.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Built, NOTE, deliver};

    #[test]
    fn results_are_put_in_their_places() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, out) = (folder.path().join("from"), folder.path().join("out"));
        std::fs::create_dir_all(&from).expect("room");
        for name in ["library", "program", "header"] {
            std::fs::write(from.join(name), name).expect("room");
        }
        let built = Built { shared: from.join("library"), program: from.join("program") };
        let there = |path: &Path| std::fs::read_to_string(out.join(path)).ok();
        deliver(&built, &from.join("header"), &out, Some("stubs")).expect("room");
        assert_eq!(there("jniLibs/arm64-v8a/libwalytis_android.so".as_ref()).as_deref(), Some("library"));
        assert_eq!(there("include/walytis.h".as_ref()).as_deref(), Some("header"));
        assert_eq!(there("bin/arm64-v8a/walytis".as_ref()).as_deref(), Some("program"));
        assert_eq!(there(NOTE.as_ref()).as_deref(), Some("stubs"));
        // A later build with an NDK is no stub any more, and what others put there stays.
        std::fs::write(out.join("notes"), "mine").expect("room");
        deliver(&built, &from.join("header"), &out, None).expect("room");
        assert_eq!((there(NOTE.as_ref()), there("notes".as_ref()).as_deref()), (None, Some("mine")));
    }
}
