//! Runs of a whole swarm: plans drawn from seeds, carried out in a [`World`](crate::World), and checked at every step.
//!
//! A run is chaos (people's operations and faults), then healing, then liveness: the honest members have to become equal
//! within [`CONVERGENCE_MS`]. A plan is data, so a run that fails is shrunk to the steps that matter and kept as text.

mod act;
mod app;
mod check;
mod circle;
mod crowd;
mod draw;
mod hostile;
mod invariant;
mod plan;
mod probe;
mod public;
mod public_end;
mod reader;
mod report;
mod run;
mod shrink;

pub use crowd::{Crowd, crowd};
pub use draw::{Ranges, STEPS};
pub use invariant::{Asked, Broken, Invariant};
pub use plan::{Action, NODES_MAX, Partition, Plan, PlanError, Setting, Step};
pub use report::{FAULTS_PER_RUN, Totals};
pub use run::{CONVERGENCE_MS, Failure, Outcome, run, run_watched, same_trace};
pub use shrink::shrunk;

/// The local name of the swarm's one group.
pub(crate) const GROUP: &str = "friends";
