//! A different story to each peer: other blocks, other heads, other addresses, and content for one of them only. Aims at C1
//! and C4: honest members find out from each other.

use walytis_core::{Address, Header};
use walytis_engine::sync::SyncMessage;
use walytis_offchain::Message;

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("two_faces", || Box::new(act));

fn act(turn: &mut Turn<'_>) -> Outcome {
    let chain = turn.group;
    let mut acted = false;
    let mut before: Option<walytis_core::BlockId> = None;
    for (number, victim) in turn.victims.iter().enumerate() {
        let story = turn.session(*victim).and_then(|()| turn.unkept(format!("to you, {number}").as_bytes()));
        let Some((raw, attachment)) = story else { continue };
        let id = Header::id_of(&raw.header);
        let beside = (number % 2 == 0).then_some(&attachment);
        acted |= turn.offer(*victim, raw, beside).is_some();
        // What only the one before has: this one asks the enemy, who has never heard of it.
        let heads = before.into_iter().collect();
        turn.sync(*victim, SyncMessage::Heads { chain, heads });
        let me = turn.world.identity(turn.puppet.node()).peer;
        let addresses = Address::new(format!("/memory/{}/p2p/{me}", 1_000 + number)).into_iter().collect();
        turn.say(*victim, &Message::Hello { addresses }.encode());
        for (from, message) in turn.listen(100) {
            let Some(from) = turn.world.node_of(from) else { continue };
            if matches!(message, Message::Sync(SyncMessage::Pull { .. })) {
                turn.sync(from, SyncMessage::Portion { chain, blocks: Vec::new(), left: 0 });
            }
        }
        before = Some(id);
    }
    Outcome::of(acted)
}
