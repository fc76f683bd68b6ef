//! Has itself asked, then answers with what is known, with nothing, with garbage, or with a promise of much more. Aims at C5:
//! nobody holds a chain's only exchange for ever.

use walytis_engine::sync::{SyncMessage, WireBlock};

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("lying_portions", || Tricks::boxed(&[known, nothing, endless, orphans, garbage, forged]));

fn answer(turn: &mut Turn<'_>, to: NodeId, blocks: Vec<WireBlock>, left: u64) -> Option<()> {
    let chain = turn.group;
    let head = turn.random_id();
    turn.be_asked(to, head)?;
    turn.sync(to, SyncMessage::Portion { chain, blocks: blocks.clone(), left })?;
    turn.listen(30);
    // Once more, if it was not thrown out for that.
    turn.sync(to, SyncMessage::Portion { chain, blocks, left });
    Some(())
}

fn first(turn: &Turn<'_>) -> Option<WireBlock> {
    Some(wire(turn.known(1).pop()?, None))
}

fn known(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let blocks = vec![first(turn)?; 10];
    answer(turn, to, blocks, 1)
}

fn nothing(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    answer(turn, to, Vec::new(), 0)
}

fn endless(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let blocks = vec![first(turn)?];
    answer(turn, to, blocks, u64::MAX)
}

fn orphans(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let nobodys = turn.random_id();
    let (block, attachment) = turn.changed(|header| header.parents = vec![nobodys])?;
    turn.deeds.forged.insert(walytis_core::Header::id_of(&block.header));
    answer(turn, to, vec![wire(block, Some(&attachment))], 3)
}

fn garbage(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut block = first(turn)?;
    block.block.header.push(0);
    answer(turn, to, vec![block], 1)
}

/// A good block, then a forged one: the first is kept, and its sender not.
fn forged(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut forged = turn.merge()?;
    turn.deeds.forged.insert(walytis_core::Header::id_of(&forged.header));
    *forged.signature.first_mut()? ^= 1;
    let blocks = vec![first(turn)?, wire(forged, None)];
    answer(turn, to, blocks, 7)
}
