//! Blocks whose parents nobody has, as many as go. Aims at R1 and R3: they wait within their sender's quota.

use walytis_core::Header;

use super::turn::wire;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("orphan_flood", || Tricks::boxed(&[small, large]));

fn flood(turn: &mut Turn<'_>, to: NodeId, orphans: usize, content: &[u8]) -> Option<()> {
    let (raw, attachment) = turn.unkept(content)?;
    let honest = Header::decode(&raw.header).ok()?;
    for _ in 0..orphans {
        let mut header = honest.clone();
        header.parents = vec![turn.random_id()];
        let block = turn.signed(header.encode(), header.suite, raw.content.clone())?;
        turn.deeds.forged.insert(Header::id_of(&block.header));
        turn.push(to, wire(block, Some(&attachment)))?;
    }
    Some(())
}

fn small(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    flood(turn, to, 150, b"an orphan")
}

/// More than the quota of one peer.
fn large(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let content = vec![7; 700_000];
    let quota = walytis_engine::ORPHAN_BYTES_PER_PEER_MAX / content.len();
    flood(turn, to, quota.saturating_add(3), &content)
}
