//! Completing chains: heads, and asking for what is behind them.

use super::compact::Parcel;
use super::join::Ended;
use super::limits::pause_ms;
use super::{ChainEffect, ChainLimit, ChainTimer, Desk, PublicChains, PublicError, PublicMessage, Pull, Standing};
use crate::sync::{self, IDS_MAX, PULL_MS, QUIET_MS, SAMPLE, SyncMessage, WAITS_MAX};
use walytis_core::{BlockId, ChainId, PeerId, chains, planted};

impl PublicChains {
    pub(super) fn tell_heads(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId) -> Result<(), PublicError> {
        let (heads, cut) = sync::heads_to_tell(desk.view, desk.rng, chain)?;
        if cut {
            self.reached(ChainLimit::Heads);
        }
        self.tell(desk, peer, &PublicMessage::Sync(SyncMessage::Heads { chain, heads }));
        Ok(())
    }

    /// Whether a peer may speak about a chain. Whoever names one knows it.
    pub(super) fn hears(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId) -> Result<bool, PublicError> {
        let lets_in = self
            .chains
            .get(&chain)
            .is_some_and(|followed| followed.standing != Standing::Leaving && followed.rules.lets_in(peer))
            && self.is_public(desk.view, chain)?;
        if lets_in {
            self.share(desk, peer, chain)?;
        } else {
            self.stray(desk, peer, chain);
        }
        Ok(lets_in)
    }

    pub(super) fn sync(&mut self, desk: &mut Desk<'_>, peer: PeerId, message: SyncMessage) -> Result<(), PublicError> {
        let chain = message.chain();
        if !self.hears(desk, peer, chain)? {
            return Ok(());
        }
        match message {
            SyncMessage::Heads { heads, .. } => self.heads_told(desk, peer, chain, heads),
            SyncMessage::Pull { have, .. } => self.serve(desk, peer, chain, &have),
            SyncMessage::More { .. } => self.asked_for_more(desk, peer, chain),
            SyncMessage::Compare { heads, compare, .. } => self.compare_with(desk, peer, chain, (&heads, &compare)),
            SyncMessage::Differ { differ, .. } => self.differs(desk, peer, chain, &differ),
            // The decoder lets none of these through: blocks are decoded apart from messages.
            SyncMessage::Portion { .. }
            | SyncMessage::Push { .. }
            | SyncMessage::WantAttachments { .. }
            | SyncMessage::Attachment { .. } => Ok(()),
        }
    }

    fn heads_told(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        heads: Vec<BlockId>,
    ) -> Result<(), PublicError> {
        if !self.may_ask(desk, peer, heads.len()) {
            return Ok(());
        }
        let mut ours = chains::latest_heads(desk.view, chain, IDS_MAX.saturating_add(1))?;
        self.worked(peer, ours.len());
        ours.sort_unstable();
        let mut all_known = true;
        for head in &heads {
            all_known &= chains::contains_on(desk.view, chain, *head)?;
        }
        self.inviter_told(peer, chain, &heads);
        // It lacks something that it was not told, or did not hear of.
        let differ = heads != ours && ours.len() <= IDS_MAX && heads.len() < IDS_MAX;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.announced.insert(chain, heads);
        }
        // What is new here was told when it came, so an answer too few is made up for in quiet.
        if all_known && differ && self.may_be_told(desk, peer, ours.len().saturating_mul(size_of::<BlockId>())) {
            self.worked(peer, ours.len());
            self.tell_heads(desk, peer, chain)?;
        }
        self.join_complete(desk, chain, Ended::GoesOn)?;
        // Whether anybody else has more was asked when they told.
        if all_known || planted!(PublicIgnoreHeads) { Ok(()) } else { self.pull_if_behind(desk, chain) }
    }

    /// Sets the timer of the exchange of heads with which quiet nodes make up for notices that were lost.
    pub(super) fn quiet_later(&self, desk: &mut Desk<'_>) {
        let after_ms = QUIET_MS.saturating_add(desk.rng.next_u64() % QUIET_MS);
        desk.out.push(ChainEffect::Timer { after_ms, timer: ChainTimer::Quiet });
    }

    pub(super) fn quiet(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        for chain in self.chains.keys().copied().collect::<Vec<_>>() {
            let peers = self.peers_of(chain);
            let count = u64::try_from(peers.len()).unwrap_or(u64::MAX).max(1);
            let chosen = usize::try_from(desk.rng.next_u64() % count).unwrap_or_default();
            if let Some(peer) = peers.get(chosen) {
                self.tell_heads(desk, *peer, chain)?;
            }
        }
        self.quiet = false;
        self.ask_for_space_again(desk);
        Ok(())
    }

    /// The connected peers with which a chain is shared.
    pub(super) fn peers_of(&self, chain: ChainId) -> Vec<PeerId> {
        let sharing = self.peers.iter().filter(|(_, known)| known.shared.contains(&chain));
        sharing.map(|(peer, _)| *peer).collect()
    }

    /// Starts an exchange with a peer that told of heads that are not here, unless one is under way.
    pub(super) fn pull_if_behind(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        if self.waiting.contains(&chain) {
            return Ok(());
        }
        self.pull_from_who_is_ahead(desk, chain)
    }

    /// As [`PublicChains::pull_if_behind`], even while some author is made to wait.
    pub(super) fn pull_from_who_is_ahead(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        if self.pulls.contains_key(&chain) || self.is_full_for_all(chain) || desk.view.is_full() {
            return Ok(());
        }
        // What is asked for now may be here already.
        if self.orphans.has_free() {
            self.put_off.insert(chain);
            return Ok(());
        }
        match self.ahead(desk, chain, None)? {
            Some(peer) => self.pull(desk, chain, peer),
            None => Ok(()),
        }
    }

    /// A peer, not `but`, that told of heads that are not here. Whoever was asked longest ago is next, so that nobody keeps
    /// the others from being asked. Who has sent more than its share, or had more looked at, is asked later: an exchange that
    /// begins is no way around either.
    fn ahead(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        but: Option<PeerId>,
    ) -> Result<Option<PeerId>, PublicError> {
        let mut from: Option<(u64, PeerId)> = None;
        let (mut looks, mut later) = (0_usize, false);
        for peer in self.peers.keys().copied().filter(|peer| Some(*peer) != but).collect::<Vec<_>>() {
            let Some(known) = self.peers.get(&peer).filter(|known| known.announced.contains_key(&chain)) else {
                continue;
            };
            let turn = (known.pulled, peer);
            looks = looks.saturating_add(known.announced.get(&chain).map_or(0, Vec::len));
            if !self.has_more(desk, chain, peer)? {
                continue;
            }
            if self.may_send(desk, peer, chain) && self.may_have_work_done(desk, peer) {
                from = Some(from.map_or(turn, |first| first.min(turn)));
            } else {
                later = true;
            }
        }
        let from = from.map(|(_, peer)| peer);
        if let Some(peer) = from {
            self.worked(peer, looks);
        } else if later && self.paced.insert(chain) {
            desk.out.push(ChainEffect::Timer { after_ms: pause_ms(1), timer: ChainTimer::Paced { chain } });
        }
        Ok(from)
    }

    /// A peer that had sent more than its share, or had more looked at, may have some again.
    pub(super) fn pull_paced(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Result<(), PublicError> {
        self.paced.remove(&chain);
        self.pull_if_behind(desk, chain)
    }

    /// Whether a peer told of heads that are not here.
    pub(super) fn has_more(&self, desk: &Desk<'_>, chain: ChainId, peer: PeerId) -> Result<bool, PublicError> {
        // What waits behind an author that has had its share need not come once more.
        let waits =
            |id| if self.waiting.contains(&chain) { self.orphans.contains(id) } else { self.orphans.is_held(id) };
        let told = self.peers.get(&peer).and_then(|known| known.announced.get(&chain));
        for head in told.map(Vec::as_slice).unwrap_or_default() {
            if !chains::contains_on(desk.view, chain, *head)? && !waits(*head) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn pull(&mut self, desk: &mut Desk<'_>, chain: ChainId, peer: PeerId) -> Result<(), PublicError> {
        if self.compare(desk, chain, peer)? { Ok(()) } else { self.pull_above_sample(desk, chain, peer) }
    }

    /// Asks for what is above some blocks that are here: for everything, if there are none.
    pub(super) fn pull_above_sample(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        peer: PeerId,
    ) -> Result<(), PublicError> {
        let mut have = chains::sample(desk.view, chain, SAMPLE)?;
        self.worked(peer, have.len());
        // What it told of and is here: neither that nor what is below has to come.
        let told = self.peers.get(&peer).and_then(|known| known.announced.get(&chain)).cloned().unwrap_or_default();
        for head in told {
            if have.len() < IDS_MAX && !have.contains(&head) && chains::contains_on(desk.view, chain, head)? {
                have.push(head);
            }
        }
        self.tell(desk, peer, &PublicMessage::Sync(SyncMessage::Pull { chain, have }));
        let first = self.exchanges.wrapping_add(1);
        let below = self.lacks_room_for_below(desk, chain, peer);
        let pull = Pull { peer, exchange: first, first, waits: 0, gained: false, known: 0, paused: false, below };
        self.await_portion(desk, chain, pull);
        desk.out.push(ChainEffect::Timer { after_ms: PULL_MS, timer: ChainTimer::PullTurn { chain, first } });
        Ok(())
    }

    pub(super) fn await_portion(&mut self, desk: &mut Desk<'_>, chain: ChainId, mut pull: Pull) {
        self.exchanges = self.exchanges.wrapping_add(1);
        let exchange = self.exchanges;
        pull.exchange = exchange;
        if let Some(known) = self.peers.get_mut(&pull.peer) {
            known.pulled = exchange;
        }
        let timer = if pull.paused {
            ChainTimer::More { peer: pull.peer, chain, exchange }
        } else {
            Self::tell_more(desk, &pull, chain);
            ChainTimer::Pull { chain, exchange }
        };
        let after_ms = if pull.paused { pause_ms(1) } else { PULL_MS };
        self.pulls.insert(chain, pull);
        desk.out.push(ChainEffect::Timer { after_ms, timer });
    }

    /// Asks for the next portion, unless it is the first, which was asked for by the pull itself.
    fn tell_more(desk: &mut Desk<'_>, pull: &Pull, chain: ChainId) {
        if pull.exchange != pull.first {
            let frame = PublicMessage::Sync(SyncMessage::More { chain }).frame();
            desk.out.push(ChainEffect::SendAtOnce { peer: pull.peer, frame });
        }
    }

    /// A peer that had sent more than its share is asked to go on, if it has some again.
    pub(super) fn more_later(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId, exchange: u64) {
        let Some(pull) = self.pulls.get(&chain).filter(|pull| pull.exchange == exchange && pull.peer == peer) else {
            return;
        };
        let (first, gained, known, below) = (pull.first, pull.gained, pull.known, pull.below);
        let paused = !self.may_send(desk, peer, chain);
        self.await_portion(desk, chain, Pull { peer, exchange, first, waits: 0, gained, known, paused, below });
    }

    pub(super) fn pull_timed_out(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        exchange: u64,
    ) -> Result<(), PublicError> {
        let Some(pull) = self.pulls.get_mut(&chain).filter(|pull| pull.exchange == exchange) else { return Ok(()) };
        let peer = pull.peer;
        pull.waits = pull.waits.saturating_add(1);
        let waits = pull.waits;
        if waits < WAITS_MAX && self.ahead(desk, chain, Some(peer))?.is_none() {
            desk.out.push(ChainEffect::Timer { after_ms: PULL_MS, timer: ChainTimer::Pull { chain, exchange } });
            return Ok(());
        }
        if waits >= WAITS_MAX {
            self.reached(ChainLimit::Waits);
        }
        self.pulls.remove(&chain);
        // It does not answer: what it told is worth nothing until it tells again. That of a join's inviter is: when somebody
        // else has had a turn, it is asked again.
        let invites = self.joins.get(&chain).is_some_and(|join| join.receives_from(peer));
        if let Some(known) = self.peers.get_mut(&peer).filter(|_| !invites) {
            known.announced.remove(&chain);
        }
        self.pull_if_behind(desk, chain)
    }

    /// An exchange has gone on for a while. If somebody else has news, too, it is asked: nobody holds a chain's only
    /// exchange for ever. An honest peer gets its turn again, and goes on from what is here then.
    pub(super) fn pull_turn(&mut self, desk: &mut Desk<'_>, chain: ChainId, first: u64) -> Result<(), PublicError> {
        let Some(pull) = self.pulls.get(&chain).filter(|pull| pull.first == first) else { return Ok(()) };
        match self.ahead(desk, chain, Some(pull.peer))? {
            Some(other) => {
                self.pulls.remove(&chain);
                self.pull(desk, chain, other)
            }
            None => {
                desk.out.push(ChainEffect::Timer { after_ms: PULL_MS, timer: ChainTimer::PullTurn { chain, first } });
                Ok(())
            }
        }
    }

    /// New blocks, one or some that became durable at a peer together.
    pub(super) fn pushed(
        &mut self,
        desk: &mut Desk<'_>,
        peer: PeerId,
        chain: ChainId,
        blocks: &Parcel<'_>,
    ) -> Result<(), PublicError> {
        if desk.view.is_full() || !self.may_send(desk, peer, chain) {
            // They are asked for later, at our pace.
            if !desk.view.is_full() {
                self.reached(ChainLimit::PeerBytes);
            }
            // One that is not here has it asked for all; no more is unpacked than is noted.
            for block in blocks.unpack().flatten() {
                if !self.owes(peer, chain, walytis_core::Header::id_of(&block.header)) {
                    break;
                }
            }
            // If that is to wait, the timer is set once.
            return if self.paced.contains(&chain) { Ok(()) } else { self.pull_if_behind(desk, chain) };
        }
        let Ok(contents) = blocks.check() else {
            self.misbehaved(desk, peer);
            return Ok(());
        };
        self.has_sent(desk, peer, chain, contents.bytes);
        self.take_in(desk, peer, chain, blocks).map(|_| ())
    }
}
