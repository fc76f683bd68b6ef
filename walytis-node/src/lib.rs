#![doc = include_str!("../README.md")]
//!
//! # Map
//! - [`Home`] is a node's folder; from it a [`Node`] is made, offline or serving.
//! - [`Node`] is the handle that applications hold; [`Posting`], [`Join`], [`Pager`], [`Subscription`] and [`Listening`] are what
//!   some of its methods give.
//! - `shell` is the task behind it: requests, network events, commits and timers go into the engine, and its effects come
//!   out. `waiting` knows who waits for which answer, `committer` makes batches durable, `outbox` sends, `timers` waits,
//!   and `delivery` bounds what waits for a subscriber.

mod committer;
mod delivery;
mod error;
#[cfg(feature = "redb")]
mod home;
mod join;
mod listening;
mod node;
mod options;
mod outbox;
mod pager;
#[cfg(all(feature = "redb", feature = "libp2p"))]
mod places;
mod post;
mod request;
#[cfg(all(feature = "redb", feature = "libp2p"))]
mod serve;
mod shell;
mod subscription;
mod timers;
mod waiting;
#[cfg(all(feature = "redb", feature = "libp2p"))]
mod wishes;

pub use error::NodeError;
#[cfg(feature = "redb")]
pub use home::Home;
pub use join::Join;
pub use listening::{Listening, Unreached};
pub use node::Node;
pub use options::{Clock, Committer, NodeOptions};
pub use pager::{Listing, Pager};
pub use post::{Post, Posting};
#[cfg(all(feature = "redb", feature = "libp2p"))]
pub use serve::{ServeNotice, ServeOptions};
pub use subscription::Subscription;

// What an application meets of the layers below, so that it need not name them.
#[cfg(feature = "redb")]
pub use offchain_store::{KdfCost, OpenError, Unlock};
pub use walytis_core::{Address, BlockId, ChainId, Network, NetworkError, PeerId, Store, StoreError, Timestamp};
pub use walytis_identities::{History, Role};
pub use walytis_offchain::{
    CheckReport, Cursor, Delivery, Engine, EngineError, Entry, EntryContent, GroupDetails, GroupSummary, Identity,
    MemberDetails, Progress, Status,
};
