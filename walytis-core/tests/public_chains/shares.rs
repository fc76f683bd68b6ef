//! What one peer may have a node do and take: a burst, and so much a second. No question is so large that it costs nothing,
//! and nothing that an honest peer lacks stays away.

use walytis_core::public::{ChainLimit, PublicMessage};
use walytis_core::reconcile::{Differ, LOOKED_AT_MAX, Open, SHORTS_MAX, Short, Where};
use walytis_core::sync::SyncMessage;
use walytis_core::{BlockId, ChainId, Hash, chains};

use crate::catching_up::{Writer, put, two_nodes};
use crate::hostile::{block, with_enemy};
use crate::net::Net;
use crate::rules::limits;

/// What a peer is given back a second, in looks; and how many reads one look may be.
const LOOKS_PER_SECOND: usize = 50_000;
const READS_PER_LOOK: usize = 4;

/// A node with a chain of some blocks in a line and an old head beside it, and an enemy that is connected to it and has
/// spent its burst. Also the line's last block.
fn spent(seed: u64, blocks: usize) -> (Net, ChainId, BlockId) {
    let (mut net, chain) = two_nodes(seed);
    let (mut writer, mut line) = (Writer::new(1), vec![block(chain, vec![chain.into()], None, &author(9), b"beside")]);
    let mut tip = chain.into();
    for _ in 0..blocks {
        line.push(writer.write(chain, &[tip]));
        tip = line.last().unwrap().id();
    }
    put(&net, 0, &line);
    net.start(0);
    net.link(1, 0);
    net.run(50);
    spend(&mut net);
    (net, chain, tip)
}

fn author(seed: u8) -> walytis_core::AuthorSecret {
    crate::hostile::author(seed)
}

/// What costs much by the count and little in fact, until nothing is left.
fn spend(net: &mut Net) {
    for _ in 0..4_200 {
        net.send(1, 0, PublicMessage::Greeting { marks: vec![Hash([4; 32])] }.frame());
    }
    net.run(100);
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Work));
    net.mail(1);
}

fn sync(message: SyncMessage) -> Vec<u8> {
    PublicMessage::Sync(message).frame()
}

/// Reads that this long may bring.
fn allowed(ms: u64) -> usize {
    // The question that brings a share below nothing is answered, and so is the step of the walk that does.
    LOOKS_PER_SECOND * READS_PER_LOOK * (ms as usize + 2_000) / 1_000
}

/// R2: who asks for everything, or has everything walked for one block, again and again, does not get more than its share of
/// work, also if it comes back each time.
#[test]
fn a_stranger_has_a_chain_walked_no_faster_than_its_share_allows() {
    for (what, each_ms, comes_back) in [("everything", 1, false), ("one block", 1, false), ("one block", 50, true)] {
        let (mut net, chain, tip) = spent(81, 1_000);
        let have = if what == "everything" { vec![chain.into()] } else { vec![tip] };
        let question = sync(SyncMessage::Pull { chain, have: have.clone() });
        let before = net.store(0).reads();
        let mut answered = 0;
        for ms in (0..60_000).step_by(each_ms) {
            if comes_back {
                net.take_over(1);
                net.link(1, 0);
                net.run(2);
                (0..50).for_each(|_| net.send(1, 0, question.clone()));
                net.run(each_ms as u64 - 2);
            } else {
                net.send(1, 0, question.clone());
                net.run(1);
            }
            let reads = net.store(0).reads() - before;
            assert!(reads <= allowed(ms as u64), "{what}: {reads} reads within {ms} ms");
            answered += net.mail(1).len();
        }
        assert!(answered > 10, "{what}: {answered} messages");
    }
}

/// R2: the same by a comparison that tells old heads.
#[test]
fn a_stranger_has_a_chain_compared_no_faster_than_its_share_allows() {
    let (mut net, chain, tip) = spent(82, 1_000);
    let compare = walytis_core::reconcile::Compare {
        salt: walytis_core::reconcile::Salt([1; 8]),
        goes_on: false,
        told: Vec::new(),
    };
    let question = sync(SyncMessage::Compare { chain, heads: vec![tip], compare });
    let before = net.store(0).reads();
    for ms in 0..20_000 {
        net.send(1, 0, question.clone());
        net.run(1);
        let reads = net.store(0).reads() - before;
        assert!(reads <= allowed(ms), "{reads} reads within {ms} ms");
        net.mail(1);
    }
}

/// R2: what is missing is looked for in steps, and found.
#[test]
fn a_long_walk_is_made_in_bounded_steps_and_answered_in_the_end() {
    let (mut net, chain) = two_nodes(83);
    let (mut writer, mut tip) = (Writer::new(1), chain.into());
    let mut line = vec![block(chain, vec![chain.into()], None, &author(9), b"beside")];
    for _ in 0..30_000 {
        line.push(writer.write(chain, &[tip]));
        tip = line.last().unwrap().id();
    }
    put(&net, 0, &line);
    net.start(0);
    net.link(1, 0);
    net.run(50);
    net.send(1, 0, sync(SyncMessage::Heads { chain, heads: vec![tip] }));
    net.run(200);
    net.mail(1);
    net.largest_step = 0;
    net.send(1, 0, sync(SyncMessage::Pull { chain, have: vec![tip] }));
    net.run(200);
    let portions: Vec<_> = net.mail(1).into_iter().filter_map(|(_, frame)| portion(&frame)).collect();
    assert_eq!(portions, [vec![line[0].id()]], "the one block beside the line");
    assert!(net.largest_step < 10_000, "{} rows in one step", net.largest_step);
}

/// The blocks of a portion.
fn portion(frame: &[u8]) -> Option<Vec<BlockId>> {
    match PublicMessage::decode(&frame[1..]).unwrap() {
        PublicMessage::Sync(SyncMessage::Portion { blocks, .. }) => {
            Some(blocks.iter().map(|wire| walytis_core::Header::id_of(&wire.block.header)).collect())
        }
        _ => None,
    }
}

/// Answers each comparison by "this is what I have", and what is then asked for by nothing.
fn claims_to_have_one_block_in_each_range(net: &mut Net, chain: ChainId) {
    let told = net.mail(1);
    let mut asked = false;
    for (_, frame) in told {
        match PublicMessage::decode(&frame[1..]).unwrap() {
            PublicMessage::Sync(SyncMessage::Compare { compare, .. }) => {
                asked = true;
                let there = |number: u16| Where::Mine(vec![Short([number as u8; 6])]);
                let is_told =
                    |told: usize| !matches!(compare.told[told].holding, walytis_core::reconcile::Holding::Nothing);
                let open = (0..compare.told.len()).filter(|told| is_told(*told));
                let open: Vec<Open> = open.map(|told| Open { told: told as u16, there: there(told as u16) }).collect();
                let first = matches!(compare.told[0].holding, walytis_core::reconcile::Holding::Some(_));
                if first {
                    let differ = Differ { salt: compare.salt, open, cut: None };
                    net.send(1, 0, sync(SyncMessage::Differ { chain, differ }));
                } else {
                    net.send(1, 0, sync(SyncMessage::Portion { chain, blocks: Vec::new(), left: 0 }));
                }
            }
            PublicMessage::Sync(SyncMessage::Pull { .. }) => {
                asked = true;
                net.send(1, 0, sync(SyncMessage::Portion { chain, blocks: Vec::new(), left: 0 }));
            }
            _ => {}
        }
    }
    if !asked {
        net.send(1, 0, sync(SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] }));
    }
}

/// R2: who says of each range that it has one block there has this node look at a bounded part of the chain, and at no more
/// than its share in all.
#[test]
fn a_stranger_has_a_comparison_gone_on_with_no_faster_than_its_share_allows() {
    let (mut net, chain, _) = spent(84, 20_000);
    let before = net.store(0).reads();
    net.largest_step = 0;
    for ms in (0..60_000).step_by(5) {
        claims_to_have_one_block_in_each_range(&mut net, chain);
        net.run(5);
        let reads = net.store(0).reads() - before;
        assert!(reads <= allowed(ms), "{reads} reads within {ms} ms");
        assert!(net.largest_step < 3 * SHORTS_MAX && SHORTS_MAX < LOOKED_AT_MAX, "{} in one step", net.largest_step);
    }
}

/// R2: pushes do not come faster than a peer's share, and all of them are here in the end.
#[test]
fn pushes_beyond_a_peers_share_come_later_at_our_pace() {
    let mut net = Net::new(85, 2);
    net.all_join();
    limits(&mut net, 0, |limits| (limits.peer_bytes_burst, limits.peer_bytes_per_second) = (1_000_000, 100_000));
    net.run(1_000);
    for number in 0..100_u8 {
        net.post(1, &vec![number; 100_000]);
    }
    net.run(1_000);
    let taken = |net: &mut Net| usize::try_from(net.details(0).summary.blocks).unwrap();
    assert!((5..=20).contains(&taken(&mut net)), "{}", taken(&mut net));
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::PeerBytes));
    net.run(30_000);
    assert!((20..=65).contains(&taken(&mut net)), "{}: at our pace", taken(&mut net));
    net.run(120_000);
    assert_eq!(taken(&mut net), 101);
    assert_eq!(net.heads(0), net.heads(1));
}

/// R2: a pull that begins anew is not free: who tells of one new block after the other keeps to its share, too.
#[test]
fn what_is_pulled_again_and_again_keeps_to_a_peers_share() {
    let (mut net, chain, enemy) = with_enemy(86, 2);
    limits(&mut net, 0, |limits| (limits.peer_bytes_burst, limits.peer_bytes_per_second) = (500_000, 50_000));
    net.run(1_000);
    let mut writer = Writer::new(3);
    let before = net.details(0).summary.blocks;
    for _ in 0..100 {
        let next = writer.write(chain, &[chain.into()]);
        let large = block(chain, vec![next.id()], None, &author(4), &vec![1; 200_000]);
        net.send(enemy, 0, sync(SyncMessage::Heads { chain, heads: vec![large.id()] }));
        net.run(100);
        let asks = |frame: &[u8]| {
            let message = PublicMessage::decode(&frame[1..]).unwrap();
            matches!(message, PublicMessage::Sync(SyncMessage::Compare { .. } | SyncMessage::Pull { .. }))
        };
        if net.mail(enemy).iter().any(|(_, frame)| asks(frame)) {
            let wire = |block: &walytis_core::VerifiedBlock| walytis_core::sync::WireBlock {
                block: block.raw().clone(),
                attachment: None,
                foreign: Vec::new(),
            };
            let blocks = vec![wire(&next), wire(&large)];
            net.send(enemy, 0, sync(SyncMessage::Portion { chain, blocks, left: 0 }));
        }
        net.run(100);
    }
    let large = (net.details(0).summary.blocks - before) / 2;
    // 20 s: 2.5 + 20 / 4 of these blocks, and one that brings the share below nothing.
    assert!((3..=10).contains(&large), "{large} of 100");
    let _ = chains::length(&net.view(0), chain);
}
