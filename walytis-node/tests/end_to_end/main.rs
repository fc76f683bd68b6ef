//! Nodes on real parts: redb files, libp2p over loopback at ports that the system chooses, keys and seals as they are.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod durability;
mod invitations;
mod kit;
mod paused_clock;
mod private_group;
mod public_chain;
mod raw_peer;
mod sealing;
mod sessions;
mod subscriptions;
