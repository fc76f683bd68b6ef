//! Moving a living chain to a newer format: from BLAKE3 to SHA-256.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use walytis_core::{
    AuthorSecret, BlockError, BlockId, BlockKind, ChainError, ChainId, Draft, Format, FormatFault, FormatVersion, Hash,
    Header, ParsedBlock, Place, RawBlock, Timestamp, VerifiedBlock, chains,
};
use walytis_engine::public::{
    ArchiveAnswer, ArchiveCommand, ChainAnswer, ChainCommand, ImportError, PublicMessage, Sharing,
};
use walytis_engine::sync::{SyncMessage, WireBlock};

use crate::hostile::{author, push, with_enemy};
use crate::net::Net;

fn upgrade(net: &mut Net, node: usize) {
    let upgrade = ChainCommand::Upgrade { chain: "c".into(), version: FormatVersion::V2 };
    assert!(matches!(net.call(node, upgrade), Ok(ChainAnswer::Done)));
}

fn header(net: &Net, node: usize, id: BlockId) -> Header {
    chains::header(&net.view(node), id).unwrap().unwrap()
}

fn raw_blocks(net: &mut Net, node: usize) -> Vec<RawBlock> {
    let mut all = Vec::new();
    loop {
        let read = ArchiveCommand::Read { chain: "c".into(), from: all.len() as u64 };
        match net.call(node, ChainCommand::Archive(read)).unwrap() {
            ChainAnswer::Archive(ArchiveAnswer::Blocks { blocks, length, .. }) => {
                all.extend(blocks);
                if all.len() as u64 == length {
                    return all;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn import(net: &mut Net, node: usize, chain: ChainId, blocks: Vec<RawBlock>) -> (u64, Option<ImportError>) {
    let take = ArchiveCommand::Take { chain, name: Some("c".into()), blocks };
    match net.call(node, ChainCommand::Archive(take)).unwrap() {
        ChainAnswer::Archive(ArchiveAnswer::Taken { new, refused, .. }) => (new, refused),
        other => panic!("{other:?}"),
    }
}

/// What `docs/format.md` says about versions, written down once more and on raw blocks alone, parents first. Returns how
/// many blocks have a root over their ancestors.
fn check_formats(blocks: &[RawBlock]) -> usize {
    let sha = |parts: &[&[u8]]| -> [u8; 32] { Sha256::digest(parts.concat()).into() };
    let mut digests: BTreeMap<BlockId, [u8; 32]> = BTreeMap::new();
    let mut versions: BTreeMap<BlockId, FormatVersion> = BTreeMap::new();
    let mut roots = 0;
    for raw in blocks {
        let header = Header::decode(&raw.header).unwrap();
        let of_parents: Vec<[u8; 32]> = header.all_parents().map(|parent| digests[&parent]).collect();
        let older = header.all_parents().filter(|parent| versions[parent] < header.version).count();
        assert!(header.all_parents().all(|parent| versions[&parent] <= header.version));
        let (id, digest) = match raw.header[0] {
            1 => {
                let length = (raw.header.len() as u64).to_le_bytes();
                let tag = b"walytis/ancestor\x00\x02";
                let digest = sha(&[tag, &length, &raw.header, &sha(&[&raw.content]), of_parents.as_flattened()]);
                (*blake3::hash(&raw.header).as_bytes(), digest)
            }
            2 => {
                let id = sha(&[&raw.header]);
                (id, id)
            }
            other => panic!("version {other}"),
        };
        let root = Hash(sha(&[b"walytis/ancestry\x00\x02", of_parents.as_flattened()]));
        assert_eq!(header.ancestry, (older > 0).then_some(root));
        roots += usize::from(older > 0);
        digests.insert(BlockId(id), digest);
        versions.insert(BlockId(id), header.version);
    }
    roots
}

fn check_all(net: &mut Net, nodes: &[usize], posts: usize) {
    let first = net.list(nodes[0]);
    assert_eq!(first.len(), posts);
    for node in nodes {
        let ids = |entries: &[walytis_engine::public::ChainEntry]| {
            entries.iter().map(|entry| (entry.id, entry.content.clone())).collect::<Vec<_>>()
        };
        assert_eq!(ids(&net.list(*node)), ids(&first), "node {node}");
        net.check(*node);
        let view = net.view(*node);
        for chain in chains::all_chains(&view).unwrap() {
            chains::recheck_heads(&view, chain).unwrap();
        }
        assert!(check_formats(&raw_blocks(net, *node)) > 0);
        let details = net.details(*node);
        assert!(details.equivocations.is_empty() && details.newer == 0);
    }
}

/// Deliverable: a living chain moves from BLAKE3 to SHA-256.
#[test]
fn a_living_chain_moves_from_blake3_to_sha256() {
    let mut net = Net::new(41, 6);
    let (late, offline) = (4, 5);
    net.found(0);
    let code = net.invite(0, None, Sharing::Joiners);
    for node in 1..4 {
        net.join(node, &code).unwrap();
    }
    let mut posts = 0;
    for round in 0..3 {
        for node in 0..4 {
            net.post(node, format!("{node} before {round}").as_bytes());
            posts += 1;
            // Some of them are concurrent.
            if round != 1 {
                net.run(300);
            }
        }
    }
    net.run(2_000);
    for (a, b) in [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)] {
        net.cut(a, b);
    }

    // The wish survives a restart, and is carried out with the next block.
    assert_eq!(net.details(0).next_format, FormatVersion::V1);
    upgrade(&mut net, 0);
    net.run(10);
    net.kill(0);
    net.start(0);
    net.run(10);
    net.link(0, 1);
    net.run(2_000);
    let details = net.details(0);
    assert_eq!((details.next_format, details.head_formats.as_slice()), (FormatVersion::V2, &[FormatVersion::V1][..]));
    let moved = net.post(0, b"the first in SHA-256");
    let first = header(&net, 0, moved);
    assert_eq!((first.version, first.ancestry.is_some()), (FormatVersion::V2, true));
    // Who hears of it goes on from there, and has not wished for anything.
    net.run(2_000);
    let next = net.post(1, b"behind it");
    let next = header(&net, 1, next);
    assert_eq!((next.version, next.ancestry.is_some()), (FormatVersion::V2, true), "its author's own last is older");
    let third = net.post(1, b"behind that");
    let third = header(&net, 1, third);
    assert_eq!((third.version, third.ancestry), (FormatVersion::V2, None));
    // Meanwhile, on other branches: one that is moved as well, and one that stays as it is.
    for (node, version) in [(2, FormatVersion::V1), (3, FormatVersion::V1)] {
        let id = net.post(node, b"apart");
        assert_eq!(header(&net, node, id).version, version);
    }
    upgrade(&mut net, 2);
    let other = net.post(2, b"moved, too");
    let other = header(&net, 2, other);
    assert_eq!(other.version, FormatVersion::V2);
    assert_ne!(other.ancestry, first.ancestry, "it has other ancestors");
    net.post(3, b"still apart");
    posts += 7;

    net.mend();
    for (a, b) in [(0, 2), (1, 2), (0, 3), (2, 3)] {
        net.link(a, b);
    }
    net.run(60_000);
    check_all(&mut net, &[0, 1, 2, 3], posts);
    assert_eq!(net.details(3).head_formats, [FormatVersion::V1, FormatVersion::V2]);
    let merge = net.post(3, b"all branches");
    posts += 1;
    let merge = header(&net, 3, merge);
    assert_eq!((merge.version, merge.ancestry.is_some()), (FormatVersion::V2, true));
    net.run(2_000);
    assert_eq!(net.details(0).head_formats, [FormatVersion::V2]);

    // Who joins now, and who gets it as a file.
    let code = net.invite(0, None, Sharing::Joiners);
    net.join(late, &code).unwrap();
    let (chain, blocks) = (net.details(0).summary.chain, raw_blocks(&mut net, 0));
    let mut pieces = blocks.chunks(7);
    assert_eq!(import(&mut net, offline, chain, pieces.next().unwrap().to_vec()), (7, None));
    net.run(10);
    net.kill(offline);
    net.start(offline);
    net.run(10);
    for piece in pieces {
        assert_eq!(import(&mut net, offline, chain, piece.to_vec()), (piece.len() as u64, None));
    }
    net.run(2_000);
    check_all(&mut net, &[0, 1, 2, 3, late, offline], posts);
    for node in [late, offline] {
        let id = net.post(node, b"new here");
        assert_eq!(header(&net, node, id).version, FormatVersion::V2);
        posts += 1;
    }
    net.link(offline, 0);
    net.run(60_000);
    check_all(&mut net, &[0, 1, 2, 3, late, offline], posts);
}

fn made(format: Format, chain: ChainId, parents: Vec<BlockId>, by: &AuthorSecret, content: &[u8]) -> VerifiedBlock {
    let place = Place::After { chain, parents, previous: None };
    let draft =
        Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics: Vec::new(), content: content.to_vec() };
    draft.sign_alone_in(format, by, Timestamp(1)).unwrap()
}

/// A block of version 2 behind the genesis, as it has to be.
fn honest(net: &Net, node: usize, chain: ChainId, by: &AuthorSecret) -> VerifiedBlock {
    let place = Place::After { chain, parents: vec![chain.into()], previous: None };
    let format = chains::format_at(&net.view(node), &place, FormatVersion::V2).unwrap();
    made(format, chain, vec![chain.into()], by, b"moved")
}

/// B3: a block whose format does not fit its parents' is refused, for a reason that has a name, and costs its sender the
/// connection.
#[test]
fn a_format_that_does_not_fit_its_parents_is_refused() {
    type Forge = fn(ChainId, BlockId) -> (Format, BlockId);

    /// Whether a fault is the one that is expected.
    type Expected = fn(&FormatFault) -> bool;
    let cases: &[(&str, Forge, Expected)] = &[
        (
            "a forged root",
            |chain, _| (Format { version: FormatVersion::V2, ancestry: Some(Hash([7; 32])) }, chain.into()),
            |fault| matches!(fault, FormatFault::WrongAncestry),
        ),
        (
            "no root",
            |chain, _| (Format { version: FormatVersion::V2, ancestry: None }, chain.into()),
            |fault| matches!(fault, FormatFault::NoAncestry),
        ),
        (
            "a root where none belongs",
            |_, moved| (Format { version: FormatVersion::V2, ancestry: Some(Hash([7; 32])) }, moved),
            |fault| matches!(fault, FormatFault::NeedlessAncestry),
        ),
        (
            "a version below a parent's",
            |_, moved| (Format::default(), moved),
            |fault| {
                matches!(
                    fault,
                    FormatFault::Older { version: FormatVersion::V1, parent_version: FormatVersion::V2, .. }
                )
            },
        ),
    ];
    for (number, (what, forge, is)) in cases.iter().enumerate() {
        let (mut net, chain, enemy) = with_enemy(420 + number as u64, 3);
        let moved = honest(&net, 0, chain, &author(1));
        push(&mut net, enemy, 0, &moved);
        net.run(1_000);
        assert_eq!(net.list(0).len(), 2, "{what}");
        let (format, parent) = forge(chain, moved.id());
        let forged = made(format, chain, vec![parent], &author(2), b"forged");

        let mut view = net.view(0);
        match chains::insert(&mut view, &forged) {
            Err(ChainError::Format { id, fault }) => assert!(id == forged.id() && is(&fault), "{what}: {fault}"),
            other => panic!("{what}: {other:?}"),
        }
        assert!(view.close_step().is_none(), "{what}: nothing of it is written");
        let (new, refused) = import(&mut net, 0, chain, vec![forged.raw().clone()]);
        assert!(new == 0 && matches!(refused, Some(ImportError::Format { fault, .. }) if is(&fault)), "{what}");

        push(&mut net, enemy, 0, &forged);
        net.run(1_000);
        assert!(!net.connected(enemy, 0), "{what}");
        assert_eq!(net.list(0).len(), 2, "{what}");
        net.post(1, b"goes on");
        net.run(30_000);
        assert_eq!(net.list(0).len(), 3, "{what}");
        net.check(0);
    }
}

/// Other ancestors, another root. That contents are bound apart from headers is held by the model above.
#[test]
fn a_root_is_of_all_ancestors() {
    let roots = |content: &[u8], behind: bool| {
        let mut net = Net::new(43, 1);
        net.found(0);
        let chain = net.details(0).summary.chain;
        net.post(0, content);
        if behind {
            net.post(0, b"behind");
        }
        let heads = net.heads(0);
        let place = Place::After { chain, parents: heads, previous: None };
        chains::format_at(&net.view(0), &place, FormatVersion::V2).unwrap().ancestry.unwrap()
    };
    assert_eq!(roots(b"one", false), roots(b"one", false));
    let others = [roots(b"one", false), roots(b"two", false), roots(b"one", true), roots(b"two", true)];
    for (at, one) in others.iter().enumerate() {
        assert!(!others[at + 1..].contains(one));
    }
}

/// Row 14: a block of a newer version is refused with an error of its own, wherever it comes from, and the rest goes on.
#[test]
fn a_block_of_a_newer_version_is_refused_with_its_own_error_and_the_rest_goes_on() {
    let (mut net, chain, enemy) = with_enemy(44, 2);
    upgrade(&mut net, 0);
    net.post(0, b"moved");
    let mut newer = honest(&net, 0, chain, &author(1)).raw().clone();
    newer.header[0] = 3;
    let error = ParsedBlock::parse(newer.clone()).unwrap_err();
    assert_eq!(error, BlockError::Newer { version: 3, known: 2 });
    assert_eq!(error.to_string(), "a block's format has version 3 and this program knows up to 2: update the program");
    let wire = |block: RawBlock| WireBlock { block, attachment: None, foreign: Vec::new() };
    let good = honest(&net, 0, chain, &author(2)).raw().clone();
    let heads = vec![Header::id_of(&newer.header), Header::id_of(&good.header)];
    net.send(enemy, 0, PublicMessage::Sync(SyncMessage::Heads { chain, heads }).frame());
    net.run(100);
    let blocks = vec![wire(newer.clone()), wire(good)];
    net.send(enemy, 0, PublicMessage::Sync(SyncMessage::Portion { chain, blocks, left: 0 }).frame());
    net.run(200);
    assert!(net.connected(enemy, 0), "an honest node may be of a newer version");
    assert_eq!((net.list(0).len(), net.details(0).newer), (3, 1));
    let (new, refused) = import(&mut net, 0, chain, vec![newer]);
    assert_eq!((new, refused), (0, Some(ImportError::Block(error))));
    net.check(0);
}

/// Version 0 was never one: no honest program writes it.
#[test]
fn version_zero_is_no_newer_one() {
    let (mut net, chain, enemy) = with_enemy(45, 2);
    let mut none = honest(&net, 0, chain, &author(1)).raw().clone();
    none.header[0] = 0;
    let block = WireBlock { block: none, attachment: None, foreign: Vec::new() };
    net.send(enemy, 0, PublicMessage::Sync(SyncMessage::Push { chain, block }).frame());
    net.run(200);
    assert!(!net.connected(enemy, 0));
    assert_eq!(net.details(0).newer, 0);
}

/// With more heads than a block has parents, the next block may stand above a newer one that is not shown, or beside it.
#[test]
fn the_format_of_the_next_block_is_told_as_it_will_be() {
    let mut told = BTreeMap::new();
    for seed in 0..24 {
        let (mut net, chain, enemy) = with_enemy(900 + seed, 2);
        let moved = honest(&net, 0, chain, &author(1));
        if seed % 2 == 0 {
            push(&mut net, enemy, 0, &moved);
            net.run(100);
        }
        crate::hostile::fan(&mut net, enemy, 0, 60);
        net.run(1_000);
        if seed % 2 == 1 {
            push(&mut net, enemy, 0, &moved);
            net.run(100);
        }
        let details = net.details(0);
        assert_eq!((details.head_count, details.head_formats.len()), (62, 2));
        let id = net.post(0, b"next");
        assert_eq!(details.next_format, header(&net, 0, id).version, "seed {seed}");
        *told.entry(details.next_format).or_insert(0) += 1;
    }
    assert_eq!(told.len(), 2, "both happen: {told:?}");
}
