//! Blocks, well signed, with parents that no honest author names. Aims at B3 and B5.

use walytis_core::{BlockId, Header, chains};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("bad_parents", || {
    Tricks::boxed(&[twice, unsorted, previous, foreign, none, skipped, anothers, unknown])
});

fn with(turn: &mut Turn<'_>, to: NodeId, change: impl FnOnce(&mut Header)) -> Option<()> {
    let (block, attachment) = turn.changed(change)?;
    turn.forge(to, block, Some(&attachment))
}

/// Two blocks of the group, in ascending order, that are not the author's own.
fn two(turn: &mut Turn<'_>) -> Option<[BlockId; 2]> {
    let mut ids: Vec<BlockId> = turn.known(2).iter().map(|raw| Header::id_of(&raw.header)).collect();
    ids.sort_unstable();
    ids.try_into().ok()
}

fn twice(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let [first, _] = two(turn)?;
    with(turn, to, |header| header.parents = vec![first, first])
}

fn unsorted(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let [first, second] = two(turn)?;
    with(turn, to, |header| header.parents = vec![second, first])
}

/// The previous block once more among the parents.
fn previous(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let [first, _] = two(turn)?;
    with(turn, to, |header| {
        let own = *header.previous.get_or_insert(first);
        header.sequence = header.sequence.max(1);
        header.parents = vec![own];
    })
}

/// A parent on another chain.
fn foreign(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let raw = turn.known(1).pop()?;
    let named = Header::decode(&raw.header).ok()?.foreign.first()?.block;
    with(turn, to, |header| {
        header.parents.push(named);
        header.parents.sort_unstable();
    })
}

fn none(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |header| {
        header.parents.clear();
        header.previous = None;
        header.sequence = 0;
    })
}

/// A number that does not follow the previous block's.
fn skipped(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (kept, attachment) = turn.kept(b"one of mine")?;
    turn.offer(to, kept, Some(&attachment))?;
    with(turn, to, |header| header.sequence = header.sequence.saturating_add(5))
}

/// Another author's block as its own previous one.
fn anothers(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let founder = chains::block_at(&turn.puppet.view, turn.group, 0).ok()??;
    with(turn, to, |header| {
        header.parents.retain(|parent| *parent != founder.block.id());
        header.previous = Some(founder.block.id());
        header.sequence = founder.block.header().sequence.saturating_add(1);
    })
}

fn unknown(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let nobodys = turn.random_id();
    with(turn, to, |header| header.parents = vec![nobodys])
}
