//! Where the passphrase, or the key in its place, comes from.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use walytis_node::Unlock;
use zeroize::Zeroizing;

use crate::arguments::Global;
use crate::output::complain;
use crate::stop::Stop;

/// The variable that may hold the passphrase.
const VARIABLE: &str = "WALYTIS_PASSPHRASE";

/// The most bytes of a passphrase: far more than anybody types, so that a wrong file is not read to its end.
const PASSPHRASE_BYTES_MAX: usize = 4096;

/// Whether the secret is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It unlocks what exists.
    Open,
    /// It will lock a new home, so a person types it twice.
    Create,
}

/// Takes the secret from the first source that was given: a key file, a passphrase file, the environment, a prompt.
pub(crate) async fn unlock(global: &Global, purpose: Purpose, stop: &mut Stop) -> anyhow::Result<Unlock> {
    if let Some(path) = &global.key_file {
        return key(path);
    }
    if let Some(path) = &global.passphrase_file {
        return passphrase_in(path);
    }
    let mut empty = "";
    match std::env::var(VARIABLE) {
        Ok(words) if !words.is_empty() => return Ok(Unlock::passphrase(words)),
        Ok(_) => empty = ", which is empty",
        Err(std::env::VarError::NotUnicode(_)) => bail!("{VARIABLE} is not UTF-8: use --passphrase-file or --key-file"),
        _ => {}
    }
    ensure!(
        io::stdin().is_terminal() || io::stderr().is_terminal(),
        "{}there is no terminal to ask for the passphrase: give --passphrase-file, --key-file or {VARIABLE}{empty}",
        match purpose {
            Purpose::Open => "no node runs for this home, so it has to be unlocked, and ",
            Purpose::Create => "",
        }
    );
    prompt(purpose, stop).await
}

fn key(path: &Path) -> anyhow::Result<Unlock> {
    let bytes = first_bytes(path, 33)?;
    let key: Option<[u8; 32]> = bytes.as_slice().try_into().ok();
    let key =
        key.with_context(|| format!("{} is not a key file: it has to hold exactly 32 random bytes", path.display()))?;
    Ok(Unlock::key(*Zeroizing::new(key)))
}

fn passphrase_in(path: &Path) -> anyhow::Result<Unlock> {
    let bytes = first_bytes(path, PASSPHRASE_BYTES_MAX)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words = std::str::from_utf8(line).ok().with_context(|| format!("{} is not UTF-8 text", path.display()))?;
    ensure!(bytes.len() < PASSPHRASE_BYTES_MAX, "{} is too long to hold a passphrase", path.display());
    ensure!(!words.is_empty(), "the first line of {} is empty: a passphrase belongs there", path.display());
    Ok(Unlock::passphrase(words))
}

/// At most `limit` bytes of a file. The buffer does not grow, so that no copy of a secret is left behind.
fn first_bytes(path: &Path, limit: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let mut bytes = Zeroizing::new(vec![0; limit]);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(cannot),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Asks the person. Should the program be told to stop meanwhile, the terminal is left as it was.
async fn prompt(purpose: Purpose, stop: &mut Stop) -> anyhow::Result<Unlock> {
    let terminal = Terminal::remember();
    // A thread of its own: the runtime does not wait for it when the program ends.
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("prompt".to_owned()).spawn(move || drop(answer.send(ask(purpose))))?;
    let words = stop.or(async { answered.await? }).await;
    if words.is_err() {
        terminal.restore();
    }
    // Moved, not copied.
    let mut words = words?;
    Ok(Unlock::passphrase(std::mem::take(&mut *words)))
}

fn ask(purpose: Purpose) -> anyhow::Result<Zeroizing<String>> {
    let asked = |question: &str| -> anyhow::Result<Zeroizing<String>> {
        let words = rpassword::prompt_password(question)
            // The line of the question has not ended then.
            .inspect_err(|_| complain(""))
            .context("cannot ask for the passphrase")?;
        Ok(Zeroizing::new(words))
    };
    match purpose {
        Purpose::Open => asked("Passphrase: "),
        Purpose::Create => {
            let words = asked("New passphrase: ")?;
            ensure!(!words.is_empty(), "a passphrase has at least one character");
            ensure!(*words == *asked("The same again: ")?, "the two passphrases differ: nothing was made, try again");
            Ok(words)
        }
    }
}

/// How the terminal was before a prompt switched off its echo.
#[cfg(unix)]
struct Terminal(Option<(File, rustix::termios::Termios)>);

#[cfg(unix)]
impl Terminal {
    fn remember() -> Self {
        let open = || {
            let terminal = File::open("/dev/tty").ok()?;
            let settings = rustix::termios::tcgetattr(&terminal).ok()?;
            Some((terminal, settings))
        };
        Self(open())
    }

    fn restore(&self) {
        if let Some((terminal, settings)) = &self.0 {
            // There is nothing better to do if the terminal is gone.
            let _ = rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, settings);
        }
    }
}

#[cfg(not(unix))]
struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    fn remember() -> Self {
        Self
    }

    fn restore(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use walytis_node::Unlock;

    fn check(content: &[u8], take: fn(&Path) -> anyhow::Result<Unlock>, expected: Option<&str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, content).expect("written");
        match (take(&path), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (result, expected) => panic!("{content:?}: {result:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_key_file_has_exactly_32_bytes() {
        check(&[7; 32], key, None);
        check(&[7; 31], key, Some("exactly 32"));
        check(&[7; 33], key, Some("exactly 32"));
        check(b"", key, Some("exactly 32"));
    }

    #[test]
    fn a_passphrase_is_the_first_line() {
        check("ein schöner Satz\n".as_bytes(), passphrase_in, None);
        check(b"words\r\nmore\n", passphrase_in, None);
        check(b"words", passphrase_in, None);
        check(b"\nwords", passphrase_in, Some("empty"));
        check(b"", passphrase_in, Some("empty"));
        check(b"\xff\n", passphrase_in, Some("UTF-8"));
        check(&[b'x'; 5000], passphrase_in, Some("too long"));
    }
}
