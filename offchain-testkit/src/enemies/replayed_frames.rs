//! Frames once more: to the same peer, to another, and on a later connection. Aims at section 1: a replay is a no-op.

use walytis_engine::sync::SyncMessage;
use walytis_offchain::Message;

use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("replayed_frames", || Box::new(Replay { kept: Vec::new() }));

/// How many frames are kept for later.
const KEPT_MAX: usize = 16;

struct Replay {
    kept: Vec<Vec<u8>>,
}

impl Enemy for Replay {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mut acted = false;
        for victim in turn.victims {
            if turn.session(*victim).is_none() {
                continue;
            }
            // What was sealed for others, or in earlier sessions, then a good frame twice.
            for frame in self.kept.iter().take(4) {
                acted |= turn.frame(*victim, frame.clone()).is_some();
            }
            turn.listen(20);
            let message = Message::Sync(SyncMessage::Heads { chain: turn.group, heads: turn.heads() }).encode();
            let Some(frame) = turn.puppet.sealed(turn.world, *victim, &message) else { continue };
            for _ in 0..2 {
                acted |= turn.frame(*victim, frame.clone()).is_some();
            }
            self.kept.insert(0, frame);
        }
        self.kept.truncate(KEPT_MAX);
        turn.listen(100);
        Outcome::of(acted)
    }
}
