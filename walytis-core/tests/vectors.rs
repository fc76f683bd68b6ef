//! The encodings that `docs/format.md` draws, byte for byte. `vectors.txt` holds what they were when they were settled.
#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use walytis_core::{
    AuthorSecret, Batch, BlockKind, Draft, FormatVersion, HybridSecret, KeyRange, ParsedBlock, Pending, Place, Record,
    Store, StoreError, Suite, Table, Timestamp, Transcript, VerifiedBlock, chains,
};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn sign(draft: Draft) -> VerifiedBlock {
    let (author, device) = (AuthorSecret::from_seed(&[1; 32]), HybridSecret::from_seed(&[2; 64]));
    draft.sign(&author, &device, Timestamp(1_700_000_000_000), &mut ChaCha20Rng::from_seed([6; 32])).unwrap()
}

fn block(kind: BlockKind, place: Place, content: &[u8]) -> VerifiedBlock {
    sign(Draft { kind, place, foreign: vec![], topics: vec![], content: content.to_vec() })
}

/// Two blocks of version 2 on a public chain: the first behind the genesis, the second behind that, by somebody else.
fn version_2() -> [VerifiedBlock; 2] {
    let genesis = block(BlockKind::Content, Place::Genesis([4; 32]), &[1, 0]);
    let mut view = Pending::new(Arc::new(Nothing));
    chains::insert(&mut view, &genesis).unwrap();
    let mut parent = genesis.id();
    [(1, "moved"), (4, "next")].map(|(author, content)| {
        let place = Place::After { chain: genesis.chain(), parents: vec![parent], previous: None };
        let format = chains::format_at(&view, &place, FormatVersion::V2).unwrap();
        let content = content.as_bytes().to_vec();
        let draft = Draft { kind: BlockKind::Content, place, foreign: vec![], topics: vec![], content };
        let author = AuthorSecret::from_seed(&[author; 32]);
        let block = draft.sign_alone_in(format, &author, Timestamp(1_700_000_000_000)).unwrap();
        chains::insert(&mut view, &block).unwrap();
        parent = block.id();
        block
    })
}

/// A store in which nothing ever is: what is written stays under way.
struct Nothing;

impl Store for Nothing {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn scan(&self, _: Table, _: KeyRange<'_>, _: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }

    fn by_prefix(&self, _: Table, _: &[u8], _: [u8; 4], _: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&self, _: &Batch) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn the_format_has_not_changed() {
    let genesis = block(BlockKind::Operation, Place::Genesis([3; 32]), b"genesis");
    let place = Place::After { chain: genesis.chain(), parents: vec![genesis.id()], previous: Some((genesis.id(), 0)) };
    let private = block(BlockKind::Private, place.clone(), b"body");
    let content = sign(Draft {
        kind: BlockKind::Content,
        place,
        foreign: vec![],
        topics: vec![b"a".to_vec(), b"".to_vec()],
        content: b"text".to_vec(),
    });
    let [moved, next] = version_2();
    let device = HybridSecret::from_seed(&[2; 64]);
    let found = [
        ("author.key", hex(&AuthorSecret::from_seed(&[1; 32]).public().0)),
        ("device.key.id", hex(&device.public().id().0)),
        ("transcript", hex(Transcript::new("test", Suite::Ed25519).field(b"ab").field(b"").as_bytes())),
        ("genesis.header", hex(&genesis.raw().header)),
        ("genesis.id", hex(&genesis.id().0)),
        ("genesis.signature.blake3", hex(blake3::hash(&genesis.raw().signature).as_bytes())),
        ("private.header", hex(&private.raw().header)),
        ("private.id", hex(&private.id().0)),
        ("private.signature", hex(&private.raw().signature)),
        ("content.header", hex(&content.raw().header)),
        ("content.id", hex(&content.id().0)),
        ("moved.header", hex(&moved.raw().header)),
        ("moved.id", hex(&moved.id().0)),
        ("moved.signature", hex(&moved.raw().signature)),
        ("next.header", hex(&next.raw().header)),
        ("next.id", hex(&next.id().0)),
    ];
    let found: Vec<String> = found.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let settled: Vec<&str> = include_str!("vectors.txt").lines().collect();
    assert_eq!(found, settled, "\n{}\n", found.join("\n"));
    for block in [genesis, private, content, moved, next] {
        let again = ParsedBlock::parse(block.raw().clone()).unwrap();
        assert!(again.verify(Some(device.public())).is_ok());
    }
}
