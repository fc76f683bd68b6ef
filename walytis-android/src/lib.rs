#![doc = include_str!("../README.md")]
//!
//! # Map
//! - [`abi`] has the functions of the header, one by one, and [`layout`] its numbers and structures.
//! - `boundary` runs each of them: no panic leaves it, and what went wrong is kept for the thread. `error` has what can.
//! - `handles` is the table of what callers hold. `pointers` reads and writes callers' memory.
//! - `node` and `events` are what is behind the handles. Neither they, `handles`, `boundary` nor `error` has unsafe code.

pub mod abi;
mod boundary;
mod error;
mod events;
mod handles;
pub mod layout;
mod node;
mod pointers;
