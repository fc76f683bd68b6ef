//! A socket that does not wait for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::futures::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};

use crate::lines::{Half, Line};

/// Fails writes to a socket whose other side takes no byte for a while.
///
/// The frame stream has a limit of its own, but closing a connection writes too, and libp2p waits for it without one:
/// a stranger who stops reading could else hold a closing connection, and its place among all, for ever. A socket that
/// others have opened can be cut besides: then all fails at once.
pub(crate) struct Guarded<T> {
    socket: T,
    stall: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// By which it can be cut.
    line: Option<Line>,
}

impl<T> Guarded<T> {
    pub(crate) fn new(socket: T, stall: Duration) -> Self {
        Self { socket, stall, waiting: None, line: None }
    }

    /// The same socket, which can be cut.
    pub(crate) fn on(self, line: Line) -> Self {
        Self { line: Some(line), ..self }
    }

    /// Fails if the socket was cut.
    fn check(&self, cx: &Context<'_>, half: Half) -> io::Result<()> {
        match &self.line {
            Some(line) if line.is_cut(cx, half) => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => Ok(()),
        }
    }

    /// Passes a result on, and starts, ends or checks the wait.
    fn watch<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.stall)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check(cx, Half::Reading)?;
        Pin::new(&mut self.socket).poll_read(cx, bytes)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx, Half::Writing)?;
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx, Half::Writing)?;
        let result = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, result)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx, Half::Writing)?;
        let result = Pin::new(&mut self.socket).poll_close(cx);
        self.watch(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::futures::AsyncWriteExt;

    /// Takes this many bytes, and then nothing more.
    struct Full(usize);

    impl AsyncWrite for Full {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_socket_that_takes_no_byte_fails_in_time() {
        let mut socket = Guarded::new(Full(5), Duration::from_millis(1));
        assert_eq!(socket.write(&[0; 9]).await.unwrap(), 5);
        assert_eq!(socket.write(&[0; 4]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        for mut socket in [Guarded::new(Full(0), Duration::from_millis(1)), socket] {
            assert_eq!(socket.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            socket.waiting = None;
            assert_eq!(socket.close().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
    }
}
