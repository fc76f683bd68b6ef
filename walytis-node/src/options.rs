//! What a node is started with.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use walytis_core::Timestamp;
use walytis_engine::DiskSpace;
use walytis_engine::public::PUBLIC_BYTES_MAX;

/// A wall clock. What it says is shown to people and never decides anything.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Whether a store's disk has room for so many bytes.
pub type Room = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// Says how much room the store's disk has; `None` if that cannot be known now. It is asked at most about once a second or
/// mebibyte of what strangers write, within the node's task, so it should be quick.
pub type DiskProbe = Arc<dyn Fn() -> Option<DiskSpace> + Send + Sync>;

/// Where batches are made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Committer {
    /// On a thread of its own. Batches that wait while one is written become one commit: no delay for a single one,
    /// full speed under load.
    #[default]
    Thread,
    /// Within the node's task, one by one. For simulations, whose order of events must not depend on threads, and for
    /// stores that need no time.
    Inline,
}

/// Settings of a node.
///
/// ```
/// let mut options = walytis_node::NodeOptions::default();
/// options.committer = walytis_node::Committer::Inline;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct NodeOptions {
    /// Where batches are made durable.
    pub committer: Committer,
    /// The wall clock.
    pub now: Clock,
    /// Says whether the store's disk has room for so many bytes more, once a commit has failed for lack of it. It may take its
    /// time: the node waits. Without it the node tries to write again after a while, which ends its connections if that fails.
    pub room: Option<Room>,
    /// How much room the store's disk has. Without it, strangers may fill the disk up to the limits of public chains. A
    /// `Home` asks its file system.
    pub disk_space: Option<DiskProbe>,
    /// The most bytes that all public chains have here together.
    pub public_bytes_max: u64,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            committer: Committer::Thread,
            now: Arc::new(system_time),
            room: None,
            disk_space: None,
            public_bytes_max: PUBLIC_BYTES_MAX,
        }
    }
}

impl fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOptions").field("committer", &self.committer).finish_non_exhaustive()
    }
}

/// The system's clock; a clock before 1970 reads as 1970.
pub(crate) fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
