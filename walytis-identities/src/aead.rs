//! XChaCha20-Poly1305 over whole messages.

use orion::hazardous::aead::xchacha20poly1305::{Nonce, SecretKey, XChaCha20Poly1305};
use zeroize::Zeroizing;

/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// A key.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// The nonce of the message with this number: 16 zero bytes, then the number. Under a key that seals a single message
/// the number is 0.
fn nonce(number: u64) -> [u8; 24] {
    let mut nonce = [0; 24];
    let (_, last) = nonce.split_at_mut(16);
    last.copy_from_slice(&number.to_le_bytes());
    nonce
}

/// Seals a message. What could make the cipher fail (256 GiB) is far beyond every bound of ours.
pub(crate) fn seal(key: &Key, number: u64, associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = vec![0; plaintext.len().saturating_add(TAG_BYTES)];
    let done = SecretKey::try_from(&key[..]).and_then(|key| {
        let nonce = Nonce::try_from(&nonce(number)[..])?;
        XChaCha20Poly1305::seal(&key, &nonce, plaintext, Some(associated), &mut sealed)
    });
    debug_assert!(done.is_ok(), "a message within our bounds always seals");
    if done.is_err() {
        // No receiver opens this, and it says nothing.
        sealed.clear();
    }
    sealed
}

/// Opens a message. `None` if it is not what was sealed under this key, number and associated data.
pub(crate) fn open(key: &Key, number: u64, associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut plaintext = vec![0; sealed.len().checked_sub(TAG_BYTES)?];
    let key = SecretKey::try_from(&key[..]).ok()?;
    let nonce = Nonce::try_from(&nonce(number)[..]).ok()?;
    XChaCha20Poly1305::open(&key, &nonce, sealed, Some(associated), &mut plaintext).ok()?;
    Some(plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_opens() {
        let key = Zeroizing::new([7; 32]);
        for plaintext in [&b""[..], b"text"] {
            let sealed = seal(&key, 3, b"place", plaintext);
            assert_eq!(open(&key, 3, b"place", &sealed).as_deref(), Some(plaintext));
            assert_eq!(open(&key, 4, b"place", &sealed), None);
            assert_eq!(open(&key, 3, b"elsewhere", &sealed), None);
            assert_eq!(open(&Zeroizing::new([8; 32]), 3, b"place", &sealed), None);
            assert_eq!(open(&key, 3, b"place", &sealed[1..]), None);
        }
        assert_eq!(open(&key, 0, b"", &[0; 15]), None);
    }
}
