//! The gate's step `deny`: cargo-deny over deny.toml, built from the registry when it is missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// The one version that we run, so that the gate says the same everywhere.
const VERSION: &str = "0.20.2";

/// It runs for a second: building it quickly saves more than running it quickly.
const QUICK_BUILD: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
];

/// Checks bans and version floors, licences and sources. Advisories are left out: their database is no crate, so
/// fetching it would reach beyond the registry.
///
/// # Errors
/// A check fails, or cargo-deny cannot be built.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tools = workspace.target_directory.join("tools");
    let program = tools.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    if !is_installed(&program) {
        install(workspace, &tools)?;
    }
    let mut check = Command::new(&program);
    check.current_dir(&workspace.root);
    if let Some(color) = std::env::var_os("CARGO_TERM_COLOR") {
        check.arg("--color").arg(color);
    }
    check.args(["--workspace", "--all-features", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    process::run(&mut check)
}

fn is_installed(program: &Path) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|version| version.stdout.trim_ascii() == format!("cargo-deny {VERSION}").as_bytes())
}

fn install(workspace: &Workspace, tools: &Path) -> Result<()> {
    println!("building cargo-deny {VERSION}, once");
    let build = tools.join("build");
    let mut command = process::cargo(&workspace.root);
    command.args(["install", "--quiet", "--locked", "cargo-deny", "--version", &format!("={VERSION}")]);
    command.arg("--root").arg(tools).arg("--target-dir").arg(&build);
    command.envs(QUICK_BUILD.iter().copied()).env_remove("RUSTFLAGS");
    process::run(&mut command).with_context(|| format!("cannot build cargo-deny {VERSION}"))?;
    std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_installed;

    #[test]
    fn another_program_is_not_taken_for_it() {
        assert!(!is_installed(Path::new("rustc")));
        assert!(!is_installed(Path::new("no-such-program-here")));
    }
}
