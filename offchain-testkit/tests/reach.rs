//! Who finds whom again.

mod common;

use common::*;
use offchain_testkit::{NodeId, World};
use walytis_core::Address;
use walytis_core::public::{ChainAnswer, ChainCode, ChainCommand, ChainInvitation, Sharing};
use walytis_identities::InvitationCode;
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
fn whoever_is_away_is_dialled_at_once_when_addresses_change() {
    for chain in [false, true] {
        let mut world = calm(305);
        let [a, b] = nodes(&mut world);
        if chain {
            share_a_chain(&mut world, a, b);
        } else {
            group_of(&mut world, "g", a, &[b]);
        }
        world.run_for(1_000);
        world.cut(a, b);
        // By now they dial each other once a minute.
        world.run_for(600_000);
        world.mend(a, b);
        world.run_for(100);
        assert!(!world.connected(a, b));
        world.inject(a, Event::AddressesChanged);
        world.run_for(100);
        assert!(world.connected(a, b), "chain: {chain}");
        // With all pauses begun anew, if it did not help.
        world.cut(a, b);
        world.run_for(600_000);
        world.inject(a, Event::AddressesChanged);
        world.run_for(100);
        world.mend(a, b);
        world.run_for(1_000);
        assert!(world.connected(a, b), "chain: {chain}");
    }
}

/// One invites the other to a public chain.
fn share_a_chain(world: &mut World, a: NodeId, b: NodeId) {
    let new = ChainCommand::New { name: "news".to_owned() };
    assert!(matches!(world.call(a, Command::Chain(new), 1_000), Some(Ok(_))));
    let code = chain_code(world, a);
    let join = ChainCommand::Join { code, name: None };
    assert!(matches!(world.call(b, Command::Chain(join), LONG_MS), Some(Ok(_))));
}

fn chain_code(world: &mut World, node: NodeId) -> String {
    let invite = ChainCommand::Invite { chain: "news".to_owned(), uses: None, sharing: Sharing::Inviter };
    match world.call(node, Command::Chain(invite), 1_000) {
        Some(Ok(Answer::Chain(ChainAnswer::Invitation(ChainInvitation { code: Some(code), .. })))) => code,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn status_and_codes_name_the_addresses_that_there_are() {
    let mut world = calm(306);
    let [a] = nodes(&mut world);
    group_of(&mut world, "g", a, &[]);
    let new = ChainCommand::New { name: "news".to_owned() };
    assert!(matches!(world.call(a, Command::Chain(new), 1_000), Some(Ok(_))));
    let peer = world.identity(a).peer;
    let address = |place: &str| Address::new(format!("{place}/p2p/{peer}")).unwrap_or_else(|| unreachable!("short"));
    let named = |world: &mut World| {
        let group: InvitationCode = invite(world, a, "g", 1).parse().unwrap_or_else(|_| unreachable!("our own"));
        let chain: ChainCode = chain_code(world, a).parse().unwrap_or_else(|_| unreachable!("our own"));
        let Some(Ok(Answer::Status(status))) = world.call(a, Command::Status, 1_000) else { unreachable!("a status") };
        (status.addresses, group.inviters()[0].addresses.clone(), chain.inviters[0].addresses.clone())
    };
    let first = world.address(a);
    world.inject(a, Event::ListenEnded(first));
    let loopback = ["/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4001"].map(address);
    for place in &loopback {
        world.inject(a, Event::Listening(place.clone()));
    }
    world.run_for(10);
    assert_eq!(named(&mut world), (loopback.to_vec(), loopback.to_vec(), loopback.to_vec()), "there is nothing else");

    let hosts: Vec<Address> = (1..=6).map(|host| address(&format!("/ip4/192.0.2.{host}/tcp/4001"))).collect();
    for place in &hosts {
        world.inject(a, Event::Listening(place.clone()));
    }
    world.run_for(10);
    assert_eq!(named(&mut world), (hosts.clone(), hosts[..4].to_vec(), hosts[..4].to_vec()), "the first of them");

    for gone in &hosts[..5] {
        world.inject(a, Event::ListenEnded(gone.clone()));
    }
    world.run_for(10);
    let left = hosts[5..].to_vec();
    assert_eq!(named(&mut world), (left.clone(), left.clone(), left.clone()), "one that is gone is not named");
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
