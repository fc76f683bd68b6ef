//! Room for what strangers write: half of a chain's is kept for those who were there before, all chains together have a cap, and
//! so much of the disk stays free. What is refused is delayed, and told.

use walytis_core::{ChainId, VerifiedBlock, chains};
use walytis_engine::DiskSpace;
use walytis_engine::public::{
    ChainAnswer, ChainCommand, ChainLimit, ChainRoom, PublicError, PublicMessage, Rule, Sharing,
};
use walytis_engine::sync::SyncMessage;

use crate::hostile::{author, block, push, with_enemy};
use crate::net::{Memory, Net};
use crate::rules::{limits, rule};

/// A block by an author who has written nothing else, behind the genesis.
fn stranger(chain: ChainId, seed: u8) -> VerifiedBlock {
    block(chain, vec![chain.into()], None, &author(seed), &[seed; 10_000])
}

fn room(net: &mut Net, node: usize) -> ChainRoom {
    net.details(node).summary.room
}

/// A4: keys are free, so whoever has many fills half of a chain and no more; who wrote before goes on, and so does whoever a
/// person allows. What is refused comes once somebody known builds on it, and nodes do not differ for good.
#[test]
fn strangers_fill_half_of_a_chain_and_the_rest_is_kept_for_who_was_there_before() {
    let (mut net, chain, enemy) = with_enemy(301, 3);
    net.post(1, b"there before");
    net.run(1_000);
    for node in [0, 1] {
        limits(&mut net, node, |limits| limits.chain_bytes_max = 400_000);
    }
    net.cut(0, 1);
    net.link(enemy, 0);
    net.run(100);
    for seed in 50..90 {
        push(&mut net, enemy, 0, &stranger(chain, seed));
    }
    net.run(5_000);
    let filled = net.details(0).summary;
    assert!(filled.bytes > 185_000 && filled.bytes <= 200_000, "{} bytes", filled.bytes);
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::HalfFull));

    // Who was there before goes on, here and at the other node, and both agree.
    net.mend();
    net.link(0, 1);
    net.run(2_000);
    for _ in 0..3 {
        net.post(1, &[1; 3_000]);
        net.post(0, &[2; 3_000]);
        net.run(2_000);
    }
    assert_eq!(net.heads(0), net.heads(1));
    assert_eq!(room(&mut net, 0), ChainRoom::HalfFull);
    let before = net.details(0).summary.blocks;

    // One of those that were refused is built upon elsewhere.
    let refused = stranger(chain, 89);
    assert!(chains::block(&net.view(0), refused.id()).unwrap().is_none());
    limits(&mut net, 1, |limits| limits.chain_bytes_max = 10_000_000);
    net.link(enemy, 1);
    net.run(100);
    push(&mut net, enemy, 1, &refused);
    net.run(1_000);
    net.post(1, b"builds on it");
    net.run(10_000);
    assert!(chains::block(&net.view(0), refused.id()).unwrap().is_some());
    assert_eq!(net.heads(0), net.heads(1));
    assert!(net.details(0).summary.blocks >= before + 2);
    (0..2).for_each(|node| net.check(node));
}

/// More blocks of newcomers than are held for long do not open the second half to them.
#[test]
fn newcomers_who_send_more_than_is_held_get_no_more_room() {
    let (mut net, chain, enemy) = with_enemy(302, 2);
    limits(&mut net, 0, |limits| limits.chain_bytes_max = 1_000_000);
    net.link(enemy, 0);
    net.run(100);
    for seed in 50..200 {
        push(&mut net, enemy, 0, &block(chain, vec![chain.into()], None, &author(seed), &[seed; 200_000]));
    }
    net.run(60_000);
    assert!(net.details(0).summary.bytes <= 500_000, "{} bytes", net.details(0).summary.bytes);
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Orphans));
}

/// An author whom a person allows by name has room in the second half; a join takes a chain as large as it is.
#[test]
fn whom_a_person_allows_has_room_and_a_join_takes_all() {
    let (mut net, chain, enemy) = with_enemy(303, 3);
    limits(&mut net, 0, |limits| limits.chain_bytes_max = 40_000);
    net.link(enemy, 0);
    net.run(100);
    for seed in [50, 51] {
        push(&mut net, enemy, 0, &stranger(chain, seed));
    }
    net.run(1_000);
    assert_eq!(net.details(0).summary.bytes / 10_000, 1);
    rule(&mut net, 0, Rule::AllowAuthor(author(51).public()));
    net.run(1_000);
    assert_eq!(net.details(0).summary.bytes / 10_000, 2, "what was held is taken");

    let code = net.invite(0, None, Sharing::Inviter);
    let _ = net.call(1, ChainCommand::Delete { chain: "c".into() }).unwrap();
    net.join(1, &code).unwrap();
    assert_eq!(net.heads(1), net.heads(0));
}

const GIB: u64 = 1024 * 1024 * 1024;

/// A disk of 10 GiB of which so much is free that the store has 300 kB until the floor.
fn small_disk(store: &Memory) -> DiskSpace {
    let total_bytes = 10 * GIB;
    let floor = DiskSpace { free_bytes: 0, total_bytes }.floor_bytes();
    DiskSpace { free_bytes: (floor + 300_000).saturating_sub(store.bytes()), total_bytes }
}

fn large_disk(_: &Memory) -> DiskSpace {
    DiskSpace { free_bytes: 5 * GIB, total_bytes: 10 * GIB }
}

/// A4: strangers bring a disk to its floor and no further; own posts go on; nothing is asked for meanwhile, and what was refused
/// comes once there is room.
#[test]
fn strangers_stop_at_the_floor_of_free_disk_and_go_on_when_there_is_room() {
    let (mut net, chain, enemy) = with_enemy(304, 3);
    net.disks.insert(0, small_disk);
    net.kill(0);
    net.start(0);
    net.link(enemy, 0);
    net.link(1, 0);
    net.run(1_000);
    for seed in 50..150 {
        push(&mut net, enemy, 0, &stranger(chain, seed));
        net.run(30);
    }
    net.run(2_000);
    let filled = net.details(0).summary;
    assert_eq!(filled.room, ChainRoom::DiskScarce);
    // A mebibyte may be on its way, or what comes within a second.
    let most = 300_000 + 35 * 10_500;
    assert!((200_000..=most).contains(&(filled.bytes as usize)), "{} bytes", filled.bytes);
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Disk));
    let own = net.post(0, b"own goes on");
    net.run(2_000);
    assert!(net.heads(1).contains(&own));

    // Nothing of others is taken, and asking costs little.
    net.post(1, b"of somebody else");
    (net.frame_bytes, net.disk_asked) = (0, 0);
    net.run(600_000);
    assert!(!net.list(0).iter().any(|entry| entry.content == b"of somebody else"));
    assert!(net.frame_bytes < 200_000, "{} bytes in ten minutes", net.frame_bytes);
    assert!((10..=60).contains(&net.disk_asked), "asked {} times in ten minutes", net.disk_asked);

    // A join says why it cannot go on.
    let code = net.invite(1, None, Sharing::Inviter);
    let _ = net.call(0, ChainCommand::Delete { chain: "c".into() }).unwrap();
    net.run(1_000);
    net.disks.insert(0, |_| DiskSpace { free_bytes: 1_000, total_bytes: 10 * GIB });
    net.run(60_000);
    net.post(1, b"more");
    let joined = net.join(0, &code);
    assert_eq!(joined, Err(PublicError::DiskScarce(10 * GIB / 16)));

    net.disks.insert(0, large_disk);
    net.run(60_000);
    net.join(0, &code).unwrap();
    assert_eq!(net.heads(0), net.heads(1));
    assert_eq!(room(&mut net, 0), ChainRoom::Free);
}

/// What was refused for the disk's sake comes by itself once the host says that there is room.
#[test]
fn a_disk_with_room_again_has_what_was_refused_fetched() {
    let (mut net, _, _) = with_enemy(305, 3);
    net.disks.insert(0, |_| DiskSpace { free_bytes: 1_000, total_bytes: 10 * GIB });
    net.kill(0);
    net.start(0);
    net.link(1, 0);
    net.run(1_000);
    net.post(1, b"while there is none");
    net.run(10_000);
    assert_ne!(net.heads(0), net.heads(1));
    net.disks.insert(0, large_disk);
    net.run(60_000);
    assert_eq!(net.heads(0), net.heads(1));
}

/// A4: all public chains of a node have a cap together, whatever the limit of each.
#[test]
fn all_public_chains_together_have_a_cap() {
    let mut net = Net::new(306, 3);
    net.take_over(2);
    net.public_bytes_max = Some(100_000);
    net.kill(0);
    net.start(0);
    net.run(100);
    net.found(0);
    let other = match net.call(0, ChainCommand::New { name: "other".into() }).unwrap() {
        ChainAnswer::Chain(summary) => summary.chain,
        other => panic!("{other:?}"),
    };
    let chain = net.details(0).summary.chain;
    net.link(2, 0);
    net.run(100);
    for seed in 50..60 {
        push(&mut net, 2, 0, &stranger(chain, seed));
        push(&mut net, 2, 0, &stranger(other, seed));
    }
    net.run(2_000);
    let chains = match net.call(0, ChainCommand::Chains).unwrap() {
        ChainAnswer::Chains(chains) => chains,
        other => panic!("{other:?}"),
    };
    let bytes: u64 = chains.iter().map(|chain| chain.bytes).sum();
    assert!((80_000..=100_000).contains(&bytes), "{bytes}");
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::AllBytes));
    assert!(matches!(net.post(0, &[1; 20_000]), id if net.heads(0).contains(&id)), "own blocks need none of it");
    assert_eq!(room(&mut net, 0), ChainRoom::AllFull);
    let _ = net.call(0, ChainCommand::Delete { chain: "other".into() }).unwrap();
    assert_eq!(room(&mut net, 0), ChainRoom::Free);
}

/// One refused block of a newcomer's does not end that authors are asked for whom a person allows by name.
#[test]
fn authors_allowed_by_name_are_asked_for_where_a_newcomer_was_refused() {
    let (mut net, chain, enemy) = with_enemy(307, 2);
    net.public_bytes_max = Some(50_000);
    net.kill(0);
    net.start(0);
    for seed in [51, 52] {
        rule(&mut net, 0, Rule::AllowAuthor(author(seed).public()));
    }
    for _ in 0..6 {
        net.post(0, &[1; 10_000]);
    }
    assert_eq!(room(&mut net, 0), ChainRoom::AllFull);
    net.link(enemy, 0);
    net.run(100);
    // It is tried because somebody who is allowed builds on it.
    let refused = stranger(chain, 50);
    push(&mut net, enemy, 0, &refused);
    push(&mut net, enemy, 0, &block(chain, vec![refused.id()], None, &author(51), b"above it"));
    net.run(1_000);
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::AllBytes));

    let asked = |net: &mut Net| {
        net.mail(enemy).iter().any(|(_, frame)| {
            let message = PublicMessage::decode(&frame[1..]);
            matches!(message, Ok(PublicMessage::Sync(SyncMessage::Pull { .. } | SyncMessage::Compare { .. })))
        })
    };
    net.run(120_000);
    asked(&mut net);
    let wanted = block(chain, vec![chain.into()], None, &author(52), b"wanted");
    let heads = PublicMessage::Sync(SyncMessage::Heads { chain, heads: vec![wanted.id()] });
    net.send(enemy, 0, heads.frame());
    net.run(1_000);
    assert!(asked(&mut net), "it is asked for");
}
