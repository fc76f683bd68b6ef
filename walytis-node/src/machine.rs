//! The engine that a node runs: the one of the highest layer that is built in. What is said to it and what it says have
//! the same shapes, whichever it is.

#[cfg(not(feature = "offchain"))]
pub use walytis_core::Engine;
#[cfg(not(feature = "offchain"))]
pub use walytis_core::engine::Status;
#[cfg(not(feature = "offchain"))]
pub(crate) use walytis_core::engine::{Answer, Command, Delivery, Effect, Event, Timer};
#[cfg(not(feature = "offchain"))]
pub use walytis_core::public::PublicError as EngineError;
#[cfg(feature = "offchain")]
pub(crate) use walytis_offchain::{Answer, Command, Delivery, Effect, Event, Timer};
#[cfg(feature = "offchain")]
pub use walytis_offchain::{Engine, EngineError, Status};

/// What a public chain's error is to the engine that hosts it.
#[cfg(feature = "offchain")]
pub(crate) fn engine_error(error: walytis_core::public::PublicError) -> EngineError {
    error.into()
}
/// Without a layer above, it is the engine's own.
#[cfg(not(feature = "offchain"))]
pub(crate) const fn engine_error(error: EngineError) -> EngineError {
    error
}
