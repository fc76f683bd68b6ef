//! Epochs for another view than that of their own ancestors, or with wraps that are not theirs. Aims at S1, S3 and B4.

use walytis_core::{BlockId, Hash, Header};
use walytis_identities::{BeginEpoch, Entry, Operation};
use walytis_offchain::Attachment;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("forged_epochs", || Tricks::boxed(&[unknown_view, old_view, no_view, wrong_wraps]));

fn begin(turn: &mut Turn<'_>, to: NodeId, view: Vec<BlockId>) -> Option<()> {
    let (seed, wraps) = (Hash(turn.random_id().0), Hash(turn.random_id().0));
    let operation = Operation::BeginEpoch(BeginEpoch { view, seed, wraps });
    let block = turn.operation(operation.encode(), Vec::new())?;
    turn.forge(to, block, None)
}

fn unknown_view(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let view = vec![turn.random_id()];
    begin(turn, to, view)
}

/// The founder's view, before anybody else was admitted: a writer would seal for nobody else.
fn old_view(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let view = turn.known(1).iter().map(|raw| Header::id_of(&raw.header)).collect();
    begin(turn, to, view)
}

fn no_view(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    begin(turn, to, Vec::new())
}

/// An operation that is well formed, with a wrap beside it of which it says nothing.
fn wrong_wraps(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let block = turn.scratch(|turn| {
        let view = walytis_core::chains::operation_heads(&turn.puppet.view, turn.group).ok()?;
        let (seed, wraps) = (Hash(turn.random_id().0), Hash(turn.random_id().0));
        let entry = Entry::operation(&Operation::BeginEpoch(BeginEpoch { view, seed, wraps }));
        let group = turn.group;
        let (device, mut desk) = turn.puppet.desk(turn.world);
        Some(device.append(&mut desk, group, entry).ok()?.block.raw().clone())
    })?;
    let wrap = Attachment::Wrap(turn.random(1_202).into());
    turn.forge(to, block, Some(&wrap))
}
