//! Public chains: whoever knows a chain's id may read it, and whoever follows it may append to it.
//!
//! [`PublicChains`] is a pure state machine without a store of its own: it reads and writes through the [`Desk`] that its
//! host gives it with each call, and says there what it wants done. [`Engine`](crate::Engine) hosts it alone; the engine of
//! a layer above hosts it beside what it does itself, over the same store and the same connections.
//!
//! **Invariant:** whether a block enters the set is decided by the block and its ancestors alone. Rules and limits of a
//! node delay a block, or keep it from being shown.
//! **Invariant:** a chain's id is told to nobody who has not shown that it knows it.

mod accept;
mod archive;
mod code;
mod command;
mod compact;
mod compare;
mod connect;
mod delivery;
mod early;
mod entry;
mod event;
mod exchange;
mod greeting;
mod import;
mod invite;
mod join;
mod kind;
mod limits;
mod merit;
mod message;
mod portion;
mod publish;
mod reading;
mod records;
mod room;
mod serve;
mod shares;
mod subscribers;
mod timer;
mod upload;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_core::CryptoRng;

pub use archive::{
    ARCHIVE_BLOCK_BYTES_MAX, ARCHIVE_HEAD_BYTES, ARCHIVE_MAGIC, ARCHIVE_VERSION, ArchiveAnswer, ArchiveCommand,
    ArchiveError, ArchiveHead, ArchiveKind, ArchiveReader, Archived, ImportError, archived,
};
pub use code::{ChainCode, ChainInviter, CodeError};
pub use delivery::{
    DeliveryAnswer, DeliveryCommand, DeliveryError, LETTERS_MAX, Letter, REASON_BYTES_MAX, SUBSCRIPTIONS_MAX, Start,
    SubscriptionSummary,
};
pub use entry::{ChainEntry, ChainName, ChainPage, KeptChain};
pub use event::{
    ChainAnswer, ChainCommand, ChainDetails, ChainEffect, ChainInvitation, ChainPeer, ChainRoom, ChainSummary,
    Equivocation, PublicError, Rule, Sharing, Standing,
};
pub use kind::{Misfiled, misfiled};
pub use limits::{
    AUTHORS_COUNTED_MAX, CHAINS_MAX, ChainLimit, EQUIVOCATIONS_MAX, LISTED_MAX, Limits, LimitsReached,
    ORPHAN_BYTES_MAX, PEERS_MAX, PUBLIC_BYTES_MAX,
};
pub use message::{ADDRESSES_MAX, FRAME_KIND, JoinRefusal, PublicMessage};
pub use timer::ChainTimer;

use crate::sync::WireBlock;
use crate::{Orphans, Ticket};
use connect::Dials;
use greeting::Decoys;
use join::Joining;
use limits::{Budget, SHOWN_WORK, STRANGERS_WORK};
use message::Received;
use portion::Arrived;
use records::Followed;
use room::Space;
use shares::{Gone, Shares};
use upload::Uploads;
use walytis_core::{
    Address, AuthorKey, BatchNumber, BlockId, ChainError, ChainId, Draft, Merit, PeerId, Pending, Timestamp,
    VerifiedBlock, Workers, planted,
};

use crate::crew::Crew;
use walytis_core::chains::Difference;

/// What a public chain's genesis holds: version 1, and 0: anybody may append.
const GENESIS: [u8; 2] = [1, 0];

/// What each call needs: the view, the time, randomness, and where to say what is to be done.
pub struct Desk<'a> {
    /// The store and what is on its way there.
    pub view: &'a mut Pending,
    /// The wall clock's reading.
    pub now: Timestamp,
    /// Fresh randomness.
    pub rng: &'a mut dyn CryptoRng,
    /// What is to be done, in order.
    pub out: &'a mut Vec<ChainEffect>,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("now", &self.now).finish_non_exhaustive()
    }
}

/// A connected peer.
struct Peer {
    /// The chains of which it has shown that it knows them, and that are followed here.
    shared: BTreeSet<ChainId>,
    /// The heads that it told last, by chain.
    announced: BTreeMap<ChainId, Vec<BlockId>>,
    /// What it is being sent: ranges of positions still to come.
    transfers: BTreeMap<ChainId, VecDeque<(u64, u64)>>,
    /// The number of the last exchange with it.
    pulled: u64,
    /// What is being looked for of what it lacks, with a number for the timer.
    searches: BTreeMap<ChainId, (u64, Difference)>,
    /// What it may still send and ask for.
    shares: Shares,
    /// What the network was told that it has earned.
    merit: Merit,
    strays: u32,
    /// Chains of which it sent more blocks that wait than are held.
    crowded: BTreeSet<ChainId>,
    /// Where it can be dialled.
    addresses: Vec<Address>,
    /// Where it was reached, if this node dialled it.
    reached: Option<Address>,
}

/// The exchange by which a chain is being completed. There is one at a time for a chain.
#[derive(Clone, Copy)]
struct Pull {
    peer: PeerId,
    /// The number of the portion that is awaited.
    exchange: u64,
    /// The number of the first one.
    first: u64,
    /// How often the portion that is awaited has been waited for anew.
    waits: u32,
    /// Whether it has brought anything new so far.
    gained: bool,
    /// How many blocks it has brought that were here already.
    known: u64,
    /// Whether the next portion is asked for only when the peer's share allows it.
    paused: bool,
    /// Whether it is for what is below a block that waits, and does not fit where blocks wait: see
    /// [`PublicChains::is_below`].
    below: bool,
}

/// A block that has just entered the set, and who sent it.
struct Fresh {
    chain: ChainId,
    id: BlockId,
    from: Option<PeerId>,
}

/// A chain that is being removed.
struct Sweep {
    ticket: Option<Ticket>,
    blocks: u64,
}

/// The public chains of a node. See the module's documentation.
pub struct PublicChains {
    me: PeerId,
    chains: BTreeMap<ChainId, Followed>,
    /// Rows whose ids turned out to be private chains'. Nothing is done under them but that their removal is waited for.
    misfiled: BTreeMap<ChainId, Followed>,
    /// The number of the next chain's row.
    next_number: u32,
    peers: BTreeMap<PeerId, Peer>,
    /// What is left of the shares of those that were connected.
    gone: Gone,
    /// What strangers may still ask for, all together.
    strangers: Budget,
    /// What invitations that are shown may still take, of all peers together.
    shown: Budget,
    /// What peers are sent, all together.
    uploads: Uploads,
    /// Room for what others write.
    space: Space,
    joins: BTreeMap<ChainId, Joining>,
    sweeps: BTreeMap<ChainId, Sweep>,
    pulls: BTreeMap<ChainId, Pull>,
    /// What pulls compare.
    comparing: BTreeMap<ChainId, compare::Comparing>,
    exchanges: u64,
    /// How many searches for what a peer lacks there were.
    searched: u64,
    /// Chains of which somebody has more who has had its share: the timer is set.
    paced: BTreeSet<ChainId>,
    /// Portions that have come and are taken in in the next step.
    arrived: BTreeMap<ChainId, Arrived>,
    /// Blocks that wait: for their parents, or, by authors that are not taken, for somebody to build on them.
    orphans: Orphans<(ChainId, VerifiedBlock)>,
    /// What each author may still write, by chain.
    authors: BTreeMap<(ChainId, AuthorKey), Budget>,
    /// Chains of which some author is made to wait.
    waiting: BTreeSet<ChainId>,
    /// Chains that are full.
    full: BTreeSet<ChainId>,
    /// How many blocks have come that were here already.
    repeats: u64,
    /// How many blocks this step has taken in that had waited.
    freed: u32,
    /// Whether the timer of those that this step left is set.
    settling: bool,
    /// Chains of which nothing is asked for until blocks that wait for nothing any more have been taken in.
    put_off: BTreeSet<ChainId>,
    announcing: BTreeSet<(PeerId, ChainId)>,
    /// Blocks of our own that are not durable yet, and the batches that they are in.
    unpushed: VecDeque<(BatchNumber, ChainId, WireBlock)>,
    subscriptions: BTreeMap<Ticket, ChainId>,
    /// Those of them that have a name.
    live: BTreeMap<Ticket, subscribers::Live>,
    fresh: Vec<Fresh>,
    /// Chains whose exchange ended because its peer did: somebody else is asked at the step's end.
    stalled: BTreeSet<ChainId>,
    dials: Dials,
    /// What fills greetings.
    decoys: Decoys,
    /// The addresses on which this node can be dialled.
    listening: Vec<Address>,
    online: bool,
    /// Whether the timer of the exchange in quiet is set.
    quiet: bool,
    begun: bool,
    limits: LimitsReached,
    /// Ids whose genesis came in this step and is no public chain's.
    unmasked: BTreeSet<ChainId>,
    /// Ids that were claimed in this run, and of which nothing came.
    given_up: BTreeSet<ChainId>,
    /// Blocks of a newer format that were refused.
    newer: BTreeMap<ChainId, u64>,
    crew: Crew,
}

impl std::fmt::Debug for PublicChains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicChains")
            .field("chains", &self.chains.len())
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

/// Whether a block founds a public chain.
#[must_use]
pub fn is_public_genesis(block: &walytis_core::ParsedBlock) -> bool {
    block.header().genesis.is_some()
        && block.header().kind == walytis_core::BlockKind::Content
        && block.content() == GENESIS.as_slice()
}

/// The chains whose removal has begun and is not done: what is left of them is no chain.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn leaving(view: &Pending) -> Result<BTreeSet<ChainId>, ChainError> {
    let (chains, _) = records::load(view)?;
    let (chains, _) = kind::sorted(view, chains)?;
    Ok(chains.into_values().filter(|chain| chain.standing == Standing::Leaving).map(|chain| chain.id).collect())
}

impl PublicChains {
    /// The public chains of a store, for the node that the transport knows by this key. `listening` are the addresses at
    /// which it could be reached last.
    ///
    /// # Errors
    /// [`ChainError`] if the store fails.
    pub fn open(view: &Pending, me: PeerId, listening: Vec<Address>) -> Result<Self, ChainError> {
        let (chains, next_number) = records::load(view)?;
        let (chains, misfiled) = kind::sorted(view, chains)?;
        let mut sweeps = BTreeMap::new();
        let goes_on = |chain: &&Followed| chain.standing == Standing::Leaving && !planted!(ForgetRemoval);
        for chain in chains.values().filter(goes_on) {
            let blocks = walytis_core::chains::length(view, chain.id)?;
            sweeps.insert(chain.id, Sweep { ticket: None, blocks });
        }
        Ok(Self {
            me,
            chains,
            misfiled,
            next_number,
            peers: BTreeMap::new(),
            gone: Gone::default(),
            strangers: Budget::full(STRANGERS_WORK, Timestamp(0)),
            shown: Budget::full(SHOWN_WORK, Timestamp(0)),
            uploads: Uploads::new(),
            space: Space::new(),
            joins: BTreeMap::new(),
            sweeps,
            pulls: BTreeMap::new(),
            comparing: BTreeMap::new(),
            exchanges: 0,
            searched: 0,
            paced: BTreeSet::new(),
            arrived: BTreeMap::new(),
            orphans: Orphans::bounded(ORPHAN_BYTES_MAX),
            authors: BTreeMap::new(),
            waiting: BTreeSet::new(),
            full: BTreeSet::new(),
            repeats: 0,
            freed: 0,
            settling: false,
            put_off: BTreeSet::new(),
            announcing: BTreeSet::new(),
            unpushed: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            live: BTreeMap::new(),
            fresh: Vec::new(),
            stalled: BTreeSet::new(),
            dials: Dials::default(),
            decoys: Decoys::load(view)?,
            listening,
            online: false,
            quiet: false,
            begun: false,
            limits: LimitsReached::new(),
            unmasked: BTreeSet::new(),
            given_up: BTreeSet::new(),
            newer: BTreeMap::new(),
            crew: Crew::default(),
        })
    }

    /// Whether the removal of a chain was cut short and is to go on.
    #[must_use]
    pub fn removes(&self) -> bool {
        !self.sweeps.is_empty()
    }

    /// Leaves removals that were cut short as they are, until another chain is removed, there is room again or the store is opened anew: where
    /// there is no room for their first step, the rest can be used.
    pub fn put_off_removals(&mut self) {
        self.begun = true;
    }

    /// Asked before the first step: whether they were left as they are, so that nothing is written that need not be.
    #[must_use]
    pub const fn are_removals_put_off(&self) -> bool {
        self.begun
    }

    /// Lets others verify signatures. Without this call one is verified after the other.
    pub fn employ(&mut self, workers: Arc<dyn Workers>) {
        self.crew = Crew(workers);
    }

    /// Gives a timer back.
    ///
    /// # Errors
    /// Only the store's.
    pub fn timer(&mut self, desk: &mut Desk<'_>, timer: ChainTimer) -> Result<(), PublicError> {
        match timer {
            ChainTimer::Redial { target, attempt } => {
                self.redial(desk, target, attempt);
                Ok(())
            }
            ChainTimer::Quiet => self.quiet(desk),
            ChainTimer::Announce => self.announce(desk),
            ChainTimer::Pull { chain, exchange } => self.pull_timed_out(desk, chain, exchange),
            ChainTimer::PullTurn { chain, first } => self.pull_turn(desk, chain, first),
            ChainTimer::More { peer, chain, exchange } => {
                self.more_later(desk, peer, chain, exchange);
                Ok(())
            }
            ChainTimer::Paced { chain } => self.pull_paced(desk, chain),
            ChainTimer::Search { peer, chain, number } => self.search(desk, peer, chain, number),
            ChainTimer::Serve => self.serve_waiting(desk),
            ChainTimer::DialOn { chain } => {
                self.dial_on(desk, chain);
                Ok(())
            }
            ChainTimer::Arrived { chain } => self.take_arrived(desk, chain),
            ChainTimer::Resume { chain } => self.resume(desk, chain),
            ChainTimer::Settle => self.settle(desk),
            ChainTimer::Join { chain, seen } => {
                self.join_timed_out(desk, chain, seen);
                Ok(())
            }
            ChainTimer::Sweep => self.sweep(desk),
        }
    }

    /// A frame of a peer, without its kind. What a peer sends cannot fail: [`ChainEffect::Misbehaved`] says that it is no
    /// honest one.
    ///
    /// # Errors
    /// Only the store's.
    pub fn frame(&mut self, desk: &mut Desk<'_>, peer: PeerId, bytes: &[u8]) -> Result<(), PublicError> {
        if !self.is_read(desk, peer, bytes) {
            return Ok(());
        }
        match Received::decode(bytes) {
            Ok(message) => self.received(desk, peer, message),
            // Of a newer program: what it says so is for others, and no sign of bad faith.
            Err(error) if error.is_newer() => Ok(()),
            Err(_) => {
                self.misbehaved(desk, peer);
                Ok(())
            }
        }
    }

    fn message(&mut self, desk: &mut Desk<'_>, peer: PeerId, message: PublicMessage) -> Result<(), PublicError> {
        match message {
            PublicMessage::Greeting { marks } => self.greeted(desk, peer, &marks),
            PublicMessage::Addresses { addresses } => {
                self.addresses_told(desk, peer, addresses);
                Ok(())
            }
            PublicMessage::Join { chain, proof } => self.asked_to_admit(desk, peer, chain, proof),
            PublicMessage::Joined { chain } => self.joined(desk, peer, chain),
            PublicMessage::Refused { chain, reason } => {
                self.join_refused(desk, peer, chain, reason);
                Ok(())
            }
            PublicMessage::Sync(sync) => self.sync(desk, peer, sync),
            // Blocks are decoded apart from messages.
            PublicMessage::Pushed { .. } => Ok(()),
        }
    }

    /// The store has room again: everybody is asked for what was not taken, and removals that were left as they are go on.
    pub fn room_again(&mut self) {
        // The end of this step sets their timer.
        self.begun = self.sweeps.is_empty();
        self.stalled.extend(self.chains.keys().copied());
    }

    /// The end of each step: tells of what has just entered the set, and writes what has changed.
    ///
    /// # Errors
    /// Only the store's.
    pub fn finish(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        // Without room nothing begins: see `register`.
        if !desk.view.is_full() && !std::mem::replace(&mut self.begun, true) && !self.sweeps.is_empty() {
            desk.out.push(ChainEffect::Timer { after_ms: 0, timer: ChainTimer::Sweep });
        }
        self.ask_for_space_once(desk);
        for chain in std::mem::take(&mut self.stalled) {
            self.pull_if_behind(desk, chain)?;
        }
        self.forget_comparisons();
        self.publish(desk)?;
        self.end_false_joins(desk)?;
        if self.online && !self.chains.is_empty() && !std::mem::replace(&mut self.quiet, true) {
            self.quiet_later(desk);
        }
        self.settle_later(desk);
        for chain in self.chains.values_mut() {
            chain.write(desk.view);
        }
        Ok(())
    }

    /// The tickets of all commands that wait for something else than a commit: the host answers them when it stops.
    pub fn take_waiting(&mut self) -> Vec<Ticket> {
        let joins = std::mem::take(&mut self.joins).into_values().map(|join| join.ticket);
        let sweeps = std::mem::take(&mut self.sweeps).into_values().filter_map(|sweep| sweep.ticket);
        joins.chain(sweeps).collect()
    }

    /// How often each limit was reached since this was opened.
    #[must_use]
    pub const fn limits_reached(&self) -> &LimitsReached {
        &self.limits
    }

    /// How many bytes of memory the blocks take that wait for their parents: at most
    /// [`ORPHAN_BYTES_PER_PEER_MAX`](crate::ORPHAN_BYTES_PER_PEER_MAX) a connected peer, and [`ORPHAN_BYTES_MAX`] in all.
    #[must_use]
    pub fn orphan_bytes(&self) -> usize {
        self.orphans.bytes()
    }

    fn reached(&mut self, limit: ChainLimit) {
        let times = self.limits.entry(limit).or_default();
        *times = times.saturating_add(1);
    }

    fn tell(&self, desk: &mut Desk<'_>, peer: PeerId, message: &PublicMessage) {
        desk.out.push(ChainEffect::Send { peer, frame: message.frame() });
    }

    /// The draft of a block of ours behind a chain's heads.
    fn draft(
        view: &Pending,
        chain: ChainId,
        author: AuthorKey,
        topics: Vec<Vec<u8>>,
        content: Vec<u8>,
    ) -> Result<Draft, ChainError> {
        let place = walytis_core::chains::next_place(view, chain, author)?;
        Ok(Draft { kind: walytis_core::BlockKind::Content, place, foreign: Vec::new(), topics, content })
    }
}
