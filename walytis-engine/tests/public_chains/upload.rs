//! What is sent to peers is charged in bytes: for each of them, and for strangers together. A first download by an invitation
//! is not slowed down.

use walytis_core::reconcile::{Compare, Holding, Mark, Part, Salt, Told};
use walytis_core::{BlockId, ChainId, VerifiedBlock};
use walytis_engine::public::{ChainLimit, PublicMessage, Sharing};
use walytis_engine::sync::SyncMessage;

use crate::catching_up::put;
use crate::hostile::{author, block};
use crate::net::Net;

/// What strangers are sent together: at once, and a second.
const STRANGERS_BURST: usize = 64 * 1024 * 1024;
const STRANGERS_PER_SECOND: usize = 2 * 1024 * 1024;

/// What a portion may be over a share: two portions and their frames.
const OVERDRAWN: usize = 640 * 1024;

/// A line of blocks of so many bytes.
pub(crate) fn line(chain: ChainId, blocks: u64, bytes: usize) -> Vec<VerifiedBlock> {
    let mut line: Vec<VerifiedBlock> = Vec::new();
    for number in 0..blocks {
        let last = line.last().map(|last| (last.id(), last.header().sequence));
        let parents = if last.is_none() { vec![chain.into()] } else { Vec::new() };
        let content = vec![u8::try_from(number % 251).unwrap(); bytes];
        line.push(block(chain, parents, last, &author(1), &content));
    }
    line
}

/// A node that follows a chain of such a line, and others of which the test speaks for all but the first `honest`.
pub(crate) fn node_with(seed: u64, nodes: usize, honest: usize, blocks: u64, bytes: usize) -> (Net, ChainId) {
    let mut net = Net::new(seed, nodes);
    net.found(0);
    let chain = net.details(0).summary.chain;
    net.kill(0);
    put(&net, 0, &line(chain, blocks, bytes));
    (1 + honest..nodes).for_each(|node| net.take_over(node));
    net.start(0);
    net.run(1_000);
    (net, chain)
}

/// How many bytes a node of the test's own was sent.
pub(crate) fn received(net: &mut Net, node: usize) -> usize {
    net.mail(node).iter().map(|(_, frame)| frame.len()).sum()
}

fn sync(message: SyncMessage) -> Vec<u8> {
    PublicMessage::Sync(message).frame()
}

/// A5: each question that asks for the same, in every form that has a long answer.
#[test]
fn forty_kilobytes_of_questions_that_ask_for_the_same_bring_at_most_4_mb_within_10_s() {
    for (size, blocks) in [(300, 3_000), (1_000_000, 4)] {
        let first_question = |chain: ChainId, heads: &[BlockId], form: &str| match form {
            "everything" => sync(SyncMessage::Pull { chain, have: Vec::new() }),
            "above the genesis" => sync(SyncMessage::Pull { chain, have: vec![chain.into()] }),
            "compared by heads" => {
                let compare = Compare { salt: Salt([1; 8]), goes_on: false, told: Vec::new().into() };
                sync(SyncMessage::Compare { chain, heads: vec![chain.into()], compare })
            }
            "heads" => sync(SyncMessage::Heads { chain, heads: vec![chain.into()] }),
            _ => {
                let part = Part { count: 1, mark: Some(Mark([1; 8])) };
                let to = walytis_core::reconcile::Bound::END;
                let told = vec![Told { from: None, to, holding: Holding::Some(part) }];
                let compare = Compare { salt: Salt([1; 8]), goes_on: false, told: told.into() };
                assert!(!heads.is_empty());
                sync(SyncMessage::Compare { chain, heads: Vec::new(), compare })
            }
        };
        for form in ["everything", "above the genesis", "compared by heads", "heads", "compared"] {
            let (mut net, chain) = node_with(201, 2, 0, blocks, size);
            let heads = net.heads(0);
            net.link(1, 0);
            net.run(50);
            net.mail(1);
            let question = first_question(chain, &heads, form);
            let count = 40_000 / question.len();
            let mut bytes = 0;
            for _ in 0..count {
                net.send(1, 0, question.clone());
                net.run(10_000 / count as u64);
                bytes += received(&mut net, 1);
            }
            net.run(10_000 % count as u64);
            bytes += received(&mut net, 1);
            assert!(bytes > 100, "{form} of {size}: nothing came");
            assert!(bytes <= 4_000_000, "{form} of {size}: {bytes} bytes");
        }
    }
}

/// A5: who comes back has what it had left.
#[test]
fn who_reconnects_with_each_question_has_no_more() {
    let (mut net, chain) = node_with(202, 2, 0, 3_000, 300);
    let question = sync(SyncMessage::Pull { chain, have: Vec::new() });
    let mut bytes = 0;
    for _ in 0..200 {
        net.take_over(1);
        net.link(1, 0);
        net.run(5);
        (0..5).for_each(|_| net.send(1, 0, question.clone()));
        net.run(45);
        bytes += received(&mut net, 1);
    }
    // Greetings and heads come with each connection.
    assert!(bytes <= 4_000_000 + 200 * 600, "{bytes} bytes");
}

/// A5: keys are free, so all strangers together have one rate; who asks again and again has no more of it.
#[test]
fn strangers_are_sent_no_more_together_than_the_named_rate() {
    let (mut net, chain) = node_with(203, 6, 0, 200, 300_000);
    (1..6).for_each(|enemy| net.link(enemy, 0));
    net.run(50);
    for enemy in 1..6 {
        net.send(enemy, 0, sync(SyncMessage::Pull { chain, have: Vec::new() }));
    }
    let (mut bytes, mut of_each) = (0, [0; 6]);
    for ms in (0..30_000).step_by(20) {
        for enemy in 1..6 {
            // One asks twenty times as often.
            (0..if enemy == 1 { 20 } else { 1 }).for_each(|_| net.send(enemy, 0, sync(SyncMessage::More { chain })));
        }
        net.run(20);
        for (enemy, of_one) in of_each.iter_mut().enumerate().skip(1) {
            let come = received(&mut net, enemy);
            bytes += come;
            // Until then whoever is first has more.
            *of_one += if ms < 5_000 { 0 } else { come };
        }
        let allowed = STRANGERS_BURST + STRANGERS_PER_SECOND * (ms + 1_000) / 1_000 + OVERDRAWN;
        assert!(bytes <= allowed, "{bytes} bytes within {ms} ms");
    }
    assert!(bytes >= STRANGERS_BURST + 25 * STRANGERS_PER_SECOND, "{bytes} bytes: they have it");
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Upload));
    let (least, most) = (of_each[2..].iter().min().unwrap(), of_each[2..].iter().max().unwrap());
    assert!(most - least < 2_000_000 && of_each[1] <= *most, "{of_each:?}");
}

/// Who asks anew a hundred times a second does not go before whoever waits for its turn.
#[test]
fn an_honest_download_is_not_starved_by_whoever_asks_anew_all_the_time() {
    let (mut net, chain) = node_with(207, 4, 0, 120, 300_000);
    (1..4).for_each(|node| net.link(node, 0));
    net.run(50);
    let pull = |have: Vec<BlockId>| sync(SyncMessage::Pull { chain, have });
    let mut spent = 0;
    for _ in 0..2 {
        net.send(2, 0, pull(Vec::new()));
        for _ in 0..300 {
            net.send(2, 0, sync(SyncMessage::More { chain }));
            net.run(20);
            spent += received(&mut net, 2);
        }
    }
    assert!(spent >= STRANGERS_BURST, "{spent}");
    net.run(1_000);
    (1..4).for_each(|node| drop(net.mail(node)));

    let portion = |frame: &[u8]| match PublicMessage::decode(&frame[1..]) {
        Ok(PublicMessage::Sync(SyncMessage::Portion { blocks, .. })) => Some(blocks),
        _ => None,
    };
    let (mut have, mut honest, mut greedy) = (Vec::new(), 0, 0);
    net.send(3, 0, pull(Vec::new()));
    net.run(500);
    net.send(1, 0, pull(Vec::new()));
    for _ in 0..1_000 {
        net.send(3, 0, pull(have.clone()));
        net.run(10);
        for (_, frame) in net.mail(3) {
            greedy += frame.len();
            let last = portion(&frame).and_then(|blocks| blocks.last().map(|last| last.block.header.clone()));
            have = last.map_or(have, |header| vec![walytis_core::Header::id_of(&header)]);
        }
        for (_, frame) in net.mail(1) {
            honest += frame.len();
            if portion(&frame).is_some() {
                net.send(1, 0, sync(SyncMessage::More { chain }));
            }
        }
    }
    assert!(honest >= 10 * STRANGERS_PER_SECOND / 4, "{honest} bytes, and {greedy} for the other");
}

/// A first download by a code, counted or not, is not slowed by strangers who have spent all that they have; one without is, and
/// is done in the end.
#[test]
fn who_joins_by_a_code_is_not_slowed_and_who_has_none_shares_with_strangers() {
    for uses in [Some(1), None] {
        let (mut net, chain) = node_with(204, 4, 1, 120, 300_000);
        let code = net.invite(0, uses, Sharing::Inviter);
        [2, 3].into_iter().for_each(|enemy| net.link(enemy, 0));
        net.run(50);
        for enemy in [2, 3] {
            net.send(enemy, 0, sync(SyncMessage::Pull { chain, have: Vec::new() }));
        }
        for _ in 0..500 {
            [2, 3].into_iter().for_each(|enemy| net.send(enemy, 0, sync(SyncMessage::More { chain })));
            net.run(5);
        }
        let spent = received(&mut net, 2) + received(&mut net, 3);
        assert!(spent >= STRANGERS_BURST, "{spent}");
        let begun = net.now();
        net.join(1, &code).unwrap();
        let took = net.now() - begun;
        assert_eq!(net.heads(1), net.heads(0));
        assert!(took < 10_000, "{took} ms for 36 MB, which strangers have in 17 s");

        // The same once more by the same peer is a stranger's: out of what they have got back meanwhile.
        net.take_over(1);
        net.link(1, 0);
        net.run(50);
        net.mail(1);
        net.send(1, 0, sync(SyncMessage::Pull { chain, have: Vec::new() }));
        let mut again = 0;
        for _ in 0..100 {
            net.send(1, 0, sync(SyncMessage::More { chain }));
            [2, 3].into_iter().for_each(|enemy| net.send(enemy, 0, sync(SyncMessage::More { chain })));
            net.run(10);
            again += received(&mut net, 1);
        }
        let allowed = usize::try_from(net.now() - begun).unwrap() * STRANGERS_PER_SECOND / 1_000 + OVERDRAWN;
        assert!(again < allowed, "{again} bytes, and {allowed} are allowed");
    }
}

/// A code for any number gives a first download beside strangers to so many peers, and the rest share with strangers: a new
/// key costs nothing.
#[test]
fn a_code_for_any_number_is_no_way_around_what_strangers_have_together() {
    let (mut net, chain) = node_with(205, 31, 30, 40, 300_000);
    let code = net.invite(0, None, Sharing::Inviter);
    // Of 12 MB each: what 16 have beside strangers, and what strangers have at once and a second.
    let tickets: Vec<_> = (1..31)
        .map(|node| {
            (node, net.ask(node, walytis_engine::public::ChainCommand::Join { code: code.clone(), name: None }))
        })
        .collect();
    net.cut_each_other(31);
    net.run(12_000);
    let done = tickets.iter().filter(|(node, ticket)| matches!(net.answer(*node, *ticket), Some(Ok(_)))).count();
    assert!((16..=26).contains(&done), "{done} of 30 have everything after 12 s");
    let _ = chain;
}

/// A friend that catches up again and again is never made to wait.
#[test]
fn a_friend_catches_up_at_full_speed() {
    let mut net = Net::new(206, 2);
    net.all_join();
    net.post(1, b"of a friend");
    net.run(1_000);
    for round in 0..20_u8 {
        net.cut(0, 1);
        for _ in 0..10 {
            net.post(0, &[round; 300_000]);
        }
        net.mend();
        net.link(1, 0);
        net.run(2_000);
        assert_eq!(net.heads(1), net.heads(0), "round {round}");
    }
    assert!(!net.engine(0).public().limits_reached().contains_key(&ChainLimit::Upload));
}
