//! Valid blocks that stand far back, or say so: behind the first block, and from 1970 or the far future. Aims at B4 and C2:
//! order and validity never consult a clock.

use walytis_core::Header;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("backdated_blocks", || Tricks::boxed(&[old_place, old_time, far_future]));

/// Behind what the enemy saw first that lets it write: its previous block if there is one, and the oldest of the blocks
/// that it may stand behind.
fn old_place(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let own = turn.puppet.author(turn.group).ok()?.public();
    let membership = turn.puppet.fold.current(&turn.puppet.view, turn.group).ok()?;
    let begun = *membership.epochs.keys().find(|epoch| {
        walytis_identities::keyring::epoch(&turn.puppet.view, **epoch).is_ok_and(|seed| seed.is_some())
            && membership.epochs.get(*epoch).is_some_and(|epoch| epoch.maker != own)
    })?;
    let (block, _) = turn.rewritten(|content| {
        let mut body = walytis_offchain::PrivateBody::decode(content).ok()?;
        body.epoch = begun;
        *content = body.encode();
        Some(())
    })?;
    let mut header = Header::decode(&block.header).ok()?;
    (header.parents, header.previous, header.sequence) = (vec![begun], None, 0);
    let block = turn.signed(header.encode(), header.suite, block.content)?;
    turn.offer(to, block, None)
}

fn at_time(turn: &mut Turn<'_>, to: NodeId, created_at_ms: u64) -> Option<()> {
    let (block, _) = turn.changed(|header| header.created_at_ms = created_at_ms)?;
    turn.offer(to, block, None)
}

fn old_time(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    at_time(turn, to, 0)
}

fn far_future(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    at_time(turn, to, u64::MAX - 1)
}
