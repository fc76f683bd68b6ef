//! Two good epochs for one view, in another order to each peer. Aims at B4: whether a block is valid follows from its
//! ancestors, not from what came before it.

use walytis_core::chains;
use walytis_engine::sync::WireBlock;

use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("rival_epochs", || Box::new(Rivals));

struct Rivals;

impl Enemy for Rivals {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        act(turn)
    }

    /// As often as a class that plays another trick on each victim.
    fn tricks(&self) -> usize {
        6
    }
}

fn epoch(turn: &mut Turn<'_>) -> Option<WireBlock> {
    turn.scratch(|turn| {
        let group = turn.group;
        let (device, mut desk) = turn.puppet.desk(turn.world);
        let epoch = device.begin_epoch(&mut desk, group).ok()?;
        let stored = chains::block(&turn.puppet.view, epoch).ok()??;
        turn.deeds.valid.insert(epoch);
        turn.puppet.wire(&stored).ok()
    })
}

fn act(turn: &mut Turn<'_>) -> Outcome {
    let (Some(one), Some(other)) = (epoch(turn), epoch(turn)) else { return Outcome::Idle };
    let mut acted = false;
    for (number, victim) in turn.victims.iter().enumerate() {
        if turn.session(*victim).is_none() {
            continue;
        }
        let (first, second) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        for block in [first, second] {
            acted |= turn.push(*victim, block.clone()).is_some();
        }
    }
    turn.listen(50);
    Outcome::of(acted)
}
