//! The real binary: its processes, homes and sockets. Commands reach a running node on Unix alone.

#![cfg(unix)]
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod bad_input;
mod chain;
mod chain_files;
mod chain_queries;
mod common;
mod demo;
mod home;
mod kill;
mod mistakes;
mod older_homes;
mod output;
mod share;
