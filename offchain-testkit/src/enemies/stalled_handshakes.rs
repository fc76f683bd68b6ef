//! Begins a session and stops after each step, or says nothing at all. Aims at R3 and C5: a handshake that is not finished
//! holds nothing up, and is given up.

use walytis_offchain::FrameKind;

use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("stalled_handshakes", || Box::new(Stall { step: 0 }));

struct Stall {
    step: usize,
}

impl Enemy for Stall {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mut acted = false;
        for victim in turn.victims {
            self.step = self.step.wrapping_add(1);
            let Some(key) = turn.connect(*victim).and_then(|()| turn.key_of(*victim)) else { continue };
            let peer = turn.world.identity(*victim).peer;
            acted |= match self.step % 3 {
                // A connection, and nothing else.
                0 => true,
                // The first flight, and never the third.
                1 => turn.puppet.first_flight(peer, key).and_then(|flight| turn.frame(*victim, flight)).is_some(),
                // A session in which nothing is said, and a third flight that belongs to none.
                _ => {
                    let open = turn.session(*victim);
                    let noise = turn.random(4_000);
                    let flight = [&[FrameKind::Flight3 as u8][..], &noise].concat();
                    open.and_then(|()| turn.frame(*victim, flight)).is_some()
                }
            };
        }
        // What arrives is not even looked at.
        turn.wait(100);
        turn.puppet.raw_mail(turn.world);
        Outcome::of(acted)
    }
}
