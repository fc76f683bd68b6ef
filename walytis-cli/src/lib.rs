#![doc = include_str!("../README.md")]

mod arguments;
mod chain_arguments;
mod commands;
mod context;
pub mod demo;
mod escape;
mod home;
mod link;
mod output;
mod panics;
mod progress;
mod reach_arguments;
mod run;
mod stop;
mod time;
mod unlock;

pub use run::run;
