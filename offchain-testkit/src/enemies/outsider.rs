//! A member of one group asks for the chains of others, whose ids it knows, in a good session. Aims at S2 and M6.

use walytis_core::{ChainId, Header, Pending, chains};
use walytis_engine::sync::{SyncMessage, WANTED_MAX};

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("outsider", || Tricks::boxed(&[ask]));

fn ask(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let store = turn.world.reading(to).ok()?;
    let theirs = Pending::new(store);
    let all = chains::all_chains(&theirs).ok()?;
    let own: Vec<ChainId> = chains::all_chains(&turn.puppet.view).ok()?;
    let (raw, attachment) = turn.unkept(b"in another group")?;
    for chain in all.into_iter().filter(|chain| !own.contains(chain)) {
        let blocks = (0..32).map_while(|place| chains::block_at(&theirs, chain, place).ok().flatten());
        let ids: Vec<_> = blocks.map(|stored| stored.block.id()).collect();
        turn.sync(to, SyncMessage::Heads { chain, heads: vec![Header::id_of(&raw.header)] })?;
        turn.sync(to, SyncMessage::Pull { chain, have: Vec::new() })?;
        turn.sync(to, SyncMessage::More { chain })?;
        for wanted in ids.chunks(WANTED_MAX) {
            turn.sync(to, SyncMessage::WantAttachments { chain, ids: wanted.to_vec() })?;
            // And under the name of the group that it is in.
            turn.sync(to, SyncMessage::WantAttachments { chain: turn.group, ids: wanted.to_vec() })?;
        }
        turn.deeds.forged.insert(Header::id_of(&raw.header));
        turn.sync(to, SyncMessage::Push { chain, block: wire(raw.clone(), Some(&attachment)) })?;
    }
    Some(())
}
