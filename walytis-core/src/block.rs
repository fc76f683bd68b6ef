//! Blocks, in three stages of trust: [`RawBlock`] as received, [`ParsedBlock`] whose shape holds and whose id is known,
//! [`VerifiedBlock`] whose signature holds. Only the last can be stored.

use serde::{Deserialize, Serialize};

use crate::codec::{self, AtMost, CodecError};
use crate::keys::{ED25519_SIGNATURE_BYTES, ML_DSA_SIGNATURE_BYTES};
use crate::limits::{CONTENT_BYTES_MAX, FOREIGN_MAX, HEADER_BYTES_MAX, PARENTS_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use crate::{AuthorKey, BlockId, ChainId, FormatVersion, Hash, HybridKey, Suite, Transcript, planted};

/// The number of the format version in which blocks are made unless their chain was moved to a newer one.
pub const FORMAT_VERSION: u8 = FormatVersion::V1.number();

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BlockKind {
    /// 1: content that anyone may read, apart from the header.
    Content,
    /// 2: a commitment to sealed content, which is kept off the chain.
    Private,
    /// 3: an operation on the chain's identity: membership, keys, epochs. Signed in hybrid.
    Operation,
    /// 4: an author's hybrid signature over all that it knows.
    Checkpoint,
}

impl BlockKind {
    const fn number(self) -> u8 {
        match self {
            Self::Content => 1,
            Self::Private => 2,
            Self::Operation => 3,
            Self::Checkpoint => 4,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Content),
            2 => Some(Self::Private),
            3 => Some(Self::Operation),
            4 => Some(Self::Checkpoint),
            _ => None,
        }
    }

    /// The kind of the block that a header encodes, without reading the rest of it.
    pub(crate) fn of_header(bytes: &[u8]) -> Option<Self> {
        Self::from_number(*bytes.get(1)?)
    }

    /// The suite with which blocks of this kind are signed.
    #[must_use]
    pub const fn suite(self) -> Suite {
        match self {
            Self::Content | Self::Private => Suite::Ed25519,
            Self::Operation | Self::Checkpoint => Suite::Hybrid,
        }
    }
}

/// A head of another chain that an operation names; it makes that block and all its ancestors ancestors of the
/// operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ForeignHead {
    /// The other chain.
    pub chain: ChainId,
    /// The block there.
    pub block: BlockId,
}

/// What a header says. Its encoding is drawn in `docs/format.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format's version, which fixes the hash.
    pub version: FormatVersion,
    /// What the block is for.
    pub kind: BlockKind,
    /// The suite of the block's signature.
    pub suite: Suite,
    /// The chain; [`ChainId::ZERO`] in a genesis block.
    pub chain: ChainId,
    /// 32 random bytes in a genesis block, which make the chain's id unique; `None` in any other.
    pub genesis: Option<[u8; 32]>,
    /// The parents, sorted and unique, without `previous`, which is a parent by itself.
    pub parents: Vec<BlockId>,
    /// The heads of other chains that an operation names, sorted and unique.
    pub foreign: Vec<ForeignHead>,
    /// Who wrote the block.
    pub author: AuthorKey,
    /// The author's own previous block on this chain.
    pub previous: Option<BlockId>,
    /// How many blocks the author wrote before on this chain: the previous block's number plus one.
    pub sequence: u64,
    /// The author's clock when it wrote the block, in milliseconds since 1970. Informative.
    pub created_at_ms: u64,
    /// Topics, in the author's order.
    pub topics: Vec<Vec<u8>>,
    /// Bytes of the content.
    pub content_bytes: u64,
    /// The hash of the content, by the version.
    pub content_hash: Hash,
    /// A root over the exact headers and contents of all ancestors, in the hash of this version: in a block that has a
    /// parent of an older one, and in no other.
    pub ancestry: Option<Hash>,
}

/// The header as it is encoded: numbers first, so that an unknown one is named before anything else is looked at.
#[derive(Serialize, Deserialize)]
struct WireHeader {
    version: u8,
    kind: u8,
    suite: u8,
    chain: ChainId,
    genesis: Option<[u8; 32]>,
    #[serde(with = "AtMost::<PARENTS_MAX, 32>")]
    parents: Vec<BlockId>,
    #[serde(with = "AtMost::<FOREIGN_MAX, 64>")]
    foreign: Vec<ForeignHead>,
    author: AuthorKey,
    previous: Option<BlockId>,
    sequence: u64,
    created_at_ms: u64,
    #[serde(with = "AtMost::<TOPICS_MAX, 1>")]
    topics: Vec<serde_bytes::ByteBuf>,
    content_bytes: u64,
    content_hash: Hash,
}

/// The same in version 2, which has a field more behind the others.
#[derive(Serialize, Deserialize)]
struct WireHeader2 {
    header: WireHeader,
    ancestry: Option<Hash>,
}

/// Why bytes are not a block that can be accepted.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockError {
    /// The encoding is not the strict one.
    #[error("a block's header is not acceptable: {0}")]
    Codec(#[from] CodecError),
    /// The format is of a version that this program does not know. That says nothing against whoever sent it.
    #[error("a block's format has version {version} and this program knows up to {known}: update the program")]
    Newer {
        /// Its version.
        version: u8,
        /// The newest version known.
        known: u8,
    },
    /// A number in the header names a kind or a suite that this program does not know.
    #[error("a block's {field} has the unknown number {number}: update the program")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// Its number.
        number: u8,
    },
    /// A limit or an order is not kept.
    #[error("a block's {field} breaks the rules: {rule}")]
    Rule {
        /// Which field.
        field: &'static str,
        /// What it should be.
        rule: &'static str,
    },
    /// The content is not the one that the header names.
    #[error("the content does not match the header of block {id}")]
    Content {
        /// The block.
        id: BlockId,
    },
    /// The signature does not verify. This condemns the delivery, not the id.
    #[error("the signature of block {id} does not verify")]
    Signature {
        /// The block.
        id: BlockId,
    },
}

const fn rule(field: &'static str, rule: &'static str) -> BlockError {
    BlockError::Rule { field, rule }
}

impl Header {
    /// The exact bytes that are hashed, signed and stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let header = WireHeader {
            version: self.version.number(),
            kind: self.kind.number(),
            suite: self.suite.number(),
            chain: self.chain,
            genesis: self.genesis,
            parents: self.parents.clone(),
            foreign: self.foreign.clone(),
            author: self.author,
            previous: self.previous,
            sequence: self.sequence,
            created_at_ms: self.created_at_ms,
            topics: self.topics.iter().map(|topic| serde_bytes::ByteBuf::from(topic.clone())).collect(),
            content_bytes: self.content_bytes,
            content_hash: self.content_hash,
        };
        match self.version {
            FormatVersion::V1 => codec::encode(&header),
            FormatVersion::V2 => codec::encode(&WireHeader2 { header, ancestry: self.ancestry }),
        }
    }

    /// Reads a header from its exact bytes and checks every rule that needs no other block.
    ///
    /// # Errors
    /// [`BlockError`] says which rule is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        let version = read_version(bytes)?;
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(rule("header", "at most 16 KiB"));
        }
        let (wire, ancestry): (WireHeader, _) = match version {
            FormatVersion::V1 => (codec::decode(bytes)?, None),
            FormatVersion::V2 => {
                let wire: WireHeader2 = codec::decode(bytes)?;
                (wire.header, wire.ancestry)
            }
        };
        let header = Self {
            version,
            kind: BlockKind::from_number(wire.kind).ok_or(BlockError::Unknown { field: "kind", number: wire.kind })?,
            suite: Suite::from_number(wire.suite).ok_or(BlockError::Unknown { field: "suite", number: wire.suite })?,
            chain: wire.chain,
            genesis: wire.genesis,
            parents: wire.parents,
            foreign: wire.foreign,
            author: wire.author,
            previous: wire.previous,
            sequence: wire.sequence,
            created_at_ms: wire.created_at_ms,
            topics: wire.topics.into_iter().map(serde_bytes::ByteBuf::into_vec).collect(),
            content_bytes: wire.content_bytes,
            content_hash: wire.content_hash,
            ancestry,
        };
        header.check()?;
        Ok(header)
    }

    /// Checks the rules that a header keeps by itself. Decoding and signing do; whoever puts one together from parts has to.
    ///
    /// # Errors
    /// [`BlockError::Rule`] with the field that breaks one.
    pub fn check(&self) -> Result<(), BlockError> {
        if self.ancestry.is_some() && (self.version == FormatVersion::V1 || self.genesis.is_some()) {
            return Err(rule("ancestry", "in a block of version 2 or later that is no genesis"));
        }
        let operation = self.kind == BlockKind::Operation;
        if self.suite != self.kind.suite() && !crate::mutant!(AcceptAnySuite) {
            return Err(rule("suite", "operations and checkpoints are signed in hybrid, other blocks with Ed25519"));
        }
        if self.genesis.is_some() {
            let empty = self.parents.is_empty() && self.previous.is_none();
            let founds = operation || self.kind == BlockKind::Content;
            if self.chain != ChainId::ZERO || !empty || !founds {
                return Err(rule("genesis", "a genesis is an operation or content, without chain and parents"));
            }
        } else if self.chain == ChainId::ZERO || (self.parents.is_empty() && self.previous.is_none()) {
            return Err(rule("genesis", "only a genesis has no chain or no parents"));
        }
        if self.parents.len() > PARENTS_MAX {
            return Err(rule("parents", "at most 32"));
        }
        if !self.parents.is_sorted_by(|a, b| a < b) || self.previous.is_some_and(|own| self.parents.contains(&own)) {
            return Err(rule("parents", "sorted, unique, and without the previous block"));
        }
        if (self.foreign.len() > FOREIGN_MAX || !self.foreign.is_sorted_by(|a, b| a < b))
            && !crate::mutant!(AcceptAnyForeign)
        {
            return Err(rule("foreign heads", "at most 64, sorted and unique"));
        }
        if !operation && !self.foreign.is_empty() {
            return Err(rule("foreign heads", "only operations name them"));
        }
        if self.foreign.iter().any(|head| head.chain == self.chain) {
            return Err(rule("foreign heads", "of other chains"));
        }
        if self.previous.is_none() != (self.sequence == 0) && !crate::mutant!(AcceptAnyFirstNumber) {
            return Err(rule("sequence", "zero in an author's first block, and in no other"));
        }
        if self.topics.len() > TOPICS_MAX || self.topics.iter().any(|topic| topic.len() > TOPIC_BYTES_MAX) {
            return Err(rule("topics", "at most 32 of at most 256 bytes"));
        }
        if self.kind != BlockKind::Content && !self.topics.is_empty() && !crate::mutant!(ShowPrivateTopics) {
            return Err(rule("topics", "only blocks of content show topics"));
        }
        if usize::try_from(self.content_bytes).map_or(true, |bytes| bytes > CONTENT_BYTES_MAX) {
            return Err(rule("content length", "at most 1 MiB"));
        }
        Ok(())
    }

    /// Every parent on this chain: `parents`, and `previous` if there is one.
    pub fn all_parents(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.parents.iter().copied().chain(self.previous)
    }

    /// The id of the header that these bytes encode: their hash, by their version. Bytes of a version that is not known
    /// have the id that they would have in the first.
    #[must_use]
    pub fn id_of(bytes: &[u8]) -> BlockId {
        BlockId(FormatVersion::of_header(bytes).unwrap_or_default().hash(bytes))
    }
}

/// What a block's signature says: its version, its suite and its id, which binds everything else.
#[must_use]
pub(crate) fn signature_transcript(version: FormatVersion, suite: Suite, id: BlockId) -> Transcript {
    Transcript::new("block", suite).field(&[version.number()]).field(&id.0)
}

/// The hash of a block's content, as a header of this version has it.
#[must_use]
pub fn content_hash(version: FormatVersion, content: &[u8]) -> Hash {
    Hash(version.hash(content))
}

/// The version of a header: its first byte.
fn read_version(bytes: &[u8]) -> Result<FormatVersion, BlockError> {
    let known = FormatVersion::NEWEST.number();
    match bytes.first() {
        None => Err(CodecError::Malformed.into()),
        // It was never one, so it is no newer one.
        Some(0) => Err(CodecError::Version { found: 0, known }.into()),
        Some(number) => FormatVersion::from_number(*number).ok_or(BlockError::Newer { version: *number, known }),
    }
}

/// A block as it arrives or is kept: nothing about it is known to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RawBlock {
    /// The header's exact bytes.
    #[serde(with = "serde_bytes")]
    pub header: Vec<u8>,
    /// The signature, of the suite that the header names.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
    /// The content: what the header's hash is over.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

/// What a topic takes in memory beside its bytes: a place in the list, and what its allocation is rounded up by.
const TOPIC_BESIDE_BYTES: usize = size_of::<Vec<u8>>() + 32;

/// A block's parts where they stand.
#[derive(Deserialize)]
struct RawParts<'a> {
    #[serde(with = "serde_bytes")]
    header: &'a [u8],
    #[serde(with = "serde_bytes")]
    signature: &'a [u8],
    #[serde(with = "serde_bytes")]
    content: &'a [u8],
}

impl<'de> Deserialize<'de> for RawBlock {
    /// Reads a block of at least [`RawBlock::BYTES_MIN`] bytes. Of a shorter one nothing is kept.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawParts { header, signature, content } = RawParts::deserialize(deserializer)?;
        let bytes = header.len().saturating_add(signature.len()).saturating_add(content.len());
        if bytes < Self::BYTES_MIN {
            return Err(serde::de::Error::invalid_length(bytes, &"the bytes of a block"));
        }
        Ok(Self { header: header.to_vec(), signature: signature.to_vec(), content: content.to_vec() })
    }
}

impl RawBlock {
    /// The fewest bytes that a block's parts have together, in any version of the format: a signature of 64, and in the
    /// header the author's key and the hash of the content, 32 each. What is shorter is no block, and not decoded: a list of
    /// such would take many times its bytes in memory.
    pub const BYTES_MIN: usize = 128;

    /// About how many bytes of memory its parts have allocated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let bytes = self.header.len().saturating_add(self.signature.len()).saturating_add(self.content.len());
        // What three allocations are rounded up by.
        bytes.saturating_add(3 * 16)
    }
}

/// A block whose encoding, limits and content hold. Its signature is not verified, and neither are its ancestors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedBlock {
    raw: RawBlock,
    header: Header,
    id: BlockId,
}

impl ParsedBlock {
    /// Parses a block and checks all that needs neither a key nor another block.
    ///
    /// # Errors
    /// [`BlockError`] says what does not hold.
    pub fn parse(raw: RawBlock) -> Result<Self, BlockError> {
        let header = Header::decode(&raw.header)?;
        let id = Header::id_of(&raw.header);
        Self::with_header(raw, header, id)
    }

    /// The block of a header, its id and its content's hash that were just made, if it keeps the rules.
    pub(crate) fn drafted(raw: RawBlock, header: Header, id: BlockId) -> Result<Self, BlockError> {
        header.check()?;
        if raw.header.len() > HEADER_BYTES_MAX {
            return Err(rule("header", "at most 16 KiB"));
        }
        Ok(Self { raw, header, id })
    }

    /// The block of a header and an id that were read from these bytes.
    pub(crate) fn with_header(raw: RawBlock, header: Header, id: BlockId) -> Result<Self, BlockError> {
        if raw.signature.len() != header.suite.signature_bytes() {
            return Err(BlockError::Signature { id });
        }
        let bytes = u64::try_from(raw.content.len()).unwrap_or(u64::MAX);
        let same_length = bytes == header.content_bytes || planted!(TrustLength);
        if !same_length
            || (content_hash(header.version, &raw.content) != header.content_hash && !planted!(SkipContentHash))
        {
            return Err(BlockError::Content { id });
        }
        Ok(Self { raw, header, id })
    }

    /// The block's id.
    #[must_use]
    pub const fn id(&self) -> BlockId {
        self.id
    }

    /// The chain that the block is on; a genesis is on the chain that it founds.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        if self.header.genesis.is_some() { self.id.into() } else { self.header.chain }
    }

    /// What the header says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.raw.content
    }

    /// The block as it arrived.
    #[must_use]
    pub const fn raw(&self) -> &RawBlock {
        &self.raw
    }

    /// About how many bytes of memory it has allocated: its parts as they came, and the header's lists once more.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let lists =
            size_of_val(self.header.parents.as_slice()).saturating_add(size_of_val(self.header.foreign.as_slice()));
        let topics = self.header.topics.iter().map(|topic| topic.len().saturating_add(TOPIC_BESIDE_BYTES));
        topics.fold(self.raw.memory_bytes().saturating_add(lists), usize::saturating_add)
    }

    /// Verifies the signature. A block of suite 2 needs its author's device key, which the fold over the block's
    /// ancestors gives; one of suite 1 needs none.
    ///
    /// # Errors
    /// [`BlockError::Signature`] if a signature does not hold or the device key is missing.
    pub fn verify(self, device: Option<&HybridKey>) -> Result<VerifiedBlock, BlockError> {
        self.holds(device)?;
        Ok(VerifiedBlock { parsed: self })
    }

    /// Whether the signature holds: see [`ParsedBlock::verify`].
    pub(crate) fn holds(&self, device: Option<&HybridKey>) -> Result<(), BlockError> {
        let bad = BlockError::Signature { id: self.id };
        let transcript = signature_transcript(self.header.version, self.header.suite, self.id);
        let (by_author, by_device) = self.raw.signature.split_at(ED25519_SIGNATURE_BYTES.min(self.raw.signature.len()));
        let by_author = by_author.try_into().map_err(|_| bad.clone())?;
        if self.header.author.verify(&transcript, by_author).is_err() && !planted!(SkipSignature) {
            return Err(bad);
        }
        if self.header.suite == Suite::Hybrid {
            let by_device: &[u8; ML_DSA_SIGNATURE_BYTES] = by_device.try_into().map_err(|_| bad.clone())?;
            let device = device.ok_or_else(|| bad.clone())?;
            if device.verify_ml_dsa(&transcript, by_device).is_err() && !planted!(SkipHybridHalf) {
                return Err(bad);
            }
        }
        Ok(())
    }
}

/// A block whose shape, content and signature hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedBlock {
    parsed: ParsedBlock,
}

impl VerifiedBlock {
    /// Takes a block back from our own store, where only verified ones are written. [`ParsedBlock::verify`] is for all
    /// others.
    pub(crate) const fn from_store(parsed: ParsedBlock) -> Self {
        Self { parsed }
    }

    /// Takes a block of which [`ParsedBlock::holds`] has just said that it holds.
    pub(crate) const fn found_to_hold(parsed: ParsedBlock) -> Self {
        Self { parsed }
    }

    /// Takes a block that this device has just signed itself.
    pub(crate) const fn just_signed(parsed: ParsedBlock) -> Self {
        Self { parsed }
    }

    /// The block, as parsed.
    #[must_use]
    pub const fn parsed(&self) -> &ParsedBlock {
        &self.parsed
    }
}

impl std::ops::Deref for VerifiedBlock {
    type Target = ParsedBlock;

    fn deref(&self) -> &ParsedBlock {
        &self.parsed
    }
}
