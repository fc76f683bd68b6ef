//! Stores over the disk model: crashes, failures and damage, each test under the name of its invariant.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod crashes;
mod damage;
mod engine;
mod failures;
mod model;
mod workload;
