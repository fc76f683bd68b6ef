//! The code of an invitation to a public chain.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::message::ADDRESSES_MAX;
use crate::{Address, ChainId, CodecError, PeerId, codec};

/// What every code begins with.
const PREFIX: &str = "walytischain1";
const VERSION: u8 = 1;
/// Bytes of the checksum: damage that is not seen has odds of 2^-64.
const CHECKSUM_BYTES: usize = 8;
/// The most inviters of one code.
const INVITERS_MAX: usize = 16;
/// The most characters of a code's text.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Why a text is not the code of an invitation to a public chain.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeError {
    /// The text does not begin as such a code does.
    #[error("this is no invitation to a public chain (one begins with \"{PREFIX}\")")]
    NotACode,
    /// The text begins as an invitation to a private group does.
    #[error("this is an invitation to a private group: `group join` takes it")]
    Group,
    /// The text is, or would be, longer than any code.
    #[error("an invitation of {found} characters is longer than {TEXT_BYTES_MAX}")]
    TooLong {
        /// How many characters.
        found: usize,
    },
    /// A character was lost, added or changed.
    #[error("the invitation is damaged: copy it again, whole")]
    Damaged,
    /// The code is whole, but of a version that this program does not know.
    #[error("the invitation is of version {found}, this program knows up to {VERSION}: update the program")]
    Newer {
        /// The code's version.
        found: u8,
    },
    /// The code is whole, but whoever made it encoded it wrongly.
    #[error("the invitation was not made by this program: {0}")]
    Encoding(#[from] CodecError),
}

/// A node that admits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainInviter {
    /// The key by which the transport proves it.
    pub peer: PeerId,
    /// Where it can be dialled.
    pub addresses: Vec<Address>,
}

/// All that a joiner needs: the chain, a secret, and whom to ask.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainCode {
    /// The chain.
    pub chain: ChainId,
    /// The invitation's secret.
    pub secret: Zeroizing<[u8; 16]>,
    /// Whether those who join by it may admit others by it.
    pub shareable: bool,
    /// Whom to ask: at most 16, each with at most 8 addresses.
    pub inviters: Vec<ChainInviter>,
}

impl fmt::Debug for ChainCode {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainCode({:?}, {} inviters)", self.chain, self.inviters.len())
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
    version: u8,
    secret: [u8; 16],
    shareable: bool,
    chain: ChainId,
    inviters: Vec<ChainInviter>,
}

impl ChainCode {
    /// The text to give to the joiner: one line of lower-case letters and digits.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut payload = Zeroizing::new(codec::encode(&Payload {
            version: VERSION,
            secret: *self.secret,
            shareable: self.shareable,
            chain: self.chain,
            inviters: self.inviters.clone(),
        }));
        let checksum = checksum(&payload);
        payload.extend_from_slice(&checksum);
        let mut text = BASE32_NOPAD.encode(&payload);
        text.make_ascii_lowercase();
        text.insert_str(0, PREFIX);
        text
    }
}

impl FromStr for ChainCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(CodeError::TooLong { found: text.len() });
        }
        let begins = |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if begins("walytis1") {
            return Err(CodeError::Group);
        }
        if !begins(PREFIX) {
            return Err(CodeError::NotACode);
        }
        let has = |case: fn(&u8) -> bool| text.as_bytes().iter().any(case);
        if has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) {
            return Err(CodeError::Damaged);
        }
        let body = Zeroizing::new(text.get(PREFIX.len()..).unwrap_or_default().to_ascii_uppercase());
        let payload = BASE32_NOPAD.decode(body.as_bytes()).map(Zeroizing::new).map_err(|_| CodeError::Damaged)?;
        let (payload, found) = payload.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CodeError::Damaged)?;
        if *found != checksum(payload) {
            return Err(CodeError::Damaged);
        }
        match payload.first() {
            Some(&VERSION) => {}
            Some(&found) => return Err(CodeError::Newer { found }),
            None => return Err(CodecError::Malformed.into()),
        }
        let Payload { secret, shareable, chain, inviters, .. } = codec::decode(payload)?;
        let fits = inviters.len() <= INVITERS_MAX
            && inviters.iter().all(|inviter| {
                inviter.addresses.len() <= ADDRESSES_MAX
                    && inviter.addresses.iter().all(|address| address.as_str().len() <= Address::BYTES_MAX)
            });
        if !fits {
            return Err(CodecError::Malformed.into());
        }
        Ok(Self { chain, secret: Zeroizing::new(secret), shareable, inviters })
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::derive_key("walytis v1 public chain code checksum", payload);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(hash.split_at(CHECKSUM_BYTES).0);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> ChainCode {
        let inviter = ChainInviter { peer: PeerId([2; 32]), addresses: vec![Address::new("/memory/1").unwrap()] };
        ChainCode { chain: ChainId([1; 32]), secret: Zeroizing::new([9; 16]), shareable: true, inviters: vec![inviter] }
    }

    #[test]
    fn a_code_survives_its_text_in_either_case() {
        let text = code().to_text();
        assert!(text.starts_with(PREFIX));
        assert_eq!(text.parse(), Ok(code()));
        assert_eq!(format!(" {}\n", text.to_ascii_uppercase()).parse(), Ok(code()));
        assert!(!format!("{:?}", code()).contains('9'));
    }

    #[test]
    fn what_is_no_code_is_told_by_its_fault() {
        let check = |text: &str, error: CodeError| assert_eq!(text.parse::<ChainCode>(), Err(error), "{text}");
        check("", CodeError::NotACode);
        check("walytis1abc", CodeError::Group);
        check(PREFIX, CodeError::Damaged);
        check(&format!("{}a", code().to_text()), CodeError::Damaged);
        check(&"w".repeat(9000), CodeError::TooLong { found: 9000 });
        check(&code().to_text().replacen('w', "W", 1), CodeError::Damaged);
    }
}
