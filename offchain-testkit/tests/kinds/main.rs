//! A chain's kind is a property of its genesis: a private chain is never handled as a public one, nor the reverse, whatever
//! codes, files and frames somebody makes of its id, before, during and after a join and across a restart.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod attack;
#[path = "../common/mod.rs"]
mod common;
mod pairs;
mod stranger;
mod yesterday;
