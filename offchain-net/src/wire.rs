//! The framing: each frame is its length as a little-endian `u32`, then its bytes. `docs/format.md` draws it.

use std::io;
use std::time::Duration;

use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use walytis_core::FRAME_BYTES_MAX;

/// The name under which the frame stream is negotiated. Another framing, or another meaning of what is in the frames, gets
/// another name: [`PROTOCOL_NUMBER`](crate::PROTOCOL_NUMBER) is its end.
pub const PROTOCOL: &str = "/walytis/frames/3";

/// Bytes of the length before each frame.
pub(crate) const PREFIX_BYTES: usize = 4;

/// Frames up to this many bytes are gathered into one write.
pub(crate) const GATHER_BYTES: usize = 64 * 1024;

/// Bytes a second that a frame has to move at, beyond what it may stall.
const BYTES_PER_SECOND_MIN: usize = 16 * 1024;

/// How long a frame of so many bytes may take in all.
pub(crate) fn time_for(length: usize, stall: Duration) -> Duration {
    let seconds = u64::try_from(length.div_ceil(BYTES_PER_SECOND_MIN)).unwrap_or(u64::MAX);
    stall.saturating_add(Duration::from_secs(seconds))
}

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the peer announced a frame of {bytes} bytes, and {FRAME_BYTES_MAX} is the most")]
    TooLong { bytes: u32 },
    #[error("no byte moved for {ms} ms")]
    Stalled { ms: u128 },
    #[error("a frame took longer than {ms} ms")]
    Slow { ms: u128 },
    #[error("the stream failed")]
    Stream(#[from] io::Error),
}

/// Reads the length of the next frame; `None` if the stream ended between frames. Waits as long as it takes for a frame to
/// begin; one that has begun must progress within `stall`.
pub(crate) async fn read_length<R>(stream: &mut R, stall: Duration) -> Result<Option<usize>, WireError>
where
    R: AsyncRead + Unpin,
{
    let mut prefix = [0; PREFIX_BYTES];
    let (first, rest) = prefix.split_at_mut(1);
    if stream.read(first).await? == 0 {
        return Ok(None);
    }
    progress(stall, stream.read_exact(rest)).await?;
    let announced = u32::from_le_bytes(prefix);
    let length = usize::try_from(announced).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX && !walytis_core::mutant!(ReadAnyFrame) {
        return Err(WireError::TooLong { bytes: announced });
    }
    Ok(Some(length))
}

/// Reads a frame whose length has been read, and paid for: it is held from now on, whether its bytes arrive or not.
pub(crate) async fn read_body<R>(stream: &mut R, length: usize, stall: Duration) -> Result<Vec<u8>, WireError>
where
    R: AsyncRead + Unpin,
{
    let mut frame = vec![0; length];
    let mut filled = 0;
    while let Some(space) = frame.get_mut(filled..).filter(|space| !space.is_empty()) {
        let count = progress(stall, stream.read(space)).await?;
        if count == 0 {
            return Err(WireError::Stream(io::ErrorKind::UnexpectedEof.into()));
        }
        filled += count;
    }
    Ok(frame)
}

/// Ends what takes longer than `limit` in all.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    timeout(limit, work).await.unwrap_or(Err(WireError::Slow { ms: limit.as_millis() }))
}

/// Writes all bytes. Each part must be taken within `stall`.
pub(crate) async fn write_all<W>(stream: &mut W, mut bytes: &[u8], stall: Duration) -> Result<(), WireError>
where
    W: AsyncWrite + Unpin,
{
    while !bytes.is_empty() {
        let count = progress(stall, stream.write(bytes)).await?;
        bytes = match bytes.get(count..) {
            Some(rest) if count > 0 => rest,
            _ => return Err(WireError::Stream(io::ErrorKind::WriteZero.into())),
        };
    }
    Ok(())
}

/// Hands over what was written, within `stall`.
pub(crate) async fn flush<W>(stream: &mut W, stall: Duration) -> Result<(), WireError>
where
    W: AsyncWrite + Unpin,
{
    progress(stall, stream.flush()).await
}

/// The length to write before a frame.
pub(crate) fn prefix(frame: &[u8]) -> [u8; PREFIX_BYTES] {
    // Frames are checked against the limit before they are queued, so the length fits.
    u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes()
}

async fn progress<T>(stall: Duration, step: impl Future<Output = io::Result<T>>) -> Result<T, WireError> {
    match timeout(stall, step).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(WireError::Stalled { ms: stall.as_millis() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::futures::io::Cursor;

    const STALL: Duration = Duration::from_secs(60);

    /// Reads the next frame as a session does, which pays in between.
    async fn read_frame(stream: &mut Cursor<&[u8]>) -> Result<Option<Vec<u8>>, WireError> {
        match read_length(stream, STALL).await? {
            Some(length) => read_body(stream, length, STALL).await.map(Some),
            None => Ok(None),
        }
    }

    /// Gives a byte now and then, for ever.
    struct Trickle(tokio::time::Interval);

    const DROP: Duration = Duration::from_millis(1);

    impl AsyncRead for Trickle {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            bytes: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::ready!(self.0.poll_tick(cx));
            bytes[0] = 7;
            std::task::Poll::Ready(Ok(1))
        }
    }

    #[tokio::test]
    async fn a_frame_that_comes_byte_by_byte_ends_in_time() {
        let mut stream = Trickle(tokio::time::interval(DROP));
        let reading = read_body(&mut stream, FRAME_BYTES_MAX, STALL);
        let ended = within(20 * DROP, reading).await.map(|frame| frame.len());
        assert!(matches!(ended, Err(WireError::Slow { ms: 20 })), "{ended:?}");
        assert_eq!(time_for(FRAME_BYTES_MAX, STALL), Duration::from_secs(60 + 128));
        assert_eq!(time_for(1, STALL), Duration::from_secs(60 + 1));
    }

    /// Reads frames until the stream ends or fails, and words the result.
    async fn read(bytes: &[u8]) -> Vec<String> {
        let mut stream = Cursor::new(bytes);
        let mut seen = Vec::new();
        loop {
            match read_frame(&mut stream).await {
                Ok(Some(frame)) => seen.push(format!("frame of {}", frame.len())),
                Ok(None) => seen.push("end".into()),
                Err(error) => seen.push(error.to_string()),
            }
            if !seen.last().is_some_and(|last| last.starts_with("frame")) {
                return seen;
            }
        }
    }

    #[tokio::test]
    async fn streams_are_read_frame_by_frame() {
        let whole = [prefix(b"ab").as_slice(), b"ab", &prefix(b"")].concat();
        let limit = u32::try_from(FRAME_BYTES_MAX).unwrap();
        let longest = [limit.to_le_bytes().as_slice(), &vec![1; FRAME_BYTES_MAX]].concat();
        let longer = (limit + 1).to_le_bytes();
        let cases: [(&[u8], &[&str]); 7] = [
            (&[], &["end"]),
            (&whole, &["frame of 2", "frame of 0", "end"]),
            (&whole[..9], &["frame of 2", "the stream failed"]),
            (&whole[..5], &["the stream failed"]),
            (&longest, &["frame of 2097152", "end"]),
            (&longer, &["the peer announced a frame of 2097153 bytes, and 2097152 is the most"]),
            (&[255; 4], &["the peer announced a frame of 4294967295 bytes, and 2097152 is the most"]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes).await, expected, "for {} bytes", bytes.len());
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_back() {
        let mut bytes = Vec::new();
        for frame in [vec![], vec![1], vec![2; 100_000]] {
            write_all(&mut bytes, &prefix(&frame), STALL).await.unwrap();
            write_all(&mut bytes, &frame, STALL).await.unwrap();
        }
        assert_eq!(read(&bytes).await, ["frame of 0", "frame of 1", "frame of 100000", "end"]);
    }

    /// What of a stream is read, written again.
    async fn again(bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut stream = Cursor::new(bytes);
        let mut written = Vec::new();
        loop {
            match read_frame(&mut stream).await {
                Ok(Some(frame)) => {
                    written.extend(prefix(&frame));
                    written.extend(frame);
                }
                Ok(None) => return (written, true),
                Err(_) => return (written, false),
            }
        }
    }

    #[tokio::test]
    async fn malformed_streams_end_and_what_was_read_before_is_what_was_sent() {
        let frames: Vec<Vec<u8>> = [0, 1, 40, 300].map(|length| vec![length as u8; length]).into();
        let honest: Vec<u8> = frames.iter().flat_map(|frame| [prefix(frame).as_slice(), frame].concat()).collect();
        assert_eq!(again(&honest).await, (honest.clone(), true));
        let mut damager = offchain_testkit::fuzz::Damager::new(7);
        let (mut refused, mut tried) = (0, 0);
        while refused < 50_000 {
            let damaged = damager.damaged(&honest);
            let (written, ended) = again(&damaged).await;
            assert!(damaged.starts_with(&written) && (!ended || written == damaged));
            refused += u32::from(!ended);
            tried += 1;
            assert!(tried < 500_000, "most damage is noticed");
        }
    }
}
