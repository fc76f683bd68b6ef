//! What newer programs send: blocks of a newer format, which groups do not take yet, and whatever else has a number.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::sync::Arc;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::reconcile::{Differ, Salt};
use walytis_core::{
    BlockError, BlockKind, ChainId, CodeText, CodecError, Draft, Format, FormatVersion, Hash, Header, HybridSecret,
    ParsedBlock, Pending, RawBlock, Store, Suite, Table, chains,
};
use walytis_engine::public::{ChainCode, CodeError, PublicMessage};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::session::{FirstFlight, LocalDevice, SessionError};
use walytis_identities::{
    History, InvitationCode, InvitationError, OPERATION_VERSION, Operation, OperationError, Refusal, WrapError, Wraps,
};
use walytis_offchain::{
    Attachment, Command, ContentError, JoinRefusal, Message, NewerKind, OpenContent, PrivateBody, SealedPlace,
};

const GROUP: &str = "friends";

/// A block by the puppet behind the heads of its view, in a format.
fn block(puppet: &mut Puppet, world: &World, group: ChainId, format: Format) -> RawBlock {
    let now = world.wall_clock(puppet.node());
    let (device, desk) = puppet.desk(world);
    let (author, place) = device.place(&desk, group).expect("a member");
    let content = b"of a newer format".to_vec();
    let draft = Draft { kind: BlockKind::Private, place, foreign: vec![], topics: vec![], content };
    draft.sign_alone_in(format, &author, now).expect("a well-formed block").raw().clone()
}

#[test]
fn a_group_passes_over_blocks_of_a_newer_format_and_goes_on() {
    let mut world = calm(91);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    post(&mut world, a, GROUP, b"before");
    converge(&mut world, GROUP, &[a, b, m]);
    let group = group_id(&mut world, a, GROUP);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    assert!(puppet.open_session(&mut world, a, group), "a member is spoken to");
    world.run_for(200);
    let before = list(&mut world, a, GROUP).len();
    for ancestry in [Some(Hash([3; 32])), None] {
        let newer = block(&mut puppet, &world, group, Format { version: FormatVersion::V2, ancestry });
        let parsed = ParsedBlock::parse(newer.clone()).expect("it holds by itself");
        let refused = puppet.fold.judge(&puppet.view, parsed).expect_err("groups take version 1");
        assert!(matches!(refused, Refusal::Format { version: FormatVersion::V2, .. }), "{refused}");
        assert!(!refused.is_ours());
        assert!(puppet.push(&mut world, a, group, wire(newer, None)));
        world.run_for(1_000);
        assert!(world.connected(a, m), "an honest member may be of a newer version");
    }
    let (stored, attachment) = puppet.private(&world, group, b"of the old one").expect("a member may");
    assert!(puppet.push(&mut world, a, group, wire(stored.block.raw().clone(), Some(&attachment))));
    world.run_for(1_000);
    post(&mut world, b, GROUP, b"after");
    world.run_for(5_000);
    assert_eq!(list(&mut world, a, GROUP).len(), before + 2);
    assert_sound(&world, a);
}

/// Content of the puppet's, sealed under the group's epoch, on an overlay. Returns the block and what belongs beside it.
fn on_overlay(puppet: &mut Puppet, world: &World, group: ChainId, overlay: u32) -> (RawBlock, Vec<u8>) {
    let (epoch, key) = opened(puppet, group);
    let open = OpenContent::new(Vec::new(), b"not a post".to_vec(), &mut puppet.rng).expect("it is small");
    let mut body = PrivateBody::new(epoch, &open);
    body.overlay = overlay;
    let raw = private(puppet, world, body.encode(), group);
    let place = SealedPlace { chain: group, block: Header::id_of(&raw.header), epoch };
    (raw, open.seal(&key, &place, &mut puppet.rng))
}

#[test]
fn f7_f14_an_old_node_keeps_working_beside_a_hostile_newer_one() {
    let (mut world, [a, b, m], mut puppet, group) = possessed(92, GROUP, 0..2);
    let before = list(&mut world, a, GROUP).len();
    let body = |number: u8| [&[2, 9, 9][..], &[number; 40]].concat();
    let sealed = Attachment::Sealed(vec![7; 400].into()).encode();
    let opened = Attachment::Open(vec![8; 400].into()).encode();
    let unknown = [&[9][..], &[6; 400]].concat();
    let mut blocks = Vec::new();
    for (number, beside) in [(1, Some(&sealed)), (2, Some(&opened)), (3, Some(&unknown)), (4, None)] {
        let raw = private(&mut puppet, &world, body(number), group);
        blocks.push((raw, beside.cloned()));
    }
    for overlay in [7, 8, 7] {
        let (raw, sealed) = on_overlay(&mut puppet, &world, group, overlay);
        blocks.push((raw, Some(Attachment::Sealed(sealed.into()).encode())));
    }
    let mut sent = Vec::new();
    for (raw, beside) in blocks {
        sent.push(Header::id_of(&raw.header));
        let block = WireBlock { block: raw, attachment: beside.map(Into::into), foreign: Vec::new() };
        for to in [a, b] {
            assert!(puppet.push(&mut world, to, group, block.clone()));
        }
        world.run_for(200);
    }
    // Messages, frames and operations that nobody knows.
    let operation = [OPERATION_VERSION, 200, 1, 2, 3].to_vec();
    let now = world.wall_clock(m);
    let (device, desk) = puppet.desk(&world);
    let (author, place) = device.place(&desk, group).expect("a member");
    let draft = Draft { kind: BlockKind::Operation, place, foreign: vec![], topics: vec![], content: operation };
    let unknown = draft.sign(&author, &device.secret, now, desk.rng).expect("a block").parsed().raw().clone();
    for to in [a, b] {
        for bytes in [&[2, 0][..], &[1, 60, 1], &[1, 1, 70, 1], &[1, 4, 33]] {
            assert!(puppet.tell_bytes(&mut world, to, bytes));
        }
        assert!(puppet.push(&mut world, to, group, wire(unknown.clone(), None)));
        for _ in 0..20 {
            puppet.send(&mut world, to, vec![77, 1, 2, 3]);
        }
        world.run_for(500);
        assert!(world.connected(to, m), "an honest newer node sends such things, too");
    }
    // Nothing waits: posts arrive both ways, on top of what cannot be read.
    let first = post(&mut world, a, GROUP, b"by a");
    world.run_for(1_000);
    let second = post(&mut world, b, GROUP, b"by b");
    world.run_for(1_000);
    let heads = details(&mut world, a, GROUP).heads;
    assert_eq!(heads, [second], "all of it counts as parents");
    for node in [a, b] {
        let listed = list(&mut world, node, GROUP);
        assert_eq!(listed.len(), before + 2, "what is of another overlay or version is no post");
        assert_eq!(&ids(&listed)[before..], [first, second]);
        assert_eq!(details(&mut world, node, GROUP).summary.missing, 0);
        let (kept, passed_over) = newer(&mut world, node, GROUP);
        assert_eq!(
            kept,
            [of(NewerKind::Body, 2, 4), of(NewerKind::Overlay, 7, 2), of(NewerKind::Overlay, 8, 1)],
            "{node:?}"
        );
        let expected = [
            of(NewerKind::Operation, 200, 1),
            of(NewerKind::Message, 60, 1),
            of(NewerKind::Message, 70, 1),
            of(NewerKind::MessageVersion, 2, 1),
            of(NewerKind::Frame, 77, 20),
        ];
        assert_eq!(passed_over, expected, "{node:?}");
        assert_sound(&world, node);
    }
    // It is served on, block and bytes, to who joins later.
    let [c] = nodes(&mut world);
    let code = invite(&mut world, a, GROUP, 1);
    join(&mut world, c, &code, GROUP).expect("nothing of it is in the way");
    assert_eq!(list(&mut world, c, GROUP).len(), before + 2);
    let (kept, _) = newer(&mut world, c, GROUP);
    assert_eq!(kept.iter().map(|newer| newer.count).sum::<u64>(), 7);
    let held = Pending::new(world.store(c) as Arc<dyn Store>);
    for (id, length) in sent.iter().zip([401, 401, 401]) {
        let row = held.get(Table::hidden("offchain.kept"), &id.0).expect("a store").expect("kept as it came");
        assert!(row.len() >= length, "{} bytes", row.len());
    }
    assert_sound(&world, c);
}

#[test]
fn f7_nobody_waits_for_the_content_of_another_overlays_block() {
    let (mut world, [a, b, _], mut puppet, group) = possessed(99, GROUP, 0..1);
    let before = list(&mut world, a, GROUP);
    let listening = subscribe(&mut world, a, GROUP);
    puppet.listen(&mut world, 500);
    let (bare, _) = on_overlay(&mut puppet, &world, group, 7);
    assert!(puppet.push(&mut world, a, group, wire(bare, None)));
    let (raw, sealed) = on_overlay(&mut puppet, &world, group, 7);
    let id = Header::id_of(&raw.header);
    assert!(puppet.push(&mut world, a, group, wire(raw.clone(), None)));
    let heard = puppet.listen(&mut world, 3_000);
    let asked = |message: &Message| matches!(message, Message::Sync(SyncMessage::WantAttachments { .. }));
    assert!(!heard.iter().any(|(_, message)| asked(message)), "nothing is asked for: {heard:?}");
    // What comes all the same is kept, whenever it comes.
    let content = |world: &World| {
        let view = Pending::new(world.store(a) as Arc<dyn Store>);
        view.get(Table::hidden("offchain.contents"), &id.0).expect("a store").is_some()
    };
    assert!(!content(&world));
    assert!(puppet.push(&mut world, a, group, wire(raw, Some(&Attachment::Sealed(sealed.into())))));
    world.run_for(500);
    assert!(content(&world));
    assert!(delivered(&world, a, listening).is_empty());
    for node in [a, b] {
        assert_eq!(list(&mut world, node, GROUP), before, "nothing of it is on its way");
        assert_eq!(details(&mut world, node, GROUP).summary.missing, 0);
        assert_eq!(newer(&mut world, node, GROUP).0, [of(NewerKind::Overlay, 7, 2)]);
        assert_sound(&world, node);
    }
}

#[test]
fn f7_an_unread_attachment_is_kept_within_its_senders_quota() {
    let (mut world, [a, _, m], mut puppet, group) = possessed(93, GROUP, 0..2);
    // One and a half MiB each, of which eleven fit.
    let beside = Attachment::Sealed(vec![7; 3 * 512 * 1024].into()).encode();
    for number in 0..14 {
        let raw = private(&mut puppet, &world, [&[2][..], &[number; 40]].concat(), group);
        let block = WireBlock { block: raw, attachment: Some(beside.clone().into()), foreign: Vec::new() };
        assert!(puppet.push(&mut world, a, group, block));
        world.run_for(500);
    }
    assert!(world.connected(a, m));
    let (kept, _) = newer(&mut world, a, GROUP);
    assert_eq!(kept, [of(NewerKind::Body, 2, 14)], "the blocks are kept in any case");
    let view = Pending::new(world.store(a) as Arc<dyn Store>);
    let table = Table::hidden("offchain.kept");
    let mut rows = 0;
    for position in 0..chains::length(&view, group).expect("a store") {
        let stored = chains::block_at(&view, group, position).expect("a store").expect("a block");
        rows += u32::from(view.get(table, &stored.block.id().0).expect("a store").is_some());
    }
    assert_eq!(rows, 10, "16 MiB have room for ten of 1.5 MiB and a few bytes");
    assert_sound(&world, a);
    // A body is small: what is large belongs beside the block.
    let now = world.wall_clock(m);
    let (device, desk) = puppet.desk(&world);
    let (author, place) = device.place(&desk, group).expect("a member");
    let content = vec![2; 4 * 1024 + 1];
    let draft = Draft { kind: BlockKind::Private, place, foreign: vec![], topics: vec![], content };
    let large = draft.sign_alone(&author, now).expect("a well-formed block").parsed().clone();
    let refused = puppet.fold.judge(&puppet.view, large).expect_err("it is too large");
    assert!(matches!(refused, Refusal::Rule { .. }), "{refused}");
}

/// Two members other than the first node's, each a puppet with a session with it.
fn two_members(seed: u64) -> (World, NodeId, [Puppet; 2], ChainId) {
    let (mut world, [a, h, _], other, group) = possessed(seed, GROUP, 0..1);
    let mut author = Puppet::possess(&mut world, h).expect("a store");
    assert!(author.open_session(&mut world, a, group), "a member is spoken to");
    (world, a, [author, other], group)
}

#[test]
fn f7_what_a_member_makes_up_beside_anothers_blocks_takes_nothing_from_their_author() {
    let (mut world, a, [mut author, mut other], group) = two_members(96);
    let unknown = |byte: u8, length: usize| [&[99][..], &vec![byte; length]].concat();
    let mut blocks = Vec::new();
    for number in 0..12 {
        let raw = private(&mut author, &world, [&[2][..], &[number; 40]].concat(), group);
        let beside = Some(unknown(0, 3 * 512 * 1024).into());
        let block = WireBlock { block: raw.clone(), attachment: beside, foreign: Vec::new() };
        assert!(other.push(&mut world, a, group, block));
        world.run_for(500);
        blocks.push(raw);
    }
    let kept = |world: &World, raw: &RawBlock| {
        let view = Pending::new(world.store(a) as Arc<dyn Store>);
        let row = view.get(Table::hidden("offchain.kept"), &Header::id_of(&raw.header).0).expect("a store");
        row.map(|row| row[32..].to_vec())
    };
    assert_eq!(blocks.iter().filter(|raw| kept(&world, raw).is_some()).count(), 10, "the other one has spent its room");
    for raw in &blocks {
        let beside = Some(unknown(1, 1024 * 1024).into());
        let block = WireBlock { block: raw.clone(), attachment: beside, foreign: Vec::new() };
        assert!(author.push(&mut world, a, group, block));
        world.run_for(500);
        assert_eq!(kept(&world, raw), Some(unknown(1, 1024 * 1024)), "its author's own takes its place");
    }
    // And nobody else's takes the place of that; the other one has its room again.
    let block = WireBlock { block: blocks[0].clone(), attachment: Some(unknown(2, 10).into()), foreign: Vec::new() };
    assert!(other.push(&mut world, a, group, block));
    let raw = private(&mut author, &world, [2; 41].to_vec(), group);
    let block = WireBlock { block: raw.clone(), attachment: Some(unknown(3, 10).into()), foreign: Vec::new() };
    assert!(other.push(&mut world, a, group, block));
    world.run_for(500);
    assert_eq!(kept(&world, &blocks[0]), Some(unknown(1, 1024 * 1024)));
    assert_eq!(kept(&world, &raw), Some(unknown(3, 10)));
    assert_sound(&world, a);
}

#[test]
fn f7_who_relays_what_is_not_a_blocks_is_taken_for_an_older_program() {
    let (mut world, a, [mut author, mut other], group) = two_members(97);
    let before = list(&mut world, a, GROUP).len();
    let (stored, attachment) = author.private(&world, group, b"by an honest one").expect("a member may");
    let bad = Attachment::Sealed(vec![1; 300].into());
    assert!(other.push(&mut world, a, group, wire(stored.block.raw().clone(), Some(&bad))));
    world.run_for(500);
    assert!(world.connected(a, other.node()), "it cannot tell");
    assert_eq!(details(&mut world, a, GROUP).summary.missing, 1, "the block is here without its content");
    let id = stored.block.id();
    let again = SyncMessage::Attachment { chain: group, id, attachment: bad.encode().into() };
    assert!(other.tell(&mut world, a, &Message::Sync(again)));
    world.run_for(500);
    assert!(world.connected(a, other.node()), "nor can it when it is asked");
    // What it kept of a newer program's goes once the content is here.
    let newer = SyncMessage::Attachment { chain: group, id, attachment: vec![99; 300].into() };
    assert!(other.tell(&mut world, a, &Message::Sync(newer)));
    world.run_for(500);
    let kept = |world: &World| {
        let view = Pending::new(world.store(a) as Arc<dyn Store>);
        view.get(Table::hidden("offchain.kept"), &id.0).expect("a store").is_some()
    };
    assert!(kept(&world));
    assert!(author.push(&mut world, a, group, wire(stored.block.raw().clone(), Some(&attachment))));
    world.run_for(500);
    assert!(!kept(&world));
    let listed = list(&mut world, a, GROUP);
    assert_eq!(listed.len(), before + 1);
    assert_eq!(listed[before].content.as_ref().expect("it came").bytes, b"by an honest one");
    assert_sound(&world, a);
}

#[test]
fn f7_what_rests_on_an_unknown_operation_is_not_asked_for() {
    let (mut world, [a, m], mut puppet, group) = possessed(98, GROUP, 0..1);
    let before = details(&mut world, a, GROUP).summary.blocks;
    let now = world.wall_clock(m);
    let (device, desk) = puppet.desk(&world);
    let (author, place) = device.place(&desk, group).expect("a member");
    let content = [OPERATION_VERSION, 200, 1, 2, 3].to_vec();
    let draft = Draft { kind: BlockKind::Operation, place, foreign: vec![], topics: vec![], content };
    let signed = draft.sign(&author, &device.secret, now, desk.rng).expect("a block").parsed().clone();
    let mut last = signed.header().clone();
    for _ in 0..3 {
        assert!(puppet.push(&mut world, a, group, wire(signed.raw().clone(), None)));
    }
    puppet.listen(&mut world, 500);
    for _ in 0..20 {
        last.previous = Some(Header::id_of(&last.encode()));
        last.parents = Vec::new();
        last.sequence += 1;
        last.kind = BlockKind::Private;
        last.suite = Suite::Ed25519;
        let header = last.encode();
        let content = signed.content().to_vec();
        let signature = author.sign(&transcript(Suite::Ed25519, &header)).to_vec();
        let raw = RawBlock { header, signature, content };
        assert!(puppet.push(&mut world, a, group, wire(raw, None)));
        let heard = puppet.listen(&mut world, 500);
        let pulled = |message: &Message| matches!(message, Message::Sync(SyncMessage::Pull { .. }));
        assert!(!heard.iter().any(|(_, message)| pulled(message)), "it is of no use: {heard:?}");
    }
    assert!(world.connected(a, m));
    assert_eq!(world.engine(a).expect("it runs").orphan_bytes(), 0, "nothing waits");
    assert_eq!(newer(&mut world, a, GROUP).1, [of(NewerKind::Operation, 200, 1)], "counted once");
    assert_eq!(details(&mut world, a, GROUP).summary.blocks, before);
}

/// A node that reads no content of today keeps it as it came and serves it on, and reads it once it is today's program.
fn kept_and_read_later(history: History) {
    let mut world = calm(94);
    let [a, o, n] = nodes(&mut world);
    ok(world.call(a, Command::NewGroup { name: GROUP.into(), history }, LONG_MS));
    let code = invite(&mut world, a, GROUP, 2);
    for node in [o, n] {
        join(&mut world, node, &code, GROUP).expect("the invitation admits");
    }
    post(&mut world, a, GROUP, b"read by all");
    world.link(o, n);
    converge(&mut world, GROUP, &[a, o, n]);
    world.read_content_up_to(o, 0);
    assert!(list(&mut world, o, GROUP).is_empty());
    world.kill(n);
    post_about(&mut world, a, GROUP, &[b"topic"], b"of tomorrow");
    world.run_for(2_000);
    assert_eq!(newer(&mut world, o, GROUP).0, [of(NewerKind::Body, 1, 1)]);
    assert_eq!(details(&mut world, o, GROUP).summary.missing, 0, "it waits for nothing");
    world.kill(a);
    // Who gets it from the old node reads it.
    world.start(n).expect("a sound store");
    world.run_for(5_000);
    world.link(o, n);
    world.run_for(LONG_MS);
    let texts = |entries: &[walytis_offchain::Entry]| -> Vec<Vec<u8>> {
        entries.iter().filter_map(|entry| Some(entry.content.as_ref()?.bytes.clone())).collect()
    };
    let expected = [b"read by all".to_vec(), b"of tomorrow".to_vec()];
    let listed = list(&mut world, n, GROUP);
    assert_eq!(texts(&listed), expected, "served on by who cannot read it");
    assert_eq!(listed[1].content.as_ref().expect("it is here").topics, [b"topic".to_vec()]);
    // And the old node, once it is no longer old.
    world.kill(o);
    assert_sound(&world, o);
    world.start(o).expect("a sound store");
    let listed = list(&mut world, o, GROUP);
    assert_eq!(texts(&listed), expected, "kept and read");
    assert!(newer(&mut world, o, GROUP).0.is_empty(), "it is known now");
    assert_sound(&world, o);
}

#[test]
fn f7_what_a_newer_program_wrote_is_read_once_this_one_has_learned_it() {
    kept_and_read_later(History::All);
}

#[test]
fn f7_what_a_newer_program_sealed_is_served_on_where_newcomers_read_what_comes_after_them() {
    kept_and_read_later(History::SinceJoin);
}

/// What a decoder says of bytes: that they are of a newer program, that they are damaged, or that they are sound.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Newer,
    Damaged,
    Sound,
}

fn said<T, E>(result: Result<T, E>, newer: impl Fn(&E) -> bool) -> Said {
    match result {
        Ok(_) => Said::Sound,
        Err(error) if newer(&error) => Said::Newer,
        Err(_) => Said::Damaged,
    }
}

#[test]
fn f7_every_decoder_tells_the_next_number_from_damage() {
    let mut world = calm(95);
    let [a, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[m]);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    let group = group_id(&mut world, a, GROUP);
    let genesis = chains::block(&puppet.view, group.into()).expect("a store").expect("it is here").block.raw().clone();
    let membership = puppet.fold.current(&puppet.view, group).expect("a group");
    let (epoch, key) = opened(&mut puppet, group);
    let open = OpenContent::new(Vec::new(), b"x".to_vec(), &mut puppet.rng).expect("it is small");
    let body = PrivateBody::new(epoch, &open);
    let place = SealedPlace { chain: group, block: epoch, epoch };
    let sealed = open.seal(&key, &place, &mut puppet.rng);
    let other = world.identity(a).peer;
    let device = membership.device_of_peer(&other).expect("a member").1.key.clone();
    let flight = puppet.first_flight(other, device).expect("a flight")[1..].to_vec();
    let me = HybridSecret::generate(&mut puppet.rng);
    let local = LocalDevice { secret: &me, peer: other };
    let from = puppet.device.peer();
    let leaves = [Hash([1; 32])];
    let chain = ChainId([1; 32]);
    let differ = SyncMessage::Differ { chain, differ: Differ { salt: Salt([0; 8]), open: vec![].into(), cut: None } };
    let refused = PublicMessage::Refused { chain, reason: walytis_engine::public::JoinRefusal::NoRoom };
    let pushed = PublicMessage::Sync(SyncMessage::More { chain });

    type Decoder<'a> = Box<dyn Fn(&[u8]) -> Said + 'a>;
    let codec = |error: &CodecError| error.is_newer();
    let content = |error: &ContentError| error.is_newer();
    let operation = |error: &OperationError| match error {
        OperationError::Kind(_) => true,
        OperationError::Codec(error) => error.is_newer(),
        _ => false,
    };
    let decode_message: Decoder<'_> = Box::new(|bytes| said(Message::decode(bytes), codec));
    let decode_public: Decoder<'_> = Box::new(|bytes| said(PublicMessage::decode(&bytes[1..]), codec));
    let decode_operation: Decoder<'_> = Box::new(|bytes| said(Operation::decode(bytes), operation));
    let decode_attachment: Decoder<'_> = Box::new(|bytes| said(Attachment::decode(bytes), codec));
    let decode_body: Decoder<'_> = Box::new(|bytes| said(PrivateBody::decode(bytes), content));
    let decode_open: Decoder<'_> = Box::new(|bytes| said(OpenContent::decode(bytes, &body), content));
    let decode_sealed: Decoder<'_> = Box::new(|bytes| said(OpenContent::open(bytes, &key, &place, &body), content));
    let decode_flight: Decoder<'_> =
        Box::new(|bytes| said(FirstFlight::read(local, from, bytes), SessionError::is_newer));
    let decode_block: Decoder<'_> = Box::new(|bytes| {
        let raw = RawBlock { header: bytes.to_vec(), ..genesis.clone() };
        said(ParsedBlock::parse(raw), |error| matches!(error, BlockError::Newer { .. } | BlockError::Unknown { .. }))
    });
    let decode_wraps: Decoder<'_> = Box::new(|bytes| {
        let newer = |error: &WrapError| matches!(error, WrapError::Codec(error) if error.is_newer());
        said(Wraps::decode(bytes, &Hash([0; 32]), &leaves), newer)
    });
    // What is sound, where its number stands, the highest that is known, and whether damage in front can be told apart.
    let message = |message: Message| message.encode();
    let cases: Vec<(&str, Vec<u8>, usize, u8, &Decoder<'_>)> = vec![
        ("a block's version", genesis.header.clone(), 0, 2, &decode_block),
        ("an operation's version", Operation::Merge.encode(), 0, 1, &decode_operation),
        ("an operation's kind", Operation::Merge.encode(), 1, 4, &decode_operation),
        ("a private body's version", body.encode(), 0, 1, &decode_body),
        ("opened content's version", open.encode(), 0, 1, &decode_open),
        ("sealed content's version", sealed.clone(), 0, 1, &decode_sealed),
        ("sealed content's suite", sealed, 1, 1, &decode_sealed),
        ("an attachment's kind", Attachment::Wrap(vec![1].into()).encode(), 0, 2, &decode_attachment),
        ("a message's version", message(Message::Joined), 0, 1, &decode_message),
        ("a message's kind", message(Message::JoinRefused(JoinRefusal::Spent)), 1, 4, &decode_message),
        ("a message's kind about blocks", message(Message::Sync(differ)), 2, 8, &decode_message),
        ("a public message's version", refused.frame(), 1, 1, &decode_public),
        ("a public message's form", refused.frame(), 2, 3, &decode_public),
        ("a public message's kind", pushed.frame(), 3, 6, &decode_public),
        ("a public message's kind about blocks", pushed.frame(), 4, 8, &decode_public),
        ("a public refusal's reason", refused.frame(), 36, 4, &decode_public),
        ("a first flight's version", flight.clone(), 0, 1, &decode_flight),
        ("a first flight's suite", flight.clone(), 1, 1, &decode_flight),
        ("a first flight's purpose", flight, 2, 2, &decode_flight),
        ("a list of wraps' version", vec![1, 0], 0, 1, &decode_wraps),
    ];
    for (what, sound, place, known, decode) in cases {
        assert!(sound[place] <= known, "{what}: {} stands there", sound[place]);
        assert_ne!(decode(&sound), Said::Newer, "{what}: as it is");
        let mut next = sound.clone();
        next[place] = known + 1;
        assert_eq!(decode(&next), Said::Newer, "{what}: {}", known + 1);
        next.truncate(place);
        assert_eq!(decode(&next), Said::Damaged, "{what}: cut off in front of it");
    }
    // A refusal ends a join whatever its reason.
    let mut reason = message(Message::JoinRefused(JoinRefusal::NoRoom));
    assert_eq!(reason, [1, 4, 5]);
    reason[2] += 1;
    assert_eq!(Message::decode(&reason), Ok(Message::JoinRefused(JoinRefusal::Newer(6))));
    // Codes and archives say what to do.
    let code = CodeText { prefix: "walytis1", checksum_context: "walytis v1 invitation checksum", version: 1 };
    let newer = code.write(&[2, 1, 2, 3]).parse::<InvitationCode>().expect_err("of version 2");
    assert!(matches!(newer, InvitationError::Newer { found: 2, .. }), "{newer}");
    let code =
        CodeText { prefix: "walytischain1", checksum_context: "walytis v1 public chain code checksum", version: 1 };
    let newer = code.write(&[2, 1, 2, 3]).parse::<ChainCode>().expect_err("of version 2");
    assert!(matches!(newer, CodeError::Newer { found: 2 }), "{newer}");
}
