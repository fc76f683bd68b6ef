//! Siblings in hundreds: more heads than one message names, or one block can have as parents. Aims at C1 and R2.

use walytis_core::RawBlock;
use walytis_engine::sync::IDS_MAX;
use walytis_offchain::Attachment;

use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("wide_fan", || Box::new(WideFan { begun: false }));

/// How many siblings it makes in its first turn.
const AT_ONCE: usize = IDS_MAX + 44;
/// How many it makes in each turn after that.
const LATER: usize = 20;

struct WideFan {
    begun: bool,
}

impl Enemy for WideFan {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let wanted = if self.begun { LATER } else { AT_ONCE };
        let made: Vec<(RawBlock, Attachment)> = (0..wanted).map_while(|_| turn.unkept(b"a sibling")).collect();
        let mut acted = false;
        for (number, victim) in turn.victims.iter().enumerate() {
            if turn.session(*victim).is_none() {
                continue;
            }
            // Each victim gets another part of them, so that they have to find out from each other.
            for (_, (raw, attachment)) in made.iter().enumerate().filter(|(place, _)| place % 3 == number % 3) {
                acted |= turn.offer(*victim, raw.clone(), Some(attachment)).is_some();
            }
        }
        self.begun |= acted;
        turn.listen(100);
        Outcome::of(acted)
    }
}
