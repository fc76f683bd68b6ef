//! Blocks that wait for each other or for themselves, as far as hashes allow: each names what the other would be if it
//! named it not. Aims at C5: they wait, within their sender's quota, and hold nothing up.

use walytis_core::Header;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("knots", || Tricks::boxed(&[pair, selfish]));

fn pair(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (first, _) = turn.unkept(b"one")?;
    let (second, _) = turn.unkept(b"other")?;
    for name in [&first, &second] {
        let id = Header::id_of(&name.header);
        let (block, attachment) = turn.changed(|header| header.parents = vec![id])?;
        turn.deeds.forged.insert(id);
        turn.forge(to, block, Some(&attachment))?;
    }
    Some(())
}

fn selfish(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"myself")?;
    let mut header = Header::decode(&raw.header).ok()?;
    header.parents = vec![Header::id_of(&raw.header)];
    let block = turn.signed(header.encode(), header.suite, raw.content)?;
    turn.forge(to, block, Some(&attachment))
}
