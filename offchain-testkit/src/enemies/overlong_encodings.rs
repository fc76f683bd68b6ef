//! Other encodings of what is valid: overlong numbers, and bytes behind the end. Aims at B1: one value has one encoding.

use walytis_core::{Header, Suite};
use walytis_engine::sync::SyncMessage;
use walytis_offchain::Message;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("overlong_encodings", || {
    Tricks::boxed(&[trailing, overlong, kind, parents, length, body, header_trailing, attachment])
});

/// Where a header that is no genesis says how many parents it has: behind three numbers, the chain, and an option.
const PARENTS_AT: usize = 3 + 32 + 1;
const HASH_BYTES: usize = 32;

fn heads(turn: &Turn<'_>) -> Vec<u8> {
    Message::Sync(SyncMessage::Heads { chain: turn.group, heads: turn.heads() }).encode()
}

fn trailing(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut bytes = heads(turn);
    bytes.push(0);
    turn.say(to, &bytes)
}

/// The number of a short list or of a kind, in two bytes instead of one.
fn widened(bytes: &[u8], at: usize) -> Option<Vec<u8>> {
    let (before, rest) = bytes.split_at_checked(at)?;
    let (number, rest) = rest.split_first()?;
    Some([before, &[*number | 0x80, 0], rest].concat())
}

fn overlong(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let bytes = widened(&heads(turn), 1)?;
    turn.say(to, &bytes)
}

fn header(turn: &mut Turn<'_>, to: NodeId, at: impl FnOnce(usize) -> usize) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"widened")?;
    let attachment = turn.opened(&raw, &attachment)?;
    let at = at(raw.header.len());
    let block = turn.signed(widened(&raw.header, at)?, Suite::Ed25519, raw.content)?;
    turn.forge(to, block, Some(&attachment))
}

fn kind(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    header(turn, to, |_| 1)
}

fn parents(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    header(turn, to, |_| PARENTS_AT)
}

/// The content's length, which is the last number, before its hash.
fn length(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    header(turn, to, |bytes| bytes.saturating_sub(HASH_BYTES + 1))
}

/// The body's number of an overlay, which stands behind its version.
fn body(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (block, attachment) = turn.rewritten(|content| {
        *content = widened(content, 1)?;
        Some(())
    })?;
    turn.offer_unreadable(to, block, Some(&attachment))
}

fn header_trailing(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"longer")?;
    debug_assert!(Header::decode(&raw.header).is_ok(), "an honest header");
    let attachment = turn.opened(&raw, &attachment)?;
    let block = turn.signed([&raw.header[..], &[0]].concat(), Suite::Ed25519, raw.content)?;
    turn.forge(to, block, Some(&attachment))
}

fn attachment(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"longer beside")?;
    let mut block = super::turn::wire(raw, None);
    block.attachment = Some([&attachment.encode()[..], &[0]].concat().into());
    turn.push(to, block)
}
