//! `walytis serve`

use std::pin::pin;

use serde::Serialize;
use walytis_node::{Address, Home, Node, ServeNotice, ServeOptions};

use crate::arguments::Serve;
use crate::context::Context;
use crate::home::HomeLock;
use crate::link;
use crate::output::{OutputClosed, complain, printable};
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
    let options = ServeOptions { listen: arguments.listen, connect: arguments.peers, reach };
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

/// Takes commands and tells addresses until the node is told to stop, or has to.
async fn run_node(context: &mut Context, node: &Node, lock: &HomeLock, sought: &[Address]) -> anyhow::Result<()> {
    // Before the first address is told: whoever waits for it can send commands.
    let mut commands = pin!(link::take_commands(&context.home, lock, node)?);
    context.output.remark("The node runs. Ctrl-C stops it.");
    let mut listening = node.listening();
    let mut unreached = node.unreached();
    loop {
        tokio::select! {
            () = context.stop.requested() => return Err(Interrupted.into()),
            stopped = node.stopped() => return stopped.map_or(Ok(()), |error| Err(error.into())),
            () = &mut commands => {}
            Some((address, reason)) = unreached.next() => {
                if sought.contains(&address) {
                    let reason = printable(&reason);
                    context.output.remark(format_args!("Cannot reach {address} yet ({reason}); trying on."));
                }
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
