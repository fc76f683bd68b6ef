//! `walytis post`

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use walytis_core::limits::CONTENT_BYTES_MAX;

use crate::arguments::Post;
use crate::context::Context;
use crate::link::{self, Link, NodeGone, QUEUE, Reach, Reply, Request};
use crate::stop::Interrupted;

#[derive(Serialize)]
struct Posted {
    id: String,
}

/// How the input becomes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// One block.
    Whole,
    /// One block for each line.
    Lines,
}

/// Posts a file, or each of its lines.
pub(crate) async fn run(context: &mut Context, arguments: Post) -> anyhow::Result<()> {
    let cut = if arguments.lines { Cut::Lines } else { Cut::Whole };
    let input = open(&arguments.file)?;
    let Post { group, file, topics, .. } = arguments;
    let topics = topics.into_iter().map(ByteBuf::from).collect();
    let mut access = link::open(context, Reach::Store, Request::Post { group, topics }).await?;
    if file == Path::new("-") && io::stdin().is_terminal() {
        context.output.remark("Reading from the terminal. Ctrl-D ends it.");
    }
    let contents = cut_up(input, file, cut)?;
    let mut feed = Feed { contents, ended: None, posted: 0, cut };
    let result = feed.run(context, &mut access.link).await;
    let served = access.is_served();
    access.close().await;
    if !served && feed.posted > 0 {
        let what = if feed.posted == 1 { "The block goes" } else { "The blocks go" };
        context.output.remark(format_args!("{what} out when the node runs: `walytis serve`"));
    }
    result
}

/// What is on its way from the input to the chain.
struct Feed {
    contents: mpsc::Receiver<anyhow::Result<Vec<u8>>>,
    /// Nothing more is posted, and why.
    ended: Option<anyhow::Result<()>>,
    posted: u64,
    cut: Cut,
}

impl Feed {
    /// Hands contents to the node while it tells which blocks are durable; prints each id.
    async fn run(&mut self, context: &mut Context, link: &mut Link) -> anyhow::Result<()> {
        let requests = link.requests();
        let mut next: Option<Request> = None;
        loop {
            tokio::select! {
                biased;
                () = context.stop.requested(), if self.ended.is_none() => {
                    // What was given to the node already becomes durable, and is told of.
                    next = Some(self.end(Err(Interrupted.into())));
                }
                reply = link.next() => match reply {
                    Ok(Some(Reply::Posted(id))) => {
                        self.posted = self.posted.saturating_add(1);
                        context.output.result(&id, &Posted { id: id.clone() })?;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return self.ended.take().unwrap_or_else(|| Err(NodeGone.into())),
                    Err(error) => return Err(self.at_line(error)),
                },
                permit = requests.reserve(), if next.is_some() => match (permit, next.take()) {
                    (Ok(permit), Some(request)) => permit.send(request),
                    // The reply that tells why comes by itself.
                    _ => self.ended = Some(Err(NodeGone.into())),
                },
                content = self.contents.recv(), if next.is_none() && self.ended.is_none() => {
                    next = Some(match content {
                        Some(Ok(content)) => Request::Content(ByteBuf::from(content)),
                        Some(Err(error)) => self.end(Err(error)),
                        None => self.end(Ok(())),
                    });
                }
            }
        }
    }

    fn end(&mut self, why: anyhow::Result<()>) -> Request {
        self.ended = Some(why);
        Request::End
    }

    /// Blocks are told of in order, so the first that was not is the one that failed.
    fn at_line(&self, error: anyhow::Error) -> anyhow::Error {
        match self.cut {
            Cut::Lines if self.posted > 0 => error.context(format!("line {}", self.posted.saturating_add(1))),
            _ => error,
        }
    }
}

fn open(file: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?))
}

/// Reads the input on a thread of its own, for which the program does not wait when it ends.
fn cut_up(
    input: Box<dyn Read + Send>,
    file: PathBuf,
    cut: Cut,
) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Vec<u8>>>> {
    let (contents, received) = mpsc::channel(QUEUE);
    let read = move || {
        let mut input = BufReader::new(input);
        let mut line = 0_u64;
        loop {
            line = line.saturating_add(1);
            let content = match cut {
                Cut::Whole => whole(&mut input),
                Cut::Lines => one_line(&mut input).with_context(|| format!("line {line}")),
            };
            let content = content.with_context(|| format!("cannot post {}", file.display()));
            let last = cut == Cut::Whole || content.is_err();
            let Some(content) = content.transpose() else { break };
            if contents.blocking_send(content).is_err() || last {
                break;
            }
        }
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(read)?;
    Ok(received)
}

/// The most bytes that are looked at: one more than a block can have, and a line feed.
const LOOK_BYTES: u64 = (CONTENT_BYTES_MAX as u64).saturating_add(2);

fn whole(input: &mut impl Read) -> anyhow::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    input.take(LOOK_BYTES).read_to_end(&mut content)?;
    fits(content).map(Some)
}

fn one_line(input: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.take(LOOK_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    fits(line).map(Some)
}

fn fits(content: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if content.len() <= CONTENT_BYTES_MAX {
        return Ok(content);
    }
    Err(anyhow!("more than {CONTENT_BYTES_MAX} bytes do not fit into one block: cut it into parts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], cut: Cut, expected: &[&[u8]], error: &str) {
        let mut contents = cut_up(Box::new(io::Cursor::new(input.to_vec())), "f".into(), cut).expect("started");
        for expected in expected {
            let content = contents.blocking_recv().expect("another").expect("fits");
            assert!(content == *expected, "{} bytes, expected {}", content.len(), expected.len());
        }
        match contents.blocking_recv() {
            Some(Err(found)) => assert_eq!(crate::output::one_line(&found), error),
            Some(Ok(content)) => panic!("{content:?}"),
            None => assert_eq!(error, ""),
        }
    }

    #[test]
    fn an_input_becomes_one_block_or_one_for_each_line() {
        check(b"a\nb", Cut::Whole, &[b"a\nb"], "");
        check(b"", Cut::Whole, &[b""], "");
        check(b"a\n\nb\r\n\xff", Cut::Lines, &[b"a", b"", b"b\r", b"\xff"], "");
        check(b"a\n", Cut::Lines, &[b"a"], "");
        check(b"", Cut::Lines, &[], "");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let most = vec![b'x'; CONTENT_BYTES_MAX];
        let more = vec![b'x'; CONTENT_BYTES_MAX + 1];
        let why = format!("more than {CONTENT_BYTES_MAX} bytes do not fit into one block: cut it into parts");
        check(&most, Cut::Whole, &[&most], "");
        check(&more, Cut::Whole, &[], &format!("cannot post f: {why}"));
        let lines = [b"a\n".as_slice(), &most, b"\n", &more, b"\n"].concat();
        check(&lines, Cut::Lines, &[b"a", &most], &format!("cannot post f: line 3: {why}"));
    }
}
