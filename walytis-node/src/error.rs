//! What can go wrong with a node.

use crate::machine::EngineError;
use walytis_core::{NetworkError, OtherProtocol};
use walytis_engine::public::{ArchiveError, ImportError};

/// Why a node could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The engine refused, or the store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file is no export of a chain, or not a whole one. The blocks before are kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A block of a file does not hold. Those before it are kept.
    #[error("block {block} of the file was not taken: {reason}")]
    NotTaken {
        /// Which, counted from 1.
        block: u64,
        /// Why.
        reason: ImportError,
    },
    /// The network refused.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The home's store could not be opened or created.
    #[cfg(feature = "redb")]
    #[error(transparent)]
    Open(#[from] offchain_store::OpenError),
    /// The network could not be started.
    #[cfg(feature = "libp2p")]
    #[error(transparent)]
    Start(#[from] offchain_net::StartError),
    /// Whoever was asked speaks another protocol than this build.
    #[error("nothing can be exchanged with the inviter: {0}")]
    OtherProtocol(OtherProtocol),
    /// There is no room on the disk to delete in.
    #[error(
        "nothing was deleted: to delete, a store needs 1 MiB of room on its disk, and there is none. Free some there, and \
         try again"
    )]
    NoRoom,
    /// A home has an earlier format, of this number, and its disk has no room to bring it to today's.
    #[error(
        "this home has format {0}, which is brought to today's when it is opened, and its disk has no room for that. Nothing \
         was changed: free some room there, and open it again"
    )]
    NoRoomToMigrate(u8),
    /// The node was started without a network.
    #[error("this node has no network: serve the home to reach others")]
    Offline,
    /// The node was shut down.
    #[error("the node was shut down")]
    Closed,
    /// The node's task was ended from outside: its runtime is gone, or it met a bug of ours.
    #[error("the node broke off: its runtime was shut down, or the log tells of a bug")]
    BrokenOff,
}
