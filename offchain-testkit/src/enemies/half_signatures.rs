//! Operations of which one half of the hybrid signature does not hold, or is missing. Aims at B3: both halves must.

use walytis_core::{ED25519_SIGNATURE_BYTES, RawBlock, Suite};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("half_signatures", || Tricks::boxed(&[ed25519, ml_dsa, cut, downgraded]));

fn with(turn: &mut Turn<'_>, to: NodeId, change: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
    let mut raw = turn.merge()?;
    change(&mut raw.signature);
    turn.forge(to, raw, None)
}

fn ed25519(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |signature| signature.iter_mut().take(ED25519_SIGNATURE_BYTES).for_each(|byte| *byte = 0))
}

fn ml_dsa(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |signature| signature.iter_mut().skip(ED25519_SIGNATURE_BYTES).for_each(|byte| *byte = 0))
}

fn cut(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |signature| signature.truncate(ED25519_SIGNATURE_BYTES))
}

/// An operation that says of itself that one half is enough.
fn downgraded(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let RawBlock { mut header, content, .. } = turn.merge()?;
    *header.get_mut(2)? = Suite::Ed25519.number();
    let block = turn.signed(header, Suite::Ed25519, content)?;
    turn.forge(to, block, None)
}
