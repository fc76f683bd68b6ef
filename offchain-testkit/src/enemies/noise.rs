//! Random bytes as frames, with and without a kind in front. Aims at R2 and R4.

use walytis_offchain::FrameKind;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::stranger("noise", || Tricks::outside(&[any, flights, data, empty]));

fn some(turn: &mut Turn<'_>, to: NodeId, head: &[u8]) -> Option<()> {
    for _ in 0..20 {
        let bytes = turn.pick(2_000);
        let noise = turn.random(bytes);
        turn.frame(to, [head, &noise].concat())?;
    }
    Some(())
}

fn any(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    some(turn, to, &[])
}

fn flights(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let kinds = [FrameKind::Flight1, FrameKind::Flight2, FrameKind::Flight3];
    let kind = kinds.get(turn.pick(3)).copied()?;
    some(turn, to, &[kind as u8])
}

fn data(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    some(turn, to, &[FrameKind::Data as u8, 0])
}

fn empty(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.frame(to, Vec::new())
}
