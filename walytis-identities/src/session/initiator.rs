//! The end that opens a session.

use std::fmt;

use rand_core::CryptoRng;
use serde::Serialize;
use walytis_core::{ChainId, Hash, HybridKey, PeerId, codec};
use zeroize::Zeroizing;

use super::flight::{self, JoinFields, JoinFirst, MemberFirst, Second};
use super::frames::End;
use super::schedule::Schedule;
use super::{LocalDevice, OPERATIONS_BYTES_MAX, Purpose, Session, SessionError};
use crate::invitation::{InvitationId, InvitationSecret};
use crate::{aead, kem};

/// Has sent the first flight and waits for the second. Dropping it ends the attempt.
pub struct Initiator {
    fresh: Zeroizing<[u8; kem::SECRET_BYTES]>,
    first: Hash,
    purpose: Purpose,
    me: Hash,
    peer: PeerId,
    /// The device key that must answer; a joiner does not know it.
    remote: Option<Box<HybridKey>>,
}

/// Has verified the second flight: the other end has proven its key. What is left is the third flight, with data.
pub struct Ready {
    pub(super) schedule: Schedule,
    session: Hash,
    purpose: Purpose,
    pub(super) me: Hash,
    peer: PeerId,
    remote: Box<HybridKey>,
}

impl Initiator {
    /// Opens a session between members' devices. `operations` lead from what the responder may know to this device's
    /// current key, if that is new; otherwise they are empty.
    ///
    /// # Errors
    /// [`SessionError::Myself`]; [`SessionError::TooLong`] for operations beyond [`OPERATIONS_BYTES_MAX`].
    pub fn member(
        me: LocalDevice<'_>,
        their_peer: PeerId,
        their_key: HybridKey,
        operations: Vec<u8>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Vec<u8>), SessionError> {
        refuse_myself(&me, &their_peer)?;
        flight::check_length(operations.len(), OPERATIONS_BYTES_MAX)?;
        let fresh = kem::generate(rng);
        let first = MemberFirst {
            version: flight::VERSION,
            suite: flight::SUITE,
            purpose: flight::MEMBER,
            initiator: me.peer,
            responder: their_peer,
            initiator_key: me.secret.public().id(),
            responder_key: their_key.id(),
            fresh: kem::public(&fresh),
            operations,
        };
        Ok(Self::start(&me, fresh, Purpose::Member, their_peer, Some(Box::new(their_key)), codec::encode(&first)))
    }

    /// Opens a session to be admitted to a group.
    ///
    /// # Errors
    /// [`SessionError::Myself`].
    pub fn join(
        me: LocalDevice<'_>,
        their_peer: PeerId,
        group: ChainId,
        invitation: &InvitationSecret,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Vec<u8>), SessionError> {
        refuse_myself(&me, &their_peer)?;
        let fresh = kem::generate(rng);
        let invitation = invitation.key();
        let fields = JoinFields {
            version: flight::VERSION,
            suite: flight::SUITE,
            purpose: flight::JOIN,
            initiator: me.peer,
            responder: their_peer,
            group,
            initiator_key: me.secret.public().clone(),
            invitation_key: invitation.public().clone(),
            fresh: kem::public(&fresh),
        };
        let signature = invitation.sign(&flight::invitation_transcript(&codec::encode(&fields)), rng);
        let first = JoinFirst { fields, signature };
        let purpose = Purpose::Join { group, invitation: InvitationId(invitation.public().id()) };
        Ok(Self::start(&me, fresh, purpose, their_peer, None, codec::encode(&first)))
    }

    fn start(
        me: &LocalDevice<'_>,
        fresh: Zeroizing<[u8; kem::SECRET_BYTES]>,
        purpose: Purpose,
        peer: PeerId,
        remote: Option<Box<HybridKey>>,
        flight: Vec<u8>,
    ) -> (Self, Vec<u8>) {
        let me = me.secret.public().id();
        (Self { fresh, first: flight::first_hash(&flight), purpose, me, peer, remote }, flight)
    }

    /// The peer with which the session is to be.
    #[must_use]
    pub const fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// Verifies the second flight. `from` is the peer at the other end of the connection that it came over. After an error
    /// the answer can still come: what did not hold may have answered an earlier first flight.
    ///
    /// # Errors
    /// [`SessionError`] if it is from another peer, or anything about it is wrong.
    pub fn receive(&self, from: PeerId, second: &[u8]) -> Result<Ready, SessionError> {
        if from != self.peer {
            return Err(SessionError::OtherSender { named: self.peer, connected: from });
        }
        match self.remote.clone() {
            Some(remote) => {
                let flight = Second::<Hash>::parse(second)?;
                let (named, expected) = (flight.fields.responder_key, remote.id());
                if named != expected && !walytis_core::mutant!(TakeAnyResponder) {
                    return Err(SessionError::OtherKey { named, expected });
                }
                self.verify(remote, &flight, second)
            }
            None => {
                let flight = Second::<HybridKey>::parse(second)?;
                self.verify(Box::new(flight.fields.responder_key.clone()), &flight, second)
            }
        }
    }

    fn verify<K: Serialize>(
        &self,
        remote: Box<HybridKey>,
        flight: &Second<K>,
        second: &[u8],
    ) -> Result<Ready, SessionError> {
        let signed = flight::responder_transcript(&self.first, &codec::encode(&flight.fields));
        if !walytis_core::mutant!(SkipResponderSignature) {
            remote
                .verify(&signed, &flight.signature)
                .map_err(|source| SessionError::Signature { flight: 2, source })?;
        }
        let shared = kem::decapsulate(&self.fresh, &flight.fields.ciphertext).ok_or(SessionError::Confirmation)?;
        let unconfirmed = flight::unconfirmed_hash(&self.first, flight::without_confirmation(second));
        let schedule = Schedule::new(shared, unconfirmed);
        if !schedule.confirms(&flight.confirmation) && !walytis_core::mutant!(SkipConfirmation) {
            return Err(SessionError::Confirmation);
        }
        let session = flight::session_hash(&self.first, second);
        Ok(Ready { schedule, session, purpose: self.purpose, me: self.me, peer: self.peer, remote })
    }
}

impl Ready {
    /// What the session is opened for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The hash of flights 1 and 2, which names the session: a joiner's transcript has it.
    #[must_use]
    pub const fn session_hash(&self) -> &Hash {
        &self.session
    }

    /// The key that the other end has proven. A joiner has yet to find out whether it is a manager's.
    #[must_use]
    pub const fn remote(&self) -> &HybridKey {
        &self.remote
    }

    /// Makes the third flight, with the first data, by the same device as the first.
    ///
    /// # Errors
    /// [`SessionError::OtherKey`] if it is not the same; [`SessionError::TooLong`] if the data do not fit.
    pub fn finish(
        self,
        me: LocalDevice<'_>,
        first_data: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<u8>, Session), SessionError> {
        let named = me.secret.public().id();
        if named != self.me {
            return Err(SessionError::OtherKey { named, expected: self.me });
        }
        flight::check_length(first_data.len(), flight::FIRST_DATA_BYTES_MAX)?;
        let signature = me.secret.sign(&flight::initiator_transcript(&self.session, first_data), rng);
        let mut plaintext = Zeroizing::new(signature.to_bytes());
        plaintext.extend_from_slice(first_data);
        let mut third = vec![flight::VERSION];
        let key = self.schedule.third_key(&self.session);
        third.extend(aead::seal(&key, 0, &[flight::VERSION], &plaintext));
        let session = Session::new(End::Initiator, &self.schedule, self.session, self.purpose, self.peer, self.remote);
        Ok((third, session))
    }
}

fn refuse_myself(me: &LocalDevice<'_>, them: &PeerId) -> Result<(), SessionError> {
    if me.peer == *them { Err(SessionError::Myself) } else { Ok(()) }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Initiator(to {})", self.peer)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready({} with {})", self.session, self.peer)
    }
}
