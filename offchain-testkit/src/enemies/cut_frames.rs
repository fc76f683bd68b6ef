//! Good frames cut at any byte. Aims at B1 and R4.

use walytis_engine::sync::SyncMessage;
use walytis_offchain::{FrameKind, Message};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("cut_frames", || Tricks::boxed(&[sealed, message, flight]));

fn heads(turn: &Turn<'_>) -> Vec<u8> {
    Message::Sync(SyncMessage::Heads { chain: turn.group, heads: turn.heads() }).encode()
}

fn cut(turn: &mut Turn<'_>, mut bytes: Vec<u8>) -> Vec<u8> {
    let at = turn.pick(bytes.len());
    bytes.truncate(at);
    bytes
}

fn sealed(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let whole = heads(turn);
    let frame = turn.puppet.sealed(turn.world, to, &whole)?;
    // Without its first two bytes it is a frame of no session, of which some are forgiven.
    let bytes = cut(turn, frame.get(2..)?.to_vec());
    turn.frame(to, [frame.get(..2)?, &bytes].concat())
}

fn message(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let whole = heads(turn);
    let bytes = cut(turn, whole);
    turn.say(to, &bytes)
}

fn flight(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let key = turn.key_of(to)?;
    let peer = turn.world.identity(to).peer;
    let frame = turn.puppet.first_flight(peer, key)?;
    let bytes = cut(turn, frame.get(1..)?.to_vec());
    turn.frame(to, [&[FrameKind::Flight1 as u8][..], &bytes].concat())
}
