//! Everything that is known, over and over, the last block first. Aims at B6: a replay changes nothing.

use walytis_engine::sync::SyncMessage;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("replayed_blocks", || Tricks::boxed(&[backwards, forwards, portions]));

fn blocks(turn: &Turn<'_>) -> Option<Vec<walytis_engine::sync::WireBlock>> {
    let mut blocks = turn.puppet.wire_chain(turn.group).ok()?;
    blocks.truncate(50);
    Some(blocks)
}

fn backwards(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    blocks(turn)?.into_iter().rev().try_for_each(|block| turn.push(to, block))
}

fn forwards(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    for _ in 0..3 {
        blocks(turn)?.into_iter().try_for_each(|block| turn.push(to, block))?;
    }
    Some(())
}

fn portions(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    for _ in 0..5 {
        let blocks = blocks(turn)?;
        turn.sync(to, SyncMessage::Portion { chain: turn.group, blocks, left: 0 })?;
    }
    Some(())
}
