//! The text of an invitation's code: what a person copies, and what is looked at before anything in it is believed.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Bytes of the checksum: damage that is not seen has odds of 2^-64.
const CHECKSUM_BYTES: usize = 8;

/// A kind of codes: a prefix, then in base32 a payload that begins with its version, and a checksum.
///
/// The text is one line of lower-case letters and digits. In upper case, for which QR codes have a denser form, it means
/// the same. What passes through memory is wiped: a code has a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeText {
    /// What every code of the kind begins with, in lower case.
    pub prefix: &'static str,
    /// The context of the checksum's hash: of the kind alone.
    pub checksum_context: &'static str,
    /// The version that is written, and the only one that is read.
    pub version: u8,
}

/// Why a text is no code of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeTextError {
    /// The text does not begin as one does.
    Prefix,
    /// The text is longer than any.
    TooLong {
        /// How many bytes.
        found: usize,
    },
    /// A character was lost, added or changed.
    Damaged,
    /// It is whole, and of another version.
    Version {
        /// Its version.
        found: u8,
    },
    /// It is whole, and has nothing in it.
    Empty,
}

impl CodeText {
    /// The most bytes of a text: what a person can still copy.
    pub const BYTES_MAX: usize = 8 * 1024;

    /// The text of a payload, which begins with the version.
    #[must_use]
    pub fn write(&self, payload: &[u8]) -> String {
        let whole = Zeroizing::new([payload, &self.checksum(payload)].concat());
        let mut text = BASE32_NOPAD.encode(&whole);
        text.make_ascii_lowercase();
        text.insert_str(0, self.prefix);
        text
    }

    /// The payload of a text, its version in front. Blanks around it do not count.
    ///
    /// # Errors
    /// [`CodeTextError`].
    pub fn read(&self, text: &str) -> Result<Zeroizing<Vec<u8>>, CodeTextError> {
        let text = text.trim();
        if text.len() > Self::BYTES_MAX {
            return Err(CodeTextError::TooLong { found: text.len() });
        }
        let (prefix, body) = text.split_at_checked(self.prefix.len()).ok_or(CodeTextError::Prefix)?;
        if !prefix.eq_ignore_ascii_case(self.prefix) {
            return Err(CodeTextError::Prefix);
        }
        let has = |case: fn(&u8) -> bool| text.as_bytes().iter().any(case);
        if has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) {
            return Err(CodeTextError::Damaged);
        }
        let body = Zeroizing::new(body.to_ascii_uppercase());
        let whole = BASE32_NOPAD.decode(body.as_bytes()).map(Zeroizing::new).map_err(|_| CodeTextError::Damaged)?;
        let (payload, found) = whole.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CodeTextError::Damaged)?;
        if *found != self.checksum(payload) && !crate::mutant!(SkipChecksum) {
            return Err(CodeTextError::Damaged);
        }
        match payload.first() {
            Some(version) if *version == self.version => Ok(Zeroizing::new(payload.to_vec())),
            Some(&found) => Err(CodeTextError::Version { found }),
            None => Err(CodeTextError::Empty),
        }
    }

    fn checksum(&self, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let hash = blake3::derive_key(self.checksum_context, payload);
        let mut checksum = [0; CHECKSUM_BYTES];
        checksum.copy_from_slice(hash.split_at(CHECKSUM_BYTES).0);
        checksum
    }
}
