//! The key by which peers know a node.

use std::fmt;

use libp2p::identity::Keypair;
use walytis_core::PeerId;
use zeroize::Zeroizing;

use crate::address::core_peer;

/// The 32 secret bytes of the Ed25519 key that proves a node to its peers. Wiped when dropped.
///
/// It is the transport's alone: nothing on a chain is signed with it.
#[derive(Clone)]
pub struct TransportKey(Zeroizing<[u8; 32]>);

impl TransportKey {
    /// Takes an Ed25519 seed (the secret key of RFC 8032, section 5.1.5).
    #[must_use]
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(seed)
    }

    /// The peer id that peers will see: the public key.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        core_peer(self.keypair().public().to_peer_id())
            .unwrap_or_else(|| unreachable!("the peer id of an Ed25519 key wraps the key itself"))
    }

    pub(crate) fn keypair(&self) -> Keypair {
        let mut seed = self.0.clone();
        // Fails for other lengths only. The seed is wiped by the callee, and once more when it is dropped.
        Keypair::ed25519_from_bytes(&mut seed[..]).unwrap_or_else(|_| unreachable!("32 bytes are an Ed25519 seed"))
    }
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_id_is_the_ed25519_public_key() {
        for seed in [[0; 32], [7; 32], [255; 32]] {
            let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
            assert_eq!(TransportKey::from_seed(Zeroizing::new(seed)).peer(), PeerId(public.to_bytes()));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", TransportKey::from_seed(Zeroizing::new([7; 32]))), "TransportKey(..)");
    }
}
