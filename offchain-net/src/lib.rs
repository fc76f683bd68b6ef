#![doc = include_str!("../README.md")]
//!
//! # Map
//! - [`Libp2pNetwork`] is the handle, [`TransportKey`] and [`NetConfig`] are what it starts from; [`Reach`] says how peers
//!   are found.
//! - `driver` owns the swarm: it turns commands and the swarm's events into calls on `links`, and does what they ask.
//! - `discovery` looks for peers and lets them find us, as far as `Reach` says.
//! - `links` decides, per peer, which connection carries the frames. It is a pure state machine.
//! - `session` moves frames between one stream and our queues; `wire` is the framing; `queues` bounds what waits.
//! - `protocol` has the number of what is spoken, and reads off a peer which one it speaks.
//! - `streams` is the libp2p behaviour that opens and accepts frame streams; `transport` puts TCP, QUIC and the
//!   behaviours together; `guard` keeps a socket from waiting for ever; `address` reads addresses and words failures.

mod address;
mod config;
mod discovery;
mod driver;
mod guard;
mod key;
mod links;
mod network;
mod protocol;
mod queues;
mod reach;
mod session;
mod streams;
mod transport;
mod wire;

pub use config::NetConfig;
pub use key::TransportKey;
pub use network::{Libp2pNetwork, StartError};
pub use protocol::PROTOCOL_NUMBER;
pub use reach::{HELPERS_MAX, Reach, RelayLimits};
pub use wire::PROTOCOL;
