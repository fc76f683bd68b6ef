//! Those who verify for an engine.

use std::fmt;
use std::sync::Arc;

use walytis_core::{InTurn, Workers};

/// Those who work for an engine.
#[derive(Clone)]
pub(crate) struct Crew(pub(crate) Arc<dyn Workers>);

impl Default for Crew {
    fn default() -> Self {
        Self(Arc::new(InTurn))
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crew")
    }
}
