//! The fold: from a set of operations to the membership that it means.
//!
//! **Invariant:** the result depends on the set alone, not on the order in which blocks arrived, nor on any clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use walytis_core::{
    AuthorKey, BlockId, ChainError, ChainId, ForeignHead, Hash, HybridKey, ParsedBlock, Pending, Savepoint, chains,
};

use crate::membership::{Device, Epoch, Invitation, Member, Membership, Rank};
use crate::memo::{Base, Memo};
use crate::operation::{Admit, Binding, Founder, Genesis, Operation, OperationError};
use crate::{Map, Role};

/// How many decoded operations are remembered.
const OPERATIONS_MAX: usize = 4096;
/// Of how many epochs it is remembered for whom they are, in 64 bytes each. A membership holds more than that of each.
const READERS_MAX: usize = 65_536;

/// Why a membership could not be computed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoldError {
    /// The store failed or is damaged.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// An operation in the set cannot be read.
    #[error("operation {id} cannot be read: {reason}")]
    Operation {
        /// The block.
        id: BlockId,
        /// Why.
        reason: OperationError,
    },
    /// The set holds no genesis of this chain.
    #[error("chain {0} is not known here")]
    UnknownChain(ChainId),
    /// A device's path through identities does not lead to a key.
    #[error("no path leads from member {member} to its device")]
    Path {
        /// The member.
        member: ChainId,
    },
}

/// One operation, as the fold needs it.
pub(crate) struct Step {
    pub(crate) id: BlockId,
    pub(crate) generation: u64,
    pub(crate) author: AuthorKey,
    pub(crate) foreign: Vec<ForeignHead>,
    pub(crate) operation: Operation,
}

/// Where a path of identities leads.
pub(crate) struct Resolved {
    /// The device's key.
    pub(crate) key: HybridKey,
    /// The least role along the path.
    pub(crate) role: Role,
    /// How deep the chains nest below the member.
    pub(crate) depth: u8,
}

/// Computes memberships and remembers them. It reads operations of any chain through the view that it is given.
#[derive(Default)]
pub struct Fold {
    memberships: Memo,
    steps: BTreeMap<BlockId, Arc<Step>>,
    /// By epoch: [`Membership::readers_tag`] of its view.
    readers: BTreeMap<BlockId, Hash>,
    /// How many memberships were computed.
    computed: u64,
}

impl std::fmt::Debug for Fold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fold").field("memberships", &self.memberships.len()).finish_non_exhaustive()
    }
}

impl Fold {
    /// The membership in the whole set of a chain.
    ///
    /// # Errors
    /// [`FoldError`] if the store fails or the chain is not known.
    pub fn current(&mut self, view: &Pending, chain: ChainId) -> Result<Arc<Membership>, FoldError> {
        let operations = chains::operation_heads(view, chain)?;
        self.at(view, chain, &operations)
    }

    /// The membership in these operations of a chain and their ancestors.
    ///
    /// # Errors
    /// [`FoldError`] if the store fails or the operations are not in the set.
    pub fn at(&mut self, view: &Pending, chain: ChainId, operations: &[BlockId]) -> Result<Arc<Membership>, FoldError> {
        let mut key: Vec<BlockId> = operations.to_vec();
        key.sort_unstable();
        key.dedup();
        if let Some((known, _)) = self.memberships.find(chain, &key) {
            return Ok(known);
        }
        self.computed = self.computed.saturating_add(1);
        let (membership, base) = self.compute(view, chain, &key)?;
        let membership = Arc::new(membership);
        self.memberships.keep(view, (chain, key), Arc::clone(&membership), base);
        Ok(membership)
    }

    /// [`Membership::readers_tag`] in the view of an epoch, which says at little cost whether it can be for certain readers.
    ///
    /// # Errors
    /// As [`Fold::at`].
    pub fn readers_tag(
        &mut self,
        view: &Pending,
        chain: ChainId,
        epoch: BlockId,
        operations: &[BlockId],
    ) -> Result<Hash, FoldError> {
        if let Some(known) = self.readers.get(&epoch) {
            return Ok(*known);
        }
        let tag = self.at(view, chain, operations)?.readers_tag;
        if self.readers.len() >= READERS_MAX {
            self.readers.clear();
        }
        self.readers.insert(epoch, tag);
        Ok(tag)
    }

    /// Forgets the memberships that were computed over what the view's open step wrote behind a point. To be called before
    /// the view goes back there. (What an operation says, and for whom an epoch is, follows from its id.)
    pub fn forget_behind(&mut self, view: &Pending, point: Savepoint) {
        self.memberships.forget_behind(view, point);
    }

    /// Forgets everything that was computed.
    pub fn forget(&mut self) {
        self.memberships.clear();
        self.steps.clear();
    }

    /// How many memberships were computed so far: those that were not remembered.
    #[must_use]
    pub const fn computed(&self) -> u64 {
        self.computed
    }

    /// The bytes of all memberships that are remembered, as the fold counts them: at most 8 MiB, or one membership.
    #[must_use]
    pub const fn remembered_bytes(&self) -> usize {
        self.memberships.bytes()
    }

    /// Returns the membership, and on which of those that are remembered it was computed.
    fn compute(
        &mut self,
        view: &Pending,
        chain: ChainId,
        heads: &[BlockId],
    ) -> Result<(Membership, Option<Base>), FoldError> {
        // Operations one upon the other, on top of a set that is known already: the set's other operations are all
        // ancestors of each, so each is the last in causal order when its turn comes, and can be applied alone.
        let mut upon = Vec::new();
        let mut below = heads.to_vec();
        let mut met = BTreeSet::new();
        while let [head] = below[..] {
            if !met.insert(head) {
                let what = "operations rest on one another in a circle";
                return Err(ChainError::Inconsistent { id: head, what }.into());
            }
            upon.push(head);
            below = chains::operation_parents(view, head)?;
            if let Some((known, base)) = self.memberships.find(chain, &below) {
                let mut membership = Membership::clone(&known);
                for id in upon.iter().rev() {
                    let step = self.step(view, *id)?;
                    self.apply(view, &mut membership, &step)?;
                }
                return Ok((membership, Some(Base { steps: upon.len(), ..base })));
            }
        }
        let steps = self.collect(view, heads)?;
        let mut steps = steps.into_iter();
        let first = steps.next().ok_or(FoldError::UnknownChain(chain))?;
        let Operation::Genesis(genesis) = &first.operation else { return Err(FoldError::UnknownChain(chain)) };
        let steps: Vec<Arc<Step>> = steps.collect();
        let mut fallen = BTreeSet::new();
        loop {
            let mut membership = self.founded(view, chain, &first, genesis)?;
            match self.apply_all(view, &mut membership, &steps, &fallen)? {
                Some(id) => drop(fallen.insert(id)),
                None => return Ok((membership, None)),
            }
        }
    }

    /// Applies operations in causal order, without those that have fallen. Of the admissions by one invitation those stand
    /// whose admitters rank first, one's own by generation, then id: as soon as there is one too many, the last of them
    /// falls. If that one is applied already, its id is returned: what rests on it falls, too, so begin again without it.
    ///
    /// **Invariant:** an operation on top of all others changes nothing of what they mean, so that it can be applied alone.
    fn apply_all(
        &mut self,
        view: &Pending,
        membership: &mut Membership,
        steps: &[Arc<Step>],
        fallen: &BTreeSet<BlockId>,
    ) -> Result<Option<BlockId>, FoldError> {
        let mut admissions: BTreeMap<Hash, BTreeSet<(Rank, u64, BlockId)>> = BTreeMap::new();
        for step in steps.iter().filter(|step| !fallen.contains(&step.id)) {
            if let Operation::Admit(admit) = &step.operation
                && membership.devices.contains_key(&step.author)
                && let Some(invitation) = membership.invitations.get(&admit.invitation.id())
            {
                let standing = admissions.entry(admit.invitation.id()).or_default();
                standing.insert((rank_of(membership, &step.author), step.generation, step.id));
                let uses = usize::try_from(invitation.uses).unwrap_or(usize::MAX);
                match standing
                    .last()
                    .map(|(_, _, last)| *last)
                    .filter(|_| standing.len() > uses && !walytis_core::mutant!(AdmitSurplus))
                {
                    Some(last) if last == step.id => {
                        standing.pop_last();
                        continue;
                    }
                    Some(last) => return Ok(Some(last)),
                    None => {}
                }
            }
            self.apply(view, membership, step)?;
        }
        Ok(None)
    }

    /// These operations and their ancestors in causal order: by generation, then id.
    fn collect(&mut self, view: &Pending, heads: &[BlockId]) -> Result<Vec<Arc<Step>>, FoldError> {
        let mut open: Vec<BlockId> = heads.to_vec();
        let mut found: BTreeMap<(u64, BlockId), Arc<Step>> = BTreeMap::new();
        let mut seen: BTreeSet<BlockId> = heads.iter().copied().collect();
        while let Some(id) = open.pop() {
            let step = self.step(view, id)?;
            found.insert((step.generation, id), step);
            for parent in chains::operation_parents(view, id)? {
                if seen.insert(parent) {
                    open.push(parent);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    fn step(&mut self, view: &Pending, id: BlockId) -> Result<Arc<Step>, FoldError> {
        if let Some(known) = self.steps.get(&id) {
            return Ok(Arc::clone(known));
        }
        let stored = chains::block(view, id)?.ok_or(ChainError::Orphan { id })?;
        let step = Arc::new(read_step(&stored.block, stored.generation)?);
        if self.steps.len() >= OPERATIONS_MAX {
            self.steps.clear();
        }
        self.steps.insert(id, Arc::clone(&step));
        Ok(step)
    }

    /// The membership right after a genesis.
    pub(crate) fn founded(
        &mut self,
        view: &Pending,
        chain: ChainId,
        step: &Step,
        genesis: &Genesis,
    ) -> Result<Membership, FoldError> {
        let mut membership = Membership {
            identity: chain,
            purpose: genesis.purpose,
            history: genesis.history,
            key: None,
            members: Map::default(),
            devices: Map::default(),
            invitations: Map::default(),
            epochs: Map::default(),
            named: Map::default(),
            depth: 0,
            readers_tag: Hash([0; 32]),
            readers_since: 0,
            peers: Map::default(),
        };
        name(&mut membership.named, &step.foreign);
        match &genesis.founder {
            Founder::Key { key, peer } => {
                membership.key = Some(HybridKey::clone(key));
                let device = Device {
                    path: vec![chain],
                    key: HybridKey::clone(key),
                    leaf: None,
                    peer: *peer,
                    role: Role::Manage,
                    bound_by: step.id,
                };
                place(&mut membership, step, step.author, device);
            }
            Founder::Identity(joiner) => {
                self.seat(view, &mut membership, step, &joiner.binding, Role::Manage, Vec::new())?;
            }
        }
        Ok(membership)
    }

    fn apply(&mut self, view: &Pending, membership: &mut Membership, step: &Step) -> Result<(), FoldError> {
        // An epoch is never cancelled: others may have sealed under it. Whether it is still of use depends on its maker.
        if let Operation::BeginEpoch(begin) = &step.operation {
            let epoch = Epoch {
                maker: step.author,
                view: begin.view.clone(),
                generation: step.generation,
                seed: begin.seed,
                wraps: begin.wraps,
            };
            membership.epochs.insert(step.id, Arc::new(epoch));
        }
        // What else rests on an admission that does not stand falls with it: its author is nobody.
        if !membership.devices.contains_key(&step.author) && !walytis_core::mutant!(KeepFallen) {
            return Ok(());
        }
        name(&mut membership.named, &step.foreign);
        match &step.operation {
            Operation::Genesis(_) | Operation::Merge | Operation::BeginEpoch(_) => {}
            Operation::OpenInvitation(open) => {
                let invitation =
                    Invitation { role: open.role, uses: open.uses, used: 0, expires_at_ms: open.expires_at_ms };
                if !membership.invitations.contains_key(&open.invitation) {
                    membership.invitations.insert(open.invitation, invitation);
                }
            }
            Operation::Admit(admit) => self.admit(view, membership, step, admit)?,
        }
        Ok(())
    }

    fn admit(
        &mut self,
        view: &Pending,
        membership: &mut Membership,
        step: &Step,
        admit: &Admit,
    ) -> Result<(), FoldError> {
        let id = admit.invitation.id();
        let Some(role) = membership.invitations.get(&id).map(|invitation| invitation.role) else { return Ok(()) };
        membership.invitations.change(&id, |invitation| invitation.used = invitation.used.saturating_add(1));
        let mut rank = rank_of(membership, &step.author);
        rank.push((step.generation, step.id));
        self.seat(view, membership, step, &admit.joiner.binding, role, rank)
    }

    /// Seats a member with its first device.
    fn seat(
        &mut self,
        view: &Pending,
        membership: &mut Membership,
        step: &Step,
        binding: &Binding,
        role: Role,
        rank: Rank,
    ) -> Result<(), FoldError> {
        // Over the union of what the set names, a path that held where it was named may lead nowhere: then it seats nobody.
        let resolved = match self.resolve(view, &binding.path, &membership.named) {
            Ok(resolved) => resolved,
            Err(FoldError::Path { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(member) = binding.path.first() else { return Ok(()) };
        membership.depth = membership.depth.max(resolved.depth.saturating_add(1));
        if !membership.members.contains_key(member) {
            membership.members.insert(*member, Member { role, admitted_by: step.id, rank });
        }
        // That a device holds its leaf key nobody can prove to others. Whoever claims another's gets wraps that only the
        // other opens, and takes nothing from it: a device reads by its author key and its leaf key together.
        let device = Device {
            path: binding.path.clone(),
            key: resolved.key,
            leaf: binding.leaf.clone(),
            peer: binding.peer,
            role: role.min(resolved.role),
            bound_by: step.id,
        };
        place(membership, step, binding.author, device);
        Ok(())
    }

    /// Follows a path of identities down to a device: its key, and the least role along the path.
    pub(crate) fn resolve(
        &mut self,
        view: &Pending,
        path: &[ChainId],
        named: &Map<ChainId, BTreeSet<BlockId>>,
    ) -> Result<Resolved, FoldError> {
        let Some((member, below)) = path.split_first() else {
            return Err(FoldError::Path { member: ChainId::ZERO });
        };
        let lost = || FoldError::Path { member: *member };
        let heads_in = |named: &Map<ChainId, BTreeSet<BlockId>>, chain: &ChainId| {
            named.get(chain).map(|heads| heads.iter().copied().collect::<Vec<_>>()).ok_or_else(lost)
        };
        let mut role = Role::Manage;
        let mut identity = self.at(view, *member, &heads_in(named, member)?)?;
        let depth = identity.depth;
        for next in below {
            role = role.min(identity.members.get(next).ok_or_else(lost)?.role);
            let heads = heads_in(&identity.named, next)?;
            identity = self.at(view, *next, &heads)?;
        }
        Ok(Resolved { key: identity.key.clone().ok_or_else(lost)?, role, depth })
    }
}

/// Notes heads of other chains that an operation names.
pub(crate) fn name(named: &mut Map<ChainId, BTreeSet<BlockId>>, foreign: &[ForeignHead]) {
    for head in foreign {
        let mut heads = named.get(&head.chain).cloned().unwrap_or_default();
        if heads.insert(head.block) {
            named.insert(head.chain, heads);
        }
    }
}

/// Gives a device its place under its author key, unless that is taken.
fn place(membership: &mut Membership, step: &Step, author: AuthorKey, device: Device) {
    if membership.devices.contains_key(&author) {
        return;
    }
    if let Some(leaf) = &device.leaf {
        let reader = blake3::derive_key("walytis v1 reader", &[author.0, leaf.id().0].concat());
        for (tag, byte) in membership.readers_tag.0.iter_mut().zip(reader) {
            *tag ^= byte;
        }
        membership.readers_since = membership.readers_since.max(step.generation);
    }
    let mut authors = membership.peers.get(&device.peer).cloned().unwrap_or_default();
    authors.insert(author);
    membership.peers.insert(device.peer, authors);
    membership.devices.insert(author, Arc::new(device));
}

fn rank_of(membership: &Membership, author: &AuthorKey) -> Rank {
    let member = membership.devices.get(author).and_then(|device| device.member());
    member.and_then(|member| membership.members.get(&member)).map(|member| member.rank.clone()).unwrap_or_default()
}

pub(crate) fn read_step(block: &ParsedBlock, generation: u64) -> Result<Step, FoldError> {
    let id = block.id();
    let operation = Operation::decode(block.content()).map_err(|reason| FoldError::Operation { id, reason })?;
    let header = block.header();
    Ok(Step { id, generation, author: header.author, foreign: header.foreign.clone(), operation })
}
