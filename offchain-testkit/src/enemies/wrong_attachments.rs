//! Good blocks with content or wraps beside them that are not theirs. Aims at S1 and attack 1: nothing is kept that its
//! block does not commit to.

use serde_bytes::ByteBuf;
use walytis_core::Header;
use walytis_offchain::{Attachment, OpenContent};

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("wrong_attachments", || Tricks::boxed(&[open, noise, wraps, nothing, flipped, on_operation]));

/// Other content in the clear. Whoever can read nothing at all sees that it is not the block's.
fn open(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, _) = turn.unkept(b"what is committed to")?;
    let other = OpenContent::new(Vec::new(), b"what is not".to_vec(), &mut turn.puppet.rng).ok()?;
    turn.forge(to, raw, Some(&Attachment::Open(ByteBuf::from(other.encode()))))
}

fn noise(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, _) = turn.unkept(b"noise")?;
    turn.deeds.forged.insert(Header::id_of(&raw.header));
    let mut block = wire(raw, None);
    // Open content of more bytes than there are: a kind that is not known would be a newer program's.
    block.attachment = Some([&[0, 100][..], &turn.random(40)].concat().into());
    turn.push(to, block)
}

fn wraps(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, _) = turn.unkept(b"wraps")?;
    let wrap = Attachment::Wrap(turn.random(1_202).into());
    turn.forge(to, raw, Some(&wrap))
}

fn nothing(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, _) = turn.unkept(b"nothing")?;
    turn.deeds.forged.insert(Header::id_of(&raw.header));
    let mut block = wire(raw, None);
    block.attachment = Some(ByteBuf::new());
    turn.push(to, block)
}

/// Sealed content with a changed bit.
fn flipped(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"flipped")?;
    let Attachment::Sealed(mut bytes) = attachment else { return None };
    // The byte behind the first says how it is sealed: another number there is a newer program's.
    let at = turn.pick(bytes.len());
    let at = if at == 1 { 0 } else { at };
    *bytes.get_mut(at)? ^= 1;
    turn.forge_sealed(to, raw, &Attachment::Sealed(bytes))
}

/// Content beside an operation that has none.
fn on_operation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (_, attachment) = turn.unkept(b"beside an operation")?;
    let block = turn.merge()?;
    turn.forge(to, block, Some(&attachment))
}
