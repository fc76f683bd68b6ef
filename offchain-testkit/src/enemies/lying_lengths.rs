//! Messages whose lengths promise more than there is, up to 2^64 - 1 of something. Aims at R1: nothing is allocated by a
//! number that a peer wrote.

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("lying_lengths", || Tricks::boxed(&[heads, pulls, portions, attachments, headers, addresses]));

const MESSAGE_VERSION: u8 = 1;
const HELLO: u8 = 0;
const SYNC: u8 = 1;
/// 2^64 - 1 as it is encoded.
const MOST: [u8; 10] = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
/// 2^32 - 1 as it is encoded.
const MANY: [u8; 5] = [255, 255, 255, 255, 15];

fn about(turn: &mut Turn<'_>, to: NodeId, kind: u8, rest: &[u8]) -> Option<()> {
    let chain = turn.group.0;
    turn.say(to, &[&[MESSAGE_VERSION, SYNC, kind], &chain[..], rest].concat())
}

fn heads(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    about(turn, to, 0, &MOST)
}

fn pulls(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    about(turn, to, 1, &MANY)
}

fn portions(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    about(turn, to, 3, &MOST)
}

fn attachments(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    about(turn, to, 6, &[&[7; 32][..], &MANY, &[0; 9]].concat())
}

/// A pushed block, of whose header only a length is there.
fn headers(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    about(turn, to, 4, &[&MOST[..], &[1, 4, 2]].concat())
}

fn addresses(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.say(to, &[&[MESSAGE_VERSION, HELLO][..], &MOST].concat())
}
