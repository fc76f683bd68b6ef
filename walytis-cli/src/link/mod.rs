//! Between a command and the node: the node of this process, or one that serves the home, through its socket.
//!
//! Both ways the command sends the same requests and gets the same replies, so it does not know which it is.

mod chain_host;
mod chain_views;
mod delivery_host;
#[cfg(unix)]
mod frames;
mod host;
mod kinds;
mod messages;
mod open;
mod peer_views;
#[cfg(unix)]
mod socket;
mod views;

use tokio::sync::mpsc;

use crate::context::Context;
use crate::escape::printable;
use crate::progress::Progress;

pub(crate) use chain_views::{ChainDetailsView, ChainInvitationView, ChainView, QueryView, RuleView};
pub(crate) use delivery_host::{LetterChange, LetterView};
pub(crate) use host::answer;
pub(crate) use messages::{Reply, Request};
pub(crate) use open::{Access, Reach, open, open_home, open_if_served, open_served, take_commands};
pub(crate) use peer_views::PeerView;
#[cfg(test)]
pub(crate) use views::ContentView;
pub(crate) use views::{EntryView, GroupDetailsView, GroupView, IdentityView, NewerView, StatusView};

/// Requests and replies that wait on either side. A block may have a mebibyte, so there are few.
pub(crate) const QUEUE: usize = 4;

/// One request and its replies.
///
/// Dropping it ends what the request asked for, as far as it goes on by itself.
#[derive(Debug)]
pub(crate) struct Link {
    requests: mpsc::Sender<Request>,
    replies: mpsc::Receiver<Reply>,
}

/// The node said that it cannot do what was asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// The node was gone before it had answered.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the node stopped before it had done all: what was printed is done. Start `walytis serve` again for the rest")]
pub(crate) struct NodeGone;

impl Link {
    /// Sends a part of the request. Waits while too many wait.
    pub(crate) async fn send(&self, request: Request) -> anyhow::Result<()> {
        self.requests.send(request).await.map_err(|_| NodeGone.into())
    }

    /// Where further parts of the request go.
    pub(crate) fn requests(&self) -> mpsc::Sender<Request> {
        self.requests.clone()
    }

    /// The next reply; `None` behind the last.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Reply>> {
        match self.replies.recv().await {
            Some(Reply::Done) => Ok(None),
            Some(Reply::Failed(reason)) => Err(Refused(printable(&reason)).into()),
            Some(reply) => Ok(Some(reply)),
            None => Err(NodeGone.into()),
        }
    }

    /// Whether a reply waits already.
    pub(crate) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }
}

/// Sends a request that has one reply, and takes from it what `pick` wants.
pub(crate) async fn ask<T>(
    context: &mut Context,
    reach: Reach,
    request: Request,
    pick: impl FnOnce(Reply) -> Option<T>,
) -> anyhow::Result<T> {
    let access = open(context, reach, request).await?;
    take(context, access, pick).await
}

/// Takes the one reply that is to come.
pub(crate) async fn take<T>(
    context: &mut Context,
    mut access: Access,
    pick: impl FnOnce(Reply) -> Option<T>,
) -> anyhow::Result<T> {
    let progress = Progress::new(&context.output, "working");
    let reply = context.stop.or(access.link.next()).await;
    drop(progress);
    access.close().await;
    reply?.and_then(pick).ok_or_else(|| NodeGone.into())
}
