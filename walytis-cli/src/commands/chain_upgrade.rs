//! `walytis chain upgrade`

use serde::Serialize;

use crate::context::Context;
use crate::link::{self, ChainDetailsView, Reach, Reply, Request};

/// How far a chain is, as JSON.
#[derive(Serialize)]
struct Upgraded<'a> {
    name: &'a str,
    id: &'a str,
    head_formats: &'a [u8],
    next_format: u8,
    next_hash: &'a str,
}

/// Moves a chain to the newest format, and says what that means.
pub(crate) async fn run(context: &mut Context, chain: String) -> anyhow::Result<()> {
    let details = link::ask(context, Reach::Store, Request::UpgradeChain { chain }, |reply| match reply {
        Reply::ChainDetails(details) => Some(*details),
        _ => None,
    })
    .await?;
    let ChainDetailsView { name, id, head_formats, next_format, next_hash, .. } = &details;
    context.output.remark(format_args!(
        "New blocks use {next_hash}. From your next one on, members with an older program stop following."
    ));
    let upgraded = Upgraded { name, id, head_formats, next_format: *next_format, next_hash };
    context.output.result(format(&details), &upgraded)
}

/// The format of a chain's heads and of the next block.
pub(super) fn format(chain: &ChainDetailsView) -> String {
    let ChainDetailsView { head_formats, next_format, next_hash, .. } = chain;
    if head_formats == &[*next_format] {
        return format!("{next_format} ({next_hash})");
    }
    if head_formats.is_empty() {
        return format!("{next_format} ({next_hash}) from its first block on: none is here yet");
    }
    let heads: Vec<String> = head_formats.iter().map(ToString::to_string).collect();
    format!("{} now, {next_format} ({next_hash}) from your next block on", heads.join(" and "))
}
