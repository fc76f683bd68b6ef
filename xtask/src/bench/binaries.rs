//! The programs of the bench targets: built without being run, kept in a folder, and started.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::Measurement;
use super::targets::Target;
use crate::process;

/// A line of `cargo bench --message-format=json`, of which only what names a program matters.
#[derive(Deserialize)]
struct Message {
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
    kind: Vec<String>,
}

/// Builds the program of a target, as `cargo bench` does, and returns where it is.
///
/// # Errors
/// It cannot be built, or cargo does not say where it is.
pub(super) fn build(root: &Path, target: &Target) -> Result<PathBuf> {
    let mut command = process::cargo(root);
    command.args(["bench", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(["--package", target.package, "--bench", target.name]);
    eprintln!("== {}", process::typed(&command));
    executable(&process::output(&mut command)?, target.name)
        .with_context(|| format!("cargo does not say where the program of {} is", file_name(target)))
}

/// The program of a bench target among cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let is_meant = |target: &MessageTarget| target.name == name && target.kind.iter().any(|kind| kind == "bench");
    messages.filter(|message| message.target.as_ref().is_some_and(is_meant)).find_map(|message| message.executable)
}

/// What the program of a target is called in a folder: two packages have a target `floor`.
pub(super) fn file_name(target: &Target) -> String {
    format!("{}.{}{}", target.package, target.name, std::env::consts::EXE_SUFFIX)
}

/// Builds the programs of these targets and copies them into a folder, which is made if there is none.
///
/// # Errors
/// One cannot be built or copied.
pub(super) fn keep(root: &Path, targets: &[&Target], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for target in targets {
        let (from, to) = (build(root, target)?, folder.join(file_name(target)));
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        eprintln!("kept {}", to.display());
    }
    Ok(())
}

/// Where the program of a target is in a folder of kept ones.
///
/// # Errors
/// It is not there.
pub(super) fn kept(folder: &Path, target: &Target) -> Result<PathBuf> {
    let path = folder.join(file_name(target));
    ensure!(path.is_file(), "{} is missing: docs/performance.md says how to keep programs", path.display());
    // A relative path without a folder would be looked up among the installed programs.
    std::path::absolute(&path).with_context(|| format!("{} cannot be found", path.display()))
}

/// Runs a program once, and returns what it measured.
///
/// # Errors
/// It fails, or prints a line that looks like a measurement and is none.
pub(super) fn run(program: &Path, options: &[String]) -> Result<Vec<Measurement>> {
    let mut command = Command::new(program);
    // Cargo gives it, too.
    command.args(options).arg("--bench").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let output = child.stdout.take().context("the program has no output")?;
    let mut measurements = Vec::new();
    let mut wrong = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match Measurement::read(&line) {
            Ok(measurement) => measurements.push(measurement),
            Err(error) if line.trim_start().starts_with('{') => wrong.push(format!("{line} ({error})")),
            Err(_) => eprintln!("{line}"),
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} ended with {status}", program.display());
    if !wrong.is_empty() {
        bail!("{} printed what is no measurement: {}", program.display(), wrong.join(", "));
    }
    Ok(measurements)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::targets;
    use super::{executable, file_name, kept, run};

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"sync","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"sync","kind":["bin"]},"executable":"/t/sync"}
{"reason":"compiler-artifact","target":{"name":"floor","kind":["bench"]},"executable":"/t/deps/floor-1"}
{"reason":"compiler-artifact","target":{"name":"sync","kind":["bench"]},"executable":"/t/deps/sync-2"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "sync").as_deref(), Some(Path::new("/t/deps/sync-2")));
        assert_eq!(executable(messages, "chains"), None);
    }

    #[test]
    fn a_program_that_was_not_kept_is_named() {
        let picks = ["p1".to_owned()];
        let (target, _) = targets::chosen(&picks).expect("p1 is known")[0];
        assert!(file_name(target).starts_with("walytis-cli.walytis"));
        let error = kept(Path::new("no such folder"), target).expect_err("missing").to_string();
        assert!(error.contains("walytis-cli.walytis") && error.contains("is missing"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_program_prints_is_read_and_its_failure_told() {
        let line = r#"{"system":"walytis","metric":"m","n":1,"bytes":2,"value":3.0,"unit":"s","cpu_s":0.5}"#;
        let script = |text: &str| run(Path::new("/bin/sh"), &["-c".to_owned(), text.to_owned()]);
        let measured = script(&format!("echo hello; echo '{line}'")).expect("it succeeds");
        assert_eq!(measured.len(), 1);
        assert!(script("echo '{}'").expect_err("no measurement").to_string().contains("no measurement"));
        assert!(script("exit 3").expect_err("it fails").to_string().contains("ended with"));
    }
}
