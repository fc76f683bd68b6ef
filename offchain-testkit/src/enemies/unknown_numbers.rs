//! Versions, kinds, suites and purposes that nobody knows. Aims at B3 and B4: what is newer is passed over or refused, and
//! in no case taken for something else.

use walytis_core::Suite;
use walytis_engine::sync::SyncMessage;
use walytis_offchain::{FrameKind, Message};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("unknown_numbers", || {
    Tricks::boxed(&[header_version, message, kind, suite, operation, body, frame, flight_version, flight_purpose])
});

/// A signed block of which one byte of the header says something else.
fn header(turn: &mut Turn<'_>, to: NodeId, at: usize, number: u8) -> Option<()> {
    let (mut raw, attachment) = turn.unkept(b"newer")?;
    *raw.header.get_mut(at)? = number;
    let block = turn.signed(raw.header, Suite::Ed25519, raw.content)?;
    turn.forge(to, block, Some(&attachment))
}

fn header_version(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    header(turn, to, 0, 3)
}

fn kind(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    header(turn, to, 1, 99)
}

fn suite(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    header(turn, to, 2, 99)
}

fn message(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut bytes = Message::Sync(SyncMessage::More { chain: turn.group }).encode();
    *bytes.first_mut()? = 9;
    turn.say(to, &bytes)
}

fn operation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let block = turn.operation(vec![1, 200, 1, 2, 3], Vec::new())?;
    turn.forge(to, block, None)
}

/// A private block whose body is of an unknown version: it is kept, and nothing waits for it.
fn body(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, attachment) = turn.rewritten(|content| {
        *content.first_mut()? = 9;
        Some(())
    })?;
    turn.offer_unreadable(to, block, Some(&attachment))
}

fn frame(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.frame(to, vec![77; 50])
}

fn flight(turn: &mut Turn<'_>, to: NodeId, at: usize) -> Option<()> {
    let key = turn.key_of(to)?;
    let peer = turn.world.identity(to).peer;
    let mut frame = turn.puppet.first_flight(peer, key)?;
    debug_assert_eq!(frame.first(), Some(&(FrameKind::Flight1 as u8)));
    *frame.get_mut(at)? = 9;
    turn.frame(to, frame)
}

fn flight_version(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    flight(turn, to, 1)
}

fn flight_purpose(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    flight(turn, to, 3)
}
