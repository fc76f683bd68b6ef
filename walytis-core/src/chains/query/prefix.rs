//! Beginnings of ids.

use std::fmt;
use std::str::FromStr;

use crate::BlockId;

/// Why a text is not the beginning of an id.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParsePrefixError {
    /// An id has 64 digits.
    #[error("an id has 64 hexadecimal digits, and these are {digits}")]
    Length {
        /// How many there are.
        digits: usize,
    },
    /// A character is no hexadecimal digit.
    #[error("a character is no hexadecimal digit")]
    Character,
}

/// The beginning of a block's id: up to 64 hexadecimal digits. The default has none, and every id begins so.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct IdPrefix {
    /// The digits, then zeros.
    bytes: [u8; 32],
    digits: usize,
}

impl IdPrefix {
    /// Whether an id begins so.
    #[must_use]
    pub fn begins(&self, id: BlockId) -> bool {
        let whole = self.digits / 2;
        let half = |bytes: &[u8; 32]| bytes.get(whole).map(|byte| byte >> 4);
        self.bytes.get(..whole) == id.0.get(..whole)
            && (self.digits.is_multiple_of(2) || half(&self.bytes) == half(&id.0))
    }

    /// Whether every id begins so.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.digits == 0
    }

    /// The first `N` bytes, if it has as many.
    pub(super) fn first<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes.get(..self.digits / 2)?.first_chunk().copied()
    }
}

impl From<BlockId> for IdPrefix {
    fn from(id: BlockId) -> Self {
        Self { bytes: id.0, digits: 64 }
    }
}

impl FromStr for IdPrefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, ParsePrefixError> {
        let digits = text.chars().count();
        if digits > 64 {
            return Err(ParsePrefixError::Length { digits });
        }
        let mut bytes = [0; 32];
        for (place, digit) in text.chars().enumerate() {
            let value = digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
            let value = value.ok_or(ParsePrefixError::Character)?;
            if let Some(byte) = bytes.get_mut(place / 2) {
                *byte |= if place.is_multiple_of(2) { value << 4 } else { value };
            }
        }
        Ok(Self { bytes, digits })
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(data_encoding::HEXLOWER.encode(&self.bytes).get(..self.digits).unwrap_or_default())
    }
}

impl fmt::Debug for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdPrefix({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_read_written_and_compared_by_the_digit() {
        let mut id = BlockId([0; 32]);
        (id.0[0], id.0[1]) = (0xAB, 0xC0);
        for (text, begins) in [("", true), ("a", true), ("aB", true), ("abc", true), ("abc0", true), ("abd", false)] {
            let prefix: IdPrefix = text.parse().unwrap();
            assert_eq!((prefix.begins(id), prefix.to_string()), (begins, text.to_lowercase()), "{text}");
        }
        assert!(IdPrefix::from(id).begins(id) && !IdPrefix::from(id).begins(BlockId([0; 32])));
        assert_eq!("abc".parse::<IdPrefix>().unwrap().first::<1>(), Some([0xAB]));
        assert_eq!("abc".parse::<IdPrefix>().unwrap().first::<2>(), None);
        assert_eq!("xy".parse::<IdPrefix>(), Err(ParsePrefixError::Character));
        assert_eq!("0".repeat(65).parse::<IdPrefix>(), Err(ParsePrefixError::Length { digits: 65 }));
    }
}
