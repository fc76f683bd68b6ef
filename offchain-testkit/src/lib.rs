#![doc = include_str!("../README.md")]

pub mod enemies;
pub mod fuzz;
pub mod network_contract;
pub mod strangers;
pub mod swarm;

mod disk_crash;
mod disk_image;
mod layer_contract;
mod memory_store;
mod node_swarm;
mod puppet;
mod sim_disk;
mod sim_network;
mod store_contract;
mod world;

pub use disk_crash::{DISK_SECTOR_BYTES, DiskMoment, Survival};
pub use disk_image::{DISK_PAGE_BYTES, DiskImage};
pub use layer_contract::layer_contract;
pub use memory_store::{MemoryStore, Snapshot};
pub use node_swarm::NodeSwarm;
pub use puppet::Puppet;
pub use sim_disk::{DiskFailure, DiskFaults, DiskOperations, SimDisk};
pub use sim_network::{MediumConfig, SimMedium, SimNetwork, UNDER_WAY_BYTES_MAX};
pub use store_contract::{Opener, store_contract};
pub use world::{Damage, Fault, Faults, Mangle, NodeId, StoreCopy, TAIL_US, WallClock, World, WorldConfig};

/// The programs in the repository's README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// So does the one in the guide of `walytis-node`, which cannot name this crate.
#[cfg(doctest)]
#[doc = include_str!("../../walytis-node/guide/testing.md")]
mod page {}

/// So does the short one in the guide for application developers.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing-your-application.md")]
mod guide {}
