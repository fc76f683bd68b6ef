//! Verifying a whole store: every block, signature, commitment and index.

use std::collections::BTreeMap;
use std::sync::Arc;

use walytis_core::query::{self, Order, Query, Span};
use walytis_core::{BlockId, BlockKind, ChainError, ChainId, PeerId, Pending, Store, chains};
use walytis_engine::public;
use walytis_identities::{BeginEpoch, Fold, Judged, LocalDevice, Operation, Refusal, WriteError, keyring, own_wrap};

use crate::EngineError;
use crate::content::PrivateBody;
use crate::newer::OWN_OVERLAY;
use crate::{policy, records};

/// How many blocks are read at once where their order is checked. Each page of a generation reads all of that generation's
/// headers, so it is not a small number; a page ends at some MiB besides.
const PAGE_BLOCKS: usize = 4096;

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
/// An engine may write to the store meanwhile: what was there at the beginning is verified, and what comes later is not
/// missed.
///
/// # Errors
/// Only if the store cannot be read at all; what is wrong inside is reported.
pub fn check(store: Arc<dyn Store>, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, EngineError> {
    let view = Pending::new(store);
    let mut check = Check {
        device: keyring::device(&view).map_err(WriteError::from)?,
        fold: Fold::default(),
        report: CheckReport::default(),
        missing: records::Missing::default(),
        sealed: BTreeMap::new(),
        unread_bytes: BTreeMap::new(),
        public: false,
    };
    for public::Misfiled { chain, name } in public::misfiled(&view)? {
        check.misfiled(chain, &name);
    }
    // What is left of a chain that is being deleted is no chain.
    let leaving = public::leaving(&view)?;
    let all: Vec<ChainId> = chains::all_chains(&view)?.into_iter().filter(|chain| !leaving.contains(chain)).collect();
    check.report.chains = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let mut lengths = BTreeMap::new();
    for chain in &all {
        let length = check.note(*chain, chains::length(&view, *chain)).unwrap_or_default();
        lengths.insert(*chain, length);
    }
    // Read behind the lengths: a block that counts and lacks something has its row by now.
    check.missing = records::Missing::load(&view)?;
    let of: u64 = lengths.values().sum();
    let mut done = 0_u64;
    for chain in all {
        check.note(chain, chains::recheck_owner(&view, chain));
        check.order(&view, chain, lengths.get(&chain).copied().unwrap_or_default());
        let genesis = chains::block(&view, chain.into()).ok().flatten();
        check.public = genesis.is_some_and(|stored| public::is_public_genesis(&stored.block));
        for position in 0..lengths.get(&chain).copied().unwrap_or_default() {
            check.block(&view, chain, position);
            done = done.saturating_add(1);
            progress(done, of);
        }
    }
    let mut grown = false;
    for (chain, length) in &lengths {
        grown |= chains::length(&view, *chain)? > *length;
    }
    check.counts(&view, grown);
    Ok(check.report)
}

struct Check {
    /// Whose store it is, once it is set up.
    device: Option<LocalDevice>,
    fold: Fold,
    report: CheckReport,
    missing: records::Missing,
    /// How many contents are sealed under each epoch.
    sealed: BTreeMap<BlockId, u64>,
    /// How many bytes are kept unread that each peer sent.
    unread_bytes: BTreeMap<PeerId, u64>,
    /// Whether the chain in hand is a public one.
    public: bool,
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

    /// A private chain's id has the row of a public chain, too.
    fn misfiled(&mut self, chain: ChainId, name: &str) {
        // Quoted, so that nothing in it deceives whoever reads it.
        let what = format!(
            "it is private, and {name:?} stands for it among the public chains: run `walytis chain delete` with that name. \
             It removes that entry and what strangers wrote under this id, and keeps the group"
        );
        self.problem(chain, &what);
    }

    /// The order's index names every block once, ancestors first, and the heads are those that no block names.
    fn order(&mut self, view: &Pending, chain: ChainId, length: u64) {
        let positions = Span { from: 0, to: length.saturating_sub(1) };
        let query = Query { order: Order::Listing, positions, ..Query::default() };
        let mut after = None;
        let mut seen = 0_u64;
        loop {
            let Some(page) = self.note(chain, query::page(view, chain, &query, after, PAGE_BLOCKS)) else { return };
            seen = seen.saturating_add(u64::try_from(page.blocks.len()).unwrap_or(u64::MAX));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if seen != length {
            self.problem(chain, &format!("its order has {seen} blocks, and it should have {length}"));
        }
        self.note(chain, chains::recheck_heads(view, chain));
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
        if !self.public && stored.block.header().kind == BlockKind::Content {
            self.problem(chain, &format!("block {id} is a stranger's, and has no place on a private chain"));
            return;
        }
        if let Err(error) = chains::recheck(view, &stored) {
            self.problem(chain, &error);
        }
        if self.public {
            let content = stored.block.header().kind == BlockKind::Content;
            match stored.block.parsed().clone().verify(None) {
                Ok(_) if content => {
                    self.report.blocks = self.report.blocks.saturating_add(1);
                    self.report.contents = self.report.contents.saturating_add(1);
                }
                Ok(_) => self.problem(chain, &format!("block {id} is none of content, on a public chain")),
                Err(error) => self.problem(chain, &error),
            }
            return;
        }
        match self.fold.judge(view, stored.block.parsed().clone()) {
            Ok(judged) => {
                self.report.blocks = self.report.blocks.saturating_add(1);
                if judged.block.header().kind == BlockKind::Private {
                    self.content(view, chain, &judged);
                } else if let Ok(Operation::BeginEpoch(begin)) = Operation::decode(judged.block.content()) {
                    self.wraps(view, chain, id, &begin);
                }
            }
            Err(error) => self.refused(chain, id, &error),
        }
    }

    fn refused(&mut self, chain: ChainId, id: BlockId, error: &Refusal) {
        self.problem(chain, &format!("block {id} does not verify: {error}"));
    }

    fn content(&mut self, view: &Pending, chain: ChainId, judged: &Judged) {
        let id = judged.block.id();
        self.kept_unread(view, chain, judged);
        let unread = self.note(chain, records::was_unread(view, id).map_err(ChainError::from)).unwrap_or_default();
        let body = match PrivateBody::decode(judged.block.content()) {
            Ok(body) if judged.membership.epochs.contains_key(&body.epoch) => body,
            // Of a newer program, or of somebody who may write here and wrote what nobody can read: no damage of this home.
            _ if unread => return,
            Err(error) if error.is_newer() => return,
            Ok(_) => return self.problem(chain, &format!("block {id} names an epoch that it does not know")),
            Err(error) => return self.problem(chain, &format!("block {id}: {error}")),
        };
        // What an earlier program could not read, and this one has not looked at again yet.
        if unread {
            return;
        }
        let sealed = self.sealed.entry(body.epoch).or_insert(0);
        *sealed = sealed.saturating_add(1);
        match records::content(view, id, &body) {
            Ok(Some(_)) => self.report.contents = self.report.contents.saturating_add(1),
            Ok(None) if self.missing.contains(chain, id) || !self.may_have(view, chain, &body) => {}
            Ok(None) => self.problem(chain, &format!("the content of block {id} is lost")),
            Err(error) => self.problem(chain, &error),
        }
    }

    /// Counts what is kept unread, by who sent it.
    fn kept_unread(&mut self, view: &Pending, chain: ChainId, judged: &Judged) {
        let kept = records::kept_from(view, judged.block.id()).map_err(ChainError::from);
        if let Some(Some((sender, kept))) = self.note(chain, kept) {
            let bytes = self.unread_bytes.entry(sender).or_insert(0);
            *bytes = bytes.saturating_add(u64::try_from(kept.len()).unwrap_or(u64::MAX));
        }
    }

    /// Whether this device would ever be given the content, and asks for it; what it does not, it cannot have lost.
    fn may_have(&mut self, view: &Pending, chain: ChainId, body: &PrivateBody) -> bool {
        if body.overlay != OWN_OVERLAY {
            return false;
        }
        let Ok(author) = keyring::author(view, chain) else { return false };
        policy::grants_author(&mut self.fold, view, chain, body, &author.public()).unwrap_or(true)
    }

    /// The count of contents under each epoch, by which epochs end.
    fn counts(&mut self, view: &Pending, grown: bool) {
        for (epoch, found) in std::mem::take(&mut self.sealed) {
            match records::sealed_under(view, epoch) {
                Ok(kept) if kept == found || (grown && kept > found) => {}
                Ok(kept) => {
                    let problem = format!("epoch {epoch}: {kept} contents are counted, and {found} are there");
                    self.report.problems.push(problem);
                }
                Err(error) => self.report.problems.push(format!("epoch {epoch}: {error}")),
            }
        }
        for (sender, found) in std::mem::take(&mut self.unread_bytes) {
            match records::kept_bytes(view, sender) {
                Ok(kept) if kept == found || (grown && kept > found) => {}
                Ok(kept) => {
                    let problem = format!("peer {sender}: {kept} unread bytes are counted, and {found} are there");
                    self.report.problems.push(problem);
                }
                Err(error) => self.report.problems.push(format!("peer {sender}: {error}")),
            }
        }
    }

    /// The wraps of an epoch that this device made, or what it owns of one that names it.
    fn wraps(&mut self, view: &Pending, chain: ChainId, id: BlockId, begin: &BeginEpoch) {
        let Some(device) = &self.device else { return };
        let owned = device
            .is_named(view, &mut self.fold, chain, (id, begin))
            .and_then(|named| Ok(!named || self.missing.contains(chain, id) || keyring::epoch(view, id)?.is_some()));
        match owned.and_then(|owned| Ok((owned, self.kept(view, chain, id, begin)?))) {
            Ok((true, true)) => {}
            Ok((false, _)) => self.problem(chain, &format!("the key of epoch {id} is lost")),
            Ok((true, false)) => self.problem(chain, &format!("wraps of epoch {id} are lost")),
            Err(error) => self.problem(chain, &format!("epoch {id}: {error}")),
        }
    }

    /// Whether of the wraps of an epoch all are here, or none as of one that another device made.
    fn kept(&mut self, view: &Pending, chain: ChainId, id: BlockId, begin: &BeginEpoch) -> Result<bool, WriteError> {
        let readers = self.fold.at(view, chain, &begin.view)?.readers();
        let mut kept = 0_usize;
        for leaf in readers.keys() {
            kept = kept.saturating_add(usize::from(own_wrap(view, id, begin, leaf)?.is_some()));
        }
        Ok(kept == 0 || kept == readers.len())
    }
}
