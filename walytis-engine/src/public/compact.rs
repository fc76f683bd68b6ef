//! Blocks on the wire without what their receiver can restore: the chain, ids of blocks that stand earlier in the same list,
//! keys of authors that were named before, and what the content says by itself. The exact bytes of each header are rebuilt;
//! they give the id that is signed, so nothing of this has to be believed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::sync::BLOCKS_MAX;
use walytis_core::codec::{AtMost, Reader};
use walytis_core::limits::{HEADER_BYTES_MAX, PARENTS_MAX, TOPICS_MAX};
use walytis_core::{AuthorKey, BlockId, BlockKind, ChainId, CodecError, FormatVersion, Header, RawBlock, planted};

/// A block in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Packed<'a> {
    /// What can be left out is.
    Short(#[serde(borrow)] Short<'a>),
    /// As it is: of a kind that cannot be rebuilt, or of a newer format than the first, which programs that do not know it
    /// pass over in this form.
    Whole(#[serde(borrow)] Parts<'a>),
}

/// A block's parts, where they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parts<'a> {
    #[serde(with = "serde_bytes")]
    header: &'a [u8],
    #[serde(with = "serde_bytes")]
    signature: &'a [u8],
    #[serde(with = "serde_bytes")]
    content: &'a [u8],
}

/// A block of public content, but for what the receiver can restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Short<'a> {
    genesis: Option<[u8; 32]>,
    #[serde(with = "AtMost::<PARENTS_MAX, 2>")]
    parents: Vec<Named>,
    author: Author,
    previous: Option<Named>,
    sequence: u64,
    /// Milliseconds since the block before in the list, or since 1970; past the end of numbers it goes on from the other.
    later_ms: i64,
    #[serde(with = "AtMost::<TOPICS_MAX, 1>")]
    topics: Vec<ByteBuf>,
    #[serde(with = "serde_bytes")]
    signature: &'a [u8],
    #[serde(with = "serde_bytes")]
    content: &'a [u8],
}

/// A block that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Named {
    /// So many back in the list; 0 is the one before.
    Back(u32),
    /// Any other.
    Id(BlockId),
}

/// An author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Author {
    /// The one that was named as such in the list, counted from 0.
    Known(u32),
    /// One that was not.
    New(AuthorKey),
}

/// What both sides have seen of a list.
#[derive(Default)]
struct Seen {
    ids: Vec<BlockId>,
    places: BTreeMap<BlockId, usize>,
    authors: Vec<AuthorKey>,
    numbers: BTreeMap<AuthorKey, u32>,
    time_ms: u64,
}

impl Seen {
    /// A block's place in the list is behind all others.
    fn add(&mut self, id: BlockId) {
        self.places.entry(id).or_insert(self.ids.len());
        self.ids.push(id);
    }

    fn name(&self, id: BlockId) -> Named {
        let place = self.places.get(&id).and_then(|place| self.ids.len().checked_sub(place.saturating_add(1)));
        place.and_then(|back| u32::try_from(back).ok()).map_or(Named::Id(id), Named::Back)
    }

    /// The block that is named, if it is in the list, and named as the sender had to name it.
    fn id(&self, named: Named) -> Option<BlockId> {
        let id = match named {
            Named::Back(back) => {
                let place = self.ids.len().checked_sub(usize::try_from(back).ok()?)?.checked_sub(1)?;
                *self.ids.get(place)?
            }
            Named::Id(id) => id,
        };
        if self.name(id) != named {
            return None;
        }
        match named {
            Named::Back(back) if planted!(NameWrongPlace) => {
                let place = self.ids.len().checked_sub(usize::try_from(back).ok()?)?.checked_sub(2)?;
                self.ids.get(place).copied()
            }
            _ => Some(id),
        }
    }

    fn write(&mut self, author: AuthorKey) -> Author {
        match self.numbers.get(&author) {
            Some(number) => Author::Known(*number),
            None => {
                self.learn(author);
                Author::New(author)
            }
        }
    }

    fn author(&mut self, author: Author) -> Option<AuthorKey> {
        match author {
            Author::Known(number) => self.authors.get(usize::try_from(number).ok()?).copied(),
            Author::New(author) if self.numbers.contains_key(&author) => None,
            Author::New(author) => {
                self.learn(author);
                Some(author)
            }
        }
    }

    fn learn(&mut self, author: AuthorKey) {
        let number = u32::try_from(self.authors.len()).unwrap_or(u32::MAX);
        self.numbers.entry(author).or_insert(number);
        self.authors.push(author);
    }

    const fn later_ms(&mut self, time_ms: u64) -> i64 {
        let later = time_ms.wrapping_sub(self.time_ms).cast_signed();
        self.time_ms = time_ms;
        later
    }

    const fn time_ms(&mut self, later_ms: i64) -> u64 {
        self.time_ms = self.time_ms.wrapping_add(later_ms.cast_unsigned());
        self.time_ms
    }
}

/// Blocks of a chain, in an order in which most stand behind their parents, for who knows which chain it is.
pub(super) fn pack<'a>(chain: ChainId, blocks: impl Iterator<Item = &'a RawBlock>) -> Vec<Packed<'a>> {
    let mut seen = Seen::default();
    blocks
        .map(|block| {
            let RawBlock { header, signature, content } = block;
            let whole = || Packed::Whole(Parts { header, signature, content });
            let packed = shorten(chain, block, &mut seen).map_or_else(whole, Packed::Short);
            seen.add(Header::id_of(header));
            packed
        })
        .collect()
}

/// Blocks that came in one message, as they stand there. Unpacked, blocks take many times these bytes, so they are unpacked
/// one at a time.
#[derive(Clone, Debug)]
pub(super) struct Parcel<'a> {
    chain: ChainId,
    count: usize,
    bytes: Cow<'a, [u8]>,
}

/// What a parcel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// How many blocks.
    pub(super) blocks: usize,
    /// About how many bytes the blocks take outside of a parcel, as [`WireBlock::bytes`](crate::sync::WireBlock::bytes)
    /// counts them.
    pub(super) bytes: usize,
}

impl<'a> Parcel<'a> {
    /// So many blocks of a chain, in these bytes. Nothing of them is looked at.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] if these are more than one message has.
    pub(super) const fn new(chain: ChainId, count: usize, bytes: &'a [u8]) -> Result<Self, CodecError> {
        if count > BLOCKS_MAX {
            return Err(CodecError::Malformed);
        }
        Ok(Self { chain, count, bytes: Cow::Borrowed(bytes) })
    }

    /// How many blocks it says it has.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// The same, apart from the message in which it came.
    pub(super) fn into_owned(self) -> Parcel<'static> {
        Parcel { chain: self.chain, count: self.count, bytes: Cow::Owned(self.bytes.into_owned()) }
    }

    /// Whether it is what an honest peer packs, to the last byte: each block in its shortest form.
    ///
    /// # Errors
    /// [`CodecError`] if not.
    pub(super) fn check(&self) -> Result<Contents, CodecError> {
        let mut unpacking = self.unpack();
        let mut bytes = 0_usize;
        while let Some(Restored { header, signature, content }) = unpacking.restore_next()? {
            bytes = bytes.saturating_add(header.len()).saturating_add(signature.len()).saturating_add(content.len());
            bytes = bytes.saturating_add(16);
        }
        Ok(Contents { blocks: self.count, bytes })
    }

    /// The exact blocks, one at a time.
    pub(super) fn unpack(&self) -> Unpacking<'_> {
        Unpacking { chain: self.chain, left: self.count, reader: Reader::new(&self.bytes), seen: Seen::default() }
    }
}

/// A block with its exact header, and what of it stands in the parcel.
struct Restored<'a> {
    header: Cow<'a, [u8]>,
    signature: &'a [u8],
    content: &'a [u8],
}

/// A parcel that is being unpacked.
pub(super) struct Unpacking<'a> {
    chain: ChainId,
    left: usize,
    reader: Reader<'a>,
    seen: Seen,
}

impl<'a> Unpacking<'a> {
    /// How many blocks are still to come.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Whether any are.
    pub(super) const fn has_more(&self) -> bool {
        self.left > 0
    }

    /// The next block; `None` behind the last.
    fn restore_next(&mut self) -> Result<Option<Restored<'a>>, CodecError> {
        if self.left == 0 {
            self.reader.finish()?;
            return Ok(None);
        }
        self.left = self.left.saturating_sub(1);
        let restored = match self.reader.read::<Packed<'a>>()? {
            Packed::Whole(Parts { header, signature, content }) => {
                let bytes = header.len().saturating_add(signature.len()).saturating_add(content.len());
                if bytes < RawBlock::BYTES_MIN
                    || Header::decode(header).is_ok_and(|h| rebuilds(self.chain, &h, content))
                {
                    return Err(CodecError::Malformed);
                }
                Restored { header: Cow::Borrowed(header), signature, content }
            }
            Packed::Short(short) => {
                let (signature, content) = (short.signature, short.content);
                let header = restore(self.chain, short, &mut self.seen).ok_or(CodecError::Malformed)?;
                Restored { header: Cow::Owned(header), signature, content }
            }
        };
        self.seen.add(Header::id_of(&restored.header));
        Ok(Some(restored))
    }
}

impl Iterator for Unpacking<'_> {
    type Item = Result<RawBlock, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Restored { header, signature, content } = match self.restore_next() {
            Ok(restored) => restored?,
            Err(error) => {
                // Nothing behind it makes sense.
                (self.left, self.reader) = (0, Reader::new(&[]));
                return Some(Err(error));
            }
        };
        let (signature, content) = (signature.to_vec(), content.to_vec());
        Some(Ok(RawBlock { header: header.into_owned(), signature, content }))
    }
}

/// Whether the exact bytes of a header can be rebuilt from its short form.
fn rebuilds(chain: ChainId, header: &Header, content: &[u8]) -> bool {
    let of = if header.genesis.is_some() { ChainId::ZERO } else { chain };
    header.version == FormatVersion::V1
        && header.kind == BlockKind::Content
        && header.suite == BlockKind::Content.suite()
        && header.chain == of
        && header.foreign.is_empty()
        && u64::try_from(content.len()) == Ok(header.content_bytes)
        && header.content_hash == walytis_core::content_hash(header.version, content)
}

fn shorten<'a>(chain: ChainId, block: &'a RawBlock, seen: &mut Seen) -> Option<Short<'a>> {
    let header = Header::decode(&block.header).ok()?;
    rebuilds(chain, &header, &block.content).then(|| Short {
        genesis: header.genesis,
        parents: header.parents.iter().map(|parent| seen.name(*parent)).collect(),
        author: seen.write(header.author),
        previous: header.previous.map(|previous| seen.name(previous)),
        sequence: header.sequence,
        later_ms: seen.later_ms(header.created_at_ms),
        topics: header.topics.into_iter().map(ByteBuf::from).collect(),
        signature: &block.signature,
        content: &block.content,
    })
}

/// The exact bytes of a header; `None` if none that keeps the rules has this short form.
fn restore(chain: ChainId, short: Short<'_>, seen: &mut Seen) -> Option<Vec<u8>> {
    let header = Header {
        version: FormatVersion::V1,
        kind: BlockKind::Content,
        suite: BlockKind::Content.suite(),
        chain: if short.genesis.is_some() { ChainId::ZERO } else { chain },
        genesis: short.genesis,
        parents: short.parents.into_iter().map(|parent| seen.id(parent)).collect::<Option<_>>()?,
        foreign: Vec::new(),
        author: seen.author(short.author)?,
        previous: match short.previous {
            Some(previous) => Some(seen.id(previous)?),
            None => None,
        },
        sequence: short.sequence,
        created_at_ms: seen.time_ms(short.later_ms),
        topics: short.topics.into_iter().map(ByteBuf::into_vec).collect(),
        content_bytes: u64::try_from(short.content.len()).ok()?,
        content_hash: walytis_core::content_hash(FormatVersion::V1, short.content),
        ancestry: None,
    };
    header.check().ok()?;
    let bytes = header.encode();
    (bytes.len() <= HEADER_BYTES_MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::WireBlock;
    use walytis_core::{AuthorSecret, Draft, Place, Timestamp, codec};

    const CHAIN: ChainId = ChainId([7; 32]);

    fn block(by: u8, place: Place, at: u64, topics: &[&[u8]], content: &[u8]) -> RawBlock {
        let topics = topics.iter().map(|topic| topic.to_vec()).collect();
        let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics, content: content.to_vec() };
        draft.sign_alone(&AuthorSecret::from_seed(&[by; 32]), Timestamp(at)).unwrap().raw().clone()
    }

    fn after(parents: &[BlockId], previous: Option<(BlockId, u64)>) -> Place {
        let mut parents = parents.to_vec();
        parents.sort_unstable();
        Place::After { chain: CHAIN, parents, previous }
    }

    fn id(block: &RawBlock) -> BlockId {
        Header::id_of(&block.header)
    }

    fn round(blocks: &[RawBlock]) -> Vec<u8> {
        let packed = pack(CHAIN, blocks.iter());
        let bytes: Vec<u8> = packed.iter().flat_map(codec::encode).collect();
        let parcel = Parcel::new(CHAIN, blocks.len(), &bytes).unwrap();
        let contents = parcel.check().unwrap();
        let wire = |block: &RawBlock| WireBlock { block: block.clone(), attachment: None, foreign: Vec::new() };
        assert_eq!(contents.bytes, blocks.iter().map(|block| wire(block).bytes()).sum::<usize>());
        assert_eq!(parcel.unpack().collect::<Result<Vec<_>, _>>().unwrap(), blocks);
        bytes
    }

    #[test]
    fn a_chain_by_one_author_takes_little_more_than_signatures_and_content() {
        let mut blocks = vec![block(1, after(&[CHAIN.into()], None), 1_700_000_000_000, &[], &[9; 100])];
        for number in 1..100_u64 {
            let last = id(blocks.last().unwrap());
            blocks.push(block(1, after(&[], Some((last, number - 1))), 1_700_000_000_000 + number, &[], &[9; 100]));
        }
        let bytes = round(&blocks);
        assert!(bytes.len() < 100 * 180, "{} bytes", bytes.len());
    }

    #[test]
    fn forks_topics_geneses_and_clocks_that_jump_are_rebuilt() {
        let genesis = block(1, Place::Genesis([3; 32]), u64::MAX, &[], &[1, 0]);
        let a = block(2, after(&[CHAIN.into()], None), 5, &[b"a", b""], b"");
        let b = block(3, after(&[CHAIN.into()], None), 0, &[b"b"], b"b");
        let merge = block(2, after(&[id(&b)], Some((id(&a), 0))), u64::MAX / 2, &[], b"merge");
        let elsewhere = block(4, after(&[BlockId([1; 32]), id(&merge)], Some((BlockId([2; 32]), 41))), 7, &[], b"x");
        round(&[genesis, a.clone(), b, merge, elsewhere, a]);
    }

    #[test]
    fn what_cannot_be_rebuilt_travels_as_it_is() {
        let good = block(1, after(&[CHAIN.into()], None), 5, &[], b"good");
        let wrong_content = RawBlock { content: b"bad!".to_vec(), ..good.clone() };
        let mut newer = good.clone();
        newer.header[0] = 3;
        let other = Place::After { chain: ChainId([8; 32]), parents: vec![BlockId([8; 32])], previous: None };
        let other = block(1, other, 5, &[], b"other");
        let unsigned = RawBlock { header: Vec::new(), signature: Vec::new(), content: vec![0; RawBlock::BYTES_MIN] };
        let blocks = [wrong_content, newer, other, unsigned, good];
        let packed = pack(CHAIN, blocks.iter());
        assert_eq!(packed.iter().filter(|packed| matches!(packed, Packed::Whole(_))).count(), 4);
        round(&blocks);
    }

    fn unpacked(packed: &[Packed<'_>]) -> Result<Contents, CodecError> {
        let bytes: Vec<u8> = packed.iter().flat_map(codec::encode).collect();
        Parcel::new(CHAIN, packed.len(), &bytes)?.check()
    }

    #[test]
    fn nothing_is_named_that_is_not_there() {
        let good = block(1, after(&[CHAIN.into()], None), 5, &[], b"good");
        let Some(Packed::Short(short)) = pack(CHAIN, [&good].into_iter()).pop() else { panic!("it is short") };
        let refused = |short: Short<'_>| assert_eq!(unpacked(&[Packed::Short(short)]), Err(CodecError::Malformed));
        refused(Short { parents: vec![Named::Back(0)], ..short.clone() });
        refused(Short { previous: Some(Named::Back(u32::MAX)), ..short.clone() });
        refused(Short { author: Author::Known(0), ..short.clone() });
        refused(Short { parents: vec![Named::Id(BlockId([1; 32])); PARENTS_MAX + 1], ..short });
    }

    /// One list of blocks has one form, so that nobody makes others of it.
    #[test]
    fn nothing_is_named_at_length_that_has_a_shorter_name() {
        let first = block(1, after(&[CHAIN.into()], None), 5, &[], b"first");
        let next = block(1, after(&[], Some((id(&first), 0))), 6, &[], b"next");
        let packed = pack(CHAIN, [&first, &next].into_iter());
        assert!(unpacked(&packed).is_ok());
        let [Packed::Short(one), Packed::Short(two)] = &packed[..] else { panic!("both are short") };
        let refused = |two: Packed<'_>| {
            assert_eq!(unpacked(&[Packed::Short(one.clone()), two]), Err(CodecError::Malformed));
        };
        refused(Packed::Short(Short { previous: Some(Named::Id(id(&first))), ..two.clone() }));
        refused(Packed::Short(Short {
            author: Author::New(AuthorSecret::from_seed(&[1; 32]).public()),
            ..two.clone()
        }));
        let RawBlock { header, signature, content } = &next;
        refused(Packed::Whole(Parts { header, signature, content }));
        // Of the same block twice, the first is named.
        let behind = |back: u32| {
            let mut twice = pack(CHAIN, [&first, &next, &next].into_iter());
            twice.push(Packed::Short(Short { previous: Some(Named::Back(back)), sequence: 2, ..two.clone() }));
            unpacked(&twice)
        };
        assert!(behind(1).is_ok() && behind(0).is_err());
    }

    #[test]
    fn a_parcel_has_as_many_blocks_as_it_says() {
        let good = block(1, after(&[CHAIN.into()], None), 5, &[], b"good");
        let bytes: Vec<u8> = pack(CHAIN, [&good].into_iter()).iter().flat_map(codec::encode).collect();
        let check = |count: usize, bytes: &[u8]| Parcel::new(CHAIN, count, bytes).and_then(|parcel| parcel.check());
        assert!(check(1, &bytes).is_ok());
        assert_eq!(check(2, &bytes), Err(CodecError::Malformed));
        assert_eq!(check(0, &bytes), Err(CodecError::Trailing { bytes: bytes.len() }));
        assert_eq!(check(BLOCKS_MAX + 1, &bytes), Err(CodecError::Malformed));
        // What is shorter than any block is none.
        let parts = Packed::Whole(Parts { header: b"", signature: b"", content: b"" });
        assert_eq!(unpacked(&[parts]), Err(CodecError::Malformed));
    }
}
