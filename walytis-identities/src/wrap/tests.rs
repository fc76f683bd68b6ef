use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use walytis_core::{BlockId, ChainId};

use super::list::encoded_bytes;
use super::*;
use crate::BeginEpoch;

const GROUP: ChainId = ChainId([1; 32]);
const VIEW: [BlockId; 2] = [BlockId([2; 32]), BlockId([3; 32])];

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn context() -> EpochContext {
    EpochContext::new(GROUP, &VIEW)
}

/// An epoch of some devices: their secrets, the seed, its wraps.
fn epoch(devices: u8) -> (Vec<LeafSecret>, EpochSeed, Wraps) {
    let secrets: Vec<_> = (0..devices).map(|number| LeafSecret::from_seed(&[number; 32])).collect();
    let keys: Vec<_> = secrets.iter().map(|secret| secret.public().clone()).collect();
    let seed = EpochSeed::generate(&mut rng(1));
    let wraps = Wraps::make(&seed, &keys, &context(), &mut rng(2)).unwrap();
    (secrets, seed, wraps)
}

fn leaves(secrets: &[LeafSecret]) -> Vec<Hash> {
    secrets.iter().map(|secret| secret.public().id()).collect()
}

#[test]
fn each_device_of_the_epoch_opens_it_and_no_other_does() {
    let (secrets, seed, wraps) = epoch(7);
    for secret in &secrets {
        let opened = wraps.open(secret, &context(), &seed.hash()).unwrap();
        assert_eq!(opened.as_bytes(), seed.as_bytes());
    }
    let stranger = LeafSecret::from_seed(&[99; 32]);
    let leaf = stranger.public().id();
    assert_eq!(wraps.open(&stranger, &context(), &seed.hash()).unwrap_err(), WrapError::Missing { leaf });
    // Not even with a wrap that has the stranger's name on it.
    let mut renamed = wraps.get(&secrets[0].public().id()).unwrap().clone();
    renamed.leaf = leaf;
    assert_eq!(renamed.open(&stranger, &context(), &seed.hash()).unwrap_err(), WrapError::Sealed { leaf });
    let own = secrets[0].public().id();
    let wrap = wraps.get(&own).unwrap();
    assert_eq!(wrap.open(&secrets[1], &context(), &seed.hash()).unwrap_err(), WrapError::Sealed { leaf: own });
}

#[test]
fn a_wrap_moved_to_another_epoch_or_group_does_not_open() {
    let (secrets, seed, wraps) = epoch(2);
    let sealed = WrapError::Sealed { leaf: secrets[0].public().id() };
    let elsewhere = [
        EpochContext::new(ChainId([9; 32]), &VIEW),
        EpochContext::new(GROUP, &VIEW[..1]),
        EpochContext::new(GROUP, &[]),
        EpochContext::new(GROUP, &[VIEW[0], BlockId([9; 32])]),
    ];
    for context in elsewhere {
        assert_eq!(wraps.open(&secrets[0], &context, &seed.hash()).unwrap_err(), sealed, "{context:?}");
    }
    let other = EpochSeed::from_bytes(&[9; 32]);
    assert_eq!(wraps.open(&secrets[0], &context(), &other.hash()).unwrap_err(), sealed);
    let reordered = EpochContext::new(GROUP, &[VIEW[1], VIEW[0]]);
    assert!(wraps.open(&secrets[0], &reordered, &seed.hash()).is_ok());
}

#[test]
fn a_seed_that_the_operation_does_not_name_is_refused() {
    // A maker who seals another seed than the one whose hash it binds.
    let (secrets, seed, wraps) = epoch(1);
    let leaf = secrets[0].public().id();
    let mut wrap = wraps.get(&leaf).unwrap().clone();
    let shared = kem::decapsulate(secrets[0].seed(), &wrap.ciphertext).unwrap();
    let associated = associated(KemSuite::XWing, &leaf, &seed.hash(), &context());
    let key = sealing_key(&shared, &wrap.ciphertext, &associated);
    wrap.sealed_seed = aead::seal(&key, 0, &associated, &[9; 32]).try_into().unwrap();
    let found = EpochSeed::from_bytes(&[9; 32]).hash();
    let refused = wrap.open(&secrets[0], &context(), &seed.hash()).unwrap_err();
    assert_eq!(refused, WrapError::Seed { expected: seed.hash(), found });
}

#[test]
fn each_changed_part_of_a_wrap_is_refused() {
    let (secrets, seed, wraps) = epoch(1);
    let good = codec::encode(wraps.iter().next().unwrap());
    for position in (0..good.len()).filter(|position| position % 7 == 0 || *position < 40) {
        let mut bytes = good.clone();
        bytes[position] ^= 1;
        let wrap: Wrap = codec::decode(&bytes).unwrap();
        assert!(wrap.open(&secrets[0], &context(), &seed.hash()).is_err(), "byte {position}");
    }
}

#[test]
fn a_list_has_exactly_one_wrap_for_each_expected_device() {
    let (secrets, _, wraps) = epoch(3);
    let (bytes, root) = (wraps.encode(), wraps.root());
    let mut expected = leaves(&secrets);
    assert_eq!(Wraps::decode(&bytes, &root, &expected).as_ref(), Ok(&wraps));
    expected.reverse();
    expected.push(expected[0]);
    assert_eq!(Wraps::decode(&bytes, &root, &expected).as_ref(), Ok(&wraps), "expected leaves are a set");

    let check = |wraps: &[&Wrap], error: WrapError| {
        let list = Wraps { wraps: wraps.iter().map(|wrap| (*wrap).clone()).collect() };
        assert_eq!(Wraps::decode(&list.encode(), &list.root(), &expected).unwrap_err(), error);
    };
    let [a, b, c] = &wraps.wraps[..] else { panic!("three wraps") };
    let stranger = epoch(4).2.wraps.into_iter().find(|wrap| !expected.contains(wrap.leaf())).unwrap();
    let length =
        |found: usize| WrapError::Length { found: 2 + found * Wrap::BYTES, expected: 2 + 3 * Wrap::BYTES, devices: 3 };
    check(&[a, b], length(2));
    check(&[a, b, c, &stranger], length(4));
    check(&[a, b, b], WrapError::Unexpected { leaf: b.leaf });
    check(&[a, a, c], WrapError::Unexpected { leaf: a.leaf });
    check(&[b, a, c], WrapError::Missing { leaf: a.leaf });
    check(&[a, b, &stranger], WrapError::Unexpected { leaf: stranger.leaf });
    let unknown = Wrap { suite: 2, ..a.clone() };
    check(&[&unknown, b, c], WrapError::Suite { found: 2 });
}

#[test]
fn malformed_lists_are_refused() {
    let (secrets, _, wraps) = epoch(3);
    let (bytes, root, expected) = (wraps.encode(), wraps.root(), leaves(&secrets));
    let refused = |bytes: &[u8], root: &Hash| Wraps::decode(bytes, root, &expected).unwrap_err();
    let other = Hash([9; 32]);
    assert_eq!(refused(&bytes, &other), WrapError::Root { expected: other, found: root });
    assert_eq!(refused(&[], &root), WrapError::Codec(CodecError::Malformed));
    let version = CodecError::Version { found: 2, known: 1 };
    assert_eq!(refused(&[&[2], &bytes[1..]].concat(), &root), WrapError::Codec(version));
    for bytes in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat()] {
        assert!(matches!(refused(bytes, &root), WrapError::Length { .. }));
    }
    let mut count = bytes.clone();
    count[1] = 4;
    assert_eq!(refused(&count, &root), WrapError::Codec(CodecError::Malformed));
    // A changed byte anywhere gives another root.
    let mut changed = bytes.clone();
    changed[2 + Wrap::BYTES + 500] ^= 1;
    assert!(matches!(refused(&changed, &root), WrapError::Root { .. }));
    assert_eq!(Wraps::decode(&bytes, &root, &[]).unwrap_err(), WrapError::Empty);
}

#[test]
fn an_epoch_has_at_least_one_device_and_a_bound() {
    let (seed, context) = (EpochSeed::from_bytes(&[1; 32]), context());
    let make = |keys: &[LeafKey]| Wraps::make(&seed, keys, &context, &mut rng(1)).unwrap_err();
    let key = LeafSecret::from_seed(&[1; 32]).public().clone();
    assert_eq!(make(&[]), WrapError::Empty);
    assert_eq!(make(&[key.clone(), key.clone()]), WrapError::Twice { leaf: key.id() });
    let devices = Wraps::DEVICES_MAX + 1;
    assert_eq!(make(&vec![key; devices]), WrapError::TooMany { devices });
    let expected: Vec<_> = (0..devices).map(|number| Hash(blake3::hash(&number.to_le_bytes()).into())).collect();
    assert_eq!(Wraps::decode(&[1], &Hash([0; 32]), &expected).unwrap_err(), WrapError::TooMany { devices });
    let bad = LeafKey::from_bytes([0xff; LeafKey::XWING_BYTES]);
    assert_eq!(make(std::slice::from_ref(&bad)), WrapError::Leaf(LeafError::Malformed { key: bad.id() }));
}

#[test]
fn lists_of_more_than_127_devices_have_the_expected_length() {
    for devices in [1, 127, 128, 200] {
        let (secrets, _, wraps) = epoch(devices);
        let bytes = wraps.encode();
        assert_eq!(bytes.len(), encoded_bytes(devices.into()));
        assert!(Wraps::decode(&bytes, &wraps.root(), &leaves(&secrets)).is_ok());
    }
}

#[test]
fn one_wrap_is_proven_alone() {
    let (secrets, _, wraps) = epoch(5);
    let root = wraps.root();
    for leaf in leaves(&secrets) {
        let proof: WrapProof = codec::decode(&codec::encode(&wraps.proof(&leaf).unwrap())).unwrap();
        for wrap in wraps.iter() {
            assert_eq!(wrap.verify_proof(&proof, &root).is_ok(), *wrap.leaf() == leaf);
        }
        let mut changed = wraps.get(&leaf).unwrap().clone();
        changed.sealed_seed[0] ^= 1;
        assert!(matches!(changed.verify_proof(&proof, &root), Err(WrapError::Root { .. })));
    }
    assert_eq!(wraps.proof(&Hash([9; 32])), None);
}

#[test]
fn a_rewrapped_seed_opens() {
    let (_, seed, _) = epoch(1);
    let newcomer = LeafSecret::from_seed(&[50; 32]);
    let wrap = Wrap::make(&seed, newcomer.public(), &context(), &mut rng(9)).unwrap();
    let opened = wrap.open(&newcomer, &context(), &seed.hash()).unwrap();
    assert_eq!(opened.as_bytes(), seed.as_bytes());
}

#[test]
fn a_device_takes_no_wrap_of_another() {
    let (secrets, seed, wraps) = epoch(2);
    let begin = BeginEpoch { view: VIEW.to_vec(), seed: seed.hash(), wraps: wraps.root() };
    let own = secrets[0].public().id();
    for (leaf, given) in wraps.given() {
        let opened = given.open(&secrets[0], &context(), &begin);
        if leaf == own {
            assert_eq!(opened.unwrap().unwrap().as_bytes(), seed.as_bytes());
        } else {
            // Proven to be the maker's or not: who passed it on is to blame.
            assert_eq!(opened.unwrap_err(), WrapError::Unexpected { leaf });
        }
    }
}
