//! Invitations: the secret of one, the code in which it travels, and what a joiner signs with it.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use walytis_core::codec::AtMost;
use walytis_core::{
    Address, ChainId, CodeText, CodeTextError, CodecError, Hash, HybridSecret, PeerId, Suite, Transcript, codec,
};
use zeroize::Zeroizing;

/// What every code begins with.
const PREFIX: &str = "walytis1";
/// The version of what is inside.
const VERSION: u8 = 1;
const TEXT: CodeText =
    CodeText { prefix: PREFIX, checksum_context: "walytis v1 invitation checksum", version: VERSION };
/// Bytes of version and secret, in front of the encoded rest.
const HEAD_BYTES: usize = 1 + InvitationSecret::BYTES;

/// Why a text is not an invitation that can be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvitationError {
    /// The text does not begin as an invitation code does.
    #[error("this is not an invitation code (one begins with \"{PREFIX}\")")]
    NotACode,
    /// The text is, or would be, longer than any code.
    #[error("an invitation code of {found} characters is longer than {max}", max = InvitationCode::TEXT_BYTES_MAX)]
    TooLong {
        /// How many characters.
        found: usize,
    },
    /// A character was lost, added or changed.
    #[error("the invitation code is damaged: copy it again, whole")]
    Damaged,
    /// The code is whole, but of a version that this program does not know.
    #[error("the invitation code is of version {found}, this program knows up to {known}: update the program")]
    Newer {
        /// The code's version.
        found: u8,
        /// The newest version known.
        known: u8,
    },
    /// The code is whole, but whoever made it encoded it wrongly.
    #[error("the invitation code was not made by this program: {0}")]
    Encoding(#[from] CodecError),
    /// There are more inviters than a code may name.
    #[error("{found} inviters are more than {max}", max = InvitationCode::INVITERS_MAX)]
    Inviters {
        /// How many.
        found: usize,
    },
    /// An inviter has more addresses than a code may name, or longer ones.
    #[error("inviter {peer} has more than {max} addresses, or one that is too long", max = InvitationCode::ADDRESSES_MAX)]
    Addresses {
        /// The inviter.
        peer: PeerId,
    },
}

impl From<CodeTextError> for InvitationError {
    fn from(error: CodeTextError) -> Self {
        match error {
            CodeTextError::Prefix => Self::NotACode,
            CodeTextError::TooLong { found } => Self::TooLong { found },
            CodeTextError::Damaged => Self::Damaged,
            CodeTextError::Version { found } => Self::Newer { found, known: VERSION },
            CodeTextError::Empty => Self::Encoding(CodecError::Malformed),
        }
    }
}

/// What only those know who were given an invitation's code: 128 random bits.
pub struct InvitationSecret(Zeroizing<[u8; Self::BYTES]>);

impl InvitationSecret {
    /// Bytes of the secret.
    pub const BYTES: usize = 16;

    /// Makes a new one.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; Self::BYTES]);
        rng.fill_bytes(secret.as_mut());
        Self(secret)
    }

    /// The one that was stored.
    #[must_use]
    pub fn from_bytes(secret: &[u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(*secret))
    }

    /// The bytes, to be stored sealed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The key pair that derives from it. Deriving takes as long as making any key pair.
    #[must_use]
    pub fn key(&self) -> HybridSecret {
        let mut seed = Zeroizing::new([0; HybridSecret::SEED_BYTES]);
        let mut hasher = blake3::Hasher::new_derive_key("walytis v1 invitation key");
        hasher.update(self.0.as_ref());
        hasher.finalize_xof().fill(seed.as_mut());
        HybridSecret::from_seed(&seed)
    }

    /// The name under which the group's chain knows the invitation.
    #[must_use]
    pub fn id(&self) -> InvitationId {
        InvitationId(self.key().public().id())
    }
}

impl Clone for InvitationSecret {
    fn clone(&self) -> Self {
        Self::from_bytes(&self.0)
    }
}

impl PartialEq for InvitationSecret {
    fn eq(&self, other: &Self) -> bool {
        // Comparing hashes takes the same time wherever the secrets differ.
        blake3::hash(self.0.as_ref()) == blake3::hash(other.0.as_ref())
    }
}

impl Eq for InvitationSecret {}

impl fmt::Debug for InvitationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationSecret(..)")
    }
}

/// The name of an invitation: the hash of its public key. A chain records no more of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct InvitationId(pub Hash);

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A manager's device that may be asked to admit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inviter {
    /// The key by which the transport proves it.
    pub peer: PeerId,
    /// Where it can be dialled.
    #[serde(with = "AtMost::<{ InvitationCode::ADDRESSES_MAX }, 1>")]
    pub addresses: Vec<Address>,
}

/// All that a joiner needs: the group, the secret, and whom to ask. Whoever reads its text may join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationCode {
    group: ChainId,
    secret: InvitationSecret,
    inviters: Vec<Inviter>,
}

/// The part of a code that is no secret.
#[derive(Serialize, Deserialize)]
struct Place {
    group: ChainId,
    #[serde(with = "AtMost::<{ InvitationCode::INVITERS_MAX }, 33>")]
    inviters: Vec<Inviter>,
}

impl InvitationCode {
    /// The most inviters of one code.
    pub const INVITERS_MAX: usize = 16;
    /// The most addresses of one inviter.
    pub const ADDRESSES_MAX: usize = 8;
    /// The most characters of a code's text: what a person can still copy, and what is looked at before decoding.
    pub const TEXT_BYTES_MAX: usize = CodeText::BYTES_MAX;

    /// Makes the code of an invitation.
    ///
    /// # Errors
    /// [`InvitationError`] if there are too many inviters or addresses, or if the text would become too long.
    pub fn new(group: ChainId, secret: InvitationSecret, inviters: Vec<Inviter>) -> Result<Self, InvitationError> {
        if inviters.len() > Self::INVITERS_MAX {
            return Err(InvitationError::Inviters { found: inviters.len() });
        }
        for inviter in &inviters {
            let too_long = inviter.addresses.iter().any(|address| address.as_str().len() > Address::BYTES_MAX);
            if inviter.addresses.len() > Self::ADDRESSES_MAX || too_long {
                return Err(InvitationError::Addresses { peer: inviter.peer });
            }
        }
        let code = Self { group, secret, inviters };
        let found = code.to_text().len();
        if found > Self::TEXT_BYTES_MAX {
            return Err(InvitationError::TooLong { found });
        }
        Ok(code)
    }

    /// The group's chain.
    #[must_use]
    pub const fn group(&self) -> &ChainId {
        &self.group
    }

    /// The secret.
    #[must_use]
    pub const fn secret(&self) -> &InvitationSecret {
        &self.secret
    }

    /// Whom to ask.
    #[must_use]
    pub fn inviters(&self) -> &[Inviter] {
        &self.inviters
    }

    /// The text to give to the joiner: one line of lower-case letters and digits. In upper case, for which QR codes
    /// have a denser form, it means the same. There is no `Display`, so that no log shows it by accident.
    #[must_use]
    pub fn to_text(&self) -> String {
        let place = Place { group: self.group, inviters: self.inviters.clone() };
        let mut payload = Zeroizing::new(vec![VERSION]);
        payload.extend_from_slice(self.secret.as_bytes());
        payload.extend(codec::encode(&place));
        TEXT.write(&payload)
    }
}

impl FromStr for InvitationCode {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let payload = TEXT.read(text)?;
        let (head, place) = payload.split_at_checked(HEAD_BYTES).ok_or(CodecError::Malformed)?;
        let secret = head.last_chunk().map(InvitationSecret::from_bytes).ok_or(CodecError::Malformed)?;
        let Place { group, inviters } = codec::decode(place)?;
        Self::new(group, secret, inviters)
    }
}

/// What a joiner signs with the invitation's key: that this identity, by this device, joins this group in this session
/// and no other. `key_binding` is the hash of the joiner's encoded key operation.
#[must_use]
pub fn join_transcript(
    group: &ChainId,
    identity: &ChainId,
    device_key: &Hash,
    key_binding: &Hash,
    session: &Hash,
) -> Transcript {
    Transcript::new("join", Suite::Hybrid)
        .field(group.as_bytes())
        .field(identity.as_bytes())
        .field(device_key.as_bytes())
        .field(key_binding.as_bytes())
        .field(if walytis_core::mutant!(ProveInAnySession) { &[] } else { session.as_bytes() })
}

#[cfg(test)]
mod tests;
