//! Every byte of every flight matters.

use super::*;

/// Positions of a flight: all of its fields, and samples of the long parts.
fn positions(length: usize, long: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
    (0..length).filter(move |position| !long.contains(position) || position % 11 == 0)
}

fn flip(bytes: &[u8], position: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[position] ^= 1 << (position % 8);
    changed
}

#[test]
fn each_changed_byte_of_a_members_first_flight_is_refused_by_one_side() {
    let handshake = Handshake::new(1);
    let (_, first) = handshake.start();
    let fresh = 3 + 4 * 32..first.len() - 1;
    for position in positions(first.len(), fresh) {
        if let Ok((_, second)) = handshake.answer(&flip(&first, position)) {
            let refused = handshake.start().0.receive(handshake.bob.peer, &second);
            assert_eq!(refused.unwrap_err(), bad_signature(2), "byte {position}");
        }
    }
}

#[test]
fn each_changed_byte_of_a_joiners_first_flight_is_refused_by_the_responder() {
    let joining = Joining::new();
    let (_, first) = joining.start();
    assert!(joining.answer(&first).is_ok());
    for position in positions(first.len(), 200..first.len() - 32) {
        let refused = joining.answer(&flip(&first, position));
        assert!(refused.is_err(), "byte {position}");
    }
}

#[test]
fn each_changed_byte_of_a_second_flight_is_refused_by_the_initiator() {
    let handshake = Handshake::new(1);
    let (_, first) = handshake.start();
    let (_, second) = handshake.answer(&first).unwrap();
    for position in positions(second.len(), 40..second.len() - 40) {
        let refused = handshake.start().0.receive(handshake.bob.peer, &flip(&second, position));
        assert!(refused.is_err(), "byte {position}");
    }
    let joining = Joining::new();
    let (_, first) = joining.start();
    let (_, second) = joining.answer(&first).unwrap();
    for position in positions(second.len(), 40..second.len() - 40).step_by(5) {
        let refused = joining.start().0.receive(joining.manager.peer, &flip(&second, position));
        assert!(refused.is_err(), "byte {position}");
    }
}

#[test]
fn each_changed_byte_of_a_third_flight_is_refused_by_the_responder() {
    let handshake = Handshake::new(1);
    let (_, _, third) = handshake.reach_third(b"first data");
    let (_, first) = handshake.start();
    for position in positions(third.len(), 20..third.len() - 40) {
        let (responder, _) = handshake.answer(&first).unwrap();
        let refused = responder.receive(handshake.alice.peer, &flip(&third, position));
        assert!(refused.is_err(), "byte {position}");
    }
}

#[test]
fn cut_and_lengthened_flights_are_refused() {
    let handshake = Handshake::new(1);
    let (_, first) = handshake.start();
    let (_, second) = handshake.answer(&first).unwrap();
    let (_, _, third) = handshake.reach_third(b"first data");
    let (alice, bob) = (handshake.alice.peer, handshake.bob.peer);
    let spoil = |flight: &[u8]| {
        let mut spoiled: Vec<Vec<u8>> = [0, 1, 2, 3, 40, flight.len() - 1].map(|cut| flight[..cut].to_vec()).into();
        spoiled.push([flight, &[0]].concat());
        spoiled
    };
    for first in spoil(&first) {
        assert!(matches!(handshake.answer(&first), Err(SessionError::Codec { flight: 1, .. })));
    }
    for second in spoil(&second) {
        let refused = handshake.start().0.receive(bob, &second);
        assert!(matches!(refused, Err(SessionError::Codec { flight: 2, .. })));
    }
    for third in spoil(&third) {
        let refused = handshake.answer(&first).unwrap().0.receive(alice, &third);
        assert!(matches!(refused, Err(SessionError::Codec { flight: 3, .. } | SessionError::Sealed)));
    }
}
