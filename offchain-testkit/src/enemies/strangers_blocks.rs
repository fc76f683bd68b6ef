//! Blocks that are well signed, by keys that no member has. Aims at B3: only members write.

use walytis_core::{AuthorSecret, BlockKind, Suite};

use super::turn::transcript;
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("strangers_blocks", || Tricks::boxed(&[private, operation]));

fn private(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    by_nobody(turn, to, BlockKind::Private)
}

fn operation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    by_nobody(turn, to, BlockKind::Operation)
}

/// A first block by a key of nobody's, behind blocks of the group.
fn by_nobody(turn: &mut Turn<'_>, to: NodeId, kind: BlockKind) -> Option<()> {
    let nobody = AuthorSecret::generate(&mut turn.puppet.rng);
    let (raw, attachment) = match kind {
        BlockKind::Operation => (turn.merge()?, None),
        _ => turn.changed(|_| {}).map(|(raw, attachment)| (raw, Some(attachment)))?,
    };
    let mut header = walytis_core::Header::decode(&raw.header).ok()?;
    header.author = nobody.public();
    header.parents.extend(header.previous.take());
    header.parents.sort_unstable();
    header.sequence = 0;
    let mut block = turn.signed(header.encode(), header.suite, raw.content)?;
    let own = nobody.sign(&transcript(header.suite, &block.header)).to_vec();
    block.signature = match header.suite {
        Suite::Hybrid => own.into_iter().chain(block.signature.split_off(64)).collect(),
        _ => own,
    };
    turn.forge(to, block, attachment.as_ref())
}
