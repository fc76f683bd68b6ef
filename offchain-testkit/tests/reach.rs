//! Who finds whom again.

mod common;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::Address;
use walytis_engine::DiskSpace;
use walytis_engine::public::{ChainAnswer, ChainCode, ChainCommand, ChainInvitation, ChainRoom, Sharing};
use walytis_identities::InvitationCode;
use walytis_offchain::{Answer, Command, Event, Message};

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

/// A11: a member tells that it is where a victim is. Each address is dialled a few times and forgotten, over a restart, too; where
/// a member was reached once is dialled as long as it takes.
#[test]
fn where_a_member_only_said_that_it_is_is_dialled_a_few_times() {
    let mut world = calm(305);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, "g", a, &[b, m]);
    converge(&mut world, "g", &[a, b, m]);
    let (group, peer) = (group_id(&mut world, a, "g"), world.identity(m).peer);
    let mut member = Puppet::possess(&mut world, m).expect("a store");
    assert!(member.open_session(&mut world, a, group));
    let victim = |number: u8| Address::new(format!("/memory/9{number}/p2p/{peer}")).expect("an address");
    assert!(member.tell(&mut world, a, &Message::Hello { addresses: (0..8).map(victim).collect() }));
    world.run_for(500);
    world.cut(a, m);
    let addresses = |world: &mut World| match world.call(a, Command::Peers, 1_000) {
        Some(Ok(Answer::Peers(peers))) => {
            peers.into_iter().find(|known| known.peer == peer).map_or(0, |known| known.addresses.len())
        }
        other => unreachable!("{other:?}"),
    };
    assert_eq!(addresses(&mut world), 8);
    let before = world.dials(a, peer);
    world.run_for(30 * 60_000);
    let dials = world.dials(a, peer) - before;
    assert!((8..=8 * 12).contains(&dials), "{dials} dials of the victim");
    assert_eq!(addresses(&mut world), 0);
    world.kill(a);
    assert!(world.start(a).is_ok());
    let before = world.dials(a, peer);
    world.run_for(60_000);
    assert_eq!(world.dials(a, peer), before, "nor after a restart");
}

/// An engine with groups asks for its disk's room like any other, and says what it refuses.
#[test]
fn a_scarce_disk_is_told_with_the_chains() {
    let mut world = calm(306);
    let [a] = nodes(&mut world);
    group_of(&mut world, "g", a, &[]);
    let new = ChainCommand::New { name: "news".to_owned() };
    assert!(matches!(world.call(a, Command::Chain(new), 1_000), Some(Ok(_))));
    let room = |world: &mut World| match world.call(a, Command::Chain(ChainCommand::Chains), 1_000) {
        Some(Ok(Answer::Chain(ChainAnswer::Chains(chains)))) => chains.first().map(|chain| chain.room),
        other => unreachable!("{other:?}"),
    };
    assert_eq!(room(&mut world), Some(ChainRoom::Free));
    world.set_disk_space(a, DiskSpace { free_bytes: 1, total_bytes: 1 << 40 });
    world.run_for(100);
    assert_eq!(room(&mut world), Some(ChainRoom::DiskScarce));
    post(&mut world, a, "g", b"groups have what is left");
}
