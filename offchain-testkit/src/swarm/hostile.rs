//! Malicious peers of a run.

use walytis_core::{BlockId, ChainId};
use walytis_identities::{InvitationCode, InvitationSecret};
use walytis_offchain::{Command, EngineError};

use super::GROUP;
use super::invariant::{Broken, Invariant};
use super::plan::CLASSES_APART;
use crate::enemies::{self, Deeds, Enemy, Outcome, Standing, Turn};
use crate::{Fault, NodeId, Puppet, World};

/// How long becoming a member may take in a calm world, in milliseconds.
const JOIN_MS: u64 = 200_000;

/// How many honest members a malicious peer turns to in a turn: most of what it does costs it the connection, and each
/// session costs signatures.
const VICTIMS: usize = 2;

/// A malicious peer: a node in the hands of one or more classes of enemies, which take turns.
pub(super) struct Hostile {
    enemies: Vec<(&'static str, Box<dyn Enemy>)>,
    /// How many turns it had.
    turns: usize,
    puppet: Puppet,
    deeds: Deeds,
    invitation: Option<InvitationSecret>,
}

impl Hostile {
    /// A node for each entry, which names its classes. Those that have to be members become so honestly, before they turn.
    pub(super) fn all(world: &mut World, code: &str, peers: &[String]) -> Result<Vec<Self>, Broken> {
        let failed = |what: String| Broken { invariant: Invariant::C5, what };
        let mut all = Vec::new();
        for names in peers {
            let mut classes = Vec::new();
            for name in names.split(CLASSES_APART) {
                let class = enemies::all().into_iter().find(|class| class.name == name);
                classes.push(class.ok_or_else(|| failed(format!("no class of enemies is called {name:?}")))?);
            }
            let member = classes.iter().any(|class| class.needs == Standing::Member);
            let node = world.add_node().map_err(|error| failed(error.to_string()))?;
            if member {
                let command = Command::Join { code: code.to_owned(), name: Some(GROUP.into()) };
                match world.call(node, command, JOIN_MS) {
                    Some(Ok(_) | Err(EngineError::AlreadyMember(_))) => {}
                    other => return Err(failed(format!("{names} cannot join: {other:?}"))),
                }
            }
            let puppet = Puppet::possess(world, node).map_err(|error| failed(error.to_string()))?;
            let code = code.parse::<InvitationCode>().ok();
            let invitation = code.map(|code| InvitationSecret::from_bytes(code.secret().as_bytes()));
            // A stranger with an open invitation would be none for long.
            let invitation = invitation.filter(|_| member);
            let enemies = classes.into_iter().map(|class| (class.name, (class.make)())).collect();
            all.push(Self { enemies, turns: 0, puppet, deeds: Deeds::default(), invitation });
        }
        Ok(all)
    }

    /// What it was sent in sealed form, and how much of that under salt and nonce of something else.
    pub(super) fn sealed(&self) -> (usize, u64) {
        self.puppet.sealed_here()
    }

    /// How many messages about a chain it was sent.
    pub(super) fn served(&self, chain: ChainId) -> u64 {
        self.puppet.served(chain)
    }

    /// Opens a session with a member, if it can.
    pub(super) fn greet(&mut self, world: &mut World, group: ChainId, by: NodeId) {
        let victims = [by];
        let _ = Turn::new(world, &mut self.puppet, &victims, group, &mut self.deeds).session(by);
    }

    /// The next of its classes takes a turn, against the next of the members. Returns the class if it did something.
    pub(super) fn act(&mut self, world: &mut World, group: ChainId, members: &[NodeId]) -> Option<&'static str> {
        world.faults_mut().arm(Fault::Enemy);
        let first = self.turns.saturating_mul(VICTIMS).checked_rem(members.len()).unwrap_or_default();
        let victims: Vec<NodeId> =
            members.iter().cycle().skip(first).take(VICTIMS.min(members.len())).copied().collect();
        let place = self.turns.checked_rem(self.enemies.len()).unwrap_or_default();
        self.turns = self.turns.wrapping_add(1);
        let (class, enemy) = self.enemies.get_mut(place)?;
        let mut turn = Turn::new(world, &mut self.puppet, &victims, group, &mut self.deeds);
        if let Some(invitation) = &self.invitation {
            turn = turn.with_invitation(invitation);
        }
        if enemy.act(&mut turn) == Outcome::Idle {
            return None;
        }
        world.faults_mut().fire(Fault::Enemy);
        Some(*class)
    }

    /// Blocks of its making that must not be in an honest node's set.
    pub(super) fn forged(&self) -> impl Iterator<Item = BlockId> {
        self.deeds.forged.iter().copied()
    }

    /// Blocks of its making that may be in a set, and must not be shown.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = BlockId> {
        self.deeds.unreadable.iter().copied()
    }
}
