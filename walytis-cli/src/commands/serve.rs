//! `walytis serve`

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use walytis_node::{
    Address, ChainId, ChainLimit, ChainSummary, Home, JoinRefusal, Node, RefusedJoin, ServeNotice, ServeOptions,
};

use super::chain;
use crate::arguments::Serve;
use crate::context::Context;
use crate::escape::printable_line;
use crate::home::HomeLock;
use crate::link;
use crate::output::{OutputClosed, complain};
use crate::stop::Interrupted;

#[derive(Serialize)]
struct Listening {
    listening: String,
}

/// Runs the node until it is told to stop.
pub(crate) async fn run(context: &mut Context, arguments: Serve) -> anyhow::Result<()> {
    let (home, lock) = link::open_home(context).await?;
    match serve(context, home, &lock, arguments).await {
        // That is how serving ends.
        Err(error) if error.downcast_ref::<Interrupted>().is_some() => Ok(()),
        result => result,
    }
}

async fn serve(context: &mut Context, home: Home, lock: &HomeLock, arguments: Serve) -> anyhow::Result<()> {
    let sought = arguments.peers.clone();
    let reach = arguments.reach.reach();
    let options = ServeOptions { listen: arguments.listen, connect: arguments.peers, reach, ..ServeOptions::default() };
    let talks = context.output.talks();
    let mut notice = |notice: ServeNotice| {
        if let (true, ServeNotice::Taken { place, error }) = (talks, notice) {
            complain(format_args!("Cannot listen at {place} this time: {error}. The next start tries it again."));
        }
    };
    let node = context.stop.or(async { Ok(home.serve_with(options, &mut notice).await?) }).await?;
    let result = run_node(context, &node, lock, &sought).await;
    node.shutdown().await;
    result
}

/// How often a node looks whether chains have become full.
const LOOK: Duration = Duration::from_secs(10);

/// The chains that were found full, of which each is told once.
#[derive(Default)]
struct FullChains {
    told: BTreeSet<ChainId>,
    /// How often chains had refused blocks when they were last looked at.
    refusals: Option<u64>,
}

impl FullChains {
    async fn tell(&mut self, context: &Context, node: &Node) {
        // What cannot be asked now is asked the next time, or the node has ended.
        let Ok(chains) = node.chains().await else { return };
        for (number, ChainSummary { chain, name, .. }) in chains.into_iter().enumerate() {
            let Ok(details) = node.chain(&chain.to_string()).await else { continue };
            let refusals = details.limits_reached.get(&ChainLimit::ChainBytes).copied().unwrap_or_default();
            // The refusals are those of all chains: where there are no new ones, none has become full.
            if number == 0 && self.refusals.replace(refusals) == Some(refusals) {
                return;
            }
            if details.full && self.told.insert(chain) {
                context.output.remark(chain::full(&printable_line(&name)));
            }
        }
    }
}

/// Whom the node did not admit, why, and what to do. The joiner is told the same from its side.
fn not_admitted(refused: &RefusedJoin) -> String {
    let RefusedJoin { name, peer, reason, because, .. } = refused;
    let name = if name.is_empty() { "a group that is not here".to_owned() } else { printable_line(name) };
    let next = match reason {
        JoinRefusal::Spent => format!("the invitation is spent. Make a new one: `walytis group invite {name}`"),
        JoinRefusal::Expired => format!("the invitation has expired. Make a new one: `walytis group invite {name}`"),
        JoinRefusal::OtherKeys => {
            "it is a member already, by keys that its home does not have any more. It has to put back \
                                   a copy of its home that was made after it joined, or join with a new home"
                .to_owned()
        }
        JoinRefusal::Invalid => {
            let because = because.as_ref().map(|because| format!(" ({})", printable_line(because))).unwrap_or_default();
            format!(
                "its request is not valid{because}. Make a new invitation, `walytis group invite {name}`, and see that both \
                 programs are up to date"
            )
        }
        JoinRefusal::NoRoom => "this node's disk is full. It can join once there is room".to_owned(),
        _ => "this node may not admit anybody there. Whoever manages the group can invite".to_owned(),
    };
    format!("Did not admit {peer} to {name}: {next}.")
}

/// Takes commands and tells addresses until the node is told to stop, or has to.
async fn run_node(context: &mut Context, node: &Node, lock: &HomeLock, sought: &[Address]) -> anyhow::Result<()> {
    // Before the first address is told: whoever waits for it can send commands.
    let mut commands = pin!(link::take_commands(&context.home, lock, node)?);
    context.output.remark("The node runs. Ctrl-C stops it.");
    let mut listening = node.listening();
    let mut unreached = node.unreached();
    let mut refused = node.refused_joins();
    let mut others = node.other_protocols();
    let (mut fullness, mut was_full) = (node.fullness(), false);
    let mut full = FullChains::default();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = looks.tick() => full.tell(context, node).await,
            () = context.stop.requested() => return Err(Interrupted.into()),
            stopped = node.stopped() => return stopped.map_or(Ok(()), |error| Err(error.into())),
            () = &mut commands => {}
            Some((address, reason)) = unreached.next() => {
                if sought.contains(&address) {
                    let reason = printable_line(&reason);
                    context.output.remark(format_args!("Cannot reach {address} yet ({reason}); trying on."));
                }
            }
            Some(refused) = refused.next() => context.output.remark(not_admitted(&refused)),
            Some(full) = fullness.next() => {
                match full {
                    Some(reason) => context.output.remark(format_args!(
                        "Nothing is written for now: {reason}. Reading and passing on go on; free some on the disk of {}.",
                        context.home.path().display()
                    )),
                    None if was_full => context.output.remark("There is room again: writing goes on."),
                    None => {}
                }
                was_full = node.fullness().now().is_some();
            }
            Some(other) = others.next() => {
                context.output.remark(format_args!("Nothing is exchanged with one peer: {other}."));
            }
            Some(address) = listening.next() => {
                let listening = address.to_string();
                match context.output.result(&address, &Listening { listening }) {
                    // Others may still want the node, if not its addresses.
                    Err(error) if error.downcast_ref::<OutputClosed>().is_some() => {}
                    result => result?,
                }
            }
        }
    }
}
