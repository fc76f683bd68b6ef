//! Real nodes on one machine, and what must hold of them: `walytis demo`.
//!
//! Each node has its own folder, keys, store and sockets, and speaks to the others over the loopback interface. What it
//! hands to its transport passes a tap first, which looks for what must be sealed there.

mod check;
mod member;
mod plan;
mod report;
mod script;
mod search;
mod tap;

pub use plan::{Fault, Plan, lines_of};
pub use report::{Check, Report, Row};
pub use script::{News, Tell, run};
