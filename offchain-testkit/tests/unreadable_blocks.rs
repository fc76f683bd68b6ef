//! Private blocks that cannot be read, or not yet: they stand by their headers, and no program takes another's part over them.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::{BlockId, BlockKind, ChainId, Draft, Header, RawBlock};
use walytis_engine::sync::WireBlock;
use walytis_identities::{EpochContext, keyring};
use walytis_offchain::{Attachment, NewerKind, OpenContent, PrivateBody, SealedPlace};

const GROUP: &str = "friends";

fn texts(world: &mut World, node: NodeId) -> Vec<Vec<u8>> {
    list(world, node, GROUP).into_iter().map(|entry| entry.content.expect("it is shown whole").bytes).collect()
}

/// An older program keeps and relays a body that says that it is of today's version; today's programs have to live with it.
fn relayed_by_an_older_program(seed: u64, body: impl FnOnce(&mut Puppet) -> (Vec<u8>, Vec<u8>)) {
    let (mut world, [a, o, n, m], mut puppet, group) = possessed(seed, GROUP, 1..2);
    world.kill(n);
    let link = world.link_between(a, o);
    world.read_content_up_to(o, 0);
    let (body, beside) = body(&mut puppet);
    let raw = private(&mut puppet, &world, body, group);
    let id = Header::id_of(&raw.header);
    let block = WireBlock { block: raw, attachment: Some(beside.into()), foreign: Vec::new() };
    assert!(puppet.push(&mut world, o, group, block));
    world.run_for(2_000);
    assert!(puppet.has_session(&world, o), "the older program cannot tell");
    assert_eq!(newer(&mut world, o, GROUP).0, [of(NewerKind::Body, 1, 1)]);
    assert_eq!(world.link_between(a, o), link, "who relays it is not to blame");
    assert_eq!(newer(&mut world, a, GROUP).0, [of(NewerKind::Unreadable, 1, 1)]);
    assert!(details(&mut world, a, GROUP).heads.contains(&id), "it stands, and is built upon");
    post(&mut world, a, GROUP, b"the next one");
    world.run_for(2_000);
    world.kill(a);
    world.kill(m);
    // Who has only the older program to ask gets what is above it.
    world.start(n).expect("a sound store");
    world.run_for(1_000);
    world.link(o, n);
    world.run_for(1);
    let link = world.link_between(o, n);
    world.run_for(5_000);
    assert_eq!(world.link_between(o, n), link, "who relays it is not to blame");
    let expected = [b"first".to_vec(), b"the next one".to_vec()];
    assert_eq!(texts(&mut world, n), expected);
    assert_eq!(newer(&mut world, n, GROUP).0, [of(NewerKind::Unreadable, 1, 1)]);
    assert_sound(&world, n);
    // And whoever kept it finds nothing wrong with its home, before and after it learns the version.
    world.kill(o);
    assert_sound(&world, o);
    world.start(o).expect("a sound store");
    assert_eq!(texts(&mut world, o), expected);
    assert_eq!(newer(&mut world, o, GROUP).0, [of(NewerKind::Unreadable, 1, 1)]);
    assert_eq!(details(&mut world, o, GROUP).summary.missing, 0);
    post(&mut world, o, GROUP, b"by who was older");
    world.run_for(2_000);
    assert_eq!(texts(&mut world, n).len(), 3);
    assert_sound(&world, o);
}

#[test]
fn a_body_that_the_next_version_finds_damaged_parts_no_programs() {
    relayed_by_an_older_program(121, |_| ([&[1][..], &[9; 40]].concat(), vec![7; 30]));
}

/// Content with a body under an epoch that nobody began, and the content in the clear, which is what the body commits to.
fn invented(puppet: &mut Puppet) -> (Vec<u8>, Vec<u8>) {
    let open = OpenContent::new(Vec::new(), b"for nobody".to_vec(), &mut puppet.rng).expect("it is small");
    let body = PrivateBody::new(BlockId([5; 32]), &open).encode();
    (body, Attachment::Open(open.encode().into()).encode())
}

#[test]
fn a_body_that_names_an_invented_epoch_parts_no_programs() {
    relayed_by_an_older_program(122, invented);
}

/// A block behind the heads of the puppet's view as they are, which names an epoch that the puppet begins beside it, and the
/// content sealed under that. Returns the epoch's block and this one.
fn under_an_epoch_beside(puppet: &mut Puppet, world: &World, group: ChainId) -> (RawBlock, RawBlock, Attachment) {
    let now = world.wall_clock(puppet.node());
    let (device, mut desk) = puppet.desk(world);
    let (author, place) = device.place(&desk, group).expect("a member");
    let epoch = device.begin_epoch(&mut desk, group).expect("a member may");
    let begun = walytis_core::chains::block(&puppet.view, epoch).expect("a store").expect("it is new").block;
    let view = puppet.fold.current(&puppet.view, group).expect("a group").epochs[&epoch].view.clone();
    let seed = keyring::epoch(&puppet.view, epoch).expect("a store").expect("its own");
    let open = OpenContent::new(Vec::new(), b"under an epoch beside".to_vec(), &mut puppet.rng).expect("it is small");
    let content = PrivateBody::new(epoch, &open).encode();
    let draft = Draft { kind: BlockKind::Private, place, foreign: vec![], topics: vec![], content };
    let raw = draft.sign_alone(&author, now).expect("a well-formed block").parsed().raw().clone();
    let place = SealedPlace { chain: group, block: Header::id_of(&raw.header), epoch };
    let sealed = open.seal(&seed.epoch_key(&EpochContext::new(group, &view)), &place, &mut puppet.rng);
    (begun.raw().clone(), raw, Attachment::Sealed(sealed.into()))
}

#[test]
fn content_under_an_epoch_that_its_author_did_not_know_is_never_shown() {
    let (mut world, [a, b, _], mut puppet, group) = possessed(123, GROUP, 0..1);
    let listening = subscribe(&mut world, a, GROUP);
    let link = world.link_between(a, b);
    // An epoch that is in everybody's set, but not below the block: its readers are not those of the block's view.
    let (begun, beside, sealed) = under_an_epoch_beside(&mut puppet, &world, group);
    let wrap = puppet.wrap_for(&begun, world.identity(a).peer).expect("a store");
    let begun = WireBlock { block: begun, attachment: wrap, foreign: Vec::new() };
    assert!(puppet.push(&mut world, a, group, begun));
    world.run_for(500);
    assert!(puppet.push(&mut world, a, group, wire(beside.clone(), Some(&sealed))));
    puppet.take_in(&[beside]).expect("its header holds");
    // And one that nobody began.
    let (body, open) = invented(&mut puppet);
    let block = private(&mut puppet, &world, body, group);
    let block = WireBlock { block, attachment: Some(open.into()), foreign: Vec::new() };
    assert!(puppet.push(&mut world, a, group, block));
    world.run_for(2_000);
    assert!(puppet.has_session(&world, a), "it stands all the same");
    assert_eq!(world.link_between(a, b), link, "and so for those to whom it is passed on");
    let next = post(&mut world, b, GROUP, b"above it");
    world.run_for(2_000);
    assert!(delivered(&world, a, listening).iter().all(|delivery| matches!(
        delivery, walytis_offchain::Delivery::Block(entry) if entry.id == next
    )));
    // Who joins later gets it, and is shown as little.
    let [c] = nodes(&mut world);
    let code = invite(&mut world, a, GROUP, 1);
    join(&mut world, c, &code, GROUP).expect("nothing of it is in the way");
    world.run_for(2_000);
    for node in [a, b, c] {
        assert_eq!(texts(&mut world, node), [b"first".to_vec(), b"above it".to_vec()], "{node:?}");
        assert_eq!(newer(&mut world, node, GROUP).0, [of(NewerKind::Unreadable, 1, 2)], "{node:?}");
        assert_eq!(details(&mut world, node, GROUP).summary.missing, 0, "{node:?}");
        assert_sound(&world, node);
    }
}
