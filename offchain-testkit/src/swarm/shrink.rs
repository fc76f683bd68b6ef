//! Shrinking a plan that fails to the steps that matter.

use super::invariant::Invariant;
use super::plan::{Plan, Step};
use super::run::{Failure, run};

/// How many runs shrinking may take.
const RUNS_MAX: usize = 400;

/// A plan that fails as this one does, with as few steps, nodes and malicious peers as were found, and how it fails.
///
/// Steps are left out in ever smaller groups (delta debugging, Zeller and Hildebrandt 2002); then what is left is made
/// simpler. `None` if the plan does not fail.
#[must_use]
pub fn shrunk(plan: &Plan) -> Option<(Plan, Failure)> {
    let failure = run(plan).err()?;
    let mut shrinking = Shrinking { best: plan.clone(), failure, runs: 0 };
    if let Some(step) = shrinking.failure.step {
        // Nothing behind the step where it fails can matter.
        let mut shorter = shrinking.best.clone();
        shorter.steps.truncate(step.saturating_add(1));
        shrinking.try_this(shorter);
    }
    shrinking.leave_out_steps();
    shrinking.simplify();
    shrinking.leave_out_steps();
    Some((shrinking.best, shrinking.failure))
}

/// How a run failed, without the ids and numbers of the one case.
fn kind(failure: &Failure) -> (Invariant, Vec<&str>) {
    let words = failure.broken.what.split(|letter: char| !letter.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && !word.contains(|letter: char| letter.is_ascii_digit()));
    (failure.broken.invariant, words.take(8).collect())
}

struct Shrinking {
    best: Plan,
    failure: Failure,
    runs: usize,
}

impl Shrinking {
    /// Takes a plan if it fails in the same way. Returns whether it does.
    fn try_this(&mut self, plan: Plan) -> bool {
        if self.runs >= RUNS_MAX || plan == self.best {
            return false;
        }
        self.runs = self.runs.saturating_add(1);
        match run(&plan) {
            Err(failure) if kind(&failure) == kind(&self.failure) => {
                (self.best, self.failure) = (plan, failure);
                true
            }
            _ => false,
        }
    }

    fn leave_out_steps(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            let mut less = false;
            while from < self.best.steps.len() {
                let mut shorter = self.best.clone();
                let to = from.saturating_add(size).min(shorter.steps.len());
                // What was waited for still passes.
                let waited: u64 = shorter.steps.drain(from..to).map(|step| step.wait_ms).sum();
                if let Some(next) = shorter.steps.get_mut(from) {
                    next.wait_ms = next.wait_ms.saturating_add(waited);
                }
                if self.try_this(shorter) { less = true } else { from = to }
            }
            if size == 1 && !less || self.runs >= RUNS_MAX {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    fn simplify(&mut self) {
        let changes: [fn(&mut Plan); 4] = [
            |plan| plan.setting.enemies.clear(),
            |plan| plan.setting.tail_permille = 0,
            |plan| plan.setting.latency_ms = 1,
            |plan| plan.setting.commit_us = 400,
        ];
        for change in changes {
            let mut simpler = self.best.clone();
            change(&mut simpler);
            self.try_this(simpler);
        }
        for index in 0..self.best.steps.len() {
            for wait_ms in [0, 1, 100] {
                let mut simpler = self.best.clone();
                if let Some(Step { wait_ms: waited, .. }) = simpler.steps.get_mut(index) {
                    if *waited <= wait_ms {
                        break;
                    }
                    *waited = wait_ms;
                }
                if self.try_this(simpler) {
                    break;
                }
            }
        }
    }
}
