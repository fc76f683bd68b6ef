//! Has an invitation, begins to join, and stops after each step, or says something else than what is due. Aims at R3 and
//! attack 6: nothing is spent and nothing is given before the request holds.

use walytis_core::Hash;
use walytis_engine::sync::SyncMessage;
use walytis_offchain::Message;

use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::stranger("stalled_joins", || Box::new(Stall { step: 0 }));

struct Stall {
    step: usize,
}

impl Enemy for Stall {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let Some(invitation) = turn.invitation else { return Outcome::Idle };
        let mut acted = false;
        for victim in turn.victims {
            if !turn.has_time() {
                break;
            }
            self.step = self.step.wrapping_add(1);
            let Some(ready) = turn.puppet.begin_join(turn.world, *victim, turn.group, invitation) else { continue };
            acted = true;
            let said = match self.step % 4 {
                // It was answered, and says no more.
                0 => continue,
                1 => Message::Hello { addresses: vec![turn.world.address(turn.puppet.node())] },
                2 => Message::Sync(SyncMessage::Pull { chain: turn.group, have: Vec::new() }),
                // A request with a proof for another session.
                _ => {
                    let other = Hash(turn.random_id().0);
                    let Ok(request) = turn.puppet.join_request(turn.group, invitation, &other) else { continue };
                    Message::Join(Box::new(request))
                }
            };
            turn.puppet.finish(turn.world, *victim, ready, &said);
            // And asks, as if it had been admitted.
            turn.sync(*victim, SyncMessage::Pull { chain: turn.group, have: Vec::new() });
            turn.sync(*victim, SyncMessage::Heads { chain: turn.group, heads: Vec::new() });
        }
        turn.deeds.admitted |= turn.listen(200).iter().any(|(_, message)| *message == Message::Joined);
        Outcome::of(acted)
    }
}
