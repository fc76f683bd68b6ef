//! Homes in which an earlier program let a stranger in: a public chain's row under a group's id, a stranger's block in the
//! group, and a post above it that nobody else takes. Rows are written as that program wrote them.

use offchain_testkit::{NodeId, World};
use serde::{Deserialize, Serialize};
use walytis_core::reconcile::Sum;
use walytis_core::{
    BlockId, BlockKind, ChainId, Draft, Hash, KeyRange, Keys, ParsedBlock, Pending, Place, Rows, Table, Timestamp,
    VerifiedBlock, chains, codec,
};
use walytis_engine::public::{ChainAnswer, ChainCommand, PublicError, Standing};
use walytis_identities::keyring;
use walytis_offchain::{Answer, Command, Effect, Engine, EngineError, Event, OpenContent, PrivateBody, Ticket, check};

use crate::common::*;
use crate::stranger::{Stranger, block, scene};

const IDS: Table = Table::hidden("core.ids");
const BLOCKS: Table = Table::permanent("core.blocks");

#[derive(Serialize, Deserialize)]
struct BlockRow {
    generation: u64,
    parents: Vec<u64>,
    operations: Vec<u64>,
    #[serde(with = "serde_bytes")]
    header: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
    content: Option<serde_bytes::ByteBuf>,
    digest: Option<Hash>,
}

#[derive(Serialize, Deserialize)]
struct ChainRow {
    id: ChainId,
    length: u64,
    generations: u64,
    heads: u64,
    newest_sums: [Sum; 2],
    format: u8,
}

fn changing(name: &'static str) -> Table {
    Table::changing(name)
}

fn place(view: &Pending, id: BlockId) -> ([u8; 4], u64) {
    let row = view.get(IDS, &id.0).expect("a store").expect("a block that is here");
    let (chain, position) = row.split_first_chunk::<4>().expect("a place");
    (*chain, u64::from_be_bytes(position.try_into().expect("8 bytes")))
}

/// Adds a block behind one parent as earlier programs did, whatever its kind.
fn insert_unasked(view: &mut Pending, block: &VerifiedBlock, parent: BlockId) {
    let (number, below) = place(view, parent);
    let key = |position: u64| [&number[..], &position.to_be_bytes()].concat();
    let row = |view: &Pending, position| -> BlockRow {
        codec::decode(&view.get(BLOCKS, &key(position)).expect("a store").expect("a row")).expect("a row of a block")
    };
    let above = row(view, below);
    let chain_row = view.get(changing("core.chains"), &number).expect("a store").expect("a chain");
    let mut chain: ChainRow = codec::decode(&chain_row).expect("a row of a chain");
    let position = chain.length;
    let generation = above.generation + 1;
    let is_operation = above.header[1] == 3;
    let inline = block.header().kind != BlockKind::Content;
    let kept = BlockRow {
        generation,
        parents: vec![below],
        operations: if is_operation { vec![below] } else { above.operations },
        header: block.raw().header.clone(),
        signature: block.raw().signature.clone(),
        content: inline.then(|| block.content().to_vec().into()),
        digest: Some(Hash([1; 32])),
    };
    view.put(BLOCKS, key(position), codec::encode(&kept));
    if !inline {
        view.put(Table::permanent("core.contents"), key(position), block.content());
    }
    view.put(IDS, block.id().0, key(position));
    let order = [&number[..], &generation.to_be_bytes(), &position.to_be_bytes()].concat();
    view.put(Table::permanent("core.order"), order, block.id().0);
    let heads = changing("core.heads");
    if view.get(heads, &key(below)).expect("a store").is_some() {
        view.delete(heads, key(below));
    } else {
        chain.heads += 1;
    }
    view.put(heads, key(position), block.id().0);
    chain.length += 1;
    chain.generations = chain.generations.max(generation + 1);
    view.put(changing("core.chains"), number, codec::encode(&chain));
}

/// Makes the row of a public chain that a node founded one of another id, and forgets whose the chains are, as earlier
/// programs did not note it.
fn misfile(world: &World, node: NodeId, from: ChainId, to: ChainId) -> Pending {
    let mut view = Pending::new(world.reading(node).expect("a store"));
    let table = changing("public.chains");
    let mut found = view.scan(table, KeyRange::all(), usize::MAX).expect("a store");
    assert_eq!(found.len(), 1);
    let mut row = found.pop().expect("one");
    assert_eq!(row.value[..32], from.0);
    row.value[..32].copy_from_slice(&to.0);
    view.put(table, row.key, row.value);
    let owners = Table { name: "core.owners", keys: Keys::Hidden, rows: Rows::Changing };
    for chain in chains::all_chains(&view).expect("a store") {
        view.delete(owners, chain.0);
    }
    view
}

/// What a node's own post above a stranger's block is: its header names a block that nobody else takes.
fn poisoned(world: &World, node: NodeId, view: &mut Pending, group: ChainId, parent: BlockId) -> BlockId {
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(5);
    let epoch = *membership(world, node, group).epochs.keys().next().expect("an epoch");
    let content = OpenContent::new(Vec::new(), b"poisoned".to_vec(), &mut rng).expect("small");
    let author = keyring::author(view, group).expect("a member");
    let previous = chains::previous(view, group, author.public()).expect("a store");
    let body = PrivateBody::new(epoch, &content).encode();
    let place = Place::After { chain: group, parents: vec![parent], previous };
    let draft = Draft { kind: BlockKind::Private, place, foreign: vec![], topics: vec![], content: body };
    let own = draft.sign_alone(&author, Timestamp(3)).expect("a well-formed block");
    insert_unasked(view, &own, parent);
    let contents = Table { name: "offchain.contents", keys: Keys::Hidden, rows: Rows::Permanent };
    view.put(contents, own.id().0, content.encode());
    let sealed = Table { name: "offchain.sealed", keys: Keys::Hidden, rows: Rows::Derived };
    let count = view.get(sealed, &epoch.0).expect("a store");
    let count = count.map_or(0, |count| u64::from_le_bytes(count.try_into().expect("8 bytes")));
    view.put(sealed, epoch.0, (count + 1).to_le_bytes());
    own.id()
}

fn public(world: &mut World, node: NodeId, command: ChainCommand) -> Result<ChainAnswer, PublicError> {
    match world.call(node, Command::Chain(command), LONG_MS).expect("it is answered") {
        Ok(Answer::Chain(answer)) => Ok(answer),
        Err(EngineError::Public(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_confused_home_is_found_served_to_nobody_and_made_whole_without_losing_the_group() {
    let (mut world, [founder, other], mut stranger, group) = scene(91);
    let invitation = invite(&mut world, founder, "friends", 1);
    join(&mut world, other, &invitation, "friends").expect("the invitation admits");
    let news = public(&mut world, founder, ChainCommand::New { name: "news".into() });
    let Ok(ChainAnswer::Chain(news)) = news else { panic!("{news:?}") };
    let before: Vec<BlockId> = ids(&list(&mut world, founder, "friends"));
    world.run_for(1_000);
    world.kill(founder);

    let mut view = misfile(&world, founder, news.chain, group);
    let head = *chains::heads(&view, group).expect("a store").first().expect("a head");
    let strange = ParsedBlock::parse(block(group, vec![head])).expect("well-formed").verify(None).expect("signed");
    insert_unasked(&mut view, &strange, head);
    let lost = poisoned(&world, founder, &mut view, group, strange.id());
    let (_, batch) = view.close_step().expect("it changed");
    world.reading(founder).expect("a store").commit(&batch).expect("a sound store");

    // `check` says what is wrong, and how to get out.
    let report = check(world.reading(founder).expect("a store"), &mut |_, _| {}).expect("a store");
    let text = report.problems.join("\n");
    assert!(text.contains("\"news\"") && text.contains("`walytis chain delete`"), "{text}");
    assert!(text.contains(&format!("block {} is a stranger's", strange.id())), "{text}");

    world.start(founder).expect("it opens");
    for message in Stranger::everything(group) {
        stranger.say(&mut world, founder, &message);
    }
    assert_eq!(world.leaks(), [], "nothing leaves, whatever the row says");
    let Ok(ChainAnswer::Chains(listed)) = public(&mut world, founder, ChainCommand::Chains) else { panic!() };
    assert_eq!((listed[0].name.as_str(), listed[0].standing), ("news", Standing::Misfiled));
    for command in [
        ChainCommand::Show { chain: "news".into() },
        ChainCommand::Post { chain: group.to_string(), topics: vec![], content: b"x".to_vec() },
        ChainCommand::Join { code: stranger.code(&world, group), name: None },
    ] {
        assert_eq!(public(&mut world, founder, command), Err(PublicError::Misfiled("news".into())));
    }

    let deleted = public(&mut world, founder, ChainCommand::Delete { chain: "news".into() });
    assert_eq!(deleted, Ok(ChainAnswer::Deleted { blocks: 0 }), "nothing of the group");
    assert_eq!(public(&mut world, founder, ChainCommand::Chains), Ok(ChainAnswer::Chains(vec![])));
    let after = list(&mut world, founder, "friends");
    assert!(before.iter().all(|id| ids(&after).contains(id)), "the group keeps its history");
    assert!(!ids(&after).contains(&lost) && !ids(&after).contains(&strange.id()));
    let again = after.iter().filter_map(|entry| entry.content.as_ref()).filter(|content| content.bytes == b"poisoned");
    assert_eq!(again.count(), 1, "what nobody else could take is posted again");

    // It posts, reads and is read, and so after a restart.
    for restarts in 0..2 {
        let id = post(&mut world, founder, "friends", b"goes on");
        world.run_for(60_000);
        converge(&mut world, "friends", &[founder, other]);
        let read = list(&mut world, other, "friends");
        let has = |bytes: &[u8]| read.iter().any(|entry| entry.content.as_ref().is_some_and(|c| c.bytes == bytes));
        assert!(ids(&read).contains(&id) && has(b"poisoned"), "others have what it posts, restarts: {restarts}");
        assert_sound(&world, founder);
        assert_sound(&world, other);
        world.kill(founder);
        world.start(founder).expect("it opens");
    }
}

/// What an engine lists of a group, by ids and contents.
fn listed(engine: &mut Engine) -> Vec<(BlockId, Option<Vec<u8>>)> {
    let command = Command::List { group: "friends".into(), after: None, below: None, topic: None };
    let mut out = Vec::new();
    engine.handle(Timestamp(5), Event::Command { ticket: Ticket(9), command }, &mut out);
    let answer = out.into_iter().find_map(|effect| match effect {
        Effect::Reply { answer, .. } => Some(answer.expect("a group")),
        _ => None,
    });
    let Some(Answer::Page(page)) = answer else { panic!("{answer:?}") };
    page.entries.into_iter().map(|entry| (entry.id, entry.content.map(|content| content.bytes))).collect()
}

/// Without room nothing is taken out and nothing is posted again: a block of our own would be shown that may never become
/// durable, and the next one under its number would be a fork. Once there is room, it is made up for.
#[test]
fn a_confused_home_without_room_is_made_whole_once_there_is_room() {
    let (mut world, [founder, _], _, group) = scene(93);
    let news = public(&mut world, founder, ChainCommand::New { name: "news".into() });
    let Ok(ChainAnswer::Chain(news)) = news else { panic!("{news:?}") };
    world.run_for(1_000);
    world.kill(founder);
    let mut view = misfile(&world, founder, news.chain, group);
    let head = *chains::heads(&view, group).expect("a store").first().expect("a head");
    let strange = ParsedBlock::parse(block(group, vec![head])).expect("well-formed").verify(None).expect("signed");
    insert_unasked(&mut view, &strange, head);
    let lost = poisoned(&world, founder, &mut view, group, strange.id());
    let store = world.reading(founder).expect("a store");
    let (_, batch) = view.close_step().expect("it changed");
    store.commit(&batch).expect("a sound store");

    let rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(6);
    let mut engine = Engine::open(std::sync::Arc::clone(&store), Timestamp(4), Box::new(rng)).expect("it opens");
    let mut out = Vec::new();
    engine.set_full();
    engine.handle(Timestamp(4), Event::Online, &mut out);
    let own = |shown: &[(BlockId, Option<Vec<u8>>)]| -> Vec<BlockId> {
        shown.iter().filter(|(_, content)| content.as_deref() == Some(b"poisoned")).map(|(id, _)| *id).collect()
    };
    assert_eq!(own(&listed(&mut engine)), [lost], "as it is in the store");
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Commit { .. } | Effect::Stopped(_))));

    out.clear();
    engine.room_again(Timestamp(5), &mut out);
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Stopped(_))));
    for effect in std::mem::take(&mut out) {
        if let Effect::Commit { number, batch } = effect {
            store.commit(&batch).expect("there is room");
            engine.handle(Timestamp(5), Event::Committed(number), &mut out);
        }
    }
    let again = own(&listed(&mut engine));
    assert!(again.len() == 1 && again != [lost], "what nobody else could take is posted again");
}

/// A false chain whose deletion had begun under the earlier program: what is left of the group is made whole, and the rest
/// comes from another member.
#[test]
fn a_group_that_was_being_deleted_as_a_public_chain_comes_back() {
    let (mut world, [founder, other], _, group) = scene(92);
    let invitation = invite(&mut world, founder, "friends", 1);
    join(&mut world, other, &invitation, "friends").expect("the invitation admits");
    let news = public(&mut world, founder, ChainCommand::New { name: "news".into() });
    let Ok(ChainAnswer::Chain(news)) = news else { panic!("{news:?}") };
    // What is lost is not who is a member: else nobody could give it back.
    for content in [&b"four"[..], b"five"] {
        post(&mut world, founder, "friends", content);
    }
    converge(&mut world, "friends", &[founder, other]);
    world.run_for(1_000);
    world.kill(founder);
    let mut view = misfile(&world, founder, news.chain, group);
    let table = changing("public.chains");
    let mut row = view.scan(table, KeyRange::all(), 1).expect("a store").pop().expect("one");
    // Behind the id, the name with its length, and the author's key: the standing.
    row.value[32 + 1 + 4 + 32] = 2;
    view.put(table, row.key, row.value);
    let (number, _) = place(&view, BlockId(group.0));
    let mut chain: ChainRow =
        codec::decode(&view.get(changing("core.chains"), &number).expect("a store").expect("a chain")).expect("a row");
    // As one step of a removal leaves it: without its last blocks, heads and sums.
    for position in chain.length - 2..chain.length {
        let key = [&number[..], &position.to_be_bytes()].concat();
        let row: BlockRow = codec::decode(&view.get(BLOCKS, &key).expect("a store").expect("a row")).expect("a row");
        view.delete(IDS, walytis_core::Header::id_of(&row.header).0);
        let order = [&number[..], &row.generation.to_be_bytes(), &position.to_be_bytes()].concat();
        view.delete(Table::permanent("core.order"), order);
        view.delete(BLOCKS, key.clone());
        view.delete(changing("core.heads"), key.clone());
        view.delete(changing("core.operation-heads"), key);
    }
    chain = ChainRow { length: chain.length - 2, generations: 0, heads: 0, newest_sums: [Sum::default(); 2], ..chain };
    view.put(changing("core.chains"), number, codec::encode(&chain));
    let (_, batch) = view.close_step().expect("it changed");
    world.reading(founder).expect("a store").commit(&batch).expect("a sound store");

    world.start(founder).expect("it opens");
    let deleted = public(&mut world, founder, ChainCommand::Delete { chain: "news".into() });
    assert_eq!(deleted, Ok(ChainAnswer::Deleted { blocks: 0 }));
    world.run_for(120_000);
    converge(&mut world, "friends", &[founder, other]);
    assert_eq!(
        details(&mut world, founder, "friends").summary.blocks,
        details(&mut world, other, "friends").summary.blocks
    );
}
