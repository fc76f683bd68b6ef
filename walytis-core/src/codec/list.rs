//! Lists that count while they are decoded.
//!
//! **Invariant:** what a list has allocated is paid for by bytes that were read, but for a kibibyte: a list that announces
//! more elements than its bound is refused before the first of them, and room is made as elements come.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Appended, Reader};

/// The most bytes that are made room for before any element has come.
const FIRST_BYTES: usize = 1024;

/// The most bytes that a whole list may take, whatever its elements' encodings do, to be held as it is.
const SMALL_BYTES: usize = 2560;

/// Decodes a vector of at most `MAX` elements, each of which takes at least `BYTES_MIN` bytes of input: for a field, as
/// `#[serde(with = "AtMost::<MAX, BYTES_MIN>")]`. The encoding is that of any list.
///
/// That an element takes no more memory than its least encoding, or the whole list little, is checked where this is
/// compiled. What takes more is an [`EncodedList`].
#[derive(Debug)]
pub struct AtMost<const MAX: usize, const BYTES_MIN: usize>;

impl<const MAX: usize, const BYTES_MIN: usize> AtMost<MAX, BYTES_MIN> {
    /// Writes the elements as any list has them.
    ///
    /// # Errors
    /// As the serializer.
    pub fn serialize<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        list.serialize(serializer)
    }

    /// Reads the elements, as far as they are paid for.
    ///
    /// # Errors
    /// As the deserializer, and if there are more than `MAX`.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        const {
            assert!(
                size_of::<T>() <= BYTES_MIN || size_of::<T>().saturating_mul(MAX) <= SMALL_BYTES,
                "an element takes more memory than input: let this be an `EncodedList`"
            );
        }
        deserializer.deserialize_seq(Elements::<T, MAX>(PhantomData))
    }
}

/// Whether a list would have more elements than it may.
fn is_beyond(count: usize, max: usize) -> bool {
    count > max && !crate::mutant!(AcceptLongLists)
}

struct Elements<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let announced = sequence.size_hint();
        if let Some(count) = announced.filter(|count| is_beyond(*count, MAX)) {
            return Err(A::Error::invalid_length(count, &self));
        }
        let most = announced.unwrap_or(MAX);
        let first = FIRST_BYTES.checked_div(size_of::<T>()).unwrap_or(MAX).max(1);
        let mut list = Vec::new();
        while let Some(element) = sequence.next_element()? {
            if is_beyond(list.len().saturating_add(1), MAX) {
                return Err(A::Error::invalid_length(list.len().saturating_add(1), &self));
            }
            if list.len() == list.capacity() {
                // Announced or not: twice what has come already, so that what is moved stays in proportion.
                let room = match (list.len(), announced) {
                    (0, Some(_)) => first,
                    (0, None) => 1,
                    (length, _) => length,
                };
                list.reserve_exact(room.min(most.saturating_sub(list.len())).max(1));
            }
            list.push(element);
        }
        Ok(list)
    }
}

/// A list that is held as its encoding, because its elements take more memory than that: each is decoded when it is looked
/// at. It encodes as any list.
pub struct EncodedList<T, const MAX: usize> {
    count: usize,
    bytes: Vec<u8>,
    elements: PhantomData<fn() -> T>,
}

impl<T, const MAX: usize> EncodedList<T, MAX> {
    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<T: Serialize + DeserializeOwned, const MAX: usize> EncodedList<T, MAX> {
    /// The elements, each decoded when its turn comes.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let mut reader = Reader::new(&self.bytes);
        // What is held was encoded or decoded here, so each of them can be read.
        (0..self.count).map_while(move |_| reader.next_loose().ok())
    }

    fn push(&mut self, element: &T) -> postcard::Result<()> {
        postcard::serialize_with_flavor(element, Appended(&mut self.bytes))?;
        self.count = self.count.saturating_add(1);
        Ok(())
    }
}

impl<T, const MAX: usize> Default for EncodedList<T, MAX> {
    fn default() -> Self {
        Self { count: 0, bytes: Vec::new(), elements: PhantomData }
    }
}

impl<T, const MAX: usize> Clone for EncodedList<T, MAX> {
    fn clone(&self) -> Self {
        Self { count: self.count, bytes: self.bytes.clone(), elements: PhantomData }
    }
}

impl<T, const MAX: usize> PartialEq for EncodedList<T, MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.bytes == other.bytes
    }
}

impl<T, const MAX: usize> Eq for EncodedList<T, MAX> {}

impl<T: Serialize + DeserializeOwned + fmt::Debug, const MAX: usize> fmt::Debug for EncodedList<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Serialize + DeserializeOwned, const MAX: usize> FromIterator<T> for EncodedList<T, MAX> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut list = Self::default();
        for element in elements {
            let pushed = list.push(&element);
            debug_assert!(pushed.is_ok(), "our own types always encode");
        }
        list
    }
}

impl<T: Serialize + DeserializeOwned, const MAX: usize> From<Vec<T>> for EncodedList<T, MAX> {
    fn from(elements: Vec<T>) -> Self {
        elements.into_iter().collect()
    }
}

impl<T: Serialize + DeserializeOwned, const MAX: usize> Serialize for EncodedList<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.count))?;
        let mut reader = Reader::new(&self.bytes);
        for _ in 0..self.count {
            sequence.serialize_element(&reader.next_loose::<T>().map_err(S::Error::custom)?)?;
        }
        sequence.end()
    }
}

impl<'de, T: Serialize + DeserializeOwned, const MAX: usize> Deserialize<'de> for EncodedList<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Encoded::<T, MAX>(PhantomData))
    }
}

struct Encoded<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Serialize + DeserializeOwned, const MAX: usize> Visitor<'de> for Encoded<T, MAX> {
    type Value = EncodedList<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        if let Some(count) = sequence.size_hint().filter(|count| *count > MAX) {
            return Err(A::Error::invalid_length(count, &self));
        }
        let mut list = EncodedList::default();
        while let Some(element) = sequence.next_element::<T>()? {
            if list.count >= MAX {
                return Err(A::Error::invalid_length(list.count.saturating_add(1), &self));
            }
            list.push(&element).map_err(A::Error::custom)?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{CodecError, decode, encode};

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Ids(#[serde(with = "AtMost::<3, 32>")] Vec<[u8; 32]>);

    #[test]
    fn a_list_has_its_one_encoding_and_its_bound() {
        for count in 0..=3 {
            let ids = Ids(vec![[7; 32]; count]);
            assert_eq!(encode(&ids), encode(&ids.0), "{count}: as any list");
            assert_eq!(decode(&encode(&ids)), Ok(ids));
        }
        assert_eq!(decode::<Ids>(&encode(&vec![[7_u8; 32]; 4])), Err(CodecError::Malformed));
        assert_eq!(decode::<Ids>(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), Err(CodecError::Malformed));
    }

    #[test]
    fn room_is_made_as_elements_come() {
        // Announced are as many as there may be, and only two come.
        let mut bytes = encode(&vec![[7_u8; 32]; 2]);
        bytes[0] = 200;
        bytes.insert(1, 1);
        struct Many(Vec<[u8; 32]>);
        impl<'de> Deserialize<'de> for Many {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                AtMost::<100_000, 32>::deserialize(deserializer).map(Self)
            }
        }
        let mut reader = Reader::new(&bytes);
        assert!(reader.next_loose::<Many>().is_err());
        let whole = encode(&vec![[7_u8; 32]; 500]);
        let Many(list) = Reader::new(&whole).next_loose().unwrap();
        assert_eq!((list.len(), list.capacity()), (500, 500), "no room is left over");
    }

    #[test]
    fn an_encoded_list_is_the_same_list() {
        let pairs: Vec<(u64, Option<u8>)> = vec![(0, None), (300, Some(1)), (u64::MAX, None)];
        let list: EncodedList<(u64, Option<u8>), 3> = pairs.clone().into();
        assert_eq!(encode(&list), encode(&pairs));
        assert_eq!(decode(&encode(&pairs)), Ok(list.clone()));
        assert_eq!((list.len(), list.iter().collect::<Vec<_>>()), (3, pairs.clone()));
        let four = [pairs.as_slice(), &[(1, None)]].concat();
        assert_eq!(decode::<EncodedList<(u64, Option<u8>), 3>>(&encode(&four)), Err(CodecError::Malformed));
        // An overlong number in an element shows, though what is held is not it.
        assert_eq!(decode::<EncodedList<(u64, Option<u8>), 3>>(&[1, 0x80, 0, 0]), Err(CodecError::NotCanonical));
    }
}
