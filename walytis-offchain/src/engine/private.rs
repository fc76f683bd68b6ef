//! Private blocks: which of them can be read here, and what is kept beside them.

use walytis_core::{BlockId, BlockKind, ChainId, ParsedBlock, PeerId, StoredBlock, chains};
use walytis_identities::{EpochContext, Membership, keyring};

use super::Engine;
use super::event::EngineError;
use crate::content::{CONTENT_VERSION, ContentError, OpenContent, PrivateBody, SealedPlace};
use crate::message::Attachment;
use crate::newer::{Newer, NewerCounts, NewerKind, OWN_OVERLAY};
use crate::records::{self, Sender};

/// Why a private block cannot be read, as it is counted. The block stands all the same: what its header says decides that,
/// and what rests on it never depends on more. Otherwise programs of different versions would differ about one block, and
/// whoever may write could part them.
type Unread = (NewerKind, u32);

impl Engine {
    /// The body of a private block, as far as this program knows its version.
    pub(super) fn body(&self, content: &[u8]) -> Result<PrivateBody, ContentError> {
        PrivateBody::decode_as_of(content, self.content_version)
    }

    /// The body of a private block whose content may be opened and shown: one of a known version, under an epoch that the
    /// block's author knew. For any other, nobody can tell who was meant to read it.
    fn readable(&self, content: &[u8], before: &Membership) -> Result<PrivateBody, Unread> {
        let version = u32::from(content.first().copied().unwrap_or_default());
        match self.body(content) {
            Ok(body) if before.epochs.contains_key(&body.epoch) || walytis_core::mutant!(ShowAnyEpoch) => Ok(body),
            Err(error) if error.is_newer() => Err((NewerKind::Body, error.number())),
            _ => Err((NewerKind::Unreadable, version)),
        }
    }

    /// Notes of a private block that enters the set whether it can be read, and what it is.
    pub(super) fn note_body(
        &mut self,
        chain: ChainId,
        (id, content): (BlockId, &[u8]),
        before: &Membership,
    ) -> Result<(), EngineError> {
        match self.readable(content, before) {
            Ok(body) => self.count_readable(chain, &body),
            Err(unread) => {
                records::put_unread(&mut self.parts.view, id);
                if records::judged_by(&self.parts.view)?.unwrap_or(CONTENT_VERSION) != self.content_version {
                    records::put_judged_by(&mut self.parts.view, self.content_version);
                }
                Ok(records::count_newer(&mut self.parts.view, chain, unread)?)
            }
        }
    }

    fn count_readable(&mut self, chain: ChainId, body: &PrivateBody) -> Result<(), EngineError> {
        records::count_sealed(&mut self.parts.view, body.epoch)?;
        if body.overlay != OWN_OVERLAY {
            records::count_newer(&mut self.parts.view, chain, (NewerKind::Overlay, body.overlay))?;
        }
        Ok(())
    }

    /// Whether a block is a private one that cannot be read.
    pub(super) fn is_unread(&self, block: &ParsedBlock) -> Result<bool, EngineError> {
        if block.header().kind != BlockKind::Private {
            return Ok(false);
        }
        Ok(self.body(block.content()).is_err() || records::was_unread(&self.parts.view, block.id())?)
    }

    /// Whether a block is another overlay's, and its content neither here nor asked for.
    pub(super) fn is_unasked(&self, block: &ParsedBlock) -> Result<bool, EngineError> {
        let other = match self.body(block.content()) {
            Ok(body) if block.header().kind == BlockKind::Private && body.overlay != OWN_OVERLAY => body,
            _ => return Ok(false),
        };
        Ok(records::content(&self.parts.view, block.id(), &other)?.is_none())
    }

    /// Looks again at what could not be read, if an earlier program judged that. Part of the first step. It goes through each
    /// chain on which there is any; so it happens once for each version that is learned, not at each start.
    pub(super) fn learn_bodies(&mut self) -> Result<(), EngineError> {
        if records::judged_by(&self.parts.view)?.unwrap_or(CONTENT_VERSION) >= self.content_version {
            return Ok(());
        }
        for chain in chains::all_chains(&self.parts.view)? {
            self.learn_bodies_of(chain)?;
        }
        records::put_judged_by(&mut self.parts.view, self.content_version);
        Ok(())
    }

    fn learn_bodies_of(&mut self, group: ChainId) -> Result<(), EngineError> {
        let unread = |kind: NewerKind| matches!(kind, NewerKind::Body | NewerKind::Unreadable);
        let all = records::newer(&self.parts.view, group)?;
        let (bodies, others): (Vec<Newer>, Vec<Newer>) = all.into_iter().partition(|newer| unread(newer.kind));
        if bodies.is_empty() {
            return Ok(());
        }
        records::put_newer(&mut self.parts.view, group, &NewerCounts::of(others));
        for position in 0..chains::length(&self.parts.view, group)? {
            match self.learn_body_at(group, position) {
                // What is damaged here is for the check: it would end each start anew.
                Err(error) if !error.is_fatal() => {}
                learned => learned?,
            }
        }
        Ok(())
    }

    fn learn_body_at(&mut self, group: ChainId, position: u64) -> Result<(), EngineError> {
        let Some(stored) = chains::block_at(&self.parts.view, group, position)? else { return Ok(()) };
        let id = stored.block.id();
        if stored.block.header().kind != BlockKind::Private || !records::was_unread(&self.parts.view, id)? {
            return Ok(());
        }
        let before = chains::operations_before(&self.parts.view, stored.block.parsed())?;
        let before = self.parts.fold.at(&self.parts.view, group, &before)?;
        match self.readable(stored.block.content(), &before) {
            Ok(body) => {
                records::forget_unread(&mut self.parts.view, id);
                self.count_readable(group, &body)?;
                self.learn_content(group, &stored, &body)
            }
            Err(unread) => Ok(records::count_newer(&mut self.parts.view, group, unread)?),
        }
    }

    /// Reads what was kept beside a block that can be read now. What does not open is as if it had not come: whoever sent it
    /// may have sent anything.
    fn learn_content(&mut self, group: ChainId, stored: &StoredBlock, body: &PrivateBody) -> Result<(), EngineError> {
        let id = stored.block.id();
        match self.kept_content_of(group, id, body)? {
            Some(content) => {
                records::put_content(&mut self.parts.view, id, &content);
                records::forget_kept(&mut self.parts.view, id)?;
            }
            None if self.may_have(group, id, stored.block.content())? => {
                self.missing.add(&mut self.parts.view, group, id);
            }
            None => {}
        }
        Ok(())
    }

    /// Keeps what stands beside a block and cannot be read, as it came, within what its sender may have us keep: it may not be
    /// the block's. It is served on, and read once this program has learned it. What can be read may still come, and is asked
    /// for. `number` is that of what is not known, unless the block itself cannot be read.
    pub(super) fn keep(
        &mut self,
        from: Option<PeerId>,
        chain: ChainId,
        stored: &StoredBlock,
        (bytes, number): (&[u8], Option<u32>),
    ) -> Result<bool, EngineError> {
        let block = &stored.block;
        if block.header().kind != BlockKind::Private {
            if let Some(number) = number {
                self.newer.add(NewerKind::Attachment, number);
            }
            return Ok(true);
        }
        let is_author = self.is_author(from, block)?;
        let sender = Sender { peer: from.unwrap_or(self.device.peer()), is_author };
        let new = records::keep(&mut self.parts.view, block.id(), sender, bytes)?;
        if let Some(number) = number.filter(|_| new) {
            records::count_newer(&mut self.parts.view, chain, (NewerKind::Attachment, number))?;
        }
        Ok(true)
    }

    /// What is in an attachment of a private block; `None` if that is sealed under an epoch that was not opened here.
    pub(super) fn read_attachment(
        &mut self,
        (chain, id): (ChainId, BlockId),
        body: &PrivateBody,
        attachment: &Attachment,
    ) -> Result<Option<Result<OpenContent, ContentError>>, EngineError> {
        match attachment {
            Attachment::Open(bytes) => Ok(Some(OpenContent::decode(bytes, body))),
            Attachment::Sealed(bytes) => self.open_sealed(chain, id, body, bytes),
            Attachment::Wrap(_) => Ok(None),
        }
    }

    fn open_sealed(
        &mut self,
        chain: ChainId,
        id: BlockId,
        body: &PrivateBody,
        sealed: &[u8],
    ) -> Result<Option<Result<OpenContent, ContentError>>, EngineError> {
        let Some(seed) = keyring::epoch(&self.parts.view, body.epoch)? else { return Ok(None) };
        let membership = self.parts.membership(chain)?;
        let Some(epoch) = membership.epochs.get(&body.epoch) else { return Ok(None) };
        let key = seed.epoch_key(&EpochContext::new(chain, &epoch.view));
        let place = SealedPlace { chain, block: id, epoch: body.epoch };
        Ok(Some(OpenContent::open(sealed, &key, &place, body)))
    }

    /// The content of a private block: as it was kept once it had been read, or as it came when it could not be read. `None`
    /// for a block that cannot be read, whatever is kept beside it.
    pub(super) fn content_of(
        &mut self,
        chain: ChainId,
        id: BlockId,
        body: &PrivateBody,
    ) -> Result<Option<OpenContent>, EngineError> {
        let content = records::content(&self.parts.view, id, body)?;
        if content.is_some() || records::was_unread(&self.parts.view, id)? {
            return Ok(content);
        }
        self.kept_content_of(chain, id, body)
    }

    fn kept_content_of(
        &mut self,
        chain: ChainId,
        id: BlockId,
        body: &PrivateBody,
    ) -> Result<Option<OpenContent>, EngineError> {
        let Some(kept) = records::kept(&self.parts.view, id)? else { return Ok(None) };
        let Ok(attachment) = Attachment::decode(&kept) else { return Ok(None) };
        Ok(self.read_attachment((chain, id), body, &attachment)?.and_then(Result::ok))
    }
}
