//! What peers can make a node hold, fetch and do at once, and that none of these bounds keeps sets apart.

use walytis_core::{AuthorKey, BlockId, ChainId, VerifiedBlock};
use walytis_engine::public::{
    ChainAnswer, ChainCommand, ChainLimit, FRAME_KIND, LISTED_MAX, Limits, PEERS_MAX, PublicError, PublicMessage, Rule,
    Sharing,
};
use walytis_engine::sync::SyncMessage;

use crate::hostile::{author, block, push, with_enemy};
use crate::net::Net;
use crate::rules::{limits, rule};
use crate::shares::spend_of;

/// So many blocks by one author, each behind the one before.
fn chain_of(chain: ChainId, number: u64, content: &[u8]) -> Vec<VerifiedBlock> {
    let mut blocks: Vec<VerifiedBlock> = Vec::new();
    for sequence in 0..number {
        let previous = blocks.last().map(|last| (last.id(), sequence - 1));
        let parents = if previous.is_none() { vec![chain.into()] } else { Vec::new() };
        blocks.push(block(chain, parents, previous, &author(1), content));
    }
    blocks
}

/// R2: a block for which thousands wait does not bring all of them into one step.
#[test]
fn blocks_that_waited_enter_in_steps_of_bounded_size() {
    let (mut net, chain, enemy) = with_enemy(51, 2);
    let blocks = chain_of(chain, 2_400, b"n");
    for block in blocks.iter().skip(1) {
        push(&mut net, enemy, 0, block);
    }
    net.run(1_000);
    assert_eq!(net.details(0).summary.blocks, 2, "all of them wait");
    net.largest_batch = 0;
    push(&mut net, enemy, 0, &blocks[0]);
    net.run(5_000);
    assert_eq!(net.details(0).summary.blocks, 2_402);
    assert!(net.largest_batch < 2_400, "{} rows in one batch", net.largest_batch);
    assert_eq!(net.engine(0).public().orphan_bytes(), 0);
    net.check(0);
}

/// C1: more blocks by a blocked author than are held do not keep an honest block that stands behind them out.
#[test]
fn an_honest_block_above_many_by_a_blocked_author_is_reached() {
    let (mut net, chain, enemy) = with_enemy(52, 3);
    let spam = chain_of(chain, 40, &vec![7; 200_000]);
    rule(&mut net, 0, Rule::BlockAuthor(author(1).public()));
    net.cut(0, 1);
    net.link(enemy, 1);
    net.run(50);
    for block in &spam {
        push(&mut net, enemy, 1, block);
    }
    net.run(2_000);
    net.post(1, b"honest, behind it");
    net.mend();
    net.link(0, 1);
    net.run(30_000);
    assert_eq!(net.heads(0), net.heads(1));
    assert_eq!(net.list(0).len(), 2, "and it is not shown");
    // What is not below anything of others still does not enter.
    let last = spam.last().unwrap();
    push(&mut net, enemy, 0, &block(chain, vec![], Some((last.id(), 39)), &author(1), b"more"));
    net.run(30_000);
    assert_eq!(net.heads(0), net.heads(1));
    net.check(0);
}

/// R2: what waits for its author's share is fetched once, and not again at each turn.
#[test]
fn an_author_over_its_share_is_not_fetched_again_and_again() {
    let mut net = Net::new(53, 2);
    net.all_join();
    limits(&mut net, 1, |limits| (limits.author_blocks_burst, limits.author_blocks_per_second) = (10, 2));
    net.cut(0, 1);
    for _ in 0..100 {
        net.post(0, &[7; 10_000]);
    }
    net.mend();
    net.link(1, 0);
    net.frame_bytes = 0;
    net.run(120_000);
    assert_eq!(net.heads(1), net.heads(0));
    assert!(net.frame_bytes < 3_000_000, "1 MB of blocks took {} bytes", net.frame_bytes);
}

/// R2: a chain without room is left alone until it has some.
#[test]
fn a_full_chain_is_not_fetched_again_and_again() {
    let mut net = Net::new(54, 2);
    net.all_join();
    limits(&mut net, 1, |limits| limits.chain_bytes_max = 50_000);
    for _ in 0..100 {
        net.post(0, &[7; 10_000]);
    }
    net.run(10_000);
    net.frame_bytes = 0;
    net.run(600_000);
    assert!(net.frame_bytes < 100_000, "{} bytes in ten quiet minutes", net.frame_bytes);
    limits(&mut net, 1, |_| ());
    net.run(10_000);
    assert_eq!(net.heads(1), net.heads(0), "it goes on as soon as there is room");
}

/// A chain that is larger than the node lets it be is not joined in silence, and can be once there is room.
#[test]
fn a_join_without_room_says_so_and_goes_on_with_more() {
    let mut net = Net::new(55, 2);
    net.found(0);
    for _ in 0..30 {
        net.post(0, &[7; 10_000]);
    }
    let code = net.invite(0, None, Sharing::Inviter);
    let joining = net.ask(1, ChainCommand::Join { code: code.clone(), name: Some("c".into()) });
    net.run(1);
    limits(&mut net, 1, |limits| limits.chain_bytes_max = 50_000);
    net.run(5_000);
    assert_eq!(net.answer(1, joining), Some(Err(PublicError::Full(50_000))));
    limits(&mut net, 1, |_| ());
    let joined = net.join(1, &code);
    assert!(matches!(&joined, Ok(ChainAnswer::Chain(chain)) if chain.blocks == 31), "{joined:?}");
}

#[test]
fn what_was_held_back_enters_once_its_author_is_welcome() {
    let (mut net, chain, enemy) = with_enemy(56, 2);
    rule(&mut net, 0, Rule::BlockAuthor(author(1).public()));
    for block in chain_of(chain, 3, b"held") {
        push(&mut net, enemy, 0, &block);
    }
    net.run(1_000);
    assert_eq!(net.list(0).len(), 1);
    rule(&mut net, 0, Rule::ForgetAuthor(author(1).public()));
    assert_eq!(net.list(0).len(), 4);
    assert_eq!(net.engine(0).public().orphan_bytes(), 0);
}

#[test]
fn a_deleted_chain_leaves_no_waiting_blocks() {
    let (mut net, chain, enemy) = with_enemy(57, 2);
    push(&mut net, enemy, 0, &block(chain, vec![BlockId([9; 32])], None, &author(1), b"waits"));
    net.run(1_000);
    assert!(net.engine(0).public().orphan_bytes() > 0);
    net.call(0, ChainCommand::Delete { chain: "c".into() }).unwrap();
    assert_eq!(net.engine(0).public().orphan_bytes(), 0);
}

/// Messages of a newer program are passed over: they are no sign of bad faith.
#[test]
fn messages_of_a_newer_program_end_no_connection() {
    let (mut net, _, enemy) = with_enemy(58, 2);
    for _ in 0..100 {
        net.send(enemy, 0, vec![FRAME_KIND, 9, 1, 2, 3]);
    }
    net.run(1_000);
    assert!(net.connected(enemy, 0));
    // So are messages of a kind that is not known.
    net.send(enemy, 0, vec![FRAME_KIND, 1, 99]);
    net.run(1_000);
    assert!(net.connected(enemy, 0));
    net.send(enemy, 0, vec![FRAME_KIND, 1, 0, 3]);
    net.run(1_000);
    assert!(!net.connected(enemy, 0), "what is of this version has to make sense");
}

#[test]
fn limits_of_zero_delay_and_do_not_forbid() {
    let mut net = Net::new(59, 2);
    net.all_join();
    let none = Limits {
        peer_bytes_burst: 0,
        peer_bytes_per_second: 0,
        author_blocks_burst: 0,
        author_blocks_per_second: 0,
        ..Limits::default()
    };
    rule(&mut net, 1, Rule::Limits(none));
    net.post(0, b"one");
    net.post(0, b"two");
    net.run(300_000);
    assert_eq!(net.list(1).len(), 2);
}

/// A change that cannot be made changes nothing.
#[test]
fn a_full_list_leaves_the_other_as_it_was() {
    let mut net = Net::new(60, 1);
    net.found(0);
    let key = |number: usize| AuthorKey([u8::try_from(number % 256).unwrap(); 32]);
    let mut change = |rule: Rule| net.call(0, ChainCommand::Rule { chain: "c".into(), rule });
    for number in 0..LISTED_MAX {
        change(Rule::AllowAuthor(key(number))).unwrap();
    }
    change(Rule::BlockAuthor(key(7))).unwrap();
    change(Rule::AllowAuthor(author(1).public())).unwrap();
    assert!(matches!(change(Rule::AllowAuthor(key(7))), Err(PublicError::ListFull)));
    assert_eq!(net.details(0).blocked_authors, [key(7)]);
}

/// A damaged record does not keep a chain from being deleted, and what is left of it is no part of another chain.
#[test]
fn a_chain_with_a_damaged_record_can_be_deleted() {
    let mut net = Net::new(61, 1);
    net.found(0);
    for number in 0..10_u8 {
        net.post(0, &[number]);
    }
    net.kill(0);
    net.store(0).damage("core.blocks", 5);
    net.start(0);
    assert!(matches!(net.call(0, ChainCommand::Delete { chain: "c".into() }), Ok(ChainAnswer::Deleted { blocks: 11 })));
    let left: usize =
        net.store(0).rows().iter().filter(|(table, _)| **table != "core.node").map(|(_, rows)| rows).sum();
    assert_eq!(left, 2, "the block's id and its place in the order");
    net.found(0);
    net.post(0, b"anew");
    assert_eq!(net.list(0).len(), 1);
    net.check(0);
}

/// Those who let this node in, or brought it something, are not forgotten for strangers who know the chain.
#[test]
fn strangers_push_no_proven_peer_out() {
    let strangers = PEERS_MAX + 5;
    let mut net = Net::new(62, 2 + strangers);
    net.found(0);
    let code = net.invite(0, None, Sharing::Joiners);
    net.join(1, &code).unwrap();
    let chain = net.details(1).summary.chain;
    net.cut(0, 1);
    for stranger in 2..2 + strangers {
        net.take_over(stranger);
        net.link(stranger, 1);
        net.run(50);
        net.send(stranger, 1, PublicMessage::Sync(SyncMessage::Heads { chain, heads: Vec::new() }).frame());
        net.run(50);
    }
    let known: Vec<_> = net.details(1).peers.iter().map(|peer| peer.peer).collect();
    assert_eq!(known.len(), PEERS_MAX);
    assert!(known.contains(&net.peer(0)));
}

/// R2: addresses are written, and charged like questions. What heads cost is counted in `shares.rs`.
#[test]
fn addresses_beyond_a_share_are_passed_over_and_heads_heard_again_later() {
    let (mut net, chain, enemy) = with_enemy(63, 2);
    spend_of(&mut net, &[enemy]);
    let heads = PublicMessage::Sync(SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] }).frame();
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Work));
    net.run(10_000);
    net.send(enemy, 0, heads);
    net.run(100);
    assert!(!net.mail(enemy).is_empty(), "and heard again later");
}
