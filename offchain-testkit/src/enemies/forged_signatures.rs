//! Blocks whose signature is not by who is named as their author. Aims at B3 and attack 1.

use walytis_core::{AuthorSecret, Header, RawBlock};

use super::turn::transcript;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("forged_signatures", || Tricks::boxed(&[zeros, noise, short, stranger, in_anothers_name, flipped]));

fn with(turn: &mut Turn<'_>, to: NodeId, signature: impl FnOnce(&mut Turn<'_>, &RawBlock) -> Vec<u8>) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"forged")?;
    let signature = signature(turn, &raw);
    turn.forge(to, RawBlock { signature, ..raw }, Some(&attachment))
}

fn zeros(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |_, _| vec![0; 64])
}

fn noise(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |turn, _| turn.random(64))
}

fn short(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |_, raw| raw.signature.iter().copied().take(63).collect())
}

fn stranger(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |turn, raw| {
        let other = AuthorSecret::generate(&mut turn.puppet.rng);
        other.sign(&transcript(walytis_core::Suite::Ed25519, &raw.header)).to_vec()
    })
}

fn flipped(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |turn, raw| {
        let at = turn.pick(64);
        let bit = |(place, byte): (usize, &u8)| if place == at { byte ^ 1 } else { *byte };
        raw.signature.iter().enumerate().map(bit).collect()
    })
}

/// A block in the victim's own name, signed by the enemy.
fn in_anothers_name(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let membership = turn.puppet.fold.current(&turn.puppet.view, turn.group).ok()?;
    let (author, _) = membership.device_of_peer(&turn.world.identity(to).peer)?;
    let author = *author;
    let (block, attachment) = turn.changed(|header: &mut Header| {
        header.author = author;
        header.parents.extend(header.previous.take());
        header.parents.sort_unstable();
        header.sequence = 0;
    })?;
    turn.forge(to, block, Some(&attachment))
}
