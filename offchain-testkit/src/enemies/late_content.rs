//! Valid blocks whose content comes after them, unasked, and some time later. Aims at D1: whoever was given the block is
//! given its content.

use serde_bytes::ByteBuf;
use walytis_core::Header;
use walytis_core::sync::SyncMessage;

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("late_content", || Box::new(act));

fn act(turn: &mut Turn<'_>) -> Outcome {
    let chain = turn.group;
    let mut acted = false;
    for victim in turn.victims {
        if turn.session(*victim).is_none() {
            continue;
        }
        let Some((raw, attachment)) = turn.kept(b"the rest follows") else { break };
        let id = Header::id_of(&raw.header);
        if turn.offer(*victim, raw, None).is_none() {
            continue;
        }
        let pause_ms = u64::try_from(turn.pick(300)).unwrap_or_default();
        turn.wait(pause_ms);
        let attachment = ByteBuf::from(attachment.encode());
        acted |= turn.sync(*victim, SyncMessage::Attachment { chain, id, attachment }).is_some();
    }
    turn.listen(100);
    Outcome::of(acted)
}
