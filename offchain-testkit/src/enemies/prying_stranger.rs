//! Asks for a group's blocks without a session, in every way in which it can be said. Aims at S2: it gets nothing at all.

use walytis_engine::sync::SyncMessage;
use walytis_offchain::{FrameKind, Message};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::stranger("prying_stranger", || Tricks::outside(&[unsealed, as_flight, greeting]));

fn questions(turn: &Turn<'_>) -> Vec<Vec<u8>> {
    let chain = turn.group;
    [SyncMessage::Pull { chain, have: Vec::new() }, SyncMessage::Heads { chain, heads: Vec::new() }]
        .map(|question| Message::Sync(question).encode())
        .into()
}

fn unsealed(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    for question in questions(turn) {
        turn.frame(to, [&[FrameKind::Data as u8, 0][..], &question].concat())?;
    }
    Some(())
}

fn as_flight(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    for kind in [FrameKind::Flight3, FrameKind::Flight2, FrameKind::Flight1] {
        for question in questions(turn) {
            turn.frame(to, [&[kind as u8][..], &question].concat())?;
        }
    }
    Some(())
}

/// A good first flight by a key that no member has, and the question behind it.
fn greeting(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let key = turn.key_of(to)?;
    let peer = turn.world.identity(to).peer;
    let flight = turn.puppet.first_flight(peer, key)?;
    turn.frame(to, flight)?;
    unsealed(turn, to)
}
