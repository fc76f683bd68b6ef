//! Production engines in a simulated world: what hostile, broken and silent peers cannot do to members.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{NodeId, Puppet, World, WorldConfig};
use walytis_core::{BlockId, ChainId, FRAME_BYTES_MAX, Hash, Merit, PeerId, Pending, chains};
use walytis_engine::ORPHAN_BYTES_PER_PEER_MAX;
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::{InvitationCode, keyring};
use walytis_offchain::{Answer, Command, Delivery, FrameKind, JoinRefusal, Limit, Message};

const GROUP: &str = "friends";

fn texts(world: &mut World, node: NodeId) -> Vec<Vec<u8>> {
    list(world, node, GROUP).into_iter().filter_map(|entry| Some(entry.content?.bytes)).collect()
}

#[test]
fn r2_whoever_proves_nothing_begins_only_so_many_handshakes() {
    let mut world = calm(97);
    let [a, s] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code: InvitationCode = invite(&mut world, a, GROUP, 1).parse().expect("our own code");
    let mut stranger = Puppet::possess(&mut world, s).expect("a store");
    let begun =
        (0..40).take_while(|_| stranger.begin_join(&mut world, a, *code.group(), code.secret()).is_some()).count();
    assert_eq!(begun, 16);
    assert!(!world.connected(a, s));
}

#[test]
fn whoever_nobody_knows_begins_only_so_many_handshakes() {
    let mut world = calm(98);
    let [a, s] = nodes(&mut world);
    let device = keyring::device(&Pending::new(world.reading(a).expect("it runs"))).expect("a sound store");
    let (to, key) = (world.identity(a).peer, device.expect("its own").secret.public().clone());
    let mut stranger = Puppet::possess(&mut world, s).expect("a store");
    assert!(stranger.connect(&mut world, a));
    let mut begin = |world: &mut World| {
        let flight = stranger.first_flight(to, key.clone()).expect("a flight");
        stranger.send(world, a, flight);
        world.run_for(100);
        world.connected(a, s)
    };
    // Not one of them is answered, so that none counts as an attempt.
    assert_eq!((0..40).take_while(|_| begin(&mut world)).count(), 16);
    assert_eq!(world.limits_reached(a).get(&Limit::Handshakes), Some(&1));
}

/// A post waits for its commit, and meanwhile the member to whom it was to be pushed opens another session.
fn replaced_while_a_post_waits() -> (World, [NodeId; 2], Puppet) {
    let mut world = World::new(WorldConfig { commit_us: 300_000, ..WorldConfig::calm(99) });
    let [a, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[m]);
    let group = group_id(&mut world, a, GROUP);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    assert!(puppet.open_session(&mut world, a, group));
    puppet.listen(&mut world, 2_000);
    let ready = puppet.begin_session(&mut world, a, group).expect("a second flight");
    let post = Command::Post { group: GROUP.into(), content: b"news".to_vec(), topics: Vec::new() };
    let posted = world.ask(a, post);
    world.run_for(50);
    assert!(puppet.finish(&mut world, a, ready, &Message::Hello { addresses: Vec::new() }));
    world.run_for(1_000);
    assert!(matches!(world.take_answer(a, posted), Some(Ok(Answer::Posted(_)))));
    (world, [a, m], puppet)
}

/// What was decided on in a session and waits for a commit leaves in no other, and is not sealed before it leaves.
#[test]
fn what_waits_in_a_session_that_is_replaced_does_not_leave() {
    let (mut world, _, mut puppet) = replaced_while_a_post_waits();
    let data = |(_, frame): (PeerId, Vec<u8>)| (frame[0] == FrameKind::Data as u8).then(|| frame[1]);
    let sessions: Vec<u8> = puppet.raw_mail(&mut world).into_iter().filter_map(data).collect();
    assert!(!sessions.is_empty() && sessions.iter().all(|number| *number == sessions[0]), "{sessions:?}");

    let (mut world, [a, m], mut puppet) = replaced_while_a_post_waits();
    let heard = puppet.listen(&mut world, 100);
    let pushed = |(_, message): &(PeerId, Message)| matches!(message, Message::Sync(SyncMessage::Push { .. }));
    let heads = |(_, message): &(PeerId, Message)| matches!(message, Message::Sync(SyncMessage::Heads { .. }));
    assert!(!heard.iter().any(pushed) && heard.iter().any(heads), "it hears of the post by its head alone: {heard:?}");
    assert!(world.connected(a, m) && puppet.has_session(&world, a));
}

/// The messages about blocks and attachments among what a puppet heard.
fn served(heard: &[(PeerId, Message)]) -> usize {
    heard.iter().filter(|(_, message)| matches!(message, Message::Sync(_))).count()
}

fn ask_for_everything(world: &mut World, puppet: &mut Puppet, of: NodeId, chain: ChainId, ids: Vec<BlockId>) -> usize {
    let requests = [
        SyncMessage::Heads { chain, heads: vec![BlockId([1; 32])] },
        SyncMessage::Pull { chain, have: Vec::new() },
        SyncMessage::More { chain },
        SyncMessage::WantAttachments { chain, ids },
    ];
    for request in requests {
        puppet.tell(world, of, &Message::Sync(request));
    }
    served(&puppet.listen(world, 2_000))
}

#[test]
fn membership_is_checked_for_each_request_served() {
    let mut world = calm(100);
    let [a, b, m, s] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    group_of(&mut world, "others", a, &[m]);
    let wanted = vec![post(&mut world, a, GROUP, b"for b alone")];
    converge(&mut world, "others", &[a, m]);
    let (friends, others) = (group_id(&mut world, a, GROUP), group_id(&mut world, a, "others"));
    let code: InvitationCode = invite(&mut world, a, GROUP, 1).parse().expect("our own code");
    let before = seen(&mut world, a, GROUP);

    // A member of another group, in a good session: it gets that group's blocks and nothing of this one.
    let mut other = Puppet::possess(&mut world, m).expect("a store");
    assert!(other.open_session(&mut world, a, others));
    other.listen(&mut world, 500);
    assert_eq!(ask_for_everything(&mut world, &mut other, a, friends, wanted.clone()), 0);
    assert!(ask_for_everything(&mut world, &mut other, a, others, Vec::new()) > 0, "its own group is served");
    let blocks = other.wire_chain(others).expect("a store");
    for block in blocks {
        other.push(&mut world, a, friends, block);
    }
    world.run_for(1_000);
    assert_eq!(seen(&mut world, a, GROUP), before);

    // A stranger without a session.
    let mut stranger = Puppet::possess(&mut world, s).expect("a store");
    assert!(stranger.connect(&mut world, a));
    let pull = Message::Sync(SyncMessage::Pull { chain: friends, have: Vec::new() }).encode();
    for frame in [[&[FrameKind::Data as u8, 0][..], &pull].concat(), pull] {
        stranger.connect(&mut world, a);
        for _ in 0..20 {
            stranger.send(&mut world, a, frame.clone());
        }
        world.run_for(1_000);
        assert!(stranger.raw_mail(&mut world).is_empty());
        assert!(!world.connected(s, a));
        world.run_for(FORGIVEN_MS);
    }

    // A stranger with a good invitation, whose request is not valid: it has a session, and is served nothing in it.
    let ready = stranger.begin_join(&mut world, a, friends, code.secret()).expect("it has the secret");
    let session = *ready.session_hash();
    let mut request = stranger.join_request(friends, code.secret(), &session).expect("a store");
    request.proof = Puppet::proof(friends, &request.joiner, code.secret(), &Hash([0; 32]), &mut stranger.rng);
    stranger.finish(&mut world, a, ready, &Message::Join(Box::new(request)));
    let told = stranger.listen(&mut world, 500);
    assert!(told.iter().any(|(_, message)| *message == Message::JoinRefused(JoinRefusal::Invalid)));
    assert_eq!(served(&told), 0);
    assert_eq!(ask_for_everything(&mut world, &mut stranger, a, friends, wanted.clone()), 0);
    let hello = Message::Hello { addresses: vec![world.address(s)] };
    stranger.tell(&mut world, a, &hello);
    assert_eq!(seen(&mut world, a, GROUP), before);
    // Nor is it remembered: nobody dials it once its connection is gone.
    world.cut(a, s);
    world.run_for(10);
    world.mend(a, s);
    assert!(!world.run_until(3 * LONG_MS, |world| world.connected(a, s)), "a stranger's address was remembered");

    // The same invitation admits, with the right proof; from then on it is served.
    let ready = stranger.begin_join(&mut world, a, friends, code.secret()).expect("it has the secret");
    let session = *ready.session_hash();
    let mut request = stranger.join_request(friends, code.secret(), &session).expect("a store");
    let unrelated = other.wire_chain(others).expect("a store").remove(0).block;
    request.identities.push(unrelated);
    stranger.finish(&mut world, a, ready, &Message::Join(Box::new(request.clone())));
    let told = stranger.listen(&mut world, 500);
    assert!(
        told.iter().any(|(_, message)| *message == Message::JoinRefused(JoinRefusal::Invalid)),
        "other chains came along"
    );
    let ready = stranger.begin_join(&mut world, a, friends, code.secret()).expect("it has the secret");
    let session = *ready.session_hash();
    let request = stranger.join_request(friends, code.secret(), &session).expect("a store");
    stranger.finish(&mut world, a, ready, &Message::Join(Box::new(request)));
    let told = stranger.listen(&mut world, 500);
    assert!(told.iter().any(|(_, message)| *message == Message::Joined), "{told:?}");
    assert!(ask_for_everything(&mut world, &mut stranger, a, friends, wanted) > 1);
}

#[test]
fn a_peer_that_sends_nonsense_is_disconnected_and_changes_nothing() {
    let mut world = calm(120);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    group_of(&mut world, "others", a, &[b]);
    post(&mut world, a, GROUP, b"something");
    converge(&mut world, GROUP, &[a, b, m]);
    let group = group_id(&mut world, b, GROUP);
    let others = group_id(&mut world, b, "others");
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    let before = [seen(&mut world, b, GROUP), seen(&mut world, b, "others")];
    let honest = puppet.wire_chain(group).expect("a store");

    let mut frames: Vec<(&str, Vec<u8>)> = vec![
        ("an empty frame", Vec::new()),
        ("a first flight of nothing", vec![FrameKind::Flight1 as u8]),
        ("a first flight of zeros", [&[FrameKind::Flight1 as u8][..], &[0; 3_000]].concat()),
        ("data of an unknown session", [&[FrameKind::Data as u8, 77][..], &[1; 100]].concat()),
        ("data that were never sealed", [&[FrameKind::Data as u8, 0][..], &[1; 100]].concat()),
        ("data without a number", vec![FrameKind::Data as u8]),
        ("a frame that is too long", [&[FrameKind::Data as u8, 0][..], &vec![0; FRAME_BYTES_MAX]].concat()),
        ("a flight that is too long", [&[FrameKind::Flight1 as u8][..], &vec![0; FRAME_BYTES_MAX]].concat()),
    ];
    for seed in 0..4_u8 {
        let mut noise = vec![0; 500];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
        // Of a kind and a version that are known: what is of newer ones is passed over.
        (noise[0], noise[1]) = (5, 1);
        frames.push(("noise", noise));
    }
    // A member's newer program may send kinds of frames that are not known here.
    for kind in [0, 255] {
        assert!(puppet.open_session(&mut world, b, group), "kind {kind}");
        for _ in 0..70 {
            puppet.send(&mut world, b, vec![kind; 100]);
        }
        world.run_for(100);
        assert!(world.connected(m, b), "kind {kind}: the connection goes on");
        assert_eq!([seen(&mut world, b, GROUP), seen(&mut world, b, "others")], before, "kind {kind}");
    }
    for (what, frame) in frames {
        assert!(puppet.open_session(&mut world, b, group), "{what}");
        world.run_for(100);
        // A few frames of no session are forgiven: they may have been under way on an earlier connection. So are some about
        // public chains, which are not decoded where none is followed.
        for _ in 0..70 {
            puppet.send(&mut world, b, frame.clone());
        }
        world.run_for(100);
        assert!(!world.connected(m, b), "{what}: the connection goes on");
        assert_eq!([seen(&mut world, b, GROUP), seen(&mut world, b, "others")], before, "{what}");
        world.run_for(FORGIVEN_MS);
    }
    let message = Message::Sync(SyncMessage::Push { chain: group, block: honest[0].clone() }).encode();
    let mut said: Vec<(&str, Vec<u8>)> = vec![
        ("an empty message", Vec::new()),
        ("a version that never was", [&[0][..], &message[1..]].concat()),
        ("a message cut short", message[..message.len() - 1].to_vec()),
        ("a message with more behind it", [&message[..], &[0]].concat()),
        ("noise", [&[1][..], &[0xFF; 299]].concat()),
    ];
    // Valid frames of a wrong chain.
    let moved = |chain, block: &WireBlock| Message::Sync(SyncMessage::Push { chain, block: block.clone() }).encode();
    said.push((
        "a block of another chain",
        moved(
            group,
            &WireBlock {
                block: honest[1].foreign.first().or(honest[0].foreign.first()).expect("a founder's identity").clone(),
                attachment: None,
                foreign: Vec::new(),
            },
        ),
    ));
    for (what, bytes) in said {
        assert!(puppet.open_session(&mut world, b, group), "{what}");
        world.run_for(100);
        puppet.tell_bytes(&mut world, b, &bytes);
        world.run_for(100);
        assert!(!world.connected(m, b), "{what}: the connection goes on");
        assert_eq!([seen(&mut world, b, GROUP), seen(&mut world, b, "others")], before, "{what}");
        world.run_for(FORGIVEN_MS);
    }
    // A chain that it is no member of: it learns nothing from the answer, for there is none.
    assert!(puppet.open_session(&mut world, b, group));
    puppet.listen(&mut world, 500);
    for block in &honest {
        puppet.push(&mut world, b, others, block.clone());
    }
    assert_eq!(served(&puppet.listen(&mut world, 2_000)), 0);
    assert_eq!([seen(&mut world, b, GROUP), seen(&mut world, b, "others")], before);
    assert_sound(&world, b);
    // After all that the same peer is heard again when it says something good.
    let (stored, attachment) = puppet.private(&world, group, b"good").expect("a member");
    assert_accepted(&mut world, &mut puppet, b, GROUP, wire(stored.block.raw().clone(), Some(&attachment)), "good");
}

#[test]
fn r3_a_flood_of_orphans_stays_within_its_senders_quota() {
    let mut world = calm(130);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    converge(&mut world, GROUP, &[a, b, m]);
    let group = group_id(&mut world, b, GROUP);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    let (parent, attachment) = puppet.private(&world, group, b"withheld").expect("a member");
    let parent = wire(parent.block.raw().clone(), Some(&attachment));
    let large = vec![7; 700_000];
    let mut orphans = Vec::new();
    for _ in 0..12 {
        let before = puppet.view.savepoint();
        let (stored, attachment) = puppet.private(&world, group, &large).expect("a member");
        orphans.push(wire(stored.block.raw().clone(), Some(&attachment)));
        puppet.view.rollback(before);
    }
    let quota = ORPHAN_BYTES_PER_PEER_MAX / orphans[0].bytes();
    assert!(orphans.len() > 2 * quota && quota >= 2);
    assert!(puppet.open_session(&mut world, b, group));
    world.run_for(200);
    let before = details(&mut world, b, GROUP).summary.blocks;
    for orphan in orphans {
        puppet.push(&mut world, b, group, orphan);
    }
    world.run_for(500);
    assert_eq!(details(&mut world, b, GROUP).summary.blocks, before, "orphans are not in the set");
    // An honest member's posts go through meanwhile.
    let honest = post(&mut world, a, GROUP, b"in between");
    world.run_for(1_000);
    assert!(ids(&list(&mut world, b, GROUP)).contains(&honest));
    puppet.push(&mut world, b, group, parent);
    world.run_for(500);
    let freed = details(&mut world, b, GROUP).summary.blocks - before - 2;
    assert_eq!(usize::try_from(freed).expect("small"), quota, "what fits into the quota waited, and no more");
    assert_sound(&world, b);
}

/// A member that was away comes back to an honest member and to a puppet that answers its pulls as `answer` says.
fn comes_back_to(seed: u64, answer: &dyn Fn(&mut World, &mut Puppet, NodeId, ChainId, &SyncMessage)) {
    let mut world = calm(seed);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    converge(&mut world, GROUP, &[a, b, m]);
    world.kill(b);
    for number in 0..5_u8 {
        post(&mut world, a, GROUP, &[number; 9]);
    }
    converge(&mut world, GROUP, &[a, m]);
    let group = group_id(&mut world, a, GROUP);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    world.cut(a, b);
    world.start(b).expect("its store is sound");
    assert!(puppet.open_session(&mut world, b, group));
    let heads = chains::heads(&puppet.view, group).expect("a store");
    let mut pulls = 0;
    for round in 0..300 {
        if round == 5 {
            assert!(pulls > 0, "the puppet was asked first");
            world.mend(a, b);
            world.link(a, b);
        }
        puppet.tell(&mut world, b, &Message::Sync(SyncMessage::Heads { chain: group, heads: heads.clone() }));
        for (_, message) in puppet.listen(&mut world, 100) {
            if let Message::Sync(request) = message {
                pulls += usize::from(matches!(request, SyncMessage::Pull { .. }));
                answer(&mut world, &mut puppet, b, group, &request);
            }
        }
    }
    assert_eq!(texts(&mut world, b).len(), 5, "the honest member was asked, too");
    assert_sound(&world, b);
}

#[test]
fn a_peer_that_stalls_an_exchange_is_given_up() {
    comes_back_to(140, &|_, _, _, _, _| {});
}

#[test]
fn a_peer_that_sends_nothing_new_for_ever_holds_nobody_up() {
    comes_back_to(141, &|world, puppet, to, chain, request| {
        if matches!(request, SyncMessage::Pull { .. } | SyncMessage::More { .. }) {
            let known = puppet.wire_chain(chain).expect("a store").remove(0);
            let portion = SyncMessage::Portion { chain, blocks: vec![known], left: 99 };
            puppet.tell(world, to, &Message::Sync(portion));
        }
    });
}

#[test]
fn a_peer_that_sends_orphans_for_ever_holds_nobody_up() {
    comes_back_to(142, &|world, puppet, to, chain, request| {
        if matches!(request, SyncMessage::Pull { .. } | SyncMessage::More { .. }) {
            let mut blocks = puppet.wire_chain(chain).expect("a store");
            let last = blocks.pop().expect("a chain");
            puppet.tell(world, to, &Message::Sync(SyncMessage::Portion { chain, blocks: vec![last], left: 0 }));
        }
    });
}

#[test]
fn content_that_one_member_withholds_comes_from_another() {
    let mut world = calm(150);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    converge(&mut world, GROUP, &[a, b, m]);
    world.link(a, b);
    world.run_for(1_000);
    let group = group_id(&mut world, b, GROUP);
    let subscription = subscribe(&mut world, b, GROUP);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    let (stored, attachment) = puppet.private(&world, group, b"in two parts").expect("a member");
    let id = stored.block.id();
    for node in [a, b] {
        assert!(puppet.open_session(&mut world, node, group));
    }
    world.run_for(500);
    // Both get the block without its content, and ask whoever they can; nobody has it yet.
    for node in [b, a] {
        puppet.push(&mut world, node, group, wire(stored.block.raw().clone(), None));
        puppet.listen(&mut world, 500);
        assert_eq!(details(&mut world, node, GROUP).summary.missing, 1);
    }
    let at_b = list(&mut world, b, GROUP);
    assert!(at_b.len() == 1 && at_b[0].content.is_none(), "it is shown as pending");
    // Then one of them gets it, and the other one from there.
    puppet.push(&mut world, a, group, wire(stored.block.raw().clone(), Some(&attachment)));
    world.run_for(2_000);
    for node in [a, b] {
        assert_eq!(details(&mut world, node, GROUP).summary.missing, 0, "{node:?}");
        assert_eq!(texts(&mut world, node), [b"in two parts"]);
        assert_sound(&world, node);
    }
    let deliveries = delivered(&world, b, subscription);
    assert!(
        matches!(&deliveries[..], [Delivery::Block(pending), Delivery::Content(whole)]
            if pending.id == id && pending.content.is_none() && whole.id == id && whole.content.is_some()),
        "{deliveries:?}"
    );
}

#[test]
fn content_that_nobody_gives_holds_nothing_up_and_stays_wanted() {
    let mut world = calm(160);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    converge(&mut world, GROUP, &[a, b, m]);
    let group = group_id(&mut world, b, GROUP);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    let (stored, _) = puppet.private(&world, group, b"withheld").expect("a member");
    assert_accepted(&mut world, &mut puppet, b, GROUP, wire(stored.block.raw().clone(), None), "without content");
    let follow_up = post(&mut world, b, GROUP, b"behind it");
    world.run_for(2_000);
    assert!(ids(&list(&mut world, a, GROUP)).contains(&follow_up), "missing content holds nothing up");
    assert_eq!(details(&mut world, a, GROUP).summary.missing, 1);
    world.kill(b);
    world.start(b).expect("its store is sound");
    assert_eq!(details(&mut world, b, GROUP).summary.missing, 1, "what is missing is remembered");
}

#[test]
fn a_session_as_a_member_earns_a_place_and_a_connection_earns_none() {
    let mut world = calm(98);
    let [a, b, s] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    let [of_a, of_b] = [a, b].map(|node| world.identity(node).peer);
    assert_eq!([world.merit(a, of_b), world.merit(b, of_a)], [Merit::Member; 2]);
    let code: InvitationCode = invite(&mut world, a, GROUP, 1).parse().expect("our own code");
    let mut stranger = Puppet::possess(&mut world, s).expect("a store");
    let of_s = world.identity(s).peer;
    assert!(stranger.connect(&mut world, a));
    assert!(stranger.begin_join(&mut world, a, *code.group(), code.secret()).is_some());
    world.run_for(1_000);
    assert_eq!(world.merit(a, of_s), Merit::Stranger, "it has begun to join, and proved nothing yet");
    // After a restart members are let in before they have a session.
    world.kill(b);
    world.kill(a);
    world.start(a).expect("a store that opens");
    world.run_for(1_000);
    assert_eq!(world.merit(a, of_b), Merit::Member);
    assert_eq!(world.merit(a, of_s), Merit::Stranger);
}

/// Questions and blocks about a chain, alternately.
fn about(chain: ChainId, number: u32) -> Message {
    Message::Sync(match number % 2 {
        0 => SyncMessage::Pull { chain, have: Vec::new() },
        _ => SyncMessage::Portion { chain, blocks: Vec::new(), left: 0 },
    })
}

#[test]
fn what_is_about_chains_that_nobody_knows_ends_a_connection() {
    let (mut world, [a, _], mut puppet, group) = possessed(131, GROUP, 0..1);
    let unknown = ChainId([5; 32]);
    for number in 0..64 {
        assert!(puppet.tell(&mut world, a, &about(unknown, number)));
    }
    world.run_for(500);
    assert!(puppet.has_session(&world, a), "some of it was on its way when a group was forgotten");
    for number in 64..100 {
        puppet.tell(&mut world, a, &about(unknown, number));
    }
    world.run_for(20);
    assert!(!puppet.has_session(&world, a), "it goes on");
    assert_eq!(world.limits_reached(a).get(&Limit::Strays).map(|times| *times > 0), Some(true));
    assert!(puppet.open_session(&mut world, a, group), "and nobody thinks ill of it");
}

#[test]
fn a_member_whose_admission_is_not_known_here_yet_may_ask_on() {
    const SECOND: &str = "second";
    let mut world = calm(132);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    group_of(&mut world, SECOND, a, &[b]);
    converge(&mut world, GROUP, &[a, b, m]);
    converge(&mut world, SECOND, &[a, b]);
    world.cut(a, b);
    let code = invite(&mut world, a, SECOND, 1);
    join(&mut world, m, &code, SECOND).expect("it is admitted");
    let (first, second) = (group_id(&mut world, a, GROUP), group_id(&mut world, a, SECOND));
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    world.cut(a, m);
    assert!(puppet.open_session(&mut world, b, first), "a member of the first");
    let before = puppet.served(second);
    for number in 0..100 {
        assert!(puppet.tell(&mut world, b, &about(second, number)));
    }
    puppet.listen(&mut world, 500);
    assert_eq!(puppet.served(second), before, "it is told nothing");
    assert!(puppet.has_session(&world, b), "and may be right");
    // Once its admission is here, it is served in the same session.
    world.mend(a, b);
    world.link(a, b);
    world.run_for(2_000);
    assert!(puppet.has_session(&world, b));
    assert!(puppet.tell(&mut world, b, &about(second, 0)));
    puppet.listen(&mut world, 500);
    assert!(puppet.served(second) > before);
}
