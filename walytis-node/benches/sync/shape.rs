//! Chains of several shapes.

use std::path::Path;
use std::sync::Arc;

use walytis_core::{AuthorSecret, BlockId, BlockKind, ChainId, Draft, Pending, Place, Store, chains};

use crate::node::{CHAIN, append, now, offline, open};

/// What a chain is like that is joined or caught up with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    Deep,
    Authors,
    Heads,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Deep, Self::Authors, Self::Heads];

    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Deep => "_deep",
            Self::Authors => "_authors",
            Self::Heads => "_heads",
        }
    }

    /// How many of the last blocks stand side by side.
    fn side_by_side(self, blocks: u64) -> u64 {
        if self == Self::Heads { blocks.min(10_000) } else { 0 }
    }

    fn authors(self, blocks: u64) -> u64 {
        match self {
            Self::Plain => 1,
            Self::Deep => 2,
            Self::Authors => 200,
            Self::Heads => self.side_by_side(blocks),
        }
    }
}

/// A chain of so many blocks in the store of a folder. A chain of many authors is written into the store itself.
pub(crate) async fn build(folder: &Path, shape: Shape, blocks: u64, bytes: usize) -> ChainId {
    let node = offline(folder);
    let chain = node.new_chain(CHAIN).await.unwrap().chain;
    if shape == Shape::Plain {
        append(&node, blocks, bytes).await;
    }
    node.shutdown().await;
    drop(node);
    if shape != Shape::Plain {
        insert(&open(folder), chain, shape, blocks, bytes);
    }
    chain
}

/// An author of these benchmarks, the same in each process.
pub(crate) fn author(number: u64) -> AuthorSecret {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    AuthorSecret::from_seed(&seed)
}

/// Writes blocks of authors who take turns, each behind the one before; of [`Shape::Heads`], one author's, and behind the
/// last of them others' side by side.
fn insert(store: &Arc<dyn Store>, chain: ChainId, shape: Shape, blocks: u64, bytes: usize) {
    let mut view = Pending::new(Arc::clone(store));
    let authors: Vec<AuthorSecret> = (0..shape.authors(blocks)).map(author).collect();
    let one_behind_another = blocks - shape.side_by_side(blocks);
    let mut below = BlockId::from(chain);
    for number in 0..blocks {
        let apart = number.checked_sub(one_behind_another);
        let turn = if shape == Shape::Heads { apart.unwrap_or(0) } else { number % shape.authors(blocks) };
        let author = &authors[usize::try_from(turn).unwrap()];
        let previous = chains::previous(&view, chain, author.public()).unwrap();
        let parents = if previous.is_some_and(|(id, _)| below == id) { Vec::new() } else { vec![below] };
        let draft = Draft {
            kind: BlockKind::Content,
            place: Place::After { chain, parents, previous },
            foreign: Vec::new(),
            topics: Vec::new(),
            content: vec![b'x'; bytes],
        };
        let block = draft.sign_alone(author, now()).unwrap();
        chains::insert(&mut view, &block).unwrap();
        if apart.is_none() {
            below = block.id();
        }
        let full = number % 1_000 == 999 || number + 1 == blocks;
        if let Some((number, batch)) = full.then(|| view.close_step()).flatten() {
            store.commit(&batch).unwrap();
            view.committed(number);
        }
    }
}
