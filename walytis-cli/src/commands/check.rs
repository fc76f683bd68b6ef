//! `walytis check`

use anyhow::bail;
use offchain_store::{KEYS_FILE, KeyFile};
use serde::Serialize;
use walytis_node::CheckReport;

use crate::context::Context;
use crate::escape::printable_line;
use crate::link::{self, Reply, Request};
use crate::output::{Format, count, one_line};
use crate::progress::Progress;
use crate::stop::Interrupted;

#[derive(Serialize)]
struct Report {
    ok: bool,
    chains: u64,
    blocks: u64,
    contents: u64,
    problems: Vec<String>,
    /// What was wrong before.
    mended: Vec<String>,
}

/// Verifies all that the home holds.
pub(crate) async fn run(context: &mut Context) -> anyhow::Result<()> {
    let mut mended = Vec::new();
    let report = match verify(context, &mut mended).await {
        Ok(report) => report,
        Err(error) => {
            if context.output.format() == Format::Json && error.downcast_ref::<Interrupted>().is_none() {
                let problems = vec![one_line(&error)];
                let report = Report { ok: false, chains: 0, blocks: 0, contents: 0, problems, mended };
                context.output.object(&report)?;
            }
            return Err(error);
        }
    };
    let CheckReport { chains, blocks, contents, problems } = report;
    let report = Report { ok: problems.is_empty(), chains, blocks, contents, problems, mended };
    let Report { problems, mended, .. } = &report;
    let mut text: String = problems.iter().map(|problem| format!("wrong: {}\n", printable_line(problem))).collect();
    text.extend(mended.iter().map(|problem| format!("mended: {}\n", printable_line(problem))));
    let (blocks, contents) = (count(blocks, "block"), count(contents, "content"));
    text = format!("{text}verified {blocks} and {contents} on {}", count(chains, "chain"));
    context.output.result(text, &report)?;
    let Some(first) = problems.first() else { return Ok(()) };
    let count = problems.len();
    let found =
        if count == 1 { "a problem was found".to_owned() } else { format!("{count} problems were found, the first") };
    // Such a home is sound but for an entry, which that command removes.
    let way_out = match problems.iter().any(|problem| problem.contains("`walytis chain delete`")) {
        true => "Then check again".to_owned(),
        false => context.home.way_out(),
    };
    bail!("{found}: {first}. {way_out}")
}

async fn verify(context: &mut Context, mended: &mut Vec<String>) -> anyhow::Result<CheckReport> {
    if let Some(access) = link::open_if_served(context, Request::Check).await? {
        return link::take(context, access, |reply| match reply {
            Reply::Checked { chains, blocks, contents, problems } => {
                Some(CheckReport { chains, blocks, contents, problems })
            }
            _ => None,
        })
        .await;
    }
    let keys = KeyFile::at(context.home.store().join(KEYS_FILE));
    // Opening mends what it can.
    let damaged = keys.is_whole().is_ok_and(|whole| !whole);
    let (home, lock) = link::open_home(context).await?;
    let mut still = None;
    if damaged {
        let file = context.home.store().join(KEYS_FILE).display().to_string();
        if keys.is_whole().is_ok_and(|whole| whole) {
            mended.push(format!("one half of {file} was damaged, and was written anew from the other"));
        } else {
            still = Some(format!("one half of {file} is damaged, and cannot be written anew"));
        }
    }
    let progress = Progress::new(&context.output, "verifying");
    let bar = progress.bar();
    let checking = tokio::task::spawn_blocking(move || {
        let _lock = lock;
        home.check(&mut |done, of| bar.set_message(format!("verifying: {done} of {of} blocks")))
    });
    let mut report = context.stop.or(async { Ok(checking.await??) }).await?;
    report.problems.extend(still);
    Ok(report)
}
