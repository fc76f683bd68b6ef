//! Blocks of kinds that a chain does not take, and bodies of one kind under another. Aims at B3.

use walytis_core::{BlockKind, Header, Suite, chains};
use walytis_engine::sync::SyncMessage;

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("wrong_kinds", || Tricks::boxed(&[open, checkpoint, private_operation, operation_private, identity]));

/// The same block as another kind.
fn as_kind(turn: &mut Turn<'_>, to: NodeId, kind: BlockKind) -> Option<()> {
    let (block, _) = turn.changed(|header| (header.kind, header.suite) = (kind, kind.suite()))?;
    turn.forge(to, block, None)
}

fn open(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    as_kind(turn, to, BlockKind::Content)
}

fn checkpoint(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    as_kind(turn, to, BlockKind::Checkpoint)
}

fn private_operation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    as_kind(turn, to, BlockKind::Operation)
}

fn operation_private(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let raw = turn.merge()?;
    let mut header = Header::decode(&raw.header).ok()?;
    (header.kind, header.suite) = (BlockKind::Private, Suite::Ed25519);
    let block = turn.signed(header.encode(), Suite::Ed25519, raw.content)?;
    turn.offer_unreadable(to, block, None)
}

/// A post on the enemy's own identity chain, which the victim keeps as what an admission rests on.
fn identity(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let chain = turn.puppet.device.user;
    let heads = chains::heads(&turn.puppet.view, chain).ok()?;
    let (block, attachment) = turn.changed(|header| {
        (header.chain, header.parents) = (chain, heads);
        (header.previous, header.sequence) = (None, 0);
    })?;
    turn.deeds.forged.insert(Header::id_of(&block.header));
    turn.sync(to, SyncMessage::Push { chain, block: wire(block, Some(&attachment)) })
}
