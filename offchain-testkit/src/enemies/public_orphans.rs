//! Blocks of a public chain whose parents nobody has, well signed, as many as go. Aims at R1 and R3: they wait within their
//! sender's quota, and nobody waits for them.

use super::openly::{author, block, chain_of, forge};
use super::{Class, Tricks, Turn};
use crate::NodeId;
use walytis_core::BlockId;
use walytis_core::limits::PARENTS_MAX;

pub(super) const CLASS: Class = Class::stranger("public_orphans", || Tricks::outside(&[small, large, wide]));

fn flood(turn: &mut Turn<'_>, to: NodeId, orphans: usize, content: &[u8]) -> Option<()> {
    let (chain, by) = (chain_of(turn, to)?, author(turn));
    for _ in 0..orphans {
        let raw = block(chain, vec![turn.random_id()], None, &by, content)?;
        forge(turn, to, chain, raw)?;
    }
    Some(())
}

fn small(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    flood(turn, to, 100, b"an orphan")
}

/// More than the quota of one peer.
fn large(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let content = vec![7; 700_000];
    flood(turn, to, walytis_engine::ORPHAN_BYTES_PER_PEER_MAX / content.len() + 2, &content)
}

/// Behind as many parents as a block may have and a previous one, all of them invented: what waits for each of them is held,
/// too.
fn wide(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (chain, by) = (chain_of(turn, to)?, author(turn));
    for _ in 0..200 {
        let mut parents: Vec<BlockId> = (0..PARENTS_MAX).map(|_| turn.random_id()).collect();
        parents.sort_unstable();
        let raw = block(chain, parents, Some((turn.random_id(), 0)), &by, b"a wide orphan")?;
        forge(turn, to, chain, raw)?;
    }
    Some(())
}
