#![doc = include_str!("../README.md")]
//!
//! # Guide
//! A page for each task, each with a program that runs: [`guide`].
//!
//! # Map
//! - `Home` is a node's folder; from it a [`Node`] is made, offline or serving.
//! - [`Node`] is the handle that applications hold. Its methods about public chains are in `chains`, those about private
//!   groups in `groups`; [`Posting`], [`ChainPager`], [`ChainSubscription`] and [`Listening`] are what some of them give.
//! - [`ChainReader`] is a public chain read under a name, with a cursor in the store; its methods of [`Node`] are in
//!   `reading`.
//! - [`ChainExport`] and [`ChainImport`] are a public chain as a file.
//! - [`layers`] is one interface for chains, groups and the overlays on them, and says how to write one.
//! - `machine` chooses the engine: that of private groups and public chains, or that of public chains alone.
//! - `shell` is the task behind it: requests, network events, commits and timers go into the engine, and its effects come
//!   out. `waiting` knows who waits for which answer, `committer` makes batches durable, `outbox` sends, `timers` waits,
//!   and `delivery` bounds what waits for a subscriber.

mod archive;
mod chain_pager;
mod chain_reader;
mod chain_subscription;
mod chains;
mod committer;
#[cfg(feature = "offchain")]
mod delivery;
mod error;
mod full;
#[cfg(feature = "offchain")]
mod groups;
pub mod guide;
#[cfg(feature = "redb")]
mod home;
#[cfg(feature = "offchain")]
mod join;
mod lane;
pub mod layers;
mod listening;
mod listing;
mod machine;
#[cfg(feature = "redb")]
mod migration;
mod node;
mod options;
mod outbox;
#[cfg(feature = "offchain")]
mod pager;
mod peers;
#[cfg(all(feature = "redb", feature = "libp2p"))]
mod places;
mod post;
mod progress;
mod reading;
mod request;
#[cfg(feature = "redb")]
mod room;
#[cfg(all(feature = "redb", feature = "libp2p"))]
mod serve;
mod shell;
#[cfg(feature = "offchain")]
mod subscription;
mod threads;
mod timers;
mod waiting;
#[cfg(all(feature = "redb", feature = "libp2p"))]
mod wishes;

pub use archive::{ChainExport, ChainImport, Imported};
pub use chain_pager::ChainPager;
pub use chain_reader::{Acknowledger, ChainReader, ChainStream, Reading, Retry};
pub use chain_subscription::ChainSubscription;
pub use chains::{Beginning, ChainJoin};
pub use error::NodeError;
#[cfg(feature = "redb")]
pub use home::Home;
#[cfg(feature = "offchain")]
pub use join::Join;
#[cfg(feature = "offchain")]
pub use listening::RefusedJoins;
pub use listening::{Fullness, Listening, OtherProtocols, Unreached};
pub use listing::Listing;
pub use machine::{Engine, EngineError, Status};
#[cfg(feature = "redb")]
pub use migration::Migration;
pub use node::Node;
pub use options::{Clock, Committer, DiskProbe, NodeOptions, Room};
#[cfg(feature = "offchain")]
pub use pager::Pager;
pub use peers::PeerDetails;
pub use post::{Post, Posting};
#[cfg(all(feature = "redb", feature = "libp2p"))]
pub use serve::{Accept, ServeNotice, ServeOptions};
#[cfg(feature = "offchain")]
pub use subscription::Subscription;

// What an application meets of the layers below, so that it need not name them.
#[cfg(feature = "libp2p")]
pub use offchain_net::{HELPERS_MAX, Reach, RelayLimits};
#[cfg(feature = "redb")]
pub use offchain_store::{KdfCost, OpenError, Unlock};
pub use walytis_core::chains::Owner;
pub use walytis_core::query::{Ancestry, IdPrefix, Order, Query, Span};
pub use walytis_core::{
    Address, AuthorKey, BlockId, Carrier, ChainId, Direction, FormatVersion, Found, KnownPeer, Network, NetworkError,
    OtherProtocol, PeerId, Route, Store, StoreError, Timestamp, Way,
};
pub use walytis_engine::Progress;
pub use walytis_engine::public::{
    ArchiveError, ArchiveHead, ArchiveKind, ChainDetails, ChainEntry, ChainInvitation, ChainLimit, ChainPeer,
    ChainRoom, ChainSummary, DeliveryError, Equivocation, ImportError, Letter, Limits, PublicError, Rule, Sharing,
    Standing, Start, SubscriptionSummary,
};
#[cfg(feature = "identities")]
pub use walytis_identities::{Did, History, Role};
#[cfg(feature = "offchain")]
pub use walytis_offchain::{
    CheckReport, Delivery, Entry, EntryContent, GroupDetails, GroupSummary, Identity, JoinRefusal, MemberDetails,
    Newer, NewerKind, RefusedJoin,
};
