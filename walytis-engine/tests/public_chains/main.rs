//! Public chains over whole engines: convergence, forks, floods, invitations, limits, and what a store keeps.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers that cannot go on fail their tests"
)]

mod attacks;
mod bounds;
mod catching_up;
mod codes;
mod decoding;
mod early;
mod followers;
mod following;
mod hostile;
mod index;
mod joining;
mod net;
mod peers;
mod reading;
mod room;
mod rules;
mod shares;
mod strangers;
mod upgrade;
mod upload;
