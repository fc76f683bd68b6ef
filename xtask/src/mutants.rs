//! `cargo xtask mutants`: whether a test notices when a check is taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::tidy::mutants::{self, DOCUMENT, Entry, Test};
use crate::workspace::Workspace;
use crate::{plant, process};

/// The variable of the environment that takes a check out of a process; walytis-core reads it.
const VARIABLE: &str = "WALYTIS_MUTANT";

/// How much longer a test may take with its mutant than without, before it counts as one that does not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a running test is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Take checks out, one at a time, and see whether the test that is named for each notices
///
/// Builds our crates once with `--cfg planted`, beside the ordinary build. Each test is run as it is, and has to pass; then
/// with its check taken out, and has to fail. The list is walytis-core/src/planted/mutants.rs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write the table in docs/mutants.md from the list, and run nothing
    #[arg(long, conflicts_with = "names")]
    write: bool,
    /// Only these checks
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// A line of cargo's messages, of which only what names a test program matters.
#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
    kind: Vec<String>,
}

/// The programs of tests, by package and target.
type Programs = BTreeMap<(String, String), PathBuf>;

/// How a test came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It went on for so long that it was ended.
    Endless,
    /// The program has no such test.
    Unknown,
}

/// Builds, runs every test with and without its mutant, and prints what was noticed.
///
/// # Errors
/// The build fails, a test fails without a mutant, or a mutant goes unnoticed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    if arguments.write {
        mutants::write(&workspace.root)?;
        println!("wrote {DOCUMENT}");
        return Ok(());
    }
    let start = Instant::now();
    let entries = chosen(mutants::read(&workspace.root)?, &arguments.names)?;
    let tests: Vec<&Test> = entries.iter().map(|entry| &entry.test).collect::<BTreeSet<_>>().into_iter().collect();
    let programs = build(&workspace.root, &tests)?;
    eprintln!("built in {:.0} s", start.elapsed().as_secs_f64());

    let sound = in_parallel(&tests, |test| {
        let before = Instant::now();
        Ok((run_test(&workspace.root, &programs, test, None, None)?, before.elapsed()))
    })?;
    let mut took = BTreeMap::new();
    for (test, (outcome, time)) in tests.iter().zip(sound) {
        ensure!(outcome == Outcome::Passed, "without a mutant, {} is {outcome:?}", test.shown());
        took.insert(*test, time);
    }

    let outcomes = in_parallel(&entries, |entry| {
        let limit = took.get(&entry.test).copied().unwrap_or_default().saturating_mul(4).saturating_add(PATIENCE);
        run_test(&workspace.root, &programs, &entry.test, Some(&entry.name), Some(limit))
    })?;
    let mut missed = Vec::new();
    for (entry, outcome) in entries.iter().zip(outcomes) {
        let said = match outcome {
            Outcome::Failed => "noticed by",
            Outcome::Endless => "does not end in",
            Outcome::Passed | Outcome::Unknown => {
                missed.push(entry.name.as_str());
                "NOT NOTICED by"
            }
        };
        println!("{:<26} {said} {}", entry.name, entry.test.shown());
    }
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!(
        "{} of {} were noticed, in {minutes:.1} minutes",
        entries.len().saturating_sub(missed.len()),
        entries.len()
    );
    if !missed.is_empty() {
        bail!("no test notices that these checks are gone: {}", missed.join(", "));
    }
    Ok(())
}

/// The entries of these names, or all.
fn chosen(entries: Vec<Entry>, names: &[String]) -> Result<Vec<Entry>> {
    let known = |name: &&String| !entries.iter().any(|entry| entry.name == **name);
    if let Some(unknown) = names.iter().find(known) {
        bail!("no mutant is called {unknown}: see {DOCUMENT}");
    }
    Ok(entries.into_iter().filter(|entry| names.is_empty() || names.contains(&entry.name)).collect())
}

/// Builds the programs of these tests, with bugs planted.
fn build(root: &Path, tests: &[&Test]) -> Result<Programs> {
    let mut command = process::cargo(root);
    plant::wrap(&mut command)?;
    // The whole workspace, because features of dependencies depend on which packages are chosen: these are those of the gate.
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics", "--workspace"]);
    for target in tests.iter().map(|test| &test.target).collect::<BTreeSet<_>>() {
        if target == "lib" {
            command.arg("--lib");
        } else {
            command.args(["--test", target]);
        }
    }
    eprintln!("== {}", process::typed(&command));
    Ok(programs(&process::output(&mut command)?))
}

/// The test programs among cargo's messages. A package's name is that of its folder.
fn programs(messages: &str) -> Programs {
    let mut programs = Programs::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()) {
        let (Some(manifest), Some(target), Some(program)) = (message.manifest_path, message.target, message.executable)
        else {
            continue;
        };
        let package = manifest.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let target = match target.kind.first().map(String::as_str) {
            Some("lib") => "lib".to_owned(),
            Some("test") => target.name,
            _ => continue,
        };
        programs.insert((package.unwrap_or_default(), target), program);
    }
    programs
}

/// Runs one test in its package's folder, as cargo does.
fn run_test(
    root: &Path,
    programs: &Programs,
    test: &Test,
    mutant: Option<&str>,
    limit: Option<Duration>,
) -> Result<Outcome> {
    let program = programs
        .get(&(test.package.clone(), test.target.clone()))
        .ok_or_else(|| anyhow!("no program has the test {}", test.shown()))?;
    let mut command = Command::new(program);
    command.args(["--exact", &test.path]).current_dir(root.join(&test.package)).env_remove(VARIABLE);
    command.env("CARGO_MANIFEST_DIR", root.join(&test.package));
    command.envs(mutant.map(|mutant| (VARIABLE, mutant)));
    outcome(&mut command, limit).with_context(|| format!("cannot run {}", test.shown()))
}

/// Runs a test program with the name of one test, for so long at most.
fn outcome(command: &mut Command, limit: Option<Duration>) -> Result<Outcome> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut output = child.stdout.take().context("the test has no output")?;
    // Whoever writes more than a pipe takes waits for a reader.
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if limit.is_some_and(|limit| start.elapsed() > limit) {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::Endless);
        }
        std::thread::sleep(LOOK);
    };
    let said = reader.join().unwrap_or_default();
    Ok(match (status.success(), said.contains("1 passed")) {
        (true, true) => Outcome::Passed,
        (true, false) => Outcome::Unknown,
        (false, _) => Outcome::Failed,
    })
}

/// Does the same with each of these, on as many threads as there are processors.
fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(all.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = all.get(place) else { break };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::{in_parallel, programs};

    #[test]
    fn test_programs_are_found_by_package_and_target() {
        let messages = r#"{"manifest_path":"/w/walytis-core/Cargo.toml","target":{"name":"walytis_core","kind":["lib"]},"executable":null}
{"manifest_path":"/w/walytis-core/Cargo.toml","target":{"name":"walytis_core","kind":["lib"]},"executable":"/t/core-1"}
{"manifest_path":"/w/offchain-testkit/Cargo.toml","target":{"name":"attacks","kind":["test"]},"executable":"/t/attacks-2"}
{"manifest_path":"/w/offchain-testkit/Cargo.toml","target":{"name":"sim","kind":["bin"]},"executable":"/t/sim"}
{"reason":"build-finished","success":true}"#;
        let found = programs(messages);
        let keys: Vec<_> = found.keys().map(|(package, target)| (package.as_str(), target.as_str())).collect();
        assert_eq!(keys, [("offchain-testkit", "attacks"), ("walytis-core", "lib")]);
        assert_eq!(
            found.values().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            ["/t/attacks-2", "/t/core-1"]
        );
    }

    #[test]
    fn results_keep_their_order_and_an_error_is_one() {
        let numbers: Vec<u32> = (0..100).collect();
        assert_eq!(in_parallel(&numbers, |number| Ok(number * 2)).expect("no error")[..3], [0, 2, 4]);
        assert!(in_parallel(&numbers, |number| if *number == 7 { anyhow::bail!("seven") } else { Ok(()) }).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_test_passes_fails_does_not_end_or_is_none() {
        use super::{Duration, Outcome, outcome};
        let run = |script: &str, limit| {
            outcome(std::process::Command::new("/bin/sh").args(["-c", script]), limit).expect("a shell")
        };
        assert_eq!(run("echo 'test result: ok. 1 passed; 0 failed'", None), Outcome::Passed);
        assert_eq!(run("echo 'test result: ok. 0 passed; 0 failed'", None), Outcome::Unknown);
        assert_eq!(run("echo '0 passed; 1 failed'; exit 101", None), Outcome::Failed);
        assert_eq!(run("exec cat /dev/zero > /dev/null", Some(Duration::ZERO)), Outcome::Endless);
    }
}
