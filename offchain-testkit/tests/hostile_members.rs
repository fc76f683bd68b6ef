//! Findings of a hostile review against the engines, each as a test of what holds instead.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::enemies::{self, Deeds, Turn};
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::limits::{FOREIGN_BYTES_MAX, PARENTS_MAX};
use walytis_core::{BlockId, BlockKind, ChainId, Hash, Header, Pending, chains};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::{Entry as Writing, EpochContext, History, InvitationCode, Operation, keyring};
use walytis_offchain::{
    Attachment, Command, EngineError, JoinRefusal, JoinRequest, Message, OpenContent, PrivateBody, Progress,
    SealedPlace,
};

const GROUP: &str = "friends";
const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;
/// Shorter than any pause after which quiet nodes tell their heads again, so that nothing is made up for by that.
const SOON_MS: u64 = 5_000;

/// What a joiner in the attacker's hands is told when it asks with what `change` makes of an honest request.
fn ask(
    world: &mut World,
    joiner: &mut Puppet,
    inviter: NodeId,
    code: &InvitationCode,
    change: &dyn Fn(&mut JoinRequest, &mut Puppet, Hash),
) -> Option<Result<(), JoinRefusal>> {
    let ready = joiner.begin_join(world, inviter, *code.group(), code.secret())?;
    let session = *ready.session_hash();
    let mut request = joiner.join_request(*code.group(), code.secret(), &session).expect("a store");
    change(&mut request, joiner, session);
    assert!(joiner.finish(world, inviter, ready, &Message::Join(Box::new(request))), "the request fits a frame");
    joiner.listen(world, 500).into_iter().find_map(|(_, message)| match message {
        Message::Joined => Some(Ok(())),
        Message::JoinRefused(reason) => Some(Err(reason)),
        _ => None,
    })
}

/// Four members of a group, each connected with each, and the last of them in the attacker's hands.
fn four(seed: u64) -> (World, [NodeId; 4], Puppet, ChainId) {
    possessed(seed, GROUP, 1..2)
}

/// Tells of heads that nobody has: whoever hears it asks for them.
fn lure(world: &mut World, puppet: &mut Puppet, to: NodeId, chain: ChainId) {
    puppet.listen(world, 100);
    let heads = SyncMessage::Heads { chain, heads: vec![BlockId([0xEE; 32])] };
    assert!(puppet.tell(world, to, &Message::Sync(heads)));
    let asked = puppet.listen(world, 100);
    let pulls = |message: &Message| matches!(message, Message::Sync(SyncMessage::Pull { .. }));
    assert!(asked.iter().any(|(_, message)| pulls(message)), "it asks the attacker: {asked:?}");
}

/// Lets the world run until a node has a block. Returns how long that took, in virtual milliseconds.
fn time_until_known(world: &mut World, node: NodeId, id: BlockId, step: &mut dyn FnMut(&mut World)) -> u64 {
    let began_us = world.now_us();
    let has = |world: &World| {
        let store: std::sync::Arc<dyn walytis_core::Store> = world.store(node);
        chains::contains(&walytis_core::Pending::new(store), id).expect("a sound store")
    };
    while !has(world) && world.now_us() - began_us < 10 * MINUTE_MS * 1_000 {
        step(world);
    }
    (world.now_us() - began_us) / 1_000
}

#[test]
fn s4_newcomers_get_nothing_old_whosever_leaf_key_they_claim() {
    let mut world = calm(1);
    let [a, b, m, n] = nodes(&mut world);
    ok(world.call(a, Command::NewGroup { name: GROUP.into(), history: History::SinceJoin }, LONG_MS));
    let text = invite(&mut world, a, GROUP, 5);
    join(&mut world, b, &text, GROUP).expect("the invitation admits");
    let old = post(&mut world, a, GROUP, b"an old secret");
    let old_epoch = details(&mut world, a, GROUP).epoch.expect("it is sealed under one");
    converge(&mut world, GROUP, &[a, b]);
    let code: InvitationCode = text.parse().expect("our own code");
    let group = *code.group();
    let view = membership(&world, b, group);
    let (_, founder) = view.device_of_peer(&world.identity(a).peer).expect("the founder");
    let stolen = founder.leaf.clone().expect("a group has leaf keys");

    let steal = |request: &mut JoinRequest, joiner: &mut Puppet, session: Hash| {
        let mut binding = request.joiner.binding.clone();
        binding.leaf = Some(stolen.clone());
        request.joiner = joiner.sign_binding(binding, group, &group.0).expect("its own keys");
        request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut joiner.rng);
    };
    type Change<'a> = &'a dyn Fn(&mut JoinRequest, &mut Puppet, Hash);
    for (node, change) in [(m, &steal as Change<'_>), (n, &|_, _, _| {})] {
        let mut joiner = Puppet::possess(&mut world, node).expect("a store");
        assert_eq!(ask(&mut world, &mut joiner, a, &code, change), Some(Ok(())));
        let new = post(&mut world, a, GROUP, b"news");
        joiner.listen(&mut world, 500);
        joiner.tell(&mut world, a, &Message::Sync(SyncMessage::Pull { chain: group, have: Vec::new() }));
        let ids = vec![old, old_epoch];
        joiner.tell(&mut world, a, &Message::Sync(SyncMessage::WantAttachments { chain: group, ids }));
        let (mut portions, mut answers) = (Vec::new(), Vec::new());
        for (_, message) in joiner.listen(&mut world, SECOND_MS) {
            match message {
                Message::Sync(SyncMessage::Portion { blocks, .. }) => portions.extend(blocks),
                Message::Sync(SyncMessage::Attachment { id, attachment, .. }) => answers.push((id, attachment.len())),
                _ => {}
            }
        }
        let attached = |id: BlockId| {
            let found = portions.iter().find(|wire| Header::id_of(&wire.block.header) == id);
            found.map(|wire| wire.attachment.is_some())
        };
        // It sees that there is an old block, and what is new; not what is old.
        assert_eq!((attached(old), attached(old_epoch), attached(new)), (Some(false), Some(false), Some(true)));
        assert_eq!(answers, [(old, 0), (old_epoch, 0)], "there is nothing to give");
        // Whose key it claims goes on reading, and so do the others.
        let from_b = post(&mut world, b, GROUP, b"for all members");
        converge(&mut world, GROUP, &[a, b]);
        let entry = list(&mut world, a, GROUP).into_iter().find(|entry| entry.id == from_b);
        assert!(entry.is_some_and(|entry| entry.content.is_some()));
    }
    assert_eq!(details(&mut world, b, GROUP).members.len(), 4);
    assert_sound(&world, a);
    assert_sound(&world, b);
}

/// The founder forks, so that whom it admitted turns out to be nobody. What others sealed under that one's epoch meanwhile
/// is for its readers all the same, also for who opens it only then.
#[test]
fn s3_an_epoch_is_not_cancelled_with_its_makers_admission() {
    let mut world = calm(92);
    let [a, d, p, x] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[d]);
    let code = code_of(&mut world, a, GROUP, 1);
    let group = *code.group();
    converge(&mut world, GROUP, &[a, d]);
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let [mut stands, mut falls] = [p, x].map(|node| Puppet::possess(&mut world, node).expect("a store"));
    let session = Hash([5; 32]);
    let admission = |founder: &mut Puppet, joiner: &mut Puppet| {
        let request = joiner.join_request(group, code.secret(), &session).expect("a store");
        let (admit, foreign) = founder.admission(&request, session).expect("sound identities");
        (Operation::Admit(Box::new(admit)), foreign)
    };
    let (admit, foreign) = admission(&mut founder, &mut stands);
    let first = unjudged(&mut founder, &world, group, &admit, foreign);
    // Beside it, one operation further up, the only use of the invitation is given to another.
    let merge = founder.operation(&world, group, &Operation::Merge, Vec::new()).expect("a member");
    let (admit, foreign) = admission(&mut founder, &mut falls);
    let second = founder.operation(&world, group, &admit, foreign).expect("the invitation is open there");
    for wire in founder.wire_chain(group).expect("a store") {
        falls.take_in(&wire.foreign).expect("honest identities");
        falls.take_in(&[wire.block]).expect("honest blocks");
    }
    let (device, mut desk) = falls.desk(&world);
    let epoch = device.begin_epoch(&mut desk, group).expect("a member there");
    let begun = chains::block(&falls.view, epoch).expect("a store").expect("it was written").block.raw().clone();
    let seed = keyring::epoch(&falls.view, epoch).expect("a store").expect("its own");
    founder.take_in(std::slice::from_ref(&begun)).expect("a member's there");
    keyring::put_epoch(&mut founder.view, epoch, &seed);
    let open = OpenContent::new(vec![], b"under its epoch".to_vec(), &mut founder.rng).expect("small content");
    let body = PrivateBody::new(epoch, &open);
    let entry = Writing { kind: BlockKind::Private, content: body.encode(), foreign: vec![] };
    let (device, mut desk) = founder.desk(&world);
    let content = device.append(&mut desk, group, entry).expect("a member");
    let view = founder.fold.current(&founder.view, group).expect("a group").epochs[&epoch].view.clone();
    let key = seed.epoch_key(&EpochContext::new(group, &view));
    let place = SealedPlace { chain: group, block: content.block.id(), epoch };
    let sealed = Attachment::Sealed(open.seal(&key, &place, &mut founder.rng).into());

    assert!(founder.open_session(&mut world, d, group));
    let wrap = founder.wrap_for(&begun, world.identity(d).peer).expect("a store");
    assert!(wrap.is_some(), "the epoch names it");
    let mut blocks = [first, merge.block.raw().clone(), second.block.raw().clone(), begun, content.block.raw().clone()]
        .map(|raw| wire_of(&founder, raw));
    blocks[3].attachment = wrap;
    blocks[4].attachment = Some(sealed.encode().into());
    for block in blocks {
        assert!(founder.push(&mut world, d, group, block));
        world.run_for(100);
    }
    assert!(world.connected(a, d), "all of it is honest at its place");
    let seen = seen(&mut world, d, GROUP);
    assert!(seen.details.members.iter().any(|member| member.identity == stands.device.user));
    assert!(!seen.details.members.iter().any(|member| member.identity == falls.device.user));
    let entry = seen.entries.iter().find(|entry| entry.id == content.block.id()).expect("it is in the view");
    assert!(entry.content.is_some() && seen.details.summary.missing == 0, "{entry:?}");
    assert!(membership(&world, d, group).epochs.contains_key(&epoch));
    assert_ne!(seen.details.epoch, Some(epoch), "and of no use for what comes");
    assert_sound(&world, d);
}

#[test]
fn c1_what_is_posted_while_somebody_joins_reaches_the_joiner() {
    let mut world = calm(2);
    let [a] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    for number in 0..400_u32 {
        post(&mut world, a, GROUP, &[&number.to_le_bytes()[..], &[0; 4_000]].concat());
    }
    let mut during = 0;
    for later_ms in [0, 1, 2, 4, 6, 8, 10, 15, 20, 30] {
        let [b] = nodes(&mut world);
        let code = invite(&mut world, a, GROUP, 1);
        let ticket = world.ask(b, Command::Join { code, name: Some(GROUP.into()) });
        let receiving = |progress: &Progress| matches!(progress, Progress::Receiving { .. });
        let begun = world.run_until(LONG_MS, |world| world.progress(b).iter().any(|(_, progress)| receiving(progress)));
        assert!(begun, "it joins");
        world.run_for(later_ms);
        during += usize::from(!world.has_answer(b, ticket));
        let late = post(&mut world, a, GROUP, b"late");
        world.run_for(SOON_MS);
        ok(world.take_answer(b, ticket));
        let (ours, theirs) = (details(&mut world, a, GROUP), details(&mut world, b, GROUP));
        assert_eq!(theirs.heads, ours.heads, "{later_ms} ms after the first portion");
        assert!(theirs.heads.contains(&late) && theirs.summary.missing == 0);
        world.kill(b);
    }
    assert!(during > 3, "the post came before the end of only {during} joins");
}

#[test]
fn r1_a_joiner_that_is_refused_hears_why_and_is_disconnected() {
    let mut world = calm(3);
    let [a, b, s] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 1);
    join(&mut world, b, &code.to_text(), GROUP).expect("the only use");
    let mut late = Puppet::possess(&mut world, s).expect("a store");
    assert_eq!(ask(&mut world, &mut late, a, &code, &|_, _, _| {}), Some(Err(JoinRefusal::Spent)));
    // It says what it can to stay.
    assert!(late.tell(&mut world, a, &Message::Hello { addresses: Vec::new() }));
    late.listen(&mut world, SOON_MS);
    assert!(!world.connected(a, s), "it holds a connection for nothing");
    assert!(world.connected(a, b), "the member stays");
}

#[test]
fn c5_a_member_that_is_refused_elsewhere_stays_connected() {
    let mut world = calm(4);
    let [a, b, c] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    group_of(&mut world, "others", a, &[]);
    let spent = invite(&mut world, a, "others", 1);
    join(&mut world, c, &spent, "others").expect("the only use");
    converge(&mut world, GROUP, &[a, b]);
    assert_eq!(join(&mut world, b, &spent, "others"), Err(EngineError::Refused(JoinRefusal::Spent)));
    for _ in 0..50 {
        world.run_for(100);
        assert!(world.connected(a, b), "they share another group");
    }
}

#[test]
fn c5_a_joiner_that_was_refused_and_then_admitted_stays_connected() {
    let mut world = calm(5);
    let [a, b, c] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let (spent, code) = (invite(&mut world, a, GROUP, 1), invite(&mut world, a, GROUP, 1));
    join(&mut world, c, &spent, GROUP).expect("the only use");
    assert_eq!(join(&mut world, b, &spent, GROUP), Err(EngineError::Refused(JoinRefusal::Spent)));
    join(&mut world, b, &code, GROUP).expect("another invitation, on the same connection");
    for _ in 0..50 {
        world.run_for(100);
        assert!(world.connected(a, b), "it is a member now");
    }
    converge(&mut world, GROUP, &[a, b, c]);
}

/// How the attacker answers, portion by portion.
type Dribble<'a> = &'a dyn Fn(&World, &mut Puppet, ChainId) -> WireBlock;

#[test]
fn c5_a_peer_that_dribbles_does_not_keep_anothers_news_away() {
    let known: Dribble<'_> = &|_, puppet, group| puppet.wire_chain(group).expect("a store").remove(0);
    let own: Dribble<'_> = &|world, puppet, group| {
        let (stored, attachment) = puppet.private(world, group, b"one more").expect("a member");
        wire(stored.block.raw().clone(), Some(&attachment))
    };
    for (what, dribble) in [("known blocks", known), ("new blocks of its own", own)] {
        let (mut world, [a, b, c, m], mut puppet, group) = four(6);
        for number in 0..30_u8 {
            post(&mut world, a, GROUP, &[number]);
        }
        converge(&mut world, GROUP, &[a, b, c]);
        lure(&mut world, &mut puppet, b, group);
        // What c writes comes to b as an announcement of a.
        world.cut(b, c);
        world.run_for(50);
        let news = post(&mut world, c, GROUP, b"honest");
        let mut portions = 0;
        let took_ms = time_until_known(&mut world, b, news, &mut |world| {
            let block = dribble(world, &mut puppet, group);
            let portion = SyncMessage::Portion { chain: group, blocks: vec![block], left: 1 };
            portions += usize::from(puppet.tell(world, b, &Message::Sync(portion)));
            puppet.listen(world, 3 * SECOND_MS);
        });
        assert!(portions > 1, "{what}: nobody was kept from anything");
        assert!(world.connected(b, m), "{what}: each portion alone is honest");
        assert!(took_ms <= MINUTE_MS / 2, "{what}: {took_ms} ms, {portions} portions");
    }
}

#[test]
fn c5_after_a_portion_of_garbage_another_peer_is_asked_at_once() {
    for left in [0, 1] {
        let (mut world, [_, b, c, m], mut puppet, group) = four(7);
        lure(&mut world, &mut puppet, b, group);
        world.cut(b, c);
        world.run_for(50);
        let news = post(&mut world, c, GROUP, b"honest");
        world.run_for(2 * SECOND_MS);
        assert!(!details(&mut world, b, GROUP).heads.contains(&news), "it waits for the attacker");
        let mut garbage = puppet.wire_chain(group).expect("a store").remove(0);
        garbage.block.header.push(0);
        let portion = SyncMessage::Portion { chain: group, blocks: vec![garbage], left };
        assert!(puppet.tell(&mut world, b, &Message::Sync(portion)));
        let took_ms = time_until_known(&mut world, b, news, &mut |world| world.run_for(10));
        assert!(took_ms <= 100, "{took_ms} ms, with {left} left");
        assert!(!world.connected(b, m));
    }
}

/// A forged block that waits for an honest one, and comes out when that arrives, says nothing about who sent the honest one.
#[test]
fn c5_an_orphan_that_turns_out_forged_costs_only_its_sender_the_connection() {
    let (mut world, [a, b, c, m], mut puppet, group) = four(10);
    world.cut(a, b);
    world.cut(b, c);
    world.run_for(50);
    let parent = post(&mut world, a, GROUP, b"honest");
    let second = post(&mut world, a, GROUP, b"honest, too");
    let store: std::sync::Arc<dyn walytis_core::Store> = world.store(a);
    let view = walytis_core::Pending::new(store);
    for id in [parent, second] {
        let stored = chains::block(&view, id).expect("a store").expect("it was posted");
        puppet.take_in(&[stored.block.raw().clone()]).expect("it is honest");
    }
    let (forged, _) = puppet.private(&world, group, b"forged").expect("a member");
    let mut raw = forged.block.raw().clone();
    raw.signature[5] ^= 1;
    assert!(puppet.push(&mut world, b, group, wire(raw, None)));
    world.run_for(200);
    assert!(world.connected(b, m), "nobody knows yet");
    world.mend(a, b);
    world.link(a, b);
    let took_ms = time_until_known(&mut world, b, second, &mut |world| world.run_for(10));
    // It had asked the attacker, and gives it the time of one portion.
    assert!(took_ms <= 15 * SECOND_MS, "{took_ms} ms");
    assert!(world.connected(a, b) && !world.connected(b, m), "the attacker alone is shunned");
    assert!(!details(&mut world, b, GROUP).heads.contains(&forged.block.id()));
    assert_eq!(details(&mut world, b, GROUP).heads, details(&mut world, a, GROUP).heads);
}

/// Bytes of all blocks on which an admission of this joiner would rest.
fn identity_bytes(joiner: &Puppet) -> usize {
    let mut bytes = 0;
    for chain in [joiner.device.identity, joiner.device.user] {
        for position in 0..chains::length(&joiner.view, chain).expect("a store") {
            let stored = chains::block_at(&joiner.view, chain, position).expect("a store").expect("a block");
            let raw = stored.block.raw();
            bytes += raw.header.len() + raw.signature.len() + raw.content.len();
        }
    }
    bytes
}

#[test]
fn c1_a_joiner_with_long_identity_chains_is_refused_before_nobody_can_pass_it_on() {
    let mut world = calm(8);
    let [a, b, s, t] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    let code = code_of(&mut world, a, GROUP, 2);
    converge(&mut world, GROUP, &[a, b]);
    let long = |world: &mut World, node: NodeId, beyond: bool| {
        let mut joiner = Puppet::possess(world, node).expect("a store");
        let user = joiner.device.user;
        let before = identity_bytes(&joiner);
        joiner.operation(world, user, &Operation::Merge, Vec::new()).expect("its own chain");
        let merge = identity_bytes(&joiner) - before;
        // Each further block names one parent more than the first, and so is a little larger.
        while identity_bytes(&joiner) + merge + 64 <= FOREIGN_BYTES_MAX {
            joiner.operation(world, user, &Operation::Merge, Vec::new()).expect("its own chain");
        }
        if beyond {
            joiner.operation(world, user, &Operation::Merge, Vec::new()).expect("its own chain");
            joiner.operation(world, user, &Operation::Merge, Vec::new()).expect("its own chain");
        }
        let bytes = identity_bytes(&joiner);
        assert!(
            bytes.abs_diff(FOREIGN_BYTES_MAX) < 3 * merge && (bytes > FOREIGN_BYTES_MAX) == beyond,
            "{bytes} bytes"
        );
        joiner
    };
    let before = seen(&mut world, a, GROUP);
    let mut beyond = long(&mut world, s, true);
    assert_eq!(ask(&mut world, &mut beyond, a, &code, &|_, _, _| {}), Some(Err(JoinRefusal::Invalid)));
    assert_eq!(seen(&mut world, a, GROUP), before);
    post(&mut world, a, GROUP, b"the group goes on");
    world.run_for(SOON_MS);
    assert_eq!(seen(&mut world, b, GROUP).entries, seen(&mut world, a, GROUP).entries);

    let mut below = long(&mut world, t, false);
    assert_eq!(ask(&mut world, &mut below, a, &code, &|_, _, _| {}), Some(Ok(())));
    post(&mut world, a, GROUP, b"and on");
    world.run_for(SOON_MS);
    assert_eq!(details(&mut world, b, GROUP).members.len(), 3);
    assert_eq!(seen(&mut world, b, GROUP).entries, seen(&mut world, a, GROUP).entries);
    // Whoever comes later gets it in the course of an exchange.
    let [late] = nodes(&mut world);
    join(&mut world, late, &code.to_text(), GROUP).expect("the second use");
    converge(&mut world, GROUP, &[a, b, late]);
    assert_eq!(details(&mut world, late, GROUP).members.len(), 4);
    assert_sound(&world, late);
}

#[test]
fn c5_a_founder_elsewhere_cannot_bind_anothers_transport_key() {
    let mut world = calm(9);
    let [v, w, m, z] = nodes(&mut world);
    group_of(&mut world, GROUP, v, &[w]);
    group_of(&mut world, "trap", m, &[v]);
    converge(&mut world, "trap", &[m, v]);
    converge(&mut world, GROUP, &[v, w]);
    let code = code_of(&mut world, m, "trap", 1);
    let group = *code.group();
    converge(&mut world, "trap", &[m, v]);
    let mut founder = Puppet::possess(&mut world, m).expect("a store");
    let mut thrown_away = Puppet::possess(&mut world, z).expect("a store");
    let session = Hash([5; 32]);
    let mut request = thrown_away.join_request(group, code.secret(), &session).expect("a store");
    let (admit, foreign) = founder.admission(&request, session).expect("sound identities");
    let honest = unjudged(&mut founder, &world, group, &Operation::Admit(Box::new(admit)), foreign.clone());
    let by_its_own = request.joiner.by_peer;
    let mut binding = request.joiner.binding.clone();
    binding.peer = world.identity(w).peer;
    request.joiner = thrown_away.sign_binding(binding, group, &group.0).expect("its own keys");
    request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut thrown_away.rng);
    for by_peer in [request.joiner.by_peer, by_its_own, request.joiner.by_author, [0; 64]] {
        request.joiner.by_peer = by_peer;
        let (admit, _) = founder.admission(&request, session).expect("sound identities");
        let forged = unjudged(&mut founder, &world, group, &Operation::Admit(Box::new(admit)), foreign.clone());
        let block = wire_of(&founder, forged);
        assert_refused(&mut world, &mut founder, v, "trap", block, "a binding of a transport key that did not sign");
    }
    // The two friends find each other after the connection was lost, whoever dials.
    for (from, to) in [(v, w), (w, v)] {
        world.cut(v, w);
        world.run_for(100);
        let written = post(&mut world, from, GROUP, b"while apart");
        world.mend(v, w);
        world.link(from, to);
        let took_ms = time_until_known(&mut world, to, written, &mut |world| world.run_for(10));
        assert!(took_ms <= SECOND_MS, "{took_ms} ms");
        assert!(world.connected(v, w));
    }
    let block = wire_of(&founder, honest);
    assert_accepted(&mut world, &mut founder, v, "trap", block, "the honest admission of that device");
}

#[test]
fn b4_a_post_behind_more_operations_than_it_can_name_is_one_for_everybody() {
    let (mut world, [a, b, c, _], mut puppet, group) = four(91);
    let fan = enemies::all().into_iter().find(|class| class.name == "operation_fan").expect("a class of this name");
    let (mut enemy, mut deeds) = ((fan.make)(), Deeds::default());
    // An epoch of which the enemy knows nothing: it will stand beside all that the enemy writes.
    let code = invite(&mut world, a, GROUP, 1);
    let [newcomer] = nodes(&mut world);
    join(&mut world, newcomer, &code, GROUP).expect("an open invitation");
    converge(&mut world, GROUP, &[a, b, c, newcomer]);
    let mut turns = 0;
    while chains::operation_heads(&Pending::new(world.store(a)), group).expect("a sound store").len() <= 2 * PARENTS_MAX
    {
        assert!(turns < 20, "it goes on making siblings");
        turns += 1;
        enemy.act(&mut Turn::new(&mut world, &mut puppet, &[a, b], group, &mut deeds));
        world.run_for(1_000);
    }
    let id = post(&mut world, b, GROUP, b"behind all of them");
    // The wraps of the enemy's epochs are missing for ever; the blocks are not.
    world.run_for(MINUTE_MS);
    let heads = details(&mut world, a, GROUP).heads;
    for node in [a, b, c] {
        assert_eq!(details(&mut world, node, GROUP).heads, heads, "{node:?}");
        let found = list(&mut world, node, GROUP).into_iter().find(|entry| entry.id == id);
        assert!(found.is_some_and(|entry| entry.content.is_some()), "{node:?}");
        assert_sound(&world, node);
    }
}
