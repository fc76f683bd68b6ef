//! Namespaces of our own, which the kernel takes away with everything in them as soon as we end, however we end.
//!
//! The command starts itself again as the first process of a process namespace, with a network and a view of the mounts
//! of its own. When that process ends the kernel kills all others in it; without processes, the networks and the files
//! (in memory, mounted there alone) are gone. It ends when the pipe from the command that was typed closes: that happens
//! when it returns, fails, is interrupted or is killed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Arguments;
use crate::process;
use crate::workspace::Workspace;

/// Where the files of a run are, in memory: nobody outside sees them.
pub(super) const FOLDER: &str = "/run";

/// Refuses to begin where it cannot work, with what to do about it.
fn check_machine() -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "hosts are network namespaces, which Linux alone has");
    let user = process::output(Command::new("id").arg("-u")).context("cannot tell which user this is")?;
    ensure!(
        user.trim() == "0",
        "network namespaces can be made by root alone: run `sudo -E env \"PATH=$PATH\" cargo xtask hosts`"
    );
    for (program, package) in [("ip", "iproute2"), ("unshare", "util-linux"), ("mount", "mount")] {
        let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ensure!(found.is_ok(), "`{program}` is missing: install it, on Debian with `apt-get install {package}`");
    }
    Ok(())
}

/// Builds the binary, unless one is given, and runs the scenarios in namespaces of their own.
pub(super) fn enter(arguments: &Arguments) -> Result<()> {
    check_machine()?;
    let binary = match &arguments.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("there is no {}", binary.display()))?,
        None => build()?,
    };
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command.arg(std::env::current_exe()?).args(["hosts", "--inside", "--binary"]).arg(binary);
    command.arg("--seed").arg(arguments.seed.to_string()).arg("--lines").arg(arguments.lines.to_string());
    command.arg("--limit-s").arg(arguments.limit_s.to_string()).args(arguments.json.then_some("--json"));
    let part = clap::ValueEnum::to_possible_value(&arguments.part);
    command.args(part.iter().flat_map(|part| ["--part", part.get_name()]));
    // Ctrl-C is for us alone; what is inside ends because we do.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.stdin(Stdio::piped()).spawn().context("cannot start unshare")?;
    // Its other end closes when we end.
    let alive = child.stdin.take();
    let status = child.wait()?;
    drop(alive);
    match status.code() {
        Some(0) => Ok(()),
        // It has said why.
        Some(code) => std::process::exit(code),
        None => bail!("the run inside was killed ({status})"),
    }
}

fn build() -> Result<PathBuf> {
    let workspace = Workspace::load()?;
    process::run(process::cargo(&workspace.root).args(["build", "--release", "--package", "walytis-cli"]))?;
    Ok(workspace.target_directory.join("release").join("walytis"))
}

/// Inside: ends with the command that was typed, and gets a place for files.
pub(super) fn settle_in() -> Result<()> {
    ensure!(std::process::id() == 1, "`--inside` is for the command itself: leave it out");
    std::thread::spawn(|| {
        // Nothing is ever sent; an end or an error both say that nobody waits for us.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(130)
    });
    process::run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", FOLDER]))?;
    for folder in ["netns", "homes"] {
        std::fs::create_dir(Path::new(FOLDER).join(folder))?;
    }
    Ok(())
}
