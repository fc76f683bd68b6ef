//! One peer's frames, between its stream and our queues.

use std::sync::Arc;
use std::time::Duration;

use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use walytis_core::{NetworkEvent, PeerId};

use crate::budget::Purse;
use crate::links::Ended;
use crate::queues::{Events, QueuedFrame, Registry};
use crate::wire::{self, GATHER_BYTES, WireError};

/// What a session's buffer for gathering keeps while nothing waits.
const GATHER_KEPT_BYTES: usize = 4 * 1024;

/// What a session works with.
pub(crate) struct Session<S> {
    pub(crate) peer: PeerId,
    pub(crate) stream: S,
    /// The event to begin with.
    pub(crate) connected: NetworkEvent,
    pub(crate) frames: UnboundedReceiver<QueuedFrame>,
    /// What the peer's frames are paid from.
    pub(crate) purse: Purse,
    pub(crate) events: Events,
    pub(crate) registry: Arc<Registry>,
    pub(crate) stall: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Moves frames until the stream ends, the peer misbehaves or `stop` is sent or dropped. Gives `Connected` first,
    /// `Disconnected` last, and every frame between the two.
    pub(crate) async fn run(self, mut stop: oneshot::Receiver<()>) -> (PeerId, Ended) {
        let Self { peer, stream, connected, mut frames, purse, events, registry, stall } = self;
        let begun = tokio::select! {
            biased;
            _ = &mut stop => false,
            () = events.push(connected) => true,
        };
        let (mut reader, mut writer) = stream.split();
        let work = async {
            tokio::select! {
                result = receive(peer, &mut reader, &events, &purse, stall) => result,
                result = transmit(&mut frames, &mut writer, stall) => result,
            }
        };
        let ended = tokio::select! {
            biased;
            _ = stop, if begun => Ended::Stopped,
            result = work, if begun => outcome(peer, &result),
            else => Ended::Stopped,
        };
        registry.remove(peer);
        drop((reader, writer)); // The peer learns it now, not when our caller has found time for the event.
        if begun {
            events.push(NetworkEvent::Disconnected { peer }).await;
        }
        (peer, ended)
    }
}

/// Turns what arrives into events until the stream ends. It reads no further while a frame cannot be paid for, which makes
/// the peer wait. A frame, once paid for, has its time to arrive in all: others wait for its share.
async fn receive<R>(
    peer: PeerId,
    reader: &mut R,
    events: &Events,
    purse: &Purse,
    stall: Duration,
) -> Result<(), WireError>
where
    R: AsyncRead + Unpin,
{
    while let Some(length) = wire::read_length(reader, stall).await? {
        let Some(paid) = purse.pay(length).await else { return Ok(()) };
        let reading = wire::read_body(reader, length, stall);
        let bytes = wire::within(wire::time_for(length, stall), reading).await?;
        events.push_frame(peer, bytes, paid);
    }
    Ok(())
}

/// Writes what is queued until the queue is closed. Small frames that wait together are written together, and the
/// stream is flushed when nothing waits.
async fn transmit<W>(
    frames: &mut UnboundedReceiver<QueuedFrame>,
    writer: &mut W,
    stall: Duration,
) -> Result<(), WireError>
where
    W: AsyncWrite + Unpin,
{
    let mut gathered = Vec::new();
    let mut unpaid = Vec::new();
    while let Some(first) = frames.recv().await {
        let mut next = Some(first);
        while let Some((frame, permit)) = next {
            gathered.extend_from_slice(&wire::prefix(&frame));
            unpaid.push(permit);
            if gathered.len() + frame.len() <= GATHER_BYTES {
                gathered.extend_from_slice(&frame);
            } else {
                wire::write_all(writer, &gathered, stall).await?;
                gathered.clear();
                wire::within(wire::time_for(frame.len(), stall), wire::write_all(writer, &frame, stall)).await?;
                unpaid.clear();
            }
            next = frames.try_recv().ok();
        }
        wire::write_all(writer, &gathered, stall).await?;
        gathered.clear();
        unpaid.clear();
        wire::flush(writer, stall).await?;
        gathered.shrink_to(GATHER_KEPT_BYTES);
    }
    Ok(())
}

/// What the end of the work says about the peer.
fn outcome(peer: PeerId, result: &Result<(), WireError>) -> Ended {
    match result {
        Ok(()) => Ended::Lost,
        // An honest peer's line may be slow. The connection goes, and nothing else.
        Err(error @ (WireError::Stream(_) | WireError::Slow { .. })) => {
            tracing::debug!(%peer, %error, "a frame stream broke");
            Ended::Lost
        }
        Err(error @ (WireError::TooLong { .. } | WireError::Stalled { .. })) => {
            tracing::warn!(%peer, %error, "disconnecting a peer");
            Ended::Misbehaved
        }
    }
}
