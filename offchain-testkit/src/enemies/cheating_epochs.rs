//! Epochs whose wraps are withheld, or do not open, and content under them. Aims at S1, C5 and H1: others go on writing what
//! all can read.

use walytis_core::chains;
use walytis_identities::{BeginEpoch, Entry, EpochContext, EpochSeed, Operation, Wraps};
use walytis_offchain::Attachment;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("cheating_epochs", || Tricks::boxed(&[garbage, withheld]));

/// An epoch whose wraps are what the operation says, and open for nobody.
fn garbage(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let group = turn.group;
    let view = chains::operation_heads(&turn.puppet.view, group).ok()?;
    let readers: Vec<_> = turn.puppet.fold.at(&turn.puppet.view, group, &view).ok()?.readers().into_values().collect();
    let seed = EpochSeed::generate(&mut turn.puppet.rng);
    let nobodys = EpochContext::new(group, &[turn.random_id()]);
    let wraps = Wraps::make(&seed, &readers, &nobodys, &mut turn.puppet.rng).ok()?;
    let begin = Operation::BeginEpoch(BeginEpoch { view, seed: seed.hash(), wraps: wraps.root() });
    let (device, mut desk) = turn.puppet.desk(turn.world);
    let stored = device.append(&mut desk, group, Entry::operation(&begin)).ok()?;
    walytis_identities::keyring::put_epoch(&mut turn.puppet.view, stored.block.id(), &seed);
    let peer = turn.world.identity(to).peer;
    let membership = turn.puppet.fold.current(&turn.puppet.view, group).ok()?;
    let leaf = membership.device_of_peer(&peer)?.1.leaf.as_ref()?.id();
    let given = wraps.given().find(|(name, _)| *name == leaf)?.1;
    turn.offer(to, stored.block.raw().clone(), Some(&Attachment::Wrap(given.encode().into())))?;
    content(turn, to)
}

fn withheld(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let group = turn.group;
    let (device, mut desk) = turn.puppet.desk(turn.world);
    let epoch = device.begin_epoch(&mut desk, group).ok()?;
    let stored = chains::block(&turn.puppet.view, epoch).ok()??;
    turn.offer(to, stored.block.raw().clone(), None)?;
    content(turn, to)
}

fn content(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.kept(b"readable to nobody")?;
    turn.offer(to, raw, Some(&attachment))
}
