//! What is signed: typed, purpose-tagged transcripts of our own, never bytes that a peer chose.

use crate::Suite;

/// The version of all transcripts' layout.
const VERSION: u8 = 1;

/// The input of one signature: a purpose, a version, a suite, then fields with their lengths in front.
///
/// Signing functions take nothing else, so a signature made for one purpose never fits another, and no peer can have
/// us sign a string of its choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    bytes: Vec<u8>,
}

impl Transcript {
    /// Begins a transcript. `purpose` is unique for what the signature says.
    #[must_use]
    pub fn new(purpose: &'static str, suite: Suite) -> Self {
        Self { bytes: Vec::with_capacity(128) }.raw(b"walytis/").raw(purpose.as_bytes()).raw(&[
            0,
            VERSION,
            suite.number(),
        ])
    }

    /// Adds a field.
    #[must_use]
    pub fn field(self, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.raw(&length.to_le_bytes()).raw(bytes)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
