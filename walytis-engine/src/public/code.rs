//! The code of an invitation to a public chain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::message::ADDRESSES_MAX;
use walytis_core::codec::AtMost;
use walytis_core::{Address, ChainId, CodeText, CodeTextError, CodecError, PeerId, codec};

/// What every code begins with.
const PREFIX: &str = "walytischain1";
/// What the codes of private groups begin with.
const GROUP_PREFIX: &str = "walytis1";
const VERSION: u8 = 1;
const TEXT: CodeText =
    CodeText { prefix: PREFIX, checksum_context: "walytis v1 public chain code checksum", version: VERSION };
/// The most inviters of one code.
const INVITERS_MAX: usize = 16;

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
    #[error("an invitation of {found} characters is longer than {max}", max = CodeText::BYTES_MAX)]
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

impl From<CodeTextError> for CodeError {
    fn from(error: CodeTextError) -> Self {
        match error {
            CodeTextError::Prefix => Self::NotACode,
            CodeTextError::TooLong { found } => Self::TooLong { found },
            CodeTextError::Damaged => Self::Damaged,
            CodeTextError::Version { found } => Self::Newer { found },
            CodeTextError::Empty => CodecError::Malformed.into(),
        }
    }
}

/// A node that admits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainInviter {
    /// The key by which the transport proves it.
    pub peer: PeerId,
    /// Where it can be dialled.
    #[serde(with = "AtMost::<ADDRESSES_MAX, 1>")]
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
    #[serde(with = "AtMost::<INVITERS_MAX, 33>")]
    inviters: Vec<ChainInviter>,
}

impl ChainCode {
    /// The text to give to the joiner: one line of lower-case letters and digits.
    #[must_use]
    pub fn to_text(&self) -> String {
        TEXT.write(&Zeroizing::new(codec::encode(&Payload {
            version: VERSION,
            secret: *self.secret,
            shareable: self.shareable,
            chain: self.chain,
            inviters: self.inviters.clone(),
        })))
    }
}

impl FromStr for ChainCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        // No code of a chain begins so.
        if text.trim().get(..GROUP_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(GROUP_PREFIX)) {
            return Err(CodeError::Group);
        }
        let payload = TEXT.read(text)?;
        let Payload { secret, shareable, chain, inviters, .. } = codec::decode(&payload)?;
        Ok(Self { chain, secret: Zeroizing::new(secret), shareable, inviters })
    }
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
