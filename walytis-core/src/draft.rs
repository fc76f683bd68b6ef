//! Making blocks.

use rand_core::CryptoRng;

use crate::block::{content_hash, signature_transcript};
use crate::{
    AuthorSecret, BlockError, BlockId, BlockKind, ChainId, ForeignHead, Format, Header, HybridSecret, ParsedBlock,
    RawBlock, Suite, Timestamp, VerifiedBlock,
};

/// Where a new block stands: what its author saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first block of a new chain, with 32 random bytes.
    Genesis([u8; 32]),
    /// Behind other blocks of a chain.
    After {
        /// The chain.
        chain: ChainId,
        /// The parents; `previous` may be among them.
        parents: Vec<BlockId>,
        /// The author's own previous block on the chain, with its sequence number.
        previous: Option<(BlockId, u64)>,
    },
}

impl Place {
    /// The parents as a header has them: sorted and without the previous block, which follows.
    pub(crate) fn parents(&self) -> (Vec<BlockId>, Option<BlockId>) {
        let Self::After { parents, previous, .. } = self else { return (Vec::new(), None) };
        let mut parents = parents.clone();
        parents.retain(|parent| previous.is_none_or(|(own, _)| own != *parent));
        parents.sort_unstable();
        parents.dedup();
        (parents, previous.map(|(own, _)| own))
    }
}

/// A block in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What the block is for.
    pub kind: BlockKind,
    /// Where it stands.
    pub place: Place,
    /// The heads of other chains that it names; for operations only.
    pub foreign: Vec<ForeignHead>,
    /// Its topics; for blocks of content only.
    pub topics: Vec<Vec<u8>>,
    /// Its content.
    pub content: Vec<u8>,
}

impl Draft {
    /// The header that the block will have in version 1.
    #[must_use]
    pub fn header(&self, author: &AuthorSecret, created_at: Timestamp) -> Header {
        self.header_in(Format::default(), author, created_at)
    }

    /// The header that the block will have in a format.
    #[must_use]
    pub fn header_in(&self, format: Format, author: &AuthorSecret, created_at: Timestamp) -> Header {
        let (chain, genesis, sequence) = match &self.place {
            Place::Genesis(random) => (ChainId::ZERO, Some(*random), 0),
            Place::After { chain, previous, .. } => {
                (*chain, None, previous.map_or(0, |(_, sequence)| sequence.saturating_add(1)))
            }
        };
        let (parents, previous) = self.place.parents();
        let mut foreign = self.foreign.clone();
        foreign.sort_unstable();
        foreign.dedup();
        Header {
            version: format.version,
            kind: self.kind,
            suite: self.kind.suite(),
            chain,
            genesis,
            parents,
            foreign,
            author: author.public(),
            previous,
            sequence,
            created_at_ms: created_at.0,
            topics: self.topics.clone(),
            content_bytes: u64::try_from(self.content.len()).unwrap_or(u64::MAX),
            content_hash: content_hash(format.version, &self.content),
            ancestry: format.ancestry,
        }
    }

    /// Signs a block of a kind that takes the author's signature alone.
    ///
    /// # Errors
    /// [`BlockError`] if the block would break a rule, or its kind asks for a device's signature, too.
    pub fn sign_alone(self, author: &AuthorSecret, created_at: Timestamp) -> Result<VerifiedBlock, BlockError> {
        self.sign_alone_in(Format::default(), author, created_at)
    }

    /// As [`Draft::sign_alone`], in a format.
    ///
    /// # Errors
    /// As [`Draft::sign_alone`]. Whether the format fits the parents' is asked where the block is inserted.
    pub fn sign_alone_in(
        self,
        format: Format,
        author: &AuthorSecret,
        created_at: Timestamp,
    ) -> Result<VerifiedBlock, BlockError> {
        let header = self.header_in(format, author, created_at).encode();
        let transcript = signature_transcript(format.version, self.kind.suite(), Header::id_of(&header));
        let signature = author.sign(&transcript).to_vec();
        ParsedBlock::parse(RawBlock { header, signature, content: self.content }).map(VerifiedBlock::just_signed)
    }

    /// Signs the block: with the author key, and in hybrid with the device key if its kind asks for it.
    ///
    /// # Errors
    /// [`BlockError`] if the block would break a rule.
    pub fn sign(
        self,
        author: &AuthorSecret,
        device: &HybridSecret,
        created_at: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<VerifiedBlock, BlockError> {
        let header = self.header(author, created_at);
        let bytes = header.encode();
        let id = Header::id_of(&bytes);
        let transcript = signature_transcript(header.version, self.kind.suite(), id);
        let mut signature = author.sign(&transcript).to_vec();
        if self.kind.suite() == Suite::Hybrid {
            signature.extend_from_slice(&device.sign_ml_dsa(&transcript, rng));
        }
        let raw = RawBlock { header: bytes, signature, content: self.content };
        ParsedBlock::drafted(raw, header, id).map(VerifiedBlock::just_signed)
    }
}
