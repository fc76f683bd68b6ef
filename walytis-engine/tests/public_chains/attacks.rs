//! Attacks that worked on the Python original, on public chains: each by its number in the threat model.

use walytis_core::query::{Order, Query};
use walytis_core::{
    AuthorSecret, BlockId, BlockKind, ChainId, Draft, Hash, Header, Place, RawBlock, StoredBlock, Suite, Timestamp,
    Transcript, chains,
};
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainEntry, ChainLimit, PublicError, PublicMessage, Sharing};
use walytis_engine::sync::{SyncMessage, WireBlock};

use crate::hostile::{author, block, with_enemy};
use crate::net::Net;

/// Longer than a peer that misbehaved is not listened to.
const FORGIVEN_MS: u64 = 61_000;

fn wire(block: RawBlock) -> WireBlock {
    WireBlock { block, attachment: None, foreign: Vec::new() }
}

fn push_frame(chain: ChainId, block: RawBlock) -> Vec<u8> {
    PublicMessage::Sync(SyncMessage::Push { chain, block: wire(block) }).frame()
}

pub(crate) fn portion_frame(chain: ChainId, blocks: &[RawBlock]) -> Vec<u8> {
    let blocks = blocks.iter().cloned().map(wire).collect();
    PublicMessage::Sync(SyncMessage::Portion { chain, blocks, left: 0 }).frame()
}

fn heads_frame(chain: ChainId, heads: Vec<BlockId>) -> Vec<u8> {
    PublicMessage::Sync(SyncMessage::Heads { chain, heads }).frame()
}

/// The blocks of a chain as a node stores them.
fn history(net: &Net, node: usize, chain: ChainId) -> Vec<StoredBlock> {
    let view = net.view(node);
    let length = chains::length(&view, chain).unwrap();
    (0..length).map(|position| chains::block_at(&view, chain, position).unwrap().unwrap()).collect()
}

/// The same block with another header, signed by a key.
fn signed(raw: &RawBlock, by: &AuthorSecret, change: impl Fn(&mut Header)) -> RawBlock {
    let mut header = Header::decode(&raw.header).unwrap();
    change(&mut header);
    let header = header.encode();
    // What a forger can make by its own key: the signature of a block of its own with this id.
    let version = &header[..1];
    let transcript = Transcript::new("block", Suite::Ed25519).field(version).field(&Header::id_of(&header).0);
    let signature = by.sign(&transcript);
    RawBlock { header, signature: signature.to_vec(), content: raw.content.clone() }
}

/// The same block with another header, under the old signature.
fn unsigned(raw: &RawBlock, change: impl Fn(&mut Header)) -> RawBlock {
    let mut header = Header::decode(&raw.header).unwrap();
    change(&mut header);
    RawBlock { header: header.encode(), ..raw.clone() }
}

/// Lets the enemy deliver a block in one of the two ways in which blocks come.
fn deliver(net: &mut Net, enemy: usize, chain: ChainId, raw: &RawBlock, pushed: bool) {
    if pushed {
        net.send(enemy, 0, push_frame(chain, raw.clone()));
    } else {
        // A portion is looked at only if it was asked for.
        net.send(enemy, 0, heads_frame(chain, vec![Header::id_of(&raw.header)]));
        net.run(100);
        net.send(enemy, 0, portion_frame(chain, std::slice::from_ref(raw)));
    }
    net.run(200);
}

#[test]
fn attack_11_creator_and_time_of_a_public_block_cannot_be_forged() {
    for pushed in [true, false] {
        let (mut net, chain, enemy) = with_enemy(111, 2);
        let own = author(1);
        let honest = history(&net, 0, chain).pop().unwrap();
        let of_founder = honest.block.header().author;
        let mine = block(chain, vec![honest.block.id()], None, &own, b"mine").raw().clone();
        let next_of_founder = |header: &mut Header| {
            header.author = of_founder;
            header.parents.clear();
            header.previous = Some(honest.block.id());
            header.sequence = honest.block.header().sequence + 1;
        };
        let forged: Vec<(&str, RawBlock)> = vec![
            ("a later time", unsigned(&mine, |header| header.created_at_ms += 86_400_000)),
            ("an earlier time", unsigned(&mine, |header| header.created_at_ms = 0)),
            ("another's block at another time", unsigned(honest.block.raw(), |header| header.created_at_ms += 1)),
            ("another's block as one's own", unsigned(honest.block.raw(), |header| header.author = own.public())),
            ("another creator", unsigned(&mine, |header| header.author = of_founder)),
            ("another creator, signed by oneself", signed(&mine, &own, |header| header.author = of_founder)),
            ("a creator's next block, signed by oneself", signed(&mine, &own, next_of_founder)),
            (
                "the previous block of another",
                signed(&mine, &own, |header| {
                    next_of_founder(header);
                    header.author = own.public();
                }),
            ),
            (
                "another's next block under its last signature",
                RawBlock { signature: honest.block.raw().signature.clone(), ..unsigned(&mine, next_of_founder) },
            ),
        ];
        let before = net.list(0);
        for (what, raw) in forged {
            let what = format!("{what}, pushed: {pushed}");
            deliver(&mut net, enemy, chain, &raw, pushed);
            assert!(!net.connected(enemy, 0), "{what}: the sender stays");
            assert!(!chains::contains(&net.view(0), Header::id_of(&raw.header)).unwrap(), "{what}: it is kept");
            assert_eq!(net.list(0), before, "{what}");
            net.run(FORGIVEN_MS);
            net.link(enemy, 0);
            net.run(100);
        }
        // A delivery was condemned, not the block: as its author signed it, it is shown as that author's.
        deliver(&mut net, enemy, chain, &mine, pushed);
        let entry = net.list(0).pop().unwrap();
        assert_eq!((entry.id, entry.author, entry.created_at_ms), (Header::id_of(&mine.header), own.public(), 1));
        net.check(0);
    }
}

/// What an inviter that lies sends for the history of a chain.
type Lie = fn(&[RawBlock], usize) -> Vec<RawBlock>;

const LIES: &[(&str, Lie)] = &[
    ("other content", |honest, at| {
        let mut told = honest.to_vec();
        told[at].content.push(b'!');
        told
    }),
    ("other content under a header that says so", |honest, at| {
        let mut told = honest.to_vec();
        let other = Draft {
            kind: BlockKind::Content,
            place: Place::Genesis([1; 32]),
            foreign: Vec::new(),
            topics: Vec::new(),
            content: b"rewritten".to_vec(),
        };
        let other = other.sign_alone(&author(1), Timestamp(1)).unwrap();
        told[at] = unsigned(&told[at], |header| {
            header.content_bytes = other.header().content_bytes;
            header.content_hash = other.header().content_hash;
        });
        told[at].content = b"rewritten".to_vec();
        told
    }),
    ("a block signed by another", |honest, at| {
        let mut told = honest.to_vec();
        told[at] = signed(&told[at], &author(1), |_| {});
        told
    }),
    ("a topic more", |honest, at| {
        let mut told = honest.to_vec();
        told[at] = unsigned(&told[at], |header| header.topics.push(b"more".to_vec()));
        told
    }),
    ("a block less", |honest, at| {
        let mut told = honest.to_vec();
        told.remove(at);
        told
    }),
];

/// Tells a node that joins by the code of node 0 a history, and gives the answer that its join had.
fn join_by_liar(net: &mut Net, chain: ChainId, code: &str, told: &[RawBlock]) -> Result<ChainAnswer, PublicError> {
    net.link(0, 1);
    net.run(50);
    net.mail(0);
    let ticket = net.ask(1, ChainCommand::Join { code: code.into(), name: Some("c".into()) });
    net.run(100);
    let asked = net.mail(0).into_iter().any(|(_, frame)| {
        matches!(PublicMessage::decode(&frame[1..]), Ok(PublicMessage::Join { chain: of, .. }) if of == chain)
    });
    assert!(asked, "it shows its invitation");
    let last = told.last().map(|raw| Header::id_of(&raw.header)).unwrap();
    net.send(0, 1, PublicMessage::Joined { chain }.frame());
    net.send(0, 1, heads_frame(chain, vec![last]));
    net.run(100);
    net.send(0, 1, portion_frame(chain, told));
    net.run(30_000);
    net.answer(1, ticket).expect("a join ends")
}

/// The original compared the first block alone.
#[test]
fn attack_12_a_public_history_with_one_forged_block_anywhere_is_not_joined() {
    const BLOCKS: usize = 5;
    for (number, (what, lie)) in LIES.iter().enumerate() {
        // The first, one in the middle, and the last block are behind the genesis; the last one left out is no lie.
        for at in [0, 1, 3, BLOCKS] {
            let mut net = Net::new(120 + number as u64, 2);
            net.found(0);
            for post in 0..BLOCKS {
                net.post(0, format!("post {post}").as_bytes());
            }
            let chain = net.details(0).summary.chain;
            let code = net.invite(0, None, Sharing::Inviter);
            let honest: Vec<RawBlock> =
                history(&net, 0, chain).iter().map(|stored| stored.block.raw().clone()).collect();
            let truth = net.list(0);
            net.take_over(0);
            let mut told = lie(&honest, at);
            if at == BLOCKS && told.len() == BLOCKS {
                continue;
            }
            // What is behind the forged block is honest, and so is the head that is told.
            if told.last().unwrap().header != honest[BLOCKS].header {
                told.push(
                    block(chain, vec![Header::id_of(&told[at].header)], None, &author(2), b"behind").raw().clone(),
                );
            }
            let answer = join_by_liar(&mut net, chain, &code, &told);
            // Who is not told of a block has been told no lie about one: it follows what there is, and hears of the rest.
            let left_out = told.iter().all(|raw| honest.contains(raw));
            assert!(answer.is_err() || left_out, "{what} at {at}: {answer:?}");
            // Of what came, only what is honest and complete below is kept, and nothing of it is shown as joined.
            let kept = history(&net, 1, chain);
            assert!(kept.len() <= at, "{what} at {at}: {} blocks are kept", kept.len());
            assert!(kept.iter().zip(&honest).all(|(kept, honest)| kept.block.raw() == honest), "{what} at {at}");
            net.check(1);
            // By the same code, from whoever is honest, all of it comes.
            net.kill(0);
            net.run(FORGIVEN_MS);
            net.start(0);
            net.run(1_000);
            if answer.is_err() {
                net.join(1, &code).unwrap();
            }
            net.link(1, 0);
            net.run(1_000);
            assert_eq!(shown(&net.list(1)), shown(&truth), "{what} at {at}");
        }
    }
}

#[test]
fn attack_12_the_history_of_another_chain_is_not_joined() {
    let mut net = Net::new(129, 3);
    net.found(0);
    net.post(0, b"one");
    net.found(2);
    net.post(2, b"elsewhere");
    let (chain, other) = (net.details(0).summary.chain, net.details(2).summary.chain);
    let code = net.invite(0, None, Sharing::Inviter);
    let theirs: Vec<RawBlock> = history(&net, 2, other).iter().map(|stored| stored.block.raw().clone()).collect();
    let mut ours: Vec<RawBlock> = history(&net, 0, chain).iter().map(|stored| stored.block.raw().clone()).collect();
    net.take_over(0);
    // The right first block, and another chain's history behind it.
    ours.truncate(1);
    let stitched = [ours, theirs[1..].to_vec()].concat();
    for told in [theirs, stitched] {
        let answer = join_by_liar(&mut net, chain, &code, &told);
        assert!(answer.is_err(), "{answer:?}");
        let strange = history(&net, 1, other);
        assert!(strange.is_empty(), "nothing of another chain comes in by a code");
        assert!(history(&net, 1, chain).len() <= 1);
        net.run(FORGIVEN_MS);
    }
}

/// Entries but for where they arrived.
fn shown(entries: &[ChainEntry]) -> Vec<ChainEntry> {
    entries.iter().map(|entry| ChainEntry { position: 0, ..entry.clone() }).collect()
}

/// What a block costs in its header does not grow with what is below it: a few bytes for the numbers that do.
#[test]
fn attack_14_neither_ids_nor_headers_grow_with_each_generation() {
    const GENERATIONS: usize = 200;
    let mut net = Net::new(141, 2);
    net.all_join();
    // Both write at once, so that each block has the other's last one as a parent beside its author's own.
    for round in 0..GENERATIONS {
        let post = |content: String| ChainCommand::Post {
            chain: "c".into(),
            topics: Vec::new(),
            content: content.into_bytes(),
        };
        let asked = [0, 1].map(|node| net.ask(node, post(format!("{node}, {round:>4}"))));
        net.run(100);
        for (node, ticket) in asked.into_iter().enumerate() {
            net.answer(node, ticket).expect("it is durable by now").unwrap();
        }
    }
    net.run(1_000);
    let chain = net.details(0).summary.chain;
    let blocks = history(&net, 1, chain);
    assert_eq!(blocks.len(), 2 * GENERATIONS + 1);
    assert!(blocks.last().unwrap().generation >= GENERATIONS as u64);
    // Behind the first few, which have fewer parents.
    let headers: Vec<usize> = blocks.iter().skip(5).map(|stored| stored.block.raw().header.len()).collect();
    let most = *headers.iter().max().unwrap();
    assert!(most <= headers[0] + 4, "{} bytes after {GENERATIONS} generations, {} at first", most, headers[0]);
    // Neither does what travels: late blocks, pushed alone, and all of them, as a joiner gets them.
    let frame = |stored: &StoredBlock| push_frame(chain, stored.block.raw().clone()).len();
    assert!(frame(blocks.last().unwrap()) <= frame(&blocks[5]) + 4);
    let raws: Vec<RawBlock> = blocks.iter().map(|stored| stored.block.raw().clone()).collect();
    let half = portion_frame(chain, &raws[..=GENERATIONS]).len();
    assert!(portion_frame(chain, &raws).len() <= 2 * half + 100);
}

/// Topics that a text with separators would mix up.
const TOPICS: &[&[&[u8]]] = &[
    &[b"a", b"b"],
    &[b"a\0b"],
    &[b"a\0", b"b"],
    &[b"a", b"\0b"],
    &[b"a\0\0b"],
    &[b"", b"a", b"b"],
    &[b"a", b"b", b""],
    &[b"\0", b"\0\0"],
    &[b"a", b"\0", b"b"],
    &[b"b", b"a"],
    &[b"a"],
    &[b"ab"],
    &[],
    &[b""],
    &[b"\xff\0\xfe", b"\n", b"a,b", b"[a]", b"\"a\""],
];

#[test]
fn attack_15_a_nul_byte_in_a_topic_shifts_no_other_field() {
    let mut net = Net::new(151, 3);
    net.found(0);
    let code = net.invite(0, None, Sharing::Joiners);
    net.join(1, &code).unwrap();
    for topics in TOPICS {
        let topics = topics.iter().map(|topic| topic.to_vec()).collect();
        // The same content each time: all that differs is where topics begin and end.
        net.call(0, ChainCommand::Post { chain: "c".into(), topics, content: b"a\0b".to_vec() }).unwrap();
    }
    net.run(1_000);
    // One gets each block pushed, the other one all of them at once.
    net.join(2, &code).unwrap();
    net.run(1_000);
    let author = net.details(0).author;
    for node in 0..3 {
        let entries = net.list(node);
        assert_eq!(entries.len(), TOPICS.len());
        for (number, (entry, topics)) in entries.iter().zip(TOPICS).enumerate() {
            assert_eq!(entry.topics, *topics, "node {node}");
            assert_eq!((entry.author, entry.sequence), (author, number as u64 + 1), "node {node}: {topics:?}");
            assert_eq!(entry.content, b"a\0b", "node {node}: {topics:?}");
        }
        // A topic leads to the blocks that have it, and to no others.
        for topic in TOPICS.iter().flat_map(|topics| topics.iter()) {
            let expected: Vec<BlockId> = entries
                .iter()
                .filter(|entry| entry.topics.iter().any(|has| has == topic))
                .map(|entry| entry.id)
                .collect();
            let query = Box::new(Query { order: Order::Listing, topics: vec![topic.to_vec()], ..Query::default() });
            let list = ChainCommand::List { chain: "c".into(), query, after: None, limit: 256 };
            let ChainAnswer::Page(page) = net.call(node, list).unwrap() else { panic!("a page") };
            let found: Vec<BlockId> = page.entries.iter().map(|entry| entry.id).collect();
            assert_eq!(found, expected, "node {node}, topic {topic:?}");
        }
        net.check(node);
    }
    // The same fields in the same place have other ids as soon as one boundary moves.
    let chain = net.details(0).summary.chain;
    let id = |topics: &[&[u8]]| {
        let place = Place::After { chain, parents: vec![chain.into()], previous: None };
        let topics = topics.iter().map(|topic| topic.to_vec()).collect();
        let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics, content: b"x".to_vec() };
        draft.sign_alone(&crate::hostile::author(1), Timestamp(1)).unwrap().id()
    };
    let ids: std::collections::BTreeSet<BlockId> = TOPICS.iter().map(|topics| id(topics)).collect();
    assert_eq!(ids.len(), TOPICS.len());
}

/// A stranger's requests are looked up, and that is all: nothing is signed, nothing written, and few are answered.
#[test]
fn attack_18_what_a_stranger_asks_for_costs_no_commit_and_few_answers() {
    const REQUESTS: usize = 2_000;
    let unknown = ChainId([7; 32]);
    let stray = |sync: SyncMessage| PublicMessage::Sync(sync).frame();
    let strange = block(unknown, vec![unknown.into()], None, &author(1), &[7; 1_000]).raw().clone();
    let mut unverified = strange.clone();
    unverified.signature[0] ^= 1;
    // What is sent, and how much of it is answered on one connection.
    let requests: Vec<(&str, Vec<u8>, usize)> = vec![
        ("marks of chains that are not followed", PublicMessage::Greeting { marks: vec![Hash([4; 32])] }.frame(), 0),
        ("addresses", PublicMessage::Addresses { addresses: Vec::new() }.frame(), 0),
        ("pulls", stray(SyncMessage::Pull { chain: unknown, have: vec![BlockId([3; 32])] }), 64),
        ("more of a pull", stray(SyncMessage::More { chain: unknown }), 64),
        ("heads", heads_frame(unknown, vec![BlockId([3; 32])]), 64),
        ("blocks", push_frame(unknown, strange), 64),
        ("blocks that are not signed", push_frame(unknown, unverified), 64),
        ("portions", portion_frame(unknown, &[]), 64),
        ("an admission that nobody asked for", PublicMessage::Joined { chain: unknown }.frame(), 0),
    ];
    for (what, frame, answered_max) in requests {
        let mut net = Net::new(181, 2);
        net.found(0);
        net.post(0, b"honest");
        net.take_over(1);
        net.link(1, 0);
        net.run(100);
        net.mail(1);
        let (rows, commits) = (net.store(0).rows(), net.commits);
        for _ in 0..REQUESTS {
            net.send(1, 0, frame.clone());
        }
        net.run(500);
        assert_eq!(net.commits, commits, "{what}: something is written");
        assert_eq!(net.store(0).rows(), rows, "{what}");
        let answers = net.mail(1).len();
        assert!(answers <= answered_max, "{what}: {answers} answers");
        // Whoever goes on about a chain that nobody here knows is let go. It may be an honest peer that has not heard of
        // something yet, so it may come back at once.
        assert_eq!(net.connected(1, 0), answered_max == 0, "{what}");
        net.link(1, 0);
        net.run(100);
        assert!(net.connected(1, 0), "{what}: it is not shunned");
        net.post(0, b"meanwhile");
    }
}

/// Who shows invitations that were never made is refused, for as long as its share of work lasts.
#[test]
fn attack_18_invitations_that_were_never_made_are_tried_within_a_share_of_work() {
    let mut net = Net::new(182, 3);
    net.found(0);
    net.invite(0, Some(1), Sharing::Inviter);
    let chain = net.details(0).summary.chain;
    net.take_over(1);
    net.link(1, 0);
    net.run(100);
    net.mail(1);
    let (rows, commits) = (net.store(0).rows(), net.commits);
    let join = PublicMessage::Join { chain, proof: Hash([9; 32]) }.frame();
    for _ in 0..20_000 {
        net.send(1, 0, join.clone());
    }
    net.run(2_000);
    let answers = net.mail(1).len();
    assert!(answers > 0 && answers < 17_000, "{answers} answers");
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Work));
    assert_eq!((net.store(0).rows(), net.commits), (rows, commits));
    // Others are admitted meanwhile.
    let code = net.invite(0, Some(1), Sharing::Inviter);
    net.join(2, &code).unwrap();
}
