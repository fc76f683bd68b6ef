//! `walytis group ...`

use std::fmt::Write;
use std::io::{IsTerminal, Read};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use walytis_node::Accept;

use crate::arguments::Group;
use crate::context::Context;
use crate::escape::printable_line;
use crate::link::{self, GroupDetailsView, GroupView, NewerView, Reach, Reply, Request};
use crate::progress::Progress;
use crate::reach_arguments::JoinArguments;

/// The most bytes of standard input that are looked at for a code: many times the longest.
const CODE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Serialize)]
struct Code {
    code: String,
}

/// Carries out the part of `group` that was typed.
pub(crate) async fn run(context: &mut Context, arguments: Group) -> anyhow::Result<()> {
    match arguments {
        Group::New { name } => new(context, name).await,
        Group::List => list(context).await,
        Group::Show { group } => show(context, group).await,
        Group::Invite { group, uses } => invite(context, group, uses).await,
        Group::Join { code, name, joining } => join(context, code, name, joining).await,
    }
}

async fn new(context: &mut Context, name: String) -> anyhow::Result<()> {
    let group = link::ask(context, Reach::Store, Request::NewGroup { name }, group).await?;
    context.output.result(&group.did, &group)
}

async fn list(context: &mut Context) -> anyhow::Result<()> {
    let mut access = link::open(context, Reach::Store, Request::Groups).await?;
    let mut groups = 0_u64;
    while let Some(reply) = context.stop.or(access.link.next()).await? {
        if let Reply::Group(group) = reply {
            groups = groups.saturating_add(1);
            context.output.result(line(&group), &group)?;
        }
    }
    access.close().await;
    if groups == 0 {
        context.output.remark("There are no groups yet: `walytis group new NAME` or `walytis group join CODE`");
    }
    Ok(())
}

fn line(group: &GroupView) -> String {
    let GroupView { name, did, blocks, missing, members, newer } = group;
    let missing = if *missing > 0 { format!(", the content of {missing} is still missing") } else { String::new() };
    format!("{}  {did}  members: {members}, blocks: {blocks}{missing}{}", printable_line(name), beyond(newer))
}

/// What of a group needs a newer program, as the end of a line.
pub(super) fn beyond(newer: &[NewerView]) -> String {
    let newer = newer.iter().filter(|newer| newer.needs_newer());
    match newer.map(|newer| newer.count).fold(0, u64::saturating_add) {
        0 => String::new(),
        1 => ", 1 needs a newer program".to_owned(),
        count => format!(", {count} need a newer program"),
    }
}

async fn show(context: &mut Context, group: String) -> anyhow::Result<()> {
    let details = link::ask(context, Reach::Store, Request::Group { group }, |reply| match reply {
        Reply::GroupDetails(details) => Some(details),
        _ => None,
    });
    let details = details.await?;
    context.output.result(text(&details)?, &details)
}

fn text(group: &GroupDetailsView) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "name      {}", printable_line(&group.name))?;
    writeln!(text, "did       {}", group.did)?;
    writeln!(text, "blocks    {}", group.blocks)?;
    writeln!(text, "missing   {}", group.missing)?;
    for newer in &group.newer {
        let label = if newer.needs_newer() { "newer" } else { "unread" };
        writeln!(text, "{label:<9} {newer}")?;
    }
    writeln!(text, "epoch     {}", group.epoch.as_deref().unwrap_or("the next block begins one"))?;
    writeln!(
        text,
        "newcomers may read {}",
        if group.history == "all" { "everything" } else { "what comes after them" }
    )?;
    for member in &group.members {
        writeln!(text, "member    {} ({})", member.did, member.role)?;
        for device in &member.devices {
            writeln!(text, "  device  {} {}", device.did, device.peer)?;
        }
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}

async fn invite(context: &mut Context, group: String, uses: u32) -> anyhow::Result<()> {
    let access = link::open(context, Reach::Store, Request::Invite { group, uses }).await?;
    let served = access.is_served();
    let code = link::take(context, access, |reply| match reply {
        Reply::Code(code) => Some(code),
        _ => None,
    });
    let code = code.await?;
    if !served {
        context.output.remark("The node does not run: start `walytis serve`, so that the other can join.");
    }
    context.output.result(&code, &Code { code: code.clone() })
}

async fn join(
    context: &mut Context,
    typed: String,
    name: Option<String>,
    arguments: JoinArguments,
) -> anyhow::Result<()> {
    let code = code(context, typed).await?;
    ensure!(
        !code.starts_with("walytischain1"),
        "that is the code of a public chain, which hides nothing from anybody: `walytis chain join CODE`"
    );
    let (joined, served) = joining(context, arguments, Request::Join { code, name }, group).await?;
    context.output.remark(format_args!("Joined {}.", printable_line(&joined.name)));
    if !served {
        context.output.remark("Start `walytis serve` to get what comes from now on.");
    }
    context.output.result(line(&joined), &joined)
}

/// The code that was typed, or that comes over standard input.
pub(super) async fn code(context: &mut Context, code: String) -> anyhow::Result<String> {
    let code = if code == "-" {
        let reading = tokio::task::spawn_blocking(|| {
            let mut text = String::new();
            std::io::stdin().take(CODE_BYTES_MAX).read_to_string(&mut text).map(|_| text)
        });
        context.stop.or(async { reading.await?.context("cannot read the code from standard input") }).await?
    } else {
        code
    };
    // Codes are often copied with a line's end, or come in several lines.
    Ok(code.split_whitespace().collect())
}

/// Waits for a join, and tells how far it is. Gives what was joined, and whether a running node did it.
pub(super) async fn joining<T>(
    context: &mut Context,
    arguments: JoinArguments,
    request: Request,
    pick: impl Fn(Reply) -> Option<T>,
) -> anyhow::Result<(T, bool)> {
    let accept = if arguments.no_listen { Accept::Nothing } else { Accept::Connections };
    let mut access = link::open(context, Reach::Network(accept), request).await?;
    let progress = Progress::new(&context.output, "joining");
    // Where no line can move, one stays.
    let plain = !std::io::stderr().is_terminal();
    let waiting = plain.then(|| Progress::waiting(&context.output, || "joining: waiting for an inviter".to_owned()));
    let joined = context.stop.or(async {
        loop {
            match access.link.next().await? {
                Some(Reply::Progress(now)) => progress.say(now.to_string()),
                Some(reply) => {
                    if let Some(joined) = pick(reply) {
                        return Ok(joined);
                    }
                }
                None => return Err(link::NodeGone.into()),
            }
        }
    });
    let joined = joined.await;
    drop((progress, waiting));
    let served = access.is_served();
    access.close().await;
    Ok((joined?, served))
}

fn group(reply: Reply) -> Option<GroupView> {
    match reply {
        Reply::Group(group) => Some(group),
        _ => None,
    }
}
