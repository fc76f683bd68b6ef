//! `walytis status`

use std::fmt::Write;

use crate::context::Context;
use crate::escape::printable_line;
use crate::link::{self, Reach, Reply, Request, StatusView};
use crate::output::count;

/// Shows how the node is.
pub(crate) async fn run(context: &mut Context) -> anyhow::Result<()> {
    let status = link::ask(context, Reach::Store, Request::Status, |reply| match reply {
        Reply::Status(status) => Some(status),
        _ => None,
    });
    let status = status.await?;
    context.output.result(text(&status)?, &status)
}

fn text(status: &StatusView) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "running    {}", if status.running { "yes" } else { "no: `walytis serve` runs the node" })?;
    for address in &status.addresses {
        writeln!(text, "listening  {address}")?;
    }
    for peer in &status.peers {
        writeln!(text, "connected  {peer}")?;
    }
    for group in &status.groups {
        write!(text, "group      {}: {}", printable_line(&group.name), count(group.blocks, "block"))?;
        if group.missing > 0 {
            write!(text, ", the content of {} is still missing", group.missing)?;
        }
        writeln!(text, "{}", super::group::beyond(&group.newer))?;
    }
    for chain in &status.chains {
        let (blocks, peers) = (count(chain.blocks, "block"), count(chain.peers, "peer"));
        writeln!(text, "chain      {}: {blocks}, {peers}", printable_line(&chain.name))?;
    }
    for newer in &status.newer {
        writeln!(text, "newer      {newer}; passed over")?;
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}
