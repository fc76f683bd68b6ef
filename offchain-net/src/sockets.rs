//! Sockets that notice that their peer has fallen silent, or that the address which they came from is gone.
//!
//! TCP alone notices neither: it sends again for a quarter of an hour, and a socket whose own address was taken from the
//! machine only waits.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use libp2p::futures::task::AtomicWaker;
use libp2p::futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

/// The open sockets of a network, by their own address. Clones are the same ones.
///
/// libp2p does not say from which of our addresses a connection was dialled; the socket itself knows.
#[derive(Clone, Default)]
pub(crate) struct Sockets(Arc<Mutex<HashMap<IpAddr, Vec<Weak<Cut>>>>>);

/// How a socket learns that its own address is gone.
#[derive(Default)]
struct Cut {
    is_made: AtomicBool,
    reader: AtomicWaker,
}

impl Sockets {
    /// Watches a socket. `local` is its own address, if it is known.
    pub(crate) fn watch<T>(&self, socket: T, local: Option<IpAddr>, silence: Duration) -> Watched<T> {
        let cut = Arc::new(Cut::default());
        if let Some(local) = local {
            let mut sockets = self.lock();
            let there = sockets.entry(local).or_default();
            // As many as connections are open, and half as many that have ended.
            if there.len() == there.capacity() {
                there.retain(|cut| cut.strong_count() > 0);
            }
            there.push(Arc::downgrade(&cut));
        }
        Watched { socket, cut, silence, heard: Instant::now(), timer: Box::pin(sleep(silence)) }
    }

    /// Fails every socket that has this address as its own, because the machine lost it.
    pub(crate) fn cut(&self, local: IpAddr) {
        let there = self.lock().remove(&local).unwrap_or_default();
        for cut in there.iter().filter_map(Weak::upgrade) {
            cut.is_made.store(true, Ordering::Release);
            cut.reader.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<Weak<Cut>>>> {
        // Nothing inside can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that fails once its own address is gone, or once nothing was heard from its peer for a while.
pub(crate) struct Watched<T> {
    socket: T,
    cut: Arc<Cut>,
    silence: Duration,
    heard: Instant,
    /// Looks at `heard` when it is due, so that what arrives costs no timer.
    timer: Pin<Box<Sleep>>,
}

impl<T> Watched<T> {
    fn fail_if_cut(&self) -> io::Result<()> {
        if self.cut.is_made.load(Ordering::Acquire) && !walytis_core::mutant!(KeepLostAddress) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "this machine has lost the address"));
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.cut.reader.register(cx.waker());
        self.fail_if_cut()?;
        if let Poll::Ready(count) = Pin::new(&mut self.socket).poll_read(cx, bytes)? {
            self.heard = Instant::now();
            return Poll::Ready(Ok(count));
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let due = self.heard + self.silence;
            if due <= Instant::now() && !walytis_core::mutant!(WaitForSilent) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was heard from the peer")));
            }
            self.timer.as_mut().reset(due);
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.fail_if_cut()?;
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail_if_cut()?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail_if_cut()?;
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use libp2p::futures::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const LONG: Duration = Duration::from_secs(60);

    /// Takes everything, and says nothing after these bytes.
    struct Quiet(&'static [u8]);

    impl AsyncRead for Quiet {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.0.len());
            let (said, rest) = self.0.split_at(count);
            bytes[..count].copy_from_slice(said);
            self.0 = rest;
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }
    }

    impl AsyncWrite for Quiet {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_fails_when_its_own_address_is_lost_and_no_other_does() {
        let sockets = Sockets::default();
        let mut lost = sockets.watch(Quiet(b"ab"), Some(HERE), LONG);
        let mut others = [sockets.watch(Quiet(b"ab"), Some(THERE), LONG), sockets.watch(Quiet(b"ab"), None, LONG)];
        let mut bytes = [0; 1];
        assert_eq!(lost.read(&mut bytes).await.unwrap(), 1);
        sockets.cut(HERE);
        assert_eq!(lost.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(lost.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        for other in &mut others {
            assert_eq!(other.read(&mut bytes).await.unwrap(), 1);
            assert_eq!(other.write(b"x").await.unwrap(), 1);
        }
        // The address may come back, and new sockets with it.
        let mut again = sockets.watch(Quiet(b"ab"), Some(HERE), LONG);
        assert_eq!(again.read(&mut bytes).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_is_woken_by_the_loss() {
        let sockets = Sockets::default();
        let mut socket = sockets.watch(Quiet(b""), Some(HERE), LONG);
        let begun = Instant::now();
        let reading = tokio::spawn(async move { socket.read(&mut [0; 1]).await });
        tokio::task::yield_now().await;
        sockets.cut(HERE);
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_in_time_whatever_is_written_to_it() {
        let mut socket = Sockets::default().watch(Quiet(b"a"), Some(HERE), Duration::from_secs(18));
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 1);
        assert_eq!(socket.write(b"are you there?").await.unwrap(), 14);
        assert_eq!(socket.read(&mut [0; 1]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let elapsed = begun.elapsed();
        assert!((28_000..28_010).contains(&elapsed.as_millis()), "18 s after the last byte: {elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn sockets_that_have_ended_are_forgotten() {
        let sockets = Sockets::default();
        let kept = sockets.watch(Quiet(b""), Some(HERE), LONG);
        for _ in 0..1_000 {
            drop(sockets.watch(Quiet(b""), Some(HERE), LONG));
        }
        assert!(sockets.lock().get(&HERE).unwrap().len() <= 8);
        drop(kept);
    }
}
