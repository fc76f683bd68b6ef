//! Telling of what has just entered the set: applications that subscribed, and peers that do not know it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use walytis_core::{BlockKind, ChainId, PeerId, StoredBlock, chains, planted};
use walytis_identities::{Operation, own_wrap};

use super::Engine;
use super::event::{Delivery, Effect, EngineError, Entry, EntryContent, Ticket};
use crate::content::PrivateBody;
use crate::message::Attachment;
use crate::newer::OWN_OVERLAY;
use crate::records;

impl Engine {
    /// The end of each step.
    pub(super) fn publish(&mut self) -> Result<(), EngineError> {
        for chain in std::mem::take(&mut self.stalled) {
            if !planted!(ForgetStalled) {
                self.pull_if_behind(chain)?;
            }
        }
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        if planted!(DeliverChildFirst) {
            fresh.reverse();
        }
        let mut chains_of: BTreeMap<ChainId, BTreeSet<Option<PeerId>>> = BTreeMap::new();
        let mut operations = false;
        for block in &fresh {
            let Some(stored) = chains::block(&self.parts.view, block.id)? else { continue };
            match stored.block.header().kind {
                BlockKind::Private => self.deliver(&stored, Delivery::Block)?,
                BlockKind::Operation => operations = true,
                _ => {}
            }
            if block.from.is_none() {
                self.push_own(&stored)?;
            }
            chains_of.entry(block.chain).or_default().insert(block.from);
        }
        for (chain, senders) in chains_of {
            // Blocks of our own were pushed; what one peer sent is told to all others, what several sent to all.
            let mut senders = senders.into_iter().filter(Option::is_some);
            if let Some(first) = senders.next() {
                let only = if senders.next().is_some() { None } else { first };
                self.announce_later(chain, only)?;
            }
        }
        if !operations {
            return Ok(());
        }
        self.operations = self.operations.wrapping_add(1);
        self.greet_known()
    }

    /// Sends a block of our own to members that are connected, with what belongs beside it.
    fn push_own(&mut self, stored: &StoredBlock) -> Result<(), EngineError> {
        if self.peers.values().all(|peer| peer.open.is_none()) {
            return Ok(());
        }
        let (chain, id) = (stored.block.chain(), stored.block.id());
        match stored.block.header().kind {
            BlockKind::Private => {
                let Ok(body) = PrivateBody::decode(stored.block.content()) else { return Ok(()) };
                let Some(content) = records::content(&self.parts.view, id, &body)? else { return Ok(()) };
                let sealed = self.seal(chain, id, body.epoch, &content)?;
                self.push_block(chain, stored, |_, _| Ok(sealed.clone()))
            }
            _ => match Operation::decode(stored.block.content()) {
                Ok(Operation::BeginEpoch(begin)) => self.push_block(chain, stored, |view, device| {
                    let Some(leaf) = &device.leaf else { return Ok(None) };
                    let given = own_wrap(view, id, &begin, &leaf.id())?;
                    Ok(given.map(|given| Attachment::Wrap(given.encode().into())))
                }),
                _ => self.push_block(chain, stored, |_, _| Ok(None)),
            },
        }
    }

    /// Hands a private block to whoever subscribed: all of them have seen it before, or are to see it now.
    pub(super) fn deliver(&mut self, stored: &StoredBlock, delivery: fn(Entry) -> Delivery) -> Result<(), EngineError> {
        let chain = stored.block.chain();
        let listeners: Vec<Ticket> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.group == chain)
            .map(|(ticket, _)| *ticket)
            .collect();
        if listeners.is_empty() {
            return Ok(());
        }
        let Some(entry) = self.entry(stored)? else { return Ok(()) };
        for subscription in listeners {
            self.outgoing.push(Effect::Delivered { subscription, delivery: delivery(entry.clone()) });
        }
        Ok(())
    }

    /// A private block as applications see it; `None` for other kinds.
    pub(super) fn entry(&mut self, stored: &StoredBlock) -> Result<Option<Entry>, EngineError> {
        let block = &stored.block;
        if block.header().kind != BlockKind::Private {
            return Ok(None);
        }
        // What is not of the group's own overlay, or of a newer program, is no post.
        let Ok(body) = self.body(block.content()) else { return Ok(None) };
        if body.overlay != OWN_OVERLAY && !walytis_core::mutant!(ShowOtherOverlays) {
            return Ok(None);
        }
        let membership = self.parts.membership(block.chain())?;
        // What a device wrote whose admission does not stand is in the set, and not in the view.
        let Some(device) = membership.devices.get(&block.header().author) else { return Ok(None) };
        let device = Arc::clone(device);
        let content = self.content_of(block.chain(), block.id(), &body)?;
        // What cannot be read is no post, whatever is kept beside it.
        if content.is_none() && self.is_unread(block)? {
            return Ok(None);
        }
        Ok(Some(Entry {
            id: block.id(),
            generation: stored.generation,
            position: stored.position,
            author: device.member().unwrap_or(ChainId::ZERO),
            device: device.identity().unwrap_or(ChainId::ZERO),
            created_at_ms: block.header().created_at_ms,
            content: content.map(|content| EntryContent {
                topics: content.topics().map(<[u8]>::to_vec).collect(),
                bytes: content.content().to_vec(),
            }),
        }))
    }
}
