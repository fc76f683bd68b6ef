//! Other beginnings for a chain that has one. Aims at B3 and attack 12.

use walytis_core::{Draft, Header, Place, chains};
use walytis_engine::sync::SyncMessage;

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("second_genesis", || Tricks::boxed(&[another, within, reset]));

/// A new chain's first block, pushed as one of the group's.
fn another(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let genesis = turn.known(1).pop()?;
    let author = turn.puppet.author(turn.group).ok()?;
    let draft = Draft {
        kind: walytis_core::BlockKind::Operation,
        place: Place::Genesis(turn.random_id().0),
        foreign: Header::decode(&genesis.header).ok()?.foreign,
        topics: vec![],
        content: genesis.content,
    };
    let (device, desk) = turn.puppet.desk(turn.world);
    let block = draft.sign(&author, &device.secret, desk.now, desk.rng).ok()?;
    turn.forge(to, block.parsed().raw().clone(), None)
}

/// The group's own first operation once more, behind its heads.
fn within(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let genesis = turn.known(1).pop()?;
    let block = turn.operation(genesis.content, Vec::new())?;
    turn.forge(to, block, None)
}

/// The enemy's own chain as the answer to what it was not asked for.
fn reset(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let own = chains::block_at(&turn.puppet.view, turn.puppet.device.identity, 0).ok()??;
    turn.sync(to, SyncMessage::Heads { chain: turn.group, heads: vec![walytis_core::BlockId([0xDD; 32])] })?;
    turn.listen(50);
    let blocks = vec![wire(own.block.raw().clone(), None)];
    turn.sync(to, SyncMessage::Portion { chain: turn.group, blocks, left: 0 })
}
