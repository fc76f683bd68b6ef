//! Signing keys: the Ed25519 key of an author, and the hybrid key of a device.

use std::fmt;

use ed25519_dalek::{Signature as DalekSignature, Signer, SigningKey, VerifyingKey};
use orion::hazardous::dsa::mldsa65;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::codec::array;
use crate::{AuthorKey, Hash, Transcript, remembered};

/// Bytes of an Ed25519 signature.
pub const ED25519_SIGNATURE_BYTES: usize = 64;
/// Bytes of an ML-DSA-65 public key (FIPS 204).
pub const ML_DSA_KEY_BYTES: usize = 1952;
/// Bytes of an ML-DSA-65 signature (FIPS 204).
pub const ML_DSA_SIGNATURE_BYTES: usize = 3309;
/// Bytes of a hybrid signature: Ed25519, then ML-DSA-65.
pub const HYBRID_SIGNATURE_BYTES: usize = ED25519_SIGNATURE_BYTES + ML_DSA_SIGNATURE_BYTES;

/// A signature or a key does not hold.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The numbers of signature suites. Every signature says which it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// 1: Ed25519 by the author key.
    Ed25519,
    /// 2: Ed25519 by the author key and ML-DSA-65 by the author's device key; both must verify. Signatures of a device
    /// over its own statements have the same number: both halves by the device key.
    Hybrid,
}

impl Suite {
    /// The suite's number in every encoding.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Hybrid => 2,
        }
    }

    /// The suite with this number, if this program knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Ed25519),
            2 => Some(Self::Hybrid),
            _ => None,
        }
    }

    /// How many bytes a block's signature of this suite has.
    #[must_use]
    pub const fn signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 => ED25519_SIGNATURE_BYTES,
            Self::Hybrid => HYBRID_SIGNATURE_BYTES,
        }
    }
}

impl AuthorKey {
    /// Verifies a signature strictly: weak keys and other encodings of the same signature are refused.
    ///
    /// # Errors
    /// [`BadSignature`] if anything about the key or the signature is wrong.
    pub fn verify(
        &self,
        transcript: &Transcript,
        signature: &[u8; ED25519_SIGNATURE_BYTES],
    ) -> Result<(), BadSignature> {
        remembered::once([b"ed25519", &self.0, transcript.as_bytes(), signature], || {
            let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
            key.verify_strict(transcript.as_bytes(), &DalekSignature::from_bytes(signature)).map_err(|_| BadSignature)
        })
    }
}

/// The secret of an [`AuthorKey`]. It is made for one chain and never leaves the device.
pub struct AuthorSecret {
    key: SigningKey,
}

impl AuthorSecret {
    /// Makes a new one.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let secret = Self::from_seed(&seed);
        seed.zeroize();
        secret
    }

    /// The one that a stored seed gives.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// The seed, to be stored sealed.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> AuthorKey {
        AuthorKey(self.key.verifying_key().to_bytes())
    }

    /// Signs a transcript.
    #[must_use]
    pub fn sign(&self, transcript: &Transcript) -> [u8; ED25519_SIGNATURE_BYTES] {
        self.key.sign(transcript.as_bytes()).to_bytes()
    }
}

impl fmt::Debug for AuthorSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorSecret(..)")
    }
}

/// A hybrid public key: of a device, or of an invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HybridKey {
    /// The Ed25519 half.
    pub ed25519: AuthorKey,
    /// The ML-DSA-65 half.
    #[serde(with = "array")]
    pub ml_dsa: [u8; ML_DSA_KEY_BYTES],
}

impl HybridKey {
    /// The name of the key: a hash over its suite and both halves.
    #[must_use]
    pub fn id(&self) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key("walytis v1 hybrid key id");
        hasher.update(&[Suite::Hybrid.number()]);
        hasher.update(&self.ed25519.0);
        hasher.update(&self.ml_dsa);
        Hash(*hasher.finalize().as_bytes())
    }

    /// Verifies both halves of a signature.
    ///
    /// # Errors
    /// [`BadSignature`] if either half does not hold.
    pub fn verify(&self, transcript: &Transcript, signature: &HybridSignature) -> Result<(), BadSignature> {
        self.ed25519
            .verify(transcript, &signature.ed25519)
            .or_else(|bad| if crate::mutant!(SkipEd25519Half) { Ok(()) } else { Err(bad) })?;
        if crate::mutant!(SkipMlDsaHalf) { Ok(()) } else { self.verify_ml_dsa(transcript, &signature.ml_dsa) }
    }

    /// Verifies the ML-DSA-65 half alone, for blocks of suite 2, whose Ed25519 half is by the author key.
    ///
    /// # Errors
    /// [`BadSignature`] if it does not hold.
    pub fn verify_ml_dsa(
        &self,
        transcript: &Transcript,
        signature: &[u8; ML_DSA_SIGNATURE_BYTES],
    ) -> Result<(), BadSignature> {
        remembered::once([b"ml-dsa-65", &self.ml_dsa, transcript.as_bytes(), signature], || {
            let key = mldsa65::VerifyingKey::try_from(&self.ml_dsa[..]).map_err(|_| BadSignature)?;
            let signature = mldsa65::Signature::try_from(&signature[..]).map_err(|_| BadSignature)?;
            key.verify(transcript.as_bytes(), b"", &signature).map_err(|_| BadSignature)
        })
    }
}

impl fmt::Debug for HybridKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HybridKey({})", self.id())
    }
}

/// A hybrid signature, suite 2: both halves over the same transcript.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HybridSignature {
    /// The Ed25519 half.
    #[serde(with = "array")]
    pub ed25519: [u8; ED25519_SIGNATURE_BYTES],
    /// The ML-DSA-65 half.
    #[serde(with = "array")]
    pub ml_dsa: [u8; ML_DSA_SIGNATURE_BYTES],
}

impl HybridSignature {
    /// Both halves, one behind the other, as a block of suite 2 carries them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.ed25519[..], &self.ml_dsa[..]].concat()
    }
}

impl fmt::Debug for HybridSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridSignature(..)")
    }
}

/// The secret of a [`HybridKey`], as two seeds of 32 bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct HybridSecret {
    ed25519: [u8; 32],
    ml_dsa: [u8; 32],
    /// The ML-DSA seed, expanded once: doing so costs a third of a signature. It wipes itself when it is dropped.
    #[zeroize(skip)]
    signing: Option<Box<mldsa65::SigningKey>>,
    #[zeroize(skip)]
    public: HybridKey,
}

impl HybridSecret {
    /// Bytes of the stored form: the Ed25519 seed, then the ML-DSA-65 seed.
    pub const SEED_BYTES: usize = 64;

    /// Makes a new one.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = [0; Self::SEED_BYTES];
        rng.fill_bytes(&mut seed);
        let secret = Self::from_seed(&seed);
        seed.zeroize();
        secret
    }

    /// The one that stored seeds give.
    #[must_use]
    pub fn from_seed(seed: &[u8; Self::SEED_BYTES]) -> Self {
        let mut ed25519 = [0; 32];
        let mut ml_dsa = [0; 32];
        let (first, second) = seed.split_at(32);
        ed25519.copy_from_slice(first);
        ml_dsa.copy_from_slice(second);
        let mut public = [0; ML_DSA_KEY_BYTES];
        let signing = expand(&ml_dsa).map(Box::new);
        if let Some(key) = signing.as_deref().and_then(|key| mldsa65::VerifyingKey::try_from(key).ok()) {
            public.copy_from_slice(key.as_ref());
        }
        let public = HybridKey { ed25519: AuthorSecret::from_seed(&ed25519).public(), ml_dsa: public };
        Self { ed25519, ml_dsa, signing, public }
    }

    /// The seeds, to be stored sealed.
    #[must_use]
    pub fn seed(&self) -> [u8; Self::SEED_BYTES] {
        let mut seed = [0; Self::SEED_BYTES];
        let (first, second) = seed.split_at_mut(32);
        first.copy_from_slice(&self.ed25519);
        second.copy_from_slice(&self.ml_dsa);
        seed
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &HybridKey {
        &self.public
    }

    /// Signs a transcript with both halves; the ML-DSA half is hedged with fresh randomness.
    #[must_use]
    pub fn sign(&self, transcript: &Transcript, rng: &mut dyn CryptoRng) -> HybridSignature {
        HybridSignature {
            ed25519: AuthorSecret::from_seed(&self.ed25519).sign(transcript),
            ml_dsa: self.sign_ml_dsa(transcript, rng),
        }
    }

    /// Signs a transcript with the ML-DSA half alone.
    #[must_use]
    pub fn sign_ml_dsa(&self, transcript: &Transcript, rng: &mut dyn CryptoRng) -> [u8; ML_DSA_SIGNATURE_BYTES] {
        let mut hedge = [0; 32];
        rng.fill_bytes(&mut hedge);
        let signed = self
            .signing
            .as_deref()
            .zip(mldsa65::ExplicitRandom::try_from(&hedge[..]).ok())
            .and_then(|(key, hedge)| key.sign_with_rnd(transcript.as_bytes(), b"", &hedge).ok());
        debug_assert!(signed.is_some(), "a seed of 32 bytes always signs");
        let mut signature = [0; ML_DSA_SIGNATURE_BYTES];
        if let Some(signed) = signed {
            signature.copy_from_slice(signed.as_ref());
        }
        signature
    }
}

fn expand(seed: &[u8; 32]) -> Option<mldsa65::SigningKey> {
    mldsa65::SigningKey::try_from(&mldsa65::Seed::try_from(&seed[..]).ok()?).ok()
}

impl fmt::Debug for HybridSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counter;

    fn transcript(text: &str) -> Transcript {
        Transcript::new("test", Suite::Hybrid).field(text.as_bytes())
    }

    #[test]
    fn both_halves_must_hold() {
        let mut rng = Counter::new(1);
        let secret = HybridSecret::generate(&mut rng);
        let good = secret.sign(&transcript("a"), &mut rng);
        assert_eq!(secret.public().verify(&transcript("a"), &good), Ok(()));
        assert_eq!(secret.public().verify(&transcript("b"), &good), Err(BadSignature));
        let other = secret.sign(&transcript("b"), &mut rng);
        for mixed in [
            HybridSignature { ed25519: good.ed25519, ml_dsa: other.ml_dsa },
            HybridSignature { ed25519: other.ed25519, ml_dsa: good.ml_dsa },
        ] {
            assert_eq!(secret.public().verify(&transcript("a"), &mixed), Err(BadSignature));
        }
        let again = HybridSecret::from_seed(&secret.seed());
        assert_eq!(again.public().id(), secret.public().id());
    }

    #[test]
    fn weak_ed25519_keys_are_refused() {
        // The identity point as a key, with the signature (identity, 0), satisfies the plain verification equation.
        let mut key = [0; 32];
        key[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert_eq!(AuthorKey(key).verify(&transcript("a"), &signature), Err(BadSignature));
    }

    #[test]
    fn secrets_show_nothing() {
        let mut rng = Counter::new(2);
        assert_eq!(format!("{:?}", AuthorSecret::generate(&mut rng)), "AuthorSecret(..)");
        assert_eq!(format!("{:?}", HybridSecret::generate(&mut rng)), "HybridSecret(..)");
    }
}
