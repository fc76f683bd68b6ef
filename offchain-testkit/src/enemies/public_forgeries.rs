//! Blocks of a public chain that do not hold, from somebody who knows its id. Aims at B1 to B3 and D3.

use walytis_core::{BlockKind, Draft, Place, Timestamp};

use super::openly::{author, block, chain_of, forge, push};
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::stranger("public_forgeries", || {
    Tricks::outside(&[flipped, anothers, other_content, other_kind, other_chain, skipping, noise])
});

fn flipped(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (chain, by) = (chain_of(turn, to)?, author(turn));
    let mut raw = block(chain, vec![chain.into()], None, &by, b"forged")?;
    *raw.signature.first_mut()? ^= 1;
    forge(turn, to, chain, raw)
}

fn anothers(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (chain, by, other) = (chain_of(turn, to)?, author(turn), author(turn));
    let mut raw = block(chain, vec![turn.random_id()], None, &by, b"forged")?;
    raw.signature = block(chain, vec![chain.into()], None, &other, b"forged")?.signature;
    forge(turn, to, chain, raw)
}

fn other_content(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (chain, by) = (chain_of(turn, to)?, author(turn));
    let mut raw = block(chain, vec![chain.into()], None, &by, b"right")?;
    raw.content = b"wrong".to_vec();
    forge(turn, to, chain, raw)
}

fn other_kind(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (chain, by) = (chain_of(turn, to)?, author(turn));
    let place = Place::After { chain, parents: vec![chain.into()], previous: None };
    let draft =
        Draft { kind: BlockKind::Private, place, foreign: Vec::new(), topics: Vec::new(), content: b"forged".to_vec() };
    let raw = draft.sign_alone(&by, Timestamp(1)).ok()?.raw().clone();
    forge(turn, to, chain, raw)
}

/// A good block of the group that the enemy is after, or of none, under the public chain's name.
fn other_chain(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (chain, by) = (chain_of(turn, to)?, author(turn));
    let raw = block(turn.group, vec![chain.into()], None, &by, b"forged")?;
    forge(turn, to, chain, raw)
}

fn skipping(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (chain, by) = (chain_of(turn, to)?, author(turn));
    let raw = block(chain, Vec::new(), Some((chain.into(), 7)), &by, b"forged")?;
    forge(turn, to, chain, raw)
}

fn noise(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let chain = chain_of(turn, to)?;
    let mut raw = block(chain, vec![chain.into()], None, &author(turn), b"noise")?;
    raw.header.truncate(20);
    push(turn, to, chain, raw)
}
