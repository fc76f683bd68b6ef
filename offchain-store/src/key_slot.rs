//! One of a key file's two slots: the root key, wrapped under the secret that unlocks it.

use orion::hazardous::aead::xchacha20poly1305::{Nonce, SecretKey, XChaCha20Poly1305};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::kdf::KdfCost;
use crate::open_error::OpenError;
use crate::secrets::{RootKey, Unlock, UnlockKind, UnlockSecret};

/// The length of a slot, in bytes.
pub(crate) const SLOT_BYTES: usize = CHECKED_BYTES + 32;

const MAGIC: [u8; 8] = *b"walykeys";
pub(crate) const FORMAT: u16 = 1;
const KIND_PASSPHRASE: u8 = 1;
const KIND_KEY: u8 = 2;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
/// Everything in clear before the nonce, which the seal covers too.
const HEAD_BYTES: usize = 8 + 2 + 1 + 1 + 4 + 4 + 4 + 8 + SALT_BYTES;
const SEALED_BYTES: usize = RootKey::BYTES + 16;
/// What the sum at the end is over.
const CHECKED_BYTES: usize = HEAD_BYTES + NONCE_BYTES + SEALED_BYTES;

const CONTEXT_PASSPHRASE: &str = "walytis-rs 2026 offchain-store key file passphrase v1";
const CONTEXT_KEY: &str = "walytis-rs 2026 offchain-store key file raw key v1";

/// A slot whose sum is right.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    bytes: [u8; SLOT_BYTES],
    kind: UnlockKind,
    // `None` with a raw key.
    cost: Option<KdfCost>,
    generation: u64,
}

/// Why the bytes of a slot are not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotFault {
    Damaged,
    UnknownFormat(u16),
}

/// Why a slot does not open.
#[derive(Debug)]
pub(crate) enum SlotRefusal {
    Wrong,
    OtherKind(UnlockKind),
    Other(OpenError),
}

impl Slot {
    /// Wraps a root key.
    pub(crate) fn wrap(
        root: &RootKey,
        unlock: &Unlock,
        cost: KdfCost,
        generation: u64,
        random: &mut dyn CryptoRng,
    ) -> Result<Self, OpenError> {
        let mut salt = [0; SALT_BYTES];
        let mut nonce = [0; NONCE_BYTES];
        random.fill_bytes(&mut salt);
        random.fill_bytes(&mut nonce);
        let cost = (unlock.kind() == UnlockKind::Passphrase).then_some(cost);

        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.push(match unlock.kind() {
            UnlockKind::Passphrase => KIND_PASSPHRASE,
            UnlockKind::Key => KIND_KEY,
        });
        bytes.push(0);
        for number in cost.map_or([0; 3], |cost| [cost.iterations(), cost.memory_kib(), cost.lanes()]) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.extend_from_slice(&salt);
        let key = wrapping_key(unlock, cost, &salt)?;
        let mut sealed = [0; SEALED_BYTES];
        XChaCha20Poly1305::seal(&key, &Nonce::from(nonce), root.to_bytes().as_slice(), Some(&bytes), &mut sealed)
            .map_err(|_| unusable())?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        let bytes = bytes.try_into().map_err(|_| unusable())?;
        Ok(Self { bytes, kind: unlock.kind(), cost, generation })
    }

    /// Reads a slot; a cost out of bounds counts as damage.
    pub(crate) fn read(bytes: &[u8; SLOT_BYTES]) -> Result<Self, SlotFault> {
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != MAGIC {
            return Err(SlotFault::Damaged);
        }
        let format = u16::from_le_bytes(take(&mut rest)?);
        if format != FORMAT {
            return Err(SlotFault::UnknownFormat(format));
        }
        let (checked, sum) = bytes.split_at(CHECKED_BYTES);
        if blake3::hash(checked).as_bytes().as_slice() != sum && !walytis_core::mutant!(SkipSlotSum) {
            return Err(SlotFault::Damaged);
        }
        let [kind, zero] = take(&mut rest)?;
        let iterations = u32::from_le_bytes(take(&mut rest)?);
        let memory_kib = u32::from_le_bytes(take(&mut rest)?);
        let lanes = u32::from_le_bytes(take(&mut rest)?);
        let generation = u64::from_le_bytes(take(&mut rest)?);
        let (kind, cost) = match (kind, zero, iterations, memory_kib, lanes) {
            (KIND_PASSPHRASE, 0, _, _, _) => {
                let cost = KdfCost::new(iterations, memory_kib, lanes).map_err(|_| SlotFault::Damaged)?;
                (UnlockKind::Passphrase, Some(cost))
            }
            (KIND_KEY, 0, 0, 0, 0) => (UnlockKind::Key, None),
            _ => return Err(SlotFault::Damaged),
        };
        Ok(Self { bytes: *bytes, kind, cost, generation })
    }

    /// Unwraps the root key.
    pub(crate) fn unwrap_root(&self, unlock: &Unlock) -> Result<RootKey, SlotRefusal> {
        if unlock.kind() != self.kind {
            return Err(SlotRefusal::OtherKind(self.kind));
        }
        let (head, rest) = self.bytes.split_at(HEAD_BYTES);
        let (nonce, rest) = rest.split_at(NONCE_BYTES);
        let (sealed, _sum) = rest.split_at(SEALED_BYTES);
        let salt = &head[HEAD_BYTES - SALT_BYTES..];
        let key = wrapping_key(unlock, self.cost, salt).map_err(SlotRefusal::Other)?;
        let nonce = Nonce::try_from(nonce).map_err(|_| SlotRefusal::Wrong)?;
        let mut root = Zeroizing::new([0; RootKey::BYTES]);
        XChaCha20Poly1305::open(&key, &nonce, sealed, Some(head), root.as_mut_slice())
            .map_err(|_| SlotRefusal::Wrong)?;
        Ok(RootKey::from_bytes(&root))
    }

    pub(crate) fn bytes(&self) -> &[u8; SLOT_BYTES] {
        &self.bytes
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

fn wrapping_key(unlock: &Unlock, cost: Option<KdfCost>, salt: &[u8]) -> Result<SecretKey, OpenError> {
    let key = match &unlock.0 {
        UnlockSecret::Passphrase(words) => {
            let stretched = cost.unwrap_or(KdfCost::DEFAULT).stretch(words, salt)?;
            Zeroizing::new(blake3::derive_key(CONTEXT_PASSPHRASE, stretched.as_slice()))
        }
        UnlockSecret::Key(bytes) => Zeroizing::new(blake3::derive_key(CONTEXT_KEY, bytes)),
    };
    Ok(SecretKey::from(*key))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SlotFault> {
    let (taken, left) = rest.split_first_chunk().ok_or(SlotFault::Damaged)?;
    *rest = left;
    Ok(*taken)
}

/// Sealing 48 bytes into 64 cannot be refused; the primitive's signature allows it, so this is what would be said.
fn unusable() -> OpenError {
    OpenError::Damaged { what: "key slot".to_owned(), reason: "it could not be sealed".to_owned() }
}

#[cfg(test)]
mod tests {
    use offchain_testkit::fuzz::Damager;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    /// What a disk, or whoever had it, may give: damage, with the sum put right or not.
    #[test]
    fn no_bytes_of_a_slot_panic_or_ask_for_more_memory_than_is_allowed() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let root = RootKey::generate(&mut rng);
        let unlocks = [Unlock::passphrase("words"), Unlock::key([1; 32])];
        let slots = unlocks.map(|unlock| Slot::wrap(&root, &unlock, KdfCost::DEFAULT, 1, &mut rng).unwrap());
        let mut damager = Damager::new(7);
        let (mut refused, mut accepted) = (0, 0);
        while refused < 50_000 {
            let which = damager.below(2);
            let mut damaged = damager.damaged(slots[which].bytes());
            damaged.resize(SLOT_BYTES, 0);
            let mut bytes: [u8; SLOT_BYTES] = damaged.try_into().unwrap();
            if damager.below(2) == 0 {
                let sum = blake3::hash(&bytes[..CHECKED_BYTES]);
                bytes[CHECKED_BYTES..].copy_from_slice(sum.as_bytes());
            }
            match Slot::read(&bytes) {
                Err(_) => refused += 1,
                Ok(slot) => {
                    accepted += 1;
                    assert_eq!(*slot.bytes(), bytes);
                    let cost = slot.cost.map(|cost| KdfCost::new(cost.iterations(), cost.memory_kib(), cost.lanes()));
                    assert!(cost.is_none_or(|cost| cost.is_ok()), "no cost beyond the bounds");
                }
            }
        }
        assert!(accepted > 1_000, "with a right sum, some are whole: {accepted}");
    }
}
