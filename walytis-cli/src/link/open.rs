//! The way to the node: through a running one if there is one, otherwise by opening the home.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use walytis_node::{Accept, Home, Node, ServeOptions, Unlock};

use crate::context::Context;
use crate::home::{HomeFolder, HomeLock, InUse, WAIT};
use crate::progress::Progress;
use crate::reach_arguments::by_code;

use super::messages::Request;
use super::{Link, QUEUE, answer};

/// How often a home that is in use is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// What a node has to be able to do, if this command has to start it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What is stored here.
    Store,
    /// Speak to others.
    Network(Accept),
}

/// The way to a node, with one request under way.
pub(crate) struct Access {
    /// The request.
    pub(crate) link: Link,
    own: Option<Own>,
}

/// A node that lasts as long as this command.
struct Own {
    node: Node,
    _lock: HomeLock,
}

impl Access {
    /// Whether a running node does the work.
    pub(crate) fn is_served(&self) -> bool {
        self.own.is_none()
    }

    /// Ends the node, if it is this command's, and leaves the home to others.
    pub(crate) async fn close(self) {
        drop(self.link);
        if let Some(own) = self.own {
            own.node.shutdown().await;
        }
    }
}

/// Sends a request to the node that serves the home, or to one that is started for it.
pub(crate) async fn open(context: &mut Context, reach: Reach, request: Request) -> anyhow::Result<Access> {
    context.home.must_exist()?;
    if let Some(link) = served(&context.home).await? {
        return through(link, request).await;
    }
    let unlock = context.secret().await?;
    match find_way(context).await? {
        Way::Through(link) => through(link, request).await,
        Way::Lock(lock) => {
            let node = start(context, reach, unlock).await?;
            let (requests, received) = mpsc::channel(QUEUE);
            let (replies, replied) = mpsc::channel(QUEUE);
            tokio::spawn(answer(node.clone(), false, received, replies));
            let link = Link { requests, replies: replied };
            link.send(request).await?;
            Ok(Access { link, own: Some(Own { node, _lock: lock }) })
        }
    }
}

/// Sends a request to the node that serves the home, if one does now.
pub(crate) async fn open_if_served(context: &Context, request: Request) -> anyhow::Result<Option<Access>> {
    context.home.must_exist()?;
    match served(&context.home).await? {
        Some(link) => through(link, request).await.map(Some),
        None => Ok(None),
    }
}

/// Sends a request to the node that serves the home; without one it says what to do.
pub(crate) async fn open_served(context: &mut Context, request: Request) -> anyhow::Result<Access> {
    context.home.must_exist()?;
    // A node may be about to serve.
    match find_way(context).await? {
        Way::Through(link) => through(link, request).await,
        Way::Lock(_) => Err(NotServed.into()),
    }
}

/// No node serves the home, and the command would wait for nothing.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("no node runs for this home, so nothing new would come: start `walytis serve`, then repeat the command")]
pub(crate) struct NotServed;

async fn through(link: Link, request: Request) -> anyhow::Result<Access> {
    link.send(request).await?;
    Ok(Access { link, own: None })
}

/// What leads to the home's node.
enum Way {
    /// One that serves the home.
    Through(Link),
    /// The home is ours, to start one.
    Lock(HomeLock),
}

/// Finds what leads to the home's node, and tells whoever has to wait.
async fn find_way(context: &mut Context) -> anyhow::Result<Way> {
    let _waiting = waiting(context);
    context.stop.or(wait(&context.home, context.command)).await
}

/// Says for whom the command waits, should it have to.
fn waiting(context: &Context) -> Progress {
    let home = context.home.clone();
    Progress::waiting(&context.output, move || format!("waiting for {} to leave the home", home.holder()))
}

/// Waits until the home is served or free, but not for long.
async fn wait(home: &HomeFolder, command: &str) -> anyhow::Result<Way> {
    let began = Instant::now();
    loop {
        if let Some(lock) = try_lock(home, command, began)? {
            return Ok(Way::Lock(lock));
        }
        if let Some(link) = served(home).await? {
            return Ok(Way::Through(link));
        }
        #[cfg(unix)]
        if began.elapsed() > OPENED
            && let Some(folder) = crate::home::opened_to_others(home)
        {
            return Err(OpenToOthers { folder: folder.display().to_string() }.into());
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// How long a node may take to close its socket's folder to others, which it does before all else.
#[cfg(unix)]
const OPENED: Duration = Duration::from_secs(1);

/// A node may run, and no command trusts its socket.
#[cfg(unix)]
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{folder} is open to other users, so who answers there may not be the node: close it with `chmod 700 {folder}`, then \
     repeat the command"
)]
struct OpenToOthers {
    folder: String,
}

/// A node has the home, and says nothing.
#[cfg(unix)]
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the node, {holder}, does not answer: it may be stopped, or have its hands full. Let it go on, or end it and start \
     `walytis serve` again"
)]
struct Silent {
    holder: String,
}

/// Waits until the home is free, but not for long.
async fn wait_for_lock(home: &HomeFolder, command: &str) -> anyhow::Result<HomeLock> {
    let began = Instant::now();
    loop {
        if let Some(lock) = try_lock(home, command, began)? {
            return Ok(lock);
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// The lock, if the home is free; an error if it was in use for too long.
fn try_lock(home: &HomeFolder, command: &str, began: Instant) -> anyhow::Result<Option<HomeLock>> {
    match HomeLock::take(home, command) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.downcast_ref::<InUse>().is_some() && began.elapsed() < WAIT => Ok(None),
        Err(error) => Err(error),
    }
}

/// The way through the node that serves the home, if one does.
async fn served(home: &HomeFolder) -> anyhow::Result<Option<Link>> {
    #[cfg(unix)]
    match super::socket::find(home).await? {
        super::socket::Found::Node(link) => return Ok(Some(link)),
        super::socket::Found::Silent => return Err(Silent { holder: home.holder() }.into()),
        super::socket::Found::Nobody | super::socket::Found::Busy => {}
    }
    #[cfg(not(unix))]
    let _ = home;
    Ok(None)
}

/// Opens the home and starts its node.
async fn start(context: &mut Context, reach: Reach, unlock: Arc<Unlock>) -> anyhow::Result<Node> {
    let opening = Progress::new(&context.output, "opening the home");
    let home = context.unlock_home(unlock).await?;
    drop(opening);
    Ok(match reach {
        Reach::Store => home.offline()?,
        Reach::Network(accept) => {
            let options = ServeOptions { accept, reach: by_code(), ..ServeOptions::default() };
            context.stop.or(async { Ok(home.serve(options).await?) }).await?
        }
    })
}

/// Opens the home for a command that needs it for itself.
pub(crate) async fn open_home(context: &mut Context) -> anyhow::Result<(Home, HomeLock)> {
    context.home.must_exist()?;
    let unlock = context.secret().await?;
    let lock = {
        let _waiting = waiting(context);
        context.stop.or(wait_for_lock(&context.home, context.command)).await?
    };
    Ok((context.unlock_home(unlock).await?, lock))
}

/// Serves other commands of the home, until dropped. They are accepted from when this has returned.
#[cfg(unix)]
pub(crate) fn take_commands(
    home: &HomeFolder,
    lock: &HomeLock,
    node: &Node,
) -> anyhow::Result<impl Future<Output = ()>> {
    let listener = super::socket::Listener::bind(home, lock)?;
    let node = node.clone();
    Ok(async move { listener.serve(&node).await })
}

/// Where there are no sockets for this, other commands have to wait until the node has ended.
#[cfg(not(unix))]
pub(crate) fn take_commands(_: &HomeFolder, _: &HomeLock, _: &Node) -> anyhow::Result<impl Future<Output = ()>> {
    Ok(std::future::pending())
}
