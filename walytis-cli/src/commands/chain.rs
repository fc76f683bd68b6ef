//! `walytis chain ...`

use std::fmt::Write;
use std::io::IsTerminal;

use anyhow::ensure;
use serde::Serialize;

use super::{chain_files, chain_queries, chain_upgrade, group, post, read};
use crate::chain_arguments::{Chain, Rules};
use crate::context::Context;
use crate::escape::printable_line;
use crate::link::{
    self, ChainDetailsView, ChainInvitationView, ChainView, LetterChange, LetterView, Reach, Reply, Request, RuleView,
};
use crate::output::count;
use crate::reach_arguments::JoinArguments;
use crate::time::Moment;

/// A dead letter as JSON.
#[derive(Serialize)]
struct Letter<'a> {
    #[serde(flatten)]
    block: read::Line<'a>,
    tries: u32,
    reason: &'a str,
    failed_at_ms: u64,
    again: bool,
}

#[derive(Serialize)]
struct Deleted {
    blocks: u64,
}

/// Carries out the part of `chain` that was typed.
pub(crate) async fn run(context: &mut Context, arguments: Chain) -> anyhow::Result<()> {
    match arguments {
        Chain::New { name } => {
            let chain = link::ask(context, Reach::Store, Request::NewChain { name }, chain).await?;
            context.output.result(&chain.id, &chain)
        }
        Chain::List => list(context).await,
        Chain::Show { chain } => {
            let details = details(context, chain).await?;
            context.output.result(text(&details)?, &details)
        }
        Chain::Delete { chain, yes } => delete(context, chain, yes).await,
        Chain::Post { chain, contents } => {
            let to = chain.clone();
            post::post(context, contents, &to, |topics| Request::PostToChain { chain, topics }).await
        }
        Chain::Read(arguments) => chain_queries::read(context, *arguments).await,
        Chain::Ancestry { chain, a, b } => chain_queries::ancestry(context, chain, a, b).await,
        Chain::Subscriptions { chain, forget: None } => subscriptions(context, chain).await,
        Chain::Subscriptions { chain, forget: Some(name) } => {
            changed(context, Request::ForgetSubscription { chain, name }).await?;
            context.output.remark("Forgotten.");
            Ok(())
        }
        Chain::Letters { chain, name, replay, discard, block } => {
            let change = match (replay, discard) {
                (true, _) => LetterChange::Replay,
                (false, true) => LetterChange::Discard,
                (false, false) => LetterChange::None,
            };
            letters(context, Request::Letters { chain, name, change, block }).await
        }
        Chain::Export { chain, file, block } => chain_files::export(context, chain, file, block).await,
        Chain::Import { file, name } => chain_files::import(context, file, name).await,
        Chain::Invite { chain, uses, any_number, shareable } => {
            let uses = (!any_number).then_some(uses);
            invite(context, Request::InviteToChain { chain, uses, shareable }).await
        }
        Chain::Invitations { chain } => invitations(context, chain).await,
        Chain::Revoke { chain, number } => {
            changed(context, Request::RevokeChainInvitation { chain, invitation: number }).await?;
            context.output.remark("Nobody is admitted by it here any more.");
            Ok(())
        }
        Chain::Join { code, name, joining } => join(context, code, name, joining).await,
        Chain::Rules(rules) => change_rules(context, rules).await,
        Chain::Upgrade { chain } => chain_upgrade::run(context, chain).await,
    }
}

fn chain(reply: Reply) -> Option<ChainView> {
    match reply {
        Reply::Chain(chain) => Some(chain),
        _ => None,
    }
}

async fn details(context: &mut Context, chain: String) -> anyhow::Result<ChainDetailsView> {
    link::ask(context, Reach::Store, Request::Chain { chain }, |reply| match reply {
        Reply::ChainDetails(details) => Some(*details),
        _ => None,
    })
    .await
}

async fn changed(context: &mut Context, request: Request) -> anyhow::Result<()> {
    link::ask(context, Reach::Store, request, |reply| matches!(reply, Reply::Changed).then_some(())).await
}

async fn list(context: &mut Context) -> anyhow::Result<()> {
    let mut access = link::open(context, Reach::Store, Request::Chains).await?;
    let mut chains = 0_u64;
    while let Some(reply) = context.stop.or(access.link.next()).await? {
        if let Reply::Chain(chain) = reply {
            chains = chains.saturating_add(1);
            context.output.result(line(&chain), &chain)?;
        }
    }
    access.close().await;
    if chains == 0 {
        context.output.remark("There are no chains yet: `walytis chain new NAME` or `walytis chain join CODE`");
    }
    Ok(())
}

async fn subscriptions(context: &mut Context, chain: String) -> anyhow::Result<()> {
    let mut access = link::open(context, Reach::Store, Request::Subscriptions { chain }).await?;
    let mut listed = 0_u64;
    while let Some(reply) = context.stop.or(access.link.next()).await? {
        if let Reply::Subscription(each) = reply {
            listed = listed.saturating_add(1);
            let live = if each.live { ", read now" } else { "" };
            let name = printable_line(&each.name);
            context
                .output
                .result(format!("{name}  behind: {}, dead letters: {}{live}", each.behind, each.letters), &each)?;
        }
    }
    access.close().await;
    if listed == 0 {
        context.output.remark("Nobody reads this chain under a name: `walytis chain read CHAIN --subscription NAME`");
    }
    Ok(())
}

async fn letters(context: &mut Context, request: Request) -> anyhow::Result<()> {
    let mut access = link::open(context, Reach::Store, request).await?;
    let mut listed = 0_u64;
    while let Some(reply) = context.stop.or(access.link.next()).await? {
        if let Reply::Letter(LetterView { entry, tries, reason, failed_at_ms, again, .. }) = reply {
            listed = listed.saturating_add(1);
            let letter = Letter { block: read::line(&entry), tries, reason: &reason, failed_at_ms, again };
            let waits = if again { ", to be handed out again" } else { "" };
            let failed =
                format!("failed {tries} times, last at {}: {}{waits}", Moment(failed_at_ms), printable_line(&reason));
            context.output.result(format!("{}    {failed}", read::text(&entry)), &letter)?;
        }
    }
    access.close().await;
    if listed == 0 {
        context.output.remark("There are no such dead letters.");
    }
    Ok(())
}

pub(super) fn line(chain: &ChainView) -> String {
    let ChainView { name, id, standing, blocks, bytes, peers, room } = chain;
    let standing = match standing.as_str() {
        "joining" => ", its join broke off: join it again",
        "leaving" => ", being deleted",
        "misfiled" => ", no public chain: delete it, and the private one stays",
        _ => "",
    };
    let room = if room == "free" { String::new() } else { format!(", {room}") };
    format!("{}  {id}  blocks: {blocks}, bytes: {bytes}, peers: {peers}{standing}{room}", printable_line(name))
}

fn text(chain: &ChainDetailsView) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "name      {}", printable_line(&chain.name))?;
    writeln!(text, "id        {}", chain.id)?;
    writeln!(text, "blocks    {} of {}", chain.blocks, count(chain.bytes, "byte"))?;
    match chain.standing.as_str() {
        "joining" => writeln!(text, "standing  its join broke off: join it again by its code, or delete it")?,
        "leaving" => writeln!(text, "standing  it is being deleted")?,
        _ => {}
    }
    writeln!(text, "format    {}", chain_upgrade::format(chain))?;
    writeln!(text, "author    {} (this node's key here)", chain.author)?;
    writeln!(text, "serves    {}", if chain.serves == "anyone" { "whoever knows the id" } else { "who was invited" })?;
    for peer in &chain.peers {
        let seen =
            if peer.connected { "connected".to_owned() } else { format!("last seen {}", Moment(peer.last_seen_ms)) };
        writeln!(text, "peer      {} {seen}", peer.peer)?;
    }
    rules_text(chain, &mut text)?;
    if chain.full {
        writeln!(text, "full      {}", full(&printable_line(&chain.name)))?;
    }
    if let Some(refused) = refused(&chain.room) {
        writeln!(text, "room      {refused}")?;
    }
    if chain.newer > 0 {
        let were = if chain.newer == 1 { "was" } else { "were" };
        let newer = count(chain.newer, "block");
        writeln!(text, "newer     {newer} {were} refused: the format is newer than this program")?;
    }
    for fork in &chain.equivocations {
        writeln!(text, "fork      {} wrote two blocks with number {}:", fork.author, fork.sequence)?;
        for block in &fork.blocks {
            writeln!(text, "          {block}")?;
        }
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}

fn rules_text(chain: &ChainDetailsView, text: &mut String) -> std::fmt::Result {
    let lists = [
        ("blocked peer", &chain.blocked_peers),
        ("allowed peer", &chain.allowed_peers),
        ("blocked author", &chain.blocked_authors),
        ("allowed author", &chain.allowed_authors),
    ];
    for (what, list) in lists {
        for each in list {
            writeln!(text, "{what}  {each}")?;
        }
    }
    let limits = &chain.limits;
    writeln!(text, "limits    chain {}", count(limits.chain_bytes_max, "byte"))?;
    writeln!(
        text,
        "          a peer {} bytes, then {} a second",
        limits.peer_bytes_burst, limits.peer_bytes_per_second
    )?;
    let (burst, rate) = (limits.author_blocks_burst, limits.author_blocks_per_second);
    writeln!(text, "          an author {burst} blocks, then {rate} a second")
}

/// What is refused of others' blocks although the chain itself is not full, why, and what to do.
fn refused(room: &str) -> Option<&'static str> {
    match room {
        "half-full" => Some(
            "more than half is taken: new authors wait until somebody who has written here builds on them, or is allowed",
        ),
        "all-full" => Some("all public chains together are full: blocks by others are not taken; delete a chain"),
        "disk-scarce" => Some("the disk has little room: blocks by others are not taken; make room there"),
        _ => None,
    }
}

/// What it means that a chain is full, and what to do.
pub(super) fn full(name: &str) -> String {
    format!(
        "{name} is full: blocks by others are not taken; raise it with `walytis chain rules {name} --chain-bytes-max BYTES`"
    )
}

/// Asks whether a chain is to be deleted.
async fn agreed(context: &mut Context, chain: &str) -> anyhow::Result<bool> {
    let ChainDetailsView { name, blocks, peers, .. } = details(context, chain.to_owned()).await?;
    let peers = u64::try_from(peers.len()).unwrap_or(u64::MAX);
    let shared = match peers {
        0 => "No peer has shared it".to_owned(),
        1 => "1 peer has shared it".to_owned(),
        _ => format!("{peers} peers have shared it"),
    };
    let blocks = count(blocks, "block");
    let name = printable_line(&name);
    let question = format!("Delete {name}, {blocks}? {shared}; what nobody else has is lost. [y/N] ");
    // A thread of its own: the program does not wait for it when it ends.
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("question".to_owned()).spawn(move || {
        let mut line = String::new();
        // Whoever cannot be asked has not agreed.
        let _ = write_out(&question).and_then(|()| std::io::stdin().read_line(&mut line));
        drop(answer.send(line));
    })?;
    let line = context.stop.or(async { Ok(answered.await?) }).await?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn write_out(question: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut errors = std::io::stderr();
    errors.write_all(question.as_bytes())?;
    errors.flush()
}

async fn delete(context: &mut Context, chain: String, yes: bool) -> anyhow::Result<()> {
    if !yes {
        ensure!(
            std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            "nothing was deleted: there is no terminal on which to ask, so say it with --yes"
        );
        ensure!(agreed(context, &chain).await?, "nothing was deleted");
    }
    let blocks = link::ask(context, Reach::Store, Request::DeleteChain { chain }, |reply| match reply {
        Reply::Deleted { blocks } => Some(blocks),
        _ => None,
    });
    let blocks = blocks.await?;
    context.output.result(format!("removed {}", count(blocks, "block")), &Deleted { blocks })
}

async fn invite(context: &mut Context, request: Request) -> anyhow::Result<()> {
    let access = link::open(context, Reach::Store, request).await?;
    let served = access.is_served();
    let invitation = link::take(context, access, |reply| match reply {
        Reply::ChainInvitation(invitation) => Some(invitation),
        _ => None,
    });
    let invitation = invitation.await?;
    if !served {
        context.output.remark("The node does not run: start `walytis serve`, so that others can join.");
    }
    context.output.result(invitation.code.clone().unwrap_or_default(), &invitation)
}

async fn invitations(context: &mut Context, chain: String) -> anyhow::Result<()> {
    let mut access = link::open(context, Reach::Store, Request::ChainInvitations { chain }).await?;
    let mut invitations = 0_u64;
    while let Some(reply) = context.stop.or(access.link.next()).await? {
        if let Reply::ChainInvitation(invitation) = reply {
            invitations = invitations.saturating_add(1);
            context.output.result(invitation_line(&invitation), &invitation)?;
        }
    }
    access.close().await;
    if invitations == 0 {
        context.output.remark("There are no invitations: `walytis chain invite CHAIN` opens one");
    }
    Ok(())
}

fn invitation_line(invitation: &ChainInvitationView) -> String {
    let uses = match invitation.uses {
        None => "any number".to_owned(),
        Some(0) => "spent".to_owned(),
        Some(uses) => format!("uses left: {uses}"),
    };
    let shareable = if invitation.shareable { ", shareable" } else { "" };
    let code = invitation.code.as_deref().unwrap_or("no code yet: run `walytis serve` once");
    format!("{}  {uses}{shareable}  {code}", invitation.number)
}

async fn join(
    context: &mut Context,
    code: String,
    name: Option<String>,
    arguments: JoinArguments,
) -> anyhow::Result<()> {
    let code = group::code(context, code).await?;
    let (joined, served) = group::joining(context, arguments, Request::JoinChain { code, name }, chain).await?;
    context.output.remark(format_args!("Joined {}.", printable_line(&joined.name)));
    if !served {
        context.output.remark("Start `walytis serve` to get what comes from now on.");
    }
    context.output.result(line(&joined), &joined)
}

/// Changes what was given, then shows the chain.
async fn change_rules(context: &mut Context, rules: Rules) -> anyhow::Result<()> {
    let chain = rules.chain.clone();
    let before = details(context, chain.clone()).await?;
    let changes = changes(rules, &before);
    if !changes.is_empty() {
        changed(context, Request::RuleChain { chain: chain.clone(), rules: changes }).await?;
    }
    let after = details(context, chain).await?;
    context.output.result(text(&after)?, &after)
}

fn changes(rules: Rules, before: &ChainDetailsView) -> Vec<RuleView> {
    let mut changes = Vec::new();
    match rules.serve.as_deref() {
        Some("invited") => changes.push(RuleView::ServeInvited),
        Some(_) => changes.push(RuleView::ServeAnyone),
        None => {}
    }
    changes.extend(rules.forget_peer.into_iter().map(|peer| RuleView::ForgetPeer(peer.0)));
    changes.extend(rules.block_peer.into_iter().map(|peer| RuleView::BlockPeer(peer.0)));
    changes.extend(rules.allow_peer.into_iter().map(|peer| RuleView::AllowPeer(peer.0)));
    changes.extend(rules.forget_author.into_iter().map(|author| RuleView::ForgetAuthor(author.0)));
    changes.extend(rules.block_author.into_iter().map(|author| RuleView::BlockAuthor(author.0)));
    changes.extend(rules.allow_author.into_iter().map(|author| RuleView::AllowAuthor(author.0)));
    let mut limits = before.limits;
    limits.chain_bytes_max = rules.chain_bytes_max.unwrap_or(limits.chain_bytes_max);
    limits.peer_bytes_burst = rules.peer_bytes_burst.unwrap_or(limits.peer_bytes_burst);
    limits.peer_bytes_per_second = rules.peer_bytes_per_second.unwrap_or(limits.peer_bytes_per_second);
    limits.author_blocks_burst = rules.author_blocks_burst.unwrap_or(limits.author_blocks_burst);
    limits.author_blocks_per_second = rules.author_blocks_per_second.unwrap_or(limits.author_blocks_per_second);
    if limits != before.limits {
        changes.push(RuleView::Limits(limits));
    }
    changes
}
