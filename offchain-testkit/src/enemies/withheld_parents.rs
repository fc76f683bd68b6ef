//! Pushes and announces children whose parents it keeps to itself, and answers no question. Aims at C5.

use walytis_core::Header;
use walytis_engine::sync::SyncMessage;

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("withheld_parents", || Box::new(act));

fn act(turn: &mut Turn<'_>) -> Outcome {
    // What else the puppet does must not give the parent away.
    let pair = turn.scratch(|turn| Some((turn.kept(b"mine alone")?, turn.kept(b"look what I have")?)));
    let Some(((parent, _), (child, attachment))) = pair else { return Outcome::Idle };
    let (parent, last) = (Header::id_of(&parent.header), Header::id_of(&child.header));
    turn.deeds.forged.insert(parent);
    let mut acted = false;
    for victim in turn.victims {
        if turn.session(*victim).is_none() {
            continue;
        }
        acted |= turn.forge(*victim, child.clone(), Some(&attachment)).is_some();
        turn.sync(*victim, SyncMessage::Heads { chain: turn.group, heads: vec![last] });
    }
    turn.listen(200);
    Outcome::of(acted)
}
