//! Yamux, with as many streams and as large windows as the peer has earned.
//!
//! What a peer has sent and nobody has read waits in the window of its stream: 256 KiB by Yamux's rules, from the first
//! byte on. So those of whoever may have made its keys for it are few: streams beyond are reset at once, and our own wait.
//! Libp2p's own adapter is as this one, but takes neither a limit that does not end the connection nor a bound of what windows
//! may grow to: they grow to 1 GiB a connection for a peer that answers slowly and sends quickly.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::futures::task::AtomicWaker;
use libp2p::futures::{AsyncRead, AsyncWrite};
use walytis_core::Merit;

use crate::config::STREAMS_MAX;

/// What every stream may hold that was not read yet.
pub(crate) const STREAM_WINDOW_BYTES: usize = yamux::DEFAULT_CREDIT as usize;

/// Streams of one connection with somebody who has dialled us and whose keys are free, both sides' together: the frames,
/// and identify and ping each way. The 96 that `places` has for such hold 120 MiB by them at most.
pub(crate) const FEW_STREAMS_MAX: usize = 5;

/// Of these, as many by either side.
const FEW_STREAMS_EACH_MAX: usize = 3;

/// What the windows of one connection may grow by for who has earned something: 100 Mbit/s over a round trip of 300 ms.
const GROWTH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many streams one connection has, and how large their windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Multiplexing {
    /// Streams that either side has opened.
    each: usize,
    /// Streams of both sides.
    all: usize,
    growth_bytes: usize,
}

/// What a connection may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Frames.
    Frames,
    /// Looking peers up, relaying, or proving addresses, too.
    Finding,
}

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    ToUs,
    BecauseWeDialled,
}

impl Multiplexing {
    /// What a peer gets that has earned so much. Whoever was invited, or follows a public chain, may have made its keys for
    /// that: it has large windows where we dialled it, which is how a first download goes, and not where it came to us.
    pub(crate) fn of(merit: Merit, came: Came, purpose: Purpose) -> Self {
        let most = usize::from(STREAMS_MAX);
        let growth_bytes = match (merit, came) {
            (Merit::Stranger, _) | (Merit::Invited | Merit::Follower, Came::ToUs) => 0,
            (Merit::Invited | Merit::Follower, Came::BecauseWeDialled) | (Merit::Member, _) => GROWTH_BYTES_MAX,
        };
        if growth_bytes == 0 && purpose == Purpose::Frames {
            Self { each: FEW_STREAMS_EACH_MAX, all: FEW_STREAMS_MAX, growth_bytes }
        } else {
            Self { each: most, all: most, growth_bytes }
        }
    }

    fn muxer<C: AsyncRead + AsyncWrite + Unpin>(self, socket: C, mode: yamux::Mode) -> Muxer<C> {
        let most = usize::from(STREAMS_MAX);
        let mut config = yamux::Config::default();
        // In this order: each is checked against the other.
        config.set_max_num_streams(most);
        config.set_max_connection_receive_window(Some(most * STREAM_WINDOW_BYTES + self.growth_bytes));
        Muxer {
            connection: yamux::Connection::new(socket, config, mode),
            limits: self,
            open: Arc::default(),
            arrived: VecDeque::new(),
            waiting: None,
        }
    }
}

impl UpgradeInfo for Multiplexing {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Multiplexing {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<C>, Infallible>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.muxer(socket, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplexing {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<C>, Infallible>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.muxer(socket, yamux::Mode::Client)))
    }
}

/// The streams that are open on a connection, by who opened them.
#[derive(Default)]
struct Open {
    theirs: AtomicUsize,
    ours: AtomicUsize,
    /// Who waits for one of them to end.
    ended: AtomicWaker,
}

#[derive(Clone, Copy)]
enum By {
    Us,
    Them,
}

impl Open {
    const fn by(&self, by: By) -> &AtomicUsize {
        match by {
            By::Us => &self.ours,
            By::Them => &self.theirs,
        }
    }

    fn has_room(&self, by: By, limits: Multiplexing) -> bool {
        let (theirs, ours) = (self.theirs.load(Ordering::Acquire), self.ours.load(Ordering::Acquire));
        self.by(by).load(Ordering::Acquire) < limits.each && theirs.saturating_add(ours) < limits.all
    }
}

/// A connection.
pub(crate) struct Muxer<C> {
    connection: yamux::Connection<C>,
    limits: Multiplexing,
    open: Arc<Open>,
    /// Streams that came while something else was waited for. There are no more than are open.
    arrived: VecDeque<Stream>,
    waiting: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn stream(&self, stream: yamux::Stream, by: By) -> Stream {
        self.open.by(by).fetch_add(1, Ordering::AcqRel);
        Stream { stream, open: Arc::clone(&self.open), by }
    }

    /// The next stream that the peer opens and may open. Makes progress on all others.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, yamux::ConnectionError>> {
        match self.connection.poll_next_inbound(cx) {
            Poll::Ready(Some(Ok(stream))) if self.open.has_room(By::Them, self.limits) => {
                Poll::Ready(Ok(self.stream(stream, By::Them)))
            }
            Poll::Ready(Some(Ok(stream))) => {
                tracing::debug!(%stream, "a peer opens more streams than it may");
                drop(stream);
                // Others get their turn first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(None) => Poll::Ready(Err(yamux::ConnectionError::Closed)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = yamux::ConnectionError;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, Self::Error>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(cx);
        if next.is_pending() {
            self.waiting = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, Self::Error>> {
        self.open.ended.register(cx.waker());
        if !self.open.has_room(By::Us, self.limits) {
            return Poll::Pending;
        }
        self.connection.poll_new_outbound(cx).map_ok(|stream| self.stream(stream, By::Us))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connection.poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        match self.poll_next(cx) {
            Poll::Ready(Ok(stream)) => {
                self.arrived.push_back(stream);
                if let Some(waiting) = self.waiting.take() {
                    waiting.wake();
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A stream, counted as long as it is there.
pub(crate) struct Stream {
    stream: yamux::Stream,
    open: Arc<Open>,
    by: By,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.open.by(self.by).fetch_sub(1, Ordering::AcqRel);
        self.open.ended.wake();
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, bytes)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one connection may hold.
    fn bytes(merit: Merit, came: Came) -> usize {
        let Multiplexing { all, growth_bytes, .. } = Multiplexing::of(merit, came, Purpose::Frames);
        all * STREAM_WINDOW_BYTES + growth_bytes
    }

    #[test]
    fn the_windows_of_all_whose_keys_are_free_hold_128_mib() {
        let places = crate::places::outsiders_max(128);
        for merit in [Merit::Stranger, Merit::Invited, Merit::Follower] {
            assert!(places * bytes(merit, Came::ToUs) <= 128 << 20, "{merit:?}");
        }
        let quic = usize::try_from(crate::config::QUIC_WINDOW_BYTES).unwrap();
        assert!(places * quic <= 128 << 20);
        for (merit, came) in [(Merit::Member, Came::ToUs), (Merit::Follower, Came::BecauseWeDialled)] {
            assert!(
                bytes(merit, came) > GROWTH_BYTES_MAX,
                "{merit:?}: a first download, and groups, are as quick as they can be"
            );
        }
    }
}
