//! `walytis chain export` and `walytis chain import`

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use walytis_core::query::IdPrefix;

use super::chain::line;
use crate::context::Context;
use crate::escape::printable_line;
use crate::link::{self, ChainView, Link, NodeGone, QUEUE, Reach, Reply, Request};
use crate::output::{OutputClosed, count};
use crate::progress::Progress;
use crate::stop::Interrupted;

/// How much of a file is read at a time.
const PIECE_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
struct Exported {
    blocks: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Imported<'a> {
    #[serde(flatten)]
    chain: &'a ChainView,
    new: u64,
    known: u64,
}

/// A file that has its name once it is whole.
struct Unfinished {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".part");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).with_context(|| format!("cannot write {}", temporary.display()))?;
        Ok(Self { file, temporary, path })
    }

    fn finish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        // The name, too, is to survive the power's end.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        #[cfg(not(unix))]
        let _ = folder;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the renaming there is none.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a chain, or a block, to a file.
pub(super) async fn export(
    context: &mut Context,
    chain: String,
    path: PathBuf,
    block: Option<IdPrefix>,
) -> anyhow::Result<()> {
    let to_output = path == Path::new("-");
    ensure!(!to_output || !io::stdout().is_terminal(), "an export is no text for a terminal: name a file, or a pipe");
    let block = block.map(|block| block.to_string());
    let mut access = link::open(context, Reach::Store, Request::ExportChain { chain, block }).await?;
    let progress = Progress::new(&context.output, "exporting");
    let written = write_pieces(context, &mut access.link, &progress, (!to_output).then_some(path)).await;
    drop(progress);
    access.close().await;
    // Whoever has not read all has no whole file.
    let told = |error: anyhow::Error| match error.downcast_ref::<OutputClosed>() {
        Some(_) if to_output => anyhow!("nobody read the export to its end, so what was read is not whole"),
        _ => error,
    };
    let exported = written.map_err(told)?;
    let Exported { blocks, bytes } = exported;
    match to_output {
        true => context.output.flush().map_err(told),
        false => context.output.result(format!("{} in {}", count(blocks, "block"), count(bytes, "byte")), &exported),
    }
}

/// Writes what comes: to a file, or to standard output.
async fn write_pieces(
    context: &mut Context,
    link: &mut Link,
    progress: &Progress,
    path: Option<PathBuf>,
) -> anyhow::Result<Exported> {
    // Only once there is something to write.
    let mut file: Option<Unfinished> = None;
    let mut exported = Exported { blocks: 0, bytes: 0 };
    while let Some(reply) = context.stop.or(link.next()).await? {
        let Reply::Piece { bytes, blocks, of } = reply else { continue };
        progress.say(format!("exporting: {blocks} of {of} blocks"));
        exported.blocks = blocks;
        exported.bytes = exported.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let Some(path) = &path else {
            context.output.bytes(&bytes)?;
            continue;
        };
        let open = match file.take() {
            Some(open) => open,
            None => Unfinished::create(path.clone())?,
        };
        let open = file.insert(open);
        open.file.write_all(&bytes).with_context(|| format!("cannot write {}", open.temporary.display()))?;
    }
    if let Some(file) = file {
        file.finish().with_context(|| format!("cannot write {}", file.path.display()))?;
    }
    Ok(exported)
}

/// Takes a chain, or blocks, from a file.
pub(super) async fn import(context: &mut Context, path: PathBuf, name: Option<String>) -> anyhow::Result<()> {
    let pieces = pieces(path)?;
    let mut access = link::open(context, Reach::Store, Request::ImportChain { name }).await?;
    let progress = Progress::new(&context.output, "importing");
    let imported = hand_over(context, &mut access.link, pieces, &progress).await;
    drop(progress);
    let served = access.is_served();
    access.close().await;
    if imported.as_ref().is_err_and(|error| error.downcast_ref::<Interrupted>().is_some()) {
        context.output.remark("What was imported stays: the same command goes on there.");
    }
    let (chain, new, known) = imported?;
    context.output.remark(format_args!(
        "{}: {}, {known} here before.",
        printable_line(&chain.name),
        count(new, "new block")
    ));
    if !served && new > 0 {
        context.output.remark("Start `walytis serve` to share it, and to get what comes from now on.");
    }
    context.output.result(line(&chain), &Imported { chain: &chain, new, known })
}

/// Hands pieces to the node until it says what has come of them.
async fn hand_over(
    context: &mut Context,
    link: &mut Link,
    mut pieces: mpsc::Receiver<anyhow::Result<Vec<u8>>>,
    progress: &Progress,
) -> anyhow::Result<(ChainView, u64, u64)> {
    let requests = link.requests();
    let (mut next, mut ended) = (None, false);
    loop {
        tokio::select! {
            biased;
            () = context.stop.requested() => return Err(Interrupted.into()),
            reply = link.next() => match reply? {
                Some(Reply::Imported { chain, new, known }) => return Ok((chain, new, known)),
                Some(Reply::Importing { blocks, of }) => progress.say(format!("importing: {blocks} of {of} blocks")),
                Some(_) => {}
                None => return Err(NodeGone.into()),
            },
            permit = requests.reserve(), if next.is_some() => match (permit, next.take()) {
                (Ok(permit), Some(request)) => permit.send(request),
                // The reply that tells why comes by itself.
                _ => ended = true,
            },
            piece = pieces.recv(), if next.is_none() && !ended => match piece {
                Some(piece) => next = Some(Request::Content(ByteBuf::from(piece?))),
                None => {
                    ended = true;
                    next = Some(Request::End);
                }
            },
        }
    }
}

/// Reads a file, or standard input, on a thread of its own.
fn pieces(path: PathBuf) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Vec<u8>>>> {
    let name = path.display().to_string();
    let mut input: Box<dyn Read + Send> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(&path).with_context(|| format!("cannot open {name}"))?),
    };
    let (pieces, read) = mpsc::channel(QUEUE);
    let reading = move || {
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let limit = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
            match (&mut input).take(limit).read_to_end(&mut piece) {
                Ok(0) => return,
                Ok(_) => {
                    if pieces.blocking_send(Ok(piece)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let error = anyhow::Error::new(error).context(format!("cannot read {name}"));
                    // Whoever does not listen any more knows a reason of its own.
                    let _ = pieces.blocking_send(Err(error));
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(reading).context("cannot read in the background")?;
    Ok(read)
}
