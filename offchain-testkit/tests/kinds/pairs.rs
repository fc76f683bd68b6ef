//! Every public command and message with a private chain's id, and every group's command and message with a public chain's:
//! before, during and after a join of either kind, and after a restart.

use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::chains::Owner;
use walytis_core::query::{AncestryWalk, IdPrefix, Query};
use walytis_core::{BlockId, ChainId, FormatVersion, Pending, chains};
use walytis_engine::public::{
    ArchiveAnswer, ArchiveCommand, ChainAnswer, ChainCommand, DeliveryCommand, PublicError, Rule, Sharing, Start,
};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::{Did, InvitationCode, InvitationSecret, Inviter};
use walytis_offchain::{Answer, Command, EngineError, Message};

use crate::common::*;
use crate::stranger::{Stranger, block, scene};

/// What the victim is doing with the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    PublicJoin,
    PublicJoinCutShort,
    GroupJoin,
    Kept,
    KeptSinceARestart,
}

const ALWAYS: [When; 6] =
    [When::Before, When::PublicJoin, When::PublicJoinCutShort, When::GroupJoin, When::Kept, When::KeptSinceARestart];

fn restart(world: &mut World, node: NodeId) {
    world.kill(node);
    world.start(node).expect("a sound store");
    world.run_for(1_000);
}

/// Every public command that names a chain; those that change most come last.
fn public_commands(chain: ChainId, code: String) -> Vec<(&'static str, ChainCommand)> {
    let id = chain.to_string();
    let kept = || id.as_str().into();
    let genesis = BlockId(chain.0);
    let take = |blocks| ArchiveCommand::Take { chain, name: None, blocks };
    vec![
        ("show", ChainCommand::Show { chain: id.clone() }),
        ("post", ChainCommand::Post { chain: id.clone(), topics: vec![], content: b"x".to_vec() }),
        ("list", ChainCommand::List { chain: kept(), query: Box::new(Query::default()), after: None, limit: 9 }),
        ("count", ChainCommand::Count { chain: kept(), query: Box::new(Query::default()), after: None }),
        ("ancestry", {
            let walk = Box::new(AncestryWalk::between(genesis, genesis));
            ChainCommand::Ancestry { chain: kept(), walk }
        }),
        ("since", ChainCommand::Since { chain: kept(), from: 0, limit: 9 }),
        ("subscribe", ChainCommand::Subscribe { chain: id.clone() }),
        ("invite", ChainCommand::Invite { chain: id.clone(), uses: Some(1), sharing: Sharing::Joiners }),
        ("invitations", ChainCommand::Invitations { chain: id.clone() }),
        ("revoke", ChainCommand::Revoke { chain: id.clone(), invitation: 0 }),
        ("upgrade", ChainCommand::Upgrade { chain: id.clone(), version: FormatVersion::V2 }),
        ("open", {
            let (chain, name) = (id.clone(), "reader".to_owned());
            ChainCommand::Delivery(DeliveryCommand::Open { chain, name, start: Start::Beginning })
        }),
        ("subscriptions", ChainCommand::Delivery(DeliveryCommand::List { chain: id.clone() })),
        ("read", ChainCommand::Archive(ArchiveCommand::Read { chain: kept(), from: 0 })),
        ("find", {
            let id = IdPrefix::default();
            ChainCommand::Archive(ArchiveCommand::Find { chain: kept(), id, after: None })
        }),
        ("rule", ChainCommand::Rule { chain: id.clone(), rule: Rule::ServeAnyone }),
        ("take nothing", ChainCommand::Archive(take(vec![]))),
        ("take", ChainCommand::Archive(take(vec![block(chain, vec![genesis])]))),
        ("join", ChainCommand::Join { code, name: None }),
        ("delete", ChainCommand::Delete { chain: id.clone() }),
    ]
}

/// Whether this is how a public command about a private chain's id ends.
fn ends_well(when: When, name: &str, owner: Owner, answer: &Result<ChainAnswer, PublicError>) -> bool {
    let takes_nothing = |answer: &Result<ChainAnswer, PublicError>| {
        matches!(answer, Ok(ChainAnswer::Archive(ArchiveAnswer::Taken { new: 0, known: 0, .. })))
    };
    match (when, name) {
        // Nobody knows the id: what is taken has no genesis.
        (When::Before, "take" | "take nothing") => takes_nothing(answer),
        (When::Before, _) => matches!(answer, Err(PublicError::Unknown(_))),
        // There is an empty row, which can be looked at and deleted.
        (When::PublicJoin, "take" | "take nothing") => *answer == Err(PublicError::AlreadyJoining),
        (When::PublicJoin, "join") => *answer == Err(PublicError::AlreadyJoining),
        (When::PublicJoinCutShort, "take" | "take nothing") => takes_nothing(answer),
        (When::PublicJoin | When::PublicJoinCutShort, "show") => {
            matches!(answer, Ok(ChainAnswer::Details(details)) if details.summary.blocks == 0 && details.heads.is_empty())
        }
        (When::PublicJoin | When::PublicJoinCutShort, "rule") => *answer == Ok(ChainAnswer::Done),
        (When::PublicJoin | When::PublicJoinCutShort, "delete") => *answer == Ok(ChainAnswer::Deleted { blocks: 0 }),
        (When::PublicJoin | When::PublicJoinCutShort, _) => {
            matches!(answer, Err(PublicError::NotJoined | PublicError::Unknown(_)))
        }
        // It is somebody else's.
        (_, "take" | "take nothing" | "join") => *answer == Err(PublicError::OtherKind(owner)),
        _ => matches!(answer, Err(PublicError::Unknown(_))),
    }
}

/// Brings the victim there. Returns whose the id is then.
fn arrange(
    world: &mut World,
    [founder, victim]: [NodeId; 2],
    stranger: &mut Stranger,
    chain: ChainId,
    when: When,
) -> Option<Owner> {
    let is_group = chain == group_id(world, founder, "friends");
    let kept = if is_group { Owner::Group } else { Owner::Identity };
    match when {
        When::Before => None,
        When::PublicJoin | When::PublicJoinCutShort => {
            let code = stranger.code(world, chain);
            world.ask(victim, Command::Chain(ChainCommand::Join { code, name: None }));
            stranger.hold_join(world, victim, chain, 4);
            if when == When::PublicJoinCutShort {
                restart(world, victim);
            }
            Some(Owner::JoiningPublic)
        }
        When::GroupJoin => {
            // A code for any id, whose inviter is there and says nothing.
            let secret = InvitationSecret::from_bytes(&[6; 16]);
            let peer = world.identity(stranger.node).peer;
            let inviter = Inviter { peer, addresses: vec![world.address(stranger.node)] };
            let code = InvitationCode::new(chain, secret, vec![inviter]).expect("a short code").to_text();
            world.ask(victim, Command::Join { code, name: None });
            world.run_for(200);
            Some(Owner::JoiningGroup)
        }
        When::Kept | When::KeptSinceARestart => {
            let invitation = invite(world, founder, "friends", 1);
            join(world, victim, &invitation, "friends").expect("the invitation admits");
            if when == When::KeptSinceARestart {
                restart(world, victim);
            }
            Some(kept)
        }
    }
}

#[test]
fn no_public_command_or_message_reaches_a_private_chain() {
    for when in ALWAYS {
        for (number, which) in ["group", "user", "device"].into_iter().enumerate() {
            let (mut world, members, mut stranger, group) = scene(100 + number as u64);
            let [founder, victim] = members;
            let identity = world.identity(founder);
            let chain = [group, identity.user, identity.device][number];
            world.guard_chain(chain);
            let owner = arrange(&mut world, members, &mut stranger, chain, when);
            let at = |world: &World| {
                let view = Pending::new(world.reading(victim).expect("a store"));
                (chains::owner(&view, chain).expect("a store"), chains::length(&view, chain).expect("a store"))
            };
            let before = at(&world);
            assert_eq!(before.0, owner, "{which}, {when:?}");
            for message in Stranger::everything(chain) {
                stranger.say(&mut world, victim, &message);
            }
            assert_eq!(at(&world), before, "no message changes anything: {which}, {when:?}");
            let code = stranger.code(&world, chain);
            for (name, command) in public_commands(chain, code) {
                // Such joins go on; what becomes of them is in `attack.rs`.
                if name == "join" && matches!(when, When::Before | When::PublicJoinCutShort) {
                    continue;
                }
                let answer = match world.call(victim, Command::Chain(command), 1_000).expect("it is answered") {
                    Ok(Answer::Chain(answer)) => Ok(answer),
                    Err(EngineError::Public(error)) => Err(error),
                    other => panic!("{name}: {other:?}"),
                };
                let owner = owner.unwrap_or(Owner::Public);
                assert!(ends_well(when, name, owner, &answer), "{name} of a {which}'s id, {when:?}: {answer:?}");
                assert_eq!(at(&world).1, before.1, "{name} of a {which}'s id, {when:?}");
            }
            for message in Stranger::everything(chain) {
                stranger.say(&mut world, victim, &message);
            }
            world.run_for(70_000);
            assert_eq!(world.leaks(), [], "of a {which}'s id, {when:?}");
            assert_sound(&world, victim);
            let invitation = invite(&mut world, founder, "friends", 1);
            match join(&mut world, victim, &invitation, "friends") {
                Ok(_) | Err(EngineError::AlreadyMember(_)) => {}
                other => panic!("{which}, {when:?}: {other:?}"),
            }
        }
    }
}

/// Every command about a group.
fn group_commands(chain: ChainId) -> Vec<(&'static str, Command)> {
    let group = Did(chain).to_string();
    let genesis = BlockId(chain.0);
    vec![
        ("group", Command::Group { group: group.clone() }),
        ("invite", Command::Invite { group: group.clone(), uses: 1 }),
        ("post", Command::Post { group: group.clone(), topics: vec![], content: b"x".to_vec() }),
        ("list", Command::List { group: group.clone(), after: None, below: None, topic: None }),
        ("since", Command::Since { group: group.clone(), from: 0, limit: 9 }),
        ("block", Command::Block { group: group.clone(), id: genesis }),
        ("subscribe", Command::Subscribe { group }),
    ]
}

/// Every message about a chain in a session.
fn session_messages(chain: ChainId) -> Vec<SyncMessage> {
    let genesis = BlockId(chain.0);
    let wire = || WireBlock { block: block(chain, vec![genesis]), attachment: None, foreign: Vec::new() };
    vec![
        SyncMessage::Heads { chain, heads: vec![BlockId([9; 32])] },
        SyncMessage::Pull { chain, have: vec![] },
        SyncMessage::More { chain },
        SyncMessage::Portion { chain, blocks: vec![wire()], left: 5 },
        SyncMessage::Push { chain, block: wire() },
        SyncMessage::WantAttachments { chain, ids: vec![genesis] },
        SyncMessage::Attachment { chain, id: genesis, attachment: b"x".to_vec().into() },
    ]
}

fn group_code(world: &World, inviter: NodeId, chain: ChainId) -> String {
    let inviter = Inviter { peer: world.identity(inviter).peer, addresses: vec![world.address(inviter)] };
    let secret = InvitationSecret::from_bytes(&[6; 16]);
    InvitationCode::new(chain, secret, vec![inviter]).expect("a short code").to_text()
}

/// A public chain of a founder's, which the victim joins as `when` says, and a member of the victim's group that is hostile.
fn public_scene(seed: u64, when: When) -> (World, [NodeId; 2], Puppet, ChainId) {
    let (mut world, [founder, victim, enemy], puppet, _) = possessed::<3>(seed, "friends", 1..2);
    let mut call = |node, command| match ok(world.call(node, Command::Chain(command), LONG_MS)) {
        Answer::Chain(answer) => answer,
        other => panic!("{other:?}"),
    };
    let ChainAnswer::Chain(summary) = call(founder, ChainCommand::New { name: "news".into() }) else { panic!() };
    let invite = ChainCommand::Invite { chain: "news".into(), uses: None, sharing: Sharing::Inviter };
    let ChainAnswer::Invitation(invitation) = call(founder, invite) else { panic!() };
    let join = ChainCommand::Join { code: invitation.code.expect("it listens"), name: None };
    match when {
        When::Before | When::GroupJoin => {}
        When::PublicJoin | When::PublicJoinCutShort => {
            world.pause(founder, 15_000);
            world.ask(victim, Command::Chain(join));
            world.run_for(200);
        }
        When::Kept | When::KeptSinceARestart => drop(call(victim, join)),
    }
    if matches!(when, When::PublicJoinCutShort | When::KeptSinceARestart) {
        restart(&mut world, victim);
    }
    let _ = enemy;
    (world, [founder, victim], puppet, summary.chain)
}

#[test]
fn no_command_or_message_of_groups_reaches_a_public_chain() {
    for when in ALWAYS {
        let (mut world, [_, victim], mut enemy, chain) = public_scene(140, when);
        let enemys = enemy.node();
        if when == When::GroupJoin {
            world.pause(enemys, 15_000);
            let code = group_code(&world, enemys, chain);
            world.ask(victim, Command::Join { code, name: Some("false".into()) });
            world.run_for(200);
        }
        let length = |world: &World| {
            let view = Pending::new(world.reading(victim).expect("a store"));
            chains::length(&view, chain).expect("a store")
        };
        let before = length(&world);
        for (name, command) in group_commands(chain) {
            let answer = world.call(victim, command, 1_000).expect("it is answered");
            assert!(matches!(answer, Err(EngineError::UnknownGroup(_))), "{name}, {when:?}: {answer:?}");
        }
        let expected = match when {
            When::Before => None,
            When::PublicJoin | When::PublicJoinCutShort => Some(EngineError::OtherKind(Owner::JoiningPublic)),
            When::GroupJoin => Some(EngineError::AlreadyJoining),
            When::Kept | When::KeptSinceARestart => Some(EngineError::OtherKind(Owner::Public)),
        };
        if let Some(expected) = expected {
            let code = group_code(&world, enemys, chain);
            let answer = world.call(victim, Command::Join { code, name: Some("false".into()) }, 1_000);
            assert_eq!(answer, Some(Err(expected)), "{when:?}");
        }
        if when != When::GroupJoin {
            let group = group_id(&mut world, victim, "friends");
            for message in session_messages(chain) {
                assert!(enemy.has_session(&world, victim) || enemy.open_session(&mut world, victim, group));
                enemy.tell(&mut world, victim, &Message::Sync(message));
                enemy.listen(&mut world, 100);
            }
            assert_eq!(enemy.served(chain), 0, "nothing is said of it in a session: {when:?}");
        }
        assert_eq!(length(&world), before, "{when:?}");
        assert_sound(&world, victim);
    }
}

/// The inviter of a group's code has a public chain under its id: the join ends with a clear error, and the id is free.
#[test]
fn a_group_join_ends_with_an_error_once_its_genesis_is_a_public_chains() {
    let (mut world, [founder, victim], mut enemy, chain) = public_scene(150, When::Before);
    let view = Pending::new(world.reading(founder).expect("a store"));
    let genesis = chains::block(&view, chain.into()).expect("a store").expect("it is here");
    let code = group_code(&world, enemy.node(), chain);
    let waits = world.ask(victim, Command::Join { code, name: Some("false".into()) });
    let portion = || {
        let wire = WireBlock { block: genesis.block.raw().clone(), attachment: None, foreign: Vec::new() };
        Message::Sync(SyncMessage::Portion { chain, blocks: vec![wire], left: 0 })
    };
    for _ in 0..40 {
        for (_, message) in enemy.listen(&mut world, 100) {
            match message {
                Message::Join(_) => drop(enemy.tell(&mut world, victim, &Message::Joined)),
                Message::Sync(SyncMessage::Pull { .. }) => drop(enemy.tell(&mut world, victim, &portion())),
                _ => {}
            }
        }
    }
    assert_eq!(world.take_answer(victim, waits), Some(Err(EngineError::PublicGenesis)));
    let view = Pending::new(world.reading(victim).expect("a store"));
    assert_eq!(chains::owner(&view, chain), Ok(None), "nothing is left of it");
    assert_eq!(chains::length(&view, chain), Ok(0));
}
