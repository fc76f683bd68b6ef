//! What is kept of public chains beside their blocks: names, keys, rules, invitations, peers, and evidence of forks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::Peer;
use super::early::Early;
use super::event::{Equivocation, Sharing, Standing};
use super::limits::{EQUIVOCATIONS_MAX, HERE_AGAIN_MS, Limits, PEERS_MAX};
use super::message::ADDRESSES_MAX;
use crate::{DialFailure, UnprovenAddresses};
use walytis_core::codec::AtMost;
use walytis_core::{
    Address, AuthorKey, AuthorSecret, BlockId, ChainError, ChainId, CodecError, FormatVersion, KeyRange, PeerId,
    Pending, Table, Timestamp, codec, planted,
};

/// A chain's number here -> [`ChainRow`].
const CHAINS: Table = Table::changing("public.chains");
/// A chain's number here -> its peers, as a list of [`KnownPeer`].
const PEERS: Table = Table::changing("public.peers");
/// A chain's number here -> addresses of its peers at which nobody was reached yet, each with the weight of its failures. A
/// chain without a row was followed before there was this table: its peers' addresses count as reached.
const UNPROVEN: Table = Table::changing("public.unproven");
/// A chain's number here -> when the peers were admitted that came by invitations, as a list of (peer, [`Admission`]).
const ADMISSIONS: Table = Table::changing("public.admissions");
/// (chain's number, running number) -> [`ForkRow`].
const FORKS: Table = Table::changing("public.forks");

/// An invitation by which this node admits.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct InvitationRow {
    pub(super) number: u32,
    pub(super) secret: [u8; 16],
    pub(super) uses: Option<u32>,
    pub(super) shareable: bool,
}

impl InvitationRow {
    pub(super) const fn sharing(&self) -> Sharing {
        if self.shareable { Sharing::Joiners } else { Sharing::Inviter }
    }
}

/// A chain's row.
#[derive(Serialize, Deserialize)]
struct ChainRow {
    id: ChainId,
    name: String,
    author: [u8; 32],
    /// 0: followed, 1: joining, 2: leaving.
    standing: u8,
    bytes: u64,
    only_invited: bool,
    blocked_peers: Vec<PeerId>,
    allowed_peers: Vec<PeerId>,
    admitted: Vec<PeerId>,
    blocked_authors: Vec<AuthorKey>,
    allowed_authors: Vec<AuthorKey>,
    invitations: Vec<InvitationRow>,
    invited: u32,
    limits: Limits,
    /// The number of the format version that is wished for.
    format: u8,
}

impl Drop for ChainRow {
    fn drop(&mut self) {
        self.author.zeroize();
        self.invitations.iter_mut().for_each(|invitation| invitation.secret.zeroize());
    }
}

/// A peer that is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KnownPeer {
    pub(super) peer: PeerId,
    pub(super) last_seen_ms: u64,
    #[serde(with = "AtMost::<ADDRESSES_MAX, 1>")]
    pub(super) addresses: Vec<Address>,
    pub(super) proof: Proof,
}

/// The peers that a row remembers.
#[derive(Serialize, Deserialize)]
struct PeersRow(#[serde(with = "AtMost::<PEERS_MAX, 35>")] Vec<KnownPeer>);

/// What a peer has done for us on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Proof {
    /// Nothing: it knows the chain.
    None,
    /// It brought a block that was not here.
    Brought,
    /// It let us in, or is named beside who did.
    Inviter,
}

/// When a peer that was let in by an invitation was here last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Admission {
    pub(super) at_ms: u64,
    /// Written by earlier programs alone: it has come back, and nobody noted when.
    pub(super) returned: bool,
}

/// Who is connected when a peer is met, and when that is.
#[derive(Clone, Copy)]
pub(super) struct Meeting<'a> {
    pub(super) peers: &'a BTreeMap<PeerId, Peer>,
    pub(super) now: Timestamp,
}

/// Whom and what a node lets in on a chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) only_invited: bool,
    pub(super) blocked_peers: Vec<PeerId>,
    pub(super) allowed_peers: Vec<PeerId>,
    /// Peers that showed an invitation.
    pub(super) admitted: Vec<PeerId>,
    pub(super) blocked_authors: Vec<AuthorKey>,
    pub(super) allowed_authors: Vec<AuthorKey>,
    pub(super) limits: Limits,
}

impl Rules {
    /// Whether a peer is served and heard.
    pub(super) fn lets_in(&self, peer: PeerId) -> bool {
        (!self.blocked_peers.contains(&peer) || walytis_core::mutant!(ServeBlocked))
            && (!self.only_invited
                || walytis_core::mutant!(ServeUninvited)
                || self.allowed_peers.contains(&peer)
                || self.admitted.contains(&peer))
    }

    /// Whether an author's blocks are taken by themselves, and shown.
    pub(super) fn takes(&self, author: &AuthorKey) -> bool {
        (!self.blocked_authors.contains(author) || walytis_core::mutant!(TakeBlocked))
            && (self.allowed_authors.is_empty() || self.allowed_authors.contains(author))
    }
}

/// A public chain that this node follows, joins or deletes.
pub(super) struct Followed {
    pub(super) id: ChainId,
    pub(super) name: String,
    pub(super) author: AuthorSecret,
    pub(super) standing: Standing,
    /// Bytes of its blocks.
    pub(super) bytes: u64,
    pub(super) rules: Rules,
    /// The oldest format version in which this node writes.
    pub(super) format: FormatVersion,
    pub(super) invitations: Vec<InvitationRow>,
    /// How many invitations were ever made.
    pub(super) invited: u32,
    /// **Invariant:** those who have proven themselves are in the order in which they did.
    pub(super) peers: Vec<KnownPeer>,
    pub(super) forks: Vec<Equivocation>,
    /// Addresses of peers at which nobody was reached yet.
    unproven: UnprovenAddresses,
    /// Those of [`Rules::admitted`] of whom it is known.
    admissions: BTreeMap<PeerId, Admission>,
    /// Who may write in the second half of its room.
    pub(super) early: Early,
    number: u32,
    /// Whether the row has to be written at the step's end.
    dirty: bool,
    /// Whether what is remembered of peers has changed while the store had no room.
    put_off: bool,
    /// Whether its genesis was found to be here and a public chain's, which does not change any more.
    pub(super) is_public: bool,
}

impl Followed {
    /// A chain that is not kept yet. It is written at the step's end.
    pub(super) fn new(number: u32, id: ChainId, name: String, author: AuthorSecret, standing: Standing) -> Self {
        Self {
            id,
            name,
            author,
            standing,
            bytes: 0,
            rules: Rules::default(),
            format: FormatVersion::V1,
            invitations: Vec::new(),
            invited: 0,
            peers: Vec::new(),
            forks: Vec::new(),
            unproven: UnprovenAddresses::default(),
            admissions: BTreeMap::new(),
            early: Early::default(),
            number,
            dirty: true,
            put_off: false,
            is_public: false,
        }
    }

    /// Its place in a list.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// Has the row written at the step's end.
    pub(super) const fn touch(&mut self) {
        self.dirty = true;
    }

    /// Whether an author is known to have forked, or the chain's evidence is as long as it may be.
    pub(super) fn knows_fork_of(&self, author: &AuthorKey) -> bool {
        self.forks.len() >= EQUIVOCATIONS_MAX || self.forks.iter().any(|fork| fork.author == *author)
    }

    pub(super) fn add_fork(&mut self, view: &mut Pending, fork: Equivocation) {
        let running = u32::try_from(self.forks.len()).unwrap_or(u32::MAX);
        let row = ForkRow { author: fork.author, sequence: fork.sequence, blocks: fork.blocks };
        view.put(FORKS, fork_key(self.number, running), codec::encode(&row));
        self.forks.push(fork);
    }

    /// Notes where a peer is, and that it was seen. For a stranger no proven peer is forgotten, and nobody with whom the chain
    /// is being shared.
    pub(super) fn learn(&mut self, view: &mut Pending, peer: PeerId, addresses: &[Address], meeting: Meeting<'_>) {
        if !self.peers.iter().any(|known| known.peer == peer) {
            if !self.make_room(Proof::None, meeting) {
                return;
            }
            self.peers.push(KnownPeer { peer, last_seen_ms: 0, addresses: Vec::new(), proof: Proof::None });
        }
        let Some(known) = self.peers.iter_mut().find(|known| known.peer == peer) else { return };
        let reached = meeting.peers.get(&peer).and_then(|peer| peer.reached.as_ref());
        known.last_seen_ms = meeting.now.0;
        let before = self.unproven.len();
        let mut changed = false;
        for address in addresses.iter().filter(|address| address.peer() == Some(peer)) {
            if Some(address) == reached {
                changed |= self.unproven.reached(address);
            } else if !known.addresses.contains(address) {
                self.unproven.told(address.clone());
            }
            known.addresses.retain(|old| old != address);
            known.addresses.insert(0, address.clone());
        }
        known.addresses.truncate(ADDRESSES_MAX);
        self.write_peers(view);
        if changed || self.unproven.len() != before {
            self.write_unproven(view);
        }
    }

    /// Whether what is remembered of peers is not written now: a node with many chains would have more of it wait for room than
    /// waits in memory, and be begun anew again and again.
    const fn puts_off(&mut self, view: &Pending) -> bool {
        self.put_off |= view.is_full();
        view.is_full()
    }

    fn write_peers(&mut self, view: &mut Pending) {
        if !self.puts_off(view) {
            view.put(PEERS, self.number.to_be_bytes(), codec::encode(&self.peers));
        }
    }

    /// Writes which addresses nobody was reached at, of those that are kept.
    fn write_unproven(&mut self, view: &mut Pending) {
        if self.puts_off(view) {
            return;
        }
        let kept: BTreeSet<&Address> = self.peers.iter().flat_map(|known| &known.addresses).collect();
        self.unproven.retain(|address| kept.contains(address));
        let rows: Vec<(&Address, u32)> = self.unproven.rows().collect();
        view.put(UNPROVEN, self.number.to_be_bytes(), codec::encode(&rows));
    }

    /// An address could not be dialled. One at which nobody was ever reached is forgotten after a few times.
    pub(super) fn not_reached(&mut self, view: &mut Pending, address: &Address, connected: bool) {
        if self.unproven.failed(address, connected) != DialFailure::Forgotten {
            return;
        }
        for known in self.peers.iter_mut().filter(|known| address.peer() == Some(known.peer)) {
            known.addresses.retain(|other| other != address);
        }
        self.write_peers(view);
        self.write_unproven(view);
    }

    /// Notes that a peer is let in by an invitation.
    pub(super) fn admitted(&mut self, view: &mut Pending, peer: PeerId, now: Timestamp) {
        self.admissions.insert(peer, Admission { at_ms: now.0, returned: false });
        self.write_admissions(view);
    }

    /// A peer connects, or was connected until now: if it was let in, that is noted. Not each time, so that connecting again
    /// and again has nothing written.
    pub(super) fn was_here(&mut self, view: &mut Pending, peer: PeerId, now: Timestamp) {
        let old = |admission: &&mut Admission| admission.returned || now.0.abs_diff(admission.at_ms) >= HERE_AGAIN_MS;
        if let Some(admission) = self.admissions.get_mut(&peer).filter(old) {
            *admission = Admission { at_ms: now.0, returned: false };
            self.write_admissions(view);
        }
    }

    /// Forgets who was here last so long ago, and is not now. Of whom it was not noted when has as long from now on.
    pub(super) fn forget_admitted(&mut self, view: &mut Pending, meeting: Meeting<'_>, admitted_ms: u64) {
        let now = meeting.now.0;
        for peer in &self.rules.admitted {
            let admission = self.admissions.entry(*peer).or_insert(Admission { at_ms: now, returned: false });
            if admission.returned {
                *admission = Admission { at_ms: now, returned: false };
            }
        }
        let admissions = &self.admissions;
        self.rules.admitted.retain(|peer| {
            let stays = |admission: &Admission| {
                now.saturating_sub(admission.at_ms) < admitted_ms || meeting.peers.contains_key(peer)
            };
            admissions.get(peer).is_none_or(stays)
        });
        self.touch();
        self.write_admissions(view);
    }

    fn write_admissions(&mut self, view: &mut Pending) {
        if self.puts_off(view) {
            return;
        }
        let admitted: BTreeSet<&PeerId> = self.rules.admitted.iter().collect();
        self.admissions.retain(|peer, _| admitted.contains(peer));
        let rows: Vec<(&PeerId, &Admission)> = self.admissions.iter().collect();
        view.put(ADMISSIONS, self.number.to_be_bytes(), codec::encode(&rows));
    }

    /// Notes that a peer has brought a block, if there is a place for it.
    pub(super) fn prove(&mut self, view: &mut Pending, peer: PeerId, addresses: &[Address], meeting: Meeting<'_>) {
        self.prove_as(Proof::Brought, view, peer, addresses, meeting);
    }

    /// Notes that a peer has let us in.
    pub(super) fn welcome(&mut self, view: &mut Pending, peer: PeerId, meeting: Meeting<'_>) {
        self.prove_as(Proof::Inviter, view, peer, &[], meeting);
    }

    fn prove_as(
        &mut self,
        proof: Proof,
        view: &mut Pending,
        peer: PeerId,
        addresses: &[Address],
        meeting: Meeting<'_>,
    ) {
        match (0..).zip(&self.peers).find(|(_, known)| known.peer == peer).map(|(place, known)| (place, known.proof)) {
            Some((_, before)) if before >= proof => return,
            Some((_, Proof::Brought | Proof::Inviter)) => {}
            // Behind those who proved themselves before.
            Some((place, Proof::None)) => {
                let known = self.peers.remove(place);
                self.peers.push(known);
            }
            None if self.make_room(proof, meeting) => {
                self.peers.push(KnownPeer { peer, last_seen_ms: 0, addresses: Vec::new(), proof });
            }
            None => return,
        }
        if let Some(known) = self.peers.iter_mut().find(|known| known.peer == peer) {
            known.proof = proof;
        }
        self.learn(view, peer, addresses, meeting);
    }

    /// Those for whom half of the places are kept, whoever comes: who let us in, and who brought something before others did.
    pub(super) fn kept(&self) -> BTreeSet<PeerId> {
        self.with_kept_places().collect()
    }

    /// Whether a peer is one of them.
    pub(super) fn keeps_place_for(&self, peer: PeerId) -> bool {
        self.with_kept_places().any(|kept| kept == peer)
    }

    /// Whether a peer let this node in, or a person allows it by name.
    pub(super) fn trusts(&self, peer: PeerId) -> bool {
        let is_inviter = |known: &KnownPeer| known.peer == peer && known.proof == Proof::Inviter;
        self.rules.allowed_peers.contains(&peer) || self.peers.iter().any(is_inviter)
    }

    fn with_kept_places(&self) -> impl Iterator<Item = PeerId> {
        let with = |proof: Proof| self.peers.iter().filter(move |known| known.proof == proof).map(|known| known.peer);
        with(Proof::Inviter).chain(with(Proof::Brought)).take(PEERS_MAX / 2)
    }

    /// Forgets somebody for a peer with this proof, if all places are taken: of strangers, and then of the others, who was
    /// seen longest ago. With whom the chain is being shared is not forgotten, but that strangers who only stay connected keep
    /// no place from who brings something. Returns `false` if nobody can make room.
    fn make_room(&mut self, proof: Proof, meeting: Meeting<'_>) -> bool {
        if self.peers.len() < PEERS_MAX {
            return true;
        }
        let kept = self.kept();
        let going =
            (0..).zip(&self.peers).filter(|(_, known)| !kept.contains(&known.peer)).filter_map(|(place, known)| {
                let shares = meeting.peers.get(&known.peer).is_some_and(|peer| peer.shared.contains(&self.id));
                let may_go = match known.proof {
                    Proof::None => !shares || proof > Proof::None,
                    Proof::Brought | Proof::Inviter => !shares && proof > Proof::None,
                };
                may_go.then_some((shares, known.proof, known.last_seen_ms, place))
            });
        let Some((.., place)) = going.min() else { return false };
        self.peers.remove(place);
        true
    }

    /// Notes where an invitation says that a peer is: behind where it was met, and as far as there is room, since nobody has
    /// proven it.
    pub(super) fn hear_of(&mut self, view: &mut Pending, peer: PeerId, addresses: &[Address]) {
        let Some(known) = self.peers.iter_mut().find(|known| known.peer == peer) else { return };
        for address in addresses.iter().filter(|address| address.peer() == Some(peer)) {
            if known.addresses.len() < ADDRESSES_MAX && !known.addresses.contains(address) {
                known.addresses.push(address.clone());
                self.unproven.told(address.clone());
            }
        }
        self.write_peers(view);
        self.write_unproven(view);
    }

    /// Writes the row, if it has changed, and what was put off while there was no room.
    pub(super) fn write(&mut self, view: &mut Pending) {
        if self.put_off && !view.is_full() {
            self.put_off = false;
            self.write_peers(view);
            self.write_unproven(view);
            self.write_admissions(view);
        }
        self.early.write(view, self.number, self.id);
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let rules = &self.rules;
        let row = ChainRow {
            id: self.id,
            name: self.name.clone(),
            author: self.author.seed(),
            standing: match self.standing {
                Standing::Followed => 0,
                Standing::Joining => 1,
                // A misfiled row is not written; it keeps what it had.
                Standing::Leaving | Standing::Misfiled => 2,
            },
            bytes: self.bytes,
            only_invited: rules.only_invited,
            blocked_peers: rules.blocked_peers.clone(),
            allowed_peers: rules.allowed_peers.clone(),
            admitted: rules.admitted.clone(),
            blocked_authors: rules.blocked_authors.clone(),
            allowed_authors: rules.allowed_authors.clone(),
            invitations: self.invitations.clone(),
            invited: self.invited,
            limits: rules.limits,
            format: self.format.number(),
        };
        view.put(CHAINS, self.number.to_be_bytes(), Zeroizing::new(codec::encode(&row)).to_vec());
    }

    /// Removes everything about the chain but its blocks.
    pub(super) fn remove(&self, view: &mut Pending) {
        view.delete(CHAINS, self.number.to_be_bytes());
        for table in [PEERS, UNPROVEN, ADMISSIONS] {
            view.delete(table, self.number.to_be_bytes());
        }
        Early::remove(view, self.number);
        for running in (0_u32..).take(self.forks.len()) {
            view.delete(FORKS, fork_key(self.number, running));
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ForkRow {
    author: AuthorKey,
    sequence: u64,
    blocks: [BlockId; 2],
}

fn fork_key(chain: u32, running: u32) -> Vec<u8> {
    [chain.to_be_bytes(), running.to_be_bytes()].concat()
}

fn read<T: Serialize + for<'de> Deserialize<'de>>(table: Table, bytes: &[u8]) -> Result<T, ChainError> {
    codec::decode(bytes).map_err(|reason| ChainError::Record { table: table.name, reason })
}

fn number(table: Table, key: &[u8]) -> Result<u32, ChainError> {
    let malformed = ChainError::Record { table: table.name, reason: CodecError::Malformed };
    key.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(malformed)
}

/// All chains that have a row, in the order in which they came, and the number of the next.
pub(super) fn load(view: &Pending) -> Result<(Vec<Followed>, u32), ChainError> {
    let mut chains: Vec<Followed> = Vec::new();
    for record in view.scan(CHAINS, KeyRange::all(), usize::MAX)? {
        let mut row: ChainRow = read(CHAINS, &record.value)?;
        let standing = match row.standing {
            0 => Standing::Followed,
            1 => Standing::Joining,
            2 => Standing::Leaving,
            _ => return Err(ChainError::Record { table: CHAINS.name, reason: CodecError::Malformed }),
        };
        let format = FormatVersion::from_number(row.format)
            .ok_or(ChainError::Record { table: CHAINS.name, reason: CodecError::Malformed })?;
        let author = AuthorSecret::from_seed(&row.author);
        let name = std::mem::take(&mut row.name);
        let mut chain = Followed::new(number(CHAINS, &record.key)?, row.id, name, author, standing);
        chain.bytes = row.bytes;
        chain.format = format;
        chain.rules = Rules {
            only_invited: row.only_invited,
            blocked_peers: std::mem::take(&mut row.blocked_peers),
            allowed_peers: std::mem::take(&mut row.allowed_peers),
            admitted: std::mem::take(&mut row.admitted),
            blocked_authors: std::mem::take(&mut row.blocked_authors),
            allowed_authors: std::mem::take(&mut row.allowed_authors),
            limits: row.limits,
        };
        chain.invitations = row.invitations.clone();
        chain.invited = row.invited;
        chain.dirty = false;
        if planted!(ForgetRules) {
            chain.rules = Rules::default();
        }
        if let Some(bytes) = view.get(PEERS, &record.key)? {
            let PeersRow(peers) = read(PEERS, &bytes)?;
            chain.peers = peers;
        }
        if let Some(bytes) = view.get(UNPROVEN, &record.key)? {
            chain.unproven = UnprovenAddresses::from_rows(read::<Vec<(Address, u32)>>(UNPROVEN, &bytes)?);
        }
        if let Some(bytes) = view.get(ADMISSIONS, &record.key)? {
            chain.admissions = read::<Vec<(PeerId, Admission)>>(ADMISSIONS, &bytes)?.into_iter().collect();
        }
        chain.early = Early::load(view, chain.number, chain.id)?;
        chains.push(chain);
    }
    for record in view.scan(FORKS, KeyRange::all(), usize::MAX)? {
        let of = number(FORKS, &record.key)?;
        let ForkRow { author, sequence, blocks } = read(FORKS, &record.value)?;
        if let Some(chain) = chains.iter_mut().find(|chain| chain.number == of) {
            chain.forks.push(Equivocation { author, sequence, blocks });
        }
    }
    let next = chains.iter().map(|chain| chain.number.saturating_add(1)).max().unwrap_or_default();
    Ok((chains, next))
}

#[cfg(test)]
mod tests;
