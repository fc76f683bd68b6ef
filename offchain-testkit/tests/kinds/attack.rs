//! The attack of a public code or file with a group's id, in its three forms: nothing leaves, nothing comes in.

use offchain_testkit::{NodeId, World};
use walytis_core::{BlockId, ChainId, RawBlock, chains::Owner};
use walytis_engine::public::{ArchiveAnswer, ArchiveCommand, ChainAnswer, ChainCommand, PublicError, PublicMessage};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_offchain::{Answer, Command, EngineError, Ticket};

use crate::common::*;
use crate::stranger::{Stranger, block, scene, verified};

fn ask_to_join(world: &mut World, node: NodeId, code: String) -> Ticket {
    world.ask(node, Command::Chain(ChainCommand::Join { code, name: Some("news".into()) }))
}

fn public(world: &mut World, node: NodeId, command: ChainCommand) -> Result<ChainAnswer, PublicError> {
    match world.call(node, Command::Chain(command), LONG_MS).expect("it is answered") {
        Ok(Answer::Chain(answer)) => Ok(answer),
        Err(EngineError::Public(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn genesis_of(world: &World, node: NodeId, chain: ChainId) -> RawBlock {
    let view = walytis_core::Pending::new(world.reading(node).expect("a store"));
    let genesis = walytis_core::chains::block(&view, chain.into()).expect("a store").expect("it is here");
    genesis.block.raw().clone()
}

/// Nothing private left the honest nodes, the stranger was sent none of the group's blocks, the group works, and its stores
/// hold what they should.
fn assert_unharmed(world: &mut World, members: [NodeId; 2], stranger: &mut Stranger, group: ChainId) {
    let id = post(world, members[1], "friends", b"after it");
    converge(world, "friends", &members);
    assert!(ids(&list(world, members[0], "friends")).contains(&id), "the founder has the victim's post");
    for message in Stranger::everything(group) {
        stranger.say(world, members[1], &message);
    }
    world.run_for(60_000);
    assert_eq!(world.leaks(), [], "nothing leaves outside of a session");
    assert!(world.looked_at_for_leaks() > 0);
    for node in members {
        assert_sound(world, node);
    }
    let lengths = members.map(|node| details(world, node, "friends").summary.blocks);
    assert_eq!(lengths[0], lengths[1], "no stranger's block is in");
}

/// Whoever writes rows is refused what is of another kind than its chain, whatever was asked before.
#[test]
fn no_block_enters_a_chain_of_another_kind() {
    let (world, [founder, _], _, group) = scene(500);
    let mut view = walytis_core::Pending::new(world.reading(founder).expect("a store"));
    let refused = walytis_core::chains::insert(&mut view, &verified(group, vec![group.into()]));
    assert!(matches!(refused, Err(walytis_core::ChainError::Rule { .. })), "{refused:?}");
    assert!(view.close_step().is_none(), "nothing is written");
}

/// First the public join, then the group's: the group's is refused, until the false one is deleted.
#[test]
fn a_group_is_not_joined_while_its_id_is_joined_as_a_public_chain() {
    let (mut world, [founder, victim], mut stranger, group) = scene(81);
    let code = stranger.code(&world, group);
    let waits = ask_to_join(&mut world, victim, code);
    stranger.hold_join(&mut world, victim, group, 8);
    assert!(!world.has_answer(victim, waits), "the stranger keeps it going");

    let invitation = invite(&mut world, founder, "friends", 2);
    let refused = join(&mut world, victim, &invitation, "friends");
    assert_eq!(refused, Err(EngineError::OtherKind(Owner::JoiningPublic)));
    assert!(refused.expect_err("refused").to_string().contains("walytis chain"), "it says what to do");

    let deleted = public(&mut world, victim, ChainCommand::Delete { chain: "news".into() });
    assert_eq!(deleted, Ok(ChainAnswer::Deleted { blocks: 0 }));
    let ended = world.take_answer(victim, waits).expect("the join is ended");
    assert_eq!(ended, Err(EngineError::Public(PublicError::Leaving)));
    join(&mut world, victim, &invitation, "friends").expect("the id is free again");
    assert_unharmed(&mut world, [founder, victim], &mut stranger, group);
}

/// First the group, then the public join or import of its id, or of a member's identity's.
#[test]
fn a_private_chain_is_not_joined_or_imported_as_a_public_one() {
    let (mut world, [founder, victim], mut stranger, group) = scene(82);
    let invitation = invite(&mut world, founder, "friends", 2);
    join(&mut world, victim, &invitation, "friends").expect("the invitation admits");
    let identity = world.identity(founder);
    let expected = |owner| Err(PublicError::OtherKind(owner));
    for (chain, owner) in [(group, Owner::Group), (identity.user, Owner::Identity), (identity.device, Owner::Identity)]
    {
        let code = stranger.code(&world, chain);
        let joined = public(&mut world, victim, ChainCommand::Join { code, name: None });
        assert_eq!(joined, expected(owner));
        let own = genesis_of(&world, founder, chain);
        for blocks in [vec![], vec![own], vec![block(chain, vec![BlockId(chain.0)])]] {
            let take = ArchiveCommand::Take { chain, name: None, blocks };
            assert_eq!(public(&mut world, victim, ChainCommand::Archive(take)), expected(owner));
        }
    }
    assert_eq!(public(&mut world, victim, ChainCommand::Chains), Ok(ChainAnswer::Chains(vec![])));
    assert_unharmed(&mut world, [founder, victim], &mut stranger, group);
}

/// A file of a group whose id nobody here knows yet.
#[test]
fn a_file_of_a_private_chain_is_refused_where_nobody_knows_it() {
    let (mut world, [founder, victim], mut stranger, group) = scene(83);
    for blocks in [vec![genesis_of(&world, founder, group)], vec![block(group, vec![BlockId(group.0)])]] {
        let take = ArchiveCommand::Take { chain: group, name: None, blocks };
        match public(&mut world, victim, ChainCommand::Archive(take)) {
            Ok(ChainAnswer::Archive(ArchiveAnswer::Taken { chain: None, new: 0, refused: Some(_), .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    let invitation = invite(&mut world, founder, "friends", 1);
    join(&mut world, victim, &invitation, "friends").expect("nothing is left of the files");
    assert_unharmed(&mut world, [founder, victim], &mut stranger, group);
}

/// The genesis of a private chain comes by public frames to who joins it as a public one: before a restart, and after one.
#[test]
fn a_public_join_ends_with_an_error_once_its_genesis_is_a_private_chains() {
    for restarted in [false, true] {
        let (mut world, [founder, victim], mut stranger, group) = scene(84);
        let genesis = genesis_of(&world, founder, group);
        let code = stranger.code(&world, group);
        let waits = ask_to_join(&mut world, victim, code);
        stranger.hold_join(&mut world, victim, group, 4);
        if restarted {
            world.kill(victim);
            world.start(victim).expect("a sound store");
            world.run_for(1_000);
            let Ok(ChainAnswer::Chains(chains)) = public(&mut world, victim, ChainCommand::Chains) else { panic!() };
            assert_eq!(chains.len(), 1, "the row stays");
        }
        let wire = WireBlock { block: genesis, attachment: None, foreign: Vec::new() };
        let push = SyncMessage::Push { chain: group, block: wire };
        stranger.say(&mut world, victim, &PublicMessage::Sync(push));
        world.run_for(1_000);
        if !restarted {
            let ended = world.take_answer(victim, waits).expect("the join is ended");
            assert_eq!(ended, Err(EngineError::Public(PublicError::PrivateGenesis)));
        }
        assert_eq!(public(&mut world, victim, ChainCommand::Chains), Ok(ChainAnswer::Chains(vec![])));
        let invitation = invite(&mut world, founder, "friends", 1);
        join(&mut world, victim, &invitation, "friends").expect("the id is free again");
        assert_unharmed(&mut world, [founder, victim], &mut stranger, group);
    }
}

/// The id of an identity is being joined as a public chain when a group's admission brings that identity's chain: the group
/// is not kept back, and the join ends. So after a restart.
#[test]
fn an_identity_that_comes_with_a_group_ends_a_public_join_of_its_id() {
    for restarted in [false, true] {
        let (mut world, [founder, victim], mut stranger, group) = scene(85);
        let identity = world.identity(founder).user;
        let code = stranger.code(&world, identity);
        let waits = ask_to_join(&mut world, victim, code);
        stranger.hold_join(&mut world, victim, identity, 4);
        if restarted {
            world.kill(victim);
            world.start(victim).expect("a sound store");
            world.run_for(1_000);
        }
        let invitation = invite(&mut world, founder, "friends", 1);
        join(&mut world, victim, &invitation, "friends").expect("the invitation admits");
        if !restarted {
            let ended = world.take_answer(victim, waits).expect("the join is ended");
            assert_eq!(ended, Err(EngineError::Public(PublicError::OtherKind(Owner::Identity))));
        }
        assert_eq!(public(&mut world, victim, ChainCommand::Chains), Ok(ChainAnswer::Chains(vec![])));
        for message in Stranger::everything(identity) {
            stranger.say(&mut world, victim, &message);
        }
        world.guard_chain(identity);
        assert_unharmed(&mut world, [founder, victim], &mut stranger, group);
    }
}
