//! Blocks of a newer format on a group's chain, which groups do not take yet.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{Puppet, World};
use walytis_core::{BlockKind, ChainId, Draft, Format, FormatVersion, Hash, ParsedBlock, RawBlock};
use walytis_identities::Refusal;

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
