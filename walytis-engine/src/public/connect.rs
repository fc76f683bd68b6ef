//! Reaching those who follow the same chains: dialling, dialling again, greetings, and what peers say about where they
//! are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::greeting::greeting;
use super::limits::{Budget, CHAINS_MAX, Pace};
use super::message::{ADDRESSES_MAX, mark};
use super::records::{Meeting, Proof};
use super::{ChainEffect, ChainTimer, Desk, Followed, Peer, PublicChains, PublicError, PublicMessage, Standing};
use crate::Target;
use walytis_core::{Address, ChainId, Dialer, Hash, KnownPeer, Merit, PeerId, planted};

/// The first pause before a peer is dialled again; it doubles up to [`REDIAL_MS_MAX`].
const REDIAL_MS: u64 = 500;
/// The longest pause: a peer that comes back is usually the one who dials.
const REDIAL_MS_MAX: u64 = 60_000;
/// How many peers of a chain are dialled at once when the network is there, and again each [`DIAL_ON_MS`] as long as nobody
/// is reached for whom a place is kept. Those that follow it beside them are only heard.
const DIALLED_MAX: usize = 8;
/// How long it is waited whether one of those that were dialled shares the chain.
const DIAL_ON_MS: u64 = 10_000;

/// How many marks of a greeting are read for one look of its sender's share of work.
const MARKS_A_LOOK: usize = 8;

/// After how many tries in vain the network is asked whether a peer is elsewhere by now.
const TRIES_BEFORE_FINDING: u32 = 2;
/// How many strangers that are near are dialled at once; one more each minute. They may follow what we follow, and cost
/// a connection of half a minute if they do not.
const STRANGERS: Pace = Pace { burst: 16 * STRANGER_COST, per_second: 1 };
const STRANGER_COST: u64 = 60;

/// Who is dialled again, and when.
#[derive(Default)]
pub(super) struct Dials {
    targets: BTreeMap<Target, (u32, u64)>,
    attempts: u64,
    /// Who is dialled next, by chain, if nobody for whom a place is kept is reached.
    later: BTreeMap<ChainId, VecDeque<PeerId>>,
    /// Addresses that a person gave, and the peer that was found there last.
    given: BTreeMap<Address, Option<PeerId>>,
    /// How many strangers may still be dialled.
    strangers: Option<Budget>,
}

impl Dials {
    pub(super) fn forget_chain(&mut self, chain: ChainId) {
        self.later.remove(&chain);
    }
}

impl PublicChains {
    /// The network is there.
    pub fn online(&mut self, desk: &mut Desk<'_>) {
        self.online = true;
        self.value_all(desk);
        let mut peers = BTreeSet::new();
        for chain in self.chains.keys().copied().collect::<Vec<_>>() {
            let order = self.dialling_order(desk, chain);
            self.dials.later.insert(chain, order);
            peers.extend(self.next_to_dial(desk, chain));
        }
        for peer in peers {
            self.dial_peer(desk, peer);
        }
        for chain in self.joins.keys().copied().collect::<Vec<_>>() {
            self.dial_inviters(desk, chain);
        }
    }

    /// In which order the peers of a chain are dialled whose addresses are known. First some of those for whom a place is
    /// kept, the ones seen last; then, drawn anew at each start, whoever else has proven itself, and at last strangers. So
    /// nobody has itself dialled before the others by being there last, or by bringing a block.
    fn dialling_order(&self, desk: &mut Desk<'_>, chain: ChainId) -> VecDeque<PeerId> {
        let Some(followed) = self.chains.get(&chain).filter(|chain| chain.standing != Standing::Leaving) else {
            return VecDeque::new();
        };
        let kept = followed.kept();
        let reachable = followed.peers.iter().filter(|known| !known.addresses.is_empty() && known.peer != self.me);
        let mut known: Vec<_> = reachable.collect();
        known.sort_by_key(|known| (!kept.contains(&known.peer), std::cmp::Reverse(known.last_seen_ms)));
        let first = known.iter().take_while(|known| kept.contains(&known.peer)).take(DIALLED_MAX / 2).count();
        let mut rest: Vec<_> = known.split_off(first).into_iter().map(|known| (known, desk.rng.next_u64())).collect();
        rest.sort_by_key(|(known, drawn)| (known.proof == Proof::None, *drawn));
        known.into_iter().chain(rest.into_iter().map(|(known, _)| known)).map(|known| known.peer).collect()
    }

    /// Some more of a chain's peers, which are then dialled. If there are more of them, a timer is set.
    fn next_to_dial(&mut self, desk: &mut Desk<'_>, chain: ChainId) -> Vec<PeerId> {
        let Some(later) = self.dials.later.get_mut(&chain) else { return Vec::new() };
        let next = later.drain(..later.len().min(DIALLED_MAX)).collect();
        if later.is_empty() {
            self.dials.later.remove(&chain);
        } else {
            let timer = ChainTimer::DialOn { chain };
            desk.out.push(ChainEffect::Timer { after_ms: DIAL_ON_MS, timer });
        }
        next
    }

    /// Goes on with a chain's other peers, unless somebody was reached for whom a place is kept: whoever knows the chain's id
    /// shares it, and may have nothing to give.
    pub(super) fn dial_on(&mut self, desk: &mut Desk<'_>, chain: ChainId) {
        let kept = self.chains.get(&chain).map(Followed::kept).unwrap_or_default();
        if self.peers_of(chain).iter().any(|peer| kept.contains(peer)) {
            self.dials.later.remove(&chain);
            return;
        }
        for peer in self.next_to_dial(desk, chain) {
            let under_way = self.dials.targets.contains_key(&Target::Peer(peer));
            if !under_way && !self.peers.contains_key(&peer) {
                self.dial_peer(desk, peer);
            }
        }
    }

    /// The node accepts connections at these addresses. Who shares a chain is told, if one of them is new.
    pub fn listening(&mut self, desk: &mut Desk<'_>, addresses: &[Address]) {
        let before = std::mem::replace(&mut self.listening, addresses.to_vec());
        if addresses.iter().all(|address| before.contains(address)) {
            return;
        }
        let sharing = self.peers.iter().filter(|(_, known)| !known.shared.is_empty());
        for peer in sharing.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.tell_addresses(desk, peer);
        }
    }

    fn tell_addresses(&self, desk: &mut Desk<'_>, peer: PeerId) {
        if !self.listening.is_empty() {
            let addresses = Address::for_others(&self.listening, ADDRESSES_MAX);
            self.tell(desk, peer, &PublicMessage::Addresses { addresses });
        }
    }

    /// Connects to an address now, and again whenever the connection is lost.
    pub fn connect(&mut self, desk: &mut Desk<'_>, address: Address) {
        if self.online {
            desk.out.push(ChainEffect::Dial(address.clone()));
        }
        self.dials.given.insert(address.clone(), None);
        self.dial_later(desk, Target::Address(address));
    }

    fn addresses_of(&self, peer: PeerId) -> BTreeSet<Address> {
        let known = self.chains.values().flat_map(|chain| &chain.peers).filter(|known| known.peer == peer);
        known.flat_map(|known| known.addresses.iter().cloned()).collect()
    }

    fn dial_peer(&mut self, desk: &mut Desk<'_>, peer: PeerId) {
        let addresses = self.addresses_of(peer);
        if addresses.is_empty() || peer == self.me {
            return;
        }
        desk.out.extend(addresses.into_iter().map(ChainEffect::Dial));
        self.dial_later(desk, Target::Peer(peer));
    }

    /// Sets a timer to dial again, later each time, with jitter.
    fn dial_later(&mut self, desk: &mut Desk<'_>, target: Target) {
        self.dials.attempts = self.dials.attempts.wrapping_add(1);
        let attempt = self.dials.attempts;
        let (tries, last) = self.dials.targets.entry(target.clone()).or_insert((0, attempt));
        *last = attempt;
        let pause = REDIAL_MS.saturating_mul(1_u64.checked_shl(*tries).unwrap_or(u64::MAX)).min(REDIAL_MS_MAX);
        *tries = tries.saturating_add(1).min(16);
        let jitter = desk.rng.next_u64() % (pause / 4 + 1);
        let timer = ChainTimer::Redial { target, attempt };
        desk.out.push(ChainEffect::Timer { after_ms: pause.saturating_add(jitter), timer });
    }

    pub(super) fn redial(&mut self, desk: &mut Desk<'_>, target: Target, attempt: u64) {
        if self.dials.targets.get(&target).is_none_or(|(_, last)| *last != attempt) {
            return;
        }
        let peer = match &target {
            Target::Peer(peer) => Some(*peer),
            Target::Address(address) => address.peer(),
        };
        let addresses: Vec<Address> = match &target {
            Target::Peer(peer) => self.addresses_of(*peer).into_iter().collect(),
            Target::Address(address) => vec![address.clone()],
        };
        // Who is there, or follows none of our chains any more, is not dialled.
        if addresses.is_empty() || peer.is_some_and(|peer| self.peers.contains_key(&peer)) {
            self.dials.targets.remove(&target);
            return;
        }
        let tries = self.dials.targets.get(&target).map_or(0, |(tries, _)| *tries);
        if let (Target::Peer(peer), TRIES_BEFORE_FINDING..) = (&target, tries) {
            desk.out.push(ChainEffect::Find(*peer));
        }
        desk.out.extend(addresses.into_iter().map(ChainEffect::Dial));
        self.dial_later(desk, target);
    }

    /// This machine has lost an address, or got one: whoever is to be dialled again is dialled at once, and looked for, as
    /// he may have moved as well.
    pub fn addresses_changed(&mut self, desk: &mut Desk<'_>) {
        let targets: Vec<(Target, u64)> =
            self.dials.targets.iter().map(|(target, (_, last))| (target.clone(), *last)).collect();
        for (target, last) in targets {
            if let Some((tries, _)) = self.dials.targets.get_mut(&target) {
                *tries = 0;
            }
            if let Target::Peer(peer) = &target
                && !self.peers.contains_key(peer)
            {
                desk.out.push(ChainEffect::Find(*peer));
            }
            self.redial(desk, target, last);
        }
        for chain in self.joins.keys().copied().collect::<Vec<_>>() {
            self.dial_inviters(desk, chain);
        }
    }

    /// Somebody says that a peer is at an address. It is dialled if it shares a chain or is an inviter, and so are some
    /// others, if there is a chain that they might follow. Nothing is remembered of it before the peer has answered there:
    /// whoever says so could otherwise have us forget where it is.
    pub fn discovered(&mut self, desk: &mut Desk<'_>, address: &Address) {
        let Some(peer) = address.peer().filter(|peer| *peer != self.me && !self.peers.contains_key(peer)) else {
            return;
        };
        let known = self.joins.values().any(|join| join.invites(peer))
            || self.chains.values().any(|chain| chain.peers.iter().any(|known| known.peer == peer));
        let might_share = |chain: &Followed| chain.standing != Standing::Leaving && chain.rules.lets_in(peer);
        if !known && !self.chains.values().any(might_share) {
            return;
        }
        let now = desk.now;
        let strangers = self.dials.strangers.get_or_insert_with(|| Budget::full(STRANGERS, now));
        if known || strangers.spend(STRANGER_COST, STRANGERS, now) {
            desk.out.push(ChainEffect::Dial(address.clone()));
        }
    }

    /// What is remembered of peers.
    #[must_use]
    pub fn known_peers(&self) -> Vec<KnownPeer> {
        let mut peers: BTreeMap<PeerId, KnownPeer> = BTreeMap::new();
        for known in self.chains.values().flat_map(|chain| &chain.peers) {
            let entry = peers.entry(known.peer).or_insert_with(|| KnownPeer::new(known.peer));
            let (seen, addresses) = (Some(known.last_seen_ms), known.addresses.clone());
            entry.merge(KnownPeer { last_seen_ms: seen, addresses, ..KnownPeer::new(known.peer) });
        }
        for (peer, known) in &mut peers {
            known.connected = self.peers.get(peer).is_some_and(|connected| !connected.shared.is_empty());
            known.given = self.dials.given.values().any(|found| found.as_ref() == Some(peer));
        }
        peers.into_values().collect()
    }

    /// Dialling an address did not work.
    pub fn dial_failed(&mut self, desk: &mut Desk<'_>, address: &Address) {
        self.inviter_failed(desk, address);
        let connected = !self.peers.is_empty();
        for followed in self.chains.values_mut() {
            followed.not_reached(desk.view, address, connected);
        }
    }

    /// A peer can be sent frames. It is greeted, if there is anything to tell.
    pub fn connected(&mut self, desk: &mut Desk<'_>, peer: PeerId, dialer: Dialer, address: Option<&Address>) {
        self.dials.targets.remove(&Target::Peer(peer));
        let reached = address.filter(|_| dialer == Dialer::Us);
        if let Some(reached) = reached {
            for (given, found) in &mut self.dials.given {
                let rest = reached.as_str().strip_prefix(given.as_str());
                if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("/p2p/")) {
                    *found = Some(peer);
                    self.dials.targets.remove(&Target::Address(given.clone()));
                }
            }
        }
        let before = self.peers.remove(&peer).map(|known| known.shares);
        let shares = before.unwrap_or_else(|| self.shares_of_newcomer(desk, peer));
        let known = Peer {
            shared: BTreeSet::new(),
            announced: BTreeMap::new(),
            transfers: BTreeMap::new(),
            pulled: 0,
            searches: BTreeMap::new(),
            shares,
            merit: Merit::Stranger,
            strays: 0,
            crowded: BTreeSet::new(),
            addresses: reached.filter(|address| address.peer() == Some(peer)).cloned().into_iter().collect(),
            reached: reached.cloned(),
        };
        self.peers.insert(peer, known);
        self.value(desk, peer);
        for followed in self.chains.values_mut() {
            followed.was_here(desk.view, peer, desk.now);
        }
        self.greet(desk, peer);
        self.ask_inviter(desk, peer);
    }

    /// Tells a peer the marks of our chains, among others that mean nothing: so it learns no number of chains. Who has private
    /// groups alone says nothing.
    pub(super) fn greet(&mut self, desk: &mut Desk<'_>, peer: PeerId) {
        if self.chains.is_empty() {
            return;
        }
        let secret = self.decoys.secret(desk);
        let ours = self.chains.values();
        let ours = ours.filter(|chain| chain.standing != Standing::Leaving && chain.rules.lets_in(peer));
        let marks = greeting(self.me, peer, ours.map(|chain| chain.id), &secret);
        self.tell(desk, peer, &PublicMessage::Greeting { marks });
    }

    /// Tells all peers the marks of our chains: there is a new one.
    pub(super) fn greet_all(&mut self, desk: &mut Desk<'_>) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.greet(desk, peer);
        }
    }

    pub(super) fn greeted(&mut self, desk: &mut Desk<'_>, peer: PeerId, told: &[Hash]) -> Result<(), PublicError> {
        // Each chain of ours costs a hash, which is looked up among those told; these were read to see that they are in order.
        let looks = if told.is_empty() { 0 } else { self.chains.len().saturating_add(told.len() / MARKS_A_LOOK) };
        if !self.may_ask(desk, peer, looks.saturating_add(1)) || told.is_empty() {
            return Ok(());
        }
        let ours: Vec<ChainId> = self.chains.keys().copied().collect();
        for chain in ours {
            let lets_in = self
                .chains
                .get(&chain)
                .is_some_and(|followed| followed.standing != Standing::Leaving && followed.rules.lets_in(peer))
                && self.is_public(desk.view, chain)?;
            if lets_in && told.binary_search(&mark(peer, self.me, chain)).is_ok() {
                self.share(desk, peer, chain)?;
            }
        }
        Ok(())
    }

    /// A peer has shown that it knows a chain that is followed here: heads are exchanged, once a connection.
    pub(super) fn share(&mut self, desk: &mut Desk<'_>, peer: PeerId, chain: ChainId) -> Result<(), PublicError> {
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        if !known.shared.insert(chain) {
            return Ok(());
        }
        let (first, addresses) = (known.shared.len() == 1, known.addresses.clone());
        if let Some(followed) = self.chains.get_mut(&chain) {
            followed.learn(desk.view, peer, &addresses, Meeting { peers: &self.peers, now: desk.now });
        }
        if first {
            self.tell_addresses(desk, peer);
        }
        if planted!(PublicSilentShare) { Ok(()) } else { self.tell_heads(desk, peer, chain) }
    }

    /// A peer says that it does not follow a chain, or does not let us in: it is neither told nor asked about it any more.
    pub(super) fn not_shared(&mut self, peer: PeerId, chain: ChainId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.shared.remove(&chain);
        known.announced.remove(&chain);
        known.transfers.remove(&chain);
        known.searches.remove(&chain);
        if self.pulls.get(&chain).is_some_and(|pull| pull.peer == peer) {
            self.pulls.remove(&chain);
            self.stalled.insert(chain);
        }
    }

    pub(super) fn addresses_told(&mut self, desk: &mut Desk<'_>, peer: PeerId, addresses: Vec<Address>) {
        // A row of each chain that is shared is written to the disk, which is dear.
        let shares_any = self.peers.get(&peer).is_some_and(|known| !known.shared.is_empty());
        if !self.may_ask(desk, peer, if shares_any { CHAINS_MAX } else { 1 }) {
            return;
        }
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.addresses = addresses.into_iter().filter(|address| address.peer() == Some(peer)).collect();
        let (shared, addresses) = (known.shared.clone(), known.addresses.clone());
        for chain in shared {
            if let Some(followed) = self.chains.get_mut(&chain) {
                followed.learn(desk.view, peer, &addresses, Meeting { peers: &self.peers, now: desk.now });
            }
        }
    }

    /// Whether a peer follows a chain that is followed here, too, or is being asked for one. Others are strangers.
    #[must_use]
    pub fn knows(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|known| !known.shared.is_empty())
            || self.joins.values().any(|join| join.invites(peer))
    }

    /// Whether a peer is connected, as far as this was told.
    #[must_use]
    pub fn is_connected(&self, peer: PeerId) -> bool {
        self.peers.contains_key(&peer)
    }

    /// A peer is gone.
    ///
    /// # Errors
    /// Only the store's.
    pub fn disconnected(&mut self, desk: &mut Desk<'_>, peer: PeerId) -> Result<(), PublicError> {
        let Some(known) = self.peers.remove(&peer) else { return Ok(()) };
        for followed in self.chains.values_mut() {
            followed.was_here(desk.view, peer, desk.now);
        }
        for chain in &known.shared {
            if let Some(followed) = self.chains.get_mut(chain) {
                followed.learn(desk.view, peer, &[], Meeting { peers: &self.peers, now: desk.now });
            }
        }
        self.keep_shares(desk, peer, known.shares);
        self.orphans.forget(peer);
        self.announcing.retain(|(to, _)| *to != peer);
        self.end_pulls(peer);
        self.join_interrupted(desk, peer);
        if !self.addresses_of(peer).is_empty() {
            self.dial_later(desk, Target::Peer(peer));
        }
        let given = self.dials.given.iter().filter(|(_, found)| **found == Some(peer));
        for given in given.map(|(given, _)| given.clone()).collect::<Vec<_>>() {
            self.dial_later(desk, Target::Address(given));
        }
        Ok(())
    }

    fn end_pulls(&mut self, peer: PeerId) {
        let broken: Vec<_> = self.pulls.iter().filter(|(_, pull)| pull.peer == peer).map(|(chain, _)| *chain).collect();
        for chain in broken {
            self.pulls.remove(&chain);
            self.stalled.insert(chain);
        }
    }

    /// Tells the host that a peer sent what no honest one sends, and forgets what it told.
    pub(super) fn misbehaved(&mut self, desk: &mut Desk<'_>, peer: PeerId) {
        self.forget(peer);
        desk.out.push(ChainEffect::Misbehaved(peer));
    }

    /// Nothing that a peer told or asked for counts any more: it sent what no honest one sends.
    pub fn forget(&mut self, peer: PeerId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.shared.clear();
            known.announced.clear();
            known.transfers.clear();
            known.searches.clear();
            known.crowded.clear();
            known.merit = Merit::Stranger;
        }
        self.orphans.forget(peer);
        self.announcing.retain(|(to, _)| *to != peer);
        self.end_pulls(peer);
    }
}
