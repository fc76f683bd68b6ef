//! Taking in what peers send: parsed, judged over its ancestors, and only then stored.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::limits::FOREIGN_ANCESTORS_MAX;
use walytis_core::{
    BlockError, BlockId, BlockKind, ChainError, ChainId, CodecError, FormatVersion, ParsedBlock, PeerId, RawBlock,
    Savepoint, StoreError, chains, planted,
};
use walytis_engine::sync::WireBlock;
use walytis_identities::{BeginEpoch, Operation, Refusal, WrapError, WriteError};

use super::event::{Delivery, EngineError};
use super::{Engine, Fresh, Limit};
use crate::message::Attachment;
use crate::newer::{NewerKind, OWN_OVERLAY};
use crate::{policy, records};

/// What became of a block that a peer sent.
enum Taken {
    /// It is in the set now.
    New,
    /// It was there before.
    Known,
    /// It waits for its parents.
    Orphan(BTreeSet<BlockId>),
    /// It rests on what this program is too old for, and never enters the set.
    OnNewer,
}

/// A point within a step, before something that may turn out not to hold.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    written: Savepoint,
    fresh: usize,
    missing: usize,
    names: usize,
}

/// Why a block was not taken in: our own store's failure, what the peer sent, or that this program is too old for it. Then
/// the rest goes on without it, and nobody is to blame.
enum Trouble {
    Ours(EngineError),
    Theirs,
    Newer(NewerKind, u32),
}

impl Trouble {
    /// Why a block, or one of those that it rests on, cannot be read.
    fn unreadable(error: &BlockError) -> Self {
        match error {
            BlockError::Newer { version, .. } => Self::Newer(NewerKind::Block, u32::from(*version)),
            BlockError::Unknown { .. } => Self::Newer(NewerKind::Block, 0),
            _ => Self::Theirs,
        }
    }

    /// Why a block may not enter the set.
    fn refused(error: Refusal) -> Self {
        match error.newer_number() {
            _ if error.is_ours() => Self::Ours(WriteError::Refused(error).into()),
            // What is unknown of an operation is no reason to let its sender go. It does not wait either: whoever may write
            // there could make others wait for ever.
            Some(number) => Self::Newer(NewerKind::Operation, number),
            None => Self::Theirs,
        }
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        if error.is_fatal() { Self::Ours(error) } else { Self::Theirs }
    }
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        EngineError::from(error).into()
    }
}

impl Engine {
    /// Takes in a block and whatever waited for it. Returns `false` if the peer sent what no honest one sends; then its
    /// connection is ended.
    pub(super) fn take_in(
        &mut self,
        from: Option<PeerId>,
        chain: ChainId,
        wire: WireBlock,
    ) -> Result<bool, EngineError> {
        let sender = from;
        let mut open = vec![(from, wire)];
        while let Some((from, wire)) = open.pop() {
            let mark = self.mark();
            let id = walytis_core::Header::id_of(&wire.block.header);
            if self.refused_blocks.contains(id) {
                continue;
            }
            match self.try_take_in(from, chain, &wire) {
                Ok(Taken::New) => {
                    self.fresh.push(Fresh { chain, id, from });
                    self.orphans.arrived(id);
                    while let Some((sender, (orphan_chain, orphan))) = self.orphans.next_free() {
                        if orphan_chain == chain {
                            open.push((Some(sender), orphan));
                        }
                    }
                }
                Ok(Taken::Known) if planted!(DeliverTwice) => self.fresh.push(Fresh { chain, id, from }),
                Ok(Taken::Known) => {}
                Ok(Taken::OnNewer) => self.refused_blocks.add(id),
                Ok(Taken::Orphan(_)) if planted!(DropOrphan) => {}
                Ok(Taken::Orphan(missing)) => {
                    let Some(peer) = from else { continue };
                    let bytes = wire.memory_bytes();
                    if self.orphans.add(peer, id, (chain, wire), bytes, missing) > 0 {
                        self.reached(Limit::Orphans);
                    }
                    // What is missing comes with the peer's answer to a pull: it holds the block's ancestors.
                    if let Some(known) = self.peers.get_mut(&peer) {
                        known.announced.insert(chain, vec![id]);
                    }
                    self.pull_if_behind(chain)?;
                }
                Err(Trouble::Ours(error)) => return Err(error),
                Err(Trouble::Newer(kind, number)) => {
                    self.take_back(mark);
                    self.newer.add(kind, number);
                }
                Err(Trouble::Theirs) => {
                    self.take_back(mark);
                    if let Some(peer) = from {
                        self.misbehaved(peer);
                    }
                    // An orphan of somebody else says nothing about who sent the block that it waited for.
                    if from == sender {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// A point of this step to which [`Engine::take_back`] can return.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            written: self.parts.view.savepoint(),
            fresh: self.fresh.len(),
            missing: self.missing.mark(),
            names: self.names.len(),
        }
    }

    /// Takes back what was written since a mark, what memory says of it, and what was computed over it, and no more: what
    /// is remembered of all else stays. Nobody was told of it: blocks are pushed at the step's end.
    pub(super) fn take_back(&mut self, mark: Mark) {
        for fresh in self.fresh.drain(mark.fresh.min(self.fresh.len())..) {
            self.members.changed(fresh.chain);
        }
        for (group, _) in self.names.drain(mark.names.min(self.names.len())..) {
            self.members.changed(group);
        }
        self.missing.take_back(mark.missing);
        if self.parts.view.savepoint() != mark.written {
            self.parts.fold.forget_behind(&self.parts.view, mark.written);
            self.parts.view.rollback(mark.written);
        }
    }

    fn try_take_in(&mut self, from: Option<PeerId>, chain: ChainId, wire: &WireBlock) -> Result<Taken, Trouble> {
        let block = ParsedBlock::parse(wire.block.clone())
            .map_err(|error| self.refused_for_ever(wire, Trouble::unreadable(&error)))?;
        // Groups are not moved to a newer format yet.
        if block.header().version != FormatVersion::V1 {
            self.refused_blocks.add(block.id());
            return Err(Trouble::Newer(NewerKind::Block, u32::from(block.header().version.number())));
        }
        let id = block.id();
        if block.chain() != chain && !walytis_core::mutant!(TakeOtherGroups) {
            return Err(Trouble::Theirs);
        }
        if id == chain.into() && block.header().kind == BlockKind::Content {
            self.end_join(chain, EngineError::PublicGenesis);
            return Err(Trouble::Theirs);
        }
        if planted!(ClockDecides) && block.header().created_at_ms > self.parts.now.0.saturating_add(60_000) {
            return Err(Trouble::Theirs);
        }
        if chains::contains(&self.parts.view, id)? {
            if let Some(attachment) = &wire.attachment {
                if self.missing.contains(chain, id) {
                    self.complete_later(from, chain, id, attachment)?;
                } else if self.is_unread(&block)? && self.is_author(from, &block)? || self.is_unasked(&block)? {
                    // What is kept may be what others made up; what is not asked for comes when it comes.
                    self.complete(from, chain, id, attachment)?;
                }
            }
            return Ok(Taken::Known);
        }
        let missing = chains::missing_parents(&self.parts.view, &block)?;
        if !missing.is_empty() && missing.iter().all(|parent| self.refused_blocks.contains(*parent)) {
            return Ok(Taken::OnNewer);
        }
        if !missing.is_empty() {
            return Ok(Taken::Orphan(missing.into_iter().collect()));
        }
        self.take_in_foreign(&block, &wire.foreign)?;
        let judged = self.parts.fold.judge(&self.parts.view, block).map_err(Trouble::refused);
        let judged = judged.map_err(|trouble| self.refused_for_ever(wire, trouble))?;
        if judged.block.header().kind == BlockKind::Private {
            // Whatever its body is, the block stands: its header says so, and the fold does not depend on more.
            self.note_body(chain, (id, judged.block.content()), &judged.membership)?;
        }
        chains::insert(&mut self.parts.view, &judged.block)?;
        if judged.block.header().kind == BlockKind::Operation {
            self.members.changed(chain);
        }
        self.attach(from, chain, &judged.block, wire.attachment.as_ref().map(|bytes| bytes.as_slice()))?;
        Ok(Taken::New)
    }

    /// Remembers a block that is refused for what its own bytes say, if they are a newer program's. What came with it says
    /// nothing about it: anybody can send other blocks beside it.
    fn refused_for_ever(&mut self, wire: &WireBlock, trouble: Trouble) -> Trouble {
        if matches!(trouble, Trouble::Newer(..)) {
            self.refused_blocks.add(walytis_core::Header::id_of(&wire.block.header));
        }
        trouble
    }

    /// Takes in the blocks of other chains that a block names, if they are exactly ancestors of what it names.
    fn take_in_foreign(&mut self, block: &ParsedBlock, foreign: &[RawBlock]) -> Result<(), Trouble> {
        if foreign.len() > FOREIGN_ANCESTORS_MAX {
            return Err(Trouble::Theirs);
        }
        let mut parsed = Vec::new();
        for raw in foreign {
            parsed.push(ParsedBlock::parse(raw.clone()).map_err(|error| Trouble::unreadable(&error))?);
        }
        let by_id: BTreeMap<BlockId, &ParsedBlock> = parsed.iter().map(|block| (block.id(), block)).collect();
        let mut reached = BTreeSet::new();
        let mut open: Vec<BlockId> = block.header().foreign.iter().map(|head| head.block).collect();
        while let Some(id) = open.pop() {
            let Some(ancestor) = by_id.get(&id) else { continue };
            if reached.insert(id) {
                open.extend(ancestor.header().all_parents());
                open.extend(ancestor.header().foreign.iter().map(|head| head.block));
            }
        }
        if reached.len() != parsed.len() && !planted!(TakeUnnamed) {
            return Err(Trouble::Theirs);
        }
        for ancestor in parsed {
            if chains::contains(&self.parts.view, ancestor.id())? {
                continue;
            }
            let judged = self.parts.fold.judge(&self.parts.view, ancestor).map_err(Trouble::refused)?;
            chains::insert(&mut self.parts.view, &judged.block)?;
        }
        Ok(())
    }

    /// Keeps what came beside a new block, or notes that it is missing.
    fn attach(
        &mut self,
        from: Option<PeerId>,
        chain: ChainId,
        block: &ParsedBlock,
        attachment: Option<&[u8]>,
    ) -> Result<(), Trouble> {
        let id = block.id();
        let expects = match block.header().kind {
            BlockKind::Private => true,
            BlockKind::Operation => match Operation::decode(block.content()) {
                Ok(Operation::BeginEpoch(begin)) => self.is_named(chain, (id, &begin))?,
                _ => false,
            },
            _ => false,
        };
        let newer = attachment.and_then(|bytes| Attachment::decode(bytes).err()).filter(CodecError::is_newer);
        match (expects, attachment) {
            (false, None) => Ok(()),
            (false, Some(_)) if walytis_core::mutant!(TakeNeedless) => Ok(()),
            (false, Some(_)) => match newer {
                Some(error) => {
                    self.newer.add(NewerKind::Attachment, error.number());
                    Ok(())
                }
                None => Err(Trouble::Theirs),
            },
            // What cannot be read is not asked for: it comes with its block, or is not kept.
            (true, None) if self.is_unread(block)? => Ok(()),
            // Nobody can tell whether it is the block's, so nobody is to blame for it.
            (true, Some(bytes)) if self.is_unread(block)? => Ok(self.complete(from, chain, id, bytes).map(|_| ())?),
            (true, None) if !self.may_have(chain, id, block.content())? => Ok(()),
            (true, Some(bytes)) if self.is_unasked(block)? => {
                if self.complete(from, chain, id, bytes)? || self.may_relay_bad(from, block)? {
                    return Ok(());
                }
                Err(Trouble::Theirs)
            }
            (true, None) => {
                self.missing.add(&mut self.parts.view, chain, id);
                Ok(())
            }
            (true, Some(bytes)) => {
                self.missing.add(&mut self.parts.view, chain, id);
                if self.complete(from, chain, id, bytes)? {
                    return Ok(());
                }
                if !self.may_relay_bad(from, block)? {
                    return Err(Trouble::Theirs);
                }
                if !self.may_have(chain, id, block.content())? {
                    self.missing.found(&mut self.parts.view, chain, id);
                }
                Ok(())
            }
        }
    }

    /// Whether a peer is the device that wrote a block.
    pub(super) fn is_author(&mut self, peer: Option<PeerId>, block: &ParsedBlock) -> Result<bool, EngineError> {
        let Some(peer) = peer else { return Ok(false) };
        Ok(self.device_of(peer, block.chain())?.is_some_and(|(author, _)| author == block.header().author))
    }

    /// Whether an honest peer may send something beside a block that is not the block's: an older program relays what it
    /// cannot read as it came, and cannot tell who made it up. Then it is as if it had none. Whoever wrote the block can.
    pub(super) fn may_relay_bad(&mut self, peer: Option<PeerId>, block: &ParsedBlock) -> Result<bool, EngineError> {
        Ok(block.header().kind == BlockKind::Private && !self.is_author(peer, block)?)
    }

    /// Whether an epoch names this device, so that it is owed a wrap.
    fn is_named(&mut self, chain: ChainId, epoch: (BlockId, &BeginEpoch)) -> Result<bool, EngineError> {
        Ok(self.device.is_named(&self.parts.view, &mut self.parts.fold, chain, epoch)?)
    }

    /// Whether this device would ever be given what stands beside a block, and has a use for it: other overlays' blocks are
    /// not shown, so nobody waits for their content. While it joins, it counts on it.
    pub(super) fn may_have(&mut self, chain: ChainId, id: BlockId, content: &[u8]) -> Result<bool, EngineError> {
        let Ok(body) = self.body(content) else { return Ok(true) };
        if body.overlay != OWN_OVERLAY && !walytis_core::mutant!(AwaitOtherOverlays) {
            return Ok(false);
        }
        let private = chains::block(&self.parts.view, id)?.map(|stored| stored.block.header().kind);
        if private != Some(BlockKind::Private) || self.name_of(chain).is_none() {
            return Ok(true);
        }
        let own = self.device.author(&self.parts.view, chain)?.public();
        Ok(policy::grants_author(&mut self.parts.fold, &self.parts.view, chain, &body, &own)?)
    }

    /// What was missing while the group's policy was not known here, and will never be given, is not missing.
    pub(super) fn forget_unobtainable(&mut self, chain: ChainId) -> Result<(), EngineError> {
        for id in self.missing.of(chain).collect::<Vec<_>>() {
            let Some(stored) = chains::block(&self.parts.view, id)? else { continue };
            if !self.may_have(chain, id, stored.block.content())? {
                self.missing.found(&mut self.parts.view, chain, id);
            }
        }
        Ok(())
    }

    /// Keeps the attachment of a block that lacks it. Returns `false` if it cannot be what an honest member sends.
    pub(super) fn complete(
        &mut self,
        from: Option<PeerId>,
        chain: ChainId,
        id: BlockId,
        attachment: &[u8],
    ) -> Result<bool, EngineError> {
        let Some(stored) = chains::block(&self.parts.view, id)? else { return Ok(false) };
        let kind = stored.block.header().kind;
        if self.is_unread(&stored.block)? {
            return self.keep(from, chain, &stored, (attachment, None));
        }
        let decoded = match Attachment::decode(attachment) {
            Ok(decoded) => decoded,
            Err(error) if error.is_newer() => {
                return self.keep(from, chain, &stored, (attachment, Some(error.number())));
            }
            Err(_) => return Ok(false),
        };
        let found = match (decoded, kind) {
            (Attachment::Wrap(bytes), BlockKind::Operation) => {
                return self.complete_epoch(chain, id, stored.block.content(), &bytes);
            }
            (decoded @ (Attachment::Open(_) | Attachment::Sealed(_)), BlockKind::Private) => {
                let Ok(body) = self.body(stored.block.content()) else { return Ok(false) };
                self.read_attachment((chain, id), &body, &decoded)?
            }
            _ => return Ok(false),
        };
        match found {
            Some(Ok(content)) => {
                records::put_content(&mut self.parts.view, id, &content);
                records::forget_kept(&mut self.parts.view, id)?;
                self.missing.found(&mut self.parts.view, chain, id);
                Ok(true)
            }
            Some(Err(error)) if error.is_newer() => self.keep(from, chain, &stored, (attachment, Some(error.number()))),
            Some(Err(_)) => Ok(false),
            // The epoch cannot be read here. Another member gives the content over a session; what nobody will be asked for is
            // kept as it came.
            None if self.is_unasked(&stored.block)? => self.keep(from, chain, &stored, (attachment, None)),
            None => Ok(true),
        }
    }

    /// As [`Engine::complete`], for a block that entered the set before: it was delivered without its content, which
    /// follows now. A block of this step is delivered at its end, with its content.
    pub(super) fn complete_later(
        &mut self,
        from: Option<PeerId>,
        chain: ChainId,
        id: BlockId,
        attachment: &[u8],
    ) -> Result<bool, EngineError> {
        if !self.complete(from, chain, id, attachment)? {
            return Ok(false);
        }
        if self.missing.contains(chain, id) || self.fresh.iter().any(|fresh| fresh.id == id) {
            return Ok(true);
        }
        // Members that were told that we lack it too are given it; others that lack it ask when they hear of us again.
        self.give_late(chain, id)?;
        self.announce_later(chain, None)?;
        if let Some(stored) = chains::block(&self.parts.view, id)?
            && stored.block.header().kind == BlockKind::Private
            && !planted!(ForgetContentDelivery)
        {
            self.deliver(&stored, Delivery::Content)?;
        }
        Ok(true)
    }

    fn complete_epoch(
        &mut self,
        chain: ChainId,
        id: BlockId,
        operation: &[u8],
        wrap: &[u8],
    ) -> Result<bool, EngineError> {
        let Ok(Operation::BeginEpoch(begin)) = Operation::decode(operation) else { return Ok(false) };
        match self.device.accept_wrap(&mut self.parts.view, chain, id, &begin, wrap) {
            Ok(true) => {
                self.missing.found(&mut self.parts.view, chain, id);
                Ok(true)
            }
            // Its maker spoiled it, or this program is too old for it. It goes on missing: others may have opened theirs,
            // and wrap the seed anew.
            Ok(false) | Err(WriteError::Wrap(WrapError::Suite { .. })) => Ok(true),
            Err(WriteError::Wrap(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
