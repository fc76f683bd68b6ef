//! The frames of an open session.

use std::fmt;

use walytis_core::{FRAME_BYTES_MAX, Hash, HybridKey, PeerId};

use super::flight::{FIRST_DATA_BYTES_MAX, check_length};
use super::schedule::{Direction, STREAM, Schedule};
use super::{Purpose, SessionError};
use crate::aead;

/// An open session with a device whose key and transport peer are proven.
///
/// The transport below gives frames in order and loses none. So each frame's number is its nonce and is not sent, and a
/// frame that was repeated, left out, moved or changed does not open. The session is over then.
pub struct Session {
    hash: Hash,
    purpose: Purpose,
    peer: PeerId,
    remote: Box<HybridKey>,
    sending: Sealer,
    receiving: Sealer,
}

/// One direction.
struct Sealer {
    key: aead::Key,
    associated: [u8; 5],
    /// The number of the next frame; `None` once the direction is over.
    next: Option<u64>,
}

/// Whose end of a session it is.
#[derive(Clone, Copy)]
pub(super) enum End {
    Initiator,
    Responder,
}

impl Session {
    /// Bytes that sealing adds to a frame.
    pub const OVERHEAD_BYTES: usize = aead::TAG_BYTES;
    /// The most bytes that can be sealed into one frame.
    pub const PLAINTEXT_BYTES_MAX: usize = FRAME_BYTES_MAX - Self::OVERHEAD_BYTES;

    /// The most bytes of first data, which travel in the third flight.
    pub const FIRST_DATA_BYTES_MAX: usize = FIRST_DATA_BYTES_MAX;

    pub(super) fn new(
        end: End,
        schedule: &Schedule,
        hash: Hash,
        purpose: Purpose,
        peer: PeerId,
        remote: Box<HybridKey>,
    ) -> Self {
        let sealer = |direction| {
            Sealer::new(
                schedule,
                &hash,
                if walytis_core::mutant!(OneKeyBothWays) { Direction::FromInitiator } else { direction },
            )
        };
        let (ours, theirs) = (sealer(Direction::FromInitiator), sealer(Direction::FromResponder));
        let (sending, receiving) = match end {
            End::Initiator => (ours, theirs),
            End::Responder => (theirs, ours),
        };
        Self { hash, purpose, peer, remote, sending, receiving }
    }

    /// The hash of flights 1 and 2, which names the session.
    #[must_use]
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }

    /// What it was opened for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The transport peer at the other end.
    #[must_use]
    pub const fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// The key of the device at the other end.
    #[must_use]
    pub const fn remote(&self) -> &HybridKey {
        &self.remote
    }

    /// Seals the next frame to the other end.
    ///
    /// # Errors
    /// [`SessionError::TooLong`] beyond [`Session::PLAINTEXT_BYTES_MAX`]; [`SessionError::Over`].
    pub fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, SessionError> {
        check_length(plaintext.len(), Self::PLAINTEXT_BYTES_MAX)?;
        let number = self.sending.next.ok_or(SessionError::Over)?;
        self.sending.next = number.checked_add(1);
        Ok(aead::seal(&self.sending.key, number, &self.sending.associated, plaintext))
    }

    /// Opens the next frame from the other end.
    ///
    /// # Errors
    /// [`SessionError::TooLong`] or [`SessionError::Sealed`] if it is not that frame, and [`SessionError::Over`] for
    /// everything after that.
    pub fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, SessionError> {
        let number = self.receiving.next.take().ok_or(SessionError::Over)?;
        let opened = check_length(frame.len(), FRAME_BYTES_MAX).and_then(|()| {
            aead::open(&self.receiving.key, number, &self.receiving.associated, frame).ok_or(SessionError::Sealed)
        });
        match opened {
            Ok(_) => self.receiving.next = number.checked_add(1),
            Err(_) if walytis_core::mutant!(GoOnAfterFailure) => self.receiving.next = Some(number),
            // What cannot be trusted to receive is not sent to any more.
            Err(_) => self.sending.next = None,
        }
        opened
    }
}

impl Sealer {
    fn new(schedule: &Schedule, session: &Hash, direction: Direction) -> Self {
        let [a, b, c, d] = STREAM.to_le_bytes();
        Self {
            key: schedule.frame_key(session, direction, STREAM),
            associated: [a, b, c, d, direction.number()],
            next: Some(0),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} with {})", self.hash, self.peer)
    }
}
