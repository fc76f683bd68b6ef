//! Joining by a code goes on whatever strangers ask and show meanwhile: what it needs of the inviter is not theirs to spend.

use walytis_engine::public::{ChainCommand, ChainLimit, LISTED_MAX, PublicMessage, Sharing};
use walytis_engine::sync::SyncMessage;

use crate::net::Net;
use crate::shares::spend_of;
use crate::strangers::{admitted_by, shown};
use crate::upload::{node_with, received};

/// A few small frames of a stranger that cost as much as they can.
fn spend_on(net: &mut Net, enemy: usize) {
    for _ in 0..3 {
        net.send(enemy, 0, PublicMessage::Addresses { addresses: Vec::new() }.frame());
        net.send(enemy, 0, PublicMessage::Greeting { marks: Vec::new() }.frame());
    }
}

/// How long a node's join takes, and what strangers do meanwhile, every millisecond.
fn join_beside(net: &mut Net, node: usize, code: &str, mut strangers: impl FnMut(&mut Net)) -> u64 {
    let begun = net.now();
    let ticket = net.ask(node, ChainCommand::Join { code: code.into(), name: Some("c".into()) });
    loop {
        strangers(net);
        net.run(1);
        match net.answer(node, ticket) {
            None => assert!(net.now() - begun < 30_000, "no answer"),
            Some(answer) => {
                answer.unwrap();
                return net.now() - begun;
            }
        }
    }
}

/// Two keys that hold what strangers have looked at together at nothing stop no join: not by a code for one or for any number, and
/// not where such first downloads share with strangers by now.
#[test]
fn two_strangers_who_spend_all_that_strangers_have_looked_at_stop_no_join() {
    for (uses, others) in [(Some(1), 0), (None, 0), (None, 17)] {
        let (mut net, chain) = node_with(501, 4 + others, 1, 500, 1_000);
        let code = net.invite(0, uses, Sharing::Inviter);
        for other in 4..4 + others {
            assert_eq!(admitted_by(&mut net, other, 0, &code), None);
        }
        [2, 3].into_iter().for_each(|enemy| net.link(enemy, 0));
        net.run(50);
        spend_of(&mut net, &[2, 3]);
        let before = net.engine(0).public().limits_reached().get(&ChainLimit::Work).copied();
        assert!(before.is_some());
        let took = join_beside(&mut net, 1, &code, |net| [2, 3].into_iter().for_each(|enemy| spend_on(net, enemy)));
        assert!(took < 10_000, "{took} ms, with {others} others");
        assert_eq!(net.heads(1), net.heads(0));
        assert!(net.engine(0).public().limits_reached().get(&ChainLimit::Work).copied() > before, "they had no more");
        let _ = chain;
    }
}

/// A greeting costs what is compared: hundreds of small ones a second take next to nothing of what strangers have together.
#[test]
fn greetings_cost_what_is_compared_and_no_more() {
    let (mut net, chain) = node_with(502, 4, 0, 500, 1_000);
    (1..4).for_each(|node| net.link(node, 0));
    net.run(50);
    for _ in 0..9_000 {
        [1, 2].into_iter().for_each(|enemy| net.send(enemy, 0, PublicMessage::Greeting { marks: Vec::new() }.frame()));
    }
    net.run(1_000);
    net.mail(3);
    net.send(3, 0, PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() }).frame());
    net.run(1_000);
    assert!(received(&mut net, 3) > 200_000, "it is answered");
    assert!(!net.engine(0).public().limits_reached().contains_key(&ChainLimit::Work));
}

/// Who was let in and shows its code again and again takes nothing from others who come by such a code.
#[test]
fn who_shows_its_code_again_has_no_second_first_download() {
    let (mut net, chain) = node_with(503, 5, 1, 120, 300_000);
    let code = net.invite(0, None, Sharing::Inviter);
    for _ in 0..20 {
        assert_eq!(admitted_by(&mut net, 4, 0, &code), None);
    }
    // What strangers are sent together is spent.
    [2, 3].into_iter().for_each(|enemy| net.link(enemy, 0));
    net.run(50);
    for enemy in [2, 3] {
        net.send(enemy, 0, PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() }).frame());
    }
    let more = |net: &mut Net| {
        for enemy in [2, 3] {
            net.send(enemy, 0, PublicMessage::Sync(SyncMessage::More { chain }).frame());
        }
    };
    for _ in 0..500 {
        more(&mut net);
        net.run(5);
    }
    let took = join_beside(&mut net, 1, &code, more);
    assert!(took < 10_000, "{took} ms for 36 MB, which strangers have in 17 s");
}

/// What invitations that are shown may take has a bound for each peer and for all of them.
#[test]
fn a_peer_shows_so_many_invitations_and_all_together_have_a_bound() {
    let (mut net, chain) = node_with(504, 24, 0, 1, 100);
    (1..LISTED_MAX).for_each(|_| drop(net.invite(0, None, Sharing::Inviter)));
    let code = net.invite(0, None, Sharing::Inviter);
    let wrong = PublicMessage::Join { chain, proof: walytis_core::Hash([7; 32]) }.frame();
    let answers = |net: &mut Net, node: usize| {
        let frames = net.mail(node);
        frames
            .iter()
            .filter(|(_, frame)| {
                matches!(
                    PublicMessage::decode(&frame[1..]),
                    Ok(PublicMessage::Refused { .. } | PublicMessage::Joined { .. })
                )
            })
            .count()
    };
    net.link(1, 0);
    net.run(50);
    (0..200).for_each(|_| net.send(1, 0, wrong.clone()));
    net.run(1_000);
    let of_one = answers(&mut net, 1);
    assert!((64..=66).contains(&of_one), "{of_one}");

    net.run(10_000);
    (2..24).for_each(|node| net.link(node, 0));
    net.run(50);
    for node in 2..24 {
        (0..64).for_each(|_| net.send(node, 0, wrong.clone()));
    }
    net.run(100);
    let all: usize = (2..24).map(|node| answers(&mut net, node)).sum();
    // 256 KiB of looks and what is given back within 150 ms, of 257 each.
    assert!((1_000..=1_070).contains(&all), "{all} of 1408");
    // They have some again within a second.
    net.run(1_000);
    net.link(1, 0);
    let shown = shown(&net, 1, 0, &code);
    net.send(1, 0, shown);
    net.run(100);
    assert_eq!(answers(&mut net, 1), 1);
}
