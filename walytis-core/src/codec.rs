//! Strict postcard: what is decoded re-encodes to exactly the bytes that came in.
//!
//! Plain postcard accepts trailing bytes and overlong integers, so that one value would have many encodings, and with
//! them many ids. Everything that is hashed, signed or compared goes through here.

mod list;

use postcard::ser_flavors::Flavor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use list::{AtMost, EncodedList};

/// Why bytes are not the one encoding of a value.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end early, or hold what the type cannot be.
    #[error("the bytes are not a valid encoding")]
    Malformed,
    /// Bytes are left over behind the value.
    #[error("{bytes} bytes are left over behind the value")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The value has a shorter encoding than the one given.
    #[error("the bytes are not the canonical encoding of their value")]
    NotCanonical,
    /// The format version is not one that this program knows.
    #[error("format version {found} is not known (this program knows up to {known}): update the program")]
    Version {
        /// The version found.
        found: u8,
        /// The newest version known.
        known: u8,
    },
    /// The value is of a kind that is newer than this program.
    #[error("kind {found} is not known (this program knows up to {known}): update the program")]
    Kind {
        /// The kind's number.
        found: u32,
        /// The highest number known.
        known: u32,
    },
}

impl CodecError {
    /// Whether the bytes are of a version or kind that is above what this program knows: whoever sent them may be honest,
    /// and newer. What is below was never one.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        match self {
            Self::Version { found, known } => *found > *known,
            Self::Kind { .. } => true,
            _ => false,
        }
    }

    /// The version or kind that is not known; 0 if that is not what is wrong.
    #[must_use]
    pub fn number(&self) -> u32 {
        match self {
            Self::Version { found, .. } => u32::from(*found),
            Self::Kind { found, .. } => *found,
            _ => 0,
        }
    }
}

/// Checks the number of an enum's case, with which its encoding begins, before the rest is looked at.
///
/// # Errors
/// [`CodecError::Kind`] if it is above `known`. Bytes that are no number are left to [`decode`].
pub fn expect_kind(bytes: &[u8], known: u32) -> Result<(), CodecError> {
    match postcard::take_from_bytes::<u32>(bytes) {
        Ok((found, _)) if found > known => Err(CodecError::Kind { found, known }),
        _ => Ok(()),
    }
}

/// Encodes a value. Types that are encoded here have no case in which postcard fails.
#[must_use]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let encoded = postcard::serialize_with_flavor(value, Roomy { room: [0; ROOM_BYTES], used: 0, more: Vec::new() });
    debug_assert!(encoded.is_ok(), "our own types always encode");
    encoded.unwrap_or_default()
}

/// What most headers and rows fit into, in bytes.
const ROOM_BYTES: usize = 384;

/// Writes where there is room already, and into a vector what does not fit there: a vector that grows from nothing is moved
/// half a dozen times, and one that began too large once more.
struct Roomy {
    room: [u8; ROOM_BYTES],
    used: usize,
    /// All of it, once there is more than fits.
    more: Vec<u8>,
}

impl Flavor for Roomy {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.room.get_mut(self.used) {
            Some(place) if self.more.is_empty() => {
                *place = byte;
                self.used = self.used.saturating_add(1);
                Ok(())
            }
            _ => self.try_extend(&[byte]),
        }
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let end = self.used.saturating_add(bytes.len());
        match self.room.get_mut(self.used..end).filter(|_| self.more.is_empty()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.used = end;
            }
            None => {
                if self.more.is_empty() {
                    self.more.extend_from_slice(self.room.get(..self.used).unwrap_or_default());
                }
                self.more.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<Vec<u8>> {
        if self.more.is_empty() {
            return Ok(self.room.get(..self.used).unwrap_or_default().to_vec());
        }
        self.more.shrink_to_fit();
        Ok(self.more)
    }
}

/// Writes behind what a vector has.
struct Appended<'a>(&'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Writes nothing, and fails where the bytes are not those that are expected.
struct Compared<'a>(&'a [u8]);

impl Flavor for Compared<'_> {
    /// Whether nothing else was expected.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        let (first, rest) = self.0.split_first().ok_or(postcard::Error::SerializeBufferFull)?;
        self.0 = rest;
        if *first == byte { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// How many bytes a value encodes to. Nothing is allocated to find out.
#[must_use]
pub fn encoded_bytes<T: Serialize + ?Sized>(value: &T) -> usize {
    let counted = postcard::serialize_with_flavor(value, Counted(0));
    debug_assert!(counted.is_ok(), "our own types always encode");
    counted.unwrap_or_default()
}

/// Writes nothing, and counts.
struct Counted(usize);

impl Flavor for Counted {
    type Output = usize;

    fn try_push(&mut self, _: u8) -> postcard::Result<()> {
        self.0 = self.0.saturating_add(1);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.0)
    }
}

/// Decodes a value that takes all of the bytes and re-encodes to them.
///
/// # Errors
/// [`CodecError`] if the bytes are anything but the value's one encoding.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = Reader::new(bytes);
    let value = reader.next_loose()?;
    reader.finish()?;
    if !is_encoding(&value, bytes) {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// Whether these bytes are the one encoding of a value.
fn is_encoding<T: Serialize>(value: &T, bytes: &[u8]) -> bool {
    postcard::serialize_with_flavor(value, Compared(bytes)) == Ok(true) || crate::planted!(AcceptOverlong)
}

/// Reads values that stand one behind the other, each in its one encoding. What a value holds may be borrowed from the
/// bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of the first of these bytes on.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next value.
    ///
    /// # Errors
    /// [`CodecError`] if there is none, or if it is not in its one encoding.
    pub fn read<T: Serialize + Deserialize<'a>>(&mut self) -> Result<T, CodecError> {
        let before = self.0;
        let value = self.next_loose()?;
        let bytes = before.get(..before.len().saturating_sub(self.0.len())).unwrap_or_default();
        if is_encoding(&value, bytes) { Ok(value) } else { Err(CodecError::NotCanonical) }
    }

    /// Nothing more is to come.
    ///
    /// # Errors
    /// [`CodecError::Trailing`] if bytes are left.
    pub const fn finish(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::Trailing { bytes: self.0.len() }) }
    }

    fn next_loose<T: Deserialize<'a>>(&mut self) -> Result<T, CodecError> {
        let mut deserializer = postcard::Deserializer::from_flavor(Paid(self.0));
        let value = T::deserialize(&mut deserializer).map_err(|_| CodecError::Malformed)?;
        self.0 = deserializer.finalize().map_err(|_| CodecError::Malformed)?;
        Ok(value)
    }
}

/// How many bytes an element of a list takes in memory that room is made for before it has come, for each byte that is
/// still to be read.
const AHEAD: usize = 32;

/// Bytes of which no list is believed to have more elements than there is input to pay for: without that, five bytes that
/// announce a list had a mebibyte allocated.
struct Paid<'a>(&'a [u8]);

impl<'a> postcard::de_flavors::Flavor<'a> for Paid<'a> {
    type Remainder = &'a [u8];
    type Source = &'a [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        let (first, rest) = self.0.split_first().ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Where a list announces more elements than this, none are made room for before they have come.
    fn size_hint(&self) -> Option<usize> {
        self.0.len().checked_div(AHEAD)
    }

    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0 = rest;
        Ok(taken)
    }

    fn finalize(self) -> postcard::Result<&'a [u8]> {
        Ok(self.0)
    }
}

/// Checks the version byte with which every one of our encodings begins.
///
/// # Errors
/// [`CodecError::Malformed`] if there is none, [`CodecError::Version`] if it is not `known`.
pub fn expect_version(bytes: &[u8], known: u8) -> Result<(), CodecError> {
    match bytes.first() {
        None => Err(CodecError::Malformed),
        Some(found) if *found == known || crate::mutant!(AcceptAnyVersion) => Ok(()),
        Some(found) => Err(CodecError::Version { found: *found, known }),
    }
}

/// Fixed-size byte arrays longer than serde's 32, without a length in front.
pub mod array {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::ser::SerializeTuple;
    use serde::{Deserializer, Serializer};

    /// Writes the bytes one after the other.
    ///
    /// # Errors
    /// As the serializer.
    pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N)?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    /// Reads exactly `N` bytes.
    ///
    /// # Errors
    /// As the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        struct Bytes<const N: usize>;
        impl<'de, const N: usize> Visitor<'de> for Bytes<N> {
            type Value = [u8; N];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<[u8; N], A::Error> {
                let mut bytes = [0; N];
                for (position, byte) in bytes.iter_mut().enumerate() {
                    *byte = sequence.next_element()?.ok_or_else(|| A::Error::invalid_length(position, &self))?;
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_tuple(N, Bytes::<N>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_encoding_is_accepted() {
        assert_eq!(decode::<u32>(&[0x05]), Ok(5));
        assert_eq!(decode::<u32>(&[0x85, 0x00]), Err(CodecError::NotCanonical));
        assert_eq!(decode::<u32>(&[0x05, 0x00]), Err(CodecError::Trailing { bytes: 1 }));
        assert_eq!(decode::<u32>(&[]), Err(CodecError::Malformed));
        assert_eq!(expect_version(&[2], 1), Err(CodecError::Version { found: 2, known: 1 }));
    }
}
