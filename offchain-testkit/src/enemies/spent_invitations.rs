//! Asks to be admitted by an invitation whose uses are spent, by all that know of it at once. Aims at attack 6: how often one
//! may be used is the group's knowledge.

use walytis_offchain::Message;

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::stranger("spent_invitations", || Box::new(act));

fn act(turn: &mut Turn<'_>) -> Outcome {
    let Some(invitation) = turn.invitation else { return Outcome::Idle };
    let mut acted = false;
    for victim in turn.victims {
        if !turn.has_time() {
            break;
        }
        let Some(ready) = turn.puppet.begin_join(turn.world, *victim, turn.group, invitation) else { continue };
        let session = *ready.session_hash();
        let Ok(request) = turn.puppet.join_request(turn.group, invitation, &session) else { continue };
        acted |= turn.puppet.finish(turn.world, *victim, ready, &Message::Join(Box::new(request)));
    }
    turn.deeds.admitted |= turn.listen(200).iter().any(|(_, message)| *message == Message::Joined);
    Outcome::of(acted)
}
