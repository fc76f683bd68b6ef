//! What can go wrong between a caller and a node.

use walytis_node::{EngineError, NodeError, OpenError};

use crate::handles::Kind;
use crate::layout::{self, Status};

/// Why a call failed; its text is what `walytis_last_error` gives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AbiError {
    /// A pointer is null that must not be.
    #[error("`{0}` is null")]
    Null(&'static str),
    /// Bytes, or a text, are more than this interface takes.
    #[error("`{what}` is too long: its length is at most {length_max}")]
    TooLong {
        /// The parameter.
        what: &'static str,
        /// How many bytes, or values, there may be.
        length_max: usize,
    },
    /// A text is none.
    #[error("`{0}` is not UTF-8")]
    NotUtf8(&'static str),
    /// A number has no meaning here.
    #[error("`{what}` cannot be {value}: {allowed}")]
    Value {
        /// The parameter.
        what: &'static str,
        /// What it is.
        value: i64,
        /// What it may be.
        allowed: &'static str,
    },
    /// Too many addresses, or one that is too long to be one.
    #[error("`{what}` has an address of more than 512 bytes, or more than {count_max} of them")]
    Addresses {
        /// The parameter.
        what: &'static str,
        /// How many there may be.
        count_max: usize,
    },
    /// A handle names nothing.
    #[error("{handle} is no handle of {wanted}: it was closed or released, or never given")]
    NoHandle {
        /// The number.
        handle: u64,
        /// What the function takes.
        wanted: &'static str,
    },
    /// A handle names something else.
    #[error("{handle} is a handle of {found}, and {wanted} is asked for")]
    OtherHandle {
        /// The number.
        handle: u64,
        /// What the function takes.
        wanted: &'static str,
        /// What it names.
        found: Kind,
    },
    /// The table is full.
    #[error("there are {0} handles, which is the limit: release events and texts once they are read")]
    TooManyHandles(usize),
    /// The threads of a node could not be started.
    #[error("cannot start the node's threads: {0}")]
    Threads(#[from] std::io::Error),
    /// The node's own refusal.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Nothing came in time.
    #[error("nothing came in {0} ms")]
    TimedOut(i64),
    /// The handle that was waited on is gone.
    #[error("the events were released while this call waited")]
    Released,
    /// A mistake of ours.
    #[error("a mistake in the library, please report it: {0}")]
    Panic(String),
}

impl AbiError {
    /// The number for it.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Null(_) | Self::TooLong { .. } | Self::NotUtf8(_) | Self::Value { .. } | Self::Addresses { .. } => {
                layout::ARGUMENT
            }
            Self::NoHandle { .. } | Self::OtherHandle { .. } | Self::TooManyHandles(_) => layout::HANDLE,
            Self::Threads(_) => layout::FAILED,
            Self::TimedOut(_) => layout::TIMED_OUT,
            Self::Released => layout::CLOSED,
            Self::Panic(_) => layout::BUG,
            Self::Node(error) => of_node(error),
        }
    }
}

fn of_node(error: &NodeError) -> Status {
    match error {
        NodeError::Closed => layout::CLOSED,
        NodeError::Open(OpenError::Exists { .. }) => layout::EXISTS,
        NodeError::Open(OpenError::NotFound { .. }) => layout::NOT_FOUND,
        NodeError::Open(OpenError::WrongUnlock { .. } | OpenError::OtherUnlock { .. }) => layout::WRONG_SECRET,
        NodeError::Open(OpenError::InUse { .. }) => layout::IN_USE,
        NodeError::Engine(EngineError::UnknownGroup(_)) => layout::UNKNOWN_GROUP,
        NodeError::BrokenOff => layout::BUG,
        _ => layout::FAILED,
    }
}
