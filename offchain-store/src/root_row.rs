//! The one row that guards the changing tables.

use std::collections::BTreeMap;

use walytis_core::{StoreError, Table};

use crate::names::lasting;
use crate::sealer::{Digest, NONCE_BYTES, Sealer, name_bytes};

/// The number of a store's format: it changes whenever bytes in a store change their meaning, also those of rows that the
/// layers above write. `docs/format.md` has a table of the numbers.
pub const STORE_FORMAT: u8 = 3;

/// The oldest format that opens here: whoever opens such a store changes it to [`STORE_FORMAT`], or leaves it alone.
pub const STORE_FORMAT_OLDEST: u8 = 1;

/// The table that holds the root row, and nothing else.
pub(crate) const TABLE: Table = Table::changing("offchain-store.root");
/// The root row's key.
pub(crate) const KEY: &[u8] = b"root";

/// The digest of every changing table that was ever written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootRow {
    /// The number of the store's format.
    pub(crate) format: u8,
    /// How many batches changed a guarded row.
    pub(crate) batch: u64,
    pub(crate) digests: BTreeMap<&'static str, Digest>,
}

/// Why a root row cannot be used.
#[derive(Debug)]
pub(crate) enum RootFault {
    UnknownFormat(u8),
    Damaged(StoreError),
}

impl RootRow {
    /// The root row of a store that has no rows yet.
    pub(crate) const fn new() -> Self {
        Self { format: STORE_FORMAT, batch: 0, digests: BTreeMap::new() }
    }

    /// The row as it is kept: its format in clear, then its content, sealed.
    pub(crate) fn seal(&self, sealer: &Sealer, nonce: [u8; NONCE_BYTES]) -> Result<Vec<u8>, StoreError> {
        let mut content = Vec::new();
        content.extend_from_slice(&self.batch.to_le_bytes());
        for (name, digest) in &self.digests {
            content.push(name_bytes(name));
            content.extend_from_slice(name.as_bytes());
            content.extend_from_slice(&digest.to_bytes());
        }
        let sealed = sealer.seal(TABLE.name, &sealed_key(self.format), &content, nonce)?;
        let mut kept = Vec::with_capacity(1 + sealed.len());
        kept.push(self.format);
        kept.extend_from_slice(&sealed);
        Ok(kept)
    }

    /// Reads a kept row.
    pub(crate) fn open(sealer: &Sealer, kept: &[u8]) -> Result<Self, RootFault> {
        let (format, sealed) = kept.split_first().ok_or_else(|| damaged("the root row is empty"))?;
        if !(STORE_FORMAT_OLDEST..=STORE_FORMAT).contains(format) && !walytis_core::mutant!(OpenAnyFormat) {
            return Err(RootFault::UnknownFormat(*format));
        }
        let sealed = sealer.open(TABLE.name, &sealed_key(*format), sealed.to_vec());
        let content = sealed.map_err(RootFault::Damaged)?;
        Self::read(*format, &content).ok_or_else(|| damaged("the root row is not well formed"))
    }

    fn read(format: u8, content: &[u8]) -> Option<Self> {
        let (batch, mut rest) = content.split_first_chunk()?;
        let mut digests = BTreeMap::new();
        while let Some((name_bytes, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(*name_bytes))?;
            let (digest, after) = after.split_first_chunk()?;
            digests.insert(lasting(std::str::from_utf8(name).ok()?), Digest::from_bytes(digest));
            rest = after;
        }
        Some(Self { format, batch: u64::from_le_bytes(*batch), digests })
    }
}

/// The key to which the row's seal is bound. From format 2 on it has the number, so that nobody who has the disk makes an
/// older store of a newer one.
fn sealed_key(format: u8) -> Vec<u8> {
    if format == 1 { KEY.to_vec() } else { [KEY, &[format]].concat() }
}

fn damaged(reason: &str) -> RootFault {
    RootFault::Damaged(StoreError::Damaged { table: TABLE.name.to_owned(), reason: reason.to_owned() })
}
