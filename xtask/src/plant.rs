//! A compiler that plants bugs: cargo calls xtask in rustc's place for our own crates, when it is told to.
//!
//! `RUSTFLAGS` would do, too, and rebuild every dependency. What is built like this has names of its own in the target
//! folder, so that no ordinary build takes it for its own.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// The variable of the environment that makes xtask a compiler.
const VARIABLE: &str = "WALYTIS_PLANT";

/// Has cargo call this program for our own crates.
///
/// # Errors
/// The system does not say where this program is.
pub(crate) fn wrap(cargo: &mut Command) -> Result<()> {
    let own = std::env::current_exe().context("cannot find this program")?;
    cargo.env("RUSTC_WORKSPACE_WRAPPER", own).env(VARIABLE, "1");
    Ok(())
}

/// If cargo calls this program as the compiler, calls the real one with `--cfg planted`, and says how it ended.
pub(crate) fn compile() -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let mut arguments = std::env::args_os().skip(1);
    let status = Command::new(arguments.next()?).args(with_cfg(arguments)).status();
    match status {
        Ok(status) => {
            Some(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
        }
        Err(error) => {
            eprintln!("error: cannot start the compiler: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn with_cfg(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    arguments.chain(["--cfg", "planted"].map(OsString::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::with_cfg;

    #[test]
    fn the_compiler_is_told_of_planted_bugs() {
        let arguments = ["--crate-name", "x"].map(std::ffi::OsString::from);
        assert_eq!(with_cfg(arguments.into_iter()), ["--crate-name", "x", "--cfg", "planted"]);
    }
}
