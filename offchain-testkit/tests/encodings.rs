//! Encodings and sealed bytes: one id for a block, one place for sealed content. That a value has one encoding is held by
//! `malformed.rs`.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{Puppet, World};
use proptest::prelude::*;
use proptest::sample::Index;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use walytis_core::{
    AuthorKey, BlockId, ChainId, CodecError, ForeignHead, Header, ParsedBlock, RawBlock, Suite, chains,
};
use walytis_engine::sync::{IDS_MAX, SyncMessage, WANTED_MAX, WireBlock};
use walytis_identities::EpochKey;
use walytis_offchain::{Message, OpenContent, PrivateBody, SealedPlace};

/// A group with some history, and somebody who may look into it.
fn history(seed: u64) -> (World, Puppet, ChainId) {
    let mut world = calm(seed);
    let [a, b, c] = nodes(&mut world);
    group_of(&mut world, "friends", a, &[b, c]);
    for number in 0..3_u8 {
        post(&mut world, a, "friends", &[number; 40]);
        world.cut(a, b);
        post(&mut world, b, "friends", &[number; 50]);
        world.mend(a, b);
    }
    converge(&mut world, "friends", &[a, b, c]);
    let group = group_id(&mut world, a, "friends");
    let puppet = Puppet::possess(&mut world, a).expect("a sound store");
    (world, puppet, group)
}

fn blocks(puppet: &Puppet) -> Vec<RawBlock> {
    let mut blocks = Vec::new();
    for chain in chains::all_chains(&puppet.view).expect("a sound store") {
        for position in 0..chains::length(&puppet.view, chain).expect("a sound store") {
            let stored = chains::block_at(&puppet.view, chain, position).expect("a sound store").expect("a block");
            blocks.push(stored.block.raw().clone());
        }
    }
    blocks
}

type Change = fn(&mut Header);

#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    Extend(Vec<u8>),
    /// A number that ends here goes on for no reason: how an overlong integer is made.
    Overlong(Index),
    /// A part of the bytes again, behind itself.
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Truncate),
        proptest::collection::vec(any::<u8>(), 1..9).prop_map(Damage::Extend),
        any::<Index>().prop_map(Damage::Overlong),
        (any::<Index>(), any::<Index>()).prop_map(|(at, to)| Damage::Repeat(at, to)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    // Half of the damage goes to the first bytes, where numbers and lengths are dense.
    let near = |at: &Index, length: usize| {
        let at = at.index(2 * length);
        if at >= length { at % length.min(48) } else { at }
    };
    let length = bytes.len();
    match damage {
        Damage::Set(at, byte) => bytes[near(at, length)] = *byte,
        Damage::Flip(at, bit) => bytes[near(at, length)] ^= 1 << bit,
        Damage::Insert(at, byte) => bytes.insert(near(at, length), *byte),
        Damage::Remove(at) => drop(bytes.remove(near(at, length))),
        Damage::Truncate(at) => bytes.truncate(near(at, length)),
        Damage::Extend(more) => bytes.extend_from_slice(more),
        Damage::Overlong(at) => {
            let at = near(at, length);
            bytes[at] |= 0x80;
            bytes.insert(at + 1, 0);
        }
        Damage::Repeat(at, to) => {
            let (at, to) = (near(at, length), near(to, length));
            let part = bytes[at.min(to)..at.max(to)].to_vec();
            bytes.splice(at.max(to)..at.max(to), part);
        }
    }
    bytes
}

#[test]
fn b1_parsing_a_block_never_changes_it() {
    let (_, puppet, _) = history(22);
    let all = blocks(&puppet);
    runner(2_000)
        .run(&(any::<Index>(), 0..3_u8, damage()), |(which, part, damage)| {
            let mut raw = which.get(&all).clone();
            match part {
                0 => raw.header = damaged(raw.header, &damage),
                1 => raw.signature = damaged(raw.signature, &damage),
                _ => raw.content = damaged(raw.content, &damage),
            }
            if let Ok(parsed) = ParsedBlock::parse(raw.clone()) {
                prop_assert_eq!(parsed.raw(), &raw);
                prop_assert_eq!(parsed.header().encode(), raw.header);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn b2_the_id_binds_every_field() {
    let (_, puppet, _) = history(23);
    let changes: Vec<(&str, Change)> = vec![
        ("suite", |header| header.suite = if header.suite == Suite::Hybrid { Suite::Ed25519 } else { Suite::Hybrid }),
        ("kind", |header| {
            use walytis_core::BlockKind::{Content, Private};
            header.kind = if header.kind == Private { Content } else { Private };
        }),
        ("chain", |header| header.chain.0[31] ^= 1),
        ("genesis", |header| header.genesis = if header.genesis.is_some() { None } else { Some([0; 32]) }),
        ("a parent more", |header| header.parents.push(BlockId([255; 32]))),
        ("a parent less", |header| header.parents.truncate(header.parents.len().saturating_sub(1))),
        ("the order of the parents", |header| header.parents.reverse()),
        ("a foreign head", |header| {
            header.foreign.push(ForeignHead { chain: ChainId([9; 32]), block: BlockId([9; 32]) })
        }),
        ("author", |header| header.author = AuthorKey([9; 32])),
        ("previous", |header| header.previous = Some(BlockId([9; 32]))),
        ("sequence", |header| header.sequence += 1),
        ("time", |header| header.created_at_ms += 1),
        ("a topic", |header| header.topics.push(vec![0])),
        ("an empty topic", |header| header.topics.push(Vec::new())),
        ("the length", |header| header.content_bytes += 1),
        ("the hash", |header| header.content_hash.0[0] ^= 1),
    ];
    for raw in blocks(&puppet) {
        let header = Header::decode(&raw.header).expect("an honest header");
        assert_eq!(header.encode(), raw.header);
        let mut ids = vec![Header::id_of(&raw.header)];
        for (what, change) in &changes {
            let mut changed = header.clone();
            change(&mut changed);
            if changed != header {
                let id = Header::id_of(&changed.encode());
                assert!(!ids.contains(&id), "{what}");
                ids.push(id);
            }
        }
        // A NUL byte or a length moved between topics shifts nothing.
        let with = |topics: &[&[u8]]| {
            let topics = topics.iter().map(|topic| topic.to_vec()).collect();
            Header::id_of(&Header { topics, ..header.clone() }.encode())
        };
        let topics =
            [with(&[b"a\0", b"b"]), with(&[b"a", b"\0b"]), with(&[b"a\0b"]), with(&[b"a", b"", b"b"]), with(&[])];
        for (position, one) in topics.iter().enumerate() {
            assert!(!topics[position + 1..].contains(one));
        }
        // The content is bound by its hash and its length.
        for content in [Vec::new(), [&raw.content[..], &[0]].concat(), raw.content[1..].to_vec()] {
            assert!(ParsedBlock::parse(RawBlock { content, ..raw.clone() }).is_err());
        }
    }
}

#[test]
fn s5_sealed_content_opens_nowhere_else() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let key = EpochKey::from_bytes(&[1; 32]);
    let place = SealedPlace { chain: ChainId([1; 32]), block: BlockId([2; 32]), epoch: BlockId([3; 32]) };
    let text = b"the same words".to_vec();
    let mut content = || OpenContent::new(vec![b"topic".to_vec()], text.clone(), &mut rng).expect("short content");
    let (one, other) = (content(), content());
    let body = PrivateBody::new(place.epoch, &one);
    let sealed = one.seal(&key, &place, &mut rng);
    assert_eq!(OpenContent::open(&sealed, &key, &place, &body).as_ref(), Ok(&one));

    let places = [
        SealedPlace { chain: ChainId([9; 32]), ..place },
        SealedPlace { block: BlockId([9; 32]), ..place },
        SealedPlace { epoch: BlockId([9; 32]), ..place },
        SealedPlace { chain: ChainId(place.block.0), block: BlockId(place.chain.0), epoch: place.epoch },
    ];
    for moved in places {
        assert!(OpenContent::open(&sealed, &key, &moved, &body).is_err(), "{moved:?}");
    }
    assert!(OpenContent::open(&sealed, &EpochKey::from_bytes(&[2; 32]), &place, &body).is_err(), "another epoch's key");
    // Even equal words, in the same place and under the same key, are another block's content: each has its salt.
    let body_of_other = PrivateBody::new(place.epoch, &other);
    assert!(OpenContent::open(&sealed, &key, &place, &body_of_other).is_err());
    assert!(OpenContent::decode(&one.encode(), &body_of_other).is_err());
    assert_ne!(sealed, one.seal(&key, &place, &mut rng), "each sealing draws its own key and nonce");

    runner(500)
        .run(&damage(), |damage| {
            let bytes = damaged(sealed.clone(), &damage);
            prop_assert!(bytes == sealed || OpenContent::open(&bytes, &key, &place, &body).is_err());
            let bytes = damaged(one.encode(), &damage);
            prop_assert!(bytes == one.encode() || OpenContent::decode(&bytes, &body).is_err());
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn s5_content_rows_that_were_swapped_at_rest_are_noticed() {
    use walytis_core::{Batch, Keys, Rows, Store as _, Table};
    let mut world = calm(24);
    let [a] = nodes(&mut world);
    group_of(&mut world, "friends", a, &[]);
    let ids = [post(&mut world, a, "friends", b"one"), post(&mut world, a, "friends", b"two")];
    assert_sound(&world, a);
    world.kill(a);
    let contents = Table { name: "offchain.contents", keys: Keys::Hidden, rows: Rows::Permanent };
    let store = world.store(a);
    let rows = ids.map(|id| store.get(contents, &id.0).expect("a sound store").expect("it is there"));
    let mut batch = Batch::new();
    batch.put(contents, ids[0].0, rows[1].clone());
    batch.put(contents, ids[1].0, rows[0].clone());
    store.commit(&batch).expect("a sound store");
    let report = walytis_offchain::check(store, &mut |_, _| {}).expect("it can be read");
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    world.start(a).expect("it opens");
    let page = walytis_offchain::Command::List { group: "friends".into(), after: None, below: None, topic: None };
    assert!(matches!(world.call(a, page, LONG_MS), Some(Err(_))), "swapped content is never shown");
}

#[test]
fn b1_unknown_versions_are_refused_with_their_numbers() {
    let (_, puppet, _) = history(25);
    for raw in blocks(&puppet) {
        for version in [0, 3, 255] {
            let mut header = raw.header.clone();
            header[0] = version;
            let error = Header::decode(&header).expect_err("an unknown version").to_string();
            assert!(error.contains(&format!("version {version} ")), "{error}");
        }
    }
    let wire = WireBlock { block: blocks(&puppet).remove(0), attachment: None, foreign: Vec::new() };
    let mut message = Message::Sync(SyncMessage::Push { chain: ChainId([1; 32]), block: wire }).encode();
    message[0] = 9;
    assert!(Message::decode(&message).is_err());
}

#[test]
fn lists_of_ids_that_exceed_their_bound_are_refused() {
    type List = fn(ChainId, Vec<BlockId>) -> SyncMessage;
    let lists: [(usize, List); 3] = [
        (IDS_MAX, |chain, heads| SyncMessage::Heads { chain, heads }),
        (IDS_MAX, |chain, have| SyncMessage::Pull { chain, have }),
        (WANTED_MAX, |chain, ids| SyncMessage::WantAttachments { chain, ids }),
    ];
    let of = |list: List, count: usize| Message::Sync(list(ChainId([1; 32]), vec![BlockId([2; 32]); count]));
    for (most, list) in lists {
        let fits = of(list, most);
        assert_eq!(Message::decode(&fits.encode()), Ok(fits));
        assert_eq!(Message::decode(&of(list, most + 1).encode()), Err(CodecError::Malformed));
    }
}
