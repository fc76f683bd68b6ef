//! The vectors that the description of the format points to, and what other implementations make of ours.
//!
//! Randomness is the ChaCha20 keystream under 32 equal bytes as the key, with a nonce and a counter of zero.

use std::fmt::Write;

use data_encoding::HEXLOWER;
use ml_dsa::MlDsa65;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use walytis_core::{Address, BlockId, ChainId, Hash, HybridKey, HybridSecret, PeerId, Suite, Transcript};
use x_wing::{Decapsulate, KeyExport};

use crate::session::{Directory, Initiator, LocalDevice, Responder, Session};
use crate::{EpochContext, EpochSeed, InvitationCode, InvitationId, InvitationSecret, Inviter, LeafSecret, Wraps, kem};

const GROUP: ChainId = ChainId([3; 32]);

fn rng(key: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([key; 32])
}

/// Collects lines of `name = value`.
#[derive(Default)]
struct Vectors(String);

impl Vectors {
    fn text(&mut self, name: &str, value: &str) {
        writeln!(self.0, "{name} = {value}").unwrap();
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.text(name, &HEXLOWER.encode(value));
    }

    /// What is too long to be read is given by its length and its plain BLAKE3 hash.
    fn digest(&mut self, name: &str, value: &[u8]) {
        self.text(&format!("{name}.bytes"), &value.len().to_string());
        self.text(&format!("{name}.blake3"), blake3::hash(value).to_hex().as_str());
    }
}

/// Everyone is known and invited.
struct Open(HybridKey);

impl Directory for Open {
    fn device(&self, _: &Hash, _: &PeerId) -> Option<HybridKey> {
        Some(self.0.clone())
    }

    fn invites(&self, _: &ChainId, _: &InvitationId) -> bool {
        true
    }
}

fn epochs(vectors: &mut Vectors) {
    let secrets = [1, 7, 8].map(|byte| LeafSecret::from_seed(&[byte; 32]));
    vectors.digest("leaf.public", secrets[0].public().as_bytes());
    vectors.bytes("leaf.id", secrets[0].public().id().as_bytes());
    let seed = EpochSeed::from_bytes(&[2; 32]);
    let context = EpochContext::new(GROUP, &[BlockId([5; 32]), BlockId([4; 32])]);
    vectors.bytes("epoch.seed_hash", seed.hash().as_bytes());
    vectors.bytes("epoch.key", seed.epoch_key(&context).as_bytes());
    let keys = secrets.each_ref().map(|secret| secret.public().clone());
    let one = Wraps::make(&seed, &keys[..1], &context, &mut rng(6)).unwrap();
    vectors.digest("wraps.one", &one.encode());
    vectors.bytes("wraps.one.sealed_seed", &one.encode()[2 + 1153..]);
    vectors.bytes("wraps.one.root", one.root().as_bytes());
    let three = Wraps::make(&seed, &keys, &context, &mut rng(6)).unwrap();
    vectors.digest("wraps.three", &three.encode());
    vectors.bytes("wraps.three.root", three.root().as_bytes());
    for wrap in three.iter() {
        let proof = walytis_core::codec::encode(&three.proof(wrap.leaf()).unwrap());
        vectors.bytes(&format!("wraps.three.proof.{}", &wrap.leaf().to_string()[..8]), &proof);
    }
}

fn invitations(vectors: &mut Vectors) {
    let secret = InvitationSecret::from_bytes(&[4; 16]);
    vectors.bytes("invitation.id", secret.id().0.as_bytes());
    let addresses = vec![Address::new("/ip4/192.0.2.1/udp/4001/quic-v1").unwrap()];
    let code = InvitationCode::new(GROUP, secret, vec![Inviter { peer: PeerId([1; 32]), addresses }]).unwrap();
    vectors.text("invitation.code", &code.to_text());
}

fn frames(vectors: &mut Vectors, name: &str, (mut initiator, mut responder): (Session, Session)) {
    vectors.bytes(&format!("{name}.hash"), initiator.hash().as_bytes());
    for number in 0..2 {
        vectors.bytes(&format!("{name}.initiator.frame{number}"), &initiator.seal(b"text").unwrap());
        vectors.bytes(&format!("{name}.responder.frame{number}"), &responder.seal(b"text").unwrap());
    }
}

fn sessions(vectors: &mut Vectors) {
    let secrets = [1, 2].map(|byte| HybridSecret::from_seed(&[byte; 64]));
    let (alice, bob) = (PeerId([1; 32]), PeerId([2; 32]));
    let initiator = LocalDevice { secret: &secrets[0], peer: alice };
    let responder = LocalDevice { secret: &secrets[1], peer: bob };
    let invitation = InvitationSecret::from_bytes(&[4; 16]);
    let bob_key = secrets[1].public().clone();
    let member = Initiator::member(initiator, bob, bob_key, b"operations".to_vec(), &mut rng(1)).unwrap();
    let join = Initiator::join(initiator, bob, GROUP, &invitation, &mut rng(1)).unwrap();
    for (name, (started, first)) in [("member", member), ("join", join)] {
        vectors.digest(&format!("{name}.flight1"), &first);
        let directory = Open(secrets[0].public().clone());
        let (answered, second) = Responder::answer(responder, alice, &first, &directory, &mut rng(2)).unwrap();
        vectors.digest(&format!("{name}.flight2"), &second);
        let ready = started.receive(bob, &second).unwrap();
        let (third, session) = ready.finish(initiator, b"first data", &mut rng(3)).unwrap();
        vectors.digest(&format!("{name}.flight3"), &third);
        frames(vectors, name, (session, answered.receive(alice, &third).unwrap().0));
    }
}

#[test]
fn the_format_has_not_changed() {
    let mut vectors = Vectors::default();
    epochs(&mut vectors);
    invitations(&mut vectors);
    sessions(&mut vectors);
    let expected = include_str!("../tests/vectors.txt");
    assert!(vectors.0 == expected, "the vectors are now:\n{}", vectors.0);
}

#[test]
fn another_x_wing_agrees() {
    let (secret, mut rng) = ([9; 32], rng(5));
    let public = kem::public(&secret);
    let theirs = x_wing::DecapsulationKey::from(secret);
    assert_eq!(public[..], x_wing::Decapsulator::encapsulation_key(&theirs).to_bytes()[..]);
    let (ciphertext, shared) = kem::encapsulate(&public, &mut rng).unwrap();
    let received = theirs.decapsulate(&ciphertext[..].try_into().unwrap());
    assert_eq!(shared[..], received[..]);
}

#[test]
fn another_ml_dsa_agrees() {
    let secret = HybridSecret::from_seed(&[9; 64]);
    let transcript = Transcript::new("test", Suite::Hybrid).field(b"text");
    let signature = secret.sign(&transcript, &mut rng(5));
    let theirs = ml_dsa::SigningKey::<MlDsa65>::from_seed(&[9; 32].into()).expanded_key().verifying_key();
    assert_eq!(secret.public().ml_dsa[..], theirs.encode()[..]);
    let decoded = ml_dsa::Signature::<MlDsa65>::decode(&signature.ml_dsa[..].try_into().unwrap()).unwrap();
    assert!(theirs.verify_with_context(transcript.as_bytes(), b"", &decoded));
    let signed = ml_dsa::ExpandedSigningKey::<MlDsa65>::from_seed(&[9; 32].into());
    let signed = signed.sign_deterministic(transcript.as_bytes(), b"").unwrap();
    let signed: [u8; 3309] = signed.encode()[..].try_into().unwrap();
    assert_eq!(secret.public().verify_ml_dsa(&transcript, &signed), Ok(()));
}
