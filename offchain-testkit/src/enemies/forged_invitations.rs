//! Asks to be admitted by invitations that nobody opened, another one each time. Aims at attack 5, R2 and M4.

use walytis_identities::InvitationSecret;

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::stranger("forged_invitations", || Box::new(act));

fn act(turn: &mut Turn<'_>) -> Outcome {
    let mut acted = false;
    for victim in turn.victims {
        if !turn.has_time() || turn.connect(*victim).is_none() {
            continue;
        }
        let invitation = InvitationSecret::generate(&mut turn.puppet.rng);
        acted = true;
        // Nobody answers that: a second flight would be a signature for a stranger.
        turn.deeds.admitted |= turn.puppet.begin_join(turn.world, *victim, turn.group, &invitation).is_some();
    }
    Outcome::of(acted)
}
