//! Frames of open sessions, and the keys under them.

use super::super::schedule::{Direction, Schedule};
use super::*;

/// After three frames from Alice, gives Bob what `deliver` makes of them.
fn check(deliver: fn(&[Vec<u8>]) -> Vec<Vec<u8>>, opened: usize) {
    let (mut alice, mut bob) = Handshake::new(1).complete();
    let frames: Vec<_> = [b"one", b"two", b"six"].iter().map(|text| alice.seal(*text).unwrap()).collect();
    let delivered = deliver(&frames);
    let mut results = delivered.iter().map(|frame| bob.open(frame));
    assert_eq!(results.by_ref().take_while(Result::is_ok).count(), opened);
    assert!(results.all(|result| result == Err(SessionError::Over)));
    let over = opened < delivered.len();
    assert_eq!(bob.seal(b"reply").is_err(), over, "a session that failed is over in both directions");
}

#[test]
fn frames_that_are_not_the_next_one_end_the_session() {
    check(|frames| frames.to_vec(), 3);
    check(|frames| vec![frames[0].clone(), frames[0].clone(), frames[1].clone()], 1);
    check(|frames| vec![frames[1].clone(), frames[0].clone()], 0);
    check(|frames| vec![frames[0].clone(), frames[2].clone(), frames[1].clone()], 1);
    check(|frames| vec![frames[0].clone(), frames[1][..18].to_vec(), frames[1].clone()], 1);
    check(|frames| vec![frames[0].clone(), Vec::new(), frames[1].clone()], 1);
    check(|frames| vec![[&frames[0][..], &[0]].concat(), frames[0].clone()], 0);
    check(|frames| vec![frames.concat()], 0);
}

#[test]
fn each_changed_byte_of_a_frame_is_refused() {
    let handshake = Handshake::new(1);
    let frame = handshake.complete().0.seal(b"text").unwrap();
    for position in 0..frame.len() {
        let mut changed = frame.clone();
        changed[position] ^= 1;
        let (_, mut bob) = handshake.complete();
        assert_eq!(bob.open(&changed), Err(SessionError::Sealed), "byte {position}");
    }
}

#[test]
fn a_frame_neither_returns_to_its_sender_nor_fits_another_session() {
    let (mut alice, _) = Handshake::new(1).complete();
    let frame = alice.seal(b"text").unwrap();
    assert_eq!(alice.open(&frame), Err(SessionError::Sealed));
    let (_, mut other) = Handshake::new(2).complete();
    assert_eq!(other.open(&frame), Err(SessionError::Sealed));
}

#[test]
fn frames_have_a_bound() {
    let (mut alice, mut bob) = Handshake::new(1).complete();
    let mut long = vec![0; Session::PLAINTEXT_BYTES_MAX];
    let frame = alice.seal(&long).unwrap();
    assert_eq!(frame.len(), walytis_core::FRAME_BYTES_MAX);
    assert_eq!(bob.open(&frame).as_ref(), Ok(&long));
    long.push(0);
    let too_long = SessionError::TooLong { bytes: long.len(), max: Session::PLAINTEXT_BYTES_MAX };
    assert_eq!(alice.seal(&long), Err(too_long));
    assert!(alice.seal(b"a refused frame has no number").is_ok_and(|frame| bob.open(&frame).is_ok()));
    long.resize(walytis_core::FRAME_BYTES_MAX + 1, 0);
    assert!(matches!(bob.open(&long), Err(SessionError::TooLong { .. })));
    assert_eq!(bob.open(b""), Err(SessionError::Over));
}

#[test]
fn no_two_keys_of_any_two_sessions_are_equal() {
    let mut keys = BTreeSet::new();
    let mut made = 0;
    // The same secret with another transcript, and the same transcript with another secret.
    for (shared, unconfirmed, session) in [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)] {
        let schedule = Schedule::new(zeroize::Zeroizing::new([shared; 32]), Hash([unconfirmed; 32]));
        let session = Hash([session; 32]);
        if session == Hash([1; 32]) {
            keys.insert(schedule.confirmation());
            made += 1;
        }
        keys.insert(*schedule.third_key(&session));
        for direction in [Direction::FromInitiator, Direction::FromResponder] {
            for stream in [0, 1, u32::MAX] {
                keys.insert(*schedule.frame_key(&session, direction, stream));
            }
        }
        made += 7;
    }
    assert_eq!(keys.len(), made);
}

#[test]
fn two_sessions_of_the_same_devices_share_no_key() {
    let frames: BTreeSet<_> = (1..=3)
        .flat_map(|seed| {
            let (mut alice, mut bob) = Handshake::new(seed).complete();
            [alice.seal(&[0; 32]).unwrap(), bob.seal(&[0; 32]).unwrap()]
        })
        .collect();
    assert_eq!(frames.len(), 6, "equal plaintexts under equal numbers: only keys make the difference");
}
