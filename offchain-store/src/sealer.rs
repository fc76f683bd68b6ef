//! Sealing of single records, and the keyed digests that stand for ids and rows.

use std::borrow::Cow;

use orion::hazardous::aead::xchacha20poly1305::{Nonce, SecretKey, Tag, XChaCha20Poly1305};
use walytis_core::{ID_PREFIX_BYTES, Keys, StoreError, Table};
use zeroize::Zeroizing;

use crate::secrets::RootKey;

/// The format of sealed records, which is no part of the number of a store's format.
const FORMAT: u8 = 1;
/// The nonce's length, in bytes.
pub(crate) const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What sealing adds to a value, in bytes.
pub(crate) const OVERHEAD_BYTES: usize = TAG_BYTES + NONCE_BYTES;

/// The length of an id at a hidden key's end, in bytes.
const ID_BYTES: usize = 32;
/// How much of the digest of these is kept, in bytes. Two ids share it by chance once in 2^64 pairs; a clash costs
/// whoever asks by prefix one row more to look at.
const PREFIX_DIGEST_BYTES: usize = 8;

const CONTEXT_SEALING: &str = "walytis-rs 2026 offchain-store sealing key v1";
const CONTEXT_INDEX: &str = "walytis-rs 2026 offchain-store index key v1";
const CONTEXT_INDEX_PREFIX: &str = "walytis-rs 2026 offchain-store index prefix key v1";
const CONTEXT_INDEX_ID: &str = "walytis-rs 2026 offchain-store index id key v1";
const CONTEXT_ROWS: &str = "walytis-rs 2026 offchain-store row digest key v1";

/// A keyed digest of one row, and the sum of those of a table: four lanes that wrap around.
///
/// A sum in a group of 2^256 elements of secret pseudo-random values: another set of rows has the same one with
/// probability 2^-256, and rows come and go in any order at the cost of one addition each (Clarke et al. 2003,
/// "Incremental Multiset Hash Functions", MSet-Add-Hash).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) [u64; 4]);

impl Digest {
    pub(crate) fn add(&mut self, other: Self) {
        for (lane, more) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_add(more);
        }
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        for (lane, less) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_sub(less);
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (part, lane) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *part = lane.to_le_bytes();
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut lanes = [0; 4];
        for (lane, part) in lanes.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *lane = u64::from_le_bytes(*part);
        }
        Self(lanes)
    }
}

/// The keys of one store, and what is done with them.
pub(crate) struct Sealer {
    sealing: SecretKey,
    index_prefix: Zeroizing<[u8; 32]>,
    index_id: Zeroizing<[u8; 32]>,
    rows: Zeroizing<[u8; 32]>,
    store: [u8; RootKey::STORE_ID_BYTES],
}

impl Sealer {
    pub(crate) fn new(root: &RootKey) -> Self {
        let index = root.derive(CONTEXT_INDEX);
        Self {
            sealing: SecretKey::from(*root.derive(CONTEXT_SEALING)),
            index_prefix: Zeroizing::new(blake3::derive_key(CONTEXT_INDEX_PREFIX, index.as_slice())),
            index_id: Zeroizing::new(blake3::derive_key(CONTEXT_INDEX_ID, index.as_slice())),
            rows: root.derive(CONTEXT_ROWS),
            store: root.store,
        }
    }

    /// The key under which a row is kept.
    pub(crate) fn kept_key<'a>(&self, table: Table, key: &'a [u8]) -> Cow<'a, [u8]> {
        match table.keys {
            Keys::Ordered => Cow::Borrowed(key),
            Keys::Hidden if walytis_core::mutant!(ShowIds) => Cow::Borrowed(key),
            Keys::Hidden => Cow::Owned(self.hidden_key(table.name, key)),
        }
    }

    fn hidden_key(&self, table: &str, key: &[u8]) -> Vec<u8> {
        let (clear, id) = key.split_at(key.len().saturating_sub(ID_BYTES));
        let mut kept = self.hidden_prefix(table, clear, &id[..id.len().min(ID_PREFIX_BYTES)]);
        kept.extend_from_slice(keyed(&self.index_id, table, &[clear, id]).as_bytes());
        kept
    }

    /// With what the keys begin under which rows are kept whose ids begin alike.
    pub(crate) fn hidden_prefix(&self, table: &str, clear: &[u8], first: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(clear.len() + PREFIX_DIGEST_BYTES + 32);
        kept.extend_from_slice(clear);
        let digest = keyed(&self.index_prefix, table, &[clear, first]);
        kept.extend_from_slice(&digest.as_bytes()[..PREFIX_DIGEST_BYTES]);
        kept
    }

    /// Seals a value for its place: ciphertext, tag, nonce (in this order, so that opening only cuts the end off).
    pub(crate) fn seal(
        &self,
        table: &str,
        kept_key: &[u8],
        value: &[u8],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, StoreError> {
        let mut sealed = Vec::with_capacity(value.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(value);
        let place = self.place(table, kept_key);
        let tag = XChaCha20Poly1305::seal_inplace(&self.sealing, &Nonce::from(nonce), Some(&place), &mut sealed)
            .map_err(|_| StoreError::Disk { reason: "a value is too long to be sealed".to_owned() })?;
        sealed.extend_from_slice(tag.unprotected_as_ref());
        sealed.extend_from_slice(&nonce);
        Ok(sealed)
    }

    /// Opens what [`Sealer::seal`] made for the same place.
    pub(crate) fn open(&self, table: &str, kept_key: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::Damaged {
            table: table.to_owned(),
            reason: "a record was changed, or belongs to another place".to_owned(),
        };
        let (rest, nonce) = sealed.split_last_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let (value, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or_else(damaged)?;
        let (nonce, tag) = (Nonce::from(*nonce), Tag::try_from(tag).map_err(|_| damaged())?);
        let value_bytes = value.len();
        let place = self.place(table, kept_key);
        XChaCha20Poly1305::open_inplace(&self.sealing, &nonce, &tag, Some(&place), &mut sealed[..value_bytes])
            .map_err(|_| damaged())?;
        sealed.truncate(value_bytes);
        Ok(sealed)
    }

    /// The digest of a row of a changing table, as it is kept.
    pub(crate) fn row_digest(&self, table: &str, kept_key: &[u8], sealed: &[u8]) -> Digest {
        let key_bytes = (kept_key.len() as u64).to_le_bytes();
        Digest::from_bytes(keyed(&self.rows, table, &[&key_bytes, kept_key, sealed]).as_bytes())
    }

    /// What a seal binds a value to.
    fn place(&self, table: &str, kept_key: &[u8]) -> Vec<u8> {
        let mut place = Vec::with_capacity(2 + self.store.len() + table.len() + kept_key.len());
        place.push(FORMAT);
        place.extend_from_slice(&self.store);
        place.push(name_bytes(table));
        place.extend_from_slice(table.as_bytes());
        place.extend_from_slice(if walytis_core::mutant!(SealForAnyRow) { &[] } else { kept_key });
        place
    }
}

fn keyed(key: &[u8; 32], table: &str, parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[name_bytes(table)]).update(table.as_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// A name's length. Names have at most 64 bytes; a longer one would be our own mistake.
pub(crate) fn name_bytes(table: &str) -> u8 {
    assert!(table.len() <= 64, "the name of table {table} is longer than 64 bytes");
    table.len() as u8
}
