#![doc = include_str!("../README.md")]

mod block;
mod bytes;
pub mod chains;
mod code_text;
pub mod codec;
mod draft;
mod format;
mod keys;
pub mod limits;
mod names;
mod network;
mod pending;
mod plant;
#[cfg(planted)]
#[doc(hidden)]
pub mod planted;
pub mod reconcile;
mod remembered;
mod store;
#[cfg(test)]
mod testing;
mod transcript;
mod workers;

pub use block::{
    BlockError, BlockKind, FORMAT_VERSION, ForeignHead, Header, ParsedBlock, RawBlock, VerifiedBlock, content_hash,
};
pub use bytes::{Address, AuthorKey, BlockId, ChainId, Hash, ParseIdError, PeerId, Timestamp};
pub use chains::{ChainError, FormatFault, StoredBlock, query};
pub use code_text::{CodeText, CodeTextError};
pub use codec::CodecError;
pub use draft::{Draft, Place};
pub use format::{Format, FormatVersion};
pub use keys::{
    AuthorSecret, BadSignature, ED25519_SIGNATURE_BYTES, HYBRID_SIGNATURE_BYTES, HybridKey, HybridSecret,
    HybridSignature, ML_DSA_KEY_BYTES, ML_DSA_SIGNATURE_BYTES, Suite,
};
pub use names::is_unseen;
pub use network::{
    CODE_ADDRESSES_MAX, Carrier, Dialer, FRAME_BYTES_MAX, Found, KnownPeer, Merit, Network, NetworkError, NetworkEvent,
    OtherProtocol, Route, Way,
};
pub use pending::{BatchNumber, Pending, Savepoint};
pub use remembered::remember_signatures;
pub use store::{Batch, Change, Direction, ID_PREFIX_BYTES, KeyRange, Keys, Record, Rows, Store, StoreError, Table};
pub use transcript::Transcript;
pub use workers::{InTurn, Workers, verify_all};
