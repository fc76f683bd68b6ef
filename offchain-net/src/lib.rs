#![doc = include_str!("../README.md")]
//!
//! # Map
//! - [`Libp2pNetwork`] is the handle, [`TransportKey`] and [`NetConfig`] are what it starts from; [`Reach`] says how peers
//!   are found.
//! - `driver` owns the swarm: it turns commands and the swarm's events into calls on `links`, and does what they ask.
//! - `discovery` looks for peers and lets them find us, as far as `Reach` says.
//! - `links` decides, per peer, which connection carries the frames. It is a pure state machine.
//! - `places` decides which incoming connections stay, by what their peers have earned (`merits`) and where they come from
//!   (`origin`); `handshakes` bounds those that are not proven yet; `admission` is the libp2p behaviour that asks both, and
//!   `lines` cuts the sockets of those that make room.
//! - `session` moves frames between one stream and our queues; `wire` is the framing; `queues` holds what waits, and `budget`
//!   bounds it over all peers. `muxer` is Yamux with bounded windows.
//! - `protocol` has the number of what is spoken, and reads off a peer which one it speaks.
//! - `streams` is the libp2p behaviour that opens and accepts frame streams; `transport` puts TCP, QUIC and the
//!   behaviours together; `guard` keeps a socket from waiting for ever; `address` reads addresses and words failures.
//! - `interfaces` watches this machine's addresses, `own_addresses` those at which connections are accepted. `sockets` ends
//!   connections whose own address is gone or whose peer is silent, and `liveness` asks for the sign of life.

mod address;
mod admission;
mod budget;
mod config;
mod discovery;
mod driver;
mod guard;
mod handshakes;
mod interfaces;
mod key;
mod lines;
mod links;
mod liveness;
mod lookup_table;
mod merits;
mod muxer;
mod network;
mod origin;
mod own_addresses;
mod places;
mod protocol;
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
pub use protocol::PROTOCOL_NUMBER;
pub use reach::{HELPERS_MAX, Reach, RelayLimits};
pub use wire::PROTOCOL;
