//! Chains as `walytis-core` keeps them, against a model that keeps every block in a list: heads, queries, ancestry,
//! and the view through which they are read.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod dag;
mod heads;
mod pending;
mod queries;
