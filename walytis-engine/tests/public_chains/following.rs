//! Founding, joining, appending, catching up, deleting.

use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng as _;
use walytis_core::chains::MERGED_MAX;
use walytis_core::{Address, BlockId};
use walytis_engine::Progress;
use walytis_engine::public::{ChainAnswer, ChainCode, ChainCommand, ChainLimit, PublicError, Sharing, Standing};

use crate::net::Net;

#[test]
fn a_chain_is_founded_joined_and_shared() {
    let mut net = Net::new(1, 3);
    net.found(0);
    let first = net.post(0, b"one");
    let code = net.invite(0, Some(2), Sharing::Inviter);
    net.join(1, &code).unwrap();
    assert!(matches!(
        net.progress(1),
        [Progress::Dialling, Progress::Asking, Progress::Receiving { blocks: 2, .. }, ..]
    ));
    let second = net.post(1, b"two");
    net.run(100);
    let entries = net.list(0);
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(entries[1].content, b"two");
    assert_eq!(entries[1].topics, [b"t"]);
    assert_ne!(entries[0].author, entries[1].author);
    assert!(matches!(net.join(0, &code), Err(PublicError::AlreadyFollowed(name)) if name == "c"));
    // By id, as by name.
    let chain = net.details(0).summary.chain.to_string();
    assert!(net.call(0, ChainCommand::Show { chain }).is_ok());
    assert!(matches!(net.call(2, ChainCommand::Show { chain: "c".into() }), Err(PublicError::Unknown(_))));
    // An author's key is made for one chain.
    net.call(0, ChainCommand::New { name: "d".into() }).unwrap();
    let other = match net.call(0, ChainCommand::Show { chain: "d".into() }).unwrap() {
        ChainAnswer::Details(details) => details,
        other => panic!("{other:?}"),
    };
    assert_ne!(other.author, net.details(0).author);
    assert!(matches!(net.call(0, ChainCommand::New { name: "d".into() }), Err(PublicError::NameTaken(_))));
    assert!(matches!(net.call(0, ChainCommand::New { name: "a".repeat(65) }), Err(PublicError::BadName)));
    assert!(matches!(net.call(0, ChainCommand::New { name: "ab".repeat(32) }), Err(PublicError::BadName)));
}

/// C1, C2, B4, B6, D1, D2: whatever the order, cuts and restarts, equal sets and equal listings at the end, and each
/// block was delivered once, after its parents.
#[test]
fn random_schedules_converge() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 5);
        net.all_join();
        let mut subscribed = BTreeMap::new();
        for node in 0..5 {
            subscribed.insert(node, net.ask(node, ChainCommand::Subscribe { chain: "c".into() }));
        }
        net.run(10);
        let mut posted = 5_u64;
        for step in 0..120_u64 {
            let node = usize::try_from(net.rng.next_u64() % 5).unwrap();
            let other = usize::try_from(net.rng.next_u64() % 5).unwrap();
            match net.rng.next_u64() % 20 {
                0 | 1 if node != other => net.cut(node, other),
                2 => net.mend(),
                3 => {
                    net.kill(node);
                    net.start(node);
                    subscribed.remove(&node);
                }
                _ => {
                    net.post(node, &step.to_le_bytes());
                    posted += 1;
                }
            }
            let pause = net.rng.next_u64() % 300;
            net.run(pause);
        }
        net.mend();
        net.run(180_000);
        let all = net.list(0);
        assert_eq!(all.len() as u64, posted - 5, "seed {seed}: H1, nothing that was acknowledged is lost");
        let heads = net.details(0).heads;
        for node in 1..5 {
            assert_eq!(net.list(node), all_of(&all, &net.list(node)), "seed {seed}: node {node} lists the same");
            assert_eq!(net.details(node).heads, heads, "seed {seed}: node {node}");
        }
        for (node, ticket) in subscribed {
            let delivered: Vec<BlockId> = net.delivered(node).iter().map(|(_, entry)| entry.id).collect();
            assert!(net.delivered(node).iter().all(|(of, _)| *of == ticket));
            let positions: Vec<u64> = net.delivered(node).iter().map(|(_, entry)| entry.position).collect();
            assert!(positions.is_sorted_by(|a, b| a < b), "seed {seed}: parents first, each once");
            assert_eq!(delivered.len(), all.len(), "seed {seed}: node {node}");
        }
        (0..5).for_each(|node| net.check(node));
        for node in 0..5 {
            assert!(net.details(node).equivocations.is_empty(), "seed {seed}: nobody forked");
        }
    }
}

/// The entries of one listing with the positions of another, which are each node's own.
fn all_of(
    all: &[walytis_engine::public::ChainEntry],
    positions: &[walytis_engine::public::ChainEntry],
) -> Vec<walytis_engine::public::ChainEntry> {
    let mut entries = all.to_vec();
    for (entry, other) in entries.iter_mut().zip(positions) {
        entry.position = other.position;
    }
    entries
}

#[test]
fn a_long_chain_comes_in_portions_and_goes_on_where_it_broke() {
    let mut net = Net::new(7, 3);
    net.found(0);
    for number in 0..300_u32 {
        net.post(0, &[u8::try_from(number % 251).unwrap(); 4000]);
    }
    let code = net.invite(0, None, Sharing::Inviter);
    // Broken off while it receives.
    let ticket = net.ask(1, ChainCommand::Join { code: code.clone(), name: Some("c".into()) });
    while !net.progress(1).iter().any(|progress| matches!(progress, Progress::Receiving { .. })) {
        net.run(5);
    }
    net.kill(1);
    net.start(1);
    assert!(net.answer(1, ticket).is_none());
    let chains = match net.call(1, ChainCommand::Chains).unwrap() {
        ChainAnswer::Chains(chains) => chains,
        other => panic!("{other:?}"),
    };
    let before = chains[0].blocks;
    assert_eq!(chains[0].standing, Standing::Joining);
    assert!((1..300).contains(&before), "{before} have arrived");
    let post = ChainCommand::Post { chain: "c".into(), topics: Vec::new(), content: Vec::new() };
    assert!(matches!(net.call(1, post), Err(PublicError::NotJoined)));
    let frames = net.frames;
    net.join(1, &code).unwrap();
    assert_eq!(net.details(1).summary.blocks, 301);
    assert!(net.frames - frames < 30, "{} frames: what was here did not come again", net.frames - frames);
    assert_eq!(net.list(0).len(), net.list(1).len());
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Portion));
}

#[test]
fn a_node_that_comes_back_catches_up_without_a_new_block() {
    let mut net = Net::new(3, 2);
    net.all_join();
    net.kill(1);
    for number in 0..20_u8 {
        net.post(0, &[number]);
    }
    net.start(1);
    net.run(5_000);
    assert_eq!(net.list(1).len(), 20);
    assert!(net.details(1).peers.iter().any(|peer| peer.connected && peer.last_seen_ms > 0));
}

#[test]
fn a_deleted_chain_leaves_nothing_behind() {
    let mut net = Net::new(4, 2);
    let empty = net.store(1).rows();
    net.found(0);
    for number in 0..1500_u32 {
        net.post(0, &number.to_le_bytes());
    }
    let code = net.invite(0, None, Sharing::Inviter);
    net.join(1, &code).unwrap();
    net.run(1_000);
    let subscription = net.ask(1, ChainCommand::Subscribe { chain: "c".into() });
    net.run(10);
    // Killed in the midst of it: it goes on by itself.
    let ticket = net.ask(1, ChainCommand::Delete { chain: "c".into() });
    net.run(2);
    assert_eq!(net.ended(1), [subscription]);
    net.kill(1);
    // Without room for it, the node does all else.
    net.start(1);
    net.put_off_removals(1);
    net.run(1_000);
    assert_eq!(net.details(1).summary.standing, Standing::Leaving);
    assert!(net.details(1).summary.blocks > 1400, "the first steps are small");
    net.kill(1);
    net.start(1);
    assert!(net.answer(1, ticket).is_none());
    net.run(1_000);
    let mut left = net.store(1).rows();
    left.remove("core.node");
    // The node's own.
    left.remove("public.decoys");
    let mut before = empty.clone();
    before.remove("core.node");
    assert_eq!(left, before, "no row is left");
    // It can be joined again.
    net.join(1, &code).unwrap();
    assert_eq!(net.details(1).summary.blocks, 1501);
    assert!(matches!(
        net.call(1, ChainCommand::Delete { chain: "c".into() }),
        Ok(ChainAnswer::Deleted { blocks: 1501 })
    ));
    assert!(matches!(net.call(1, ChainCommand::Chains), Ok(ChainAnswer::Chains(chains)) if chains.is_empty()));
    // Whoever asks for what was cut short is told when it is done, even if it was put off.
    net.join(1, &code).unwrap();
    net.ask(1, ChainCommand::Delete { chain: "c".into() });
    net.run(2);
    net.kill(1);
    net.start(1);
    net.put_off_removals(1);
    let again = net.call(1, ChainCommand::Delete { chain: "c".into() });
    assert!(matches!(again, Ok(ChainAnswer::Deleted { blocks }) if (1..1501).contains(&blocks)), "{again:?}");
}

#[test]
fn more_heads_than_a_message_names_are_told_in_time() {
    let mut net = Net::new(9, 2);
    net.all_join();
    net.take_over(1);
    // Many authors write at once, behind the genesis: a fan.
    crate::hostile::fan(&mut net, 1, 0, 400);
    net.run(2_000);
    assert_eq!((net.details(0).heads.len(), net.details(0).head_count), (256, 400), "what is shown is bounded");
    net.kill(1);
    net.start(1);
    net.run(120_000);
    assert_eq!(net.heads(1), net.heads(0));
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Heads));
    // The next block merges some of them, and is a head itself.
    net.post(0, b"merge");
    assert_eq!(net.details(0).head_count, 400 - MERGED_MAX as u64 + 1);
}

/// Whoever else follows the chain may have sent the blocks before the inviter was asked.
#[test]
fn a_join_is_done_whoever_sent_the_blocks() {
    for seed in 0..40 {
        let mut net = Net::new(seed, 5);
        net.all_join();
        net.call(4, ChainCommand::Delete { chain: "c".into() }).unwrap();
        for other in 0..4 {
            net.cut(4, other);
        }
        net.mend();
        net.post(2, b"news");
        net.run(500);
        let code = net.invite(0, None, Sharing::Inviter);
        let ticket = net.ask(4, ChainCommand::Join { code, name: Some("c".into()) });
        net.run(1);
        for other in 1..4 {
            net.link(4, other);
        }
        net.run(10_000);
        let joined = net.answer(4, ticket).unwrap_or_else(|| panic!("seed {seed}: it is not done"));
        joined.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(net.list(4).len(), 1);
    }
}

/// An inviter that was met where it dialled us from, and has told no addresses, is found again by those of its invitation.
#[test]
fn where_an_invitation_says_that_its_inviter_is_is_remembered() {
    let mut net = Net::new(6, 2);
    net.found(0);
    for number in 0..9 {
        net.post(0, &[number]);
    }
    let mut code: ChainCode = net.invite(0, None, Sharing::Inviter).parse().unwrap();
    let inviter = net.peer(0);
    let at = |place: &str| Address::new(format!("/memory/{place}/p2p/{inviter}")).unwrap();
    let elsewhere = Address::new(format!("/memory/7/p2p/{}", net.peer(1))).unwrap();
    code.inviters[0].addresses = vec![at("old"), elsewhere, at("0")];
    net.link(0, 1);
    net.run(100);
    net.join(1, &code.to_text()).unwrap();
    let peers = net.details(1).peers;
    let known = peers.iter().find(|known| known.peer == inviter).unwrap();
    assert_eq!(known.addresses, [at("0"), at("old")], "behind where it was met, and nobody else's");
    net.run(1000);
    net.kill(1);
    net.start(1);
    let peers = net.details(1).peers;
    assert!(peers.iter().any(|known| known.addresses.contains(&at("old"))), "also after a restart");
}
