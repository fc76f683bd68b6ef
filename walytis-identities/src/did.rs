//! The name of an identity among people and other systems: `did:walytis:<chain id>`.

use std::fmt;
use std::str::FromStr;

use walytis_core::{ChainId, ParseIdError};

const PREFIX: &str = "did:walytis:";

/// A decentralised identifier (W3C DID Core 1.0) of the method `walytis`: the identity's chain id in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(pub ChainId);

/// A text is not a DID of the method `walytis`.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseDidError {
    /// It does not begin with `did:walytis:`.
    #[error("a DID of this kind begins with {PREFIX}")]
    Method,
    /// What follows is no chain id.
    #[error("the DID is malformed: {0}")]
    Id(#[from] ParseIdError),
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl FromStr for Did {
    type Err = ParseDidError;

    fn from_str(text: &str) -> Result<Self, ParseDidError> {
        let id = text.strip_prefix(PREFIX).ok_or(ParseDidError::Method)?;
        Ok(Self(id.parse()?))
    }
}
