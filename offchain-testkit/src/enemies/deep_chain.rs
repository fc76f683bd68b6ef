//! A long chain, each block behind the one before, told by its end. Aims at R2 and C3: depth costs no recursion.

use walytis_core::{BlockId, Header};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_offchain::Message;

use super::turn::wire;
use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("deep_chain", || Box::new(DeepChain { blocks: Vec::new() }));

/// How many blocks come to it in a turn.
const BLOCKS: usize = 60;
/// How many it has at the end.
const DEPTH: usize = 180;
/// How many go into a portion.
const PORTION: usize = 40;

struct DeepChain {
    blocks: Vec<WireBlock>,
}

impl Enemy for DeepChain {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        for _ in 0..BLOCKS.min(DEPTH.saturating_sub(self.blocks.len())) {
            let Some((raw, attachment)) = turn.kept(b"one more") else { break };
            turn.deeds.valid.insert(Header::id_of(&raw.header));
            self.blocks.push(wire(raw, Some(&attachment)));
        }
        let Some(last) = self.blocks.last().map(|block| Header::id_of(&block.block.header)) else {
            return Outcome::Idle;
        };
        let mut acted = false;
        for victim in turn.victims {
            acted |= turn.session(*victim).and_then(|()| self.tell(turn, *victim, last)).is_some();
        }
        Outcome::of(acted)
    }
}

impl DeepChain {
    /// Tells of the last block, and answers when it is asked for what is below.
    fn tell(&self, turn: &mut Turn<'_>, to: crate::NodeId, last: BlockId) -> Option<()> {
        let chain = turn.group;
        turn.sync(to, SyncMessage::Heads { chain, heads: vec![last] })?;
        let mut portions = self.blocks.chunks(PORTION);
        for _ in 0..10 {
            let asked = turn.listen(50).into_iter().any(|(_, message)| {
                matches!(message, Message::Sync(SyncMessage::Pull { .. } | SyncMessage::More { .. }))
            });
            if asked && let Some(portion) = portions.next() {
                let left = u64::try_from(portions.len().saturating_mul(PORTION)).ok()?;
                turn.sync(to, SyncMessage::Portion { chain, blocks: portion.to_vec(), left })?;
            }
        }
        Some(())
    }
}
