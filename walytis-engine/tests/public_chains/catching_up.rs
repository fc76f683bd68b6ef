//! What it costs two nodes that wrote apart from each other to have the same set again.

use std::sync::Arc;

use walytis_core::reconcile::{Compare, Differ, Grid, Mark, Open, Part, ROUNDS_MAX, Where};
use walytis_core::{AuthorSecret, BlockId, BlockKind, ChainId, Draft, Place, Store, Timestamp, VerifiedBlock, chains};
use walytis_engine::public::PublicMessage;
use walytis_engine::sync::{SyncMessage, WireBlock};

use crate::hostile::{block, with_enemy};
use crate::net::Net;

/// Heads, greetings, addresses and frames.
const BESIDE_BYTES: usize = 3_000;

/// Who wrote what, without any node.
pub(crate) struct Writer {
    author: AuthorSecret,
    last: Option<(BlockId, u64)>,
}

impl Writer {
    pub(crate) fn new(seed: u8) -> Self {
        Self { author: AuthorSecret::from_seed(&[seed; 32]), last: None }
    }

    pub(crate) fn write(&mut self, chain: ChainId, parents: &[BlockId]) -> VerifiedBlock {
        let previous = self.last;
        let mut parents = parents.to_vec();
        parents.sort_unstable();
        let place = Place::After { chain, parents, previous };
        let draft =
            Draft { kind: BlockKind::Content, place, foreign: vec![], topics: vec![], content: vec![b'x'; 100] };
        let block = draft.sign_alone(&self.author, Timestamp(1_700_000_000_000)).unwrap();
        self.last = Some((block.id(), block.header().sequence));
        block
    }
}

/// Two nodes that follow one chain, and are off.
pub(crate) fn two_nodes(seed: u64) -> (Net, ChainId) {
    let mut net = Net::new(seed, 2);
    net.all_join();
    let chain = net.details(0).summary.chain;
    net.kill(0);
    net.kill(1);
    (net, chain)
}

/// Puts blocks into the set of a node that is off.
pub(crate) fn put(net: &Net, node: usize, blocks: &[VerifiedBlock]) {
    for blocks in blocks.chunks(1_000) {
        let mut view = net.view(node);
        for block in blocks {
            chains::insert(&mut view, block).unwrap();
        }
        let (_, batch) = view.close_step().unwrap();
        net.store(node).commit(&batch).unwrap();
    }
}

/// What a catching up cost.
#[derive(Debug)]
struct Cost {
    /// All frames of both nodes.
    bytes: usize,
    /// Those that compare the sets.
    compared: usize,
    /// The blocks that were missing, as they travel.
    missing: usize,
    blocks: usize,
    /// How often the node that asked more often said what it has.
    rounds: usize,
}

/// Turns both nodes on, lets them catch up, and counts. `apart` is what each of them has alone.
fn catch_up(mut net: Net, chain: ChainId, apart: [&[VerifiedBlock]; 2]) -> Cost {
    net.sent = Some(Vec::new());
    net.start(0);
    net.start(1);
    net.link(0, 1);
    net.run(5_000);
    let heads = |node| chains::heads(&net.view(node), chain).unwrap();
    assert_eq!(heads(0), heads(1), "equal heads are equal sets");
    for node in 0..2 {
        chains::recheck_heads(&net.view(node), chain).unwrap();
    }
    let mut cost = Cost { bytes: 0, compared: 0, missing: 0, blocks: 0, rounds: 0 };
    let mut rounds = [0; 2];
    for (from, frame) in net.sent.take().unwrap() {
        cost.bytes += frame.len();
        match PublicMessage::decode(&frame[1..]).unwrap() {
            PublicMessage::Sync(SyncMessage::Portion { blocks, .. }) => cost.blocks += blocks.len(),
            PublicMessage::Sync(SyncMessage::Compare { .. }) => {
                rounds[from] += 1;
                cost.compared += frame.len();
            }
            PublicMessage::Sync(SyncMessage::Differ { .. }) => cost.compared += frame.len(),
            PublicMessage::Sync(SyncMessage::Pull { .. }) => panic!("a comparison is enough"),
            _ => {}
        }
    }
    cost.rounds = rounds.into_iter().max().unwrap();
    for blocks in apart {
        let wire =
            |block: &VerifiedBlock| WireBlock { block: block.raw().clone(), attachment: None, foreign: Vec::new() };
        let blocks = blocks.iter().map(wire).collect();
        cost.missing += PublicMessage::Sync(SyncMessage::Portion { chain, blocks, left: 0 }).frame().len();
    }
    eprintln!("{cost:?}");
    assert_eq!(cost.blocks, apart.iter().map(|blocks| blocks.len()).sum(), "each missing block travels once");
    cost
}

/// A chain with one block a generation, of which each node wrote some alone.
fn line(length: usize, each: usize) -> Cost {
    let (net, chain) = two_nodes(1);
    let mut writer = Writer::new(1);
    let (mut common, mut tip) = (Vec::new(), chain.into());
    for _ in 0..length {
        let block = writer.write(chain, &[tip]);
        tip = block.id();
        common.push(block);
    }
    let apart = [2, 3].map(|seed| {
        let (mut writer, mut tip, mut blocks) = (Writer::new(seed), tip, Vec::new());
        for _ in 0..each {
            let block = writer.write(chain, &[tip]);
            tip = block.id();
            blocks.push(block);
        }
        blocks
    });
    for (node, blocks) in apart.iter().enumerate() {
        put(&net, node, &common);
        put(&net, node, blocks);
    }
    catch_up(net, chain, [&apart[0], &apart[1]])
}

#[test]
fn catching_up_costs_what_is_missing_whatever_the_chains_length() {
    let costs = [1_000, 10_000].map(|length| line(length, 100));
    for cost in &costs {
        assert!(cost.bytes * 10 <= cost.missing * 12 + BESIDE_BYTES * 10, "{cost:?}");
        assert!(cost.rounds <= 3, "two more than to ask for what is missing: {cost:?}");
    }
    let [short, long] = costs;
    // The aim for both directions together.
    assert!(long.bytes <= 55_000, "{long:?}");
    assert!(long.bytes <= short.bytes + 500, "{short:?} {long:?}");
}

#[test]
fn a_little_that_is_missing_costs_little() {
    let cost = line(3_000, 1);
    assert!(cost.bytes <= cost.missing + BESIDE_BYTES, "{cost:?}");
}

#[test]
fn a_chain_that_forks_at_every_level_is_caught_up_with_like_any_other() {
    let (net, chain) = two_nodes(2);
    let mut writers = [Writer::new(1), Writer::new(2)];
    let (mut common, mut tips): (Vec<_>, Vec<BlockId>) = (Vec::new(), vec![chain.into()]);
    let level = |writers: &mut [Writer; 2], tips: &[BlockId]| -> Vec<VerifiedBlock> {
        writers.iter_mut().map(|writer| writer.write(chain, tips)).collect()
    };
    let parents = |blocks: &[VerifiedBlock]| blocks.iter().map(|block| block.id()).collect::<Vec<_>>();
    for _ in 0..10_000 {
        let blocks = level(&mut writers, &tips);
        tips = parents(&blocks);
        common.extend(blocks);
    }
    let apart = [[3, 4], [5, 6]].map(|seeds| {
        let (mut writers, mut tips, mut blocks) = (seeds.map(Writer::new), tips.clone(), Vec::new());
        for _ in 0..50 {
            let two = level(&mut writers, &tips);
            tips = parents(&two);
            blocks.extend(two);
        }
        blocks
    });
    for (node, blocks) in apart.iter().enumerate() {
        put(&net, node, &common);
        put(&net, node, blocks);
    }
    let cost = catch_up(net, chain, [&apart[0], &apart[1]]);
    assert!(cost.bytes * 10 <= cost.missing * 12 + BESIDE_BYTES * 10 && cost.rounds <= 3, "{cost:?}");
}

#[test]
fn among_ten_thousand_concurrent_heads_the_missing_ones_are_found() {
    let (net, chain) = two_nodes(3);
    let head = |seed: u64| {
        let mut seeds = [7; 32];
        seeds[..8].copy_from_slice(&seed.to_le_bytes());
        Writer { author: AuthorSecret::from_seed(&seeds), last: None }.write(chain, &[chain.into()])
    };
    let common: Vec<_> = (0..10_000).map(head).collect();
    let apart = [10_000..10_100, 20_000..20_100].map(|seeds| seeds.map(head).collect::<Vec<_>>());
    for (node, blocks) in apart.iter().enumerate() {
        put(&net, node, &common);
        put(&net, node, blocks);
    }
    let store = Arc::new(net.store(0).copy());
    assert_eq!(chains::head_count(&walytis_core::Pending::new(store), chain), Ok(10_100));
    let cost = catch_up(net, chain, [&apart[0], &apart[1]]);
    // They are anywhere among a hundred times as many: what finds them is about as long as they are themselves.
    assert!(cost.compared <= 280 * cost.blocks && cost.rounds <= 3, "{cost:?}");
    // Beside that, each told of its heads a few times, of which a message has 256.
    assert!(cost.bytes <= cost.missing + cost.compared + 6 * 256 * 32, "{cost:?}");
}

/// What the first node asks the one in the test's hands: its comparisons, and how often it asks in the other way.
fn asked(net: &mut Net, enemy: usize) -> (Vec<Compare>, usize) {
    let (mut compared, mut pulls) = (Vec::new(), 0);
    for (_, frame) in net.mail(enemy) {
        match PublicMessage::decode(&frame[1..]).unwrap() {
            PublicMessage::Sync(SyncMessage::Compare { compare, .. }) => compared.push(compare),
            PublicMessage::Sync(SyncMessage::Pull { .. }) => pulls += 1,
            _ => {}
        }
    }
    (compared, pulls)
}

fn tell(net: &mut Net, enemy: usize, message: SyncMessage) {
    net.send(enemy, 0, PublicMessage::Sync(message).frame());
    net.run(100);
}

/// C5: whoever says again and again that sets differ is asked only so often, and others are heard meanwhile.
#[test]
fn who_always_says_that_sets_differ_is_given_up() {
    let (mut net, chain, enemy) = with_enemy(31, 3);
    let (mut writer, mut tip) = (Writer::new(1), chain.into());
    for _ in 0..600 {
        let block = writer.write(chain, &[tip]);
        tip = block.id();
        crate::hostile::push(&mut net, 1, 0, &block);
    }
    net.run(2_000);
    net.mail(enemy);
    tell(&mut net, enemy, SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] });
    let (mut rounds, mut pulls) = (0, 0);
    loop {
        let (compared, asked_otherwise) = asked(&mut net, enemy);
        pulls += asked_otherwise;
        let Some(compare) = compared.last() else { break };
        rounds += compared.len();
        let part = Part { count: 100_000, mark: Some(Mark([rounds as u8; 8])) };
        let parts = vec![part; 2].into();
        let there = Where::Parts { grid: Grid { generations_log2: 0, prefixes_log2: 0 }, parts };
        let told = u16::try_from(compare.told.len().saturating_sub(2)).unwrap();
        let differ = Differ { salt: compare.salt, open: vec![Open { told, there }].into(), cut: None };
        tell(&mut net, enemy, SyncMessage::Differ { chain, differ });
    }
    assert!((2..=ROUNDS_MAX as usize).contains(&rounds), "{rounds}");
    assert!(pulls <= 1);
    net.post(1, b"news");
    net.run(30_000);
    assert_eq!(net.list(0).len(), net.list(1).len());
}

/// C5: a comparison that brought nothing, by chance or by malice, does not keep sets apart.
#[test]
fn who_gets_nothing_by_comparing_asks_in_the_other_way() {
    let (mut net, chain, enemy) = with_enemy(32, 2);
    net.mail(enemy);
    let missing = block(chain, vec![chain.into()], None, &AuthorSecret::from_seed(&[8; 32]), b"missing");
    tell(&mut net, enemy, SyncMessage::Heads { chain, heads: vec![missing.id()] });
    let (compared, pulls) = asked(&mut net, enemy);
    assert_eq!((compared.len(), pulls), (1, 0));
    tell(&mut net, enemy, SyncMessage::Portion { chain, blocks: Vec::new(), left: 0 });
    let (compared, pulls) = asked(&mut net, enemy);
    assert_eq!((compared.len(), pulls), (0, 1));
    let blocks = vec![WireBlock { block: missing.raw().clone(), attachment: None, foreign: Vec::new() }];
    tell(&mut net, enemy, SyncMessage::Portion { chain, blocks, left: 0 });
    assert_eq!(chains::contains(&net.view(0), missing.id()), Ok(true));
}
