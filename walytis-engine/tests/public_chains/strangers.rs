//! Lists of strangers: they end. Who was admitted and never came, addresses at which nobody was ever reached, and what a greeting
//! tells of chains that its reader does not know.

use walytis_core::{Address, Hash, Merit};
use walytis_engine::public::{ChainCode, ChainCommand, JoinRefusal, PublicError, PublicMessage, Rule, Sharing};
use walytis_engine::sync::SyncMessage;

use crate::hostile::author;
use crate::net::Net;
use crate::rules::rule;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A code as one node shows it to another.
pub(crate) fn shown(net: &Net, joiner: usize, inviter: usize, code: &str) -> Vec<u8> {
    let code: ChainCode = code.parse().unwrap();
    let key = blake3::derive_key("walytis v1 public chain invitation", code.secret.as_ref());
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&net.peer(joiner).0);
    hasher.update(&net.peer(inviter).0);
    hasher.update(&code.chain.0);
    PublicMessage::Join { chain: code.chain, proof: Hash(*hasher.finalize().as_bytes()) }.frame()
}

/// A node in the test's hands shows a code to another one, and tells whether that lets it in.
pub(crate) fn admitted_by(net: &mut Net, joiner: usize, inviter: usize, code: &str) -> Option<JoinRefusal> {
    net.link(joiner, inviter);
    net.run(60);
    net.mail(joiner);
    let shown = shown(net, joiner, inviter, code);
    net.send(joiner, inviter, shown);
    net.run(100);
    let read = |frame: &[u8]| match PublicMessage::decode(&frame[1..]) {
        Ok(PublicMessage::Joined { .. }) => Some(None),
        Ok(PublicMessage::Refused { reason, .. }) => Some(Some(reason)),
        _ => None,
    };
    let answers: Vec<_> = net.mail(joiner).iter().filter_map(|(_, frame)| read(frame)).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0]
}

/// A9: 256 keys that came by a code for any number make room when they were not here for 7 days, also those that came back
/// before; those that are connected stay.
#[test]
fn who_was_admitted_and_never_came_again_makes_room_after_7_days() {
    let mut net = Net::new(401, 260);
    net.found(0);
    rule(&mut net, 0, Rule::ServeInvited);
    let code = net.invite(0, None, Sharing::Inviter);
    (1..260).for_each(|node| net.take_over(node));
    for node in 1..257 {
        assert_eq!(admitted_by(&mut net, node, 0, &code), None, "node {node}");
        net.take_over(node);
    }
    assert_eq!(admitted_by(&mut net, 257, 0, &code), Some(JoinRefusal::Full));
    // Three of them come back, also across a restart.
    net.run(6 * DAY_MS);
    for node in [5, 6, 7] {
        net.link(node, 0);
        net.run(100);
        net.take_over(node);
    }
    net.kill(0);
    net.start(0);
    assert_eq!(admitted_by(&mut net, 257, 0, &code), Some(JoinRefusal::Full), "there is time until then");
    net.run(DAY_MS);
    assert_eq!(admitted_by(&mut net, 257, 0, &code), None, "whoever never came has made room");
    assert_eq!(admitted_by(&mut net, 258, 0, &code), None);
    for (node, serves) in [(5, true), (6, true), (7, true), (8, false), (257, true)] {
        net.take_over(node);
        net.link(node, 0);
        net.run(50);
        net.mail(node);
        let chain = net.details(0).summary.chain;
        net.send(node, 0, PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() }).frame());
        net.run(100);
        let is_refused = |frame: &[u8]| matches!(PublicMessage::decode(&frame[1..]), Ok(PublicMessage::Refused { .. }));
        let refused = net.mail(node).iter().any(|(_, frame)| is_refused(frame));
        assert_eq!(!refused, serves, "node {node}");
    }
}

/// Keys that connect twice and then no more do not keep a chain full for good.
#[test]
fn who_came_back_once_makes_room_7_days_later() {
    let mut net = Net::new(406, 260);
    net.found(0);
    rule(&mut net, 0, Rule::ServeInvited);
    let code = net.invite(0, None, Sharing::Inviter);
    (1..260).for_each(|node| net.take_over(node));
    for node in 1..257 {
        assert_eq!(admitted_by(&mut net, node, 0, &code), None, "node {node}");
        net.take_over(node);
    }
    net.run(DAY_MS);
    for node in 1..257 {
        net.link(node, 0);
        net.run(10);
        net.take_over(node);
    }
    net.run(6 * DAY_MS);
    assert_eq!(admitted_by(&mut net, 257, 0, &code), Some(JoinRefusal::Full), "there is time until then");
    net.run(2 * DAY_MS);
    assert_eq!(admitted_by(&mut net, 257, 0, &code), None, "they have made room");
}

/// Where anyone is served, too: of those that were let in, the ones that stay away make room first.
#[test]
fn who_comes_back_is_not_forgotten_before_those_who_stay_away() {
    let mut net = Net::new(407, 260);
    net.found(0);
    let code = net.invite(0, None, Sharing::Inviter);
    (1..260).for_each(|node| net.take_over(node));
    for node in 1..257 {
        assert_eq!(admitted_by(&mut net, node, 0, &code), None, "node {node}");
        net.take_over(node);
    }
    // The first one comes back.
    net.run(6 * DAY_MS);
    net.link(1, 0);
    net.run(100);
    net.take_over(1);
    net.run(2 * DAY_MS);
    assert_eq!(admitted_by(&mut net, 257, 0, &code), None);
    net.kill(0);
    net.start(0);
    for (node, merit) in [(1, Merit::Invited), (257, Merit::Invited), (2, Merit::Stranger)] {
        net.take_over(node);
        net.link(node, 0);
        net.run(100);
        assert_eq!(net.merit(0, node), merit, "node {node}");
    }
}

/// Whoever shows a code to an inviter without room hears of it at once, and joins once there is some.
#[test]
fn an_inviter_whose_disk_is_full_says_so() {
    let mut net = Net::new(408, 4);
    net.found(0);
    let once = net.invite(0, Some(1), Sharing::Inviter);
    let many = net.invite(0, None, Sharing::Inviter);
    net.join(3, &many).unwrap();
    net.run(1_000);
    net.set_full(0);
    for code in [&once, &many] {
        let begun = net.now();
        assert_eq!(net.join(1, code), Err(PublicError::Refused(JoinRefusal::NoRoom)));
        assert!(net.now() - begun < 1_000);
    }
    let told = PublicError::Refused(JoinRefusal::NoRoom).to_string();
    assert!(told.contains("disk is full"), "{told}");
    // Who does not know a code hears nothing of the disk, and who was let in before needs no room.
    net.take_over(2);
    let chain = net.details(0).summary.chain;
    net.link(2, 0);
    net.run(100);
    net.mail(2);
    net.send(2, 0, PublicMessage::Join { chain, proof: Hash([9; 32]) }.frame());
    net.run(100);
    let unknown = PublicMessage::Refused { chain, reason: JoinRefusal::Unknown }.frame();
    assert!(net.mail(2).iter().any(|(_, frame)| *frame == unknown));
    net.take_over(3);
    assert_eq!(admitted_by(&mut net, 3, 0, &many), None);
    net.room_again(0);
    net.join(1, &once).unwrap();
    assert_eq!(net.heads(1), net.heads(0));
}

/// A store in which it was not noted when peers were admitted: they have 7 days from when that matters.
#[test]
fn who_was_admitted_before_it_was_noted_when_has_7_days_from_then_on() {
    let mut net = Net::new(402, 260);
    net.found(0);
    rule(&mut net, 0, Rule::ServeInvited);
    let code = net.invite(0, None, Sharing::Inviter);
    (1..260).for_each(|node| net.take_over(node));
    for node in 1..257 {
        assert_eq!(admitted_by(&mut net, node, 0, &code), None);
        net.take_over(node);
    }
    net.kill(0);
    net.store(0).lose("public.admissions", 0);
    net.start(0);
    net.run(30 * DAY_MS);
    assert_eq!(admitted_by(&mut net, 257, 0, &code), Some(JoinRefusal::Full));
    net.run(7 * DAY_MS);
    assert_eq!(admitted_by(&mut net, 257, 0, &code), None);
}

/// A11: a peer tells that it is where a victim is. Each address is dialled a few times and forgotten, over restarts, too; where
/// somebody was reached once stays.
#[test]
fn an_address_at_which_nobody_was_ever_reached_is_dialled_a_few_times_and_forgotten() {
    let mut net = Net::new(403, 3);
    net.all_join();
    net.link(0, 1);
    net.run(1_000);
    net.take_over(2);
    let chain = net.details(0).summary.chain;
    net.link(2, 0);
    net.run(50);
    let victim = |number: usize| Address::new(format!("/memory/9{number}/p2p/{}", net.peer(2))).unwrap();
    let addresses = (0..8).map(victim).collect();
    net.send(2, 0, PublicMessage::Sync(SyncMessage::Heads { chain, heads: Vec::new() }).frame());
    net.send(2, 0, PublicMessage::Addresses { addresses }.frame());
    net.run(100);
    let known = |net: &mut Net, node: usize, of: usize| {
        let peer = net.peer(of);
        let peers = net.details(node).peers;
        peers.iter().find(|known| known.peer == peer).map_or(0, |known| known.addresses.len())
    };
    assert_eq!(known(&mut net, 0, 2), 8);
    net.take_over(2);
    net.dials.clear();
    net.run(10_000);
    net.kill(0);
    net.start(0);
    net.link(0, 1);
    net.run(DAY_MS);
    let peer = net.peer(2);
    let dials = net.dials.iter().filter(|(from, to)| *from == 0 && *to == Some(peer)).count();
    assert!((8 * 8..=8 * 17).contains(&dials), "{dials} dials of the victim");
    assert_eq!(known(&mut net, 0, 2), 0);
    net.dials.clear();
    net.kill(0);
    net.start(0);
    net.run(DAY_MS);
    assert!(net.dials.iter().all(|(_, to)| *to != Some(peer)), "nor after a restart");

    // Where the other one was reached it is dialled as long as it takes.
    net.kill(1);
    net.run(DAY_MS);
    assert!(known(&mut net, 0, 1) > 0);
    net.start(1);
    net.run(1_000);
    assert!(net.connected(0, 1));
}

/// Without any network nothing is forgotten so soon: then it is this node's own that fails.
#[test]
fn a_node_without_network_forgets_no_address_within_half_an_hour() {
    let mut net = Net::new(404, 2);
    net.all_join();
    net.run(1_000);
    let known = |net: &mut Net| net.details(0).peers.iter().map(|peer| peer.addresses.len()).sum::<usize>();
    let before = known(&mut net);
    assert!(before > 0);
    net.cut(0, 1);
    net.run(30 * 60 * 1000);
    assert_eq!(known(&mut net), before);
    net.mend();
    net.run(70_000);
    assert!(net.connected(0, 1));
}

fn marks_from(net: &mut Net, to: usize, from: usize) -> Vec<Vec<Hash>> {
    let peer = net.peer(from);
    let greetings = net.mail(to).into_iter().filter(|(sender, _)| *sender == peer);
    let read = |frame: &[u8]| match PublicMessage::decode(&frame[1..]) {
        Ok(PublicMessage::Greeting { marks }) => Some(marks),
        _ => None,
    };
    greetings.filter_map(|(_, frame)| read(&frame)).collect()
}

/// A11: a greeting says nothing of how many chains are followed, also to who hears several, before and after a restart.
#[test]
fn a_greeting_does_not_tell_how_many_chains_are_followed() {
    let mut net = Net::new(405, 4);
    net.take_over(3);
    for number in 0..7 {
        let _ = net.call(1, ChainCommand::New { name: format!("chain-of-mine-{number}") }).unwrap();
    }
    net.found(0);
    for number in 0..9 {
        let _ = net.call(2, ChainCommand::New { name: format!("chain-of-mine-{number}") }).unwrap();
    }
    let mut heard = Vec::new();
    for node in 0..3 {
        for round in 0..3 {
            net.take_over(3);
            if round == 2 {
                net.kill(node);
                net.start(node);
            }
            net.link(3, node);
            net.run(100);
            let marks = marks_from(&mut net, 3, node);
            assert_eq!(marks.len(), 1, "node {node} greets once a connection");
            heard.push((node, marks[0].clone()));
        }
    }
    for (node, marks) in &heard {
        assert_eq!(marks.len(), if *node == 2 { 16 } else { 8 }, "node {node}");
        let of_node: Vec<_> = heard.iter().filter(|(other, _)| other == node).collect();
        assert!(of_node.iter().all(|(_, other)| other == marks), "what changes would be known to mean nothing");
    }

    // Nobody answers to marks that mean nothing, and hearing them is work that is paid for.
    net.link(3, 1);
    net.run(100);
    let before = net.frames;
    let mut all: Vec<Hash> = (0..1_024_u32).map(|number| Hash(author((number % 256) as u8).public().0)).collect();
    all.sort();
    all.dedup();
    net.send(3, 1, PublicMessage::Greeting { marks: all }.frame());
    net.run(100);
    assert_eq!(net.frames - before, 1);
}

/// A code's inviters are dialled as long as the join goes on; afterwards they are addresses like others.
#[test]
fn a_join_that_nobody_answers_ends() {
    let mut net = Net::new(406, 2);
    net.found(0);
    let code = net.invite(0, None, Sharing::Inviter);
    net.kill(0);
    assert_eq!(net.join(1, &code), Err(PublicError::NoInviter));
    net.dials.clear();
    net.run(DAY_MS);
    assert!(net.dials.is_empty(), "{} dials", net.dials.len());
}
