#![doc = include_str!("../README.md")]

mod block;
mod bytes;
pub mod chains;
mod code_text;
pub mod codec;
mod draft;
pub mod engine;
mod format;
mod keys;
pub mod limits;
mod machine;
mod names;
mod network;
mod orphans;
mod outbox;
mod pending;
mod plant;
#[cfg(planted)]
#[doc(hidden)]
pub mod planted;
pub mod public;
pub mod reconcile;
mod remembered;
mod store;
pub mod sync;
#[cfg(test)]
mod testing;
mod transcript;
mod unproven;
mod workers;

pub use block::{BlockError, BlockKind, FORMAT_VERSION, ForeignHead, Header, ParsedBlock, RawBlock, VerifiedBlock};
pub use bytes::{Address, AuthorKey, BlockId, ChainId, Hash, ParseIdError, PeerId, Timestamp};
pub use chains::{ChainError, FormatFault, StoredBlock, query};
pub use code_text::{CodeText, CodeTextError};
pub use codec::CodecError;
pub use draft::{Draft, Place};
pub use engine::Engine;
pub use format::{Format, FormatVersion};
pub use keys::{
    AuthorSecret, BadSignature, ED25519_SIGNATURE_BYTES, HYBRID_SIGNATURE_BYTES, HybridKey, HybridSecret,
    HybridSignature, ML_DSA_KEY_BYTES, ML_DSA_SIGNATURE_BYTES, Suite,
};
pub use machine::{DiskSpace, Effect, Event, Progress, Protocol, Target, Ticket};
pub use names::is_unseen;
pub use network::{
    CODE_ADDRESSES_MAX, Carrier, Dialer, FRAME_BYTES_MAX, Found, KnownPeer, Merit, Network, NetworkError, NetworkEvent,
    OtherProtocol, Route, Way,
};
pub use orphans::{ORPHAN_BYTES_PER_PEER_MAX, Orphans};
pub use outbox::Outbox;
pub use pending::{BatchNumber, Pending, Savepoint};
pub use remembered::remember_signatures;
pub use store::{Batch, Change, Direction, ID_PREFIX_BYTES, KeyRange, Keys, Record, Rows, Store, StoreError, Table};
pub use transcript::Transcript;
pub use unproven::{DialFailure, UnprovenAddresses};
pub use workers::{InTurn, Workers};
