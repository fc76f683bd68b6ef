//! Blocks on the wire without what their receiver can restore: the chain, ids of blocks that stand earlier in the same list,
//! keys of authors that were named before, and what the content says by itself. The exact bytes of each header are rebuilt;
//! they give the id that is signed, so nothing of this has to be believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::limits::PARENTS_MAX;
use crate::{AuthorKey, BlockId, BlockKind, ChainId, CodecError, FormatVersion, Header, RawBlock, planted};

/// A block in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Packed {
    /// What can be left out is.
    Short(Short),
    /// As it is: of a kind that cannot be rebuilt, or of a newer format than the first, which programs that do not know it
    /// pass over in this form.
    Whole(RawBlock),
}

/// A block of public content, but for what the receiver can restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Short {
    genesis: Option<[u8; 32]>,
    parents: Vec<Named>,
    author: Author,
    previous: Option<Named>,
    sequence: u64,
    /// Milliseconds since the block before in the list, or since 1970; past the end of numbers it goes on from the other.
    later_ms: i64,
    topics: Vec<ByteBuf>,
    signature: ByteBuf,
    content: ByteBuf,
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

    fn id(&self, named: Named) -> Option<BlockId> {
        match named {
            Named::Back(back) => {
                let back = if planted!(NameWrongPlace) { back.saturating_add(1) } else { back };
                let place = self.ids.len().checked_sub(usize::try_from(back).ok()?)?.checked_sub(1)?;
                self.ids.get(place).copied()
            }
            Named::Id(id) => Some(id),
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
pub(super) fn pack<'a>(chain: ChainId, blocks: impl Iterator<Item = &'a RawBlock>) -> Vec<Packed> {
    let mut seen = Seen::default();
    blocks
        .map(|block| {
            let packed = shorten(chain, block, &mut seen).map_or_else(|| Packed::Whole(block.clone()), Packed::Short);
            seen.add(Header::id_of(&block.header));
            packed
        })
        .collect()
}

/// The exact blocks.
///
/// # Errors
/// [`CodecError`] if something is named that does not stand before it.
pub(super) fn unpack(chain: ChainId, packed: Vec<Packed>) -> Result<Vec<RawBlock>, CodecError> {
    let mut seen = Seen::default();
    let mut blocks = Vec::with_capacity(packed.len());
    for packed in packed {
        let block = match packed {
            Packed::Whole(block) => block,
            Packed::Short(short) => restore(chain, short, &mut seen).ok_or(CodecError::Malformed)?,
        };
        seen.add(Header::id_of(&block.header));
        blocks.push(block);
    }
    Ok(blocks)
}

fn shorten(chain: ChainId, block: &RawBlock, seen: &mut Seen) -> Option<Short> {
    let header = Header::decode(&block.header).ok()?;
    let of = if header.genesis.is_some() { ChainId::ZERO } else { chain };
    let rebuilds = header.version == FormatVersion::V1
        && header.kind == BlockKind::Content
        && header.suite == BlockKind::Content.suite()
        && header.chain == of
        && header.foreign.is_empty()
        && u64::try_from(block.content.len()) == Ok(header.content_bytes)
        && header.content_hash == crate::block::content_hash(header.version, &block.content);
    rebuilds.then(|| Short {
        genesis: header.genesis,
        parents: header.parents.iter().map(|parent| seen.name(*parent)).collect(),
        author: seen.write(header.author),
        previous: header.previous.map(|previous| seen.name(previous)),
        sequence: header.sequence,
        later_ms: seen.later_ms(header.created_at_ms),
        topics: header.topics.into_iter().map(ByteBuf::from).collect(),
        signature: ByteBuf::from(block.signature.clone()),
        content: ByteBuf::from(block.content.clone()),
    })
}

fn restore(chain: ChainId, short: Short, seen: &mut Seen) -> Option<RawBlock> {
    if short.parents.len() > PARENTS_MAX {
        return None;
    }
    let content = short.content.into_vec();
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
        content_bytes: u64::try_from(content.len()).ok()?,
        content_hash: crate::block::content_hash(FormatVersion::V1, &content),
        ancestry: None,
    };
    Some(RawBlock { header: header.encode(), signature: short.signature.into_vec(), content })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthorSecret, Draft, Place, Timestamp, codec};

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
        let bytes = codec::encode(&packed);
        assert_eq!(unpack(CHAIN, codec::decode(&bytes).unwrap()).unwrap(), blocks);
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
        let nothing = RawBlock { header: Vec::new(), signature: Vec::new(), content: Vec::new() };
        let blocks = [wrong_content, newer, other, nothing, good];
        let packed = pack(CHAIN, blocks.iter());
        assert_eq!(packed.iter().filter(|packed| matches!(packed, Packed::Whole(_))).count(), 4);
        round(&blocks);
    }

    #[test]
    fn nothing_is_named_that_is_not_there() {
        let good = block(1, after(&[CHAIN.into()], None), 5, &[], b"good");
        let Some(Packed::Short(short)) = pack(CHAIN, [&good].into_iter()).pop() else { panic!("it is short") };
        let refused = |short: Short| assert_eq!(unpack(CHAIN, vec![Packed::Short(short)]), Err(CodecError::Malformed));
        refused(Short { parents: vec![Named::Back(0)], ..short.clone() });
        refused(Short { previous: Some(Named::Back(u32::MAX)), ..short.clone() });
        refused(Short { author: Author::Known(0), ..short.clone() });
        refused(Short { parents: vec![Named::Id(BlockId([1; 32])); PARENTS_MAX + 1], ..short });
    }
}
