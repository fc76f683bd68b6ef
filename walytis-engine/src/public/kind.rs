//! What keeps private chains out of the public ones: before an id is handled as a public chain's, whose it is is asked.
//!
//! A row of a chain that is being joined has no genesis yet. If that turns out to be a private chain's, wherever it comes
//! from, the row goes, and whoever waits for the join is told. Rows that earlier programs kept beside a private chain
//! (`misfiled`) are kept apart from the others: no command and no peer reaches them but the command that deletes them.

use std::collections::BTreeMap;

use super::records::{self, Followed};
use super::{
    ChainAnswer, ChainEffect, ChainRoom, ChainSummary, Desk, PublicChains, PublicError, Standing, subscribers,
};
use crate::Ticket;
use walytis_core::chains::{self, ChainKind, Owner};
use walytis_core::{ChainError, ChainId, ParsedBlock, Pending};

/// A row of a public chain whose id is a private chain's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfiled {
    /// The private chain.
    pub chain: ChainId,
    /// The local name of the row, by which it is deleted.
    pub name: String,
}

/// The rows of public chains whose ids are private chains': earlier programs kept such.
///
/// # Errors
/// [`ChainError`] if the store fails or a row cannot be read.
pub fn misfiled(view: &Pending) -> Result<Vec<Misfiled>, ChainError> {
    let (rows, _) = records::load(view)?;
    let (_, misfiled) = sorted(view, rows)?;
    Ok(misfiled.into_values().map(|row| Misfiled { chain: row.id, name: row.name }).collect())
}

/// Rows of public chains by id, by what their ids are.
type Rows = BTreeMap<ChainId, Followed>;

/// The rows of public chains, and those that are misfiled.
pub(super) fn sorted(view: &Pending, rows: Vec<Followed>) -> Result<(Rows, Rows), ChainError> {
    let (mut public, mut misfiled) = (Rows::new(), Rows::new());
    for row in rows {
        let fits = match chains::may_be(view, row.id, ChainKind::Public) {
            Err(ChainError::Store(error)) => return Err(error.into()),
            // A damaged genesis or row of its owner is for whoever reads it: its chain can still be deleted.
            Err(_) => true,
            Ok(fits) => fits,
        };
        if fits { &mut public } else { &mut misfiled }.insert(row.id, row);
    }
    Ok((public, misfiled))
}

/// Whether a block is the genesis of a chain that is no public one. That its id is the chain's needs no signature.
pub(super) fn is_other_genesis(block: &ParsedBlock, chain: ChainId) -> bool {
    block.chain() == chain && block.header().genesis.is_some() && !super::is_public_genesis(block)
}

impl Followed {
    /// What a list says of a misfiled row: nothing of the private chain.
    pub(super) fn misfiled_summary(&self) -> ChainSummary {
        let (chain, name) = (self.id, self.name.clone());
        ChainSummary { chain, name, standing: Standing::Misfiled, blocks: 0, bytes: 0, peers: 0, room: ChainRoom::Free }
    }
}

impl PublicChains {
    /// Notes whose the public chains are that an earlier program kept without a note, and takes strangers' blocks out of the
    /// private chains that it mistook for public ones. Called before the first event is dealt with, or where there is no room
    /// then, once there is; looks up one row for each public chain, and reads the headers of those private ones.
    ///
    /// # Errors
    /// Only the store's.
    pub fn register(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        // Where there is no room nothing is written; the geneses say it then. What waits in memory for room may be lost, so a
        // block of our own that is posted again must not be among it.
        if self.begun || desk.view.is_full() {
            return Ok(());
        }
        for chain in self.misfiled.keys() {
            Self::expel(desk, *chain)?;
        }
        for followed in self.chains.values() {
            let owner = chains::owner_noted(desk.view, followed.id)?;
            if owner.is_none() {
                let joining = followed.standing == Standing::Joining;
                let owner = if joining { Owner::JoiningPublic } else { Owner::Public };
                // Whoever has it otherwise is in `misfiled`.
                let _ = chains::claim(desk.view, followed.id, owner)?;
            }
        }
        Ok(())
    }

    /// Refuses an id that is handled here as something else, or is about to be.
    pub(super) fn check_kind(&self, view: &Pending, chain: ChainId) -> Result<(), PublicError> {
        if let Some(row) = self.misfiled.get(&chain) {
            return Err(PublicError::Misfiled(row.name.clone()));
        }
        if !chains::may_be(view, chain, ChainKind::Public)?
            && let Some(owner) = chains::owner(view, chain)?
        {
            return Err(PublicError::OtherKind(owner));
        }
        Ok(())
    }

    /// Notes that an id is a public chain's.
    pub(super) fn claim(view: &mut Pending, chain: ChainId, by: Owner) -> Result<(), PublicError> {
        chains::claim(view, chain, by)?.map_err(PublicError::OtherKind)
    }

    /// Whether a chain is kept here and may be spoken about: its genesis is a public chain's, or it has none here yet and
    /// nobody else has its id. What a genesis says does not change, so it is asked until it is here.
    pub(super) fn is_public(&mut self, view: &Pending, chain: ChainId) -> Result<bool, PublicError> {
        let Some(followed) = self.chains.get_mut(&chain) else { return Ok(false) };
        if !followed.is_public {
            if !chains::may_be(view, chain, ChainKind::Public)? {
                return Ok(false);
            }
            followed.is_public = chains::contains(view, chain.into())?;
        }
        Ok(true)
    }

    /// The end of a step: joins of what this step turned out to be private chains come to nothing, and claims on ids of which
    /// nothing came are given up.
    pub(super) fn end_false_joins(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        let open = |row: &&Followed| row.standing == Standing::Joining && !row.is_public;
        let open: Vec<ChainId> = self.chains.values().filter(open).map(|row| row.id).collect();
        for chain in std::mem::take(&mut self.unmasked) {
            self.end_false_join(desk, chain)?;
        }
        for chain in open {
            if !self.is_public(desk.view, chain)? {
                self.end_false_join(desk, chain)?;
            }
        }
        for chain in std::mem::take(&mut self.given_up) {
            if !self.chains.contains_key(&chain) {
                chains::release(desk.view, chain, ChainKind::Public)?;
            }
        }
        Ok(())
    }

    /// A chain that is being joined, or was before the program ended, is a private one: nothing is left of it.
    fn end_false_join(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        let joining = self.chains.get(&chain).is_some_and(|row| row.standing == Standing::Joining);
        let Some(row) = joining.then(|| self.chains.remove(&chain)).flatten() else { return Ok(()) };
        row.remove(desk.view);
        self.forget_chain(chain);
        self.given_up.insert(chain);
        if let Some(join) = self.joins.remove(&chain) {
            let owner = chains::owner(desk.view, chain)?.filter(|owner| owner.kind() == ChainKind::Private);
            let error = owner.map_or(PublicError::PrivateGenesis, PublicError::OtherKind);
            desk.out.push(ChainEffect::Reply { ticket: join.ticket, answer: Err(error) });
        }
        Ok(())
    }

    /// The misfiled row of a local name or an id.
    pub(super) fn find_misfiled(&self, text: &str) -> Option<&Followed> {
        let id = text.parse::<ChainId>().ok();
        self.misfiled.values().find(|row| Some(row.id) == id || row.name == text)
    }

    /// Takes strangers' blocks out of a private chain, with what is above them, which the host is given. Of a chain in which
    /// something cannot be read nothing is taken: `check` says what.
    fn expel(desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        let savepoint = desk.view.savepoint();
        match chains::expel(desk.view, chain) {
            Ok(blocks) if blocks.is_empty() => {}
            Ok(blocks) => desk.out.push(ChainEffect::Expelled { chain, blocks }),
            Err(ChainError::Store(error)) => return Err(error.into()),
            Err(_) => desk.view.rollback(savepoint),
        }
        Ok(())
    }

    /// Removes a misfiled row with its named subscriptions, and nothing of the private chain: strangers' blocks were taken out
    /// when the program started, or are now, if there was no room then.
    pub(super) fn delete_misfiled(
        &mut self,
        desk: &mut Desk<'_>,
        ticket: Ticket,
        chain: ChainId,
    ) -> Result<(), PublicError> {
        Self::expel(desk, chain)?;
        let Some(row) = self.misfiled.remove(&chain) else { return Ok(()) };
        subscribers::remove(desk.view, row.number(), usize::MAX)?;
        row.remove(desk.view);
        desk.out.push(ChainEffect::Reply { ticket, answer: Ok(ChainAnswer::Deleted { blocks: 0 }) });
        Ok(())
    }
}
