//! Sealed content, made here as docs/format.md says and not by the library: what is padded otherwise, or shows another
//! length than it has, does not open.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use orion::hazardous::aead::xchacha20poly1305::{Nonce, SecretKey, XChaCha20Poly1305};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use walytis_core::{BlockId, ChainId};
use walytis_identities::{EpochContext, EpochKey, EpochSeed};
use walytis_offchain::{ContentError, OpenContent, PrivateBody, SealedPlace};

const SALT: [u8; 32] = [5; 32];
const NONCE: [u8; 24] = [6; 24];

struct Scene {
    key: EpochKey,
    place: SealedPlace,
    content: OpenContent,
    body: PrivateBody,
}

fn scene() -> Scene {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let (chain, block, epoch) = (ChainId([1; 32]), BlockId([2; 32]), BlockId([3; 32]));
    let key = EpochSeed::generate(&mut rng).epoch_key(&EpochContext::new(chain, &[epoch]));
    let content = OpenContent::new(vec![b"topic".to_vec()], b"hello".to_vec(), &mut rng).expect("it is small");
    let body = PrivateBody::new(epoch, &content);
    Scene { key, place: SealedPlace { chain, block, epoch }, content, body }
}

/// The bytes of a padded content of this many bytes, all of them zeros behind the content.
fn padded(content: &OpenContent, bytes: usize) -> Vec<u8> {
    let encoded = content.encode();
    let length = u32::try_from(encoded.len()).expect("it is small");
    let mut plaintext = [&length.to_le_bytes()[..], &encoded].concat();
    assert!(plaintext.len() < bytes, "there is padding");
    plaintext.resize(bytes, 0);
    plaintext
}

/// Seals a plaintext at its place, as the format says.
fn seal(scene: &Scene, plaintext: &[u8]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 content key");
    hasher.update(scene.key.as_bytes());
    hasher.update(&SALT);
    let key = SecretKey::try_from(&hasher.finalize().as_bytes()[..]).expect("32 bytes");
    let nonce = Nonce::try_from(&NONCE[..]).expect("24 bytes");
    let SealedPlace { chain, block, epoch } = &scene.place;
    let associated = [&b"walytis/sealed-content\0"[..], &[1, 1], &chain.0, &block.0, &epoch.0].concat();
    let mut ciphertext = vec![0; plaintext.len() + 16];
    XChaCha20Poly1305::seal(&key, &nonce, plaintext, Some(&associated), &mut ciphertext).expect("sizes that fit");
    [&[1, 1][..], &SALT, &NONCE, &ciphertext].concat()
}

/// The content of the scene takes 4 + 48 bytes or so: the class of 64 bytes is 0, that of 128 is 1.
const CLASS_BYTES: [usize; 3] = [64, 128, 256];

#[test]
fn content_opens_only_with_padding_of_zeros() {
    let scene = scene();
    let bytes = CLASS_BYTES[usize::from(scene.body.size_class)];
    let plaintext = padded(&scene.content, bytes);
    let open = |plaintext: &[u8]| OpenContent::open(&seal(&scene, plaintext), &scene.key, &scene.place, &scene.body);
    assert_eq!(open(&plaintext), Ok(scene.content.clone()), "as the library seals it");
    let begins = 4 + scene.content.encode().len();
    for place in begins..bytes {
        let mut other = plaintext.clone();
        other[place] = 1;
        assert_eq!(open(&other), Err(ContentError::Sealed), "byte {place} of the padding");
    }
}

#[test]
fn content_has_the_size_class_that_its_block_shows() {
    let scene = scene();
    let class = scene.body.size_class;
    for (other, bytes) in CLASS_BYTES.into_iter().enumerate().skip(usize::from(class) + 1) {
        let mut body = scene.body.clone();
        body.size_class = u8::try_from(other).expect("small");
        // Padded to what the block shows, and opened whole: it is the wrong class for what is in it.
        let sealed = seal(&scene, &padded(&scene.content, bytes));
        let opened = OpenContent::open(&sealed, &scene.key, &scene.place, &body);
        assert_eq!(opened, Err(ContentError::Commitment), "class {other}");
        assert_eq!(OpenContent::decode(&scene.content.encode(), &body), Err(ContentError::Commitment), "class {other}");
        // The honest block's class, and sealed content of another length.
        let opened = OpenContent::open(&sealed, &scene.key, &scene.place, &scene.body);
        assert_eq!(opened, Err(ContentError::Sealed), "class {other} where {class} is shown");
    }
    assert_eq!(OpenContent::decode(&scene.content.encode(), &scene.body), Ok(scene.content));
}
