//! `walytis post`

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use walytis_core::limits::{CONTENT_BYTES_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};

use crate::arguments::{Contents, Post};
use crate::context::Context;
use crate::link::{self, Access, NodeGone, QUEUE, Reach, Reply, Request};
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
    /// One block, which is not empty.
    Filled,
    /// One block for each line.
    Lines,
}

/// How long a node that lasts as long as this command waits for more input, before it leaves the home to others.
const PAUSE: Duration = Duration::from_millis(500);

/// How long such a node has the home at a stretch, however much there is to post: less than others wait for it.
const STRETCH: Duration = Duration::from_secs(5);

/// How long others have to take the home in between. They look far more often.
const TURN: Duration = Duration::from_millis(150);

/// Posts a file, or each of its lines.
pub(crate) async fn run(context: &mut Context, arguments: Post) -> anyhow::Result<()> {
    let Post { group, contents } = arguments;
    let to = group.clone();
    post(context, contents, &to, |topics| Request::Post { group, topics }).await
}

/// Posts a file, or each of its lines, to where the request says.
pub(super) async fn post(
    context: &mut Context,
    arguments: Contents,
    to: &str,
    request: impl FnOnce(Vec<ByteBuf>) -> Request,
) -> anyhow::Result<()> {
    let input = open(&arguments).map_err(|error| takes_files(error, context.command, to))?;
    let typed = arguments.text.is_some();
    let Contents { file, topics, lines, empty, .. } = arguments;
    let cut = match lines {
        true => Cut::Lines,
        // Who names an empty file means it; a program before a pipe may have failed.
        false if empty || !(typed || file == Path::new("-")) => Cut::Whole,
        false => Cut::Filled,
    };
    check_topics(&topics)?;
    let request = request(topics.into_iter().map(ByteBuf::from).collect());
    // At once, so that nobody types for a group that is not there.
    let access = link::open(context, Reach::Store, request.clone()).await?;
    if !typed && file == Path::new("-") && io::stdin().is_terminal() {
        context.output.remark("Reading from the terminal. Ctrl-D ends it.");
    }
    let name = match (typed, file == Path::new("-")) {
        (true, _) => "the text".to_owned(),
        (false, true) => "standard input".to_owned(),
        (false, false) => file.display().to_string(),
    };
    let contents = cut_up(input, name, cut)?;
    let mut feed = Feed { contents, first: None, ended: None, given: 0, posted: 0, untold: None, cut };
    let result = feed.run(context, access, &request).await;
    if let Some(error) = &feed.untold {
        let posted = feed.posted;
        context.output.remark(format_args!("The ids could not all be printed ({error}); blocks posted: {posted}"));
    }
    result.map_err(|error| feed.how_far(error))
}

/// Names the topic, or the number, that is too much.
fn check_topics(topics: &[String]) -> anyhow::Result<()> {
    ensure!(topics.len() <= TOPICS_MAX, "{} topics are given: a block has at most {TOPICS_MAX}", topics.len());
    for (number, topic) in topics.iter().enumerate() {
        let (number, bytes) = (number.saturating_add(1), topic.len());
        ensure!(bytes <= TOPIC_BYTES_MAX, "topic {number} has {bytes} bytes: a topic has at most {TOPIC_BYTES_MAX}");
    }
    Ok(())
}

/// What is on its way from the input to the chain.
struct Feed {
    contents: mpsc::Receiver<anyhow::Result<Vec<u8>>>,
    /// It was read while no node was there.
    first: Option<Vec<u8>>,
    /// Nothing more is posted, and why.
    ended: Option<anyhow::Result<()>>,
    given: u64,
    posted: u64,
    /// Why ids are not printed any more.
    untold: Option<String>,
    cut: Cut,
}

impl Feed {
    /// Posts all that comes. A node of this command leaves the home to others when the input pauses.
    async fn run(&mut self, context: &mut Context, mut access: Access, request: &Request) -> anyhow::Result<()> {
        loop {
            let served = access.is_served();
            let result = self.stretch(context, &mut access).await;
            access.close().await;
            let ended = self.ended.is_some() || result.is_err();
            if !ended {
                tokio::time::sleep(TURN).await;
                self.wait_for_input(context).await;
            }
            if let Some(ended) = result.err().map(Err).or_else(|| self.ended.take()) {
                if !served && self.posted > 0 {
                    let what = if self.posted == 1 { "The block goes" } else { "The blocks go" };
                    context.output.remark(format_args!("{what} out when the node runs: `walytis serve`"));
                }
                return ended;
            }
            access = link::open(context, Reach::Store, request.clone()).await?;
        }
    }

    /// Waits without a node until there is something to post.
    async fn wait_for_input(&mut self, context: &mut Context) {
        tokio::select! {
            biased;
            () = context.stop.requested() => self.ended = Some(Err(Interrupted.into())),
            content = self.contents.recv() => match content {
                Some(Ok(content)) => self.first = Some(content),
                Some(Err(error)) => self.ended = Some(Err(error)),
                None => self.ended = Some(Ok(())),
            }
        }
    }

    /// Hands contents to the node while it tells which blocks are durable; prints each id. Ends with the input, and for
    /// a node of this command when it has to leave the home.
    async fn stretch(&mut self, context: &mut Context, access: &mut Access) -> anyhow::Result<()> {
        let mut leaves = false;
        let may_leave = !access.is_served();
        let began = tokio::time::Instant::now();
        let requests = access.link.requests();
        let mut next: Option<Request> = self.first.take().map(|content| Request::Content(ByteBuf::from(content)));
        loop {
            let takes_more = next.is_none() && self.ended.is_none() && !leaves;
            tokio::select! {
                biased;
                () = context.stop.requested(), if self.ended.is_none() => {
                    // What was given to the node already becomes durable, and is told of.
                    next = Some(self.end(Err(Interrupted.into())));
                }
                reply = access.link.next() => match reply {
                    Ok(Some(Reply::Posted(id))) => self.tell(context, id),
                    Ok(Some(_)) => {}
                    Ok(None) if self.ended.is_some() || leaves => return Ok(()),
                    Ok(None) => return Err(NodeGone.into()),
                    Err(error) => return Err(error),
                },
                permit = requests.reserve(), if next.is_some() => match (permit, next.take()) {
                    (Ok(permit), Some(request)) => {
                        self.given = self.given.saturating_add(u64::from(matches!(request, Request::Content(_))));
                        permit.send(request);
                    }
                    // The reply that tells why comes by itself.
                    _ => self.ended = Some(Err(NodeGone.into())),
                },
                () = tokio::time::sleep_until(began + STRETCH), if may_leave && takes_more => {
                    leaves = true;
                    next = Some(Request::End);
                }
                content = self.contents.recv(), if takes_more => {
                    next = Some(match content {
                        Some(Ok(content)) => Request::Content(ByteBuf::from(content)),
                        Some(Err(error)) => self.end(Err(error)),
                        None => self.end(Ok(())),
                    });
                }
                () = tokio::time::sleep(PAUSE), if may_leave && takes_more => {
                    leaves = true;
                    next = Some(Request::End);
                }
            }
        }
    }

    fn end(&mut self, why: anyhow::Result<()>) -> Request {
        self.ended = Some(why);
        Request::End
    }

    /// Prints an id. Whether anybody reads it changes nothing of what is posted.
    fn tell(&mut self, context: &mut Context, id: String) {
        self.posted = self.posted.saturating_add(1);
        if self.untold.is_none()
            && let Err(error) = context.output.result(&id, &Posted { id: id.clone() })
        {
            self.untold = Some(crate::output::one_line(&error));
            context.output.give_up();
        }
    }

    /// Blocks are told of in order, so the first line that was not is where to go on.
    fn how_far(&self, error: anyhow::Error) -> anyhow::Error {
        if self.cut != Cut::Lines {
            return error;
        }
        let next = self.posted.saturating_add(1);
        let done = match self.posted {
            0 => "no line is posted for sure".to_owned(),
            1 => "line 1 is posted".to_owned(),
            posted => format!("lines 1 to {posted} are posted"),
        };
        let unknown = if self.given > self.posted {
            format!("; lines {next} to {} may be posted as well, which `read` shows", self.given)
        } else {
            String::new()
        };
        let said = crate::output::one_line(&error);
        error.context(format!("{said} ({done}: go on from line {next}{unknown})"))
    }
}

fn open(contents: &Contents) -> anyhow::Result<Box<dyn Read + Send>> {
    let Contents { file, text, .. } = contents;
    match text {
        Some(text) => Ok(Box::new(io::Cursor::new(text.clone().into_bytes()))),
        None if file == Path::new("-") => Ok(Box::new(io::stdin())),
        None => Ok(Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)),
    }
}

/// Who names a file that is not there may have typed what to post.
fn takes_files(error: anyhow::Error, command: &str, to: &str) -> anyhow::Error {
    match error.downcast_ref::<io::Error>() {
        Some(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let said = crate::output::one_line(&error);
            error.context(format!(
                "{said}. `{command}` takes a file or standard input; a text goes by `echo \"text\" | walytis {command} {to}`, or \
                 by -m \"text\""
            ))
        }
        _ => error,
    }
}

/// Reads the input on a thread of its own, for which the program does not wait when it ends.
fn cut_up(
    input: Box<dyn Read + Send>,
    name: String,
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
                Cut::Filled => whole(&mut input).and_then(filled),
                Cut::Lines => one_line(&mut input).with_context(|| format!("line {line}")),
            };
            let content = content.with_context(|| format!("cannot post {name}"));
            let last = cut != Cut::Lines || content.is_err();
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

fn filled(content: Option<Vec<u8>>) -> anyhow::Result<Option<Vec<u8>>> {
    ensure!(content.as_ref().is_none_or(|content| !content.is_empty()), "it is empty: an empty block needs --empty");
    Ok(content)
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
        check(b"a", Cut::Filled, &[b"a"], "");
        check(b"", Cut::Filled, &[], "cannot post f: it is empty: an empty block needs --empty");
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
