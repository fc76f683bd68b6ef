//! Hostile behaviours to mix into a swarm: each class in a file of its own, each listed once in [`all`].
//!
//! An enemy has a [`Puppet`](crate::Puppet) in its hands, with all secrets of that device, and takes turns. In a turn it
//! does what its class is about, as far as it can, and says whether it did: what was armed and could not fire counts for
//! nothing. A turn never fails, and takes at most [`TURN_MS_MAX`] of virtual time.

mod turn;

// What is no frame, no message or no block at all.
mod broken_limits;
mod cut_frames;
mod lying_lengths;
mod noise;
mod overlong_encodings;
mod oversized_frames;
mod unknown_numbers;

// Blocks that must not get into anybody's set.
mod bad_parents;
mod depth_bomb;
mod forged_admissions;
mod forged_epochs;
mod forged_signatures;
mod half_signatures;
mod huge_numbers;
mod knots;
mod second_genesis;
mod self_promotion;
mod stowaways;
mod strangers_blocks;
mod swapped_signatures;
mod weak_signatures;
mod wrong_chain;
mod wrong_content;
mod wrong_kinds;

// Content that belongs elsewhere.
mod moved_content;
mod wrong_attachments;

// What was said before, or elsewhere.
mod relayed_handshakes;
mod replayed_blocks;
mod replayed_frames;

// What members may write, and should not.
mod backdated_blocks;
mod cheating_epochs;
mod deep_chain;
mod equivocation;
mod operation_fan;
mod rival_epochs;
mod spam;
mod two_faces;
mod wide_fan;

// What is owed and not given, or given and not owed.
mod empty_promises;
mod false_addresses;
mod late_content;
mod lying_portions;
mod orphan_flood;
mod unasked_answers;
mod want_flood;
mod withheld_content;
mod withheld_parents;

// At the door.
mod false_codes;
mod forged_invitations;
mod handshake_flood;
mod outsider;
mod prying_stranger;
mod session_churn;
mod spent_invitations;
mod stalled_handshakes;
mod stalled_joins;

// On public chains, where an id is all that they need.
mod openly;
mod public_forgeries;
mod public_forks;
mod public_orphans;
mod public_promises;

pub use turn::{Deeds, TURN_MS_MAX, Turn};

use crate::NodeId;

/// Who an enemy is to the group that it is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody that the group knows. A member can do the same.
    Stranger,
    /// A member that may write, and does not manage the group.
    Member,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The enemy did to somebody what its class is about.
    Acted,
    /// It could not: nobody was there, or nobody would have it.
    Idle,
}

impl Outcome {
    const fn of(acted: bool) -> Self {
        if acted { Self::Acted } else { Self::Idle }
    }
}

/// A hostile behaviour. A function of a turn is one without memory.
pub trait Enemy {
    /// Takes a turn.
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome;

    /// How many different things it does, so that each can be drawn as often as any other.
    fn tricks(&self) -> usize {
        1
    }
}

impl<F: FnMut(&mut Turn<'_>) -> Outcome> Enemy for F {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        self(turn)
    }
}

/// A class of enemies.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// Its name, which is its file's.
    pub name: &'static str,
    /// What the enemy has to be.
    pub needs: Standing,
    /// Makes one.
    pub make: fn() -> Box<dyn Enemy>,
}

impl Class {
    /// Whether it can do something only where there is a public chain.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.name.starts_with("public_")
    }

    const fn member(name: &'static str, make: fn() -> Box<dyn Enemy>) -> Self {
        Self { name, needs: Standing::Member, make }
    }

    const fn stranger(name: &'static str, make: fn() -> Box<dyn Enemy>) -> Self {
        Self { name, needs: Standing::Stranger, make }
    }
}

/// Every class.
#[must_use]
pub fn all() -> Vec<Class> {
    vec![
        backdated_blocks::CLASS,
        bad_parents::CLASS,
        broken_limits::CLASS,
        cheating_epochs::CLASS,
        cut_frames::CLASS,
        deep_chain::CLASS,
        depth_bomb::CLASS,
        empty_promises::CLASS,
        equivocation::CLASS,
        false_addresses::CLASS,
        false_codes::CLASS,
        forged_admissions::CLASS,
        forged_epochs::CLASS,
        forged_invitations::CLASS,
        forged_signatures::CLASS,
        half_signatures::CLASS,
        handshake_flood::CLASS,
        huge_numbers::CLASS,
        knots::CLASS,
        late_content::CLASS,
        lying_lengths::CLASS,
        lying_portions::CLASS,
        moved_content::CLASS,
        noise::CLASS,
        operation_fan::CLASS,
        orphan_flood::CLASS,
        outsider::CLASS,
        overlong_encodings::CLASS,
        oversized_frames::CLASS,
        prying_stranger::CLASS,
        relayed_handshakes::CLASS,
        replayed_blocks::CLASS,
        replayed_frames::CLASS,
        rival_epochs::CLASS,
        second_genesis::CLASS,
        self_promotion::CLASS,
        session_churn::CLASS,
        spam::CLASS,
        spent_invitations::CLASS,
        stalled_handshakes::CLASS,
        stalled_joins::CLASS,
        stowaways::CLASS,
        strangers_blocks::CLASS,
        swapped_signatures::CLASS,
        two_faces::CLASS,
        unasked_answers::CLASS,
        unknown_numbers::CLASS,
        want_flood::CLASS,
        weak_signatures::CLASS,
        wide_fan::CLASS,
        withheld_content::CLASS,
        withheld_parents::CLASS,
        wrong_attachments::CLASS,
        wrong_chain::CLASS,
        wrong_content::CLASS,
        wrong_kinds::CLASS,
        public_forgeries::CLASS,
        public_forks::CLASS,
        public_orphans::CLASS,
        public_promises::CLASS,
    ]
}

/// One thing to do to one victim. `None` if it could not be done.
type Trick = fn(&mut Turn<'_>, NodeId) -> Option<()>;

/// An enemy that plays one of its tricks on each victim in a turn, another one each time: most of them cost it the
/// connection. With which one it begins is drawn.
struct Tricks {
    needs: Standing,
    tricks: &'static [Trick],
    next: Option<usize>,
}

impl Tricks {
    /// Tricks inside a session.
    fn boxed(tricks: &'static [Trick]) -> Box<dyn Enemy> {
        Box::new(Self { needs: Standing::Member, tricks, next: None })
    }

    /// Tricks on a connection.
    fn outside(tricks: &'static [Trick]) -> Box<dyn Enemy> {
        Box::new(Self { needs: Standing::Stranger, tricks, next: None })
    }
}

impl Enemy for Tricks {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mut acted = false;
        let mut next = self.next.unwrap_or_else(|| turn.pick(self.tricks.len()));
        for victim in turn.victims {
            let there = match self.needs {
                Standing::Member => turn.session(*victim),
                Standing::Stranger => turn.connect(*victim),
            };
            let Some(trick) = there.and_then(|()| self.tricks.get(next % self.tricks.len().max(1))) else {
                continue;
            };
            if trick(turn, *victim).is_some() {
                acted = true;
                next = next.wrapping_add(1);
            }
        }
        self.next = Some(next);
        turn.listen(100);
        Outcome::of(acted)
    }

    fn tricks(&self) -> usize {
        self.tricks.len()
    }
}
