//! Blocks with the good signature of another block, of the same author or of another. Aims at B2 and attack 2.

use walytis_core::{BlockKind, Header, RawBlock};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("swapped_signatures", || Tricks::boxed(&[own, anothers, operation]));

fn own(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"this")?;
    let (other, _) = turn.unkept(b"that")?;
    turn.forge(to, RawBlock { signature: other.signature, ..raw }, Some(&attachment))
}

fn anothers(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let private = |raw: &RawBlock| Header::decode(&raw.header).is_ok_and(|header| header.kind == BlockKind::Private);
    let other = turn.known(64).into_iter().find(private)?;
    let (raw, attachment) = turn.unkept(b"this")?;
    turn.forge(to, RawBlock { signature: other.signature, ..raw }, Some(&attachment))
}

fn operation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let other = turn.known(1).pop()?;
    let raw = turn.merge()?;
    turn.forge(to, RawBlock { signature: other.signature, ..raw }, None)
}
