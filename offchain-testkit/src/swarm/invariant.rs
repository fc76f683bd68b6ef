//! What must hold, by the names of the threat model, and how often it was asked.

use std::collections::BTreeMap;
use std::fmt;

/// An invariant of the threat model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "`Invariant::meaning` says it, once")]
pub enum Invariant {
    B1,
    B2,
    B3,
    B4,
    B5,
    B6,
    C1,
    C2,
    C3,
    C4,
    C5,
    D1,
    D2,
    D3,
    D4,
    H1,
    H2,
    H3,
    R1,
    R2,
    R3,
    R4,
    S1,
    S2,
    S4,
    S6,
    S9,
    W1,
    W2,
    W3,
    W4,
    W5,
    W6,
    W7,
}

impl Invariant {
    /// All that a run asks. R1 to R3 have tests of their own, too, which count bytes and reads.
    pub const ALL: [Self; 34] = [
        Self::B1,
        Self::B2,
        Self::B3,
        Self::B4,
        Self::B5,
        Self::B6,
        Self::C1,
        Self::C2,
        Self::C3,
        Self::C4,
        Self::C5,
        Self::D1,
        Self::D2,
        Self::D3,
        Self::D4,
        Self::H1,
        Self::H2,
        Self::H3,
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::S1,
        Self::S2,
        Self::S4,
        Self::S6,
        Self::S9,
        Self::W1,
        Self::W2,
        Self::W3,
        Self::W4,
        Self::W5,
        Self::W6,
        Self::W7,
    ];

    /// Those that are asked of public chains by themselves, in every hundred runs.
    pub const PUBLIC: [Self; 18] = [
        Self::B1,
        Self::B2,
        Self::B3,
        Self::B4,
        Self::B5,
        Self::B6,
        Self::C1,
        Self::C2,
        Self::C3,
        Self::C4,
        Self::C5,
        Self::D1,
        Self::D2,
        Self::D3,
        Self::D4,
        Self::H1,
        Self::H2,
        Self::H3,
    ];

    /// What it says.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::B1 => "what was accepted encodes to itself",
            Self::B2 => "the id binds every byte of the header, and the header the content",
            Self::B3 => "every block of the set is signed, well-formed and by somebody who might",
            Self::B4 => "sets and verdicts are equal, whatever the order of arrival and the clocks",
            Self::B5 => "ancestors are in the set before their descendants",
            Self::B6 => "each block is in the set once, however often it arrived",
            Self::C1 => "after healing, honest members have equal sets",
            Self::C2 => "equal sets give equal listings and memberships",
            Self::C3 => "they have them within the bounds of time and bytes",
            Self::C4 => "that holds with malicious peers among them",
            Self::C5 => "and what they withhold keeps back nothing that honest members wrote",
            Self::D1 => "an application gets each block once, across restarts too, and none is left out",
            Self::D2 => "parents come before their children",
            Self::D3 => "what is delivered is stored and verified",
            Self::D4 => "the order of a listing extends the graph of blocks",
            Self::H1 => "no acknowledged post is missing at any healed member",
            Self::H2 => "nothing is read that was not written",
            Self::H3 => "a node's view only grows",
            Self::R1 => "what waits for its parents stays within each peer's quota",
            Self::R2 => "no more handshakes are answered than were begun",
            Self::R3 => "counted: a limit was reached; a test holds each",
            Self::R4 => "nothing panics",
            Self::S1 => {
                "what is shown matches its commitment and signature, and is sealed under an epoch that its author knew"
            }
            Self::S2 => "nobody is told of a group that it is not in",
            Self::S4 => "a newcomer reads what the group's history grants, and nothing else",
            Self::S6 => "no two contents are sealed under one salt and nonce",
            Self::S9 => "no private header, content or wrap leaves outside a session",
            Self::W1 => "what was acknowledged is there after a crash",
            Self::W2 => "what was not is there as a whole or not at all, and nobody else has it",
            Self::W3 => "every store opens after a crash",
            Self::W4 => "a crash while a node recovers changes nothing",
            Self::W5 => "damage at rest is found, or changes nothing",
            Self::W6 => "a failed write is an error, and opening anew works",
            Self::W7 => "index and content agree after a crash",
        }
    }
}

/// How often each invariant was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked(BTreeMap<Invariant, u64>);

impl Asked {
    /// How often an invariant was asked.
    #[must_use]
    pub fn times(&self, invariant: Invariant) -> u64 {
        self.0.get(&invariant).copied().unwrap_or_default()
    }

    /// Notes that an invariant was asked so many times more.
    pub fn add(&mut self, invariant: Invariant, times: u64) {
        let sum = self.0.entry(invariant).or_default();
        *sum = sum.saturating_add(times);
    }

    /// Adds what was asked elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (invariant, times) in &other.0 {
            self.add(*invariant, *times);
        }
    }

    /// Notes that the invariant was asked, and fails if it does not hold.
    ///
    /// # Errors
    /// [`Broken`] if `holds` is false.
    pub fn ask(&mut self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
        self.add(invariant, 1);
        if holds { Ok(()) } else { Err(Broken { invariant, what: what() }) }
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.invariant, self.invariant.meaning(), self.what)
    }
}
