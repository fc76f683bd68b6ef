//! A member that asks to join again, because it never heard that it was admitted, or has forgotten it.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_identities::History;
use walytis_offchain::{Answer, Command, EngineError, JoinRefusal, Message};

const GROUP: &str = "friends";

fn texts(world: &mut World, node: NodeId) -> Vec<Vec<u8>> {
    list(world, node, GROUP).into_iter().filter_map(|entry| Some(entry.content?.bytes)).collect()
}

/// Case 02: the copy is older than the joining, so it has neither the group nor what was made for it.
fn put_back_and_joined_again(history: History, spent: bool) {
    let mut world = calm(202);
    let [a, b, c] = nodes(&mut world);
    ok(world.call(a, Command::NewGroup { name: GROUP.into(), history }, LONG_MS));
    let copy = world.store(b).snapshot();
    let first = invite(&mut world, a, GROUP, 1);
    join(&mut world, b, &first, GROUP).expect("the first time");
    post(&mut world, a, GROUP, b"by a");
    post(&mut world, b, GROUP, b"by b");
    converge(&mut world, GROUP, &[a, b]);
    world.put_back(b, copy);
    world.start(b).expect("a sound copy");
    world.run_for(LONG_MS);
    let Answer::Groups(none) = ok(world.call(b, Command::Groups, LONG_MS)) else { panic!("groups") };
    assert!(none.is_empty(), "it has forgotten");

    let second = invite(&mut world, a, GROUP, 1);
    join(&mut world, b, if spent { &first } else { &second }, GROUP).expect("it is a member");
    converge(&mut world, GROUP, &[a, b]);
    assert_eq!(details(&mut world, a, GROUP).members.len(), 2, "nobody was admitted twice");
    post(&mut world, b, GROUP, b"by b, back again");
    post(&mut world, a, GROUP, b"by a, to b");
    converge(&mut world, GROUP, &[a, b]);
    for node in [a, b] {
        assert_eq!(texts(&mut world, node).len(), 4, "{node:?} reads everything");
        assert_sound(&world, node);
    }
    join(&mut world, c, &second, GROUP).expect("no use was counted");
    assert_eq!(details(&mut world, a, GROUP).members.len(), 3);
    let [d] = nodes(&mut world);
    assert_eq!(join(&mut world, d, &first, GROUP), Err(EngineError::Refused(JoinRefusal::Spent)), "for others");
    let told = world.engine(a).expect("it runs").refused_joins();
    let told: Vec<_> = told.map(|(_, refused)| (refused.name.as_str(), refused.peer, refused.reason)).collect();
    assert_eq!(told, [(GROUP, world.identity(d).peer, JoinRefusal::Spent)], "the inviter hears whom it refused");
}

#[test]
fn a_member_put_back_from_a_copy_older_than_its_joining_joins_again() {
    put_back_and_joined_again(History::All, false);
}

#[test]
fn a_member_put_back_joins_again_by_the_code_that_it_used() {
    put_back_and_joined_again(History::All, true);
}

#[test]
fn a_member_put_back_joins_again_where_newcomers_read_what_comes_after_them() {
    put_back_and_joined_again(History::SinceJoin, false);
}

#[test]
fn a_member_that_asks_by_other_keys_is_told_so_and_nothing_changes() {
    let mut world = calm(203);
    let [a, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 3);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    let mut told = Vec::new();
    for _ in 0..2 {
        // Each request of a puppet has keys of its own.
        let ready = puppet.begin_join(&mut world, a, *code.group(), code.secret()).expect("an answer");
        let session = *ready.session_hash();
        let request = puppet.join_request(*code.group(), code.secret(), &session).expect("a store");
        puppet.finish(&mut world, a, ready, &Message::Join(Box::new(request)));
        told.extend(puppet.listen(&mut world, 200).into_iter().filter_map(|(_, message)| match message {
            Message::Joined => Some(None),
            Message::JoinRefused(reason) => Some(Some(reason)),
            _ => None,
        }));
    }
    assert_eq!(told, [None, Some(JoinRefusal::OtherKeys)]);
    assert_eq!(details(&mut world, a, GROUP).members.len(), 2);
    let refused = world.engine(a).expect("it runs").refused_joins();
    assert_eq!(refused.map(|(_, refused)| refused.reason).collect::<Vec<_>>(), [JoinRefusal::OtherKeys]);
}
