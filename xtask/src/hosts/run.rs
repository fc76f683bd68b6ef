//! A run: the hosts so far, what they posted, and whether they agree.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::Arguments;
use super::host::Host;
use super::ledger::{Ledger, Verdict};
use super::network::Means;
use super::relay::Sky;

/// How often hosts are asked what they list.
const LOOK: Duration = Duration::from_millis(100);

/// All that scenarios work on.
pub(super) struct Run<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) binary: &'a Path,
    pub(super) means: Means,
    pub(super) sky: Sky,
    pub(super) hosts: Vec<Host>,
    pub(super) ledger: Ledger,
    scenario: &'static str,
    reports: Vec<Report>,
}

/// What a scenario did.
pub(super) enum Played {
    /// The trouble, or the posting, was over then.
    Done(Instant, String),
    /// The hosts agreed after so long, in the midst of the trouble.
    Agreed(Duration, String),
    /// This machine lacks something, and nothing was done.
    Impossible(String),
}

/// How a scenario went.
#[derive(Debug, Serialize)]
struct Report {
    scenario: &'static str,
    result: &'static str,
    /// From the end of the trouble until the last host listed all.
    converged_s: Option<f64>,
    lines: usize,
    hosts: usize,
    note: String,
}

impl Report {
    fn row(&self) -> String {
        let time = self.converged_s.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"));
        let (scenario, result, lines, hosts) = (self.scenario, self.result, self.lines, self.hosts);
        format!("{scenario:<28} {result:<12} {time:>8} {lines:>6} {hosts:>5}  {}", self.note)
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(arguments: &'a Arguments, binary: &'a Path, means: Means) -> Self {
        let (sky, ledger) = (Sky::default(), Ledger::default());
        Self { arguments, binary, means, sky, hosts: Vec::new(), ledger, scenario: "", reports: Vec::new() }
    }

    /// Plays a scenario, waits until all hosts agree, verifies all, and prints how it went.
    pub(super) fn play(&mut self, name: &'static str, scenario: fn(&mut Self) -> Result<Played>) -> Result<()> {
        eprintln!("== {name}");
        self.scenario = name;
        let outcome = scenario(self).and_then(|played| match played {
            Played::Done(since, note) => {
                let converged = self.agree(since)?;
                self.verify()?;
                Ok(("ok", Some(converged.as_secs_f64()), note))
            }
            Played::Agreed(converged, note) => {
                self.agree(Instant::now())?;
                self.verify()?;
                Ok(("ok", Some(converged.as_secs_f64()), note))
            }
            Played::Impossible(note) => Ok(("not done", None, note)),
        });
        let (result, converged_s, note) = outcome.unwrap_or_else(|error| ("FAILED", None, format!("{error:#}")));
        let (lines, hosts) = (self.ledger.len(), self.hosts.len());
        let report = Report { scenario: name, result, converged_s, lines, hosts, note };
        if self.arguments.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            if self.reports.is_empty() {
                let [scenario, result, time, lines, hosts] = ["scenario", "result", "agree s", "lines", "hosts"];
                println!("{scenario:<28} {result:<12} {time:>8} {lines:>6} {hosts:>5}  notes");
            }
            println!("{}", report.row());
        }
        self.reports.push(report);
        Ok(std::io::stdout().flush()?)
    }

    /// Ends all hosts: what follows has others, and another group.
    pub(super) fn start_over(&mut self) -> Result<()> {
        self.hosts.iter_mut().try_for_each(Host::kill)?;
        self.hosts.clear();
        self.ledger = Ledger::default();
        Ok(())
    }

    /// Whether all went well.
    pub(super) fn conclude(&self) -> Result<()> {
        let count = |result| self.reports.iter().filter(|report| report.result == result).count();
        let (ok, failed, not_done) = (count("ok"), count("FAILED"), count("not done"));
        eprintln!("hosts: {ok} scenarios went well, {failed} failed, {not_done} could not be done here");
        ensure!(failed == 0, "{failed} scenarios failed");
        Ok(())
    }

    pub(super) fn host(&self, name: &str) -> Result<&Host> {
        self.hosts.iter().find(|host| host.name == name).with_context(|| format!("there is no host {name}"))
    }

    pub(super) fn host_mut(&mut self, name: &str) -> Result<&mut Host> {
        self.hosts.iter_mut().find(|host| host.name == name).with_context(|| format!("there is no host {name}"))
    }

    /// New lines for a host, noted as given.
    pub(super) fn lines(&mut self, host: &str, count: u32) -> Vec<String> {
        let part = self.scenario;
        let lines: Vec<String> = (0..count).map(|number| format!("{host}, {part}, line {number}")).collect();
        self.ledger.give(&lines);
        lines
    }

    /// Posts so many lines on each of these hosts at once, and notes what was acknowledged: all of them.
    pub(super) fn post(&mut self, names: &[&str], count: u32) -> Result<()> {
        let texts: Vec<Vec<String>> = names.iter().map(|name| self.lines(name, count)).collect();
        let hosts: Vec<&Host> = names.iter().map(|name| self.host(name)).collect::<Result<_>>()?;
        let posted: Vec<Result<usize>> = thread::scope(|scope| {
            let posting = hosts.iter().zip(&texts).map(|(host, lines)| scope.spawn(|| host.post(lines)));
            let posting: Vec<_> = posting.collect();
            let ended = posting.into_iter().map(|each| each.join());
            ended.map(|each| each.unwrap_or_else(|_| bail!("posting ended early"))).collect()
        });
        for ((name, lines), posted) in names.iter().zip(&texts).zip(posted) {
            let posted = posted?;
            ensure!(posted == lines.len(), "{name} acknowledged {posted} of {} lines", lines.len());
            self.ledger.acknowledge(lines);
        }
        Ok(())
    }

    /// Posts one line of so many bytes.
    pub(super) fn post_large(&mut self, name: &str, bytes: usize) -> Result<()> {
        let line = [format!("{name}, {}, {}", self.scenario, "x".repeat(bytes))];
        self.ledger.give(&line);
        ensure!(self.host(name)?.post(&line)? == 1, "{name} does not acknowledge {bytes} bytes");
        self.ledger.acknowledge(&line);
        Ok(())
    }

    /// Fails if a host lists one of the lines that another posted in this scenario: then nothing was cut.
    pub(super) fn expect_apart(&self, host: &str, other: &str) -> Result<()> {
        let start = format!("{other}, {}, ", self.scenario);
        let crossed = self.host(host)?.read()?.lines().filter(|line| line.starts_with(&start)).count();
        ensure!(crossed == 0, "{crossed} lines of {other} reached {host} while nothing could");
        Ok(())
    }

    /// Waits until every host lists all, in the same order; gives how long that took.
    pub(super) fn agree(&mut self, since: Instant) -> Result<Duration> {
        let limit = Instant::now() + self.arguments.limit();
        loop {
            let mut first: Option<String> = None;
            let mut lacking = None;
            for host in &mut self.hosts {
                ensure!(host.is_serving()?, "{} does not serve", host.name);
                let listing = host.read()?;
                match self.ledger.judge(&listing) {
                    Verdict::Wrong(why) => bail!("{}: {why}", host.name),
                    Verdict::Missing(count) => lacking = Some(format!("{} lacks {count} lines", host.name)),
                    Verdict::Complete => match &first {
                        Some(first) if *first != listing => {
                            lacking = Some(format!("{} lists otherwise than the first", host.name));
                        }
                        Some(_) => {}
                        None => first = Some(listing),
                    },
                }
                if lacking.is_some() {
                    break;
                }
            }
            let Some(lacking) = lacking else { return Ok(since.elapsed()) };
            if Instant::now() > limit {
                bail!("no agreement within {} s: {lacking}; {}", self.arguments.limit_s, self.remarks());
            }
            thread::sleep(LOOK);
        }
    }

    /// Verifies every home.
    fn verify(&self) -> Result<()> {
        self.hosts.iter().try_for_each(Host::check)
    }

    fn remarks(&self) -> String {
        let remarks = self.hosts.iter().map(|host| format!("{}: {}", host.name, host.last_remark()));
        remarks.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn a_row_has_the_columns_of_the_heading() {
        let report = |converged_s| Report {
            scenario: "late joiner",
            result: "ok",
            converged_s,
            lines: 1_200,
            hosts: 6,
            note: "a note".to_owned(),
        };
        assert_eq!(report(Some(1.25)).row(), "late joiner                  ok                1.2   1200     6  a note");
        assert_eq!(report(None).row(), "late joiner                  ok                  -   1200     6  a note");
    }
}
