//! Two blocks with one sequence number, told to different peers. Aims at C1 and C2: both are in every set, in one order.

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("equivocation", || Box::new(act));

fn act(turn: &mut Turn<'_>) -> Outcome {
    let (Some(one), Some(other)) = (turn.unkept(b"I said this"), turn.unkept(b"I said that")) else {
        return Outcome::Idle;
    };
    let mut acted = false;
    for (number, victim) in turn.victims.iter().enumerate() {
        let (raw, attachment) = if number % 2 == 0 { &one } else { &other };
        if turn.session(*victim).is_some() {
            acted |= turn.offer(*victim, raw.clone(), Some(attachment)).is_some();
        }
    }
    // Half of the time it goes on behind one of them.
    if turn.pick(2) == 0 {
        let (raw, _) = if turn.pick(2) == 0 { one } else { other };
        acted &= turn.puppet.take_in(&[raw]).is_ok();
    }
    turn.listen(50);
    Outcome::of(acted)
}
