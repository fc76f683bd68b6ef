#![doc = include_str!("../README.md")]

// Keys, wraps, invitations and sessions.
mod aead;
mod epoch_seed;
mod invitation;
mod kem;
mod leaf;
mod merkle;
pub mod session;
#[cfg(test)]
mod vectors;
mod wrap;

// Operations, membership, and what this device writes.
mod did;
mod epochs;
mod fold;
mod judge;
pub mod keyring;
mod map;
mod membership;
mod memo;
mod operation;
mod writer;

pub use did::{Did, ParseDidError};
pub use epochs::{give_wrap, own_wrap};
pub use fold::{Fold, FoldError};
pub use judge::{Judged, Refusal};
pub use keyring::{KeyringError, LocalDevice};
pub use map::Map;
pub use membership::{Device, Epoch, Invitation, Member, Membership, Rank};
pub use operation::{
    Admit, BeginEpoch, Binding, Founder, Genesis, History, OPERATION_VERSION, OpenInvitation, Operation,
    OperationError, Purpose, Role, SignedBinding,
};
pub use writer::{Desk, Entry, WriteError};

pub use epoch_seed::{EpochContext, EpochKey, EpochSeed};
pub use invitation::{InvitationCode, InvitationError, InvitationId, InvitationSecret, Inviter, join_transcript};
pub use kem::KemSuite;
pub use leaf::{LeafError, LeafKey, LeafSecret};
pub use merkle::WrapProof;
pub use wrap::{GivenWrap, Wrap, WrapError, Wraps};
