use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;

fn inviter(number: u8, addresses: &[&str]) -> Inviter {
    let addresses = addresses.iter().map(|address| Address::new(*address).unwrap()).collect();
    Inviter { peer: PeerId([number; 32]), addresses }
}

fn code() -> InvitationCode {
    let inviters = vec![inviter(1, &["/ip4/192.0.2.1/tcp/4001", "/dns4/example.org/tcp/443"]), inviter(2, &[])];
    InvitationCode::new(ChainId([3; 32]), InvitationSecret::from_bytes(&[4; 16]), inviters).unwrap()
}

fn parse(text: &str) -> Result<InvitationCode, InvitationError> {
    text.parse()
}

/// A code with this payload and a right checksum.
fn forge(payload: &[u8]) -> String {
    TEXT.write(payload)
}

#[test]
fn a_code_survives_its_text_as_people_copy_it() {
    let text = code().to_text();
    assert!(text.starts_with(PREFIX));
    assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{text}");
    for copied in [text.clone(), format!("  \n{text}\r\n"), text.to_ascii_uppercase()] {
        assert_eq!(parse(&copied), Ok(code()));
    }
}

#[test]
fn what_is_wrong_with_a_text_is_said() {
    let text = code().to_text();
    for other in ["", "walytis", "https://example.org", "walytis2abc", "walytıs1", &text[1..]] {
        assert_eq!(parse(other), Err(InvitationError::NotACode), "{other}");
    }
    let mixed = text[..20].to_ascii_uppercase() + &text[20..];
    let spaced = format!("{} {}", &text[..20], &text[20..]);
    for damaged in [PREFIX, "walytis1abc", &mixed, &spaced, &text[..text.len() - 1], &format!("{text}a"), "walytis1é"]
    {
        assert_eq!(parse(damaged), Err(InvitationError::Damaged), "{damaged}");
    }
    let found = InvitationCode::TEXT_BYTES_MAX + 1;
    assert_eq!(parse(&"w".repeat(found)), Err(InvitationError::TooLong { found }));
    assert_eq!(parse(&forge(&[2, 0, 0])), Err(InvitationError::Newer { found: 2, known: 1 }));
    for payload in [&[][..], &[1], &[1; 17], &[1; 49]] {
        assert_eq!(parse(&forge(payload)), Err(InvitationError::Encoding(CodecError::Malformed)), "{payload:?}");
    }
    let place = codec::encode(&Place { group: ChainId([3; 32]), inviters: Vec::new() });
    let trailing = [&[1; 17][..], &place, &[0]].concat();
    assert_eq!(parse(&forge(&trailing)), Err(InvitationError::Encoding(CodecError::Trailing { bytes: 1 })));
}

#[test]
fn codes_have_bounds_when_made_and_when_read() {
    let check = |inviters: Vec<Inviter>, error: InvitationError| {
        let place = codec::encode(&Place { group: ChainId([3; 32]), inviters: inviters.clone() });
        let made = InvitationCode::new(ChainId([3; 32]), InvitationSecret::from_bytes(&[4; 16]), inviters);
        assert_eq!(made, Err(error.clone()));
        let text = forge(&[&[1; 17][..], &place].concat());
        let read = parse(&text).unwrap_err();
        // A list that is too long is refused while it is decoded.
        let refused =
            matches!(read, InvitationError::TooLong { .. } | InvitationError::Encoding(CodecError::Malformed));
        assert!(read == error || refused, "{read}");
    };
    check(vec![inviter(1, &[]); 17], InvitationError::Inviters { found: 17 });
    let addresses = InvitationError::Addresses { peer: PeerId([1; 32]) };
    check(vec![inviter(1, &["/a"; 9])], addresses);
    // An address that is too long cannot even be held.
    assert_eq!(codec::decode::<Address>(&codec::encode(&"a".repeat(513))), Err(CodecError::Malformed));
    let long = "a".repeat(500);
    let full = vec![inviter(1, &[long.as_str(); 8]); 16];
    let made = InvitationCode::new(ChainId([3; 32]), InvitationSecret::from_bytes(&[4; 16]), full);
    assert!(matches!(made, Err(InvitationError::TooLong { .. })));
    let usual = vec![inviter(1, &["/ip4/192.0.2.1/tcp/4001"; 8]); 16];
    let made = InvitationCode::new(ChainId([3; 32]), InvitationSecret::from_bytes(&[4; 16]), usual).unwrap();
    assert_eq!(parse(&made.to_text()), Ok(made));
}

#[test]
fn a_secret_gives_one_key_pair_and_shows_nothing() {
    let secret = InvitationSecret::from_bytes(&[4; 16]);
    assert_eq!(secret.id(), InvitationId(secret.key().public().id()));
    assert_ne!(secret.id(), InvitationSecret::from_bytes(&[5; 16]).id());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    assert_ne!(InvitationSecret::generate(&mut rng), InvitationSecret::generate(&mut rng));
    assert_eq!(format!("{secret:?}"), "InvitationSecret(..)");
    let shown = format!("{:?}", code());
    assert!(shown.contains("InvitationSecret(..)") && !shown.contains("4, 4"), "{shown}");
}

#[test]
fn a_join_transcript_binds_each_of_its_fields() {
    let (a, b) = (ChainId([1; 32]), ChainId([2; 32]));
    let (x, y) = (Hash([1; 32]), Hash([2; 32]));
    let good = join_transcript(&a, &a, &x, &x, &x);
    for other in [
        join_transcript(&b, &a, &x, &x, &x),
        join_transcript(&a, &b, &x, &x, &x),
        join_transcript(&a, &a, &y, &x, &x),
        join_transcript(&a, &a, &x, &y, &x),
        join_transcript(&a, &a, &x, &x, &y),
    ] {
        assert_ne!(good, other);
    }
    assert!(good.as_bytes().starts_with(b"walytis/join\0"));
}

fn any_code() -> impl Strategy<Value = InvitationCode> {
    let address = "[ -~]{0,60}".prop_map(|text| Address::new(text).unwrap());
    let inviter = (any::<[u8; 32]>(), prop::collection::vec(address, 0..4))
        .prop_map(|(peer, addresses)| Inviter { peer: PeerId(peer), addresses });
    (any::<[u8; 32]>(), any::<[u8; 16]>(), prop::collection::vec(inviter, 0..4)).prop_map(
        |(group, secret, inviters)| {
            InvitationCode::new(ChainId(group), InvitationSecret::from_bytes(&secret), inviters).unwrap()
        },
    )
}

fn settings() -> ProptestConfig {
    ProptestConfig {
        cases: 48,
        failure_persistence: None,
        rng_seed: prop::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(settings())]

    /// Invariant: parse(to_text(code)) = code.
    #[test]
    fn every_code_survives_its_text(code in any_code()) {
        prop_assert_eq!(parse(&code.to_text()), Ok(code));
    }

    /// Invariant: no text that differs from a code's by one character is a code.
    #[test]
    fn every_single_damaged_character_is_noticed(code in any_code(), at in any::<prop::sample::Index>(), to in "[ -~é]") {
        let text = code.to_text();
        let at = at.index(text.len());
        let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        let cut = format!("{}{}", &text[..at], &text[at + 1..]);
        let added = format!("{}{to}{}", &text[..at], &text[at..]);
        for damaged in [changed, cut, added] {
            if damaged.trim() != text {
                prop_assert!(matches!(parse(&damaged), Err(InvitationError::NotACode | InvitationError::Damaged)), "{}", damaged);
            }
        }
    }
}

#[test]
fn every_position_of_a_code_is_guarded() {
    let text = code().to_text();
    for at in 0..text.len() {
        for to in ["a", "7", "0", "Z", "-"] {
            let damaged = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            assert!(damaged == text || parse(&damaged).is_err(), "{damaged}");
        }
    }
}
