//! The largest number in each numeric field. Aims at R4 and B3: no sum overflows, no number is believed.

use walytis_engine::sync::SyncMessage;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("huge_numbers", || {
    Tricks::boxed(&[sequence, left, content_bytes, first_sequence, overlay, size_class, time])
});

fn sequence(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (kept, attachment) = turn.kept(b"one of mine")?;
    turn.offer(to, kept, Some(&attachment))?;
    let (block, attachment) = turn.changed(|header| header.sequence = u64::MAX)?;
    turn.forge(to, block, Some(&attachment))
}

fn first_sequence(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, attachment) = turn.changed(|header| {
        header.parents.extend(header.previous.take());
        header.parents.sort_unstable();
        header.sequence = u64::MAX;
    })?;
    turn.forge(to, block, Some(&attachment))
}

fn content_bytes(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, attachment) = turn.changed(|header| header.content_bytes = u64::MAX)?;
    turn.forge(to, block, Some(&attachment))
}

/// The end of times. A member's clock is its own affair.
fn time(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, attachment) = turn.changed(|header| header.created_at_ms = u64::MAX)?;
    turn.offer(to, block, Some(&attachment))
}

fn left(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.sync(to, SyncMessage::Heads { chain: turn.group, heads: vec![walytis_core::BlockId([0xEE; 32])] })?;
    turn.listen(50);
    let known = super::turn::wire(turn.known(1).pop()?, None);
    turn.sync(to, SyncMessage::Portion { chain: turn.group, blocks: vec![known], left: u64::MAX })
}

/// The body's number of an overlay, which stands behind its version.
fn overlay(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, _) = turn.rewritten(|content| {
        let rest = content.get(2..)?.to_vec();
        *content = [&[1, 255, 255, 255, 255, 15][..], &rest].concat();
        Some(())
    })?;
    turn.offer(to, block, None)
}

/// The body's size class, which stands behind its version, overlay and epoch.
fn size_class(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, attachment) = turn.rewritten(|content| {
        *content.get_mut(1 + 1 + 32)? = 255;
        Some(())
    })?;
    drop(attachment);
    turn.offer(to, block, None)
}
