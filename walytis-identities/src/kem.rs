//! X-Wing (X25519 and ML-KEM-768; draft-connolly-cfrg-xwing-kem), with randomness passed in.

use orion::KP;
use orion::hazardous::kem::xwing;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a public key: ML-KEM-768's, then X25519's.
pub(crate) const PUBLIC_BYTES: usize = 1216;
/// Bytes of a secret key, which is a seed.
pub(crate) const SECRET_BYTES: usize = 32;
/// Bytes of a ciphertext: ML-KEM-768's, then X25519's.
pub(crate) const CIPHERTEXT_BYTES: usize = 1120;
/// Bytes of the randomness of one encapsulation.
const ENCAPSULATION_SEED_BYTES: usize = 64;
/// Where the X25519 half of a public key begins.
const X25519_OFFSET: usize = PUBLIC_BYTES - 32;

/// The points of low order on Curve25519 and its twist, in their canonical forms (<https://cr.yp.to/ecdh.html#validate>).
const LOW_ORDER: [[u8; 32]; 5] = [
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

/// A shared secret of both sides.
pub(crate) type Shared = Zeroizing<[u8; 32]>;

/// The numbers of key encapsulation suites. Every key and every ciphertext says which it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KemSuite {
    /// 1: X-Wing, which holds as long as either X25519 or ML-KEM-768 does.
    XWing,
}

impl KemSuite {
    /// The suite's number in every encoding.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::XWing => 1,
        }
    }

    /// The suite with this number, if this program knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::XWing),
            _ => None,
        }
    }
}

/// Makes a secret key.
pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Zeroizing<[u8; SECRET_BYTES]> {
    let mut seed = Zeroizing::new([0; SECRET_BYTES]);
    rng.fill_bytes(seed.as_mut());
    seed
}

/// A secret key, expanded once: that costs as much as using it. When it is dropped, orion wipes the seed and the X25519
/// half, and not the expanded ML-KEM half.
pub(crate) struct Expanded(Option<Box<xwing::KeyPair>>);

impl Expanded {
    /// The key that a seed gives.
    pub(crate) fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        let pair = pair(secret);
        debug_assert!(pair.is_some(), "a seed of 32 bytes always gives a key pair");
        Self(pair.map(Box::new))
    }

    /// Its public key.
    pub(crate) fn public(&self) -> [u8; PUBLIC_BYTES] {
        let mut public = [0; PUBLIC_BYTES];
        if let Some(pair) = &self.0 {
            public.copy_from_slice(pair.public().as_ref());
        }
        public
    }

    /// As [`decapsulate`].
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_BYTES]) -> Option<Shared> {
        let ciphertext = xwing::Ciphertext::try_from(&ciphertext[..]).ok()?;
        Some(copy(&self.0.as_ref()?.decap(&ciphertext).ok()?))
    }
}

/// The public key of a secret one.
pub(crate) fn public(secret: &[u8; SECRET_BYTES]) -> [u8; PUBLIC_BYTES] {
    Expanded::new(secret).public()
}

/// Whether bytes are a public key that its holder can have: ML-KEM's modulus check (FIPS 203, 7.2), an X25519 half in
/// its one canonical form, and none of the points of low order, with which every shared secret is zero.
pub(crate) fn is_public(bytes: &[u8; PUBLIC_BYTES]) -> bool {
    let (_, curve) = bytes.split_at(X25519_OFFSET);
    xwing::EncapsulationKey::try_from(&bytes[..]).is_ok() && is_canonical(curve) && has_high_order(curve)
}

/// Whether a coordinate is below 2^255 - 19. X-Wing hashes the bytes as they are, X25519 takes them modulo that prime:
/// with other forms the two sides would disagree.
fn is_canonical(coordinate: &[u8]) -> bool {
    let Some(([low, middle @ ..], high)) = coordinate.split_last().map(|(high, rest)| (rest, *high)) else {
        return false;
    };
    high < 0x7f || (high == 0x7f && (*low < 0xed || middle.iter().any(|byte| *byte != 0xff)))
}

fn has_high_order(coordinate: &[u8]) -> bool {
    !LOW_ORDER.iter().any(|point| coordinate == point) || walytis_core::mutant!(AcceptLowOrder)
}

/// Makes a shared secret and the ciphertext that brings it to the holder of `public`. `None` if the key is malformed.
pub(crate) fn encapsulate(
    public: &[u8; PUBLIC_BYTES],
    rng: &mut dyn CryptoRng,
) -> Option<([u8; CIPHERTEXT_BYTES], Shared)> {
    let key = xwing::EncapsulationKey::try_from(&public[..]).ok()?;
    let mut seed = Zeroizing::new([0; ENCAPSULATION_SEED_BYTES]);
    rng.fill_bytes(seed.as_mut());
    let seed = xwing::Eseed::try_from(&seed[..]).ok()?;
    let (shared, sent) = key.encap_deterministic(&seed).ok()?;
    let mut ciphertext = [0; CIPHERTEXT_BYTES];
    ciphertext.copy_from_slice(sent.as_ref());
    Some((ciphertext, copy(&shared)))
}

/// Takes the shared secret out of a ciphertext. With a ciphertext for another key the result is another secret, by
/// ML-KEM's implicit rejection; `None` if its X25519 half has low order.
pub(crate) fn decapsulate(secret: &[u8; SECRET_BYTES], ciphertext: &[u8; CIPHERTEXT_BYTES]) -> Option<Shared> {
    Expanded::new(secret).decapsulate(ciphertext)
}

fn pair(secret: &[u8; SECRET_BYTES]) -> Option<xwing::KeyPair> {
    xwing::KeyPair::try_from(&xwing::DecapsulationKey::try_from(&secret[..]).ok()?).ok()
}

fn copy(shared: &xwing::SharedSecret) -> Shared {
    let mut bytes: [u8; 32] = [0; 32];
    bytes.copy_from_slice(shared.unprotected_as_ref());
    let kept = Zeroizing::new(bytes);
    bytes.zeroize();
    kept
}

#[cfg(test)]
pub(crate) mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    /// The points of low order and the other encodings that decode to them (https://cr.yp.to/ecdh.html#validate).
    pub(crate) fn low_order() -> Vec<[u8; 32]> {
        let mut points = vec![[0; 32], [0; 32]];
        points[1][0] = 1;
        for text in [
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            points.push(data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap());
        }
        points
    }

    #[test]
    fn both_sides_agree_and_bad_keys_are_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = generate(&mut rng);
        let public = public(&secret);
        assert!(is_public(&public));
        let (ciphertext, shared) = encapsulate(&public, &mut rng).unwrap();
        assert_eq!(decapsulate(&secret, &ciphertext).unwrap(), shared);

        for point in low_order() {
            let mut bad = public;
            bad[X25519_OFFSET..].copy_from_slice(&point);
            assert!(!is_public(&bad), "{point:?}");
            assert!(encapsulate(&bad, &mut rng).is_none(), "{point:?}");
        }
        let mut same_point = public;
        same_point[PUBLIC_BYTES - 1] |= 0x80;
        assert!(!is_public(&same_point), "the high bit makes a second form of the same point");
        let mut over_modulus = public;
        over_modulus[..3].copy_from_slice(&[0xff; 3]);
        assert!(!is_public(&over_modulus));
        assert!(encapsulate(&over_modulus, &mut rng).is_none());
    }
}
