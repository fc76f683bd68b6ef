//! Which devices are members of which groups, so that what anybody can ask at any time reads and folds nothing.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::{ChainId, Hash, HybridKey, PeerId};
use walytis_identities::session::{Asks, Directory};
use walytis_identities::{InvitationId, Membership};

use super::Engine;
use super::event::EngineError;

/// The groups of each device, by the key by which the transport knows it. It is as large as the groups are: a group has at
/// most 1,024 devices, by a rule of validity.
///
/// **Invariant:** of a group that is not in `stale`, it says what the current membership says.
#[derive(Default)]
pub(super) struct MemberIndex {
    groups_of: BTreeSet<(PeerId, ChainId)>,
    /// The same pairs, the other way round.
    peers_of: BTreeSet<(ChainId, PeerId)>,
    /// The invitations of each group, and whether somebody may still come in by them.
    invitations: BTreeMap<(ChainId, Hash), bool>,
    /// Groups whose operations have changed since they were looked at.
    stale: BTreeSet<ChainId>,
}

impl MemberIndex {
    /// An index that has yet to look at these groups.
    pub(super) fn of(groups: impl Iterator<Item = ChainId>) -> Self {
        Self { stale: groups.collect(), ..Self::default() }
    }

    /// Notes that a group's operations are others now, or may be.
    pub(super) fn changed(&mut self, group: ChainId) {
        self.stale.insert(group);
    }

    /// Notes who is a member of a group.
    fn learn(&mut self, group: ChainId, membership: &Membership) {
        let peers: BTreeSet<PeerId> = membership.transport_peers().copied().collect();
        let gone: Vec<PeerId> = self.peers_in(group).filter(|peer| !peers.contains(peer)).collect();
        for peer in gone {
            self.peers_of.remove(&(group, peer));
            self.groups_of.remove(&(peer, group));
        }
        for peer in peers {
            if self.peers_of.insert((group, peer)) {
                self.groups_of.insert((peer, group));
            }
        }
        self.invitations.retain(|(of, id), _| *of != group || membership.invitations.contains_key(id));
        let invitations = membership.invitations.iter().map(|(id, known)| ((group, *id), known.is_open()));
        self.invitations.extend(invitations);
    }

    fn peers_in(&self, group: ChainId) -> impl Iterator<Item = PeerId> + '_ {
        let from = (group, PeerId([0; 32]));
        self.peers_of.range(from..).take_while(move |(of, _)| *of == group).map(|(_, peer)| *peer)
    }

    fn groups_with(&self, peer: PeerId) -> impl Iterator<Item = ChainId> + '_ {
        let from = (peer, ChainId([0; 32]));
        self.groups_of.range(from..).take_while(move |(of, _)| *of == peer).map(|(_, group)| *group)
    }
}

/// What our groups say about a peer's device, and about the invitation that its flight names.
#[derive(Default)]
pub(super) struct Consulted {
    devices: Vec<(PeerId, HybridKey)>,
    invitation: Option<(ChainId, Hash)>,
}

impl Consulted {
    /// The key of one of the peer's devices.
    pub(super) fn into_key(self) -> Option<HybridKey> {
        self.devices.into_iter().next().map(|(_, key)| key)
    }

    /// Whether nothing that a flight can ask for is known.
    pub(super) const fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.invitation.is_none()
    }
}

impl Directory for Consulted {
    fn device(&self, key: &Hash, peer: &PeerId) -> Option<HybridKey> {
        self.devices
            .iter()
            .find(|(known, device)| known == peer && device.id() == *key)
            .map(|(_, device)| device.clone())
    }

    fn invites(&self, group: &ChainId, invitation: &InvitationId) -> bool {
        self.invitation == Some((*group, invitation.0))
    }
}

impl Engine {
    /// Looks at the groups whose operations have changed.
    fn refresh_members(&mut self) -> Result<(), EngineError> {
        while let Some(group) = self.members.stale.first().copied() {
            if self.name_of(group).is_some() {
                let membership = self.parts.membership(group)?;
                self.members.learn(group, &membership);
            }
            self.members.stale.remove(&group);
        }
        Ok(())
    }

    /// Whether a device of this peer is a member of any group here.
    pub(super) fn is_member(&mut self, peer: PeerId) -> Result<bool, EngineError> {
        self.refresh_members()?;
        Ok(self.members.groups_with(peer).next().is_some())
    }

    /// Whether a device of this peer is a member of this group.
    pub(super) fn is_member_of(&mut self, peer: PeerId, group: ChainId) -> Result<bool, EngineError> {
        self.refresh_members()?;
        Ok(self.members.groups_of.contains(&(peer, group)))
    }

    /// The groups of which a device of this peer is a member, in the order of their names here.
    pub(super) fn groups_with(&mut self, peer: PeerId) -> Result<Vec<ChainId>, EngineError> {
        self.refresh_members()?;
        let shared: BTreeSet<ChainId> = self.members.groups_with(peer).collect();
        Ok(self.names.iter().map(|(group, _)| *group).filter(|group| shared.contains(group)).collect())
    }

    /// The transport keys of all devices with which this one shares a group.
    pub(super) fn member_peers(&mut self) -> Result<Vec<PeerId>, EngineError> {
        self.refresh_members()?;
        let mut peers: Vec<PeerId> = self.members.groups_of.iter().map(|(peer, _)| *peer).collect();
        peers.dedup();
        let own = self.device.peer();
        peers.retain(|peer| *peer != own);
        Ok(peers)
    }

    /// The keys that our groups know behind a peer.
    pub(super) fn devices_of(&mut self, peer: PeerId) -> Result<Consulted, EngineError> {
        let mut found = Consulted::default();
        for group in self.groups_with(peer)? {
            let membership = self.parts.membership(group)?;
            found.devices.extend(membership.devices_of_peer(&peer).map(|(_, device)| (peer, device.key.clone())));
        }
        Ok(found)
    }

    /// What there is to say to a first flight: the memberships alone that it asks for are looked at, and of a join none, since
    /// whoever asks need have proved nothing.
    pub(super) fn consult(&mut self, peer: PeerId, asks: Asks) -> Result<Consulted, EngineError> {
        match asks {
            Asks::Member { .. } => self.devices_of(peer),
            Asks::Join { group, invitation } if self.name_of(group).is_some() => {
                self.refresh_members()?;
                let known = self.members.invitations.contains_key(&(group, invitation.0));
                Ok(Consulted { invitation: known.then_some((group, invitation.0)), ..Consulted::default() })
            }
            _ => Ok(Consulted::default()),
        }
    }

    /// Whether an invitation of a group here may admit nobody new.
    pub(super) fn is_spent(&mut self, group: ChainId, invitation: InvitationId) -> Result<bool, EngineError> {
        self.refresh_members()?;
        Ok(!self.members.invitations.get(&(group, invitation.0)).copied().unwrap_or_default())
    }
}
