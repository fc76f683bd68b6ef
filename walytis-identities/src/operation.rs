//! Operations: the content of blocks of kind operation, by which an identity's membership, keys and epochs change.

use serde::{Deserialize, Serialize};
use walytis_core::codec::{self, AtMost, CodecError};
use walytis_core::limits::{CONTENT_BYTES_MAX, NESTING_MAX};
use walytis_core::{
    AuthorKey, AuthorSecret, BadSignature, BlockId, ChainId, ED25519_SIGNATURE_BYTES, Hash, HybridKey, HybridSecret,
    HybridSignature, PeerId, Suite, Transcript,
};

use crate::LeafKey;

/// The most heads that the maker of an epoch may say it saw: as many as a block's content has room for.
const VIEW_MAX: usize = CONTENT_BYTES_MAX / 32;

/// The format version of operations.
pub const OPERATION_VERSION: u8 = 1;

/// What a member may do. Each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Reads.
    Read,
    /// Reads and writes content, and makes epochs.
    Write,
    /// May do everything, above all change the membership.
    Manage,
}

/// What a chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// An identity: membership and control keys alone. Other chains can name it.
    Identity,
    /// Content for the chain's own members. Such an identity cannot be a member of another.
    OwnContent,
    /// Content for the members of the identity named.
    ContentOf(ChainId),
}

/// What newcomers may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum History {
    /// Everything: members serve old content to them over sessions.
    All,
    /// What is sealed from their admission on.
    SinceJoin,
}

/// The keys that one device uses on one chain, and by what right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Identities from the member down to the device, both included: `[device]` if the device itself is the member,
    /// `[user, device]` if its user is. At most [`walytis_core::limits::NESTING_MAX`].
    #[serde(with = "AtMost::<NESTING_MAX, 32>")]
    pub path: Vec<ChainId>,
    /// The device's current key, by its id.
    pub device: Hash,
    /// The key under which the device writes on this chain.
    pub author: AuthorKey,
    /// The key to which epochs of this chain are wrapped for the device; none on identity chains.
    pub leaf: Option<LeafKey>,
    /// The key by which the transport knows the device.
    pub peer: PeerId,
}

/// A [`Binding`] with its device's hybrid signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBinding {
    /// What is bound.
    pub binding: Binding,
    /// By the device, over [`Binding::transcript`].
    pub signature: HybridSignature,
    /// By the author key, over the same: nobody claims another's blocks.
    #[serde(with = "codec::array")]
    pub by_author: [u8; ED25519_SIGNATURE_BYTES],
    /// By the transport key, over the same: nobody claims another's connections.
    #[serde(with = "codec::array")]
    pub by_peer: [u8; ED25519_SIGNATURE_BYTES],
}

impl Binding {
    /// What the device signs. `place` is the chain's id, or in a genesis, which has none yet, its 32 random bytes.
    #[must_use]
    pub fn transcript(&self, place: &[u8; 32]) -> Transcript {
        Transcript::new("key-binding", Suite::Hybrid).field(place).field(&codec::encode(self))
    }

    /// The hash of the binding, by which other transcripts name it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(blake3::derive_key("walytis v1 key binding", &codec::encode(self)))
    }

    /// Signs the binding with the device's key and with the keys that it claims.
    #[must_use]
    pub fn sign(
        self,
        place: &[u8; 32],
        device: &HybridSecret,
        author: &AuthorSecret,
        transport: &AuthorSecret,
        rng: &mut dyn rand_core::CryptoRng,
    ) -> SignedBinding {
        let transcript = self.transcript(place);
        SignedBinding {
            signature: device.sign(&transcript, rng),
            by_author: author.sign(&transcript),
            by_peer: transport.sign(&transcript),
            binding: self,
        }
    }
}

impl SignedBinding {
    /// Verifies that the device, and whoever holds the keys that it claims, signed this.
    ///
    /// # Errors
    /// [`BadSignature`] if a signature is not by its key, or for another place.
    pub fn verify(&self, place: &[u8; 32], device: &HybridKey) -> Result<(), BadSignature> {
        let transcript = self.binding.transcript(place);
        if !walytis_core::mutant!(ClaimAnyAuthor) {
            self.binding.author.verify(&transcript, &self.by_author)?;
        }
        if !walytis_core::mutant!(ClaimAnyPeer) {
            AuthorKey(self.binding.peer.0).verify(&transcript, &self.by_peer)?;
        }
        device.verify(&transcript, &self.signature)
    }
}

/// Who controls a new identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Founder {
    /// A key: the identity is a device, and the key is its own.
    Key {
        /// The device's key.
        key: Box<HybridKey>,
        /// The key by which the transport knows the device.
        peer: PeerId,
    },
    /// Another identity, whose device writes the genesis.
    Identity(Box<SignedBinding>),
}

/// The first operation of every identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// What the chain is for.
    pub purpose: Purpose,
    /// Who made it, and manages it.
    pub founder: Founder,
    /// What newcomers may read.
    pub history: History,
}

/// Opens an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenInvitation {
    /// The id of the invitation's public key. The code that a person passes on has the secret.
    pub invitation: Hash,
    /// The role that it gives.
    pub role: Role,
    /// How many may come in by it.
    pub uses: u32,
    /// After this time managers admit nobody by it. It binds who admits, by its own clock, and never the fold.
    pub expires_at_ms: Option<u64>,
}

/// Admits a member by an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// The joiner's keys here, signed by its device. The member is the first identity of the path.
    pub joiner: SignedBinding,
    /// The invitation's public key.
    pub invitation: HybridKey,
    /// The session in which the joiner asked, by its hash.
    pub session: Hash,
    /// By the invitation's key, over the join transcript: the group, the joiner and the session.
    pub proof: HybridSignature,
}

/// Begins an epoch: from now on content may be sealed for exactly the readers of this view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginEpoch {
    /// The heads of operations that the maker saw, sorted: the epoch's readers are those of the fold over them.
    #[serde(with = "AtMost::<VIEW_MAX, 32>")]
    pub view: Vec<BlockId>,
    /// The hash of the epoch's seed.
    pub seed: Hash,
    /// The Merkle root over one wrap for each reader's device. The wraps are a record beside the block.
    pub wraps: Hash,
}

/// An operation. The numbers of the kinds are their places here: kinds are added at the end and never removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// 0: founds the identity.
    Genesis(Genesis),
    /// 1: opens an invitation.
    OpenInvitation(OpenInvitation),
    /// 2: admits a member.
    Admit(Box<Admit>),
    /// 3: begins an epoch.
    BeginEpoch(BeginEpoch),
    /// 4: changes nothing; its parents merge heads.
    Merge,
}

/// How many kinds of operations this program knows.
const KINDS: u8 = 5;

/// Why the content of an operation block is none.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationError {
    /// The encoding is not the strict one.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The kind is newer than this program.
    #[error("operations of kind {0} are not known: update the program")]
    Kind(u8),
}

impl Operation {
    /// The operation's bytes: the version, then the kind and its fields.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![OPERATION_VERSION];
        bytes.extend_from_slice(&codec::encode(self));
        bytes
    }

    /// Reads an operation.
    ///
    /// # Errors
    /// [`OperationError`] if the bytes are not one that this program knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, OperationError> {
        codec::expect_version(bytes, OPERATION_VERSION)?;
        let bytes = bytes.get(1..).unwrap_or_default();
        match bytes.first() {
            Some(kind) if *kind >= KINDS => Err(OperationError::Kind(*kind)),
            _ => Ok(codec::decode(bytes)?),
        }
    }
}
