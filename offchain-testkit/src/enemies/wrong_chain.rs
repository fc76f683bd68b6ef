//! Blocks that belong to another chain, or to none. Aims at B2, B3 and attack 2.

use walytis_core::{ChainId, chains};
use walytis_engine::sync::SyncMessage;

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("wrong_chain", || Tricks::boxed(&[nobodys, identity, elsewhere, moved_here]));

/// A block that says that it is on a chain which nobody has.
fn nobodys(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let chain = ChainId(turn.random_id().0);
    let (block, attachment) = turn.changed(|header| header.chain = chain)?;
    turn.forge(to, block, Some(&attachment))
}

/// A block of the enemy's own identity, which members have, but not in the group.
fn identity(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let own = chains::block_at(&turn.puppet.view, turn.puppet.device.user, 0).ok()??;
    turn.push(to, wire(own.block.raw().clone(), None))
}

/// A good block, said to be on an identity's chain.
fn elsewhere(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"elsewhere")?;
    turn.deeds.forged.insert(walytis_core::Header::id_of(&raw.header));
    let chain = turn.puppet.device.user;
    turn.sync(to, SyncMessage::Push { chain, block: wire(raw, Some(&attachment)) })
}

/// A block of an identity's chain, signed again for the group.
fn moved_here(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let own = chains::block_at(&turn.puppet.view, turn.puppet.device.user, 0).ok()??;
    let block = turn.operation(own.block.content().to_vec(), Vec::new())?;
    turn.forge(to, block, None)
}
