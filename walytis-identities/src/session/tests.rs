//! Handshakes and frames between devices that exist nowhere else.

mod attacks;
mod damage;
mod frames;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use rand_chacha::ChaCha20Rng;
use rand_core::{SeedableRng, TryCryptoRng, TryRng};
use walytis_core::{BadSignature, ChainId, CodecError, Hash, HybridKey, HybridSecret, PeerId};

use super::*;
use crate::{InvitationId, InvitationSecret};

const GROUP: ChainId = ChainId([0x60; 32]);

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// A device with the key and the peer that its number gives.
struct Device {
    secret: HybridSecret,
    peer: PeerId,
}

impl Device {
    fn new(number: u8) -> Self {
        Self { secret: HybridSecret::from_seed(&[number; 64]), peer: PeerId([number; 32]) }
    }

    fn local(&self) -> LocalDevice<'_> {
        LocalDevice { secret: &self.secret, peer: self.peer }
    }

    fn key(&self) -> HybridKey {
        self.secret.public().clone()
    }
}

#[derive(Default)]
struct View {
    devices: BTreeMap<(Hash, PeerId), HybridKey>,
    invitations: BTreeSet<(ChainId, InvitationId)>,
    newer: Option<HybridKey>,
}

impl View {
    fn of(devices: &[&Device]) -> Self {
        let devices = devices.iter().map(|device| ((device.key().id(), device.peer), device.key())).collect();
        Self { devices, ..Self::default() }
    }

    fn inviting(invitation: &InvitationSecret) -> Self {
        Self { invitations: [(GROUP, invitation.id())].into(), ..Self::default() }
    }
}

impl Directory for View {
    fn device(&self, key: &Hash, peer: &PeerId) -> Option<HybridKey> {
        self.devices.get(&(*key, *peer)).cloned()
    }

    fn invites(&self, group: &ChainId, invitation: &InvitationId) -> bool {
        self.invitations.contains(&(*group, *invitation))
    }

    fn newer_device(&self, _: &Hash, _: &PeerId, operations: &[u8]) -> Option<HybridKey> {
        self.newer.clone().filter(|_| operations == b"operations")
    }
}

/// Fails the test when randomness is drawn: nothing was to be made.
struct Untouched;

impl TryRng for Untouched {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("randomness was drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("randomness was drawn")
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        panic!("randomness was drawn")
    }
}

impl TryCryptoRng for Untouched {}

/// One handshake between members, alike whenever it has the same seed.
struct Handshake {
    alice: Device,
    bob: Device,
    seed: u8,
}

impl Handshake {
    fn new(seed: u8) -> Self {
        Self { alice: Device::new(1), bob: Device::new(2), seed }
    }

    fn start(&self) -> (Initiator, Vec<u8>) {
        let rng = &mut rng(self.seed);
        Initiator::member(self.alice.local(), self.bob.peer, self.bob.key(), Vec::new(), rng).unwrap()
    }

    fn answer(&self, first: &[u8]) -> Result<(Responder, Vec<u8>), SessionError> {
        let view = View::of(&[&self.alice, &self.bob]);
        Responder::answer(self.bob.local(), self.alice.peer, first, &view, &mut rng(self.seed ^ 0x80))
    }

    /// The initiator's session, the responder, and the third flight to it.
    fn reach_third(&self, first_data: &[u8]) -> (Session, Responder, Vec<u8>) {
        let (initiator, first) = self.start();
        let (responder, second) = self.answer(&first).unwrap();
        let ready = initiator.receive(self.bob.peer, &second).unwrap();
        let (third, session) = ready.finish(self.alice.local(), first_data, &mut rng(self.seed ^ 0x40)).unwrap();
        (session, responder, third)
    }

    fn complete(&self) -> (Session, Session) {
        let (alice, responder, third) = self.reach_third(b"");
        (alice, responder.receive(self.alice.peer, &third).unwrap().0)
    }
}

/// One attempt of device 1 to join by device 2.
struct Joining {
    joiner: Device,
    manager: Device,
    invitation: InvitationSecret,
}

impl Joining {
    fn new() -> Self {
        let invitation = InvitationSecret::from_bytes(&[9; 16]);
        Self { joiner: Device::new(1), manager: Device::new(2), invitation }
    }

    fn start(&self) -> (Initiator, Vec<u8>) {
        Initiator::join(self.joiner.local(), self.manager.peer, GROUP, &self.invitation, &mut rng(1)).unwrap()
    }

    fn answer(&self, first: &[u8]) -> Result<(Responder, Vec<u8>), SessionError> {
        let view = View::inviting(&self.invitation);
        Responder::answer(self.manager.local(), self.joiner.peer, first, &view, &mut rng(2))
    }
}

#[test]
fn members_prove_their_devices_and_exchange_frames() {
    let handshake = Handshake::new(1);
    let (mut alice, responder, third) = handshake.reach_third(b"hello");
    assert_eq!(responder.purpose(), Purpose::Member);
    let (mut bob, first_data) = responder.receive(handshake.alice.peer, &third).unwrap();
    assert_eq!(first_data, b"hello");
    assert_eq!((alice.peer(), alice.remote()), (&handshake.bob.peer, &handshake.bob.key()));
    assert_eq!((bob.peer(), bob.remote()), (&handshake.alice.peer, &handshake.alice.key()));
    assert_eq!(alice.hash(), bob.hash());
    for text in [&b""[..], b"one", b"two"] {
        let frame = alice.seal(text).unwrap();
        assert_eq!(frame.len(), text.len() + Session::OVERHEAD_BYTES);
        assert_eq!(bob.open(&frame).unwrap(), text);
        let frame = bob.seal(text).unwrap();
        assert_eq!(alice.open(&frame).unwrap(), text);
    }
}

#[test]
fn a_joiner_proves_its_invitation_and_learns_who_answers() {
    let joining = Joining::new();
    let (initiator, first) = joining.start();
    let (responder, second) = joining.answer(&first).unwrap();
    let purpose = Purpose::Join { group: GROUP, invitation: joining.invitation.id() };
    assert_eq!((responder.purpose(), responder.remote()), (purpose, &joining.joiner.key()));
    let ready = initiator.receive(joining.manager.peer, &second).unwrap();
    assert_eq!((ready.session_hash(), ready.remote()), (responder.session_hash(), &joining.manager.key()));
    let (third, session) = ready.finish(joining.joiner.local(), b"admit me", &mut rng(3)).unwrap();
    let (other, first_data) = responder.receive(joining.joiner.peer, &third).unwrap();
    assert_eq!((other.purpose(), other.hash(), &first_data[..]), (purpose, session.hash(), &b"admit me"[..]));
}

#[test]
fn a_device_with_a_newer_key_brings_the_operations_that_lead_to_it() {
    let (alice, bob) = (Device::new(1), Device::new(2));
    let view = View { newer: Some(alice.key()), ..View::default() };
    let answer = |operations: &[u8]| {
        let (_, first) =
            Initiator::member(alice.local(), bob.peer, bob.key(), operations.to_vec(), &mut rng(1)).unwrap();
        Responder::answer(bob.local(), alice.peer, &first, &view, &mut rng(2)).map(|_| ())
    };
    let unknown = Err(SessionError::UnknownDevice { key: alice.key().id(), peer: alice.peer });
    assert_eq!(answer(b"operations"), Ok(()));
    assert_eq!(answer(b"other ones"), unknown);
    assert_eq!(answer(b""), unknown);
    assert_eq!(answer(&[0; OPERATIONS_BYTES_MAX]), unknown);
    let bytes = OPERATIONS_BYTES_MAX + 1;
    let too_many = Initiator::member(alice.local(), bob.peer, bob.key(), vec![0; bytes], &mut Untouched);
    assert_eq!(too_many.unwrap_err(), SessionError::TooLong { bytes, max: OPERATIONS_BYTES_MAX });
}

/// What a responder says to a first flight that it must refuse before it makes anything.
fn refusal(me: &Device, from: &Device, first: &[u8], view: &View) -> SessionError {
    Responder::answer(me.local(), from.peer, first, view, &mut Untouched).unwrap_err()
}

#[test]
fn strangers_and_wrong_peers_cost_no_key_and_no_signature() {
    let handshake = Handshake::new(1);
    let (alice, bob, mallory) = (&handshake.alice, &handshake.bob, &Device::new(3));
    let (_, first) = handshake.start();
    let key = alice.key().id();
    let (all, bob_only) = (View::of(&[alice, bob, mallory]), View::of(&[bob]));
    let other_sender = SessionError::OtherSender { named: alice.peer, connected: mallory.peer };
    assert_eq!(refusal(bob, mallory, &first, &all), other_sender);
    assert_eq!(refusal(mallory, alice, &first, &all), SessionError::OtherReceiver { named: bob.peer });
    assert_eq!(refusal(bob, bob, &first, &all), SessionError::Myself);
    assert_eq!(refusal(bob, alice, &first, &bob_only), SessionError::UnknownDevice { key, peer: alice.peer });

    // The key is a member's, but its binding names another transport peer.
    let moved = Device { peer: mallory.peer, secret: HybridSecret::from_seed(&[1; 64]) };
    let unbound = SessionError::UnknownDevice { key, peer: alice.peer };
    assert_eq!(refusal(bob, alice, &first, &View::of(&[&moved, bob])), unbound);

    // A directory that answers with another key is not believed.
    let mut confused = View::of(&[bob]);
    confused.devices.insert((key, alice.peer), mallory.key());
    assert_eq!(refusal(bob, alice, &first, &confused), unbound);

    // The responder has renewed its key.
    let renewed = Device { peer: bob.peer, secret: HybridSecret::from_seed(&[4; 64]) };
    let other_key = SessionError::OtherKey { named: bob.key().id(), expected: renewed.key().id() };
    assert_eq!(refusal(&renewed, alice, &first, &all), other_key);

    let joining = Joining::new();
    let (_, first) = joining.start();
    let not_invited = SessionError::NotInvited { group: GROUP, invitation: joining.invitation.id() };
    assert_eq!(refusal(bob, alice, &first, &all), not_invited);
}

#[test]
fn unknown_numbers_are_refused_by_number() {
    let handshake = Handshake::new(1);
    let (alice, bob) = (&handshake.alice, &handshake.bob);
    let view = View::of(&[alice, bob]);
    let (initiator, first) = handshake.start();
    let with = |bytes: &[u8], at: usize, number: u8| {
        let mut changed = bytes.to_vec();
        changed[at] = number;
        changed
    };
    for number in [0, 2, 255] {
        let source = CodecError::Version { found: number, known: 1 };
        let version = SessionError::Codec { flight: 1, source };
        assert_eq!(refusal(bob, alice, &with(&first, 0, number), &view), version);
        assert_eq!(refusal(bob, alice, &with(&first, 1, number), &view), SessionError::Suite { found: number });
    }
    for number in [0, 3, 255] {
        assert_eq!(refusal(bob, alice, &with(&first, 2, number), &view), SessionError::Purpose { found: number });
    }
    let malformed = SessionError::Codec { flight: 1, source: CodecError::Malformed };
    assert_eq!(refusal(bob, alice, &with(&first, 2, flight::JOIN), &view), malformed, "a purpose is not exchanged");
    assert_eq!(refusal(bob, alice, &[], &view), malformed);
    assert_eq!(refusal(bob, alice, &first[..2], &view), malformed);

    let (responder, second) = handshake.answer(&first).unwrap();
    let refused = initiator.receive(bob.peer, &with(&second, 0, 2)).unwrap_err();
    assert_eq!(refused, SessionError::Codec { flight: 2, source: CodecError::Version { found: 2, known: 1 } });
    let refused = handshake.start().0.receive(bob.peer, &with(&second, 1, 7)).unwrap_err();
    assert_eq!(refused, SessionError::Suite { found: 7 });
    let refused = responder.receive(alice.peer, &[3]).unwrap_err();
    assert_eq!(refused, SessionError::Codec { flight: 3, source: CodecError::Version { found: 3, known: 1 } });
}

#[test]
fn overlong_flights_are_refused_unread() {
    let handshake = Handshake::new(1);
    let (alice, bob) = (&handshake.alice, &handshake.bob);
    let long = vec![1; 3 * 1024 * 1024];
    let too_long = |error: &SessionError| matches!(error, SessionError::TooLong { bytes, .. } if *bytes == long.len());
    assert!(too_long(&refusal(bob, alice, &long, &View::default())));
    let (initiator, first) = handshake.start();
    assert!(too_long(&initiator.receive(bob.peer, &long).unwrap_err()));
    let (responder, second) = handshake.answer(&first).unwrap();
    assert!(too_long(&responder.receive(alice.peer, &long).unwrap_err()));
    let ready = handshake.start().0.receive(bob.peer, &second).unwrap();
    assert!(too_long(&ready.finish(alice.local(), &long, &mut Untouched).unwrap_err()));

    // The longest first data do fit.
    let (_, responder, third) = handshake.reach_third(&long[..Session::FIRST_DATA_BYTES_MAX]);
    assert_eq!(third.len(), walytis_core::FRAME_BYTES_MAX);
    assert!(responder.receive(alice.peer, &third).is_ok());
}

#[test]
fn the_third_flight_is_by_the_device_of_the_first() {
    let handshake = Handshake::new(1);
    let (initiator, first) = handshake.start();
    let (_, second) = handshake.answer(&first).unwrap();
    let ready = initiator.receive(handshake.bob.peer, &second).unwrap();
    let other = Device::new(3);
    let refused = ready.finish(other.local(), b"", &mut Untouched).unwrap_err();
    let expected = SessionError::OtherKey { named: other.key().id(), expected: handshake.alice.key().id() };
    assert_eq!(refused, expected);
}

#[test]
fn two_nodes_keep_the_same_one_of_two_sessions() {
    let (low, high) = (PeerId([1; 32]), PeerId([2; 32]));
    assert_eq!(choose(&low, &high), Stays::Mine);
    assert_eq!(choose(&high, &low), Stays::Theirs);
}

#[test]
fn no_node_opens_a_session_with_itself() {
    let alice = Device::new(1);
    let invitation = InvitationSecret::from_bytes(&[9; 16]);
    let member = Initiator::member(alice.local(), alice.peer, alice.key(), Vec::new(), &mut Untouched);
    assert_eq!(member.unwrap_err(), SessionError::Myself);
    let join = Initiator::join(alice.local(), alice.peer, GROUP, &invitation, &mut Untouched);
    assert_eq!(join.unwrap_err(), SessionError::Myself);
}

#[test]
fn secrets_show_nothing() {
    let handshake = Handshake::new(1);
    let peer = handshake.bob.peer;
    assert_eq!(
        format!("{:?}", handshake.alice.local()),
        format!("LocalDevice {{ secret: HybridSecret(..), peer: {:?} }}", handshake.alice.peer)
    );
    let (initiator, first) = handshake.start();
    assert_eq!(format!("{initiator:?}"), format!("Initiator(to {peer})"));
    let (responder, second) = handshake.answer(&first).unwrap();
    let hash = *responder.session_hash();
    assert_eq!(format!("{responder:?}"), format!("Responder({hash} with {})", handshake.alice.peer));
    let ready = initiator.receive(peer, &second).unwrap();
    assert_eq!(format!("{ready:?}"), format!("Ready({hash} with {peer})"));
    let (_, session) = ready.finish(handshake.alice.local(), b"", &mut rng(3)).unwrap();
    assert_eq!(format!("{session:?}"), format!("Session({hash} with {peer})"));
}

/// A flight whose signature does not hold.
const fn bad_signature(flight: u8) -> SessionError {
    SessionError::Signature { flight, source: BadSignature }
}
