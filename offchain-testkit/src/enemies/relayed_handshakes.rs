//! Flights of one handshake brought to another peer, and old ones brought back. Aims at attacks 3 and 4: a handshake is bound
//! to both ends of its connection.

use walytis_offchain::FrameKind;

use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("relayed_handshakes", || Box::new(Relay { kept: Vec::new() }));

/// How many flights of others are kept for later.
const KEPT_MAX: usize = 8;

struct Relay {
    kept: Vec<Vec<u8>>,
}

impl Enemy for Relay {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mut acted = false;
        for victim in turn.victims {
            let Some(key) = turn.connect(*victim).and_then(|()| turn.key_of(*victim)) else { continue };
            let peer = turn.world.identity(*victim).peer;
            let Some(flight) = turn.puppet.first_flight(peer, key) else { continue };
            for other in turn.victims {
                if turn.connect(*other).is_some() {
                    // To whom it is for, twice; and to everybody else.
                    acted |= turn.frame(*other, flight.clone()).is_some();
                    acted |= turn.frame(*other, flight.clone()).is_some();
                }
                for kept in &self.kept {
                    acted |= turn.frame(*other, kept.clone()).is_some();
                }
            }
            turn.wait(20);
            for (_, frame) in turn.puppet.raw_mail(turn.world) {
                if matches!(frame.first().copied().and_then(FrameKind::from_byte), Some(FrameKind::Data) | None) {
                    continue;
                }
                for other in turn.victims {
                    acted |= turn.frame(*other, frame.clone()).is_some();
                }
                self.kept.insert(0, frame);
            }
            self.kept.truncate(KEPT_MAX);
        }
        turn.listen(100);
        Outcome::of(acted)
    }
}
