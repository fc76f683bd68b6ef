//! What enemies of public chains share: they need no session and no invitation, only an id.

use walytis_core::{
    AuthorSecret, BlockId, BlockKind, ChainId, Draft, Header, Pending, Place, RawBlock, Timestamp, chains,
};
use walytis_engine::public::{PublicMessage, is_public_genesis};
use walytis_engine::sync::{SyncMessage, WireBlock};

use super::Turn;
use crate::NodeId;

/// A public chain that a node follows. `None` if it follows none.
pub(super) fn chain_of(turn: &Turn<'_>, node: NodeId) -> Option<ChainId> {
    let view = Pending::new(turn.world.reading(node).ok()?);
    let all = chains::all_chains(&view).ok()?;
    let is_public = |chain: &ChainId| {
        chains::block(&view, (*chain).into()).ok().flatten().is_some_and(|genesis| is_public_genesis(&genesis.block))
    };
    all.into_iter().find(is_public)
}

/// A new author.
pub(super) fn author(turn: &mut Turn<'_>) -> AuthorSecret {
    AuthorSecret::generate(&mut turn.puppet.rng)
}

/// A signed block of content.
pub(super) fn block(
    chain: ChainId,
    parents: Vec<BlockId>,
    previous: Option<(BlockId, u64)>,
    author: &AuthorSecret,
    content: &[u8],
) -> Option<RawBlock> {
    let place = Place::After { chain, parents, previous };
    let draft =
        Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics: Vec::new(), content: content.to_vec() };
    draft.sign_alone(author, Timestamp(1)).ok().map(|block| block.raw().clone())
}

/// Pushes a block.
pub(super) fn push(turn: &mut Turn<'_>, to: NodeId, chain: ChainId, block: RawBlock) -> Option<()> {
    let block = WireBlock { block, attachment: None, foreign: Vec::new() };
    turn.frame(to, PublicMessage::Sync(SyncMessage::Push { chain, block }).frame())
}

/// Pushes a block that must not get into anybody's set.
pub(super) fn forge(turn: &mut Turn<'_>, to: NodeId, chain: ChainId, block: RawBlock) -> Option<()> {
    turn.deeds.forged.insert(Header::id_of(&block.header));
    push(turn, to, chain, block)
}

/// Pushes a block that anybody may write.
pub(super) fn offer(turn: &mut Turn<'_>, to: NodeId, chain: ChainId, block: RawBlock) -> Option<()> {
    turn.deeds.valid.insert(Header::id_of(&block.header));
    push(turn, to, chain, block)
}
