//! Valid blocks, as many as go. Aims at R1, R2 and C3: a member may write much, and the others stay usable.

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("spam", || Box::new(act));

/// How many blocks it writes in a turn.
const BLOCKS: usize = 60;

fn act(turn: &mut Turn<'_>) -> Outcome {
    for victim in turn.victims {
        turn.session(*victim);
    }
    let mut acted = false;
    for _ in 0..BLOCKS {
        let Some((raw, attachment)) = turn.kept(b"buy now") else { break };
        for victim in turn.victims {
            acted |= turn.offer(*victim, raw.clone(), Some(&attachment)).is_some();
        }
    }
    turn.listen(100);
    Outcome::of(acted)
}
