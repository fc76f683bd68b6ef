//! Valid blocks whose content comes after them, unasked, and some time later. Aims at D1: whoever was given the block is
//! given its content.

use serde_bytes::ByteBuf;
use walytis_core::Header;
use walytis_engine::sync::SyncMessage;

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("late_content", || Tricks::boxed(&[at_once, in_a_while, opened, block_again, in_a_row]));

fn at_once(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    later(turn, to, 0, false)
}

fn in_a_while(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    later(turn, to, 500, false)
}

fn opened(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    later(turn, to, 200, true)
}

fn in_a_row(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    (0..4).try_for_each(|_| later(turn, to, 0, false))
}

fn later(turn: &mut Turn<'_>, to: NodeId, pause_ms: u64, open: bool) -> Option<()> {
    let (raw, sealed) = turn.kept(b"the rest follows")?;
    let id = Header::id_of(&raw.header);
    let attachment = if open { turn.opened(&raw, &sealed)? } else { sealed };
    turn.offer(to, raw, None)?;
    turn.listen(pause_ms);
    let attachment = ByteBuf::from(attachment.encode());
    turn.sync(to, SyncMessage::Attachment { chain: turn.group, id, attachment })
}

/// The whole block once more, now with its content.
fn block_again(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.kept(b"once more, with content")?;
    turn.offer(to, raw.clone(), None)?;
    turn.listen(300);
    turn.push(to, wire(raw, Some(&attachment)))
}
