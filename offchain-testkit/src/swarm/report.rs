//! The sum of many runs.

use std::collections::BTreeMap;
use std::fmt;

use walytis_offchain::{Limit, LimitsReached};

use super::invariant::{Asked, Invariant};
use super::run::Outcome;
use crate::{Fault, Faults};

/// How many faults a run has to have on average, those that only delay a frame aside.
pub const FAULTS_PER_RUN: u64 = 50;

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How many runs.
    pub runs: u64,
    /// How many of them had malicious peers that acted.
    pub hostile: u64,
    /// Posts, joins and reads.
    pub operations: u64,
    /// What went wrong on purpose.
    pub faults: Faults,
    /// How often each invariant was asked, the groups and the public chains together.
    pub asked: Asked,
    /// How often each invariant was asked of public chains.
    pub public: Asked,
    /// The longest time until honest members were equal, in milliseconds, and its seed.
    pub worst_time: (u64, u64),
    /// The most bytes until then, and its seed.
    pub worst_bytes: (u64, u64),
    /// Which limits were reached, and how often.
    pub limits: LimitsReached,
    /// How often each class of malicious peers acted.
    pub enemies: BTreeMap<String, u64>,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.runs = self.runs.saturating_add(1);
        self.hostile = self.hostile.saturating_add(u64::from(!outcome.enemies.is_empty()));
        self.operations = self.operations.saturating_add(outcome.operations);
        self.faults.add(&outcome.faults);
        self.asked.merge(&outcome.asked);
        self.asked.merge(&outcome.public);
        self.public.merge(&outcome.public);
        self.worst_time = self.worst_time.max((outcome.convergence_ms, seed));
        self.worst_bytes = self.worst_bytes.max((outcome.convergence_bytes, seed));
        for (limit, times) in &outcome.limits {
            let sum = self.limits.entry(*limit).or_default();
            *sum = sum.saturating_add(*times);
        }
        for (class, times) in &outcome.enemies {
            let sum = self.enemies.entry(class.clone()).or_default();
            *sum = sum.saturating_add(*times);
        }
    }

    /// How many faults happened in a run on average, delayed frames aside.
    #[must_use]
    pub fn faults_per_run(&self) -> u64 {
        let delays = self.faults.fired(Fault::Delay);
        self.faults.total().saturating_sub(delays).checked_div(self.runs).unwrap_or_default()
    }

    /// What these runs leave to be wished for: too few faults, a kind of fault or an invariant that did not come up, too
    /// few malicious peers. Empty if they were worth something.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.faults_per_run() < FAULTS_PER_RUN {
            found.push(format!("{} faults a run, fewer than {FAULTS_PER_RUN}", self.faults_per_run()));
        }
        for fault in Fault::ALL.into_iter().filter(|fault| self.faults.fired(*fault) == 0) {
            found.push(format!("no fault of the kind {fault:?} happened"));
        }
        for invariant in Invariant::ALL.into_iter().filter(|invariant| self.asked.times(*invariant) == 0) {
            found.push(format!("{invariant:?} was never asked"));
        }
        for invariant in Invariant::PUBLIC.into_iter().filter(|invariant| self.public.times(*invariant) == 0) {
            found.push(format!("{invariant:?} was never asked of a public chain"));
        }
        if self.hostile.saturating_mul(100) < self.runs.saturating_mul(40) {
            found.push(format!("{} of {} runs had malicious peers, fewer than 40 %", self.hostile, self.runs));
        }
        found
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "runs                 {:>12}", self.runs)?;
        writeln!(f, "  with malicious     {:>12}", self.hostile)?;
        writeln!(f, "operations           {:>12}", self.operations)?;
        writeln!(f, "faults per run       {:>12}", self.faults_per_run())?;
        let (ms, seed) = self.worst_time;
        writeln!(f, "worst convergence    {:>10.1} s  seed {seed}", ms as f64 / 1000.0)?;
        let (bytes, seed) = self.worst_bytes;
        writeln!(f, "                     {:>9.2} MiB  seed {seed}", bytes as f64 / 1_048_576.0)?;
        writeln!(f, "\n{:<20} {:>12} {:>12}", "fault", "armed", "happened")?;
        for fault in Fault::ALL {
            let name = format!("{fault:?}");
            writeln!(f, "{name:<20} {:>12} {:>12}", self.faults.armed(fault), self.faults.fired(fault))?;
        }
        writeln!(f, "\n{:<20} {:>12} {:>12}", "invariant", "asked", "publicly")?;
        for invariant in Invariant::ALL {
            let name = format!("{invariant:?}");
            let (all, public) = (self.asked.times(invariant), self.public.times(invariant));
            writeln!(f, "{name:<20} {all:>12} {public:>12}  {}", invariant.meaning())?;
        }
        writeln!(f, "\n{:<20} {:>12}", "limit", "reached")?;
        for limit in Limit::ALL {
            let name = format!("{limit:?}");
            writeln!(f, "{name:<20} {:>12}", self.limits.get(&limit).copied().unwrap_or_default())?;
        }
        writeln!(f, "\n{:<34} {:>12}", "malicious peer", "acted")?;
        for (name, times) in &self.enemies {
            writeln!(f, "{name:<34} {times:>12}")?;
        }
        Ok(())
    }
}
