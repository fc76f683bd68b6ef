//! The overlay's own tables: content, what is missing of it, names, and remembered addresses.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};
use walytis_core::codec;
use walytis_core::{
    Address, BlockId, ChainError, ChainId, DialFailure, KeyRange, Keys, KnownPeer, PeerId, Pending, Rows, StoreError,
    Table, Timestamp, UnprovenAddresses, planted,
};

use crate::content::{OpenContent, PrivateBody};
use crate::message::ADDRESSES_MAX;

/// Block id -> open content.
const CONTENTS: Table = Table { name: "offchain.contents", keys: Keys::Hidden, rows: Rows::Permanent };
/// Epoch -> how many contents are sealed under it, as 8 bytes.
const SEALED: Table = Table { name: "offchain.sealed", keys: Keys::Hidden, rows: Rows::Derived };
/// A running number -> (group, block) whose attachment is missing.
const MISSING: Table = Table::changing("offchain.missing");
/// One row: addresses of the book at which nobody was reached yet, each with the weight of its failures. A store without the row
/// was made before there was this table: all addresses count as reached.
const UNPROVEN: Table = Table::changing("offchain.unproven");
/// One row each: names, the address book, own listening addresses.
const NOTES: Table = Table::changing("offchain.notes");

const NAMES: &[u8] = &[0];
const PEERS: &[u8] = &[1];
const LISTENING: &[u8] = &[2];
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

/// Blocks whose attachments are not here yet.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    rows: BTreeMap<(ChainId, BlockId), u64>,
    next: u64,
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
        self.next = self.next.saturating_add(1);
    }

    pub(crate) fn found(&mut self, view: &mut Pending, group: ChainId, id: BlockId) {
        if let Some(number) = self.rows.remove(&(group, id)) {
            view.delete(MISSING, number.to_be_bytes());
        }
    }

    /// Forgets a block that turned out not to be kept: its row was taken back with it.
    pub(crate) fn forget(&mut self, view: &Pending, group: ChainId, id: BlockId) -> Result<(), StoreError> {
        if let Some(number) = self.rows.get(&(group, id))
            && view.get(MISSING, &number.to_be_bytes())?.is_none()
        {
            self.rows.remove(&(group, id));
        }
        Ok(())
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
