//! Who is remembered of a chain, and dialled after a restart.

use std::collections::BTreeSet;

use walytis_core::{AuthorSecret, ChainId, Merit, PeerId};
use walytis_engine::public::{ChainPeer, PEERS_MAX, PublicMessage, Sharing};
use walytis_engine::sync::SyncMessage;

use crate::hostile::{block, push};
use crate::net::Net;

/// A chain of the first node that the second has joined, with some others in the test's hands.
fn followed(seed: u64, others: usize) -> (Net, ChainId) {
    let mut net = Net::new(seed, 2 + others);
    net.found(0);
    let code = net.invite(0, None, Sharing::Joiners);
    net.join(1, &code).unwrap();
    net.run(1_000);
    for other in 2..2 + others {
        net.take_over(other);
    }
    let chain = net.details(1).summary.chain;
    (net, chain)
}

/// One that is in the test's hands shows the second node that it knows the chain, and tells where it is.
fn visit(net: &mut Net, visitor: usize, chain: ChainId) {
    net.link(visitor, 1);
    net.run(50);
    let addresses = vec![net.address(visitor)];
    net.send(visitor, 1, PublicMessage::Sync(SyncMessage::Heads { chain, heads: Vec::new() }).frame());
    net.send(visitor, 1, PublicMessage::Addresses { addresses }.frame());
    net.run(100);
}

/// As [`visit`], with a block of its own.
fn visit_and_bring(net: &mut Net, visitor: usize, chain: ChainId) {
    visit(net, visitor, chain);
    let mut seed = [5; 32];
    seed[..8].copy_from_slice(&(visitor as u64).to_le_bytes());
    push(net, visitor, 1, &block(chain, vec![chain.into()], None, &AuthorSecret::from_seed(&seed), b"own"));
    net.run(100);
}

fn remembered(net: &mut Net) -> BTreeSet<PeerId> {
    net.details(1).peers.iter().map(|peer| peer.peer).collect()
}

/// Starts the second node anew. Whom it dials within some time.
fn dialled(net: &mut Net, ms: u64) -> BTreeSet<PeerId> {
    net.dials.clear();
    net.run(ms);
    net.dials.iter().filter(|(from, _)| *from == 1).filter_map(|(_, peer)| *peer).collect()
}

#[test]
fn strangers_seen_last_displace_nobody_who_let_us_in_at_the_next_start() {
    let (mut net, chain) = followed(91, 20);
    for stranger in 2..22 {
        visit(&mut net, stranger, chain);
    }
    net.kill(1);
    net.run(1_000);
    net.start(1);
    let first = dialled(&mut net, 10);
    assert!(first.contains(&net.peer(0)), "the inviter is among {first:?}");
    assert!(first.len() <= 8);
}

#[test]
fn those_without_addresses_take_no_place_among_those_that_are_dialled() {
    let (mut net, chain) = followed(92, 10);
    visit(&mut net, 2, chain);
    for stranger in 3..12 {
        net.link(stranger, 1);
        net.run(50);
        net.send(stranger, 1, PublicMessage::Sync(SyncMessage::Heads { chain, heads: Vec::new() }).frame());
        net.run(100);
    }
    net.kill(1);
    net.run(1_000);
    net.start(1);
    let first = dialled(&mut net, 10);
    assert_eq!(first, BTreeSet::from([net.peer(0), net.peer(2)]));
}

#[test]
fn others_are_dialled_as_long_as_nobody_who_brought_something_is_reached() {
    let (mut net, chain) = followed(93, 25);
    for visitor in 2..27 {
        visit_and_bring(&mut net, visitor, chain);
    }
    let known = remembered(&mut net);
    assert_eq!(known.len(), 26);
    net.kill(1);
    net.take_over(0);
    net.run(1_000);
    net.start(1);
    let first = dialled(&mut net, 10);
    assert_eq!(first.len(), 8, "not all at once");
    let later = dialled(&mut net, 120_000);
    assert_eq!(&first | &later, known);
}

/// Those who bring a block each push out neither who let us in, nor who is connected, nor those who did so long before.
#[test]
fn many_that_bring_one_block_each_push_no_honest_peer_out() {
    let (mut net, chain) = followed(94, 80);
    // Ten come early, then one that stays, then as many as there is room for, twice.
    for early in 2..12 {
        visit_and_bring(&mut net, early, chain);
        net.take_over(early);
    }
    let stays = 12;
    for visitor in 13..40 {
        visit_and_bring(&mut net, visitor, chain);
        net.take_over(visitor);
    }
    visit_and_bring(&mut net, stays, chain);
    for visitor in 40..82 {
        visit_and_bring(&mut net, visitor, chain);
        net.take_over(visitor);
    }
    let known = remembered(&mut net);
    assert_eq!(known.len(), PEERS_MAX);
    assert!(known.contains(&net.peer(0)), "who let us in");
    assert!(known.contains(&net.peer(stays)), "who is connected");
    for early in 2..12 {
        assert!(known.contains(&net.peer(early)), "who brought something before the others");
    }
    assert!(known.contains(&net.peer(81)), "and who was seen last");
    net.kill(1);
    net.start(1);
    assert_eq!(remembered(&mut net), known, "also after a restart");
    let listed = net.details(1).peers;
    let seen = |peer: &ChainPeer| (peer.connected, peer.last_seen_ms);
    assert!(listed.is_sorted_by_key(|peer| std::cmp::Reverse(seen(peer))), "the last seen first");
}

#[test]
fn to_name_a_chain_earns_nothing_and_what_is_earned_is_told_to_the_network() {
    let (mut net, chain) = followed(96, 2);
    let [inviter, follower, stranger, bringer] = [0, 1, 2, 3];
    assert_eq!(net.merit(follower, inviter), Merit::Follower, "it let the node in");
    assert_eq!(net.merit(inviter, follower), Merit::Invited, "it showed an invitation, and brought nothing yet");
    visit(&mut net, stranger, chain);
    assert_eq!(net.merit(follower, stranger), Merit::Stranger);
    visit_and_bring(&mut net, bringer, chain);
    assert_eq!(net.merit(follower, bringer), Merit::Follower);
    net.post(follower, b"the first that it brings");
    net.run(1_000);
    assert_eq!(net.merit(inviter, follower), Merit::Follower);
    // What no honest peer sends costs all of it.
    net.send(bringer, follower, vec![0xff]);
    net.run(1_000);
    assert_eq!(net.merit(follower, bringer), Merit::Stranger);
    // After a restart nobody has to prove anything anew to be let in.
    net.kill(follower);
    net.take_over(inviter);
    net.start(follower);
    net.run(1_000);
    let merits = [inviter, stranger, bringer].map(|other| net.merit(follower, other));
    assert_eq!(merits, [Merit::Follower, Merit::Stranger, Merit::Follower]);
}
