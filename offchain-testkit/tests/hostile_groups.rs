//! Findings of a hostile review against epochs, admissions and handshakes, each as a test of what holds instead.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::limits::PARENTS_MAX;
use walytis_core::{BlockId, ChainId, Hash, Pending, RawBlock, chains};
use walytis_engine::sync::SyncMessage;
use walytis_identities::session::{self, Responder};
use walytis_identities::{
    BeginEpoch, Entry as Writing, EpochContext, EpochSeed, Operation, Wrap, WrapError, Wraps, keyring,
};
use walytis_offchain::{
    Attachment, Command, EngineError, FrameKind, JoinRefusal, Message, OpenContent, PrivateBody, SealedPlace,
};

const GROUP: &str = "friends";
const SECOND_MS: u64 = 1_000;

/// Three members of a group, each connected with each, and the last of them in the attacker's hands.
fn three(seed: u64) -> (World, [NodeId; 3], Puppet, ChainId) {
    possessed(seed, GROUP, 0..2)
}

/// An epoch by the attacker of which the wrap for one device is damaged before the operation commits to it.
fn spoiled_for(world: &mut World, puppet: &mut Puppet, group: ChainId, victim: NodeId) -> (RawBlock, EpochSeed, Wraps) {
    let view = chains::operation_heads(&puppet.view, group).expect("a store");
    let membership = puppet.fold.at(&puppet.view, group, &view).expect("a group");
    let readers: Vec<_> = membership.readers().into_values().collect();
    let names: Vec<Hash> = membership.readers().into_keys().collect();
    let (_, device) = membership.device_of_peer(&world.identity(victim).peer).expect("a member");
    let name = device.leaf.as_ref().expect("a reader").id();
    let seed = EpochSeed::generate(&mut puppet.rng);
    let wraps = Wraps::make(&seed, &readers, &EpochContext::new(group, &view), &mut puppet.rng).expect("sound keys");
    let mut bytes = wraps.encode();
    let place = names.iter().position(|known| *known == name).expect("it is a reader");
    // Behind the version and the count: the last byte of its wrap.
    bytes[2 + (place + 1) * Wrap::BYTES - 1] ^= 1;
    let Err(WrapError::Root { found, .. }) = Wraps::decode(&bytes, &Hash([0; 32]), &names) else { panic!("a root") };
    let wraps = Wraps::decode(&bytes, &found, &names).expect("by its own root");
    let begin = Operation::BeginEpoch(BeginEpoch { view, seed: seed.hash(), wraps: wraps.root() });
    let (device, mut desk) = puppet.desk(world);
    let stored = device.append(&mut desk, group, Writing::operation(&begin)).expect("a member may");
    keyring::put_epoch(&mut puppet.view, stored.block.id(), &seed);
    (stored.block.raw().clone(), seed, wraps)
}

/// The attacker's content under an epoch of its own.
fn under(
    world: &World,
    puppet: &mut Puppet,
    group: ChainId,
    epoch: BlockId,
    seed: &EpochSeed,
) -> (RawBlock, Attachment) {
    let open = OpenContent::new(vec![], b"under it".to_vec(), &mut puppet.rng).expect("small content");
    let content = PrivateBody::new(epoch, &open).encode();
    let entry = Writing { kind: walytis_core::BlockKind::Private, content, foreign: vec![] };
    let (device, mut desk) = puppet.desk(world);
    let stored = device.append(&mut desk, group, entry).expect("a member may");
    let view = puppet.fold.current(&puppet.view, group).expect("a group").epochs[&epoch].view.clone();
    let place = SealedPlace { chain: group, block: stored.block.id(), epoch };
    let sealed = open.seal(&seed.epoch_key(&EpochContext::new(group, &view)), &place, &mut puppet.rng);
    (stored.block.raw().clone(), Attachment::Sealed(sealed.into()))
}

#[test]
fn h1_whom_a_maker_gave_a_bad_wrap_gets_the_epoch_from_another_member() {
    let (mut world, [a, b, m], mut puppet, group) = three(101);
    let (raw, seed, wraps) = spoiled_for(&mut world, &mut puppet, group, b);
    let epoch = walytis_core::Header::id_of(&raw.header);
    let given: BTreeMap<Hash, Attachment> =
        wraps.given().map(|(leaf, given)| (leaf, Attachment::Wrap(given.encode().into()))).collect();
    let membership = membership(&world, a, group);
    for node in [b, a] {
        let (_, device) = membership.device_of_peer(&world.identity(node).peer).expect("a member");
        let wrap = &given[&device.leaf.as_ref().expect("a reader").id()];
        assert!(puppet.push(&mut world, node, group, wire(raw.clone(), Some(wrap))));
        if node == b {
            world.run_for(50);
            assert!(keyring::epoch(&Pending::new(world.store(b)), epoch).expect("a store").is_none(), "it is bad");
            assert!(world.connected(b, m), "for it is what the maker made");
        }
    }
    world.run_for(2 * SECOND_MS);
    assert!(keyring::epoch(&Pending::new(world.store(b)), epoch).expect("a store").is_some(), "from another member");
    let (raw, sealed) = under(&world, &mut puppet, group, epoch, &seed);
    assert!(puppet.push(&mut world, b, group, wire(raw, Some(&sealed))));
    world.run_for(100);
    for node in [a, b] {
        world.run_for(2 * SECOND_MS);
        assert_eq!(details(&mut world, node, GROUP).summary.missing, 0, "{node:?}");
        assert_sound(&world, node);
    }
}

/// An admission that comes to nothing is taken back whole: nobody was told of what its author wrote before it.
#[test]
fn h2_a_refused_admission_behind_many_heads_leaves_nothing_of_itself_with_others() {
    let (mut world, [a, b, _], mut puppet, group) = three(102);
    let code = code_of(&mut world, a, GROUP, 1);
    converge(&mut world, GROUP, &[a, b]);
    let merge = unjudged(&mut puppet, &world, group, &Operation::Merge, Vec::new());
    puppet.take_in(std::slice::from_ref(&merge)).expect("a member may");
    assert!(puppet.push(&mut world, a, group, wire(merge, None)));
    for _ in 0..PARENTS_MAX + 4 {
        world.run_for(1);
        let sibling = unjudged(&mut puppet, &world, group, &Operation::Merge, Vec::new());
        assert!(puppet.push(&mut world, a, group, wire(sibling, None)));
    }
    world.run_for(SECOND_MS);
    let heads = chains::operation_heads(&Pending::new(world.store(a)), group).expect("a store");
    assert!(heads.len() > PARENTS_MAX, "an admission has to merge first");
    converge(&mut world, GROUP, &[a, b]);

    let [j] = nodes(&mut world);
    let mut joiner = Puppet::possess(&mut world, j).expect("a store");
    let ready = joiner.begin_join(&mut world, a, group, code.secret()).expect("a session");
    let other = Hash([9; 32]);
    let request = joiner.join_request(group, code.secret(), &other).expect("a store");
    let before = seen(&mut world, a, GROUP);
    joiner.finish(&mut world, a, ready, &Message::Join(Box::new(request)));
    let told = joiner.listen(&mut world, 50);
    let refused = |message: &Message| *message == Message::JoinRefused(JoinRefusal::Invalid);
    assert!(told.iter().any(|(_, message)| refused(message)), "{told:?}");
    assert_eq!(seen(&mut world, a, GROUP), before);
    assert_eq!(details(&mut world, b, GROUP).heads, before.details.heads, "nobody heard of what was taken back");
    post(&mut world, a, GROUP, b"the next of its author");
    converge(&mut world, GROUP, &[a, b]);
    let view = Pending::new(world.store(b));
    let own = membership(&world, a, group).device_of_peer(&world.identity(a).peer).map(|(author, _)| *author);
    let mut numbers = BTreeSet::new();
    for position in 0..chains::length(&view, group).expect("a store") {
        let stored = chains::block_at(&view, group, position).expect("a store").expect("a block");
        let header = stored.block.header();
        assert!(Some(header.author) != own || numbers.insert(header.sequence), "two blocks with one number");
    }
}

/// How often a node asks the attacker for an attachment, while it is told the same heads again and again.
fn times_asked(world: &mut World, puppet: &mut Puppet, of: NodeId, group: ChainId, wanted: BlockId, told: u32) -> u32 {
    let peer = world.identity(of).peer;
    let mut times = 0;
    for _ in 0..told {
        let heads = chains::heads(&puppet.view, group).expect("a store");
        assert!(puppet.tell(world, of, &Message::Sync(SyncMessage::Heads { chain: group, heads })), "no session");
        for (from, message) in puppet.listen(world, 50) {
            let Message::Sync(SyncMessage::WantAttachments { chain, ids }) = message else { continue };
            if from != peer {
                continue;
            }
            for id in ids {
                times += u32::from(id == wanted);
                let none = SyncMessage::Attachment { chain, id, attachment: Vec::new().into() };
                puppet.tell(world, of, &Message::Sync(none));
            }
        }
    }
    times
}

#[test]
fn r2_what_a_peer_has_not_to_give_it_is_asked_for_less_and_less_often() {
    let (mut world, [_, b, _], mut puppet, group) = three(103);
    let (device, mut desk) = puppet.desk(&world);
    let epoch = device.begin_epoch(&mut desk, group).expect("a member");
    let stored = chains::block(&puppet.view, epoch).expect("a store").expect("it was written");
    assert!(puppet.push(&mut world, b, group, wire(stored.block.raw().clone(), None)));
    world.run_for(100);
    let times = times_asked(&mut world, &mut puppet, b, group, epoch, 100);
    assert!((1..=10).contains(&times), "asked {times} times of 100");
    // What is missing only now is asked for at once, whatever else the peer had not.
    let (device, mut desk) = puppet.desk(&world);
    let next = device.begin_epoch(&mut desk, group).expect("a member");
    let stored = chains::block(&puppet.view, next).expect("a store").expect("it was written");
    assert!(puppet.push(&mut world, b, group, wire(stored.block.raw().clone(), None)));
    world.run_for(100);
    assert_eq!(times_asked(&mut world, &mut puppet, b, group, next, 1), 1);
}

/// Whoever was told that there is none gets it as soon as there is, however often it was told so.
#[test]
fn c1_what_a_peer_had_not_to_give_it_gives_once_it_has() {
    let (mut world, [a, b, m], mut puppet, group) = three(104);
    let (raw, sealed) = puppet.private(&world, group, b"withheld").expect("a member may");
    let id = raw.block.id();
    world.cut(a, m);
    assert!(puppet.push(&mut world, b, group, wire(raw.block.raw().clone(), None)));
    for number in 0..12_u8 {
        post(&mut world, b, GROUP, &[number]);
        world.run_for(2 * SECOND_MS);
    }
    assert_eq!(details(&mut world, a, GROUP).summary.missing, 1);
    let attachment = sealed.encode().into();
    assert!(puppet.tell(&mut world, b, &Message::Sync(SyncMessage::Attachment { chain: group, id, attachment })));
    world.run_for(SECOND_MS);
    for node in [b, a] {
        assert_eq!(details(&mut world, node, GROUP).summary.missing, 0, "{node:?}");
    }
}

/// The frames that came to the attacker, by kind.
fn flights(world: &mut World, puppet: &mut Puppet, kind: FrameKind) -> Vec<Vec<u8>> {
    let mail = puppet.raw_mail(world).into_iter();
    mail.filter(|(_, frame)| frame.first() == Some(&(kind as u8))).map(|(_, frame)| frame[1..].to_vec()).collect()
}

struct Everybody;

impl session::Directory for Everybody {
    fn device(&self, _: &Hash, _: &walytis_core::PeerId) -> Option<walytis_core::HybridKey> {
        None
    }

    fn invites(&self, _: &ChainId, _: &walytis_identities::InvitationId) -> bool {
        true
    }
}

#[test]
fn c5_an_inviter_whose_answers_are_bad_does_not_keep_a_joiner_waiting() {
    let mut world = calm(105);
    let [a, j] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 1);
    let mut inviter = Puppet::possess(&mut world, a).expect("a store");
    let began_us = world.now_us();
    let ticket = world.ask(j, Command::Join { code: code.to_text(), name: None });
    let peer = world.identity(j).peer;
    let mut answers: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    while !world.has_answer(j, ticket) && world.now_us() - began_us < 60_000_000 {
        world.run_for(5);
        for flight in flights(&mut world, &mut inviter, FrameKind::Flight1) {
            // As any inviter does, but for one wrong byte: to a copy it gives the same answer.
            let me = session::LocalDevice { secret: &inviter.device.secret, peer: inviter.device.peer() };
            let answer = answers.entry(flight.clone()).or_insert_with(|| {
                let answered = Responder::answer(me, peer, &flight, &Everybody, &mut inviter.rng);
                let mut answer = answered.expect("an honest question").1;
                *answer.last_mut().expect("it is long") ^= 1;
                answer
            });
            let frame = [&[FrameKind::Flight2 as u8][..], answer].concat();
            inviter.send(&mut world, j, frame);
        }
    }
    assert_eq!(world.take_answer(j, ticket), Some(Err(EngineError::BadInviter)));
    let took_ms = (world.now_us() - began_us) / 1_000;
    assert!(took_ms < SECOND_MS, "{took_ms} ms");
}

#[test]
fn c5_a_copy_of_a_first_flight_is_answered_again_and_counts_as_no_handshake() {
    let (mut world, [a, _, m], mut puppet, group) = three(106);
    let key = puppet.fold.current(&puppet.view, group).expect("a group");
    let peer = world.identity(a).peer;
    let key = key.device_of_peer(&peer).expect("a member").1.key.clone();
    let flight = puppet.first_flight(peer, key).expect("a flight");
    puppet.raw_mail(&mut world);
    let mut answers = Vec::new();
    for _ in 0..40 {
        puppet.send(&mut world, a, flight.clone());
        world.run_for(20);
        answers.extend(flights(&mut world, &mut puppet, FrameKind::Flight2));
    }
    assert!(world.connected(a, m), "it costs nothing");
    assert_eq!(answers.len(), 40);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "one answer, many times");
}
