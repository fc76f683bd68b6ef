//! Verifying a whole store: every block, signature, commitment and index.

use std::collections::BTreeMap;
use std::sync::Arc;

use walytis_core::{BlockId, BlockKind, ChainError, ChainId, Pending, Store, chains};
use walytis_identities::{Fold, Operation, Refusal};

use crate::EngineError;
use crate::content::PrivateBody;
use crate::records;

/// What was verified, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Chains found.
    pub chains: u64,
    /// Blocks verified.
    pub blocks: u64,
    /// Contents verified against their blocks.
    pub contents: u64,
    /// What is wrong, a line each; empty if all is well.
    pub problems: Vec<String>,
}

/// Verifies every block, signature, commitment and index of a store. `progress` is told how many blocks are done, and of
/// how many.
///
/// # Errors
/// Only if the store cannot be read at all; what is wrong inside is reported.
pub fn check(store: Arc<dyn Store>, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, EngineError> {
    let view = Pending::new(store);
    let mut check =
        Check { fold: Fold::default(), report: CheckReport::default(), missing: records::Missing::load(&view)? };
    let all = chains::all_chains(&view)?;
    check.report.chains = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let mut lengths = BTreeMap::new();
    for chain in &all {
        let length = check.note(*chain, chains::length(&view, *chain)).unwrap_or_default();
        lengths.insert(*chain, length);
    }
    let of: u64 = lengths.values().sum();
    let mut done = 0_u64;
    for chain in all {
        check.order(&view, chain, lengths.get(&chain).copied().unwrap_or_default());
        for position in 0..lengths.get(&chain).copied().unwrap_or_default() {
            check.block(&view, chain, position);
            done = done.saturating_add(1);
            progress(done, of);
        }
    }
    Ok(check.report)
}

struct Check {
    fold: Fold,
    report: CheckReport,
    missing: records::Missing,
}

impl Check {
    fn problem(&mut self, chain: ChainId, what: &dyn std::fmt::Display) {
        self.report.problems.push(format!("chain {chain}: {what}"));
    }

    fn note<T>(&mut self, chain: ChainId, result: Result<T, ChainError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(chain, &error);
                None
            }
        }
    }

    /// The order's index names every block once, ancestors first, and the heads are those that no block names.
    fn order(&mut self, view: &Pending, chain: ChainId, length: u64) {
        let mut from = 0;
        let mut seen = 0_u64;
        let mut heads: Vec<BlockId> = Vec::new();
        loop {
            let Some((page, next)) = self.note(chain, chains::in_order(view, chain, from, 256)) else { return };
            for stored in page {
                seen = seen.saturating_add(1);
                heads.retain(|head| stored.block.header().all_parents().all(|parent| parent != *head));
                heads.push(stored.block.id());
            }
            let Some(next) = next else { break };
            from = next;
        }
        if seen != length {
            self.problem(chain, &format!("its order has {seen} blocks, and it should have {length}"));
        }
        heads.sort_unstable();
        if self.note(chain, chains::heads(view, chain)).is_some_and(|kept| kept != heads) {
            self.problem(chain, &"its heads are not those that its blocks give");
        }
    }

    fn block(&mut self, view: &Pending, chain: ChainId, position: u64) {
        let stored = match chains::block_at(view, chain, position) {
            Ok(Some(stored)) => stored,
            Ok(None) => return self.problem(chain, &format!("block {position} is missing")),
            Err(error) => return self.problem(chain, &format!("block {position}: {error}")),
        };
        let id = stored.block.id();
        match chains::block(view, id) {
            Ok(Some(found)) if found.position == position => {}
            Ok(_) => self.problem(chain, &format!("the index does not lead to block {id}")),
            Err(error) => self.problem(chain, &error),
        }
        if stored.block.chain() != chain {
            self.problem(chain, &format!("block {id} is of another chain"));
        }
        match self.fold.judge(view, stored.block.parsed().clone()) {
            Ok(judged) => {
                self.report.blocks = self.report.blocks.saturating_add(1);
                if judged.block.header().kind == BlockKind::Private {
                    self.content(view, chain, id, judged.block.content());
                } else if let Ok(Operation::BeginEpoch(_)) = Operation::decode(judged.block.content()) {
                    self.wraps(view, chain, id);
                }
            }
            Err(error) => self.refused(chain, id, &error),
        }
    }

    fn refused(&mut self, chain: ChainId, id: BlockId, error: &Refusal) {
        self.problem(chain, &format!("block {id} does not verify: {error}"));
    }

    fn content(&mut self, view: &Pending, chain: ChainId, id: BlockId, body: &[u8]) {
        let body = match PrivateBody::decode(body) {
            Ok(body) => body,
            Err(error) => return self.problem(chain, &format!("block {id}: {error}")),
        };
        match records::content(view, id, &body) {
            Ok(Some(_)) => self.report.contents = self.report.contents.saturating_add(1),
            Ok(None) if self.missing.contains(chain, id) => {}
            Ok(None) => self.problem(chain, &format!("the content of block {id} is lost")),
            Err(error) => self.problem(chain, &error),
        }
    }

    fn wraps(&mut self, view: &Pending, chain: ChainId, id: BlockId) {
        match walytis_identities::wraps(view, id) {
            Ok(None) if !self.missing.contains(chain, id) => {
                self.problem(chain, &format!("the wraps of epoch {id} are lost"));
            }
            Ok(_) => {}
            Err(error) => self.problem(chain, &error),
        }
    }
}
