//! Whether a block may enter the set: a function of the block and its ancestors, and of nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use walytis_core::limits::NESTING_MAX;
use walytis_core::{
    BlockError, BlockId, BlockKind, ChainError, ChainId, FormatVersion, HybridKey, ParsedBlock, Pending, VerifiedBlock,
    chains, planted,
};

use crate::fold::{Fold, FoldError, Step, name, read_step};
use crate::invitation::join_transcript;
use crate::membership::Membership;
use crate::operation::{Admit, Binding, Founder, Operation, OperationError, Purpose};
use crate::{Map, Role};

/// The most devices of a group. Who makes an epoch writes a wrap for each, some 1,600 bytes with its proof, in one commit.
const DEVICES_MAX: usize = 1024;

/// The most bytes of a private block's body. Today's have 71; those of later programs are kept unread, so they are to be
/// small, whatever is in them. What is large stands beside the block.
const PRIVATE_BODY_BYTES_MAX: usize = 4 * 1024;

/// Why a block may not enter the set.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The block is malformed or its signature does not verify.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Its ancestors could not be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// Its author may not make such a block in the fold over the block's ancestors.
    #[error("the author of block {id} has no right to make it")]
    NoRight {
        /// The block.
        id: BlockId,
    },
    /// It breaks a rule of its kind.
    #[error("block {id} breaks the rules: {rule}")]
    Rule {
        /// The block.
        id: BlockId,
        /// The rule.
        rule: &'static str,
    },
    /// It is of a format that this program knows on public chains only.
    #[error("block {id} has format version {version}, and groups take only version 1 so far: update the program")]
    Format {
        /// The block.
        id: BlockId,
        /// Its version.
        version: FormatVersion,
    },
    /// It names blocks of other chains that are not here yet.
    #[error("block {id} names blocks of other chains that are missing")]
    ForeignMissing {
        /// The block.
        id: BlockId,
    },
}

impl From<ChainError> for Refusal {
    fn from(error: ChainError) -> Self {
        Self::Fold(FoldError::Chain(error))
    }
}

impl Refusal {
    /// The version or kind of an operation or a block that this program does not know, if that is the reason: whoever sent
    /// the block may be honest, and newer.
    #[must_use]
    pub fn newer_number(&self) -> Option<u32> {
        match self {
            Self::Block(BlockError::Newer { version, .. }) => Some(u32::from(*version)),
            Self::Format { version, .. } => Some(u32::from(version.number())),
            Self::Fold(FoldError::Operation { reason: OperationError::Kind(kind), .. }) => Some(u32::from(*kind)),
            Self::Fold(FoldError::Operation { reason: OperationError::Codec(error), .. }) if error.is_newer() => {
                Some(error.number())
            }
            _ => None,
        }
    }

    /// Whether our own store is the reason, not the block.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        match self {
            Self::Fold(FoldError::Chain(error)) => !error.is_about_block(),
            _ => false,
        }
    }
}

/// A block that may enter the set, with the membership in its ancestors. A genesis comes with the one that it founds.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The block, its signature verified.
    pub block: VerifiedBlock,
    /// The membership before the block.
    pub membership: Arc<Membership>,
}

impl Fold {
    /// Judges a block whose ancestors, those on other chains included, are all in the view.
    ///
    /// # Errors
    /// [`Refusal`] says why the block may not enter the set.
    pub fn judge(&mut self, view: &Pending, block: ParsedBlock) -> Result<Judged, Refusal> {
        let id = block.id();
        let version = block.header().version;
        if version != FormatVersion::V1 && !walytis_core::mutant!(TakeNewerIntoGroups) {
            return Err(Refusal::Format { id, version });
        }
        for head in &block.header().foreign {
            if chains::block(view, head.block)?.is_none_or(|stored| stored.block.chain() != head.chain) {
                return Err(Refusal::ForeignMissing { id });
            }
        }
        if chains::foreign_ancestors(view, &block.header().foreign)?.is_none() && !walytis_core::mutant!(RestOnAnything)
        {
            return Err(Refusal::Rule { id, rule: "the blocks of other chains that it rests on have at most 256 KiB" });
        }
        if block.header().genesis.is_some() {
            return self.judge_genesis(view, block);
        }
        let before = if planted!(JudgeByView) {
            chains::operation_heads(view, block.chain())?
        } else {
            chains::operations_before(view, &block)?
        };
        let membership = self.at(view, block.chain(), &before)?;
        let role = if block.header().kind == BlockKind::Operation { Role::Read } else { Role::Write };
        let key = match membership.device(&block.header().author, role) {
            Some(device) => Some(device.key.clone()),
            None if planted!(SkipAuthor) => None,
            None => return Err(Refusal::NoRight { id }),
        };
        match block.header().kind {
            BlockKind::Operation => {
                let step = read_step(&block, 0)?;
                self.judge_operation(view, &membership, &before, &step)?;
            }
            BlockKind::Private if block.content().len() > PRIVATE_BODY_BYTES_MAX => {
                return Err(Refusal::Rule { id, rule: "a private block's body has at most 4 KiB" });
            }
            BlockKind::Private if membership.purpose != Purpose::Identity => {}
            _ => return Err(Refusal::Rule { id, rule: "this chain takes no blocks of this kind" }),
        }
        Ok(Judged { block: block.verify(key.as_ref())?, membership })
    }

    fn judge_genesis(&mut self, view: &Pending, block: ParsedBlock) -> Result<Judged, Refusal> {
        let id = block.id();
        if block.header().kind != BlockKind::Operation {
            return Err(Refusal::Rule { id, rule: "an identity's first block is an operation" });
        }
        let step = read_step(&block, 0)?;
        let Operation::Genesis(genesis) = &step.operation else {
            return Err(Refusal::Rule { id, rule: "the first operation is a genesis" });
        };
        let place = block.header().genesis.unwrap_or_default();
        let key = match &genesis.founder {
            Founder::Key { key, .. } => {
                if genesis.purpose != Purpose::Identity || !step.foreign.is_empty() {
                    return Err(Refusal::Rule { id, rule: "a device's chain is an identity and names no other" });
                }
                HybridKey::clone(key)
            }
            Founder::Identity(founder) => {
                if matches!(genesis.purpose, Purpose::ContentOf(_)) {
                    return Err(Refusal::Rule {
                        id,
                        rule: "chains with content for another identity are not known yet",
                    });
                }
                let named = named_by(&step);
                let key = self.judge_binding(view, block.chain(), &step, &founder.binding, genesis.purpose, &named)?;
                if founder.binding.author != step.author {
                    return Err(Refusal::Rule { id, rule: "the founder writes the genesis" });
                }
                founder.verify(&place, &key).map_err(|_| BlockError::Signature { id })?;
                key
            }
        };
        let membership = self.founded(view, block.chain(), &step, genesis)?;
        Ok(Judged { block: block.verify(Some(&key))?, membership: Arc::new(membership) })
    }

    fn judge_operation(
        &mut self,
        view: &Pending,
        membership: &Membership,
        before: &[BlockId],
        step: &Step,
    ) -> Result<(), Refusal> {
        let id = step.id;
        let role = match &step.operation {
            Operation::Genesis(_) => return Err(Refusal::Rule { id, rule: "a chain has one genesis" }),
            Operation::OpenInvitation(_) | Operation::Admit(_) => Role::Manage,
            Operation::BeginEpoch(_) | Operation::Merge => Role::Write,
        };
        if membership.device(&step.author, role).is_none() && !planted!(SkipRole) {
            return Err(Refusal::NoRight { id });
        }
        if !step.foreign.is_empty()
            && !matches!(step.operation, Operation::Admit(_))
            && !walytis_core::mutant!(NameOtherChains)
        {
            return Err(Refusal::Rule { id, rule: "only an admission names other chains" });
        }
        match &step.operation {
            Operation::OpenInvitation(open) => {
                if open.uses == 0 || membership.invitations.contains_key(&open.invitation) {
                    return Err(Refusal::Rule { id, rule: "an invitation is new and has at least one use" });
                }
            }
            Operation::Admit(admit) => self.judge_admission(view, membership, step, admit)?,
            Operation::BeginEpoch(begin) => {
                if (begin.view != before || membership.purpose == Purpose::Identity)
                    && !walytis_core::mutant!(BeginForAnyView)
                {
                    return Err(Refusal::Rule { id, rule: "an epoch is for the view of its own ancestors" });
                }
            }
            Operation::Genesis(_) | Operation::Merge => {}
        }
        Ok(())
    }

    fn judge_admission(
        &mut self,
        view: &Pending,
        membership: &Membership,
        step: &Step,
        admit: &Admit,
    ) -> Result<(), Refusal> {
        let id = step.id;
        let binding = &admit.joiner.binding;
        let invitation = membership.invitations.get(&admit.invitation.id());
        if !invitation.is_some_and(crate::Invitation::is_open) && !walytis_core::mutant!(AdmitByClosed) {
            return Err(Refusal::Rule { id, rule: "an admission uses an open invitation" });
        }
        let Some(member) = binding.path.first() else {
            return Err(Refusal::Rule { id, rule: "a binding's path leads to a device" });
        };
        if (membership.members.contains_key(member) || membership.devices.contains_key(&binding.author))
            && !walytis_core::mutant!(AdmitTwice)
        {
            return Err(Refusal::Rule { id, rule: "an admission is of a new member with a new key" });
        }
        if membership.devices.len() >= DEVICES_MAX {
            return Err(Refusal::Rule { id, rule: "a group has at most 1,024 devices" });
        }
        let named = named_by(step);
        let key = self.judge_binding(view, membership.identity, step, binding, membership.purpose, &named)?;
        let proof = join_transcript(&membership.identity, member, &binding.device, &binding.hash(), &admit.session);
        if !walytis_core::mutant!(SkipBinding) {
            admit.joiner.verify(&membership.identity.0, &key).map_err(|_| BlockError::Signature { id })?;
        }
        if !walytis_core::mutant!(SkipInvitationProof) {
            admit.invitation.verify(&proof, &admit.proof).map_err(|_| BlockError::Signature { id })?;
        }
        Ok(())
    }

    /// Checks all of a binding but its signature, and returns the key that has to have made that.
    fn judge_binding(
        &mut self,
        view: &Pending,
        identity: ChainId,
        step: &Step,
        binding: &Binding,
        purpose: Purpose,
        named: &Map<ChainId, BTreeSet<BlockId>>,
    ) -> Result<HybridKey, Refusal> {
        let id = step.id;
        let rule = |rule| Refusal::Rule { id, rule };
        let unique: BTreeSet<&ChainId> = binding.path.iter().collect();
        if binding.path.len() > NESTING_MAX || unique.len() != binding.path.len() || unique.contains(&identity) {
            return Err(rule("a binding's path is at most 8 deep, and no identity is below itself"));
        }
        if !named.keys().eq(binding.path.first()) {
            return Err(rule("an admission names heads of the member's chain, and of no other"));
        }
        if binding.leaf.is_some() != (purpose != Purpose::Identity) && !walytis_core::mutant!(AdmitWithoutLeaf) {
            return Err(rule("a leaf key is published on chains with content, and on no other"));
        }
        if binding.leaf.as_ref().is_some_and(|leaf| leaf.check().is_err()) {
            return Err(rule("a leaf key is well formed"));
        }
        for chain in &binding.path {
            let genesis = chains::block(view, (*chain).into())?.ok_or(Refusal::ForeignMissing { id })?;
            match Operation::decode(genesis.block.content()) {
                Ok(Operation::Genesis(genesis)) if genesis.purpose == Purpose::Identity => {}
                _ => return Err(rule("only identity chains are named")),
            }
        }
        let resolved = self.resolve(view, &binding.path, named)?;
        if usize::from(resolved.depth) >= NESTING_MAX && !walytis_core::mutant!(NestDeeper) {
            return Err(rule("chains nest at most 8 deep"));
        }
        let key = resolved.key;
        if key.id() != binding.device {
            return Err(rule("a binding is by the device's current key"));
        }
        Ok(key)
    }
}

fn named_by(step: &Step) -> Map<ChainId, BTreeSet<BlockId>> {
    let mut named = Map::default();
    name(&mut named, &step.foreign);
    named
}
