//! What this device writes: new identities, operations, epochs, and the place of every block.

use std::sync::Arc;

use rand_core::CryptoRng;
use walytis_core::limits::PARENTS_MAX;
use walytis_core::{
    AuthorSecret, BlockError, BlockId, BlockKind, ChainError, ChainId, Draft, ForeignHead, HybridSecret, Pending,
    Place, StoreError, StoredBlock, Timestamp, chains,
};
use zeroize::Zeroizing;

use crate::fold::{Fold, FoldError};
use crate::keyring::{self, KeyringError, LocalDevice};
use crate::operation::{BeginEpoch, Binding, Founder, Genesis, History, Operation, Purpose, SignedBinding};
use crate::{EpochContext, EpochSeed, LeafSecret, Refusal, Role, WrapError, Wraps, epochs};

/// Why this device could not write.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// A chain could not be read or added to.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A membership could not be computed.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A secret is missing or damaged.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The block would break a rule.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The block would not be accepted, by us or by anybody else.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The wraps of an epoch could not be made or opened.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// This device may not do that here.
    #[error("this device has no right to do that in the group")]
    NoRight,
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Chain(ChainError::Store(error))
    }
}

/// A block to be written, apart from its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the block is for.
    pub kind: BlockKind,
    /// Its content.
    pub content: Vec<u8>,
    /// The heads of other chains that it names.
    pub foreign: Vec<ForeignHead>,
}

impl Entry {
    /// An operation that names no other chain.
    #[must_use]
    pub fn operation(operation: &Operation) -> Self {
        Self { kind: BlockKind::Operation, content: operation.encode(), foreign: Vec::new() }
    }
}

/// What everything that is written needs: the view, the fold, the time and randomness.
pub struct Desk<'a> {
    /// The store and what is on its way there.
    pub view: &'a mut Pending,
    /// The fold over operations.
    pub fold: &'a mut Fold,
    /// The wall clock's reading.
    pub now: Timestamp,
    /// Fresh randomness.
    pub rng: &'a mut dyn CryptoRng,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("now", &self.now).finish_non_exhaustive()
    }
}

fn random32(rng: &mut dyn CryptoRng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

impl LocalDevice {
    /// Makes a device identity and a user identity that it manages, each with a chain of its own, and keeps their
    /// secrets. All of it is one step.
    ///
    /// # Errors
    /// [`WriteError`] if the store fails.
    pub fn create(desk: &mut Desk<'_>) -> Result<Self, WriteError> {
        let secret = HybridSecret::generate(desk.rng);
        let transport = Zeroizing::new(random32(desk.rng));
        let mut device = Self::new(ChainId::ZERO, ChainId::ZERO, secret, transport);
        let founder = Founder::Key { key: Box::new(device.secret.public().clone()), peer: device.peer() };
        let genesis = Genesis { purpose: Purpose::Identity, founder, history: History::All };
        let place = random32(desk.rng);
        let author = AuthorSecret::generate(desk.rng);
        device.identity = device.found(desk, place, genesis, Vec::new(), &author)?;
        device.user = device.found_with(desk, vec![device.identity], Purpose::Identity, History::All)?;
        keyring::put_device(desk.view, &device);
        Ok(device)
    }

    /// Makes a group identity that this device's user founds and manages, with its first epoch.
    ///
    /// # Errors
    /// [`WriteError`] if the store fails.
    pub fn found_group(&self, desk: &mut Desk<'_>, history: History) -> Result<ChainId, WriteError> {
        let group = self.found_with(desk, vec![self.user, self.identity], Purpose::OwnContent, history)?;
        self.begin_epoch(desk, group)?;
        Ok(group)
    }

    fn found_with(
        &self,
        desk: &mut Desk<'_>,
        path: Vec<ChainId>,
        purpose: Purpose,
        history: History,
    ) -> Result<ChainId, WriteError> {
        let place = random32(desk.rng);
        let foreign = heads_of(desk.view, path.first().copied())?;
        let leaf = (purpose != Purpose::Identity).then(|| LeafSecret::generate(desk.rng));
        let author = AuthorSecret::generate(desk.rng);
        let signed = self.bind(path, &place, &author, leaf.as_ref(), desk.rng);
        let genesis = Genesis { purpose, founder: Founder::Identity(Box::new(signed)), history };
        let chain = self.found(desk, place, genesis, foreign, &author)?;
        if let Some(leaf) = leaf {
            keyring::put_leaf(desk.view, chain, &leaf);
        }
        Ok(chain)
    }

    fn found(
        &self,
        desk: &mut Desk<'_>,
        place: [u8; 32],
        genesis: Genesis,
        foreign: Vec<ForeignHead>,
        author: &AuthorSecret,
    ) -> Result<ChainId, WriteError> {
        let content = Operation::Genesis(genesis).encode();
        let draft =
            Draft { kind: BlockKind::Operation, place: Place::Genesis(place), foreign, topics: vec![], content };
        let block = draft.sign(author, &self.secret, desk.now, desk.rng)?;
        let judged = desk.fold.judge(desk.view, block.parsed().clone())?;
        let chain = judged.block.chain();
        chains::insert(desk.view, &judged.block)?;
        keyring::put_author(desk.view, chain, author);
        Ok(chain)
    }

    /// Binds keys of this device for one chain, and signs that.
    pub fn bind(
        &self,
        path: Vec<ChainId>,
        place: &[u8; 32],
        author: &AuthorSecret,
        leaf: Option<&LeafSecret>,
        rng: &mut dyn CryptoRng,
    ) -> SignedBinding {
        let binding = Binding {
            path,
            device: self.secret.public().id(),
            author: author.public(),
            leaf: leaf.map(|leaf| leaf.public().clone()),
            peer: self.peer(),
        };
        binding.sign(place, &self.secret, author, &AuthorSecret::from_seed(&self.transport), rng)
    }

    /// Where this device's next block on a chain stands: behind the heads. If there are too many, behind those that
    /// [`chains::next_place`] names: all heads of operations among them after [`LocalDevice::merge_operations`].
    ///
    /// # Errors
    /// [`WriteError`] if the store fails or this device has no key on the chain.
    pub fn place(&self, desk: &Desk<'_>, chain: ChainId) -> Result<(Arc<AuthorSecret>, Place), WriteError> {
        let author = self.author(desk.view, chain)?;
        let place = chains::next_place(desk.view, chain, author.public())?;
        Ok((author, place))
    }

    /// Writes a block behind the heads of a chain.
    ///
    /// # Errors
    /// [`WriteError`] if this device may not, or the store fails.
    pub fn append(&self, desk: &mut Desk<'_>, chain: ChainId, entry: Entry) -> Result<StoredBlock, WriteError> {
        let (author, place) = self.place(desk, chain)?;
        self.append_at(desk, &author, place, entry)
    }

    /// Writes a block at a place that [`LocalDevice::place`] gave.
    ///
    /// # Errors
    /// [`WriteError`] if this device may not, or the store fails.
    pub fn append_at(
        &self,
        desk: &mut Desk<'_>,
        author: &AuthorSecret,
        place: Place,
        entry: Entry,
    ) -> Result<StoredBlock, WriteError> {
        let draft = Draft { kind: entry.kind, place, foreign: entry.foreign, topics: vec![], content: entry.content };
        let block = draft.sign(author, &self.secret, desk.now, desk.rng)?;
        if entry.kind == BlockKind::Operation {
            // Operations are few, and a wrong one cannot be taken back: judge it as everybody else will.
            desk.fold.judge(desk.view, block.parsed().clone())?;
        } else {
            let before = chains::operations_before(desk.view, &block)?;
            let membership = desk.fold.at(desk.view, block.chain(), &before)?;
            membership.device(&author.public(), Role::Write).ok_or(WriteError::NoRight)?;
        }
        let chains::Inserted { position, generation, .. } = chains::insert(desk.view, &block)?;
        Ok(StoredBlock { block, position, generation })
    }

    /// Merges the heads of operations of a chain until one block can name them all: a block that cannot has not all of the
    /// view among its ancestors, and what it rests on (an epoch, an invitation, its author's own admission) may be what it
    /// lacks. Returns the operations that this took: none, unless there were more than [`PARENTS_MAX`] heads.
    ///
    /// # Errors
    /// [`WriteError`] if this device may not write there, or the store fails.
    pub fn merge_operations(&self, desk: &mut Desk<'_>, chain: ChainId) -> Result<Vec<StoredBlock>, WriteError> {
        let mut merges = Vec::new();
        loop {
            let heads = chains::operation_heads(desk.view, chain)?;
            if heads.len() <= PARENTS_MAX {
                return Ok(merges);
            }
            let mut merged = Err(WriteError::NoRight);
            // A device that has not written yet has its right from one of them.
            for some in heads.chunks(PARENTS_MAX) {
                let (author, mut place) = self.place(desk, chain)?;
                if let Place::After { parents, .. } = &mut place {
                    *parents = some.to_vec();
                }
                merged = self.append_at(desk, &author, place, Entry::operation(&Operation::Merge));
                match &merged {
                    Err(WriteError::NoRight) => {}
                    Err(WriteError::Refused(refusal)) if !refusal.is_ours() => {}
                    _ => break,
                }
            }
            merges.push(merged?);
        }
    }

    /// Begins a new epoch for exactly the readers of the current view, with one wrap for each, and keeps its seed and
    /// its wraps. Returns the operation that began it.
    ///
    /// # Errors
    /// [`WriteError`] if this device may not write in the group, or the store fails.
    pub fn begin_epoch(&self, desk: &mut Desk<'_>, group: ChainId) -> Result<BlockId, WriteError> {
        self.merge_operations(desk, group)?;
        let view = chains::operation_heads(desk.view, group)?;
        let membership = desk.fold.at(desk.view, group, &view)?;
        let readers: Vec<_> = membership.readers().into_values().collect();
        let seed = EpochSeed::generate(desk.rng);
        let context = EpochContext::new(group, &view);
        let wraps = Wraps::make(&seed, &readers, &context, desk.rng)?;
        let begin = Operation::BeginEpoch(BeginEpoch { view, seed: seed.hash(), wraps: wraps.root() });
        let stored = self.append(desk, group, Entry::operation(&begin))?;
        let epoch = stored.block.id();
        keyring::put_epoch(desk.view, epoch, &seed);
        epochs::put_wraps(desk.view, epoch, &wraps);
        Ok(epoch)
    }
}

fn heads_of(view: &Pending, chain: Option<ChainId>) -> Result<Vec<ForeignHead>, ChainError> {
    let Some(chain) = chain else { return Ok(Vec::new()) };
    Ok(chains::heads(view, chain)?.into_iter().map(|block| ForeignHead { chain, block }).collect())
}
