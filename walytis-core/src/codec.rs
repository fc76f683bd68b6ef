//! Strict postcard: what is decoded re-encodes to exactly the bytes that came in.
//!
//! Plain postcard accepts trailing bytes and overlong integers, so that one value would have many encodings, and with
//! them many ids. Everything that is hashed, signed or compared goes through here.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// Decodes a value that takes all of the bytes and re-encodes to them.
///
/// # Errors
/// [`CodecError`] if the bytes are anything but the value's one encoding.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| CodecError::Malformed)?;
    if !rest.is_empty() {
        return Err(CodecError::Trailing { bytes: rest.len() });
    }
    let is_canonical = postcard::serialize_with_flavor(&value, Compared(bytes)) == Ok(true);
    if !is_canonical && !crate::planted!(AcceptOverlong) {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
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
