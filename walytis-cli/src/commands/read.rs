//! `walytis read`

use std::collections::BTreeMap;

use anyhow::ensure;
use data_encoding::BASE64;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::arguments::{Read, Showing};
use crate::context::Context;
use crate::escape::{printable, printable_line};
use crate::link::{self, EntryView, Link, Reach, Reply, Request};
use crate::output::{Format, Output, count};
use crate::stop::Interrupted;
use crate::time::Moment;

/// How many digits of an id a person is shown.
const SHORT: usize = 12;

/// A block as JSON.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    id: &'a str,
    author: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    device: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Null, like what follows from the content, while that is on its way.
    topics: Option<Vec<String>>,
    created_at_ms: u64,
    size: Option<usize>,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'a> {
    Content(Option<&'a str>),
    ContentBase64(String),
}

/// What is printed of each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Text,
    Json,
    Raw,
}

/// Prints a group's blocks.
pub(crate) async fn run(context: &mut Context, arguments: Read) -> anyhow::Result<()> {
    let Read { group, topic, showing } = arguments;
    let topic = topic.map(ByteBuf::from);
    read(context, showing, Request::Read { group, topic, follow: showing.follow }).await
}

/// Prints the blocks that a request lists.
pub(super) async fn read(context: &mut Context, showing: Showing, request: Request) -> anyhow::Result<()> {
    let Showing { follow, raw } = showing;
    let shown = match context.output.format() {
        _ if raw => Shown::Raw,
        Format::Json => Shown::Json,
        Format::Text => Shown::Text,
    };
    let acknowledges = matches!(request, Request::ReadNamed { .. });
    let mut access = match follow {
        true => link::open_served(context, request).await?,
        false => link::open(context, Reach::Store, request).await?,
    };
    let mut printer = Printer { shown, acknowledges, missing: 0, without: BTreeMap::new() };
    let result = if follow {
        tokio::select! {
            // Following has no other end.
            result = printer.print_all(context, &mut access.link) => match result {
                Err(error) if error.downcast_ref::<Interrupted>().is_some() => Ok(()),
                result => result,
            },
            () = crate::output::closed() => Ok(()),
        }
    } else {
        printer.print_all(context, &mut access.link).await
    };
    access.close().await;
    if result.is_ok() && !follow {
        printer.nothing_lost(context).await?;
    }
    if printer.missing > 0 && shown != Shown::Json && !follow {
        context.output.remark(format_args!("The content of {} is still on its way.", count(printer.missing, "block")));
    }
    result
}

struct Printer {
    shown: Shown,
    /// Whether the node waits to hear of each block that it is written.
    acknowledges: bool,
    missing: u64,
    /// Of each device, a block whose content is not here.
    without: BTreeMap<String, String>,
}

impl Printer {
    async fn print_all(&mut self, context: &mut Context, link: &mut Link) -> anyhow::Result<()> {
        while let Some(reply) = context.stop.or(link.next()).await? {
            if let Reply::Entry(entry) = reply {
                self.print(&mut context.output, &entry)?;
                if self.acknowledges {
                    context.output.flush()?;
                    link.send(Request::Printed).await?;
                }
            }
            // Whoever waits for a block gets it at once; many are written together.
            if link.is_empty() {
                context.output.flush()?;
            }
        }
        context.output.flush()
    }

    /// What this device posted cannot be on its way to it.
    async fn nothing_lost(&self, context: &mut Context) -> anyhow::Result<()> {
        if self.without.is_empty() {
            return Ok(());
        }
        let identity = link::ask(context, Reach::Store, Request::Identity, |reply| match reply {
            Reply::Identity(identity) => Some(identity),
            _ => None,
        });
        let device = identity.await?.device;
        ensure!(
            !self.without.contains_key(&device),
            "the store is damaged: the content of block {}, which was posted here, is lost. `walytis check` tells more",
            self.without.get(&device).map_or("", String::as_str)
        );
        Ok(())
    }

    fn print(&mut self, output: &mut Output, entry: &EntryView) -> anyhow::Result<()> {
        if entry.content.is_none() {
            self.missing = self.missing.saturating_add(1);
            self.without.entry(entry.device.clone()).or_insert_with(|| entry.id.clone());
        }
        match self.shown {
            Shown::Json => output.object(&line(entry)),
            Shown::Text => output.bytes(text(entry).as_bytes()),
            Shown::Raw => {
                let Some(content) = &entry.content else { return Ok(()) };
                output.bytes(&content.bytes)?;
                if content.bytes.last() == Some(&b'\n') { Ok(()) } else { output.bytes(b"\n") }
            }
        }
    }
}

pub(super) fn line(entry: &EntryView) -> Line<'_> {
    let content = entry.content.as_ref();
    Line {
        id: &entry.id,
        author: &entry.author,
        device: &entry.device,
        sequence: entry.sequence,
        position: entry.position,
        topics: content.map(|content| content.topics.iter().map(|topic| lossy(topic)).collect()),
        created_at_ms: entry.created_at_ms,
        size: content.map(|content| content.bytes.len()),
        content: match content.map(|content| (&content.bytes, std::str::from_utf8(&content.bytes))) {
            None => Content::Content(None),
            Some((_, Ok(text))) => Content::Content(Some(text)),
            Some((bytes, Err(_))) => Content::ContentBase64(BASE64.encode(bytes)),
        },
    }
}

/// A line about the block, then its content, indented.
pub(super) fn text(entry: &EntryView) -> String {
    let short = |id: &str| id.rsplit(':').next().and_then(|digits| digits.get(..SHORT)).unwrap_or(id).to_owned();
    // An author of a public chain has no other name than its key, by which it is asked for, allowed and blocked.
    let author = if entry.sequence.is_some() { printable_line(&entry.author) } else { short(&entry.author) };
    let mut head = format!("{}  {}  by {author}", short(&entry.id), Moment(entry.created_at_ms));
    let Some(content) = &entry.content else { return format!("{head}\n    (its content is on its way)\n") };
    for topic in &content.topics {
        head = format!("{head}  #{}", printable_line(&lossy(topic)));
    }
    let body = match std::str::from_utf8(&content.bytes) {
        Ok(text) => printable(text).lines().map(|line| format!("    {line}\n")).collect(),
        Err(_) => format!("    ({} bytes that are not text)\n", content.bytes.len()),
    };
    format!("{head}\n{body}")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::ContentView;

    fn entry(content: Option<&[u8]>) -> EntryView {
        let content =
            content.map(|bytes| ContentView { topics: vec![ByteBuf::from("t")], bytes: ByteBuf::from(bytes) });
        let (author, device) = ("did:walytis:cd".to_owned() + &"ef".repeat(31), "d".to_owned());
        EntryView {
            id: "ab".repeat(32),
            author,
            device,
            sequence: None,
            position: None,
            created_at_ms: 86_400_000,
            content,
        }
    }

    #[test]
    fn a_block_has_the_named_fields() {
        let check = |content: Option<&[u8]>, expected: &str| {
            let json = serde_json::to_string(&line(&entry(content))).expect("JSON");
            let (_, end) = json.split_once(r#""device":"d","#).expect("the first fields");
            assert_eq!(end, expected);
        };
        check(Some(b"x"), r#""topics":["t"],"created_at_ms":86400000,"size":1,"content":"x"}"#);
        check(Some(b"\xff"), r#""topics":["t"],"created_at_ms":86400000,"size":1,"content_base64":"/w=="}"#);
        check(None, r#""topics":null,"created_at_ms":86400000,"size":null,"content":null}"#);
    }

    #[test]
    fn a_person_sees_text_that_cannot_move_the_cursor() {
        let head = "abababababab  1970-01-02 00:00:00Z  by cdefefefefef";
        assert_eq!(text(&entry(Some(b"a\n\x1b[2J"))), format!("{head}  #t\n    a\n    \\u{{1b}}[2J\n"));
        assert_eq!(text(&entry(Some(b"\xff\0"))), format!("{head}  #t\n    (2 bytes that are not text)\n"));
        assert_eq!(text(&entry(None)), format!("{head}\n    (its content is on its way)\n"));
    }

    #[test]
    fn raw_contents_end_with_a_line_feed() {
        let results = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("unpoisoned").write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::to(Shared(results.clone()), Format::Text);
        let mut printer = Printer { shown: Shown::Raw, acknowledges: false, missing: 0, without: BTreeMap::new() };
        for content in [Some(&b"a"[..]), Some(b"b\n"), None, Some(b"")] {
            printer.print(&mut output, &entry(content)).expect("printed");
        }
        assert_eq!((results.lock().expect("unpoisoned").as_slice(), printer.missing), (&b"a\nb\n\n"[..], 1));
    }
}
