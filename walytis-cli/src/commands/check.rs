//! `walytis check`

use anyhow::bail;
use serde::Serialize;

use crate::context::Context;
use crate::link;
use crate::output::printable;
use crate::progress::Progress;

#[derive(Serialize)]
struct Report {
    ok: bool,
    chains: u64,
    blocks: u64,
    contents: u64,
    problems: Vec<String>,
}

/// Verifies all that the home holds.
pub(crate) async fn run(context: &mut Context) -> anyhow::Result<()> {
    let (home, lock) = link::open_home(context).await?;
    let progress = Progress::new(&context.output, "verifying");
    let bar = progress.bar();
    let checking = tokio::task::spawn_blocking(move || {
        let _lock = lock;
        home.check(&mut |done, of| bar.set_message(format!("verifying: {done} of {of} blocks")))
    });
    let report = context.stop.or(async { Ok(checking.await??) }).await?;
    drop(progress);
    let report = Report {
        ok: report.problems.is_empty(),
        chains: report.chains,
        blocks: report.blocks,
        contents: report.contents,
        problems: report.problems,
    };
    let Report { chains, blocks, contents, problems, .. } = &report;
    let mut text: String = problems.iter().map(|problem| format!("wrong: {}\n", printable(problem))).collect();
    text = format!("{text}verified {blocks} blocks and {contents} contents on {chains} chains");
    context.output.result(text, &report)?;
    let Some(first) = problems.first() else { return Ok(()) };
    bail!(
        "{} problems were found, the first: {first}. Put back a copy of the home, or make a new one and join again",
        problems.len()
    )
}
