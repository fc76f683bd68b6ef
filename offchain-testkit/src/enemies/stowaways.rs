//! Blocks of other chains beside blocks that do not name them. Aims at B3: nobody stores what nothing leads to.

use walytis_core::{Header, RawBlock, chains};
use walytis_identities::{Desk, LocalDevice};

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("stowaways", || Tricks::boxed(&[private, operation]));

/// The first block of an identity of which nobody has heard.
fn unheard_of(turn: &mut Turn<'_>) -> Option<RawBlock> {
    let raw = turn.scratch(|turn| {
        let now = turn.world.wall_clock(turn.puppet.node());
        let crate::Puppet { view, fold, rng, .. } = turn.puppet;
        let device = LocalDevice::create(&mut Desk { view, fold, now, rng }).ok()?;
        let first = chains::block_at(&turn.puppet.view, device.identity, 0).ok()??;
        Some(first.block.raw().clone())
    })?;
    turn.deeds.forged.insert(Header::id_of(&raw.header));
    Some(raw)
}

fn private(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"with company")?;
    turn.deeds.forged.insert(Header::id_of(&raw.header));
    let mut block = wire(raw, Some(&attachment));
    block.foreign.push(unheard_of(turn)?);
    turn.push(to, block)
}

fn operation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let raw = turn.merge()?;
    turn.deeds.forged.insert(Header::id_of(&raw.header));
    let mut block = wire(raw, None);
    block.foreign.push(unheard_of(turn)?);
    turn.push(to, block)
}
