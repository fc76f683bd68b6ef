//! Malicious peers of a run.

use walytis_core::{BlockId, ChainId};
use walytis_identities::{InvitationCode, InvitationSecret};
use walytis_offchain::{Command, EngineError};

use super::GROUP;
use super::invariant::{Broken, Invariant};
use crate::enemies::{self, Deeds, Enemy, Outcome, Standing, Turn};
use crate::{Fault, NodeId, Puppet, World};

/// How long becoming a member may take in a calm world, in milliseconds.
const JOIN_MS: u64 = 200_000;

/// A malicious peer: a class of enemies with a node in its hands.
pub(super) struct Hostile {
    class: &'static str,
    enemy: Box<dyn Enemy>,
    puppet: Puppet,
    deeds: Deeds,
    invitation: Option<InvitationSecret>,
}

impl Hostile {
    /// A node for each class. Those that have to be members become so honestly, before they turn.
    pub(super) fn all(world: &mut World, code: &str, classes: &[String]) -> Result<Vec<Self>, Broken> {
        let failed = |what: String| Broken { invariant: Invariant::C5, what };
        let mut all = Vec::new();
        for name in classes {
            let class = enemies::all().into_iter().find(|class| class.name == name);
            let class = class.ok_or_else(|| failed(format!("no class of enemies is called {name:?}")))?;
            let node = world.add_node().map_err(|error| failed(error.to_string()))?;
            if class.needs == Standing::Member {
                let command = Command::Join { code: code.to_owned(), name: Some(GROUP.into()) };
                match world.call(node, command, JOIN_MS) {
                    Some(Ok(_) | Err(EngineError::AlreadyMember(_))) => {}
                    other => return Err(failed(format!("{name} cannot join: {other:?}"))),
                }
            }
            let puppet = Puppet::possess(world, node).map_err(|error| failed(error.to_string()))?;
            let code = code.parse::<InvitationCode>().ok();
            let invitation = code.map(|code| InvitationSecret::from_bytes(code.secret().as_bytes()));
            // A stranger with an open invitation would be none for long.
            let invitation = invitation.filter(|_| class.needs == Standing::Member);
            let enemy = (class.make)();
            all.push(Self { class: class.name, enemy, puppet, deeds: Deeds::default(), invitation });
        }
        Ok(all)
    }

    pub(super) const fn class(&self) -> &'static str {
        self.class
    }

    /// Takes a turn. Returns whether it did something.
    pub(super) fn act(&mut self, world: &mut World, group: ChainId, victims: &[NodeId]) -> bool {
        world.faults_mut().arm(Fault::Enemy);
        let mut turn = Turn::new(world, &mut self.puppet, victims, group, &mut self.deeds);
        if let Some(invitation) = &self.invitation {
            turn = turn.with_invitation(invitation);
        }
        let acted = self.enemy.act(&mut turn) == Outcome::Acted;
        if acted {
            world.faults_mut().fire(Fault::Enemy);
        }
        acted
    }

    /// Blocks of its making that must not be in an honest node's set.
    pub(super) fn forged(&self) -> impl Iterator<Item = BlockId> {
        self.deeds.forged.iter().copied()
    }
}
