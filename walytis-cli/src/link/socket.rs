//! The socket of a running node: both its ends.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use walytis_node::Node;

use crate::home::{Folders, HomeFolder, HomeLock, SocketPlace, socket_place};

use super::messages::{Reply, Request};
use super::{Link, QUEUE, answer, frames};

/// Commands that are served at a time; others wait to be accepted. Each may hold [`QUEUE`] messages either way, and the
/// blocks that it posts.
const CONNECTIONS_MAX: usize = 64;

/// How long the other side may take to say who it is and what it wants. It is on this machine.
const GREETING: Duration = Duration::from_secs(10);

/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// What is sent is handed on when nothing more waits, or when this much is there.
const BUFFER_BYTES: usize = 64 * 1024;

/// The socket of a running node. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: UnixListener,
    place: SocketPlace,
}

impl Listener {
    /// Opens the socket of the home. The lock shows that a socket that is there already is a dead node's: it is replaced.
    pub(crate) fn bind(home: &HomeFolder, _lock: &HomeLock) -> anyhow::Result<Self> {
        let place = socket_place(home, Folders::Make)?;
        let place = place.with_context(|| format!("no socket can be made for {}", home.path().display()))?;
        let cannot = || format!("cannot open the node's socket {}", place.path().display());
        match fs::remove_file(place.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(cannot),
            _ => {}
        }
        let listener = UnixListener::bind(place.address()).with_context(cannot)?;
        // Its folder is closed to others already; this says it once more.
        fs::set_permissions(place.path(), Permissions::from_mode(0o600)).with_context(cannot)?;
        Ok(Self { listener, place })
    }

    /// Serves whoever connects, until dropped.
    pub(crate) async fn serve(&self, node: &Node) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let node = node.clone();
                    tokio::spawn(async move {
                        if let Err(error) = serve_one(stream, node).await {
                            tracing::debug!(%error, "a command broke off");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no command can be accepted for now");
                    tokio::time::sleep(NO_ROOM).await;
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // What stays is replaced by the next node.
        let _ = fs::remove_file(self.place.path());
    }
}

async fn serve_one(mut stream: UnixStream, node: Node) -> anyhow::Result<()> {
    ours(&stream)?;
    timeout(GREETING, frames::greet(&mut stream)).await??;
    let (read, write) = stream.into_split();
    let (request_in, requests) = mpsc::channel(QUEUE);
    let (replies, reply_out) = mpsc::channel(QUEUE);
    let carry_out = async {
        let reading = async {
            let mut read = BufReader::new(read);
            let first = timeout(GREETING, frames::decode::<Request>(&mut read)).await??;
            if let Some(first) = first.filter(|_| !request_in.is_closed()) {
                request_in.send(first).await?;
                receive(&mut read, &request_in).await?;
            }
            // From here on the command counts as gone.
            drop(request_in);
            anyhow::Ok(())
        };
        let (read, ()) = tokio::join!(reading, answer(node, true, requests, replies));
        read
    };
    // The writer ends when everything was said, or when nobody listens any more.
    tokio::select! {
        written = transmit(reply_out, write) => Ok(written?),
        Err(error) = carry_out => Err(error),
    }
}

/// A node's socket, as a command looks for it.
pub(crate) enum Found {
    /// A node is there, and this leads to it.
    Node(Link),
    /// There is none, or it is about to end.
    Nobody,
    /// There is one, which has no room for another command now.
    Busy,
    /// There is one, which takes the connection and says nothing.
    Silent,
}

/// Looks for a node that serves the home.
pub(crate) async fn find(home: &HomeFolder) -> anyhow::Result<Found> {
    let Some(place) = socket_place(home, Folders::Find)? else { return Ok(Found::Nobody) };
    let cannot = || format!("cannot speak to the running node by {}", place.path().display());
    let mut stream = match UnixStream::connect(place.address()).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(Found::Nobody),
                io::ErrorKind::WouldBlock => Ok(Found::Busy),
                _ => Err(error).with_context(cannot),
            };
        }
    };
    ours(&stream)?;
    let Ok(greeted) = timeout(GREETING, frames::greet(&mut stream)).await else { return Ok(Found::Silent) };
    match greeted {
        Ok(()) => Ok(Found::Node(over(stream))),
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(is_end) => Ok(Found::Nobody),
        Err(error) => Err(error).with_context(cannot),
    }
}

/// A link over the socket.
fn over(stream: UnixStream) -> Link {
    let (read, write) = stream.into_split();
    let (requests, request_out) = mpsc::channel(QUEUE);
    let (reply_in, replies) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        if let Err(error) = transmit(request_out, write).await {
            tracing::debug!(%error, "the node takes nothing more");
        }
    });
    tokio::spawn(async move {
        if let Err(error) = receive::<Reply>(&mut BufReader::new(read), &reply_in).await {
            tracing::debug!(%error, "the node broke off");
        }
    });
    Link { requests, replies }
}

/// Only this user's processes speak to each other.
fn ours(stream: &UnixStream) -> anyhow::Result<()> {
    let theirs = stream.peer_cred().context("the system does not tell who is behind the socket")?.uid();
    let ours = rustix::process::geteuid().as_raw();
    ensure!(theirs == ours, "user {theirs} is behind the node's socket, not this user ({ours}): become that user");
    Ok(())
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Reads messages until the stream ends, or nobody wants them.
async fn receive<T: Serialize + DeserializeOwned>(
    read: &mut (impl AsyncRead + Unpin),
    to: &mpsc::Sender<T>,
) -> io::Result<()> {
    while let Some(message) = frames::decode(read).await? {
        if to.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes messages until there are no more.
async fn transmit<T: Serialize>(mut from: mpsc::Receiver<T>, mut write: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(message) = from.recv().await {
        frames::encode(&message, &mut buffer)?;
        if from.is_empty() || buffer.len() >= BUFFER_BYTES {
            write.write_all(&buffer).await?;
            buffer.clear();
            // One long message does not hold its memory for good.
            buffer.shrink_to(BUFFER_BYTES);
        }
    }
    write.write_all(&buffer).await?;
    write.shutdown().await
}
