//! Completing chains: heads, pulls and portions, and attachments that are missing.

use std::collections::{BTreeSet, VecDeque};

use rand_core::Rng as _;
use serde_bytes::ByteBuf;
use walytis_core::{AuthorKey, BlockId, BlockKind, ChainId, Merit, PeerId, Pending, StoredBlock, chains, planted};
use walytis_engine::sync::{
    self, ANNOUNCE_MS, IDS_MAX, PORTION_BYTES, PULL_MS, QUIET_MS, SAMPLE, SyncMessage, WAITS_MAX, WANTED_MAX, WireBlock,
};
use walytis_identities::{Device, History, Operation, give_wrap};

use super::event::{Effect, EngineError, Timer};
use super::peer::{Asked, Lacking, Peer};
use super::{Engine, Limit, Parts, Pull};
use crate::message::{Attachment, Message};
use crate::{policy, records};

impl Engine {
    /// A session is open: each side tells its heads of the chains that both are in, and asks for what it lacks.
    pub(super) fn session_ready(&mut self, peer: PeerId) -> Result<(), EngineError> {
        let shared = if super::handshake::serves_strangers() {
            self.names.iter().map(|(group, _)| *group).collect()
        } else {
            self.groups_with(peer)?
        };
        for group in shared {
            if self.device_of(peer, group)?.is_some() {
                self.has_earned(peer, Merit::Member);
                if !planted!(SilentReconnect) {
                    self.tell_heads(peer, group)?;
                }
                self.ask_missing(peer, group);
            }
        }
        if self.joins.values().any(|join| join.wants(peer)) { self.greet(peer) } else { Ok(()) }
    }

    /// A session was replaced: what waited to leave in it is dropped, questions and answers among it, on both sides. So what
    /// was asked is asked anew, and so will the peer.
    pub(super) fn ask_anew(&mut self, peer: PeerId) {
        let asked: Vec<ChainId> =
            self.pulls.iter().filter(|(_, pull)| pull.peer == peer).map(|(chain, _)| *chain).collect();
        for chain in asked {
            self.pulls.remove(&chain);
            self.stalled.insert(chain);
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            known.asked.clear();
            known.transfers.clear();
        }
    }

    fn tell_heads(&mut self, peer: PeerId, chain: ChainId) -> Result<(), EngineError> {
        let (heads, cut) = sync::heads_to_tell(&self.parts.view, &mut *self.parts.rng, chain)?;
        if cut {
            self.reached(Limit::Heads);
        }
        self.tell(peer, &Message::Sync(SyncMessage::Heads { chain, heads }));
        Ok(())
    }

    pub(super) fn sync(&mut self, peer: PeerId, message: SyncMessage) -> Result<(), EngineError> {
        let chain = message.chain();
        let device = self.device_of(peer, chain)?;
        // While we join, we know nobody on the chain yet, and the one who admitted us is believed nothing unverified.
        let joining = self.joins.get(&chain).is_some_and(|join| join.receives_from(peer));
        match (message, device) {
            (SyncMessage::Portion { blocks, left, .. }, device) if joining || device.is_some() => {
                self.portion(peer, chain, blocks, left)
            }
            (SyncMessage::Heads { heads, .. }, Some(_)) => self.heads_told(peer, chain, heads),
            (SyncMessage::Pull { have, .. }, Some((author, device))) => {
                self.serve(peer, chain, &have, (&author, &device))
            }
            (SyncMessage::More { .. }, Some((author, device))) => self.serve_more(peer, chain, (&author, &device)),
            (SyncMessage::Push { block, .. }, Some(_)) => self.pushed(peer, chain, block),
            (SyncMessage::WantAttachments { ids, .. }, Some((author, device))) => {
                self.serve_attachments(peer, chain, &ids, (&author, &device))
            }
            (SyncMessage::Attachment { id, attachment, .. }, Some(_)) => {
                self.attachment_arrived(peer, chain, id, &attachment)
            }
            // What it says of its heads asks for nothing, and it greets us so on each group of which it believes that we are.
            (SyncMessage::Heads { .. }, None) => Ok(()),
            // Not a member here, or not yet known as one: it is served nothing, and told nothing. About a group of ours, or one
            // that is being joined, it may be right before we know.
            _ if self.name_of(chain).is_some() || self.joins.contains_key(&chain) => Ok(()),
            _ => {
                self.strayed(peer);
                Ok(())
            }
        }
    }

    fn heads_told(&mut self, peer: PeerId, chain: ChainId, heads: Vec<BlockId>) -> Result<(), EngineError> {
        let mut ours = chains::latest_heads(&self.parts.view, chain, IDS_MAX.saturating_add(1))?;
        ours.sort_unstable();
        let mut all_known = true;
        for head in &heads {
            all_known &= chains::contains_on(&self.parts.view, chain, *head)?;
        }
        // It lacks something that it was not told, or did not hear of. (Whoever knows all heads of the other, and has
        // others, holds more; so this goes back and forth at most once, if no list was cut.)
        let differ = heads != ours && ours.len() <= IDS_MAX && heads.len() < IDS_MAX;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.announced.insert(chain, heads);
        }
        if all_known && differ {
            self.tell_heads(peer, chain)?;
        }
        self.ask_missing(peer, chain);
        if planted!(IgnoreHeads) { Ok(()) } else { self.pull_if_behind(chain) }
    }

    /// Sets the timer of the exchange of heads with which quiet nodes make up for notices that were lost.
    pub(super) fn quiet_later(&mut self) {
        let after_ms = QUIET_MS.saturating_add(self.parts.rng.next_u64() % QUIET_MS);
        self.outgoing.push(Effect::Timer { after_ms, timer: Timer::Quiet });
    }

    pub(super) fn quiet(&mut self) -> Result<(), EngineError> {
        for (group, _) in self.names.clone() {
            let mut members = Vec::new();
            for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                if self.device_of(peer, group)?.is_some() {
                    members.push(peer);
                }
            }
            let count = u64::try_from(members.len()).unwrap_or(u64::MAX).max(1);
            let chosen = usize::try_from(self.parts.rng.next_u64() % count).unwrap_or_default();
            if let Some(peer) = members.get(chosen) {
                self.tell_heads(*peer, group)?;
            }
        }
        self.quiet_later();
        Ok(())
    }

    /// Starts an exchange with a peer that told of heads that are not here, unless one is under way.
    pub(super) fn pull_if_behind(&mut self, chain: ChainId) -> Result<(), EngineError> {
        if self.pulls.contains_key(&chain) || self.parts.view.is_full() {
            return Ok(());
        }
        match self.ahead(chain, None)? {
            Some(peer) => self.pull(chain, peer),
            None => Ok(()),
        }
    }

    /// A peer, not `but`, that told of heads that are not here. Whoever was asked longest ago is next, so that nobody keeps
    /// the others from being asked.
    fn ahead(&self, chain: ChainId, but: Option<PeerId>) -> Result<Option<PeerId>, EngineError> {
        let mut from: Option<(u64, PeerId)> = None;
        for (peer, known) in self.peers.iter().filter(|(peer, _)| Some(**peer) != but) {
            for head in known.announced.get(&chain).map(Vec::as_slice).unwrap_or_default() {
                if !self.refused_blocks.contains(*head) && !chains::contains_on(&self.parts.view, chain, *head)? {
                    let turn = (known.pulled, *peer);
                    from = Some(from.map_or(turn, |first| first.min(turn)));
                }
            }
        }
        Ok(from.map(|(_, peer)| peer))
    }

    pub(super) fn pull(&mut self, chain: ChainId, peer: PeerId) -> Result<(), EngineError> {
        if self.pulls.contains_key(&chain) {
            return Ok(());
        }
        let mut have = chains::sample(&self.parts.view, chain, SAMPLE)?;
        // What it told of and is here: neither that nor what is below has to come. Beside many heads a sample is little.
        let told = self.peers.get(&peer).and_then(|known| known.announced.get(&chain)).cloned().unwrap_or_default();
        for head in told {
            if have.len() < IDS_MAX && !have.contains(&head) && chains::contains_on(&self.parts.view, chain, head)? {
                have.push(head);
            }
        }
        self.tell(peer, &Message::Sync(SyncMessage::Pull { chain, have }));
        let first = self.exchanges.wrapping_add(1);
        self.await_portion(chain, Pull { peer, exchange: first, first, waits: 0, gained: false, known: 0 });
        self.outgoing.push(Effect::Timer { after_ms: PULL_MS, timer: Timer::PullTurn { chain, first } });
        Ok(())
    }

    fn await_portion(&mut self, chain: ChainId, mut pull: Pull) {
        self.exchanges = self.exchanges.wrapping_add(1);
        let exchange = self.exchanges;
        pull.exchange = exchange;
        if let Some(known) = self.peers.get_mut(&pull.peer) {
            known.pulled = exchange;
        }
        self.pulls.insert(chain, pull);
        self.outgoing.push(Effect::Timer { after_ms: PULL_MS, timer: Timer::Pull { chain, exchange } });
    }

    pub(super) fn pull_timed_out(&mut self, chain: ChainId, exchange: u64) -> Result<(), EngineError> {
        let Some(pull) = self.pulls.get_mut(&chain).filter(|pull| pull.exchange == exchange) else { return Ok(()) };
        let peer = pull.peer;
        pull.waits = pull.waits.saturating_add(1);
        let waits = pull.waits;
        if waits < WAITS_MAX && self.ahead(chain, Some(peer))?.is_none() {
            self.outgoing.push(Effect::Timer { after_ms: PULL_MS, timer: Timer::Pull { chain, exchange } });
            return Ok(());
        }
        if waits >= WAITS_MAX {
            self.reached(Limit::Waits);
        }
        self.pulls.remove(&chain);
        if let Some(known) = self.peers.get_mut(&peer) {
            // It does not answer: what it told is worth nothing until it tells again.
            known.announced.remove(&chain);
        }
        self.pull_if_behind(chain)
    }

    /// An exchange has gone on for a while. If somebody else has news, too, it is asked: nobody holds a chain's only
    /// exchange for ever. An honest peer gets its turn again, and goes on from what is here then.
    pub(super) fn pull_turn(&mut self, chain: ChainId, first: u64) -> Result<(), EngineError> {
        let Some(pull) = self.pulls.get(&chain).filter(|pull| pull.first == first) else { return Ok(()) };
        match self.ahead(chain, Some(pull.peer))? {
            Some(other) => {
                self.pulls.remove(&chain);
                self.pull(chain, other)
            }
            None => {
                self.outgoing.push(Effect::Timer { after_ms: PULL_MS, timer: Timer::PullTurn { chain, first } });
                Ok(())
            }
        }
    }

    fn portion(&mut self, peer: PeerId, chain: ChainId, blocks: Vec<WireBlock>, left: u64) -> Result<(), EngineError> {
        let Some(pull) = self.pulls.get(&chain).filter(|pull| pull.peer == peer) else { return Ok(()) };
        let (gained, known, first) = (pull.gained, pull.known, pull.first);
        let sent = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
        let before = chains::length(&self.parts.view, chain)?;
        if left > 0 && sent > 0 {
            // The next portion travels while this one is verified.
            self.tell(peer, &Message::Sync(SyncMessage::More { chain }));
            self.await_portion(chain, Pull { peer, exchange: first, first, waits: 0, gained, known });
        } else {
            self.pulls.remove(&chain);
        }
        for block in blocks {
            if !self.take_in(Some(peer), chain, block)? {
                // Somebody else is asked, even if this was the last portion.
                self.stalled.insert(chain);
                return Ok(());
            }
        }
        self.join_progressed(chain, left)?;
        let new = chains::length(&self.parts.view, chain)?.saturating_sub(before);
        let gained = gained || new > 0;
        let known = known.saturating_add(sent.saturating_sub(new));
        // Each block comes once, so more that were here already than there are at all is a peer that keeps the others
        // from being asked.
        let ended = left == 0 || sent == 0 || known > before;
        if ended {
            self.pulls.remove(&chain);
            self.join_complete(peer, chain)?;
            // A whole exchange that brought nothing: the peer has what this program cannot take in, or says so.
            if !gained && let Some(known) = self.peers.get_mut(&peer) {
                known.announced.remove(&chain);
            }
            self.ask_missing(peer, chain);
            self.pull_if_behind(chain)?;
        } else if let Some(pull) = self.pulls.get_mut(&chain) {
            (pull.gained, pull.known) = (gained, known);
        }
        Ok(())
    }

    fn pushed(&mut self, peer: PeerId, chain: ChainId, block: WireBlock) -> Result<(), EngineError> {
        if self.parts.view.is_full() {
            // It is asked for once there is room.
            let id = walytis_core::Header::id_of(&block.block.header);
            if let Some(known) = self.peers.get_mut(&peer) {
                known.announced.insert(chain, vec![id]);
            }
            return Ok(());
        }
        self.take_in(Some(peer), chain, block).map(|_| ())
    }

    /// There is room again: everybody is asked for what was not taken.
    pub(super) fn ask_everybody(&mut self) -> Result<(), EngineError> {
        for (group, _) in self.names.clone() {
            self.stalled.insert(group);
            for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                if self.device_of(peer, group)?.is_some() {
                    self.ask_missing(peer, group);
                }
            }
        }
        Ok(())
    }

    fn serve(
        &mut self,
        peer: PeerId,
        chain: ChainId,
        have: &[BlockId],
        (author, device): (&AuthorKey, &Device),
    ) -> Result<(), EngineError> {
        let positions: VecDeque<u64> = chains::difference(&self.parts.view, chain, have)?.into();
        if let Some(known) = self.peers.get_mut(&peer) {
            known.transfers.insert(chain, positions);
        }
        self.serve_more(peer, chain, (author, device))
    }

    fn serve_more(
        &mut self,
        peer: PeerId,
        chain: ChainId,
        (author, device): (&AuthorKey, &Device),
    ) -> Result<(), EngineError> {
        let mut positions =
            self.peers.get_mut(&peer).and_then(|known| known.transfers.remove(&chain)).unwrap_or_default();
        let mut blocks = Vec::new();
        let mut bytes = 0_usize;
        while bytes < PORTION_BYTES {
            let Some(position) = positions.pop_front() else { break };
            let Some(stored) = chains::block_at(&self.parts.view, chain, position)? else { continue };
            let wire = self.wire(chain, &stored, (author, device))?;
            let size = wire.bytes();
            // A portion with a large block behind others would not fit into a frame.
            if !blocks.is_empty() && bytes.saturating_add(size) > 2 * PORTION_BYTES {
                positions.push_front(position);
                break;
            }
            bytes = bytes.saturating_add(size);
            blocks.push(wire);
        }
        let left = u64::try_from(positions.len()).unwrap_or(u64::MAX);
        if left > 0 {
            self.reached(Limit::Portion);
        }
        if left > 0
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.transfers.insert(chain, positions);
        }
        self.tell(peer, &Message::Sync(SyncMessage::Portion { chain, blocks, left }));
        Ok(())
    }

    /// A block with what the device on the other side may have of it.
    fn wire(
        &mut self,
        chain: ChainId,
        stored: &StoredBlock,
        (author, device): (&AuthorKey, &Device),
    ) -> Result<WireBlock, EngineError> {
        let attachment = self.attachment_for(chain, stored, (author, device))?.map(ByteBuf::from);
        let foreign = chains::foreign_ancestors(&self.parts.view, &stored.block.header().foreign)?.unwrap_or_default();
        Ok(WireBlock { block: stored.block.raw().clone(), attachment, foreign })
    }

    /// What this device may be given beside a block: content as the group's policy grants it, and its wraps. Of what this
    /// program cannot read, it is the bytes that came; sealed ones say nothing to whom they are not for.
    fn attachment_for(
        &mut self,
        chain: ChainId,
        stored: &StoredBlock,
        (author, device): (&AuthorKey, &Device),
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let id = stored.block.id();
        match stored.block.header().kind {
            BlockKind::Private => {
                let Ok(body) = self.body(stored.block.content()) else {
                    return self.unread_for(chain, id);
                };
                let Parts { view, fold, .. } = &mut self.parts;
                let granted = policy::grants(fold, view, chain, &body, (author, device))?;
                let content = if granted { self.content_of(chain, id, &body)? } else { None };
                match content {
                    Some(content) => Ok(Some(Attachment::Open(ByteBuf::from(content.encode())).encode())),
                    None if self.is_unread(&stored.block)? => self.unread_for(chain, id),
                    None if granted => Ok(records::kept(&self.parts.view, id)?),
                    None => Ok(None),
                }
            }
            BlockKind::Operation => {
                let Ok(Operation::BeginEpoch(begin)) = Operation::decode(stored.block.content()) else {
                    return Ok(None);
                };
                let Parts { view, fold, rng, .. } = &mut self.parts;
                let given = give_wrap(view, fold, &mut **rng, chain, (id, &begin), (author, device))?;
                Ok(given.map(|given| Attachment::Wrap(ByteBuf::from(given.encode())).encode()))
            }
            _ => Ok(None),
        }
    }

    /// What is kept beside a block that this program cannot read, so that it cannot say who may have what is in it: sealed
    /// content for every member, all else only where every member may read everything.
    fn unread_for(&mut self, chain: ChainId, id: BlockId) -> Result<Option<Vec<u8>>, EngineError> {
        let Some(kept) = records::kept(&self.parts.view, id)? else { return Ok(None) };
        let sealed = matches!(Attachment::decode(&kept), Ok(Attachment::Sealed(_)));
        let all = self.parts.membership(chain)?.history == History::All;
        Ok((sealed || all).then_some(kept))
    }

    fn serve_attachments(
        &mut self,
        peer: PeerId,
        chain: ChainId,
        ids: &[BlockId],
        (author, device): (&AuthorKey, &Device),
    ) -> Result<(), EngineError> {
        for id in ids {
            let stored = chains::block(&self.parts.view, *id)?
                .filter(|stored| stored.block.chain() == chain || walytis_core::mutant!(ServeOtherGroups));
            let attachment = match stored {
                Some(stored) => self.attachment_for(chain, &stored, (author, device))?,
                None => None,
            };
            if attachment.is_none()
                && self.missing.contains(chain, *id)
                && let Some(known) = self.peers.get_mut(&peer)
            {
                known.awaits.insert((chain, *id));
            }
            // An empty answer says that there is none to give: the asker goes on with what else it lacks.
            let attachment = ByteBuf::from(attachment.unwrap_or_default());
            self.tell(peer, &Message::Sync(SyncMessage::Attachment { chain, id: *id, attachment }));
        }
        Ok(())
    }

    /// Gives an attachment that has arrived here to those who asked for it before.
    pub(super) fn give_late(&mut self, chain: ChainId, id: BlockId) -> Result<(), EngineError> {
        let awaiting = |(peer, known): (&PeerId, &mut Peer)| {
            known.lacking.remove(&(chain, id));
            known.awaits.remove(&(chain, id)).then_some(*peer)
        };
        for peer in self.peers.iter_mut().filter_map(awaiting).collect::<Vec<_>>() {
            if let Some((author, device)) = self.device_of(peer, chain)? {
                self.serve_attachments(peer, chain, &[id], (&author, &device))?;
            }
        }
        Ok(())
    }

    /// Asks a member for the attachments that are missing here, or once more if it is being asked already. For what it had
    /// not to give before it is asked less and less often.
    pub(super) fn ask_missing(&mut self, peer: PeerId, chain: ChainId) {
        if self.parts.view.is_full() {
            return;
        }
        let Some(known) = self.peers.get_mut(&peer) else { return };
        match known.asked.get_mut(&chain) {
            Some(asked) => asked.again = true,
            None => self.ask_beyond(peer, chain, None),
        }
    }

    /// Asks for the missing attachments behind a block, as many as one message can name.
    fn ask_beyond(&mut self, peer: PeerId, chain: ChainId, last: Option<BlockId>) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let mut ids = BTreeSet::new();
        for id in self.missing.behind(chain, last) {
            if !known.lacking.get_mut(&(chain, id)).is_some_and(Lacking::pass) {
                ids.insert(id);
            }
            if ids.len() == WANTED_MAX {
                break;
            }
        }
        let Some(last) = ids.last().copied() else {
            known.asked.remove(&chain);
            return;
        };
        let again = known.asked.get(&chain).is_some_and(|asked| asked.again);
        let full = ids.len() == WANTED_MAX;
        let message = SyncMessage::WantAttachments { chain, ids: ids.iter().copied().collect() };
        known.asked.insert(chain, Asked { waiting: ids, last, again });
        self.tell(peer, &Message::Sync(message));
        if full {
            self.reached(Limit::Wanted);
        }
    }

    fn attachment_arrived(
        &mut self,
        peer: PeerId,
        chain: ChainId,
        id: BlockId,
        attachment: &[u8],
    ) -> Result<(), EngineError> {
        if self.parts.view.is_full() {
            return Ok(());
        }
        // What is not missing is not looked at. What is may come unasked: the peer did not have it when it was asked.
        let missing = self.missing.contains(chain, id);
        if missing && !attachment.is_empty() && !self.complete_later(Some(peer), chain, id, attachment)? {
            let stored = chains::block(&self.parts.view, id)?;
            let relayed = stored.map(|stored| self.may_relay_bad(Some(peer), &stored.block)).transpose()?;
            if relayed != Some(true) {
                self.misbehaved(peer);
                return Ok(());
            }
        }
        let lacking = missing && self.missing.contains(chain, id);
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        if !lacking {
            known.lacking.remove(&(chain, id));
        }
        let Some(asked) = known.asked.get_mut(&chain).filter(|asked| asked.waiting.contains(&id)) else {
            return Ok(());
        };
        asked.waiting.remove(&id);
        let (done, last, again) = (asked.waiting.is_empty(), asked.last, asked.again);
        if lacking {
            known.lacking.entry((chain, id)).or_default().again();
        }
        if done {
            self.ask_beyond(peer, chain, Some(last));
            if again && self.peers.get(&peer).is_some_and(|known| !known.asked.contains_key(&chain)) {
                self.ask_missing(peer, chain);
            }
        }
        Ok(())
    }

    /// Notes that everybody but `from` has to hear of a chain's new heads.
    pub(super) fn announce_later(&mut self, chain: ChainId, from: Option<PeerId>) -> Result<(), EngineError> {
        let open: Vec<PeerId> =
            self.peers.iter().filter(|(_, known)| known.open.is_some()).map(|(peer, _)| *peer).collect();
        let idle = self.announcing.is_empty();
        for peer in open {
            if Some(peer) != from && self.device_of(peer, chain)?.is_some() {
                self.announcing.insert((peer, chain));
            }
        }
        if idle && !self.announcing.is_empty() {
            self.outgoing.push(Effect::Timer { after_ms: ANNOUNCE_MS, timer: Timer::Announce });
        }
        Ok(())
    }

    pub(super) fn announce(&mut self) -> Result<(), EngineError> {
        for (peer, chain) in std::mem::take(&mut self.announcing) {
            if self.device_of(peer, chain)?.is_some() {
                self.tell_heads(peer, chain)?;
            }
        }
        Ok(())
    }

    /// Sends a new block of ours, whole, to every member that is there, with what `beside` has for its device.
    pub(super) fn push_block<F>(&mut self, chain: ChainId, stored: &StoredBlock, beside: F) -> Result<(), EngineError>
    where
        F: Fn(&Pending, &Device) -> Result<Option<Attachment>, EngineError>,
    {
        let open: Vec<PeerId> =
            self.peers.iter().filter(|(_, known)| known.open.is_some()).map(|(peer, _)| *peer).collect();
        if open.is_empty() {
            return Ok(());
        }
        let foreign = chains::foreign_ancestors(&self.parts.view, &stored.block.header().foreign)?.unwrap_or_default();
        for peer in open {
            if let Some((_, device)) = self.device_of(peer, chain)? {
                let attachment =
                    beside(&self.parts.view, &device)?.map(|attachment| ByteBuf::from(attachment.encode()));
                let block = WireBlock { block: stored.block.raw().clone(), attachment, foreign: foreign.clone() };
                self.tell(peer, &Message::Sync(SyncMessage::Push { chain, block }));
            }
        }
        Ok(())
    }
}
