//! The overlay's own tables: content, what is missing of it, names, and remembered addresses.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};
use walytis_core::codec;
use walytis_core::{
    Address, BlockId, ChainError, ChainId, KeyRange, Keys, KnownPeer, PeerId, Pending, Rows, StoreError, Table,
    Timestamp, planted,
};
use walytis_engine::{DialFailure, UnprovenAddresses};

use crate::content::{OpenContent, PrivateBody};
use crate::message::ADDRESSES_MAX;
use crate::newer::{Newer, NewerCounts, NewerKind};

/// Block id -> open content.
const CONTENTS: Table = Table { name: "offchain.contents", keys: Keys::Hidden, rows: Rows::Permanent };
/// Epoch -> how many contents are sealed under it, as 8 bytes.
const SEALED: Table = Table { name: "offchain.sealed", keys: Keys::Hidden, rows: Rows::Derived };
/// Block id -> nothing: a private block that cannot be read, as far as is known to whoever noted it.
const UNREAD: Table = Table::hidden("offchain.unread");
/// Block id -> the transport key of whoever sent it, in 32 bytes, and what came beside it and could not be read, as it came.
const KEPT: Table = Table::hidden("offchain.kept");
/// Transport key -> how many bytes that it sent are kept in [`KEPT`], as 8 bytes.
const KEPT_BYTES: Table = Table { name: "offchain.kept-bytes", keys: Keys::Hidden, rows: Rows::Derived };
/// Group -> what came of newer programs, by kind and number.
const NEWER: Table = Table { name: "offchain.newer", keys: Keys::Hidden, rows: Rows::Derived };
/// A running number -> (group, block) whose attachment is missing.
const MISSING: Table = Table::changing("offchain.missing");
/// A running number -> a group that is being joined. So the next start knows of joins that a restart ended.
const JOINING: Table = Table::changing("offchain.joining");
/// One row: addresses of the book at which nobody was reached yet, each with the weight of its failures. A store without the row
/// was made before there was this table: all addresses count as reached.
const UNPROVEN: Table = Table::changing("offchain.unproven");
/// One row each: names, the address book, own listening addresses, by which version it was judged what cannot be read.
const NOTES: Table = Table::changing("offchain.notes");

const NAMES: &[u8] = &[0];
const PEERS: &[u8] = &[1];
const LISTENING: &[u8] = &[2];
const JUDGED_BY: &[u8] = &[3];
const UNPROVEN_ROW: &[u8] = &[0];

/// How many peers are remembered; the one seen longest ago makes room.
const PEERS_MAX: usize = 1024;

fn read<T: Serialize + for<'de> Deserialize<'de>>(table: Table, bytes: &[u8]) -> Result<T, ChainError> {
    codec::decode(bytes).map_err(|reason| ChainError::Record { table: table.name, reason })
}

pub(crate) fn put_content(view: &mut Pending, id: BlockId, content: &OpenContent) {
    view.put(CONTENTS, id.0, content.encode());
}

/// The content of a private block, checked against its block's commitment each time that it is read.
pub(crate) fn content(view: &Pending, id: BlockId, body: &PrivateBody) -> Result<Option<OpenContent>, ChainError> {
    let Some(bytes) = view.get(CONTENTS, &id.0)? else { return Ok(None) };
    OpenContent::decode(&bytes, body)
        .map(Some)
        .map_err(|_| ChainError::Inconsistent { id, what: "its content is not the one that it commits to" })
}

/// How many contents in the set are sealed under an epoch.
pub(crate) fn sealed_under(view: &Pending, epoch: BlockId) -> Result<u64, StoreError> {
    let row = view.get(SEALED, &epoch.0)?;
    Ok(row.and_then(|bytes| bytes.as_slice().try_into().ok()).map_or(0, u64::from_le_bytes))
}

pub(crate) fn count_sealed(view: &mut Pending, epoch: BlockId) -> Result<(), StoreError> {
    let sealed = sealed_under(view, epoch)?.saturating_add(1);
    view.put(SEALED, epoch.0, sealed.to_le_bytes());
    Ok(())
}

/// Takes back one of [`count_sealed`].
pub(crate) fn count_unsealed(view: &mut Pending, epoch: BlockId) -> Result<(), StoreError> {
    let sealed = sealed_under(view, epoch)?.saturating_sub(1);
    view.put(SEALED, epoch.0, sealed.to_le_bytes());
    Ok(())
}

/// Forgets the content of a block that is not in the set any more.
pub(crate) fn forget_content(view: &mut Pending, id: BlockId) -> Result<(), StoreError> {
    view.delete(CONTENTS, id.0);
    forget_kept(view, id)
}

/// Groups that were being joined when the program ended.
pub(crate) fn joining(view: &Pending) -> Result<Vec<ChainId>, ChainError> {
    let rows = view.scan(JOINING, KeyRange::all(), usize::MAX)?;
    rows.iter().map(|row| read(JOINING, &row.value)).collect()
}

pub(crate) fn put_joining(view: &mut Pending, group: ChainId) -> Result<(), ChainError> {
    let last = view.scan(JOINING, KeyRange::all().descending(), 1)?;
    let last = last.first().and_then(|row| row.key.first_chunk().copied()).map(u64::from_be_bytes);
    let next = last.map_or(0, |last| last.saturating_add(1));
    view.put(JOINING, next.to_be_bytes(), codec::encode(&group));
    Ok(())
}

pub(crate) fn forget_joining(view: &mut Pending, group: ChainId) -> Result<(), ChainError> {
    for row in view.scan(JOINING, KeyRange::all(), usize::MAX)? {
        if read::<ChainId>(JOINING, &row.value)? == group {
            view.delete(JOINING, row.key);
        }
    }
    Ok(())
}

/// How many bytes are kept of what one peer sent beside blocks and cannot be read: a newer program's photographs of a few
/// weeks. What comes beyond that is not kept; its block is.
pub(crate) const KEPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Notes that a private block cannot be read by this program.
pub(crate) fn put_unread(view: &mut Pending, id: BlockId) {
    view.put(UNREAD, id.0, []);
}

/// Forgets that a private block could not be read.
pub(crate) fn forget_unread(view: &mut Pending, id: BlockId) {
    view.delete(UNREAD, id.0);
}

/// The newest version of private content that was known to who noted last what cannot be read; `None` if nobody has known
/// another than [`CONTENT_VERSION`](crate::content::CONTENT_VERSION).
pub(crate) fn judged_by(view: &Pending) -> Result<Option<u8>, ChainError> {
    view.get(NOTES, JUDGED_BY)?.map(|bytes| read(NOTES, &bytes)).transpose()
}

pub(crate) fn put_judged_by(view: &mut Pending, version: u8) {
    view.put(NOTES, JUDGED_BY, codec::encode(&version));
}

/// Whether a private block cannot be read, and so is not counted under its epoch.
pub(crate) fn was_unread(view: &Pending, id: BlockId) -> Result<bool, StoreError> {
    Ok(view.get(UNREAD, &id.0)?.is_some())
}

/// What is kept unread beside a block.
pub(crate) fn kept(view: &Pending, id: BlockId) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(kept_from(view, id)?.map(|(_, bytes)| bytes))
}

/// What is kept unread beside a block, and who sent it.
pub(crate) fn kept_from(view: &Pending, id: BlockId) -> Result<Option<(PeerId, Vec<u8>)>, StoreError> {
    let Some(mut row) = view.get(KEPT, &id.0)? else { return Ok(None) };
    let Some(sender) = row.first_chunk().copied() else { return Ok(None) };
    Ok(Some((PeerId(sender), row.split_off(sender.len()))))
}

/// How many bytes that a peer sent are kept unread.
pub(crate) fn kept_bytes(view: &Pending, sender: PeerId) -> Result<u64, StoreError> {
    let row = view.get(KEPT_BYTES, &sender.0)?;
    Ok(row.and_then(|bytes| bytes.as_slice().try_into().ok()).map_or(0, u64::from_le_bytes))
}

/// Who sent what is to be kept beside a block. Nobody can tell whether it is the block's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) peer: PeerId,
    /// Whether it is the block's author, who knows best: what it sends takes the place of what others sent.
    pub(crate) is_author: bool,
}

/// Keeps what stands beside a block as it came, if its sender has room left, and nothing is kept beside it yet or it is the
/// author who sends it. Returns whether it is the first.
pub(crate) fn keep(view: &mut Pending, id: BlockId, sender: Sender, bytes: &[u8]) -> Result<bool, StoreError> {
    let before = kept_from(view, id)?;
    if let Some((other, _)) = &before
        && (!sender.is_author || *other == sender.peer)
    {
        return Ok(false);
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let all = kept_bytes(view, sender.peer)?.saturating_add(length);
    if all > KEPT_BYTES_MAX {
        return Ok(false);
    }
    forget_kept(view, id)?;
    view.put(KEPT, id.0, [&sender.peer.0, bytes].concat());
    view.put(KEPT_BYTES, sender.peer.0, all.to_le_bytes());
    Ok(before.is_none())
}

/// Forgets what is kept unread beside a block, and gives its sender the room back.
pub(crate) fn forget_kept(view: &mut Pending, id: BlockId) -> Result<(), StoreError> {
    let Some((sender, bytes)) = kept_from(view, id)? else { return Ok(()) };
    let left = kept_bytes(view, sender)?.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    view.delete(KEPT, id.0);
    view.put(KEPT_BYTES, sender.0, left.to_le_bytes());
    Ok(())
}

/// What came of newer programs on a group's chain.
pub(crate) fn newer(view: &Pending, group: ChainId) -> Result<Vec<Newer>, ChainError> {
    let row = view.get(NEWER, &group.0)?;
    row.map(|bytes| read(NEWER, &bytes)).transpose().map(Option::unwrap_or_default)
}

pub(crate) fn count_newer(
    view: &mut Pending,
    group: ChainId,
    (kind, number): (NewerKind, u32),
) -> Result<(), ChainError> {
    let mut counts = NewerCounts::of(newer(view, group)?);
    counts.add(kind, number);
    put_newer(view, group, &counts);
    Ok(())
}

pub(crate) fn put_newer(view: &mut Pending, group: ChainId, counts: &NewerCounts) {
    view.put(NEWER, group.0, codec::encode(&counts.all()));
}

/// Blocks whose attachments are not here yet.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    rows: BTreeMap<(ChainId, BlockId), u64>,
    next: u64,
    /// What the open step has changed, so that it can be taken back: what was added, or found with its number.
    changes: Vec<((ChainId, BlockId), Option<u64>)>,
}

impl Missing {
    pub(crate) fn load(view: &Pending) -> Result<Self, ChainError> {
        let mut missing = Self::default();
        for record in view.scan(MISSING, KeyRange::all(), usize::MAX)? {
            let number = record.key.as_slice().try_into().map(u64::from_be_bytes).unwrap_or_default();
            missing.rows.insert(read(MISSING, &record.value)?, number);
            missing.next = missing.next.max(number.saturating_add(1));
        }
        Ok(missing)
    }

    pub(crate) fn add(&mut self, view: &mut Pending, group: ChainId, id: BlockId) {
        if self.rows.contains_key(&(group, id)) {
            return;
        }
        if !planted!(ForgetMissing) {
            view.put(MISSING, self.next.to_be_bytes(), codec::encode(&(group, id)));
        }
        self.rows.insert((group, id), self.next);
        self.changes.push(((group, id), None));
        self.next = self.next.saturating_add(1);
    }

    pub(crate) fn found(&mut self, view: &mut Pending, group: ChainId, id: BlockId) {
        if let Some(number) = self.rows.remove(&(group, id)) {
            view.delete(MISSING, number.to_be_bytes());
            self.changes.push(((group, id), Some(number)));
        }
    }

    /// A point of the open step to which [`Missing::take_back`] can return.
    pub(crate) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// Goes back to a point of the open step. Its rows go back with the view.
    pub(crate) fn take_back(&mut self, mark: usize) {
        for (block, found) in self.changes.drain(mark.min(self.changes.len())..).rev() {
            match found {
                Some(number) => drop(self.rows.insert(block, number)),
                None => drop(self.rows.remove(&block)),
            }
        }
    }

    /// The open step is closed: nothing of it is taken back any more.
    pub(crate) fn settle(&mut self) {
        self.changes.clear();
    }

    pub(crate) fn of(&self, group: ChainId) -> impl Iterator<Item = BlockId> + '_ {
        let from = (group, BlockId([0; 32]));
        self.rows.range(from..).take_while(move |((chain, _), _)| *chain == group).map(|((_, id), _)| *id)
    }

    /// Those of a group behind a block, in the order of their ids.
    pub(crate) fn behind(&self, group: ChainId, last: Option<BlockId>) -> impl Iterator<Item = BlockId> + '_ {
        let from = last.map_or(Bound::Included((group, BlockId([0; 32]))), |last| Bound::Excluded((group, last)));
        let rows = self.rows.range((from, Bound::Unbounded));
        rows.take_while(move |((chain, _), _)| *chain == group).map(|((_, id), _)| *id)
    }

    pub(crate) fn contains(&self, group: ChainId, id: BlockId) -> bool {
        self.rows.contains_key(&(group, id))
    }
}

/// Local names of groups, in the order in which they were given.
pub(crate) fn names(view: &Pending) -> Result<Vec<(ChainId, String)>, ChainError> {
    let row = view.get(NOTES, NAMES)?;
    row.map(|bytes| read(NOTES, &bytes)).transpose().map(Option::unwrap_or_default)
}

pub(crate) fn put_names(view: &mut Pending, names: &[(ChainId, String)]) {
    view.put(NOTES, NAMES, codec::encode(names));
}

/// The addresses on which this node listened last.
pub(crate) fn listening(view: &Pending) -> Result<Vec<Address>, ChainError> {
    let row = view.get(NOTES, LISTENING)?;
    row.map(|bytes| read(NOTES, &bytes)).transpose().map(Option::unwrap_or_default)
}

pub(crate) fn put_listening(view: &mut Pending, addresses: &[Address]) {
    view.put(NOTES, LISTENING, codec::encode(addresses));
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    addresses: Vec<Address>,
    last_seen_ms: u64,
}

/// Where members were reached, or said that they can be.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    peers: BTreeMap<PeerId, Known>,
    unproven: UnprovenAddresses,
}

impl AddressBook {
    pub(crate) fn load(view: &Pending) -> Result<Self, ChainError> {
        let row = view.get(NOTES, PEERS)?;
        let peers = row.map(|bytes| read::<Vec<(PeerId, Known)>>(NOTES, &bytes)).transpose()?.unwrap_or_default();
        let unproven = view.get(UNPROVEN, UNPROVEN_ROW)?;
        let unproven =
            unproven.map(|bytes| read::<Vec<(Address, u32)>>(UNPROVEN, &bytes)).transpose()?.unwrap_or_default();
        Ok(Self { peers: peers.into_iter().collect(), unproven: UnprovenAddresses::from_rows(unproven) })
    }

    /// Notes what a peer said or where it was reached; addresses of other peers are passed over.
    pub(crate) fn learn(
        &mut self,
        view: &mut Pending,
        peer: PeerId,
        addresses: &[Address],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let known = self.peers.entry(peer).or_insert(Known { addresses: Vec::new(), last_seen_ms: 0 });
        known.last_seen_ms = now.0;
        let before = self.unproven.len();
        for address in addresses.iter().filter(|address| address.peer() == Some(peer)) {
            if !known.addresses.contains(address) {
                self.unproven.told(address.clone());
            }
            known.addresses.retain(|old| old != address);
            known.addresses.insert(0, address.clone());
        }
        known.addresses.truncate(ADDRESSES_MAX);
        if self.peers.len() > PEERS_MAX {
            let oldest = self.peers.iter().min_by_key(|(_, known)| known.last_seen_ms).map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                self.peers.remove(&oldest);
            }
        }
        self.write(view);
        if self.unproven.len() != before {
            self.write_unproven(view);
        }
        Ok(())
    }

    /// Notes that a peer was reached at an address.
    pub(crate) fn reached(&mut self, view: &mut Pending, address: &Address) {
        if self.unproven.reached(address) {
            self.write_unproven(view);
        }
    }

    /// An address could not be dialled. One at which nobody was ever reached is forgotten after a few times: whoever told it
    /// may have meant somebody else to be dialled. `connected` says whether any peer is connected meanwhile.
    pub(crate) fn not_reached(&mut self, view: &mut Pending, address: &Address, connected: bool) {
        if self.unproven.failed(address, connected) != DialFailure::Forgotten {
            return;
        }
        if let Some(known) = address.peer().and_then(|peer| self.peers.get_mut(&peer)) {
            known.addresses.retain(|other| other != address);
        }
        self.write(view);
        self.write_unproven(view);
    }

    fn write(&self, view: &mut Pending) {
        let rows: Vec<(&PeerId, &Known)> = self.peers.iter().collect();
        if !planted!(ForgetAddresses) {
            view.put(NOTES, PEERS, codec::encode(&rows));
        }
    }

    /// Writes which addresses nobody was reached at, of those that are in the book.
    fn write_unproven(&mut self, view: &mut Pending) {
        let peers = &self.peers;
        let is_kept = |address: &Address| {
            let known = address.peer().and_then(|peer| peers.get(&peer));
            known.is_some_and(|known| known.addresses.contains(address))
        };
        self.unproven.retain(is_kept);
        let rows: Vec<(&Address, u32)> = self.unproven.rows().collect();
        view.put(UNPROVEN, UNPROVEN_ROW, codec::encode(&rows));
    }

    /// All that is remembered.
    pub(crate) fn all(&self) -> impl Iterator<Item = KnownPeer> + '_ {
        self.peers.iter().map(|(peer, known)| {
            let (seen, addresses) = (Some(known.last_seen_ms), known.addresses.clone());
            KnownPeer { last_seen_ms: seen, addresses, ..KnownPeer::new(*peer) }
        })
    }

    pub(crate) fn addresses(&self, peer: &PeerId) -> &[Address] {
        self.peers.get(peer).map(|known| known.addresses.as_slice()).unwrap_or_default()
    }
}
