#![doc = include_str!("../README.md")]
//!
//! # Map
//! - [`Libp2pNetwork`] is the handle, [`TransportKey`] and [`NetConfig`] are what it starts from; [`Reach`] says how peers
//!   are found.
//! - `driver` owns the swarm: it turns commands and the swarm's events into calls on `links`, and does what they ask.
//! - `discovery` looks for peers and lets them find us, as far as `Reach` says.
//! - `links` decides, per peer, which connection carries the frames. It is a pure state machine.
//! - `session` moves frames between one stream and our queues; `wire` is the framing; `queues` bounds what waits.
//! - `streams` is the libp2p behaviour that opens and accepts frame streams; `transport` puts TCP, QUIC and the
//!   behaviours together; `guard` keeps a socket from waiting for ever; `address` reads addresses and words failures.
//! - `interfaces` watches this machine's addresses, `own_addresses` those at which connections are accepted. `sockets` ends
//!   connections whose own address is gone or whose peer is silent, and `liveness` asks for the sign of life.

mod address;
mod config;
mod discovery;
mod driver;
mod guard;
mod interfaces;
mod key;
mod links;
mod liveness;
mod network;
mod own_addresses;
mod queues;
mod reach;
mod session;
mod sockets;
mod streams;
mod transport;
mod wire;

pub use config::NetConfig;
pub use key::TransportKey;
pub use network::{Libp2pNetwork, StartError};
pub use reach::{HELPERS_MAX, Reach, RelayLimits};
pub use wire::PROTOCOL;
