//! Sealed content of another block or another epoch. Aims at S5: it opens in its own place only.

use walytis_core::{BlockId, Header};
use walytis_offchain::PrivateBody;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("moved_content", || Tricks::boxed(&[anothers, same_commitment, nobodys_epoch]));

fn anothers(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (_, other) = turn.unkept(b"sealed for that block")?;
    let (raw, _) = turn.unkept(b"sealed for this block")?;
    turn.forge_sealed(to, raw, &other)
}

/// Content to which two blocks commit, sealed for the first of them.
fn same_commitment(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"sealed for another")?;
    let mut header = Header::decode(&raw.header).ok()?;
    header.created_at_ms = header.created_at_ms.saturating_add(1);
    let block = turn.signed(header.encode(), header.suite, raw.content)?;
    turn.forge_sealed(to, block, &attachment)
}

/// A block that names an epoch which its author cannot know, with its content in the clear.
fn nobodys_epoch(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let epoch: BlockId = turn.random_id();
    let (block, attachment) = turn.rewritten(|content| {
        let mut body = PrivateBody::decode(content).ok()?;
        body.epoch = epoch;
        *content = body.encode();
        Some(())
    })?;
    turn.offer_unreadable(to, block, Some(&attachment))
}
