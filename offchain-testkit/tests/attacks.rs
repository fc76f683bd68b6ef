//! Attacks that worked on the Python original of this project, each against the engines as they are. The
//! numbers are those of the threat model. Each test also shows that the honest variant is accepted.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::{AuthorKey, AuthorSecret, BlockKind, ChainId, Header, RawBlock, StoredBlock, Suite, chains};
use walytis_engine::sync::WireBlock;
use walytis_identities::InvitationSecret;
use walytis_offchain::{Attachment, FrameKind};

const GROUP: &str = "friends";

/// A founder, an honest member, and a member in the hands of the attacker, in one group with a few posts.
fn trio(seed: u64) -> (World, NodeId, NodeId, Puppet, ChainId) {
    let mut world = calm(seed);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    for (node, text) in [(a, "first"), (b, "second"), (m, "third")] {
        post(&mut world, node, GROUP, text.as_bytes());
    }
    converge(&mut world, GROUP, &[a, b, m]);
    let group = group_id(&mut world, a, GROUP);
    let puppet = Puppet::possess(&mut world, m).expect("its store can be read");
    (world, a, b, puppet, group)
}

/// A private block that the puppet writes, without keeping it.
fn private(puppet: &mut Puppet, world: &World, group: ChainId, text: &str) -> (RawBlock, Attachment) {
    let before = puppet.view.savepoint();
    let (stored, attachment) = puppet.private(world, group, text.as_bytes()).expect("a member may write");
    puppet.view.rollback(before);
    puppet.fold.forget();
    (stored.block.raw().clone(), attachment)
}

/// The block with another header, signed anew by an author key of the attacker's choice.
fn resigned(raw: &RawBlock, by: &AuthorSecret, change: impl FnOnce(&mut Header)) -> RawBlock {
    let mut header = Header::decode(&raw.header).expect("an honest header");
    change(&mut header);
    let header = header.encode();
    let signature = by.sign(&transcript(Suite::Ed25519, &header)).to_vec();
    RawBlock { header, signature, content: raw.content.clone() }
}

fn last_block_of(puppet: &Puppet, group: ChainId, author: AuthorKey) -> StoredBlock {
    let (id, _) = chains::previous(&puppet.view, group, author).expect("a sound store").expect("it wrote");
    chains::block(&puppet.view, id).expect("a sound store").expect("it is there")
}

fn author_of(world: &World, puppet: &mut Puppet, group: ChainId, node: NodeId) -> AuthorKey {
    let membership = puppet.fold.current(&puppet.view, group).expect("a group");
    *membership.device_of_peer(&world.identity(node).peer).expect("a member").0
}

#[test]
fn attack_01_content_without_its_authors_signature_is_neither_stored_nor_shown() {
    let (mut world, a, b, mut puppet, group) = trio(1);
    let own = puppet.author(group).expect("a member");
    let of_a = author_of(&world, &mut puppet, group, a);
    let stranger = AuthorSecret::from_seed(&[7; 32]);

    let (raw, attachment) = private(&mut puppet, &world, group, "an honest one");
    let previous = last_block_of(&puppet, group, of_a);
    let mut forged: Vec<(&str, RawBlock)> = vec![
        ("no signature", RawBlock { signature: vec![0; 64], ..raw.clone() }),
        ("a short signature", RawBlock { signature: raw.signature[..63].to_vec(), ..raw.clone() }),
        ("another block's signature", RawBlock { signature: previous.block.raw().signature.clone(), ..raw.clone() }),
        ("a stranger's signature", resigned(&raw, &stranger, |_| {})),
        (
            "a stranger as author",
            resigned(&raw, &stranger, |header| {
                header.author = stranger.public();
                header.parents.extend(header.previous.take());
                header.parents.sort();
                header.sequence = 0;
            }),
        ),
        (
            "the founder as author",
            resigned(&raw, &own, |header| {
                let of_own = header.previous.replace(previous.block.id());
                header.parents.extend(of_own);
                header.parents.retain(|parent| *parent != previous.block.id());
                header.parents.sort();
                header.author = of_a;
                header.sequence = previous.block.header().sequence + 1;
            }),
        ),
        ("another body", RawBlock { content: previous.block.raw().content.clone(), ..raw.clone() }),
    ];
    for bit in [0, 255, 256, 511] {
        let mut signature = raw.signature.clone();
        signature[bit / 8] ^= 1 << (bit % 8);
        forged.push(("a changed bit", RawBlock { signature, ..raw.clone() }));
    }
    for (what, block) in forged {
        assert_refused(&mut world, &mut puppet, b, GROUP, wire(block, Some(&attachment)), what);
    }
    assert_sound(&world, b);
    // The same header with the right signature is accepted after all that: a delivery was condemned, not the id.
    let honest = wire(raw, Some(&attachment));
    assert_accepted(&mut world, &mut puppet, b, GROUP, honest, "the honest block");
    let listed = list(&mut world, b, GROUP);
    let texts: Vec<_> =
        listed.iter().filter_map(|entry| entry.content.as_ref()).map(|content| &content.bytes[..]).collect();
    assert!(texts.contains(&&b"an honest one"[..]));
    assert_sound(&world, b);
}

#[test]
fn attack_01_content_that_its_block_does_not_commit_to_is_neither_stored_nor_shown() {
    let (mut world, _, b, mut puppet, group) = trio(2);
    let (raw, attachment) = private(&mut puppet, &world, group, "what is committed to");
    let (_, other) = private(&mut puppet, &world, group, "something else!!!!!!");
    let Attachment::Sealed(bytes) = &attachment else { panic!("sealed content") };
    let mut bad: Vec<(String, Option<Vec<u8>>)> = vec![
        ("the content of another block".into(), Some(other.encode())),
        ("wraps".into(), Some(Attachment::Wrap(bytes.clone()).encode())),
        ("sealed content as open".into(), Some(Attachment::Open(bytes.clone()).encode())),
        ("nonsense".into(), Some(vec![255; 40])),
        ("nothing at all".into(), Some(Vec::new())),
    ];
    // The byte behind the first says how it is sealed: another one is a newer program's, and the content is asked for.
    for position in [0, 2, 33, 34, 57, 58, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        bad.push((format!("byte {position} changed"), Some(Attachment::Sealed(changed).encode())));
    }
    for (what, attachment) in bad {
        let block = WireBlock { block: raw.clone(), attachment: attachment.map(Into::into), foreign: Vec::new() };
        assert_refused(&mut world, &mut puppet, b, GROUP, block, &what);
    }
    let honest = wire(raw.clone(), Some(&attachment));
    assert_accepted(&mut world, &mut puppet, b, GROUP, honest, "the honest block");
    assert_eq!(details(&mut world, b, GROUP).summary.missing, 0);
    assert_sound(&world, b);
}

#[test]
fn attack_02_a_signature_fits_no_other_block_content_topic_or_chain() {
    let (mut world, a, b, mut puppet, group) = trio(3);
    group_of(&mut world, "others", a, &[b]);
    let others = group_id(&mut world, a, "others");
    let (raw, attachment) = private(&mut puppet, &world, group, "honest");
    let header = Header::decode(&raw.header).expect("an honest header");
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        RawBlock { header: header.encode(), ..raw.clone() }
    };
    let of_b = author_of(&world, &mut puppet, group, b);
    let parents = last_block_of(&puppet, group, of_b);
    let moved = [
        ("another time", with(&|header| header.created_at_ms += 1)),
        ("another chain", with(&|header| header.chain = others)),
        ("a topic", with(&|header| header.topics = vec![b"topic".to_vec()])),
        ("another sequence number", with(&|header| header.sequence += 1)),
        ("fewer parents", with(&|header| header.parents.clear())),
        ("another kind", with(&|header| header.kind = BlockKind::Content)),
        (
            "another parent",
            with(&|header| {
                header.parents = vec![parents.block.id()];
                header.parents.retain(|parent| Some(*parent) != header.previous);
            }),
        ),
    ];
    for (what, block) in moved {
        if block.header != raw.header {
            assert_refused(&mut world, &mut puppet, b, GROUP, wire(block, Some(&attachment)), what);
        }
    }
    // What the founder signed for one group is no block of another one.
    let of_a = author_of(&world, &mut puppet, group, a);
    let signed = last_block_of(&puppet, group, of_a).block.raw().clone();
    let peer_group = details(&mut world, b, "others");
    assert_eq!(peer_group.summary.blocks, details(&mut world, a, "others").summary.blocks);
    assert!(puppet.open_session(&mut world, b, group));
    puppet.push(&mut world, b, others, wire(signed, None));
    world.run_for(FORGIVEN_MS);
    assert_eq!(details(&mut world, b, "others"), peer_group);

    assert_accepted(&mut world, &mut puppet, b, GROUP, wire(raw, Some(&attachment)), "the honest block");
}

/// Finds one encoding inside another and puts a third in its place.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|window| window == old).expect("it is in there");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn attack_03_04_a_handshake_signs_nothing_for_strangers_nor_for_a_relay() {
    let (mut world, a, _, mut member, group) = trio(4);
    let [s] = nodes(&mut world);
    let mut stranger = Puppet::possess(&mut world, s).expect("a store");
    stranger.connect(&mut world, a);
    // A member's flight, with its keys, from a stranger's connection: it was relayed or replayed.
    assert!(member.open_session(&mut world, a, group), "a member gets a session");
    let key = member.fold.current(&member.view, group).expect("a group");
    let key = key.device_of_peer(&world.identity(a).peer).expect("the founder").1.key.clone();
    let me = walytis_identities::session::LocalDevice { secret: &member.device.secret, peer: member.device.peer() };
    let (_, flight) = walytis_identities::session::Initiator::member(
        me,
        world.identity(a).peer,
        key.clone(),
        Vec::new(),
        &mut member.rng,
    )
    .expect("a flight");
    let mine =
        walytis_identities::session::LocalDevice { secret: &stranger.device.secret, peer: stranger.device.peer() };
    let (_, own) = walytis_identities::session::Initiator::member(
        mine,
        world.identity(a).peer,
        key,
        Vec::new(),
        &mut stranger.rng,
    )
    .expect("a flight");
    for flight in [own, flight] {
        stranger.connect(&mut world, a);
        stranger.send(&mut world, a, [&[FrameKind::Flight1 as u8][..], &flight].concat());
        world.run_for(100);
        assert!(stranger.raw_mail(&mut world).is_empty(), "a stranger is told nothing");
    }
}

#[test]
fn attack_05_an_invitations_public_key_admits_nobody_and_yields_no_key() {
    let mut world = calm(5);
    let [a, honest, s] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 5);
    let group = *code.group();
    join(&mut world, honest, &code.to_text(), GROUP).expect("who has the secret is admitted");
    let before = seen(&mut world, a, GROUP);

    // The chain is known to the attacker, and so is the invitation's whole public key; its secret is not.
    let public = code.secret().key().public().clone();
    let wrong = InvitationSecret::from_bytes(&[9; 16]);
    let bytes = |key: &walytis_core::HybridKey| [&key.ed25519.0[..], &key.ml_dsa].concat();
    let mut stranger = Puppet::possess(&mut world, s).expect("a store");
    let peer = world.identity(a).peer;
    let me = walytis_identities::session::LocalDevice { secret: &stranger.device.secret, peer: stranger.device.peer() };
    let mut rng = stranger.rng.clone();
    let mut begin =
        |secret| walytis_identities::session::Initiator::join(me, peer, group, secret, &mut rng).expect("a flight").1;
    let by_wrong = begin(&wrong);
    let by_right = begin(code.secret());
    let halves = |flight: &[u8]| {
        let at = flight.len() - 64 - 3309;
        [flight[..at].to_vec(), flight[at..at + 64].to_vec(), flight[at + 64..].to_vec()]
    };
    let ([fields, ed25519, ml_dsa], [_, wrong_ed25519, wrong_ml_dsa]) = (halves(&by_right), halves(&by_wrong));
    let flights = [
        ("an invitation that was never opened", by_wrong.clone()),
        ("the right public key, signed by another", replaced(&by_wrong, &bytes(wrong.key().public()), &bytes(&public))),
        ("no Ed25519 half", [&fields[..], &wrong_ed25519, &ml_dsa].concat()),
        ("no ML-DSA half", [&fields[..], &ed25519, &wrong_ml_dsa].concat()),
    ];
    for (what, flight) in flights {
        assert!(stranger.connect(&mut world, a), "{what}");
        stranger.send(&mut world, a, [&[FrameKind::Flight1 as u8][..], &flight].concat());
        world.run_for(100);
        assert!(stranger.raw_mail(&mut world).is_empty(), "{what}: it was answered");
        world.run_for(FORGIVEN_MS);
        assert!(stranger.raw_mail(&mut world).is_empty(), "{what}: it was answered later");
        assert_eq!(seen(&mut world, a, GROUP), before, "{what}");
    }
    stranger.connect(&mut world, a);
    stranger.send(&mut world, a, [&[FrameKind::Flight1 as u8][..], &by_right].concat());
    world.run_for(100);
    let answers = stranger.raw_mail(&mut world);
    assert!(answers.iter().any(|(_, frame)| frame.first() == Some(&(FrameKind::Flight2 as u8))), "the honest flight");
}

#[test]
fn attack_11_creator_and_time_cannot_be_forged() {
    let (mut world, a, b, mut puppet, group) = trio(11);
    let own = puppet.author(group).expect("a member");
    let of_a = author_of(&world, &mut puppet, group, a);
    let (raw, attachment) = private(&mut puppet, &world, group, "mine");
    let last_of_a = last_block_of(&puppet, group, of_a);
    let header = Header::decode(&raw.header).expect("an honest header");
    let unsigned = |change: &dyn Fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        RawBlock { header: header.encode(), ..raw.clone() }
    };
    let forged = [
        ("a later time", unsigned(&|header| header.created_at_ms += 86_400_000)),
        ("an earlier time", unsigned(&|header| header.created_at_ms = 0)),
        ("another creator", unsigned(&|header| header.author = of_a)),
        ("another creator, signed by oneself", resigned(&raw, &own, |header| header.author = of_a)),
        (
            "a creator's second branch, signed by oneself",
            resigned(&raw, &own, |header| {
                header.author = of_a;
                header.parents.extend(header.previous.take());
                header.parents.sort();
                header.sequence = 0;
            }),
        ),
        (
            "a creator's next block, signed by oneself",
            resigned(&raw, &own, |header| {
                header.author = of_a;
                header.parents.extend(header.previous.replace(last_of_a.block.id()));
                header.parents.retain(|parent| *parent != last_of_a.block.id());
                header.parents.sort();
                header.sequence = last_of_a.block.header().sequence + 1;
            }),
        ),
        (
            "the previous block of another",
            resigned(&raw, &own, |header| {
                header.parents.extend(header.previous.replace(last_of_a.block.id()));
                header.parents.retain(|parent| *parent != last_of_a.block.id());
                header.parents.sort();
                header.sequence = last_of_a.block.header().sequence + 1;
            }),
        ),
        ("a sequence number that leaves one out", resigned(&raw, &own, |header| header.sequence += 1)),
    ];
    for (what, block) in forged {
        assert_refused(&mut world, &mut puppet, b, GROUP, wire(block, Some(&attachment)), what);
    }
    assert_accepted(&mut world, &mut puppet, b, GROUP, wire(raw, Some(&attachment)), "the honest block");
    let entry = list(&mut world, b, GROUP).into_iter().find(|entry| entry.id == Header::id_of(&header.encode()));
    let entry = entry.expect("it is listed");
    assert_eq!((entry.author, entry.device), (puppet.device.user, puppet.device.identity));
    assert_eq!(entry.created_at_ms, header.created_at_ms);
}
