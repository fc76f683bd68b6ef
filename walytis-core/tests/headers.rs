//! Headers of every format version: one encoding, and an id that binds all of it.
#![expect(clippy::panic, reason = "what fails here is the test")]

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use walytis_core::{
    AuthorKey, BlockError, BlockId, BlockKind, ChainId, CodecError, ForeignHead, FormatVersion, Hash, Header,
};

fn ids(most: usize) -> impl Strategy<Value = Vec<BlockId>> {
    proptest::collection::btree_set(any::<[u8; 32]>(), 1..most).prop_map(|ids| ids.into_iter().map(BlockId).collect())
}

/// Headers that keep the rules.
fn headers() -> impl Strategy<Value = Header> {
    let kind = prop_oneof![
        Just(BlockKind::Content),
        Just(BlockKind::Private),
        Just(BlockKind::Operation),
        Just(BlockKind::Checkpoint),
    ];
    let version = prop_oneof![Just(FormatVersion::V1), Just(FormatVersion::V2)];
    let topics = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..4);
    let own = proptest::option::of((any::<[u8; 32]>(), 1..u64::MAX));
    let hashes = (any::<[u8; 32]>(), proptest::option::of(any::<[u8; 32]>()), proptest::option::of(any::<[u8; 32]>()));
    (version, kind, ids(5), own, topics, any::<[u8; 32]>(), any::<u64>(), 0..1_048_577_u64, hashes).prop_map(
        |(version, kind, parents, own, topics, author, created_at_ms, content_bytes, (hash, ancestry, foreign))| {
            let foreign = foreign.filter(|_| kind == BlockKind::Operation);
            Header {
                version,
                kind,
                suite: kind.suite(),
                chain: ChainId([7; 32]),
                genesis: None,
                parents,
                foreign: foreign
                    .map(|id| ForeignHead { chain: ChainId([8; 32]), block: BlockId(id) })
                    .into_iter()
                    .collect(),
                author: AuthorKey(author),
                previous: own.map(|(id, _)| BlockId(id)),
                sequence: own.map_or(0, |(_, sequence)| sequence),
                created_at_ms,
                topics: if kind == BlockKind::Content { topics } else { Vec::new() },
                content_bytes,
                content_hash: Hash(hash),
                ancestry: ancestry.map(Hash).filter(|_| version == FormatVersion::V2),
            }
        },
    )
}

fn run<S: Strategy>(strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(Default::default()))
        .run(strategy, check)
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn b1_a_header_of_any_version_has_one_encoding() {
    run(&headers(), |header| {
        let bytes = header.encode();
        prop_assert_eq!(bytes[0], header.version.number());
        prop_assert_eq!(Header::decode(&bytes), Ok(header.clone()));
        let trailing = [&bytes[..], &[0]].concat();
        prop_assert_eq!(Header::decode(&trailing), Err(BlockError::Codec(CodecError::Trailing { bytes: 1 })));
        prop_assert!(Header::decode(&bytes[..bytes.len() - 1]).is_err());
        Ok(())
    });
}

#[test]
fn b2_the_id_of_any_version_binds_every_byte() {
    run(&(headers(), any::<Index>(), 1..=255_u8), |(header, at, change)| {
        let bytes = header.encode();
        let id = Header::id_of(&bytes);
        let expected: [u8; 32] = match header.version {
            FormatVersion::V1 => *blake3::hash(&bytes).as_bytes(),
            _ => <sha2::Sha256 as sha2::Digest>::digest(&bytes).into(),
        };
        prop_assert_eq!(id, BlockId(expected));
        let mut changed = bytes.clone();
        let at = at.index(bytes.len());
        changed[at] ^= change;
        prop_assert_ne!(Header::id_of(&changed), id);
        if let Ok(decoded) = Header::decode(&changed) {
            prop_assert_ne!(&decoded, &header);
            prop_assert_eq!(decoded.encode(), changed);
        }
        Ok(())
    });
}

#[test]
fn a_root_over_ancestors_stands_only_where_it_can() {
    run(&headers(), |header| {
        let root = Some(Hash([1; 32]));
        // Version 1 has no place for one.
        let old = Header { version: FormatVersion::V1, ancestry: root, ..header.clone() };
        prop_assert_eq!(Header::decode(&old.encode()).unwrap().ancestry, None);
        let founds = Header {
            version: FormatVersion::V2,
            kind: BlockKind::Content,
            suite: BlockKind::Content.suite(),
            chain: ChainId::ZERO,
            genesis: Some([1; 32]),
            parents: Vec::new(),
            foreign: Vec::new(),
            previous: None,
            sequence: 0,
            ancestry: None,
            ..header
        };
        prop_assert!(Header::decode(&founds.encode()).is_ok());
        let founds = Header { ancestry: root, ..founds };
        let refused = matches!(Header::decode(&founds.encode()), Err(BlockError::Rule { field: "ancestry", .. }));
        prop_assert!(refused);
        Ok(())
    });
}
