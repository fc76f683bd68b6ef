//! Who finds whom again.

mod common;

use common::*;
use offchain_testkit::World;
use walytis_core::public::ChainCommand;
use walytis_offchain::{Answer, Command, Event};

#[test]
fn an_inviter_remembers_who_joined_and_dials_first_when_it_comes_back() {
    let mut world = calm(301);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, "g", a, &[b]);
    world.run_for(1_000);
    world.cut(a, b);
    world.kill(a);
    // By now b dials once a minute; whoever comes back must not wait for that.
    world.run_for(600_000);
    world.mend(a, b);
    assert!(world.start(a).is_ok());
    world.run_for(100);
    assert!(world.connected(a, b), "the one who comes back dials");
}

#[test]
fn a_member_that_is_near_is_dialled_at_once() {
    let mut world = calm(302);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, "g", a, &[b]);
    world.run_for(1_000);
    world.cut(a, b);
    // By now they dial each other once a minute.
    world.run_for(600_000);
    world.mend(a, b);
    world.run_for(100);
    assert!(!world.connected(a, b));
    let near = world.address(b);
    world.inject(a, Event::Discovered(near));
    world.run_for(100);
    assert!(world.connected(a, b));
}

#[test]
fn a_stranger_that_is_near_is_dialled_by_who_follows_a_public_chain_and_by_nobody_else() {
    let mut world = calm(303);
    let [a, s] = nodes(&mut world);
    group_of(&mut world, "g", a, &[]);
    let near = world.address(s);
    world.inject(a, Event::Discovered(near.clone()));
    world.run_for(1_000);
    assert!(!world.connected(a, s), "whoever has private groups alone stays unknown");
    let new = ChainCommand::New { name: "news".to_owned() };
    assert!(matches!(world.call(a, Command::Chain(new), 1_000), Some(Ok(_))));
    world.inject(a, Event::Discovered(near));
    world.run_for(1_000);
    assert!(world.connected(a, s));
    world.run_for(60_000);
    assert!(!world.connected(a, s), "nothing is shared");
}

#[test]
fn what_is_known_of_peers_is_told() {
    let mut world = calm(304);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, "g", a, &[b]);
    let told = |world: &mut World| match world.call(a, Command::Peers, 1_000) {
        Some(Ok(Answer::Peers(peers))) => peers,
        other => unreachable!("{other:?}"),
    };
    let (peer, address) = (world.identity(b).peer, world.address(b));
    let peers = told(&mut world);
    let [known] = peers.as_slice() else { unreachable!("{peers:?}") };
    assert_eq!((known.peer, known.connected, &known.addresses), (peer, true, &vec![address]));
    assert!(known.last_seen_ms.is_some());
    world.kill(b);
    world.run_for(1_000);
    let away: Vec<bool> = told(&mut world).iter().map(|known| known.connected).collect();
    assert_eq!(away, [false]);
}
