//! What it costs two nodes that wrote apart from each other to have the same set again.

use std::sync::Arc;

use walytis_core::public::PublicMessage;
use walytis_core::sync::{SyncMessage, WireBlock};
use walytis_core::{AuthorSecret, BlockId, BlockKind, ChainId, Draft, Place, Store, Timestamp, VerifiedBlock, chains};

use crate::net::Net;

/// Heads, greetings, addresses and frames.
const BESIDE_BYTES: usize = 3_000;

/// Who wrote what, without any node.
struct Writer {
    author: AuthorSecret,
    last: Option<(BlockId, u64)>,
}

impl Writer {
    fn new(seed: u8) -> Self {
        Self { author: AuthorSecret::from_seed(&[seed; 32]), last: None }
    }

    fn write(&mut self, chain: ChainId, parents: &[BlockId]) -> VerifiedBlock {
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
fn two_nodes(seed: u64) -> (Net, ChainId) {
    let mut net = Net::new(seed, 2);
    net.all_join();
    let chain = net.details(0).summary.chain;
    net.kill(0);
    net.kill(1);
    (net, chain)
}

/// Puts blocks into the set of a node that is off.
fn put(net: &Net, node: usize, blocks: &[VerifiedBlock]) {
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
    for block in apart.into_iter().flatten() {
        let block = WireBlock { block: block.raw().clone(), attachment: None, foreign: Vec::new() };
        cost.missing += walytis_core::codec::encode(&block).len();
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
    // They are anywhere among a hundred times as many: what finds them is shorter than they are themselves.
    assert!(cost.compared <= cost.missing && cost.rounds <= 3, "{cost:?}");
    // Beside that, each told of its heads a few times, of which a message has 256.
    assert!(cost.bytes <= cost.missing + cost.compared + 6 * 256 * 32, "{cost:?}");
}
