//! The real binary, in homes of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Whatever takes longer hangs.
pub(crate) const GUARD: Duration = Duration::from_secs(120);

/// A folder with homes, which goes with everything in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), [7; 32]).expect("a key");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A home that exists, unlocked by a key file.
    pub(crate) fn home(&self, name: &str) -> Home {
        let home = self.no_home(name);
        home.ok(&["init"]);
        home
    }

    /// A home that does not exist yet.
    pub(crate) fn no_home(&self, name: &str) -> Home {
        Home { folder: self.path(name), key: self.path("key") }
    }
}

/// A home and its key.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    pub(crate) key: PathBuf,
}

impl Home {
    /// A command in this home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = walytis();
        command.arg("--home").arg(&self.folder).arg("--key-file").arg(&self.key).args(arguments);
        command
    }

    /// A command in this home without a secret.
    pub(crate) fn locked(&self, arguments: &[&str]) -> Command {
        let mut command = walytis();
        command.arg("--home").arg(&self.folder).args(arguments);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments), b"")
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }

    /// Runs a command with an input, which has to succeed.
    pub(crate) fn ok_with(&self, arguments: &[&str], input: &[u8]) -> String {
        run(self.command(arguments), input).ok()
    }

    /// Serves the home, and gives the process once it accepts connections at so many addresses.
    pub(crate) fn serve(&self, arguments: &[&str], addresses: usize) -> Running {
        let mut running = Running::start(self.command(&[&["serve", "--no-mdns", "--no-relay"], arguments].concat()));
        for _ in 0..addresses {
            let address = running.line();
            assert!(address.starts_with("/ip4/127.0.0.1/") && address.contains("/p2p/12D3KooW"), "{address}");
        }
        running
    }

    /// The lines that `read --json` prints.
    pub(crate) fn read(&self, group: &str) -> Vec<serde_json::Value> {
        json(&self.ok(&["--json", "read", group]))
    }

    /// Every file of the home but the lock, which says who used it last.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.folder, &mut files);
        files.remove(&self.folder.join("lock"));
        files
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        self.folder.join("store").join("store.redb")
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.is_file() {
            files.insert(path.clone(), std::fs::read(&path).expect("read"));
        }
    }
}

/// The binary, with nothing from the environment that changes what it does.
pub(crate) fn walytis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walytis"));
    for variable in ["WALYTIS_HOME", "WALYTIS_PASSPHRASE", "XDG_RUNTIME_DIR"] {
        command.env_remove(variable);
    }
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// It succeeded: what it printed.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It failed with one line of error that says this, and no result.
    pub(crate) fn failed(&self, code: i32, says: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        let errors: Vec<&str> = self.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains(says), "expected {says:?}: {self:?}");
    }
}

/// Runs a command to its end, with an input.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Ended {
    let shown = format!("{command:?}");
    let mut child = spawn(command.stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    // It may end without having read all.
    std::thread::spawn(move || stdin.write_all(&input));
    let [out, err]: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("its output")), Box::new(child.stderr.take().expect("its errors"))];
    let [out, err] = [out, err].map(|mut stream| {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            stream.read_to_end(&mut text).expect("read");
            drop(tell.send(String::from_utf8(text).expect("UTF-8")));
        });
        told
    });
    let [out, err] = [out, err].map(|told| {
        told.recv_timeout(GUARD).unwrap_or_else(|_| {
            drop(child.kill());
            panic!("it hangs: {shown}")
        })
    });
    Ended { code: child.wait().expect("ended").code(), out, err }
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// A process that goes on. It is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = spawn(command.stdin(Stdio::piped()));
        let stdin = child.stdin.take();
        let lines = lines_from(child.stdout.take().expect("its output"));
        let errors = lines_from(child.stderr.take().expect("its errors"));
        Self { child, stdin, lines, errors }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        self.lines.recv_timeout(GUARD).unwrap_or_else(|_| panic!("no line came; errors: {:?}", self.all_errors()))
    }

    /// So many more lines.
    pub(crate) fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    /// Waits for a remark that begins so.
    pub(crate) fn error_with(&mut self, start: &str) -> String {
        loop {
            let line = self.errors.recv_timeout(GUARD).unwrap_or_else(|_| panic!("no {start:?} came"));
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Kills it as nothing can be caught; gives the lines that it had printed and nobody had taken.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        self.rest()
    }

    /// The lines that nobody has taken, up to its end.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.recv_timeout(GUARD).ok()).collect()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        self.stdin = None;
        let rest = self.rest();
        (self.child.wait().expect("ended"), rest)
    }

    fn all_errors(&self) -> Vec<String> {
        self.errors.try_iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines_from(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

/// One JSON object a line.
pub(crate) fn json(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// A field that is text.
pub(crate) fn text<'a>(object: &'a serde_json::Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {object}"))
}

/// A text of so many lines, all different, some empty and some not plain.
pub(crate) fn lines_of_text(count: usize) -> String {
    let line = |number: usize| match number % 50 {
        7 => String::new(),
        9 => format!("\tTab, \"quotes\" and späte Äpfel {number}"),
        _ => format!("line {number} of a text that nobody else may read"),
    };
    (0..count).map(|number| line(number) + "\n").collect()
}

/// Homes `a`, which founded the group `g` and serves it, and `b`, which joined it by the code, and does not run.
pub(crate) fn pair(place: &Place, listen: &str) -> (Home, Running, Home, String) {
    let (a, b) = (place.home("a"), place.home("b"));
    a.ok(&["group", "new", "g"]);
    let serving = a.serve(&["--listen", listen], 1);
    let code = a.ok(&["group", "invite", "g", "--uses", "9"]).trim().to_owned();
    b.ok(&["group", "join", &code, "--as", "g"]);
    (a, serving, b, code)
}
