//! Invitations, block and allow lists, and limits.

use walytis_core::query::Query;
use walytis_engine::public::{
    ChainAnswer, ChainCommand, ChainLimit, JoinRefusal, LISTED_MAX, Limits, PublicError, PublicMessage, Rule, Sharing,
};
use walytis_engine::sync::SyncMessage;

use crate::hostile::{author, block, push, with_enemy};
use crate::net::Net;

pub(crate) fn rule(net: &mut Net, node: usize, rule: Rule) {
    net.call(node, ChainCommand::Rule { chain: "c".into(), rule }).unwrap();
}

fn refused(joined: &Result<ChainAnswer, PublicError>) -> Option<JoinRefusal> {
    match joined {
        Err(PublicError::Refused(reason)) => Some(*reason),
        _ => None,
    }
}

#[test]
fn invitations_are_enforced_listed_and_revoked() {
    let mut net = Net::new(31, 5);
    net.found(0);
    let once = net.invite(0, Some(1), Sharing::Inviter);
    net.join(1, &once).unwrap();
    assert_eq!(refused(&net.join(2, &once)), Some(JoinRefusal::Spent));
    assert!(matches!(net.call(2, ChainCommand::Chains), Ok(ChainAnswer::Chains(chains)) if chains.is_empty()));
    // Who was admitted and forgot everything is let in again.
    net.call(1, ChainCommand::Delete { chain: "c".into() }).unwrap();
    net.join(1, &once).unwrap();

    let many = net.invite(0, None, Sharing::Inviter);
    net.join(2, &many).unwrap();
    let listed = match net.call(0, ChainCommand::Invitations { chain: "c".into() }).unwrap() {
        ChainAnswer::Invitations(listed) => listed,
        other => panic!("{other:?}"),
    };
    assert_eq!(listed.iter().map(|each| (each.number, each.uses)).collect::<Vec<_>>(), [(0, Some(0)), (1, None)]);
    net.call(0, ChainCommand::Revoke { chain: "c".into(), invitation: 1 }).unwrap();
    net.kill(0);
    net.start(0);
    assert_eq!(refused(&net.join(3, &many)), Some(JoinRefusal::Unknown));
    let again = ChainCommand::Revoke { chain: "c".into(), invitation: 1 };
    assert!(matches!(net.call(0, again), Err(PublicError::UnknownInvitation(1))));
    let none = ChainCommand::Invite { chain: "c".into(), uses: Some(0), sharing: Sharing::Inviter };
    assert!(matches!(net.call(0, none), Err(PublicError::NoUses)));
    // A damaged code, and one of another inviter who is not there.
    assert!(matches!(net.join(3, &many[..many.len() - 1]), Err(PublicError::Code(_))));
    let third = net.invite(0, None, Sharing::Inviter);
    net.kill(0);
    assert!(matches!(net.join(3, &third), Err(PublicError::NoInviter)));
}

#[test]
fn a_shareable_invitation_is_honoured_by_those_who_joined_by_it() {
    let mut net = Net::new(32, 3);
    net.found(0);
    let code = net.invite(0, Some(1), Sharing::Joiners);
    net.join(1, &code).unwrap();
    net.kill(0);
    let theirs = match net.call(1, ChainCommand::Invitations { chain: "c".into() }).unwrap() {
        ChainAnswer::Invitations(listed) => listed[0].code.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_ne!(theirs, code, "it names the joiner");
    net.join(2, &theirs).unwrap();
}

#[test]
fn who_is_not_invited_is_not_served_where_only_invited_ones_are() {
    let (mut net, chain, enemy) = with_enemy(33, 3);
    let asks = |net: &mut Net| {
        net.mail(enemy);
        net.send(enemy, 0, PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() }).frame());
        net.run(100);
        let portion = |frame: &[u8]| match PublicMessage::decode(&frame[1..]) {
            Ok(PublicMessage::Sync(SyncMessage::Portion { .. })) => true,
            Ok(PublicMessage::Refused { reason, .. }) => {
                assert_eq!(reason, JoinRefusal::Unknown, "it does not hear why");
                false
            }
            _ => false,
        };
        net.mail(enemy).iter().filter(|(_, frame)| portion(frame)).count()
    };
    assert!(asks(&mut net) > 0);
    let peer = net.peer(enemy);
    rule(&mut net, 0, Rule::BlockPeer(peer));
    assert_eq!(asks(&mut net), 0);
    net.post(0, b"not for it");
    net.run(200);
    assert!(net.mail(enemy).is_empty());
    rule(&mut net, 0, Rule::ServeInvited);
    rule(&mut net, 0, Rule::ForgetPeer(peer));
    assert_eq!(asks(&mut net), 0, "its invitation was forgotten with it");
    rule(&mut net, 0, Rule::AllowPeer(peer));
    assert!(asks(&mut net) > 0);
    // Rules outlive the program; those who came by an invitation are served.
    net.post(1, b"from an invited one");
    net.run(1_000);
    assert_eq!(net.list(0).len(), 3);
    net.kill(0);
    net.start(0);
    let details = net.details(0);
    assert!(!details.serves_anyone && details.allowed_peers == [peer] && details.blocked_peers.is_empty());
}

#[test]
fn a_blocked_author_is_taken_only_below_others_and_never_shown() {
    let (mut net, chain, enemy) = with_enemy(34, 3);
    let spammer = author(1);
    rule(&mut net, 0, Rule::BlockAuthor(spammer.public()));
    let first = block(chain, vec![chain.into()], None, &spammer, b"spam");
    let second = block(chain, vec![], Some((first.id(), 0)), &spammer, b"more spam");
    for block in [&first, &second] {
        push(&mut net, enemy, 0, block);
    }
    net.run(30_000);
    assert_eq!(net.details(0).summary.blocks, 2, "by itself it is not kept");
    assert!(net.connected(enemy, 0));
    // Another node does not block, and builds on it: so it is needed.
    net.link(enemy, 1);
    net.run(50);
    for block in [&first, &second] {
        push(&mut net, enemy, 1, block);
    }
    net.run(1_000);
    net.post(1, b"honest, behind it");
    net.run(30_000);
    assert_eq!(net.details(0).heads, net.details(1).heads, "sets are equal");
    let shown: Vec<Vec<u8>> = net.list(0).into_iter().map(|entry| entry.content).collect();
    assert_eq!(shown, [b"honest".to_vec(), b"honest, behind it".to_vec()]);
    assert_eq!(net.list(1).len(), 4);
    rule(&mut net, 0, Rule::ForgetAuthor(spammer.public()));
    assert_eq!(net.list(0).len(), 4);
    // Once some are allowed by name, all others are not.
    let other = net.details(1).author;
    rule(&mut net, 0, Rule::AllowAuthor(other));
    assert_eq!(net.list(0).len(), 2, "the one who is allowed, and this node");
    net.check(0);
}

pub(crate) fn limits(net: &mut Net, node: usize, change: impl FnOnce(&mut Limits)) {
    let mut limits = Limits::default();
    change(&mut limits);
    rule(net, node, Rule::Limits(limits));
}

/// Limits delay, and do not rule: in the end both have the same (C1).
#[test]
fn an_author_that_floods_is_made_to_wait_and_others_are_not() {
    let (mut net, chain, enemy) = with_enemy(35, 3);
    limits(&mut net, 0, |limits| (limits.author_blocks_burst, limits.author_blocks_per_second) = (10, 2));
    let mut last: Option<(walytis_core::BlockId, u64)> = None;
    let mut blocks = Vec::new();
    for number in 0..30_u64 {
        let parents = if last.is_none() { vec![chain.into()] } else { vec![] };
        let block = block(chain, parents, last, &author(1), b"flood");
        last = Some((block.id(), number));
        blocks.push(block);
    }
    // An honest node takes it all, so it can be asked for the rest.
    net.link(enemy, 1);
    net.run(50);
    for block in &blocks {
        push(&mut net, enemy, 0, block);
        push(&mut net, enemy, 1, block);
    }
    net.run(500);
    net.post(0, b"own posts are not counted");
    let early = net.details(0).summary.blocks;
    assert!(early < 20, "{early} are here");
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::AuthorBlocks));
    net.run(60_000);
    assert_eq!(net.details(0).heads, net.details(1).heads);
    assert_eq!(net.details(0).summary.blocks, 33);
}

#[test]
fn a_peer_that_sends_more_than_its_share_is_made_to_wait() {
    let mut net = Net::new(36, 2);
    net.all_join();
    limits(&mut net, 1, |limits| (limits.peer_bytes_burst, limits.peer_bytes_per_second) = (300_000, 100_000));
    net.cut(0, 1);
    for _ in 0..20 {
        net.post(0, &[7; 100_000]);
    }
    net.mend();
    net.run(3_000);
    let early = net.details(1).summary.blocks;
    assert!(early < 15, "{early} are here");
    assert!(net.engine(1).public().limits_reached().contains_key(&ChainLimit::PeerBytes));
    net.run(60_000);
    assert_eq!(net.details(1).summary.blocks, 21);
    // The same for what is pushed.
    for _ in 0..10 {
        net.post(0, &[8; 100_000]);
    }
    net.run(120_000);
    assert_eq!(net.details(1).heads, net.details(0).heads);
}

#[test]
fn a_full_chain_takes_nothing_by_others() {
    let mut net = Net::new(37, 2);
    net.all_join();
    limits(&mut net, 1, |limits| limits.chain_bytes_max = 50_000);
    for _ in 0..10 {
        net.post(0, &[7; 10_000]);
    }
    net.run(5_000);
    let details = net.details(1);
    assert!(details.summary.bytes <= 50_000 && details.summary.blocks == 5, "{details:?}");
    assert!(net.engine(1).public().limits_reached().contains_key(&ChainLimit::ChainBytes));
    net.post(1, b"one's own");
    // More room, and it goes on.
    limits(&mut net, 1, |_| ());
    net.run(70_000);
    assert_eq!(net.details(1).summary.blocks, 12);
}

/// R3: what a person can add to is bounded, and says so.
#[test]
fn lists_are_bounded_and_say_so() {
    let mut net = Net::new(38, 1);
    net.found(0);
    let full = |answer: Result<ChainAnswer, PublicError>| matches!(answer, Err(PublicError::ListFull));
    let mut block = |number: u16| {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_le_bytes());
        let rule = Rule::BlockAuthor(walytis_core::AuthorKey(key));
        net.call(0, ChainCommand::Rule { chain: "c".into(), rule })
    };
    let max = u16::try_from(LISTED_MAX).unwrap();
    assert!((0..max).all(|number| block(number).is_ok()));
    assert!(block(0).is_ok(), "it is there already");
    assert!(full(block(max)));
    for _ in 0..LISTED_MAX {
        net.invite(0, Some(1), Sharing::Inviter);
    }
    let invite = ChainCommand::Invite { chain: "c".into(), uses: None, sharing: Sharing::Inviter };
    assert!(full(net.call(0, invite)));
}

/// Who is not let in any more, or still speaks of a chain that is gone, stops when it is told, and is not shunned for it:
/// the connection may serve other things.
#[test]
fn who_is_let_in_no_more_stays_connected_and_falls_silent() {
    let mut net = Net::new(39, 3);
    net.all_join();
    let peer = net.peer(1);
    rule(&mut net, 0, Rule::BlockPeer(peer));
    net.call(2, ChainCommand::Delete { chain: "c".into() }).unwrap();
    net.link(0, 2);
    for number in 0..200_u8 {
        net.post(1, &[number]);
        net.run(10);
    }
    net.run(100_000);
    assert!(net.connected(0, 1) || net.connected(1, 0));
    assert!(!net.engine(0).public().limits_reached().contains_key(&ChainLimit::Strays));
    assert!(!net.engine(2).public().limits_reached().contains_key(&ChainLimit::Strays));
    assert_eq!(net.list(0).len(), 0);
    // Let in again, it is greeted, and all comes.
    rule(&mut net, 0, Rule::ForgetPeer(peer));
    net.run(60_000);
    assert_eq!(net.list(0).len(), 200);
}

/// The cursor of `Since` passes what is not shown: it once looked at all of it in one step, and again at each call.
#[test]
fn what_is_not_shown_is_passed_in_steps() {
    let (mut net, chain, enemy) = with_enemy(39, 2);
    let spammer = author(1);
    let mut previous = None;
    for number in 0..40_u64 {
        let parents = if previous.is_none() { vec![chain.into()] } else { Vec::new() };
        let spam = block(chain, parents, previous, &spammer, b"spam");
        push(&mut net, enemy, 0, &spam);
        previous = Some((spam.id(), number));
    }
    net.run(30_000);
    let after = net.post(0, b"shown");
    rule(&mut net, 0, Rule::BlockAuthor(spammer.public()));
    let since = |net: &mut Net, from: u64, limit: usize| match net
        .call(0, ChainCommand::Since { chain: "c".into(), from, limit })
        .unwrap()
    {
        ChainAnswer::Arrived { entries, next } => (entries, next),
        other => panic!("{other:?}"),
    };
    let (mut from, mut steps, mut shown) = (0, 0, Vec::new());
    loop {
        let (entries, next) = since(&mut net, from, 10);
        assert!(next <= from.max(1) + 10, "a step from {from} went to {next}");
        shown.extend(entries);
        if next == from {
            break;
        }
        (from, steps) = (next, steps + 1);
    }
    assert_eq!((from, shown.len(), shown[1].id), (43, 2, after));
    assert!((4..=6).contains(&steps), "{steps}");
    // What is behind the cursor is not looked at again.
    assert_eq!(since(&mut net, from, 10), (Vec::new(), from));
    let last = net.post(0, b"shown, too");
    let (entries, next) = since(&mut net, from, 10);
    assert_eq!((entries.len(), entries[0].id, next), (1, last, 44));

    let count = |net: &mut Net, query: Query| match net
        .call(0, ChainCommand::Count { chain: "c".into(), query: Box::new(query), after: None })
        .unwrap()
    {
        ChainAnswer::Counted(_, counted) => counted.blocks,
        other => panic!("{other:?}"),
    };
    assert_eq!(count(&mut net, Query::default()), 3);
    assert_eq!(count(&mut net, Query { author: Some(spammer.public()), ..Query::default() }), 0);
    rule(&mut net, 0, Rule::ForgetAuthor(spammer.public()));
    assert_eq!(count(&mut net, Query::default()), 43, "the genesis is not counted");
}
