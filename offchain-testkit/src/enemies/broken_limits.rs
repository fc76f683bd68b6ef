//! Blocks, well signed, that are larger than any may be. Aims at B3 and R3: each limit of a block is reached.

use walytis_core::limits::{CONTENT_BYTES_MAX, FOREIGN_MAX, PARENTS_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use walytis_core::{ChainId, ForeignHead, Header, Suite};
use walytis_offchain::Message;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("broken_limits", || Tricks::boxed(&[parents, content, topics, topic, foreign, header, heads, body]));

fn with(turn: &mut Turn<'_>, to: NodeId, change: impl FnOnce(&mut Header)) -> Option<()> {
    let (block, attachment) = turn.changed(change)?;
    turn.forge(to, block, Some(&attachment))
}

fn parents(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut many: Vec<_> = (0..=PARENTS_MAX).map(|_| turn.random_id()).collect();
    many.sort_unstable();
    with(turn, to, |header| header.parents = many)
}

fn topics(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |header| header.topics = vec![vec![1]; TOPICS_MAX.saturating_add(1)])
}

fn topic(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |header| header.topics = vec![vec![1; TOPIC_BYTES_MAX.saturating_add(1)]])
}

fn foreign(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut heads: Vec<_> = (0..=FOREIGN_MAX)
        .map(|_| ForeignHead { chain: ChainId(turn.random_id().0), block: turn.random_id() })
        .collect();
    heads.sort_unstable();
    let raw = turn.merge()?;
    let mut header = Header::decode(&raw.header).ok()?;
    header.foreign = heads;
    let block = turn.signed(header.encode(), Suite::Hybrid, raw.content)?;
    turn.forge(to, block, None)
}

/// A header beyond its limit, although each topic keeps to its own.
fn header(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    with(turn, to, |header| header.topics = vec![vec![1; TOPIC_BYTES_MAX]; 80])
}

/// Content on the chain of one byte more than there may be.
fn content(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, _) = turn.rewritten(|content| {
        content.resize(CONTENT_BYTES_MAX.saturating_add(1), 7);
        Some(())
    })?;
    turn.forge(to, block, None)
}

/// A private block whose body is no body.
fn body(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, attachment) = turn.rewritten(|content| {
        content.extend_from_slice(&[1; 5_000]);
        Some(())
    })?;
    turn.forge(to, block, Some(&attachment))
}

fn heads(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let heads = (0..=walytis_engine::sync::IDS_MAX).map(|_| turn.random_id()).collect();
    let message = walytis_engine::sync::SyncMessage::Heads { chain: turn.group, heads };
    turn.say(to, &Message::Sync(message).encode())
}
