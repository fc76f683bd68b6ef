//! What the fold over an identity's operations says: who is a member, by which devices, with what rights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use walytis_core::{AuthorKey, BlockId, ChainId, Hash, HybridKey, PeerId};

use crate::{History, LeafKey, Map, Purpose, Role};

/// One of the operations that made a manager, from the founder down: (generation, id). Paths are compared in order, a
/// prefix before what it begins.
pub type Rank = Vec<(u64, BlockId)>;

/// A member of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// The operation that admitted it.
    pub admitted_by: BlockId,
    /// Its seniority; the lowest is the founder.
    pub rank: Rank,
}

/// A device of a member, as it acts on one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Identities from the member down to the device.
    pub path: Vec<ChainId>,
    /// The device's key.
    pub key: HybridKey,
    /// The key to which epochs are wrapped for it, on chains with content. That it holds the secret is its own claim.
    pub leaf: Option<LeafKey>,
    /// The key by which the transport knows it.
    pub peer: PeerId,
    /// What it may do here: the least along its path.
    pub role: Role,
    /// The operation that bound its keys.
    pub bound_by: BlockId,
}

impl Device {
    /// The member that the device acts for.
    #[must_use]
    pub fn member(&self) -> Option<ChainId> {
        self.path.first().copied()
    }

    /// The device's own identity.
    #[must_use]
    pub fn identity(&self) -> Option<ChainId> {
        self.path.last().copied()
    }
}

/// An invitation as the operations left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The role that it gives.
    pub role: Role,
    /// How many may come in by it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// When managers stop to admit by it.
    pub expires_at_ms: Option<u64>,
}

impl Invitation {
    /// Whether somebody may still come in by it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.used < self.uses
    }
}

/// An epoch that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Who made it.
    pub maker: AuthorKey,
    /// The heads of operations whose fold gives its readers.
    pub view: Vec<BlockId>,
    /// The generation of its operation.
    pub generation: u64,
    /// The hash of its seed.
    pub seed: Hash,
    /// The Merkle root over its wraps.
    pub wraps: Hash,
}

/// The membership of an identity in one set of operations. Equal sets give equal memberships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The identity.
    pub identity: ChainId,
    /// What its chain is for.
    pub purpose: Purpose,
    /// What newcomers may read.
    pub history: History,
    /// The key of an identity that is a device.
    pub key: Option<HybridKey>,
    /// Members, by identity.
    pub members: Map<ChainId, Member>,
    /// Devices, by the key under which they write here.
    pub devices: Map<AuthorKey, Arc<Device>>,
    /// Invitations, by the id of their key.
    pub invitations: Map<Hash, Invitation>,
    /// Epochs, by the operation that began them.
    pub epochs: Map<BlockId, Arc<Epoch>>,
    /// The heads of other chains that the operations name.
    pub named: Map<ChainId, BTreeSet<BlockId>>,
    /// How deep the chains below this one nest: 0 for a device.
    pub depth: u8,
    /// Hashes of all readers' author keys and leaf keys, by exclusive or: where it differs, so do the readers.
    pub readers_tag: Hash,
    /// The highest generation of an operation that seated a reader. An epoch that is not above it lacks that reader.
    pub readers_since: u64,
    /// The keys under which the devices write here, by the key by which the transport knows each.
    pub(crate) peers: Map<PeerId, BTreeSet<AuthorKey>>,
}

impl Membership {
    /// The leaf keys of all devices that may read, by id: those to which an epoch of this view is wrapped. A key that two
    /// devices claim is there once: one of them holds it, and the wrap is that one's.
    #[must_use]
    pub fn readers(&self) -> BTreeMap<Hash, LeafKey> {
        let leaves = self.devices.values().filter_map(|device| device.leaf.clone());
        leaves.map(|leaf| (leaf.id(), leaf)).collect()
    }

    /// Whether an epoch of this view would be made for the same devices, with the same leaf keys, as one of another.
    #[must_use]
    pub fn has_readers_of(&self, other: &Self) -> bool {
        let reading = |membership: &Self| membership.devices.values().filter(|device| device.leaf.is_some()).count();
        let same = |(author, device): (&AuthorKey, &Arc<Device>)| {
            let here = self.devices.get(author);
            device.leaf.is_none() || here.is_some_and(|here| Arc::ptr_eq(here, device) || here.leaf == device.leaf)
        };
        reading(self) == reading(other) && other.devices.iter().all(same)
    }

    /// The device that writes here under this key, if it may do what `role` includes.
    #[must_use]
    pub fn device(&self, author: &AuthorKey, role: Role) -> Option<&Arc<Device>> {
        self.devices.get(author).filter(|device| device.role >= role)
    }

    /// The device that the transport knows by this key. If that key was bound more than once, the first by author key.
    #[must_use]
    pub fn device_of_peer(&self, peer: &PeerId) -> Option<(&AuthorKey, &Arc<Device>)> {
        self.devices_of_peer(peer).next()
    }

    /// The keys by which the transport knows the devices, ascending, each once.
    pub fn transport_peers(&self) -> impl Iterator<Item = &PeerId> {
        self.peers.keys()
    }

    /// All devices that the transport knows by this key, by author key.
    pub fn devices_of_peer(&self, peer: &PeerId) -> impl Iterator<Item = (&AuthorKey, &Arc<Device>)> {
        let authors = self.peers.get(peer).into_iter().flatten();
        authors.filter_map(|author| self.devices.get(author).map(|device| (author, device)))
    }

    /// Whether a device is one of those for whom epochs of this view are made: it was here, with the same leaf key.
    #[must_use]
    pub fn names_reader(&self, author: &AuthorKey, device: &Device) -> bool {
        device.leaf.is_some() && self.devices.get(author).is_some_and(|here| here.leaf == device.leaf)
    }
}
