//! Attacks that worked on the original (by their number in the threat model), and those that handshakes like this one
//! are known for.

use walytis_core::{HybridSignature, Suite, Transcript, codec};

use super::super::flight::{
    self, JoinFields, JoinFirst, MemberFirst, Second, initiator_transcript, invitation_transcript, responder_transcript,
};
use super::*;
use crate::{aead, join_transcript, kem};

/// In the original, a peer had the other one sign a string of its choice.
#[test]
fn attack_03_handshake_signs_only_typed_transcripts() {
    let handshake = Handshake::new(1);
    let (_, first) = handshake.start();
    let (_, second) = handshake.answer(&first).unwrap();
    let second: Second<Hash> = codec::decode(&second).unwrap();
    let fields = codec::encode(&second.fields);
    let hash = flight::first_hash(&first);
    let (key, signature) = (handshake.bob.key(), &second.signature);
    assert_eq!(key.verify(&responder_transcript(&hash, &fields), signature), Ok(()));
    let zero = ChainId::ZERO;
    let others = [
        initiator_transcript(&hash, &fields),
        invitation_transcript(&fields),
        invitation_transcript(&first),
        join_transcript(&zero, &zero, &hash, &hash, &hash),
        responder_transcript(&hash, &first),
        Transcript::new("block", Suite::Hybrid).field(hash.as_bytes()).field(&fields),
    ];
    for other in others {
        assert!(other.as_bytes().starts_with(b"walytis/"));
        assert_eq!(key.verify(&other, signature), Err(BadSignature));
    }
    // Whatever a peer puts into its flight, what is signed has only a hash of it, behind a purpose of ours.
    let signed = responder_transcript(&hash, &fields);
    assert!(signed.as_bytes().starts_with(b"walytis/session/responder\0"));
    let chosen = &first[3 + 4 * 32..];
    assert!(!signed.as_bytes().windows(8).any(|window| chosen.windows(8).any(|chosen| chosen == window)));
}

/// In the original, a peer in the middle passed the handshake on and then spoke for the other side.
#[test]
fn attack_04_handshake_is_bound_to_both_transport_peers_and_session_keys() {
    let (alice, bob, mallory) = (Device::new(1), Device::new(2), Device::new(3));
    let view = View::of(&[&alice, &bob, &mallory]);

    // Alice talks to Mallory, who is a member as well, and who passes each flight on to Bob.
    let (_, first) = Initiator::member(alice.local(), mallory.peer, mallory.key(), Vec::new(), &mut rng(1)).unwrap();
    let refused = refusal(&bob, &mallory, &first, &view);
    assert_eq!(refused, SessionError::OtherSender { named: alice.peer, connected: mallory.peer });
    // She renames the peers in it. Bob sees her own key's place taken by Alice's, which is not bound to her peer.
    let mut renamed: MemberFirst = codec::decode(&first).unwrap();
    (renamed.initiator, renamed.responder) = (mallory.peer, bob.peer);
    renamed.responder_key = bob.key().id();
    let refused = refusal(&bob, &mallory, &codec::encode(&renamed), &view);
    assert_eq!(refused, SessionError::UnknownDevice { key: alice.key().id(), peer: mallory.peer });
    // She puts her own key in its place and gives Alice Bob's answer: it is by Bob's key, over another first flight.
    renamed.initiator_key = mallory.key().id();
    let (_, second) =
        Responder::answer(bob.local(), mallory.peer, &codec::encode(&renamed), &view, &mut rng(2)).unwrap();
    let start = |peer, key| Initiator::member(alice.local(), peer, key, Vec::new(), &mut rng(1)).unwrap().0;
    let refused = start(mallory.peer, mallory.key()).receive(mallory.peer, &second).unwrap_err();
    assert_eq!(refused, SessionError::OtherKey { named: bob.key().id(), expected: mallory.key().id() });
    // Alice wants Bob, and Mallory sits at Bob's address: the transport gives her another peer.
    let refused = start(bob.peer, bob.key()).receive(mallory.peer, &second).unwrap_err();
    assert_eq!(refused, SessionError::OtherSender { named: bob.peer, connected: mallory.peer });

    // Even inside a broken transport, she can put neither her ciphertext nor her fresh key in the others' place.
    let handshake = Handshake::new(1);
    let (initiator, first) = handshake.start();
    let (_, second) = handshake.answer(&first).unwrap();
    let mut swapped: Second<Hash> = codec::decode(&second).unwrap();
    let fresh = codec::decode::<MemberFirst>(&first).unwrap().fresh;
    swapped.fields.ciphertext = kem::encapsulate(&fresh, &mut rng(7)).unwrap().0;
    let refused = initiator.receive(bob.peer, &codec::encode(&swapped)).unwrap_err();
    assert_eq!(refused, bad_signature(2));
    let mut swapped: MemberFirst = codec::decode(&first).unwrap();
    swapped.fresh = kem::public(&[7; 32]);
    let (_, second) = handshake.answer(&codec::encode(&swapped)).unwrap();
    assert_eq!(handshake.start().0.receive(bob.peer, &second).unwrap_err(), bad_signature(2));
}

/// In the original, an invitation's public key was all that it took.
#[test]
fn attack_05_a_public_invitation_key_alone_gives_nothing() {
    let joining = Joining::new();
    let (_, good) = joining.start();
    let good: JoinFirst = codec::decode(&good).unwrap();
    let mallory = Device { peer: joining.joiner.peer, secret: HybridSecret::from_seed(&[3; 64]) };
    let view = View::inviting(&joining.invitation);
    let sign =
        |fields: &JoinFields, by: &HybridSecret| by.sign(&invitation_transcript(&codec::encode(fields)), &mut rng(4));
    let answer = |first: JoinFirst| {
        let first = codec::encode(&first);
        Responder::answer(joining.manager.local(), mallory.peer, &first, &view, &mut Untouched).unwrap_err()
    };
    let mut fields = good.fields;
    fields.initiator_key = mallory.key();
    // She knows the public key: a signature by any other does not do, nor one that she saw before, nor halves of each.
    let own = sign(&fields, &mallory.secret);
    let seen = good.signature;
    let mixed = HybridSignature { ed25519: own.ed25519, ml_dsa: seen.ml_dsa };
    for signature in [own, seen, mixed] {
        let fields: JoinFields = codec::decode(&codec::encode(&fields)).unwrap();
        assert_eq!(answer(JoinFirst { fields, signature }), bad_signature(1));
    }
    // Nor does a key of her own that she calls an invitation.
    fields.invitation_key = mallory.key();
    let signature = sign(&fields, &mallory.secret);
    let invitation = InvitationId(mallory.key().id());
    assert_eq!(answer(JoinFirst { fields, signature }), SessionError::NotInvited { group: GROUP, invitation });
}

#[test]
fn a_joiners_flight_serves_no_other_peer_and_no_other_group() {
    let joining = Joining::new();
    let (_, first) = joining.start();
    let (mallory, manager) = (Device::new(3), &joining.manager);
    let view = View::inviting(&joining.invitation);
    let other_sender = SessionError::OtherSender { named: joining.joiner.peer, connected: mallory.peer };
    assert_eq!(refusal(manager, &mallory, &first, &view), other_sender);
    let other_receiver = SessionError::OtherReceiver { named: manager.peer };
    assert_eq!(refusal(&mallory, &joining.joiner, &first, &view), other_receiver);
    let mut moved: JoinFirst = codec::decode(&first).unwrap();
    moved.fields.group = ChainId([0x61; 32]);
    let mut both = View::inviting(&joining.invitation);
    both.invitations.insert((moved.fields.group, joining.invitation.id()));
    assert_eq!(refusal(manager, &joining.joiner, &codec::encode(&moved), &both), bad_signature(1));
}

#[test]
fn flights_of_earlier_handshakes_are_refused() {
    let (old, new) = (Handshake::new(1), Handshake::new(2));
    let (_, old_first) = old.start();
    let (_, old_second) = old.answer(&old_first).unwrap();
    let (_, _, old_third) = old.reach_third(b"delete everything");

    // A replayed first flight is answered, with fresh keys, and the replayed third one does not fit them.
    let again = View::of(&[&old.alice, &old.bob]);
    let (responder, second) =
        Responder::answer(old.bob.local(), old.alice.peer, &old_first, &again, &mut rng(9)).unwrap();
    assert_ne!(second, old_second);
    assert_eq!(responder.receive(old.alice.peer, &old_third).unwrap_err(), SessionError::Sealed);

    let (initiator, first) = new.start();
    assert_eq!(initiator.receive(new.bob.peer, &old_second).unwrap_err(), bad_signature(2));
    let (responder, _) = new.answer(&first).unwrap();
    assert_eq!(responder.receive(new.alice.peer, &old_third).unwrap_err(), SessionError::Sealed);
}

#[test]
fn flights_reflected_to_their_sender_are_refused() {
    let handshake = Handshake::new(1);
    let (alice, bob) = (&handshake.alice, &handshake.bob);
    let view = View::of(&[alice, bob]);
    let (initiator, first) = handshake.start();
    let other_sender = SessionError::OtherSender { named: alice.peer, connected: bob.peer };
    assert_eq!(refusal(alice, bob, &first, &view), other_sender);
    assert!(matches!(initiator.receive(bob.peer, &first).unwrap_err(), SessionError::Codec { flight: 2, .. }));
    let (responder, second) = handshake.answer(&first).unwrap();
    assert_eq!(responder.receive(alice.peer, &second).unwrap_err(), SessionError::Sealed);
    let (mut session, _, third) = handshake.reach_third(b"");
    assert_eq!(session.open(&third).unwrap_err(), SessionError::Sealed);
}

#[test]
fn a_third_flight_from_another_peer_is_refused() {
    let handshake = Handshake::new(1);
    let (_, responder, third) = handshake.reach_third(b"");
    let mallory = PeerId([3; 32]);
    let refused = responder.receive(mallory, &third).unwrap_err();
    assert_eq!(refused, SessionError::OtherSender { named: handshake.alice.peer, connected: mallory });
}

#[test]
fn a_member_without_its_device_key_gets_no_further_than_the_third_flight() {
    // Mallory has Alice's transport key and runs the whole handshake, but has not her device's key.
    let handshake = Handshake::new(1);
    let (initiator, first) = handshake.start();
    let (responder, second) = handshake.answer(&first).unwrap();
    let mut ready = initiator.receive(handshake.bob.peer, &second).unwrap();
    let mallory = Device::new(3);
    ready.me = mallory.key().id();
    let (third, _) = ready.finish(mallory.local(), b"", &mut rng(3)).unwrap();
    assert_eq!(responder.receive(handshake.alice.peer, &third).unwrap_err(), bad_signature(3));
}

#[test]
fn a_members_signature_from_one_session_is_refused_in_another() {
    // Mallory has what Alice signed in a session with her, and Alice's transport key, and runs a handshake as Alice.
    let (seen, forged) = (Handshake::new(1), Handshake::new(2));
    let ready = |handshake: &Handshake| {
        let (initiator, first) = handshake.start();
        let (responder, second) = handshake.answer(&first).unwrap();
        (initiator.receive(handshake.bob.peer, &second).unwrap(), responder)
    };
    let (theirs, _) = ready(&seen);
    let signed = initiator_transcript(theirs.session_hash(), b"");
    let signature = seen.alice.secret.sign(&signed, &mut rng(3)).to_bytes();
    let (mine, responder) = ready(&forged);
    let key = mine.schedule.third_key(mine.session_hash());
    let third = [&[flight::VERSION][..], &aead::seal(&key, 0, &[flight::VERSION], &signature)].concat();
    assert_eq!(responder.receive(forged.alice.peer, &third).unwrap_err(), bad_signature(3));
}

#[test]
fn a_responder_that_cannot_open_the_kem_is_refused() {
    // A device that signs in earnest but takes its confirmation from elsewhere does not have the session's keys.
    let handshake = Handshake::new(1);
    let (initiator, first) = handshake.start();
    let (_, second) = handshake.answer(&first).unwrap();
    let mut forged: Second<Hash> = codec::decode(&second).unwrap();
    forged.confirmation = [0; 32];
    assert_eq!(initiator.receive(handshake.bob.peer, &codec::encode(&forged)).unwrap_err(), SessionError::Confirmation);
    let mut forged: Second<Hash> = codec::decode(&second).unwrap();
    // The X25519 half of the ciphertext is the point of order one.
    forged.fields.ciphertext[1088..].fill(0);
    let signed = responder_transcript(&flight::first_hash(&first), &codec::encode(&forged.fields));
    forged.signature = handshake.bob.secret.sign(&signed, &mut rng(5));
    let refused = handshake.start().0.receive(handshake.bob.peer, &codec::encode(&forged)).unwrap_err();
    assert_eq!(refused, SessionError::Confirmation);
}

#[test]
fn fresh_keys_of_low_order_are_refused() {
    let handshake = Handshake::new(1);
    let (_, first) = handshake.start();
    for point in crate::kem::tests::low_order() {
        let mut first: MemberFirst = codec::decode(&first).unwrap();
        first.fresh[1184..].copy_from_slice(&point);
        let refused = handshake.answer(&codec::encode(&first)).map(|_| ());
        assert_eq!(refused, Err(SessionError::FreshKey), "{point:?}");
    }
}
