//! An author that writes two blocks with one number on a public chain, and tells each victim another one. Aims at C1 and
//! C5: all keep both.

use super::openly::{author, block, chain_of, offer};
use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::stranger("public_forks", || Box::new(Forks));

struct Forks;

impl Enemy for Forks {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let by = author(turn);
        let mut told = 0_u8;
        for victim in turn.victims {
            let done = turn.connect(*victim).and_then(|()| {
                let chain = chain_of(turn, *victim)?;
                let first = block(chain, vec![chain.into()], None, &by, b"the first")?;
                let first_id = walytis_core::Header::id_of(&first.header);
                let second =
                    block(chain, Vec::new(), Some((first_id, 0)), &by, &[b"my word to ", &[told][..]].concat())?;
                offer(turn, *victim, chain, first)?;
                offer(turn, *victim, chain, second)
            });
            told = told.saturating_add(u8::from(done.is_some()));
        }
        turn.wait(100);
        Outcome::of(told > 0)
    }
}
