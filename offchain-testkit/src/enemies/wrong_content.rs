//! Good headers with signatures, and content on the chain that is not theirs. Aims at B2: the id binds the content.

use walytis_core::{Hash, Header, RawBlock};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("wrong_content", || {
    Tricks::boxed(&[anothers, flipped, longer, none, other_hash, one_more, one_less, no_length, a_mebibyte])
});

fn with(turn: &mut Turn<'_>, to: NodeId, change: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"mine")?;
    let RawBlock { mut content, header, signature } = raw;
    change(&mut content);
    turn.forge(to, RawBlock { header, signature, content }, Some(&attachment))
}

fn anothers(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    // With what that content commits to, so that only the header can tell.
    let (other, attachment) = turn.unkept(b"another's")?;
    let beside = turn.opened(&other, &attachment)?;
    let (mine, _) = turn.unkept(b"mine")?;
    turn.forge(to, RawBlock { content: other.content, ..mine }, Some(&beside))
}

fn flipped(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |content| content.iter_mut().take(3).for_each(|byte| *byte ^= 4))
}

fn longer(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |content| content.push(0))
}

fn none(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, Vec::clear)
}

fn said(turn: &mut Turn<'_>, to: NodeId, change: impl FnOnce(&mut Header)) -> Option<()> {
    let (block, attachment) = turn.changed(change)?;
    turn.forge(to, block, Some(&attachment))
}

fn other_hash(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let hash = Hash(turn.random_id().0);
    said(turn, to, |header| header.content_hash = hash)
}

fn one_more(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    said(turn, to, |header| header.content_bytes = header.content_bytes.saturating_add(1))
}

fn one_less(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    said(turn, to, |header| header.content_bytes = header.content_bytes.saturating_sub(1))
}

fn no_length(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    said(turn, to, |header| header.content_bytes = 0)
}

fn a_mebibyte(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    said(turn, to, |header| header.content_bytes = 1 << 20)
}
