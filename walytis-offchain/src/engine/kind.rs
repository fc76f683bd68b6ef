//! Which ids are groups': told apart from public chains' and identities' before one is joined, and what becomes of a group
//! whose id was joined as a public chain under an earlier program.

use walytis_core::chains::{self, ChainKind, Owner};
use walytis_core::{BlockId, BlockKind, ChainError, ChainId, VerifiedBlock};
use walytis_identities::{Operation, Purpose};

use super::event::EngineError;
use super::{Engine, Fresh};
use crate::content::{OpenContent, PrivateBody};
use crate::newer::NewerKind;
use crate::records;

impl Engine {
    /// Notes whose the groups are that an earlier program kept without a note, and forgets joins that a restart ended and of
    /// which nothing had come, and looks again at what an earlier program could not read. Part of the first step, or where
    /// there is no room then, of the one in which there is; once.
    pub(super) fn register(&mut self) -> Result<(), EngineError> {
        if self.parts.view.is_full() {
            return Ok(());
        }
        if std::mem::replace(&mut self.registered, true) || self.public.are_removals_put_off() {
            return Ok(());
        }
        for (group, _) in self.names.clone() {
            if chains::owner_noted(&self.parts.view, group)? == Some(Owner::Group) {
                continue;
            }
            // One whose genesis is not there, or is none of a group's, is for who reads it.
            let _ = chains::claim(&mut self.parts.view, group, Owner::Group)?;
        }
        for group in records::joining(&self.parts.view)? {
            self.join_is_over(group)?;
        }
        // An earlier program waited for the content of other overlays' blocks.
        for (group, _) in self.names.clone() {
            let newer = records::newer(&self.parts.view, group)?;
            if newer.iter().any(|newer| newer.kind == NewerKind::Overlay) {
                self.forget_unobtainable(group)?;
            }
        }
        self.learn_bodies()
    }

    /// Notes that an id is a group's.
    pub(super) fn claim(&mut self, group: ChainId, by: Owner) -> Result<(), EngineError> {
        chains::claim(&mut self.parts.view, group, by)?.map_err(EngineError::OtherKind)
    }

    /// Begins to join under an id, if nothing else has it here.
    pub(super) fn join_begins(&mut self, group: ChainId) -> Result<(), EngineError> {
        self.claim(group, Owner::JoiningGroup).and_then(|()| match chains::block(&self.parts.view, group.into())? {
            Some(genesis) if !is_group(genesis.block.content()) => Err(EngineError::OtherKind(Owner::Identity)),
            _ => Ok(()),
        })?;
        Ok(records::put_joining(&mut self.parts.view, group)?)
    }

    /// A join came to an end. Where nothing of the group came, its id is free again.
    pub(super) fn join_is_over(&mut self, group: ChainId) -> Result<(), EngineError> {
        records::forget_joining(&mut self.parts.view, group)?;
        Ok(chains::release(&mut self.parts.view, group, ChainKind::Private)?)
    }

    /// The end of a step: deals with the joins that it ended.
    pub(super) fn end_joins(&mut self) -> Result<(), EngineError> {
        std::mem::take(&mut self.ended).into_iter().try_for_each(|group| match self.joins.contains_key(&group) {
            true => Ok(()),
            false => self.join_is_over(group),
        })
    }

    /// Deals with blocks that were removed from a group: strangers' that had got into it, and what this device and nobody
    /// else has above them. What it posted there it posts again; an epoch or an invitation of its own goes.
    pub(super) fn expelled(&mut self, group: ChainId, blocks: &[VerifiedBlock]) -> Result<(), EngineError> {
        self.parts.fold.forget();
        self.epochs.remove(&group);
        if self.name_of(group).is_none() {
            return Ok(());
        }
        // What is damaged here is for the check: it would end each start anew.
        let own = match self.device.author(&self.parts.view, group).map_err(EngineError::from) {
            Ok(own) => Some(own.public()),
            Err(error) if error.is_fatal() => return Err(error),
            Err(_) => None,
        };
        let mut again = Vec::new();
        for block in blocks {
            let id = block.id();
            self.missing.found(&mut self.parts.view, group, id);
            self.fresh.retain(|Fresh { id: fresh, .. }| *fresh != id);
            if block.header().kind != BlockKind::Private {
                continue;
            }
            let unread = records::was_unread(&self.parts.view, id)?;
            let Some(body) = PrivateBody::decode(block.content()).ok().filter(|_| !unread) else {
                records::forget_content(&mut self.parts.view, id)?;
                records::forget_unread(&mut self.parts.view, id);
                continue;
            };
            records::count_unsealed(&mut self.parts.view, body.epoch)?;
            if Some(block.header().author) == own {
                again.extend(self.kept_content(id, &body)?);
            }
            records::forget_content(&mut self.parts.view, id)?;
        }
        for content in again {
            let topics = content.topics().map(<[u8]>::to_vec).collect();
            let mark = self.mark();
            match self.post(group, topics, content.content().to_vec()) {
                Err(error) if error.is_fatal() => return Err(error),
                // Whoever may not write here wrote nothing that others would have taken.
                Err(_) => self.take_back(mark),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// What a removed block had; `None` if it is not here, or damaged.
    fn kept_content(&self, id: BlockId, body: &PrivateBody) -> Result<Option<OpenContent>, EngineError> {
        match records::content(&self.parts.view, id, body) {
            Ok(content) => Ok(content),
            Err(ChainError::Store(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}

/// Whether a genesis founds a group, not a user's or device's identity.
fn is_group(genesis: &[u8]) -> bool {
    matches!(Operation::decode(genesis), Ok(Operation::Genesis(genesis)) if genesis.purpose != Purpose::Identity)
}
