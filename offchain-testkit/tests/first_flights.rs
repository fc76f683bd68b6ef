//! What a node answers of those who prove nothing, and what it keeps of refused requests.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_identities::InvitationCode;
use walytis_offchain::{Attachment, Command, EngineError, JoinRefusal, Limit, Message};

const GROUP: &str = "friends";

/// Puppets and a code, each of which is shown once a connection, again and again. Returns how many were answered.
fn show(world: &mut World, puppets: &mut [Puppet], to: NodeId, code: &InvitationCode, times: u32) -> u64 {
    let before = world.handshakes(to).1;
    for _ in 0..times {
        for puppet in &mut *puppets {
            puppet.begin_join(world, to, *code.group(), code.secret());
            let node = puppet.node();
            world.cut(node, to);
            world.run_for(10);
            world.mend(node, to);
        }
    }
    world.handshakes(to).1 - before
}

#[test]
fn f15_whoever_proves_nothing_is_answered_less_and_less_over_all_connections() {
    let mut world = calm(115);
    let [a, s] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 1);
    let mut stranger = [Puppet::possess(&mut world, s).expect("a store")];
    let answered = show(&mut world, &mut stranger, a, &code, 40);
    assert!((16..=20).contains(&answered), "{answered} of 40 on as many connections");
    assert!(world.limits_reached(a).get(&Limit::Handshakes).is_some_and(|times| *times > 0));
}

#[test]
fn f15_a_spent_code_is_answered_so_often_whoever_shows_it() {
    let mut world = calm(116);
    let [a, b, r, s, t, u] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 1);
    join(&mut world, b, &code.to_text(), GROUP).expect("the one use");
    let mut strangers = [r, s, t, u].map(|node| Puppet::possess(&mut world, node).expect("a store"));
    let began = world.now_us();
    let answered = show(&mut world, &mut strangers, a, &code, 10);
    let forgiven = (world.now_us() - began) / 10_000_000;
    assert!(answered <= 16 + forgiven, "{answered} of 40 by four peers, within {forgiven} times 10 s");
    // An open one is answered all the same.
    let open = code_of(&mut world, a, GROUP, 1);
    assert_eq!(show(&mut world, &mut strangers, a, &open, 1), 4);
}

#[test]
fn f15_who_holds_a_spent_code_is_told_so_whoever_else_shows_it() {
    let mut world = calm(117);
    let [a, b, r, s, honest] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 1);
    join(&mut world, b, &code.to_text(), GROUP).expect("the one use");
    let mut strangers = [r, s].map(|node| Puppet::possess(&mut world, node).expect("a store"));
    // Until the code has had its answers.
    while show(&mut world, &mut strangers, a, &code, 1) > 0 {}
    let refused = join(&mut world, honest, &code.to_text(), GROUP).expect_err("it is spent");
    assert_eq!(refused, EngineError::Refused(JoinRefusal::Spent));
    let mut told = world.engine(a).expect("it runs").refused_joins();
    assert!(told.any(|(_, refused)| refused.peer == world.identity(honest).peer), "and so is the inviter");
}

/// Asks for all of a node's memberships. Returns how many had to be computed.
fn computed(world: &mut World, node: NodeId) -> u64 {
    let before = world.engine(node).expect("it runs").memberships_computed();
    ok(world.call(node, Command::Status, LONG_MS));
    world.engine(node).expect("it runs").memberships_computed() - before
}

#[test]
fn f5_a_refused_block_or_joiner_leaves_memberships_as_they_are() {
    let mut world = calm(105);
    let [a, m, s] = nodes(&mut world);
    for name in [GROUP, "second", "third", "fourth"] {
        group_of(&mut world, name, a, &[m]);
    }
    let group = group_id(&mut world, a, GROUP);
    let code = code_of(&mut world, a, GROUP, 1);
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    assert!(puppet.open_session(&mut world, a, group), "a member is spoken to");
    world.run_for(200);
    computed(&mut world, a);
    assert_eq!(computed(&mut world, a), 0, "all are remembered");
    // Its block is written when what stands beside it turns out not to be its content.
    let (stored, _) = puppet.private(&world, group, b"with other content").expect("a member may");
    let other = Attachment::Sealed(vec![1; 300].into());
    assert!(puppet.push(&mut world, a, group, wire(stored.block.raw().clone(), Some(&other))));
    world.run_for(200);
    assert!(!world.connected(a, m), "it was refused");
    assert_eq!(computed(&mut world, a), 0, "after a refused block");
    // The joiner's identities are written when its proof turns out to be none.
    let mut joiner = Puppet::possess(&mut world, s).expect("a store");
    let ready = joiner.begin_join(&mut world, a, group, code.secret()).expect("an answer");
    let session = *ready.session_hash();
    let mut request = joiner.join_request(group, code.secret(), &session).expect("a store");
    request.proof.ed25519 = [0; 64];
    joiner.finish(&mut world, a, ready, &Message::Join(Box::new(request)));
    let heard = joiner.listen(&mut world, 200);
    assert!(heard.iter().any(|(_, message)| matches!(message, Message::JoinRefused(_))), "{heard:?}");
    assert_eq!(computed(&mut world, a), 0, "after a refused joiner");
}
