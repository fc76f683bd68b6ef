//! A second group beside the first: one member's own, whose history begins with joining, until it lets another one in.

use walytis_core::{ChainId, chains};
use walytis_identities::History;
use walytis_offchain::{Answer, Command, Entry};

use super::hostile::Hostile;
use super::invariant::{Broken, Invariant};
use super::run::{Run, broken};
use crate::NodeId;

/// Its local name.
const CIRCLE: &str = "circle";

/// Longer than a call takes in a healed world, in milliseconds.
const CALL_MS: u64 = 60_000;

/// Within how much virtual time its members have what is posted, in milliseconds.
const POST_MS: u64 = 5_000;

/// The group that one member has for itself.
pub(super) struct Circle {
    founder: NodeId,
    group: ChainId,
}

impl Run {
    /// The member that joined last founds it, and writes what nobody else is ever to read.
    pub(super) fn found_circle(&mut self) -> Result<(), Broken> {
        let Some(founder) = self.members.last().copied() else { return Ok(()) };
        let command = Command::NewGroup { name: CIRCLE.into(), history: History::SinceJoin };
        let group = match self.world.call(founder, command, CALL_MS) {
            Some(Ok(Answer::Group(group))) => group.group,
            other => return Err(broken(Invariant::C5, format!("a second group cannot be founded: {other:?}"))),
        };
        self.world.guard_chain(group);
        self.world.guard_text(b"mine alone");
        self.circle = Some(Circle { founder, group });
        self.tell_circle(founder, b"mine alone")
    }

    /// S2, S4: nobody has heard of it so far. A newcomer reads what is written from its admission on, and nothing before.
    pub(super) fn open_circle(&mut self) -> Result<(), Broken> {
        let Some(Circle { founder, group }) = self.circle else { return Ok(()) };
        let newcomer = self.members.iter().copied().find(|node| *node != founder);
        self.unheard_of(group, &[founder])?;
        let Some(newcomer) = newcomer else { return Ok(()) };
        let before = self.circle_at(founder)?.len();
        let code = match self.world.call(founder, Command::Invite { group: CIRCLE.into(), uses: 1 }, CALL_MS) {
            Some(Ok(Answer::Invitation(code))) => code,
            other => return Err(broken(Invariant::C5, format!("nobody can be invited: {other:?}"))),
        };
        self.join(newcomer, founder, &Command::Join { code, name: Some(CIRCLE.into()) })?;
        self.tell_circle(founder, b"to both")?;
        self.tell_circle(newcomer, b"and back")?;
        let slow_ms = self.world.slowest_ms().saturating_mul(20);
        let began_us = self.world.now_us();
        let [mut old, mut new] = [founder, newcomer].map(|_| Vec::new());
        while self.world.now_us().saturating_sub(began_us) / 1_000 <= POST_MS.saturating_add(slow_ms) {
            self.world.run_for(100);
            (old, new) = (self.circle_at(founder)?, self.circle_at(newcomer)?);
            if old.len() == new.len() && old.len() > before.saturating_add(1) {
                break;
            }
        }
        let shown = |entries: &[Entry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
        self.outcome
            .asked
            .ask(Invariant::C3, shown(&old) == shown(&new), || "a second group of two does not agree".to_owned())?;
        for (place, (old, new)) in old.iter().zip(&new).enumerate() {
            let granted = place >= before;
            self.outcome.asked.ask(Invariant::S4, new.content.is_some() == granted, || {
                format!("block {} of a group since joining: granted is {granted}, read {}", new.id, !granted)
            })?;
            let same = old.content.is_some() && (!granted || old.content == new.content);
            self.outcome.asked.ask(Invariant::H1, same, || format!("block {} lost its content", old.id))?;
        }
        self.unheard_of(group, &[founder, newcomer])
    }

    fn tell_circle(&mut self, node: NodeId, text: &[u8]) -> Result<(), Broken> {
        let command = Command::Post { group: CIRCLE.into(), topics: Vec::new(), content: text.to_vec() };
        match self.world.call(node, command, CALL_MS) {
            Some(Ok(_)) => Ok(()),
            other => Err(broken(Invariant::C5, format!("{node:?} cannot post to a second group: {other:?}"))),
        }
    }

    fn circle_at(&mut self, node: NodeId) -> Result<Vec<Entry>, Broken> {
        let command = Command::List { group: CIRCLE.into(), after: None, below: None, topic: None };
        match self.world.call(node, command, CALL_MS) {
            Some(Ok(Answer::Page(page))) => Ok(page.entries),
            other => Err(broken(Invariant::C2, format!("{node:?} cannot list a second group: {other:?}"))),
        }
    }

    /// S2: neither honest nodes nor malicious ones were told anything of a group that they are not in.
    fn unheard_of(&mut self, group: ChainId, members: &[NodeId]) -> Result<(), Broken> {
        for node in self.nodes.clone().into_iter().filter(|node| !members.contains(node)) {
            let stored = chains::length(&self.view(node), group).unwrap_or_default();
            self.outcome.asked.ask(Invariant::S2, stored == 0, || {
                format!("{node:?} has {stored} blocks of a group that it is not in")
            })?;
        }
        let told: u64 = self.hostile.iter().map(|hostile: &Hostile| hostile.served(group)).sum();
        self.outcome.asked.ask(Invariant::S2, told == 0, || {
            format!("malicious peers were sent {told} messages about a group that they are not in")
        })
    }
}
