//! What one peer may have a node do and take: a burst, and so much a second. No question is so large that it costs nothing,
//! and nothing that an honest peer lacks stays away.

use std::collections::BTreeSet;

use walytis_core::reconcile::{
    Compare, Differ, Grid, Holding, LOOKED_AT_MAX, Mark, Open, Part, SHORTS_MAX, Salt, Short, Where,
};
use walytis_core::{AuthorSecret, BlockId, ChainId, VerifiedBlock, chains};
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainLimit, PublicMessage, Sharing};
use walytis_engine::sync::{SyncMessage, WireBlock};

use crate::catching_up::{Writer, put, two_nodes};
use crate::hostile::{author, block, with_enemy};
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
    begin_spent(&mut net, &line);
    (net, chain, tip)
}

fn begin_spent(net: &mut Net, blocks: &[VerifiedBlock]) {
    put(net, 0, blocks);
    net.start(0);
    net.link(1, 0);
    net.run(50);
    spend(net);
}

/// What costs much by the count and little in fact, until nothing is left.
fn spend(net: &mut Net) {
    spend_of(net, &[1]);
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Work));
}

/// Has the whole burst of strangers done for them: rows are written of whoever shares a chain and says where it is.
pub(crate) fn spend_of(net: &mut Net, enemies: &[usize]) {
    let chain = net.details(0).summary.chain;
    for enemy in enemies {
        net.send(*enemy, 0, sync(SyncMessage::Heads { chain, heads: Vec::new() }));
    }
    for _ in 0..4_200 {
        for enemy in enemies {
            net.send(*enemy, 0, PublicMessage::Addresses { addresses: Vec::new() }.frame());
        }
    }
    net.run(100);
    enemies.iter().for_each(|enemy| drop(net.mail(*enemy)));
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
        for ms in (0..20_000).step_by(each_ms) {
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
        // Of everything, each portion has a quarter of a mebibyte: that is paid for, too.
        assert!(answered > 5, "{what}: {answered} messages");
    }
}

/// R2: who has many PeerIds has no more done by all of them than strangers have together, and takes nothing from who has
/// brought something.
#[test]
fn strangers_have_no_more_done_together_than_two_of_them_and_a_friend_is_served_meanwhile() {
    let mut net = Net::new(90, 6);
    net.all_join();
    net.post(1, b"of a friend");
    net.run(1_000);
    let chain = net.details(0).summary.chain;
    net.kill(0);
    let (mut writer, mut tip, mut line) = (Writer::new(1), chain.into(), Vec::new());
    for _ in 0..1_000 {
        line.push(writer.write(chain, &[tip]));
        tip = line.last().unwrap().id();
    }
    put(&net, 0, &line);
    (2..6).for_each(|enemy| net.take_over(enemy));
    net.start(0);
    net.link(1, 0);
    (2..6).for_each(|enemy| net.link(enemy, 0));
    net.run(2_000);
    spend_of(&mut net, &[2, 3]);

    // Two more have a share of their own each, which is not theirs to have.
    net.cut(0, 1);
    net.post(0, b"news");
    let question = sync(SyncMessage::Pull { chain, have: vec![chain.into()] });
    let before = net.store(0).reads();
    let mut answered = 0;
    for ms in 0..3_000 {
        for enemy in [4, 5] {
            net.send(enemy, 0, question.clone());
        }
        net.run(1);
        let reads = net.store(0).reads() - before;
        assert!(reads <= 2 * allowed(ms), "{reads} reads within {ms} ms");
        answered += net.mail(4).len() + net.mail(5).len();
    }
    assert!(answered > 10, "{answered} messages");
    assert_ne!(net.heads(1), net.heads(0));
    net.mend();
    net.link(1, 0);
    for _ in 0..500 {
        for enemy in [4, 5] {
            net.send(enemy, 0, question.clone());
        }
        net.run(1);
    }
    assert_eq!(net.heads(1), net.heads(0));
}

/// R2: telling heads is work for who hears them, and charged like questions.
#[test]
fn a_stranger_has_heads_looked_up_no_faster_than_its_share_allows() {
    let (mut net, chain, _) = spent(87, 10);
    let heads = (0..=255_u8).map(|number| BlockId([number; 32])).collect();
    let told = sync(SyncMessage::Heads { chain, heads });
    let before = net.store(0).reads();
    for ms in 0..20_000 {
        net.send(1, 0, told.clone());
        net.run(1);
        let reads = net.store(0).reads() - before;
        assert!(reads <= allowed(ms) / 2, "{reads} reads within {ms} ms");
        net.mail(1);
    }
}

/// Nobody who is honest is starved: a first download takes no more than there is, nor does catching up each time.
#[test]
fn who_downloads_a_chain_and_catches_up_with_each_block_is_never_refused() {
    let (mut net, chain) = two_nodes(88);
    let (mut writer, mut tip, mut line) = (Writer::new(1), chain.into(), Vec::new());
    for _ in 0..3_000 {
        line.push(writer.write(chain, &[tip]));
        tip = line.last().unwrap().id();
    }
    put(&net, 0, &line);
    net.start(0);
    net.start(1);
    net.run(5_000);
    for number in 0..100_u8 {
        net.cut(0, 1);
        net.post(0, &[number]);
        net.mend();
        net.link(1, 0);
        net.run(200);
        assert_eq!(net.details(1).summary.blocks, 3_002 + u64::from(number));
    }
    assert!(!net.engine(0).public().limits_reached().contains_key(&ChainLimit::Work));
    assert!(!net.engine(1).public().limits_reached().contains_key(&ChainLimit::Work));
}

/// Whoever has had its share gets what it lacks later.
#[test]
fn who_has_spent_its_share_catches_up_once_it_has_some_again() {
    let (mut net, chain, _) = spent(89, 3_000);
    net.send(1, 0, sync(SyncMessage::Pull { chain, have: Vec::new() }));
    net.run(50);
    net.take_over(1);
    net.start(1);
    net.run(60_000);
    assert_eq!(net.heads(1), net.heads(0));
}

/// R2: the same by a comparison that tells old heads.
#[test]
fn a_stranger_has_a_chain_compared_no_faster_than_its_share_allows() {
    let (mut net, chain, tip) = spent(82, 1_000);
    let compare = Compare { salt: Salt([1; 8]), goes_on: false, told: Vec::new().into() };
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
                let told: Vec<Holding> = compare.told.iter().map(|told| told.holding).collect();
                let open = (0_u16..).zip(&told).filter(|(_, holding)| !matches!(holding, Holding::Nothing));
                let open = open.map(|(told, _)| Open { told, there: there(told) }).collect();
                let first = matches!(told[0], Holding::Some(_));
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

/// R2: the same of who says again and again that halves of a wide range differ, all of which is looked at each time.
#[test]
fn a_stranger_has_wide_ranges_divided_no_faster_than_its_share_allows() {
    let (mut net, chain) = two_nodes(92);
    let head = |number: u64| {
        let mut seed = [6; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        block(chain, vec![chain.into()], None, &AuthorSecret::from_seed(&seed), b"")
    };
    begin_spent(&mut net, &(0..10_000).map(head).collect::<Vec<_>>());
    let (before, mut round) = (net.store(0).reads(), 0);
    for ms in (0..10_000).step_by(5) {
        let mut asked = false;
        for (_, frame) in net.mail(1) {
            let part = Part { count: 100_000, mark: Some(Mark([1; 8])) };
            let answer = match PublicMessage::decode(&frame[1..]).unwrap() {
                PublicMessage::Sync(SyncMessage::Compare { compare, .. }) if round < 6 => {
                    let grid = Grid { generations_log2: 0, prefixes_log2: u8::try_from(round).unwrap() };
                    let open = vec![Open { told: 0, there: Where::Parts { grid, parts: vec![part; 2].into() } }].into();
                    round += 1;
                    SyncMessage::Differ { chain, differ: Differ { salt: compare.salt, open, cut: None } }
                }
                PublicMessage::Sync(SyncMessage::Compare { .. } | SyncMessage::Pull { .. }) => {
                    round = 0;
                    SyncMessage::Portion { chain, blocks: Vec::new(), left: 0 }
                }
                _ => continue,
            };
            net.send(1, 0, sync(answer));
            asked = true;
        }
        if !asked && ms % 20 == 0 {
            net.send(1, 0, sync(SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] }));
        }
        net.run(5);
        let reads = net.store(0).reads() - before;
        assert!(reads <= allowed(ms) / 3, "{reads} reads within {ms} ms");
    }
    assert!(net.connected(0, 1), "nothing of it is misbehaviour");
}

/// A first download from who let us in is as fast as it can be, whatever the limits say of what comes after it.
#[test]
fn a_first_download_does_not_count_against_the_inviters_share() {
    let mut net = Net::new(93, 2);
    net.found(0);
    for _ in 0..30 {
        net.post(0, &[7; 100_000]);
    }
    let code = net.invite(0, None, Sharing::Inviter);
    let joining = net.ask(1, ChainCommand::Join { code, name: Some("c".into()) });
    net.run(1);
    limits(&mut net, 1, |limits| (limits.peer_bytes_burst, limits.peer_bytes_per_second) = (100_000, 1_000));
    net.run(5_000);
    let joined = net.answer(1, joining);
    assert!(matches!(&joined, Some(Ok(ChainAnswer::Chain(chain))) if chain.blocks == 31), "{joined:?}");
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
            let wire =
                |block: &VerifiedBlock| WireBlock { block: block.raw().clone(), attachment: None, foreign: Vec::new() };
            let blocks = vec![wire(&next), wire(&large)];
            net.send(enemy, 0, sync(SyncMessage::Portion { chain, blocks, left: 0 }));
        }
        net.run(100);
    }
    let large = (net.details(0).summary.blocks - before) / 2;
    // 20 s: 2.5 + 20 / 4 of these blocks, and one that brings the share below nothing.
    assert!((3..=10).contains(&large), "{large} of 100");
}

/// What is missing is the same, in however many steps it is looked for, and whatever the chain looks like.
#[test]
fn what_is_missing_is_found_in_any_number_of_steps() {
    let (net, chain) = two_nodes(90);
    let mut writers: Vec<Writer> = (1..=20).map(Writer::new).collect();
    let mut blocks: Vec<VerifiedBlock> = Vec::new();
    // Some lines that are joined here and there, and behind them hundreds of heads, on old blocks too.
    for number in 0..900_usize {
        let below = number.min(600);
        let parent = if below < 20 { chain.into() } else { blocks[(number * 7919) % below].id() };
        let mut single = Writer::new(u8::try_from(21 + number / 4).unwrap());
        let writer = if number < 600 { &mut writers[number % 20] } else { &mut single };
        blocks.push(writer.write(chain, &[parent]));
    }
    put(&net, 0, &blocks);
    let view = net.view(0);
    assert!(chains::head_count(&view, chain).unwrap() > 256);
    for known in [vec![chain.into()], vec![blocks[899].id()], blocks[..300].iter().map(|block| block.id()).collect()] {
        let mut below: BTreeSet<BlockId> = BTreeSet::new();
        let mut open: Vec<BlockId> = known.clone();
        while let Some(id) = open.pop() {
            if below.insert(id) {
                open.extend(chains::header(&view, id).unwrap().unwrap().all_parents());
            }
        }
        let at = |position: u64| chains::block_at(&view, chain, position).unwrap().unwrap().block.id();
        let length = chains::length(&view, chain).unwrap();
        let lacking: Vec<u64> = (0..length).filter(|position| !below.contains(&at(*position))).collect();
        assert_eq!(chains::difference(&view, chain, &known).unwrap(), lacking);
        for rows in [1, 7, 256, 5_000] {
            let mut search = chains::Difference::new(&view, chain, &known, usize::MAX).unwrap();
            while search.go_on(&view, rows).unwrap() >= rows {}
            let found: Vec<u64> = search.into_ranges().into_iter().flat_map(|(from, to)| from..to).collect();
            assert_eq!(found, lacking, "in steps of {rows}");
        }
        let mut search = chains::Difference::new(&view, chain, &known, 5).unwrap();
        search.go_on(&view, usize::MAX).unwrap();
        let found: Vec<u64> = search.into_ranges().into_iter().flat_map(|(from, to)| from..to).collect();
        assert_eq!(found, lacking[..found.len()], "what came first, if there is too much to keep");
    }
}
