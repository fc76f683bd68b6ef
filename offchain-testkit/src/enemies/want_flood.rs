//! Asks for everything, again and again. Aims at R1 and R2: each question costs its asker about as much, and no queue grows.

use walytis_core::Header;
use walytis_engine::sync::{SyncMessage, WANTED_MAX};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("want_flood", || Tricks::boxed(&[pulls, attachments, mores, heads]));

/// How often it asks in a turn.
const TIMES: usize = 40;

fn pulls(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    (0..TIMES).try_for_each(|_| turn.sync(to, SyncMessage::Pull { chain: turn.group, have: Vec::new() }))
}

fn attachments(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let ids: Vec<_> = turn.known(200).iter().map(|raw| Header::id_of(&raw.header)).collect();
    for wanted in ids.chunks(WANTED_MAX).cycle().take(TIMES) {
        turn.sync(to, SyncMessage::WantAttachments { chain: turn.group, ids: wanted.to_vec() })?;
    }
    let nobodys = (0..WANTED_MAX).map(|_| turn.random_id()).collect();
    turn.sync(to, SyncMessage::WantAttachments { chain: turn.group, ids: nobodys })
}

fn mores(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    (0..TIMES).try_for_each(|_| turn.sync(to, SyncMessage::More { chain: turn.group }))
}

/// No heads at all: whoever hears it tells its own.
fn heads(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    (0..TIMES).try_for_each(|_| turn.sync(to, SyncMessage::Heads { chain: turn.group, heads: Vec::new() }))
}
