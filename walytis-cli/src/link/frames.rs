//! Messages on the socket.
//!
//! ```text
//! both ways, once   "walytis" 0x00, then the protocol's number: 2 bytes, little-endian
//! then messages     length of the body: 4 bytes, little-endian; the body: postcard
//! ```
//!
//! A connection carries one request. Requests and replies are bounded by [`BODY_BYTES_MAX`]; a longer one ends it.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use walytis_core::codec;
use walytis_core::limits::CONTENT_BYTES_MAX;

/// The protocol's number. Both sides are one program, which may be replaced while it runs: a change of any message is a
/// new number. A test knows what the messages of this number look like.
pub(crate) const PROTOCOL: u16 = 6;

const MAGIC: [u8; 8] = *b"walytis\0";

/// The most bytes of one message: a block's content, and far more than all else around it.
pub(crate) const BODY_BYTES_MAX: usize = CONTENT_BYTES_MAX.saturating_add(256 * 1024);

/// The other side speaks another protocol.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the running node speaks protocol {theirs}, this program {PROTOCOL}: end `walytis serve` and start it again")]
pub(crate) struct OtherProtocol {
    theirs: u16,
}

/// Says which protocol is spoken, and hears it from the other side.
pub(crate) async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> anyhow::Result<()> {
    let mut hello = [0; 10];
    let (magic, number) = hello.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    number.copy_from_slice(&PROTOCOL.to_le_bytes());
    stream.write_all(&hello).await?;
    let mut magic = [0; 8];
    stream.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(malformed("the other side is no walytis").into());
    }
    let theirs = stream.read_u16_le().await?;
    if theirs == PROTOCOL { Ok(()) } else { Err(OtherProtocol { theirs }.into()) }
}

/// Adds a message to what will be sent.
pub(crate) fn encode(message: &impl Serialize, out: &mut Vec<u8>) -> io::Result<()> {
    let body = postcard::to_allocvec(message).map_err(|_| malformed("a message cannot be encoded"))?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_BYTES_MAX);
    let length = length.ok_or_else(|| malformed("a message is too long"))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Reads a message; `None` if the stream ends before it begins. No list in it is believed to be longer than the bytes that
/// came.
pub(crate) async fn decode<T: Serialize + DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let length = u32::from_le_bytes(length);
    if usize::try_from(length).map_or(true, |length| length > BODY_BYTES_MAX) {
        return Err(malformed("a message is too long"));
    }
    let mut body = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut body).await?;
    if u32::try_from(body.len()) != Ok(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    codec::decode(&body).map(Some).map_err(|_| malformed("a message makes no sense"))
}

fn malformed(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Request;
    use serde_bytes::ByteBuf;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn messages_survive_the_wire_and_end_with_it() {
        let request = Request::Post { group: "g".into(), topics: vec![ByteBuf::from("t")] };
        let content = Request::Content(ByteBuf::from(vec![7; CONTENT_BYTES_MAX]));
        let mut bytes = Vec::new();
        encode(&request, &mut bytes).expect("encoded");
        encode(&content, &mut bytes).expect("encoded");
        let mut stream = bytes.as_slice();
        block_on(async {
            assert_eq!(decode(&mut stream).await.expect("read"), Some(request));
            assert_eq!(decode(&mut stream).await.expect("read"), Some(content));
            assert_eq!(decode::<Request>(&mut stream).await.expect("ended"), None);
        });
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let longest = u32::try_from(BODY_BYTES_MAX).expect("short");
        let check = |bytes: &[u8], kind: io::ErrorKind| {
            let mut stream = bytes;
            let error = block_on(decode::<Request>(&mut stream)).expect_err("refused");
            assert_eq!(error.kind(), kind, "{bytes:?}");
        };
        check(&[1], io::ErrorKind::UnexpectedEof);
        check(&[5, 0, 0, 0, 1], io::ErrorKind::UnexpectedEof);
        check(&[1, 0, 0, 0, 99], io::ErrorKind::InvalidData);
        check(&u32::MAX.to_le_bytes(), io::ErrorKind::InvalidData);
        check(&(longest + 1).to_le_bytes(), io::ErrorKind::InvalidData);
        // A length is believed only as its bytes arrive.
        check(&longest.to_le_bytes(), io::ErrorKind::UnexpectedEof);
        assert!(encode(&Request::Content(ByteBuf::from(vec![0; BODY_BYTES_MAX])), &mut Vec::new()).is_err());
    }

    /// The definitions of all types in a file, without their comments.
    fn definitions(file: &str) -> String {
        let mut inside = false;
        let mut shapes = String::new();
        for line in file.lines().map(|line| line.split("//").next().unwrap_or_default().trim_end()) {
            inside |= line.starts_with("pub(crate) struct ") || line.starts_with("pub(crate) enum ");
            if inside && !line.is_empty() {
                shapes.extend([line, "\n"]);
            }
            inside &= line != "}";
        }
        shapes
    }

    #[test]
    fn a_message_of_another_shape_has_another_number() {
        let files = [
            include_str!("messages.rs"),
            include_str!("views.rs"),
            include_str!("chain_views.rs"),
            include_str!("peer_views.rs"),
            include_str!("delivery_host.rs"),
        ];
        let shapes: String = files.iter().map(|file| definitions(file)).collect();
        assert!(shapes.contains("pub(crate) enum Reply {") && shapes.contains("pub(crate) struct LetterView {"));
        let digest = blake3::hash(shapes.as_bytes()).to_hex();
        // If this fails, give PROTOCOL the next number, and write here what the messages of that number are.
        assert_eq!((PROTOCOL, &digest[..16]), (6, "adf61eb569251a8d"));
    }

    #[test]
    fn another_protocol_is_told_by_its_number() {
        let check = |theirs: &[u8], expected: &str| {
            let (mut near, mut far) = tokio::io::duplex(64);
            let error = block_on(async {
                far.write_all(theirs).await.expect("written");
                drop(far.shutdown().await);
                greet(&mut near).await.expect_err("refused")
            });
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(b"walytis\0\x07\x00", &format!("protocol 7, this program {PROTOCOL}"));
        check(b"HTTP/1.1 400\r\n", "no walytis");
        check(b"wal", "");
    }
}
