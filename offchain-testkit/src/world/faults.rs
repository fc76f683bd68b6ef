//! The kinds of faults, and how often each happened.

use std::collections::BTreeMap;

/// What can go wrong in a world. Enemies and their classes are counted by whoever runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A frame took seconds.
    Delay,
    /// A frame was lost, and later ones arrived.
    Drop,
    /// A frame arrived twice.
    Duplicate,
    /// A frame was overtaken by later ones.
    Reorder,
    /// A frame arrived without its end.
    Cut,
    /// A connection broke with everything under way.
    Break,
    /// One end of a connection went on without the other.
    HalfOpen,
    /// A way was closed in both directions: a connection ended, or dialling failed.
    Partition,
    /// Frames got through in one direction only.
    OneWay,
    /// A node was killed, and what it was writing was lost.
    CrashLosing,
    /// A node was killed, and some of what it was writing was kept.
    CrashKeeping,
    /// A node was killed within milliseconds of its start.
    CrashInRecovery,
    /// A commit failed with an input/output error.
    WriteError,
    /// A commit failed for want of space.
    NoSpace,
    /// An old copy of the store was put back.
    OldCopy,
    /// A wall clock was wrong.
    Clock,
    /// A node stood still, and everything waited for it.
    Pause,
    /// A node was away for a long time.
    Absence,
    /// A node joined late.
    LateJoin,
    /// A crash lost pages that were not synced.
    LostPages,
    /// A crash kept later pages and lost earlier ones.
    ReorderedPages,
    /// A crash left a part of a page.
    TornPages,
    /// A bit was flipped at rest.
    FlippedBits,
    /// Two pages changed places at rest.
    SwappedPages,
    /// A disk lost its end at rest.
    CutEnd,
    /// A malicious peer did something.
    Enemy,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 26] = [
        Self::Delay,
        Self::Drop,
        Self::Duplicate,
        Self::Reorder,
        Self::Cut,
        Self::Break,
        Self::HalfOpen,
        Self::Partition,
        Self::OneWay,
        Self::CrashLosing,
        Self::CrashKeeping,
        Self::CrashInRecovery,
        Self::WriteError,
        Self::NoSpace,
        Self::OldCopy,
        Self::Clock,
        Self::Pause,
        Self::Absence,
        Self::LateJoin,
        Self::LostPages,
        Self::ReorderedPages,
        Self::TornPages,
        Self::FlippedBits,
        Self::SwappedPages,
        Self::CutEnd,
        Self::Enemy,
    ];
}

/// How often faults were armed, and how often they then happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    armed: BTreeMap<Fault, u64>,
    fired: BTreeMap<Fault, u64>,
}

impl Faults {
    /// Notes that a fault may happen from now on.
    pub fn arm(&mut self, fault: Fault) {
        let count = self.armed.entry(fault).or_default();
        *count = count.saturating_add(1);
    }

    /// Notes that a fault happened.
    pub fn fire(&mut self, fault: Fault) {
        let count = self.fired.entry(fault).or_default();
        *count = count.saturating_add(1);
    }

    /// How often a fault was armed.
    #[must_use]
    pub fn armed(&self, fault: Fault) -> u64 {
        self.armed.get(&fault).copied().unwrap_or_default()
    }

    /// How often a fault happened.
    #[must_use]
    pub fn fired(&self, fault: Fault) -> u64 {
        self.fired.get(&fault).copied().unwrap_or_default()
    }

    /// How many faults happened.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.fired.values().sum()
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in [(&mut self.armed, &other.armed), (&mut self.fired, &other.fired)] {
            for (fault, count) in others {
                let sum = own.entry(*fault).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }
}
