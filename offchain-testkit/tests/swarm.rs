//! Two to five production engines in a simulated world: what members can rely on.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::BTreeSet;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::{BlockId, Hash, StoreError};
use walytis_identities::{History, InvitationCode, Operation};
use walytis_offchain::{Answer, Command, Delivery, EngineError};

const GROUP: &str = "friends";

fn texts(world: &mut World, node: NodeId) -> Vec<Vec<u8>> {
    list(world, node, GROUP).into_iter().filter_map(|entry| Some(entry.content?.bytes)).collect()
}

#[test]
fn a_block_reaches_the_other_side() {
    let mut world = calm(1);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    let id = post(&mut world, a, GROUP, b"hello from a");
    converge(&mut world, GROUP, &[a, b]);
    let listing = list(&mut world, b, GROUP);
    assert_eq!(ids(&listing), [id]);
    assert_eq!(texts(&mut world, b), [b"hello from a"]);
}

#[test]
fn a_late_joiner_reads_everything() {
    let mut world = calm(2);
    let [a, b, c] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    for number in 0..400_u32 {
        post(&mut world, if number % 2 == 0 { a } else { b }, GROUP, &number.to_le_bytes().repeat(300));
    }
    converge(&mut world, GROUP, &[a, b]);
    let code = invite(&mut world, a, GROUP, 1);
    join(&mut world, c, &code, GROUP).expect("an open invitation");
    // The join ends once all that the inviter had is here.
    let at_c = list(&mut world, c, GROUP);
    assert_eq!(at_c.len(), 400);
    assert!(at_c.iter().all(|entry| entry.content.as_ref().is_some_and(|content| content.bytes.len() == 1_200)));
    assert_eq!(ids(&at_c), ids(&list(&mut world, a, GROUP)));
    converge(&mut world, GROUP, &[a, b, c]);
    for node in [a, b, c] {
        assert_sound(&world, node);
    }
}

#[test]
fn a_newcomer_since_join_reads_only_what_is_sealed_from_its_admission_on() {
    let mut world = calm(3);
    let [a, b, c] = nodes(&mut world);
    ok(world.call(a, Command::NewGroup { name: GROUP.into(), history: History::SinceJoin }, LONG_MS));
    let code = invite(&mut world, a, GROUP, 2);
    join(&mut world, b, &code, GROUP).expect("an open invitation");
    // More than one message can ask for: what cannot be read does not hold up what can.
    for number in 0..300_u32 {
        post(&mut world, a, GROUP, &number.to_le_bytes());
    }
    join(&mut world, c, &code, GROUP).expect("an open invitation");
    world.cut(a, c);
    world.cut(b, c);
    post(&mut world, b, GROUP, b"while c was away");
    world.run_for(3_000);
    world.mend(a, c);
    world.mend(b, c);
    world.run_for(LONG_MS);
    post(&mut world, a, GROUP, b"to all three");
    world.run_for(3_000);
    assert_eq!(texts(&mut world, c), [&b"while c was away"[..], b"to all three"]);
    assert_eq!(list(&mut world, c, GROUP).len(), 302);
    assert_eq!(texts(&mut world, b).len(), 302);
}

#[test]
fn what_was_posted_while_a_member_was_away_arrives_when_it_comes_back() {
    let mut world = calm(4);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    converge(&mut world, GROUP, &[a, b]);
    world.kill(b);
    for number in 0..20_u8 {
        post(&mut world, a, GROUP, &[number; 10]);
    }
    world.kill(a);
    world.start(b).expect("its store is sound");
    post(&mut world, b, GROUP, b"alone");
    world.start(a).expect("its store is sound");
    converge(&mut world, GROUP, &[a, b]);
    assert_eq!(list(&mut world, b, GROUP).len(), 21);
}

#[test]
fn a_restart_keeps_names_groups_and_addresses() {
    let mut world = calm(5);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    group_of(&mut world, "own", b, &[]);
    let before = [details(&mut world, a, GROUP), details(&mut world, b, GROUP), details(&mut world, b, "own")];
    for node in [a, b] {
        world.kill(node);
    }
    for node in [a, b] {
        world.start(node).expect("its store is sound");
    }
    let after = [details(&mut world, a, GROUP), details(&mut world, b, GROUP), details(&mut world, b, "own")];
    assert_eq!(after, before);
    assert!(world.run_until(5_000, |world| world.connected(a, b)), "they find each other by what they remember");
    post(&mut world, a, GROUP, b"again");
    converge(&mut world, GROUP, &[a, b]);
    let Answer::Status(status) = ok(world.call(b, Command::Status, LONG_MS)) else { panic!("not a status") };
    assert_eq!(status.peers, [world.identity(a).peer]);
    assert_eq!(status.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), [GROUP, "own"]);
    // An address that was learned is enough to invite before the network is there again.
    assert_eq!(status.addresses, [world.address(b)]);
}

#[test]
fn a_member_relays_between_two_that_cannot_reach_each_other() {
    let mut world = calm(6);
    let [a, b, c] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, c]);
    converge(&mut world, GROUP, &[a, b, c]);
    world.cut(a, c);
    world.link(b, c);
    world.run_for(1_000);
    let subscription = subscribe(&mut world, c, GROUP);
    let to_c = post(&mut world, a, GROUP, b"to c");
    let to_a = post(&mut world, c, GROUP, b"to a");
    converge(&mut world, GROUP, &[a, b, c]);
    assert!(!world.connected(a, c));
    for node in [a, b, c] {
        let found: BTreeSet<BlockId> = ids(&list(&mut world, node, GROUP)).into_iter().collect();
        assert_eq!(found, BTreeSet::from([to_c, to_a]));
        assert_eq!(texts(&mut world, node).len(), 2);
    }
    assert_delivered_in_order(&world, c, &delivered(&world, c, subscription));
}

/// Says what is asked for, of whom.
type Begin<'a> = &'a dyn Fn(&mut World, &[NodeId]) -> (NodeId, Command);

/// What a world is after a group was founded and `steps` more events happened since `begin` asked for something.
fn killed_after(seed: u64, steps: usize, victim: usize, begin: Begin<'_>) -> bool {
    let mut world = calm(seed);
    let all: [NodeId; 3] = nodes(&mut world);
    group_of(&mut world, GROUP, all[0], &all[1..2]);
    post(&mut world, all[0], GROUP, b"before");
    converge(&mut world, GROUP, &all[..2]);
    let (node, command) = begin(&mut world, &all);
    let ticket = world.ask(node, command.clone());
    for _ in 0..steps {
        world.step();
    }
    let answer = world.take_answer(node, ticket);
    let answered = answer.is_some();
    world.kill(all[victim]);
    world.run_for(3_000);
    world.start(all[victim]).expect("a store opens after a kill at any instant");
    assert_sound(&world, all[victim]);
    // Whatever it was can be asked for again, and then everybody has the same.
    match command {
        Command::Join { .. } => {
            let again = world.call(node, command, 3 * LONG_MS).expect("a join ends");
            assert!(matches!(again, Ok(_) | Err(EngineError::AlreadyMember(_))), "after {steps} events: {again:?}");
            converge(&mut world, GROUP, &all);
            assert_eq!(details(&mut world, all[0], GROUP).members.len(), 3);
            post(&mut world, all[2], GROUP, b"after");
            converge(&mut world, GROUP, &all);
        }
        command => {
            let acknowledged = match answer {
                Some(Ok(Answer::Posted(id))) => Some(id),
                _ => None,
            };
            let before = list(&mut world, node, GROUP);
            assert!(acknowledged.is_none_or(|id| ids(&before).contains(&id)), "after {steps} events: lost");
            assert!(before.iter().all(|entry| entry.content.is_some()), "after {steps} events: half a post");
            ok(world.call(node, command, LONG_MS));
            converge(&mut world, GROUP, &all[..2]);
        }
    }
    for node in all {
        assert_sound(&world, node);
    }
    answered
}

#[test]
fn a_kill_at_any_event_of_a_post_or_an_invitation_loses_nothing_acknowledged() {
    let post = |_: &mut World, all: &[NodeId]| {
        (all[0], Command::Post { group: GROUP.into(), topics: vec![], content: b"in question".to_vec() })
    };
    let invite = |_: &mut World, all: &[NodeId]| (all[0], Command::Invite { group: GROUP.into(), uses: 1 });
    assert!(!killed_after(71, 0, 0, &post) && killed_after(71, 4, 0, &post), "before and after the answer");
    for steps in 1..4 {
        killed_after(71, steps, 0, &post);
        killed_after(72, steps, 0, &invite);
        killed_after(71, steps, 1, &post);
    }
}

#[test]
fn a_kill_at_any_event_of_a_join_leaves_no_half_member() {
    let join = |world: &mut World, all: &[NodeId]| {
        let code = invite(world, all[0], GROUP, 1);
        (all[2], Command::Join { code, name: Some(GROUP.into()) })
    };
    let mut ends = 0;
    for steps in 0..36 {
        for victim in [0, 2] {
            ends += usize::from(killed_after(73, steps, victim, &join));
        }
    }
    assert!(ends > 0, "the last of them come after the end");
}

#[test]
fn a_failed_commit_stops_the_engine_and_acknowledges_nothing() {
    for (number, error) in [
        StoreError::Full { reason: "no space left".to_owned() },
        StoreError::Disk { reason: "input/output error".to_owned() },
    ]
    .into_iter()
    .enumerate()
    {
        let mut world = calm(80);
        let [a, b] = nodes(&mut world);
        group_of(&mut world, GROUP, a, &[b]);
        converge(&mut world, GROUP, &[a, b]);
        let kept = post(&mut world, a, GROUP, b"kept");
        converge(&mut world, GROUP, &[a, b]);
        world.fail_commit(a, u64::try_from(number).expect("small"), error.clone());
        let tickets: Vec<_> = (0..3_u8)
            .map(|text| world.ask(a, Command::Post { group: GROUP.into(), topics: vec![], content: vec![text] }))
            .collect();
        let joining = world.ask(a, Command::Status);
        world.run_for(1_000);
        let acknowledged: Vec<BlockId> = tickets
            .into_iter()
            .filter_map(|ticket| match world.take_answer(a, ticket).expect("everybody gets an answer") {
                Ok(Answer::Posted(id)) => Some(id),
                Err(EngineError::Stopped(reason)) => {
                    assert!(reason.contains(&error.to_string()), "{reason}");
                    None
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(world.take_answer(a, joining).expect("an answer").is_err());
        assert_eq!(acknowledged.len(), number);
        assert!(world.stopped(a).is_some(), "the engine says that it stopped");
        let told = list(&mut world, b, GROUP).len();
        assert!((1..=1 + number).contains(&told), "nothing was told before it was durable");
        world.start(a).expect("it opens once the cause is gone");
        let found = ids(&list(&mut world, a, GROUP));
        assert!(found.contains(&kept) && acknowledged.iter().all(|id| found.contains(id)));
        post(&mut world, a, GROUP, b"on we go");
        converge(&mut world, GROUP, &[a, b]);
        assert_sound(&world, a);
    }
}

#[test]
fn a_join_goes_on_when_the_inviter_opens_a_session_at_the_same_time() {
    for seed in 90..94 {
        let mut world = calm(seed);
        let [a, b] = nodes(&mut world);
        group_of(&mut world, "shared before", a, &[b]);
        ok(world.call(a, Command::NewGroup { name: GROUP.into(), history: History::All }, LONG_MS));
        let code = invite(&mut world, a, GROUP, 1);
        converge(&mut world, "shared before", &[a, b]);
        // Both begin when the connection comes up: the joiner to be admitted, the inviter as a fellow member.
        world.cut(a, b);
        world.run_for(200);
        let ticket = world.ask(b, Command::Join { code, name: Some(GROUP.into()) });
        world.mend(a, b);
        world.link(a, b);
        world.run_for(10_000);
        assert!(matches!(world.take_answer(b, ticket), Some(Ok(Answer::Group(_)))), "seed {seed}");
        converge(&mut world, GROUP, &[a, b]);
    }
}

#[test]
fn a_device_joins_many_groups_of_one_inviter_over_one_connection() {
    let mut world = calm(95);
    let [a, b] = nodes(&mut world);
    for number in 0..20 {
        let name = format!("group {number}");
        ok(world.call(a, Command::NewGroup { name: name.clone(), history: History::All }, LONG_MS));
        let code = invite(&mut world, a, &name, 1);
        let before = world.now_us();
        join(&mut world, b, &code, &name).expect("an open invitation");
        assert!(world.now_us() - before < 2_000_000, "{name}: nobody is kept waiting");
    }
    assert!(world.connected(a, b));
}

#[test]
fn a_listing_below_a_subscription_leaves_no_gap_and_no_overlap() {
    let mut world = calm(96);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    converge(&mut world, GROUP, &[a, b]);
    let mut posted = BTreeSet::new();
    for number in 0..30_u8 {
        let topics: &[&[u8]] = if number % 3 == 0 { &[b"threes", b"all"] } else { &[b"all"] };
        posted.insert(post_about(&mut world, a, GROUP, topics, &[number; 5]));
    }
    let ticket = world.ask(b, Command::Subscribe { group: GROUP.into() });
    world.run_until(LONG_MS, |world| world.has_answer(b, ticket));
    let Answer::Subscribed { from } = ok(world.take_answer(b, ticket)) else { panic!("not subscribed") };
    for number in 30..40_u8 {
        posted.insert(post_about(&mut world, a, GROUP, &[b"all"], &[number; 5]));
    }
    converge(&mut world, GROUP, &[a, b]);
    let listing = |world: &mut World, below, topic: Option<&[u8]>| {
        let topic = topic.map(<[u8]>::to_vec);
        let command = Command::List { group: GROUP.into(), after: None, below, topic };
        let Answer::Page(page) = ok(world.call(b, command, LONG_MS)) else { panic!("not a page") };
        assert_eq!(page.next, None);
        page.entries
    };
    let earlier: BTreeSet<BlockId> = ids(&listing(&mut world, Some(from), None)).into_iter().collect();
    let deliveries = delivered(&world, b, ticket);
    let later: BTreeSet<BlockId> = deliveries
        .iter()
        .filter_map(|delivery| match delivery {
            Delivery::Block(entry) => Some(entry.id),
            _ => None,
        })
        .collect();
    assert!(earlier.len() >= 20 && later.len() >= 10 && earlier.is_disjoint(&later));
    assert_eq!(earlier.union(&later).copied().collect::<BTreeSet<_>>(), posted);
    assert_eq!(listing(&mut world, None, Some(b"threes")).len(), 10);
    assert_eq!(listing(&mut world, None, Some(b"all")).len(), 40);
    assert_eq!(listing(&mut world, None, Some(b"al")).len(), 0);

    // The same in the order of arrival, some at a time.
    let (mut position, mut found) = (0, Vec::new());
    loop {
        let command = Command::Since { group: GROUP.into(), from: position, limit: 7 };
        let Answer::Page(page) = ok(world.call(b, command, LONG_MS)) else { panic!("not a page") };
        let Some(last) = page.entries.last() else { break };
        assert!(page.entries.len() <= 7 && page.entries.is_sorted_by_key(|entry| entry.position));
        position = last.position + 1;
        found.extend(ids(&page.entries));
    }
    assert_eq!(found.len(), 40);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), posted);
}

#[test]
fn writers_who_owe_an_epoch_at_once_begin_two_and_all_can_read_both() {
    let mut world = calm(110);
    let [a, b, c, x] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, c]);
    let code: InvitationCode = invite(&mut world, a, GROUP, 1).parse().expect("our own code");
    converge(&mut world, GROUP, &[a, b, c]);
    let group = *code.group();
    // The founder admits somebody and stops before it begins an epoch for the newcomer.
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let mut newcomer = Puppet::possess(&mut world, x).expect("a store");
    let session = Hash([5; 32]);
    let request = newcomer.join_request(group, code.secret(), &session).expect("a store");
    let (admit, foreign) = founder.admission(&request, session).expect("sound identities");
    let admitted = founder.operation(&world, group, &Operation::Admit(Box::new(admit)), foreign).expect("a manager");
    let block = founder.wire(&admitted).expect("a store");
    for node in [b, c] {
        assert_accepted(&mut world, &mut founder, node, GROUP, block.clone(), "the admission");
        assert_eq!(details(&mut world, node, GROUP).epoch, None, "no epoch is for the new view");
    }
    let before = membership(&world, b, group).epochs.len();
    world.cut(b, c);
    world.cut(a, b);
    world.cut(a, c);
    for (node, text) in [(b, b"from b"), (c, b"from c")] {
        post(&mut world, node, GROUP, text);
    }
    world.mend(b, c);
    world.link(b, c);
    converge(&mut world, GROUP, &[b, c]);
    assert_eq!(membership(&world, b, group).epochs.len(), before + 2);
    for node in [b, c] {
        let found: BTreeSet<Vec<u8>> = texts(&mut world, node).into_iter().collect();
        assert_eq!(found, BTreeSet::from([b"from b".to_vec(), b"from c".to_vec()]));
    }
    let epochs = [b, c].map(|node| details(&mut world, node, GROUP).epoch);
    assert!(epochs[0].is_some() && epochs[0] == epochs[1], "of several usable ones all take the same");
    post(&mut world, b, GROUP, b"after");
    converge(&mut world, GROUP, &[b, c]);
    assert_eq!(membership(&world, c, group).epochs.len(), before + 2, "no further epoch is owed");
    for node in [b, c] {
        assert_sound(&world, node);
    }
}
