//! Tells of heads, its own or nobody's, and never answers when it is asked for them. Aims at C5: another peer is asked.

use walytis_engine::sync::SyncMessage;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("empty_promises", || Tricks::boxed(&[nobodys, many, own]));

fn promise(turn: &mut Turn<'_>, to: NodeId, heads: Vec<walytis_core::BlockId>) -> Option<()> {
    turn.deeds.forged.extend(&heads);
    turn.sync(to, SyncMessage::Heads { chain: turn.group, heads })
}

fn nobodys(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let heads = vec![turn.random_id()];
    promise(turn, to, heads)
}

fn many(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let heads = (0..walytis_engine::sync::IDS_MAX).map(|_| turn.random_id()).collect();
    promise(turn, to, heads)
}

fn own(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, _) = turn.unkept(b"kept for myself")?;
    promise(turn, to, vec![walytis_core::Header::id_of(&raw.header)])
}
