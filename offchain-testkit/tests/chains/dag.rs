//! Random graphs of blocks by several authors, forks among them, and the model of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use offchain_store::{RootKey, SealedStore};
use offchain_testkit::MemoryStore;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use walytis_core::{
    AuthorSecret, BlockId, BlockKind, ChainId, Draft, HybridSecret, Pending, Place, Store, StoredBlock, Timestamp,
    chains::{self, Inserted},
};

/// How many topics there are to choose from.
pub(crate) const TOPICS: u8 = 4;

/// One block to be made.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) author: usize,
    pub(crate) kind: u8,
    /// Behind the heads, or behind any blocks; behind the genesis if the list is empty.
    pub(crate) parents: Option<Vec<Index>>,
    /// The author goes on from its last block; otherwise from an earlier one of its blocks, or none.
    pub(crate) forks: bool,
    pub(crate) topics: Vec<u8>,
    pub(crate) bytes: usize,
    pub(crate) created_at_ms: u64,
    /// Whether what was inserted so far becomes durable.
    pub(crate) commits: bool,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    (
        0..4_usize,
        0..20_u8,
        proptest::option::weighted(0.5, proptest::collection::vec(any::<Index>(), 1..4)),
        proptest::bool::weighted(0.1),
        proptest::collection::vec(0..TOPICS, 0..3),
        0..200_usize,
        0..1_000_u64,
        proptest::bool::weighted(0.3),
    )
        .prop_map(|(author, kind, parents, forks, topics, bytes, created_at_ms, commits)| Step {
            author,
            kind,
            parents,
            forks,
            topics,
            bytes,
            created_at_ms,
            commits,
        })
}

pub(crate) fn steps(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), count)
}

pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// A chain as it is kept, and every block of it in the order of arrival.
pub(crate) struct Dag {
    pub(crate) view: Pending,
    pub(crate) chain: ChainId,
    pub(crate) blocks: Vec<StoredBlock>,
    /// The positions of each block's ancestors.
    pub(crate) ancestors: Vec<BTreeSet<usize>>,
    pub(crate) authors: Vec<AuthorSecret>,
    store: Arc<dyn Store>,
    device: HybridSecret,
    rng: ChaCha20Rng,
}

/// What lies under a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Under {
    Memory,
    Sealed,
}

impl Dag {
    /// A private chain: operations, checkpoints and private blocks, without topics.
    pub(crate) fn new(under: Under) -> Self {
        Self::founded(under, BlockKind::Operation)
    }

    /// A public chain: content alone.
    pub(crate) fn public(under: Under) -> Self {
        Self::founded(under, BlockKind::Content)
    }

    /// One of the two, and these blocks on it.
    pub(crate) fn grown(under: Under, steps: &[Step]) -> Self {
        let public = steps.first().is_some_and(|first| first.author % 2 == 0);
        let mut dag = if public { Self::public(under) } else { Self::new(under) };
        steps.iter().for_each(|step| dag.grow(step));
        dag
    }

    fn founded(under: Under, kind: BlockKind) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let store: Arc<dyn Store> = match under {
            Under::Memory => Arc::new(MemoryStore::new()),
            Under::Sealed => {
                let key = RootKey::generate(&mut rng);
                let random = Box::new(ChaCha20Rng::seed_from_u64(8));
                Arc::new(SealedStore::create(MemoryStore::new(), &key, random).expect("an empty store"))
            }
        };
        Self::over(store, kind)
    }

    pub(crate) fn over(store: Arc<dyn Store>, kind: BlockKind) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let mut dag = Self {
            view: Pending::new(Arc::clone(&store)),
            chain: ChainId::ZERO,
            blocks: Vec::new(),
            ancestors: Vec::new(),
            authors: (0..4).map(|_| AuthorSecret::generate(&mut rng)).collect(),
            store,
            device: HybridSecret::generate(&mut rng),
            rng,
        };
        let draft = Draft {
            kind,
            place: Place::Genesis([3; 32]),
            foreign: Vec::new(),
            topics: Vec::new(),
            content: b"genesis".to_vec(),
        };
        dag.add(0, draft, 0);
        dag.chain = dag.blocks[0].block.chain();
        dag
    }

    pub(crate) fn grow(&mut self, step: &Step) {
        let kind = match (self.blocks[0].block.header().kind, step.kind) {
            (BlockKind::Content, _) => BlockKind::Content,
            (_, 0) => BlockKind::Operation,
            (_, 1) => BlockKind::Checkpoint,
            _ => BlockKind::Private,
        };
        let author = self.authors[step.author].public();
        let own: Vec<usize> = self.positions(|stored| stored.block.header().author == author);
        // A fork goes on from half-way.
        let last = if step.forks { own.get(own.len() / 2) } else { own.last() };
        let previous = last.map(|position| {
            let stored = &self.blocks[*position];
            (stored.block.id(), stored.block.header().sequence)
        });
        let parents = match &step.parents {
            None => chains::heads(&self.view, self.chain).expect("a store").into_iter().take(32).collect(),
            Some(parents) if parents.is_empty() => vec![self.chain.into()],
            Some(parents) => {
                parents.iter().map(|index| self.blocks[index.index(self.blocks.len())].block.id()).collect()
            }
        };
        let topics = if kind == BlockKind::Content { &step.topics[..] } else { &[] };
        let draft = Draft {
            kind,
            place: Place::After { chain: self.chain, parents, previous },
            foreign: Vec::new(),
            topics: topics.iter().map(|topic| vec![b't', *topic]).collect(),
            content: vec![u8::try_from(step.bytes).expect("less than 256"); step.bytes],
        };
        self.add(step.author, draft, step.created_at_ms);
        if step.commits {
            self.commit();
        }
    }

    /// Adds a block of this kind behind the parents that its author is to choose.
    pub(crate) fn merge(&mut self, kind: BlockKind) {
        let author = self.authors[0].public();
        let place = chains::next_place(&self.view, self.chain, author).expect("a store");
        let draft = Draft { kind, place, foreign: Vec::new(), topics: Vec::new(), content: Vec::new() };
        self.add(0, draft, 0);
    }

    /// Makes everything durable.
    pub(crate) fn commit(&mut self) {
        if let Some((number, batch)) = self.view.close_step() {
            self.store.commit(&batch).expect("a sound store");
            self.view.committed(number);
        }
    }

    fn add(&mut self, author: usize, draft: Draft, created_at_ms: u64) {
        let block = draft
            .sign(&self.authors[author], &self.device, Timestamp(created_at_ms), &mut self.rng)
            .expect("a block that keeps the rules");
        let Inserted { position, generation, .. } =
            chains::insert(&mut self.view, &block).expect("its parents are there");
        // The same block twice: a step that makes what is there already.
        if position < self.blocks.len() as u64 {
            return;
        }
        let mut below = BTreeSet::new();
        for parent in block.header().all_parents() {
            let position = self.position(parent);
            below.insert(position);
            below.extend(&self.ancestors[position]);
        }
        self.blocks.push(StoredBlock { block, position, generation });
        self.ancestors.push(below);
    }

    pub(crate) fn position(&self, id: BlockId) -> usize {
        self.blocks.iter().position(|stored| stored.block.id() == id).expect("a block of the chain")
    }

    pub(crate) fn positions(&self, wanted: impl Fn(&StoredBlock) -> bool) -> Vec<usize> {
        (0..self.blocks.len()).filter(|position| wanted(&self.blocks[*position])).collect()
    }

    /// The ids, ascending, of those among some positions that are below no other of them.
    pub(crate) fn heads_among(&self, positions: &[usize]) -> Vec<BlockId> {
        let below: BTreeSet<usize> =
            positions.iter().flat_map(|position| &self.ancestors[*position]).copied().collect();
        let mut heads: Vec<BlockId> = positions
            .iter()
            .filter(|position| !below.contains(position))
            .map(|position| self.blocks[*position].block.id())
            .collect();
        heads.sort_unstable();
        heads
    }

    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.blocks.len()).collect()
    }

    pub(crate) fn operations(&self) -> Vec<usize> {
        self.positions(|stored| stored.block.header().kind == BlockKind::Operation)
    }
}
