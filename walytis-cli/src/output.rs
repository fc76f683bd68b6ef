//! Results on standard output, everything else on standard error.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::arguments::Global;
use crate::escape::{printable_json, printable_line};

/// Nobody reads standard output any more. The program ends without a word.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("nobody reads the output any more")]
pub(crate) struct OutputClosed;

/// What the person wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    Normal,
    Quiet,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where results and remarks go.
pub(crate) struct Output {
    format: Format,
    talk: Talk,
    results: Box<dyn Write + Send>,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let format = if global.json { Format::Json } else { Format::Text };
        let talk = if global.quiet { Talk::Quiet } else { Talk::Normal };
        Self { format, talk, results: Box::new(io::BufWriter::new(io::stdout())) }
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Writes one result, and hands it on: `text` for a person, `object` as a line of JSON.
    pub(crate) fn result(&mut self, text: impl fmt::Display, object: &impl Serialize) -> anyhow::Result<()> {
        match self.format {
            Format::Text => self.bytes(format!("{text}\n").as_bytes())?,
            Format::Json => self.object(object)?,
        }
        self.flush()
    }

    /// Writes one line of JSON, in which a terminal finds nothing to obey. It may wait for [`Output::flush`].
    pub(crate) fn object(&mut self, object: &impl Serialize) -> anyhow::Result<()> {
        let mut line = printable_json(serde_json::to_string(object)?);
        line.push('\n');
        self.bytes(line.as_bytes())
    }

    /// Writes bytes as they are. They may wait for [`Output::flush`].
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.results.write_all(bytes).map_err(output_error)
    }

    /// Forgets what could not be written, and whatever comes.
    pub(crate) fn give_up(&mut self) {
        self.results = Box::new(io::sink());
    }

    /// Hands on what was written so far.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.results.flush().map_err(output_error)
    }

    /// Says something beside the results.
    pub(crate) fn remark(&self, text: impl fmt::Display) {
        if self.talk == Talk::Normal {
            complain(text);
        }
    }

    /// Whether remarks are wanted.
    pub(crate) fn talks(&self) -> bool {
        self.talk == Talk::Normal
    }

    /// Collects results instead of printing them.
    #[cfg(test)]
    pub(crate) fn to(results: impl Write + Send + 'static, format: Format) -> Self {
        Self { format, talk: Talk::Quiet, results: Box::new(results) }
    }
}

/// Says how the program failed. A closed standard error changes nothing.
pub(crate) fn complain(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A number and what it counts, in the plural where it has to be.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Waits until nobody reads standard output any more, where that can be seen without writing.
pub(crate) async fn closed() {
    #[cfg(unix)]
    {
        let (closed, seen) = tokio::sync::oneshot::channel();
        let watch = move || {
            use rustix::event::{PollFd, PollFlags, poll};
            let stdout = io::stdout();
            // No flags: errors and hang-ups are told in any case.
            let polled = poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None);
            if polled.is_ok() {
                let _ = closed.send(());
            }
        };
        // A thread of its own: the program does not wait for it when it ends.
        if std::thread::Builder::new().name("output".to_owned()).spawn(watch).is_ok() && seen.await.is_ok() {
            return;
        }
    }
    std::future::pending().await
}

fn output_error(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => OutputClosed.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    }
}

/// The error and its causes in one line, leaving out causes that their effect already tells.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    printable_line(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn an_error_is_one_line_without_repetition() {
        let inner = io::Error::new(io::ErrorKind::NotFound, "no such\nfile");
        let error = anyhow::Error::new(inner).context("cannot read f: no such file").context("posting");
        assert_eq!(one_line(&error), "posting: cannot read f: no such file");
        assert_eq!(one_line(&anyhow!("a\x1b[2Jb")), "a\\u{1b}[2Jb");
    }

    #[test]
    fn a_closed_pipe_is_told_apart() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = Output::to(Closed, Format::Text).result("x", &1).expect_err("it is closed");
        assert_eq!(error.downcast_ref(), Some(&OutputClosed));
    }
}
