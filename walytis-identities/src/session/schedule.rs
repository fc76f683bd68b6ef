//! From the shared secret to the session's keys: HKDF-SHA512 (RFC 5869).

use orion::hazardous::kdf::hkdf::{Hkdf, SHA512};
use walytis_core::Hash;
use zeroize::Zeroizing;

use super::flight::CONFIRMATION_BYTES;
use crate::aead;
use crate::kem::Shared;

/// The stream that a session's frames use. Others have keys of their own, should one ever be added.
pub(super) const STREAM: u32 = 0;

/// Which way a key's frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    FromInitiator,
    FromResponder,
}

impl Direction {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::FromInitiator => 1,
            Self::FromResponder => 2,
        }
    }
}

/// What all keys of one session come from: the shared secret, extracted with the hash of flights 1 and 2 (up to the
/// confirmation) as salt.
pub(super) struct Schedule {
    shared: Shared,
    unconfirmed: Hash,
}

impl Schedule {
    pub(super) const fn new(shared: Shared, unconfirmed: Hash) -> Self {
        Self { shared, unconfirmed }
    }

    /// What proves to the initiator that the responder has the shared secret.
    pub(super) fn confirmation(&self) -> [u8; CONFIRMATION_BYTES] {
        let key = self.expand("walytis v1 session confirmation", &[]);
        *blake3::keyed_hash(&key, self.unconfirmed.as_bytes()).as_bytes()
    }

    /// Whether a confirmation is right, in time that does not depend on it.
    pub(super) fn confirms(&self, given: &[u8; CONFIRMATION_BYTES]) -> bool {
        blake3::Hash::from(*given) == blake3::Hash::from(self.confirmation())
    }

    /// The key of the third flight.
    pub(super) fn third_key(&self, session: &Hash) -> aead::Key {
        self.expand("walytis v1 session flight 3", session.as_bytes())
    }

    /// The key of one direction of one stream.
    pub(super) fn frame_key(&self, session: &Hash, direction: Direction, stream: u32) -> aead::Key {
        let mut info = session.as_bytes().to_vec();
        info.push(direction.number());
        info.extend_from_slice(&stream.to_le_bytes());
        self.expand("walytis v1 session frames", &info)
    }

    fn expand(&self, label: &'static str, context: &[u8]) -> aead::Key {
        let mut info = label.as_bytes().to_vec();
        info.push(0);
        info.extend_from_slice(context);
        let mut key = Zeroizing::new([0; 32]);
        let done =
            Hkdf::<SHA512>::derive_key(self.unconfirmed.as_bytes(), self.shared.as_ref(), Some(&info), key.as_mut());
        debug_assert!(done.is_ok(), "32 bytes are never too many for HKDF");
        key
    }
}
