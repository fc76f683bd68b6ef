//! What a demonstration found.

use std::time::Duration;

use serde::Serialize;

/// What one node did.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The node, counted from one.
    pub node: usize,
    /// What happened to it.
    pub story: &'static str,
    /// Blocks that it posted.
    pub posted: usize,
    /// Blocks that it holds in the end.
    pub blocks: usize,
    /// How long after the last block was posted it held all; none if it never did.
    pub converged_ms: Option<u64>,
    /// Bytes of frames that it handed to its transport.
    pub sent_bytes: u64,
    /// Bytes of frames that it got.
    pub received_bytes: u64,
    /// Bytes of its files.
    pub stored_bytes: u64,
}

/// Something that must hold, and whether it does.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What must hold.
    pub check: &'static str,
    /// Whether it does.
    pub passed: bool,
    /// How it was found out, or what is wrong.
    pub detail: String,
}

impl Check {
    pub(super) fn new(check: &'static str, outcome: Result<String, String>) -> Self {
        let passed = outcome.is_ok();
        Self { check, passed, detail: outcome.unwrap_or_else(|wrong| wrong) }
    }
}

/// All that a demonstration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The nodes.
    pub rows: Vec<Row>,
    /// The checks.
    pub checks: Vec<Check>,
    /// How long the whole took.
    pub took: Duration,
}

impl Report {
    /// Whether every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}
