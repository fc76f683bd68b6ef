//! The engine that a node runs: the one of the highest layer that is built in. What is said to it and what it says have
//! the same shapes, whichever it is.

use walytis_core::{ChainError, StoreError};

#[cfg(not(feature = "offchain"))]
pub use walytis_engine::Engine;
#[cfg(not(feature = "offchain"))]
pub use walytis_engine::engine::Status;
#[cfg(not(feature = "offchain"))]
pub(crate) use walytis_engine::engine::{Answer, Command, Delivery, Effect, Event, Timer};
#[cfg(not(feature = "offchain"))]
pub use walytis_engine::public::PublicError as EngineError;
#[cfg(feature = "offchain")]
pub(crate) use walytis_offchain::{Answer, Command, Delivery, Effect, Event, Timer};
#[cfg(feature = "offchain")]
pub use walytis_offchain::{Engine, EngineError, Status};

/// Whether a join failed since nobody answers.
pub(crate) const fn is_no_inviter(error: &EngineError) -> bool {
    #[cfg(not(feature = "offchain"))]
    return matches!(error, EngineError::NoInviter);
    #[cfg(feature = "offchain")]
    return matches!(
        error,
        EngineError::NoInviter | EngineError::Public(walytis_engine::public::PublicError::NoInviter)
    );
}

/// The store's own failure, if that is the reason.
pub(crate) fn store_failure(error: &EngineError) -> Option<StoreError> {
    #[cfg(feature = "offchain")]
    use walytis_identities::{FoldError, KeyringError, WriteError};
    match error {
        EngineError::Chain(ChainError::Store(error)) => Some(error.clone()),
        #[cfg(feature = "offchain")]
        EngineError::Write(
            WriteError::Chain(ChainError::Store(error))
            | WriteError::Fold(FoldError::Chain(ChainError::Store(error)))
            | WriteError::Keyring(KeyringError::Store(error)),
        )
        | EngineError::Fold(FoldError::Chain(ChainError::Store(error))) => Some(error.clone()),
        _ => None,
    }
}

/// What a public chain's error is to the engine that hosts it.
#[cfg(feature = "offchain")]
pub(crate) fn engine_error(error: walytis_engine::public::PublicError) -> EngineError {
    error.into()
}
/// Without a layer above, it is the engine's own.
#[cfg(not(feature = "offchain"))]
pub(crate) const fn engine_error(error: EngineError) -> EngineError {
    error
}
