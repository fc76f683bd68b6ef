//! One device's wrap of an epoch, as a member gives it to that device alone.

use serde::{Deserialize, Serialize};
use walytis_core::{CodecError, Hash, codec};

use super::{Wrap, WrapError, Wraps};
use crate::epoch_seed::{EpochContext, EpochSeed};
use crate::leaf::LeafSecret;
use crate::merkle::WrapProof;
use crate::operation::BeginEpoch;

/// A wrap for one device. From the epoch's maker it comes with the proof that it is one of those to which the operation
/// commits. Another member that has opened the epoch wraps the seed anew, without one: what opens is compared with
/// the seed's hash in the operation, so there is nothing to believe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenWrap {
    wrap: Wrap,
    proof: Option<WrapProof>,
}

impl GivenWrap {
    /// A wrap that was made anew, by who has opened the epoch.
    #[must_use]
    pub const fn anew(wrap: Wrap) -> Self {
        Self { wrap, proof: None }
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one that a peer gave.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not the one encoding of a given wrap.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }

    /// The name of the leaf key that opens it.
    #[must_use]
    pub const fn leaf(&self) -> &Hash {
        self.wrap.leaf()
    }

    /// Checks the proof, if there is one: that this is what the epoch's maker made.
    ///
    /// # Errors
    /// [`WrapError::Root`] if it is not.
    pub fn verify(&self, begin: &BeginEpoch) -> Result<(), WrapError> {
        self.proof.as_ref().map_or(Ok(()), |proof| self.wrap.verify_proof(proof, &begin.wraps))
    }

    /// Takes the seed out. `None` if the wrap does not open and is proven to be what the epoch's maker made: then the
    /// maker is to blame, and not who passed it on.
    ///
    /// # Errors
    /// [`WrapError::Suite`] if this program is too old to open it, which is nobody's fault; another [`WrapError`] if it is
    /// not for this device, not what its proof claims, or does not open without having one.
    pub fn open(
        &self,
        secret: &LeafSecret,
        context: &EpochContext,
        begin: &BeginEpoch,
    ) -> Result<Option<EpochSeed>, WrapError> {
        if *self.wrap.leaf() != secret.public().id() && !walytis_core::mutant!(TakeOthersWrap) {
            return Err(WrapError::Unexpected { leaf: *self.wrap.leaf() });
        }
        self.verify(begin)?;
        match self.wrap.open(secret, context, &begin.seed) {
            Err(WrapError::Sealed { .. } | WrapError::Seed { .. }) if self.proof.is_some() => Ok(None),
            opened => opened.map(Some),
        }
    }
}

impl Wraps {
    /// Each device's wrap with its proof, by the name of its leaf key.
    pub fn given(&self) -> impl Iterator<Item = (Hash, GivenWrap)> {
        let proofs = self.proofs();
        self.iter().cloned().zip(proofs).map(|(wrap, proof)| (*wrap.leaf(), GivenWrap { wrap, proof: Some(proof) }))
    }
}
