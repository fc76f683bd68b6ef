//! Adding a block: its rows, and what is computed about it once.

use super::heads::{all, operations_above};
use super::postings::{Postings, Term, push_topic};
use super::{
    AUTHORS, AuthorRow, BLOCKS, BlockRow, CHAINS, CONTENTS, ChainError, ChainKind, ChainNumber, ChainRow, FoundParents,
    HEADS, IDS, Location, OPERATION_HEADS, ORDER, Parent, StoredBlock, author_key, author_row, block, chain_row,
    find_parents, format, order_key, owner, rows_of_parents, sums,
};
use crate::{BlockId, BlockKind, Header, KeyRange, ParsedBlock, Pending, VerifiedBlock, codec, planted};

/// Where a block stands once it is in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Its place in the order of arrival on this node, from 0.
    pub position: u64,
    /// One more than its parents' highest; 0 in a genesis.
    pub generation: u64,
    /// Its author's last block before this one came, with its sequence number; of a fork, on the longest branch. `None` also
    /// if the block was there already.
    pub previous: Option<(BlockId, u64)>,
}

/// Adds a verified block whose ancestors are in the set. Adding one that is there already changes nothing.
///
/// Whether its author may write it is not decided here: that is the identities' rule, asked before.
///
/// # Errors
/// [`ChainError::Orphan`] if a parent is missing, [`ChainError::Rule`] if its sequence number or its parents are wrong or it
/// is of another kind than its chain, [`ChainError::Format`] if its format version does not fit theirs.
pub fn insert(view: &mut Pending, new: &VerifiedBlock) -> Result<Inserted, ChainError> {
    match block(view, new.id())? {
        Some(StoredBlock { position, generation, .. }) => Ok(Inserted { position, generation, previous: None }),
        None => {
            let parents = find_parents(view, new)?;
            insert_behind(view, new, parents)
        }
    }
}

/// As [`insert`], of a block that is not in the set, and whose parents were found in the same step.
///
/// # Errors
/// As [`insert`].
pub fn insert_behind(view: &mut Pending, new: &VerifiedBlock, parents: FoundParents) -> Result<Inserted, ChainError> {
    let header = new.header();
    let (number, mut chain) = if header.genesis.is_some() {
        (next_number(view)?, ChainRow::of(new.chain(), 0))
    } else {
        chain_row(view, header.chain)?.ok_or(ChainError::Orphan { id: new.id() })?
    };
    let parents = rows_of_parents(view, number, new.id(), parents)?;
    check_kind(new, &parents)?;
    format::check(new, &parents)?;
    if header.genesis.is_some() {
        owner::founded(view, new.chain(), ChainKind::of(header.kind))?;
    }
    let author = author_row(view, number, header.author)?;
    // Most blocks are behind their author's last one, of which the author's row says enough.
    let follows = author.as_ref().filter(|last| Some(last.id) == header.previous).map(|last| last.sequence);
    if follows.is_none_or(|last| last.checked_add(1) != Some(header.sequence)) {
        check_sequence(new, &parents)?;
    }
    let operations = operations_above(view, number, &parents)?;
    let generation = generation_above(&parents);

    let location = Location { chain: number, position: chain.length };
    let replaced = move_heads(view, location, new, &parents, &operations)?;
    let raw = new.raw();
    let inline = header.kind != BlockKind::Content;
    if !inline {
        view.put(CONTENTS, location.key(), raw.content.clone());
    }
    let row = BlockRow {
        generation,
        parents: parents.iter().map(|parent| parent.position).collect(),
        operations,
        header: raw.header.clone(),
        signature: raw.signature.clone(),
        content: inline.then(|| serde_bytes::ByteBuf::from(raw.content.clone())),
        digest: format::digest(new, &parents),
    };
    view.put(BLOCKS, location.key(), codec::encode(&row));
    view.put(IDS, new.id().0, location.key());
    view.put(ORDER, order_key(number, generation, location.position), new.id().0);
    sums::add(view, number, &mut chain, generation, new.id())?;
    chain.length = chain.length.saturating_add(1);
    chain.generations = chain.generations.max(generation.saturating_add(1));
    chain.format = chain.format.max(header.version.number());
    chain.heads = chain.heads.saturating_sub(replaced).saturating_add(1);
    view.put(CHAINS, number.0.to_be_bytes(), codec::encode(&chain));
    let previous = author.as_ref().map(|last| (last.id, last.sequence));
    note_author(view, location, new, author);
    for (place, topic) in header.topics.iter().enumerate() {
        // A topic that is named twice is in its list once.
        if !header.topics.iter().take(place).any(|before| before == topic) {
            push_topic(view, number, topic, location.position)?;
        }
    }
    Ok(Inserted { position: location.position, generation, previous })
}

/// Adds the block to its author's, and notes it as the last one unless a longer branch is known.
fn note_author(view: &mut Pending, location: Location, new: &ParsedBlock, known: Option<AuthorRow>) {
    let header = new.header();
    let last = AuthorRow { id: new.id(), sequence: header.sequence, blocks: Postings::default() };
    let mut author = match known {
        Some(known) if known.sequence > header.sequence => known,
        Some(known) => AuthorRow { blocks: known.blocks, ..last },
        None => last,
    };
    author.blocks.push(view, location.chain, Term::Author(header.author), location.position);
    view.put(AUTHORS, author_key(location.chain, header.author), codec::encode(&author));
}

/// The number of a chain that is not kept here yet.
fn next_number(view: &Pending) -> Result<ChainNumber, ChainError> {
    // The order tells of chains that were damaged when they were removed, and of which something is left.
    let mut next = 0_u32;
    for table in [CHAINS, ORDER] {
        let last = view.scan(table, KeyRange::all().descending(), 1)?;
        let number = last.first().and_then(|record| record.key.first_chunk::<4>());
        next = next.max(number.map_or(0, |number| u32::from_be_bytes(*number).saturating_add(1)));
    }
    Ok(ChainNumber(next))
}

/// The generation of a block with these parents.
pub(super) fn generation_above(parents: &[Parent]) -> u64 {
    parents.iter().fold(0, |generation, parent| {
        let others = if planted!(LastParentsGeneration) { 0 } else { generation };
        others.max(parent.row.generation.saturating_add(1))
    })
}

/// The new block is a head, and its parents are not. An operation is a head of operations, and those that it is the next
/// behind are not; whatever else is below it is below those. Returns how many heads are none any more.
fn move_heads(
    view: &mut Pending,
    location: Location,
    new: &ParsedBlock,
    parents: &[Parent],
    operations: &[u64],
) -> Result<u64, ChainError> {
    let key = |position: u64| Location { chain: location.chain, position }.key();
    let mut replaced = 0_u64;
    for parent in parents {
        if view.get(HEADS, &key(parent.position))?.is_some() {
            view.delete(HEADS, key(parent.position));
            replaced = replaced.saturating_add(1);
        }
    }
    if planted!(ForgetHead) {
        for (position, _) in all(view, HEADS, location.chain)? {
            view.delete(HEADS, key(position));
            replaced = replaced.saturating_add(1);
        }
    }
    view.put(HEADS, location.key(), new.id().0);
    if new.header().kind == BlockKind::Operation {
        for position in operations {
            view.delete(OPERATION_HEADS, key(*position));
        }
        view.put(OPERATION_HEADS, location.key(), new.id().0);
    }
    Ok(replaced)
}

/// A block is of the kind of its parents, and so of its chain's genesis: what strangers write enters no private chain.
pub(super) fn check_kind(block: &ParsedBlock, parents: &[Parent]) -> Result<(), ChainError> {
    let kind = ChainKind::of(block.header().kind);
    let fits = parents.iter().all(|parent| ChainKind::of_header(&parent.row.header) == Some(kind));
    let rule = "public and private blocks are never on one chain";
    if fits || crate::mutant!(MixKinds) { Ok(()) } else { Err(ChainError::Rule { id: block.id(), rule }) }
}

/// The block behind which its author says that it is, is by the same author, and the one before it.
pub(super) fn check_sequence(block: &ParsedBlock, parents: &[Parent]) -> Result<(), ChainError> {
    let header = block.header();
    let Some(own) = header.previous else { return Ok(()) };
    let previous = parents.iter().find(|parent| parent.id == own).ok_or(ChainError::Orphan { id: block.id() })?;
    let before = Header::decode(&previous.row.header).map_err(ChainError::Stored)?;
    if before.author != header.author && !crate::mutant!(FollowAnyAuthor) {
        return Err(ChainError::Rule { id: block.id(), rule: "the previous block is by the same author" });
    }
    if before.sequence.checked_add(1) != Some(header.sequence) && !planted!(SkipSequence) {
        return Err(ChainError::Rule { id: block.id(), rule: "the sequence number follows the previous block's" });
    }
    Ok(())
}
