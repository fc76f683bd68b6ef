#![doc = include_str!("../README.md")]

mod crew;
pub mod engine;
mod machine;
mod orphans;
mod outbox;
pub mod public;
pub mod sync;
mod unproven;

pub use engine::Engine;
pub use machine::{DiskSpace, Effect, Event, Progress, Protocol, Target, Ticket};
pub use orphans::{ORPHAN_BYTES_PER_PEER_MAX, Orphans};
pub use outbox::Outbox;
pub use unproven::{DialFailure, UnprovenAddresses};
