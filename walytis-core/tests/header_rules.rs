//! Each rule of a header that needs no other block, broken alone: a header that breaks it is encoded strictly, and refused.

#![expect(clippy::panic, reason = "what fails here is the test")]

use walytis_core::limits::{CONTENT_BYTES_MAX, FOREIGN_MAX, PARENTS_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use walytis_core::{
    AuthorKey, BlockError, BlockId, BlockKind, ChainId, ForeignHead, FormatVersion, Hash, Header, Suite,
};

fn header(kind: BlockKind) -> Header {
    Header {
        version: FormatVersion::V1,
        kind,
        suite: kind.suite(),
        chain: ChainId([7; 32]),
        genesis: None,
        parents: parents(2),
        foreign: Vec::new(),
        author: AuthorKey([1; 32]),
        previous: Some(BlockId([9; 32])),
        sequence: 3,
        created_at_ms: 0,
        topics: Vec::new(),
        content_bytes: 5,
        content_hash: Hash([2; 32]),
        ancestry: None,
    }
}

fn parents(count: usize) -> Vec<BlockId> {
    numbered(count).map(BlockId).collect()
}

fn foreign(count: usize) -> Vec<ForeignHead> {
    numbered(count).map(|id| ForeignHead { chain: ChainId([8; 32]), block: BlockId(id) }).collect()
}

/// Ids in their order.
fn numbered(count: usize) -> impl Iterator<Item = [u8; 32]> {
    (0..count).map(|number| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        id
    })
}

/// The field whose rule a header breaks; `None` if it breaks none.
fn broken(header: &Header) -> Option<&'static str> {
    match Header::decode(&header.encode()) {
        Ok(read) => {
            assert_eq!(read, *header);
            None
        }
        Err(BlockError::Rule { field, .. }) => Some(field),
        // A list that is too long is refused while it is decoded.
        Err(BlockError::Codec(_)) => Some("list"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_rule_of_a_header_is_kept() {
    use BlockKind::{Content, Operation, Private};
    type Change = fn(&mut Header);
    let cases: &[(BlockKind, Option<&str>, Change)] = &[
        (Content, None, |_| {}),
        (Private, None, |_| {}),
        (Operation, None, |_| {}),
        // An operation in the suite of other blocks would do without its device's signature.
        (Operation, Some("suite"), |header| header.suite = Suite::Ed25519),
        (Private, Some("suite"), |header| header.suite = Suite::Hybrid),
        (Content, None, |header| header.parents = parents(PARENTS_MAX)),
        (Content, Some("list"), |header| header.parents = parents(PARENTS_MAX + 1)),
        (Content, Some("parents"), |header| header.parents.reverse()),
        (Content, Some("parents"), |header| header.parents[1] = header.parents[0]),
        (Content, Some("parents"), |header| header.previous = header.parents.first().copied()),
        (Operation, None, |header| header.foreign = foreign(FOREIGN_MAX)),
        (Operation, Some("list"), |header| header.foreign = foreign(FOREIGN_MAX + 1)),
        (Operation, Some("foreign heads"), |header| header.foreign = foreign(2).into_iter().rev().collect()),
        (Operation, Some("foreign heads"), |header| header.foreign = [foreign(1), foreign(1)].concat()),
        (Operation, Some("foreign heads"), |header| {
            header.foreign = vec![ForeignHead { chain: header.chain, block: BlockId([0; 32]) }];
        }),
        (Private, Some("foreign heads"), |header| header.foreign = foreign(1)),
        (Content, Some("sequence"), |header| header.sequence = 0),
        (Content, Some("sequence"), |header| header.previous = None),
        (Content, None, |header| header.topics = vec![vec![1; TOPIC_BYTES_MAX]; TOPICS_MAX]),
        (Content, Some("list"), |header| header.topics = vec![Vec::new(); TOPICS_MAX + 1]),
        (Content, Some("topics"), |header| header.topics = vec![vec![1; TOPIC_BYTES_MAX + 1]]),
        // Whoever passes a private block on must not read what it is about.
        (Private, Some("topics"), |header| header.topics = vec![b"secret".to_vec()]),
        (Operation, Some("topics"), |header| header.topics = vec![b"secret".to_vec()]),
        (Content, None, |header| header.content_bytes = CONTENT_BYTES_MAX as u64),
        (Content, Some("content length"), |header| header.content_bytes = CONTENT_BYTES_MAX as u64 + 1),
        (Content, Some("genesis"), |header| header.genesis = Some([1; 32])),
        (Content, Some("genesis"), |header| header.chain = ChainId::ZERO),
        (Content, Some("ancestry"), |header| header.ancestry = Some(Hash([3; 32]))),
    ];
    for (place, (kind, expected, change)) in cases.iter().enumerate() {
        let mut header = header(*kind);
        change(&mut header);
        // Version 1 has no field for a root over ancestors.
        if header.ancestry.is_some() {
            (header.version, header.genesis) = (FormatVersion::V2, Some([1; 32]));
        }
        assert_eq!(broken(&header), *expected, "case {place}");
    }
}
