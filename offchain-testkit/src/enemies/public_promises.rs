//! Tells of heads of a public chain that nobody has, and never answers when it is asked for them. Aims at C5: others are
//! asked.

use walytis_core::BlockId;
use walytis_engine::public::PublicMessage;
use walytis_engine::sync::{IDS_MAX, SyncMessage};

use super::openly::chain_of;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::stranger("public_promises", || Tricks::outside(&[one, many]));

fn promise(turn: &mut Turn<'_>, to: NodeId, mut heads: Vec<BlockId>) -> Option<()> {
    let chain = chain_of(turn, to)?;
    heads.sort_unstable();
    turn.deeds.forged.extend(&heads);
    turn.frame(to, PublicMessage::Sync(SyncMessage::Heads { chain, heads }).frame())
}

fn one(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let heads = vec![turn.random_id()];
    promise(turn, to, heads)
}

fn many(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let heads = (0..IDS_MAX).map(|_| turn.random_id()).collect();
    promise(turn, to, heads)
}
