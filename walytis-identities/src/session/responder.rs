//! The end that is asked for a session.

use std::fmt;

use rand_core::CryptoRng;
use serde::Serialize;
use walytis_core::codec::{self, CodecError};
use walytis_core::{
    ChainId, ED25519_SIGNATURE_BYTES, FRAME_BYTES_MAX, Hash, HybridKey, HybridSignature, ML_DSA_SIGNATURE_BYTES, PeerId,
};
use zeroize::Zeroizing;

use super::flight::{self, First, JoinFirst, MemberFirst, Second, SecondFields};
use super::frames::End;
use super::schedule::Schedule;
use super::{Directory, LocalDevice, Purpose, Session, SessionError};
use crate::invitation::InvitationId;
use crate::{aead, kem};

/// A first flight that is encoded as one and names both ends of its connection. Nothing else of it is verified, and
/// nothing was asked about it yet: it shows what there is to ask.
pub struct FirstFlight {
    parsed: First,
    hash: Hash,
    from: PeerId,
}

/// What a first flight asks for, as far as it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asks {
    /// A session of members.
    Member {
        /// The name of the device key that the initiator says that it has.
        key: Hash,
    },
    /// To be admitted.
    Join {
        /// The group.
        group: ChainId,
        /// The invitation whose secret the joiner says that it has.
        invitation: InvitationId,
    },
}

impl FirstFlight {
    /// Reads a first flight that came from the peer `from`: its length, its numbers, its encoding and its peers.
    ///
    /// # Errors
    /// [`SessionError`] says what is wrong. The peer needs no answer to it.
    pub fn read(me: LocalDevice<'_>, from: PeerId, first: &[u8]) -> Result<Self, SessionError> {
        let parsed = First::parse(first)?;
        check_peers(&me, &from, &parsed)?;
        Ok(Self { hash: flight::first_hash(first), parsed, from })
    }

    /// What it asks for.
    #[must_use]
    pub fn asks(&self) -> Asks {
        match &self.parsed {
            First::Member(member) => Asks::Member { key: member.initiator_key },
            First::Join(join) => {
                let invitation = InvitationId(join.fields.invitation_key.id());
                Asks::Join { group: join.fields.group, invitation }
            }
        }
    }

    /// Answers it; see [`Responder::answer`].
    ///
    /// # Errors
    /// As [`Responder::answer`].
    pub fn answer(
        self,
        me: LocalDevice<'_>,
        directory: &dyn Directory,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Responder, Vec<u8>), SessionError> {
        let Self { parsed, hash, from } = self;
        match &parsed {
            First::Member(member) => {
                let remote = known(&me, member, directory)?;
                let responder_key = me.secret.public().id();
                Responder::make(me, hash, parsed.fresh(), (Purpose::Member, from, remote), responder_key, rng)
            }
            First::Join(join) => {
                let purpose = invited(join, directory)?;
                let remote = join.fields.initiator_key.clone();
                let responder_key = me.secret.public().clone();
                Responder::make(me, hash, parsed.fresh(), (purpose, from, remote), responder_key, rng)
            }
        }
    }
}

impl fmt::Debug for FirstFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FirstFlight({:?} of {})", self.asks(), self.from)
    }
}

/// Has answered a first flight and waits for the third. Until that has been verified the initiator has proven nothing
/// but its peer (and a joiner, that it has the invitation): nothing may be served to it nor changed for it.
pub struct Responder {
    schedule: Schedule,
    session: Hash,
    purpose: Purpose,
    peer: PeerId,
    remote: Box<HybridKey>,
}

impl Responder {
    /// Answers a first flight that came from the peer `from`. What costs little is checked first: lengths, numbers,
    /// peers, and what the directory knows; only then an invitation's signature; only then is anything made.
    ///
    /// The caller allows one attempt at a time and limits their rate per peer.
    ///
    /// # Errors
    /// [`SessionError`] says what is wrong. The peer needs no answer to it.
    pub fn answer(
        me: LocalDevice<'_>,
        from: PeerId,
        first: &[u8],
        directory: &dyn Directory,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Vec<u8>), SessionError> {
        FirstFlight::read(me, from, first)?.answer(me, directory, rng)
    }

    /// Makes the second flight, with the responder's key by hash or by value.
    fn make<K: Serialize>(
        me: LocalDevice<'_>,
        first: Hash,
        fresh: &[u8; kem::PUBLIC_BYTES],
        (purpose, peer, remote): (Purpose, PeerId, HybridKey),
        responder_key: K,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Vec<u8>), SessionError> {
        let (ciphertext, shared) = kem::encapsulate(fresh, rng).ok_or(SessionError::FreshKey)?;
        let fields = SecondFields { version: flight::VERSION, suite: flight::SUITE, ciphertext, responder_key };
        let signature = me.secret.sign(&flight::responder_transcript(&first, &codec::encode(&fields)), rng);
        let mut second = Second { fields, signature, confirmation: [0; flight::CONFIRMATION_BYTES] };
        let unconfirmed = codec::encode(&second);
        let unconfirmed = flight::unconfirmed_hash(&first, flight::without_confirmation(&unconfirmed));
        let schedule = Schedule::new(shared, unconfirmed);
        second.confirmation = schedule.confirmation();
        let second = codec::encode(&second);
        let session = flight::session_hash(&first, &second);
        Ok((Self { schedule, session, purpose, peer, remote: Box::new(remote) }, second))
    }

    /// What the initiator asks for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The peer at the other end.
    #[must_use]
    pub const fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// The device key that the initiator has yet to prove.
    #[must_use]
    pub const fn remote(&self) -> &HybridKey {
        &self.remote
    }

    /// The hash of flights 1 and 2, which names the session: a joiner's transcript must have it.
    #[must_use]
    pub const fn session_hash(&self) -> &Hash {
        &self.session
    }

    /// Verifies the third flight and takes the first data out of it.
    ///
    /// # Errors
    /// [`SessionError`] if it is from another peer, or anything about it is wrong. The attempt is over then.
    pub fn receive(self, from: PeerId, third: &[u8]) -> Result<(Session, Vec<u8>), SessionError> {
        if from != self.peer && !walytis_core::mutant!(ThirdFromAnybody) {
            return Err(SessionError::OtherSender { named: self.peer, connected: from });
        }
        flight::check_length(third.len(), FRAME_BYTES_MAX)?;
        let malformed = |source| SessionError::Codec { flight: 3, source };
        codec::expect_version(third, flight::VERSION).map_err(malformed)?;
        let sealed = third.get(1..).unwrap_or_default();
        let key = self.schedule.third_key(&self.session);
        let plaintext = aead::open(&key, 0, &[flight::VERSION], sealed).map(Zeroizing::new);
        let plaintext = plaintext.ok_or(SessionError::Sealed)?;
        let (signature, first_data) = split_signature(&plaintext).ok_or(malformed(CodecError::Malformed))?;
        self.remote
            .verify(&flight::initiator_transcript(&self.session, first_data), &signature)
            .or_else(|bad| if walytis_core::mutant!(SkipInitiatorSignature) { Ok(()) } else { Err(bad) })
            .map_err(|source| SessionError::Signature { flight: 3, source })?;
        let session = Session::new(End::Responder, &self.schedule, self.session, self.purpose, self.peer, self.remote);
        Ok((session, first_data.to_vec()))
    }
}

/// Both peers that a first flight names must be those of the connection.
fn check_peers(me: &LocalDevice<'_>, from: &PeerId, first: &First) -> Result<(), SessionError> {
    let (initiator, responder) = first.peers();
    if *from == me.peer {
        return Err(SessionError::Myself);
    }
    if initiator != from && !walytis_core::mutant!(AnswerAnySender) {
        return Err(SessionError::OtherSender { named: *initiator, connected: *from });
    }
    if *responder != me.peer && !walytis_core::mutant!(AnswerForOthers) {
        return Err(SessionError::OtherReceiver { named: *responder });
    }
    Ok(())
}

/// The key of a member's device that the view names for this peer.
fn known(me: &LocalDevice<'_>, first: &MemberFirst, directory: &dyn Directory) -> Result<HybridKey, SessionError> {
    let (named, expected) = (first.responder_key, me.secret.public().id());
    if named != expected {
        return Err(SessionError::OtherKey { named, expected });
    }
    let (key, peer) = (&first.initiator_key, &first.initiator);
    let newer =
        || (!first.operations.is_empty()).then(|| directory.newer_device(key, peer, &first.operations)).flatten();
    directory
        .device(key, peer)
        .or_else(newer)
        .filter(|found| found.id() == *key)
        .ok_or(SessionError::UnknownDevice { key: *key, peer: *peer })
}

/// The invitation must be open, and the joiner must have its secret, not only its public key.
fn invited(first: &JoinFirst, directory: &dyn Directory) -> Result<Purpose, SessionError> {
    let JoinFirst { fields, signature } = first;
    let invitation = InvitationId(fields.invitation_key.id());
    if !directory.invites(&fields.group, &invitation) && !walytis_core::mutant!(AnswerUninvited) {
        return Err(SessionError::NotInvited { group: fields.group, invitation });
    }
    fields
        .invitation_key
        .verify(&flight::invitation_transcript(&codec::encode(fields)), signature)
        .or_else(|bad| if walytis_core::mutant!(SkipInvitationSignature) { Ok(()) } else { Err(bad) })
        .map_err(|source| SessionError::Signature { flight: 1, source })?;
    Ok(Purpose::Join { group: fields.group, invitation })
}

fn split_signature(plaintext: &[u8]) -> Option<(HybridSignature, &[u8])> {
    let (ed25519, rest) = plaintext.split_first_chunk::<ED25519_SIGNATURE_BYTES>()?;
    let (ml_dsa, first_data) = rest.split_first_chunk::<ML_DSA_SIGNATURE_BYTES>()?;
    Some((HybridSignature { ed25519: *ed25519, ml_dsa: *ml_dsa }, first_data))
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Responder({} with {})", self.session, self.peer)
    }
}
