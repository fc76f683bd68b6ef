//! A host: a namespace, a home, and the `walytis` processes in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::sandbox::FOLDER;

/// The group's name, on every host.
const GROUP: &str = "g";

/// How long a command may take. A check of everything is the longest, on a machine that is busy.
const COMMAND: Duration = Duration::from_secs(120);

/// How often a command is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Where a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the bridge, with the others.
    Bridge,
    /// On a link of its own, where our relay is the only neighbour.
    Apart,
}

/// One host.
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) address: Ipv4Addr,
    binary: PathBuf,
    serving: Option<Serving>,
}

struct Serving {
    child: Child,
    addresses: Vec<String>,
    /// What it prints behind them.
    told: Mutex<mpsc::Receiver<String>>,
}

impl Serving {
    /// Waits for the next address that it prints.
    fn next_address(&self) -> Option<String> {
        self.told.lock().ok()?.recv_timeout(COMMAND).ok()
    }
}

impl Host {
    pub(super) fn new(name: &'static str, address: Ipv4Addr, binary: &Path) -> Self {
        Self { name, address, binary: binary.to_owned(), serving: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name]).arg(&self.binary);
        command.arg("--home").arg(Path::new(FOLDER).join("homes").join(self.name));
        command.arg("--key-file").arg(key_file()).args(arguments);
        for variable in ["WALYTIS_HOME", "WALYTIS_PASSPHRASE", "XDG_RUNTIME_DIR"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs a command that has to succeed, and gives what it printed.
    fn ok(&self, arguments: &[&str], input: &str) -> Result<String> {
        let ended = run(self.command(arguments), input, COMMAND)?;
        ensure!(ended.status.success(), "on {}, `{}`: {}", self.name, arguments.join(" "), ended.err.trim());
        Ok(ended.out)
    }

    pub(super) fn init(&self) -> Result<()> {
        self.ok(&["init"], "").map(drop)
    }

    pub(super) fn found_group(&self) -> Result<()> {
        self.ok(&["group", "new", GROUP], "").map(drop)
    }

    /// A code that lets one more in.
    pub(super) fn invite(&self) -> Result<String> {
        Ok(self.ok(&["group", "invite", GROUP], "")?.trim().to_owned())
    }

    pub(super) fn join(&self, code: &str) -> Result<()> {
        self.ok(&["group", "join", code, "--as", GROUP], "").map(drop)
    }

    /// Serves until it is killed. The addresses to listen at are given the first time and remembered. Hosts find each
    /// other by what they were told alone.
    pub(super) fn serve(&mut self, listen: &[String], peers: &[String]) -> Result<()> {
        let mut more = vec!["--no-mdns"];
        peers.iter().for_each(|peer| more.extend(["--peer", peer.as_str()]));
        self.serve_with(listen, &more)
    }

    /// Serves until it is killed, with these options.
    pub(super) fn serve_with(&mut self, listen: &[String], more: &[&str]) -> Result<()> {
        self.kill()?;
        let mut arguments = vec!["serve"];
        listen.iter().for_each(|address| arguments.extend(["--listen", address.as_str()]));
        arguments.extend_from_slice(more);
        let remarks = std::fs::File::options().create(true).append(true).open(self.remarks())?;
        let mut command = self.command(&arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(remarks).spawn()?;
        let output = child.stdout.take().context("its output")?;
        let (tell, told) = mpsc::channel();
        // It reads to the end, so that the node never waits for a reader.
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)))
        });
        let mut serving = Serving { child, addresses: Vec::new(), told: Mutex::new(told) };
        for _ in 0..if listen.is_empty() { 1 } else { listen.len() } {
            match serving.next_address() {
                Some(address) => serving.addresses.push(address),
                None => {
                    drop(serving.child.kill());
                    drop(serving.child.wait());
                    bail!("{} does not serve: {}", self.name, self.last_remark());
                }
            }
        }
        self.serving = Some(serving);
        Ok(())
    }

    /// The default places to listen at: both transports, at ports that the system picks.
    pub(super) fn listen(&self) -> [String; 2] {
        [format!("/ip4/{}/tcp/0", self.address), format!("/ip4/{}/udp/0/quic-v1", self.address)]
    }

    /// Whether its node runs.
    ///
    /// # Errors
    /// It ended by itself.
    pub(super) fn is_serving(&mut self) -> Result<bool> {
        let Some(serving) = &mut self.serving else { return Ok(false) };
        if let Some(status) = serving.child.try_wait()? {
            bail!("the node of {} ended by itself ({status}): {}", self.name, self.last_remark());
        }
        Ok(true)
    }

    /// Waits for an address that leads through a relay.
    pub(super) fn relayed_address(&self) -> Result<String> {
        let serving = self.serving.as_ref().context("it does not serve")?;
        loop {
            let address = serving.next_address().with_context(|| format!("{} gets no place at a relay", self.name))?;
            if address.contains("/p2p-circuit/") {
                return Ok(address);
            }
        }
    }

    /// How it reaches its connected peers: for each `way` and `found`, as `walytis peers --json` says.
    pub(super) fn ways(&self) -> Result<Vec<String>> {
        let mut ways = Vec::new();
        for line in self.ok(&["--json", "peers"], "")?.lines() {
            let peer: serde_json::Value = serde_json::from_str(line)?;
            if peer["connected"] == true {
                let part = |name: &str| peer[name].as_str().unwrap_or("-").to_owned();
                ways.push(format!("{} ({})", part("way"), part("found")));
            }
        }
        Ok(ways)
    }

    /// Where it says that it accepts connections now.
    pub(super) fn told_addresses(&self) -> Result<Vec<String>> {
        let status: serde_json::Value = serde_json::from_str(&self.ok(&["--json", "status"], "")?)?;
        let told = status["addresses"].as_array().context("`status` names no addresses")?;
        Ok(told.iter().filter_map(|address| Some(address.as_str()?.to_owned())).collect())
    }

    /// Where it accepts connections, in full.
    pub(super) fn addresses(&self) -> &[String] {
        self.serving.as_ref().map_or(&[], |serving| &serving.addresses)
    }

    /// `kill -9`, if it serves.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut serving) = self.serving.take() {
            serving.child.kill()?;
            serving.child.wait()?;
        }
        Ok(())
    }

    /// Posts lines; gives how many ids were printed. A node that is killed meanwhile is no error.
    pub(super) fn post(&self, lines: &[String]) -> Result<usize> {
        let mut input = lines.join("\n");
        input.push('\n');
        let ended = run(self.command(&["post", GROUP, "--lines"]), &input, COMMAND)?;
        Ok(ended.out.lines().count())
    }

    /// Begins to post lines; gives the process, and each id as it is printed.
    pub(super) fn begin_post(&self, lines: &[String]) -> Result<(Child, mpsc::Receiver<String>)> {
        let mut command = self.command(&["post", GROUP, "--lines"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (mut input, text) = (child.stdin.take().context("its input")?, lines.join("\n"));
        thread::spawn(move || drop(input.write_all(text.as_bytes())));
        let output = child.stdout.take().context("its output")?;
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)))
        });
        Ok((child, told))
    }

    /// All contents, in the group's order.
    pub(super) fn read(&self) -> Result<String> {
        self.ok(&["read", GROUP, "--raw"], "")
    }

    /// Verifies everything that the home holds.
    pub(super) fn check(&self) -> Result<()> {
        self.ok(&["check"], "").map(drop)
    }

    fn remarks(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("{}.remarks", self.name))
    }

    /// What its node said last.
    pub(super) fn last_remark(&self) -> String {
        let remarks = std::fs::read_to_string(self.remarks()).unwrap_or_default();
        remarks.lines().last().unwrap_or("it says nothing").to_owned()
    }
}

/// 32 bytes for all homes: nothing here is secret.
pub(super) fn key_file() -> PathBuf {
    Path::new(FOLDER).join("key")
}

struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

/// Runs a command to its end, or kills it when its time is over.
fn run(mut command: Command, input: &str, limit: Duration) -> Result<Ended> {
    let began = Instant::now();
    let line = crate::process::typed(&command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut stdin, input) = (child.stdin.take().context("its input")?, input.to_owned());
    thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let out = collect(child.stdout.take().context("its output")?);
    let err = collect(child.stderr.take().context("its errors")?);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("`{line}` took more than {} s", limit.as_secs());
        }
        thread::sleep(LOOK);
    };
    let text = |collected: thread::JoinHandle<String>| collected.join().unwrap_or_default();
    Ok(Ended { status, out: text(out), err: text(err) })
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::run;

    #[test]
    fn a_command_gets_its_input_and_only_its_time() {
        let ended = run(Command::new("cat"), "in and out", Duration::from_secs(60)).expect("cat runs");
        assert_eq!((ended.status.success(), ended.out.as_str(), ended.err.as_str()), (true, "in and out", ""));
        let mut endless = Command::new("tail");
        let error = run(
            {
                endless.args(["-f", "/dev/null"]);
                endless
            },
            "",
            Duration::ZERO,
        )
        .map(drop)
        .expect_err("it goes on");
        assert_eq!(error.to_string(), "`tail -f /dev/null` took more than 0 s");
    }
}
