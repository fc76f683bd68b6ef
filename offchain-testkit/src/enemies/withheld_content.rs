//! Valid blocks whose content nobody is ever given. Aims at C5: they stand there without it, and hold nothing up.

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("withheld_content", || Box::new(act));

fn act(turn: &mut Turn<'_>) -> Outcome {
    let mut acted = false;
    for victim in turn.victims {
        if turn.session(*victim).is_none() {
            continue;
        }
        for _ in 0..6 {
            let Some((raw, _)) = turn.kept(b"not for you") else { break };
            acted |= turn.offer(*victim, raw, None).is_some();
        }
    }
    // What it is asked for goes unanswered.
    turn.listen(200);
    Outcome::of(acted)
}
