//! Answers to what nobody asked: content, portions, admissions and refusals, in the middle of a session. Aims at D3 and R2.

use walytis_core::Header;
use walytis_engine::sync::SyncMessage;
use walytis_identities::InvitationSecret;
use walytis_offchain::{Attachment, JoinRefusal, Message};

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("unasked_answers", || Tricks::boxed(&[contents, portion, joined, refused, request]));

/// Other content for blocks whose content is there, and for blocks that nobody has.
fn contents(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let chain = turn.group;
    let mut ids: Vec<_> = turn.known(16).iter().map(|raw| Header::id_of(&raw.header)).collect();
    ids.push(turn.random_id());
    for id in ids {
        let junk = Attachment::Open(turn.random(300).into()).encode().into();
        turn.sync(to, SyncMessage::Attachment { chain, id, attachment: junk })?;
    }
    Some(())
}

fn portion(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"nobody asked")?;
    let blocks = vec![wire(raw, Some(&attachment))];
    turn.sync(to, SyncMessage::Portion { chain: turn.group, blocks, left: 0 })
}

fn joined(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.say(to, &Message::Joined.encode())
}

fn refused(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.say(to, &Message::JoinRefused(JoinRefusal::Spent).encode())
}

/// A request to be admitted, where none belongs.
fn request(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let session = turn.puppet.session_hash(&turn.world.identity(to).peer)?;
    let request = turn.scratch(|turn| {
        let invitation = InvitationSecret::generate(&mut turn.puppet.rng);
        turn.puppet.join_request(turn.group, &invitation, &session).ok()
    })?;
    turn.say(to, &Message::Join(Box::new(request)).encode())
}
