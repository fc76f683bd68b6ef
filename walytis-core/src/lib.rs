#![doc = include_str!("../README.md")]

mod bytes;
mod network;
mod store;

pub use bytes::{Address, AuthorKey, BlockId, ChainId, Hash, ParseIdError, PeerId, Timestamp};
pub use network::{Dialer, FRAME_BYTES_MAX, Network, NetworkError, NetworkEvent};
pub use store::{Batch, Change, Direction, KeyRange, Keys, Record, Rows, Store, StoreError, Table};
