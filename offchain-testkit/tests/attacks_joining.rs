//! Attacks on joining that worked on the Python original of this project, each against the engines as they are. The
//! numbers are those of the threat model. Each test also shows that the honest variant is accepted.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::{AuthorSecret, BlockKind, ChainId, Draft, Hash, Header, HybridSignature, Place, chains};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::{
    Admit, BeginEpoch, InvitationCode, InvitationSecret, OpenInvitation, Operation, Role, keyring,
};
use walytis_offchain::{Command, EngineError, JoinRefusal, JoinRequest, Message};

const GROUP: &str = "friends";

/// A joiner in the attacker's hands asks, with what `change` makes of an honest request. Returns what it is told.
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
    joiner.finish(world, inviter, ready, &Message::Join(Box::new(request)));
    joiner.listen(world, 200).into_iter().find_map(|(_, message)| match message {
        Message::Joined => Some(Ok(())),
        Message::JoinRefused(reason) => Some(Err(reason)),
        _ => None,
    })
}

#[test]
fn attack_07_a_request_to_join_without_valid_signatures_makes_no_member() {
    let mut world = calm(7);
    let [a, s, t] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 2);
    let group = *code.group();
    let mut joiner = Puppet::possess(&mut world, s).expect("a store");
    let before = seen(&mut world, a, GROUP);
    let wrong = InvitationSecret::from_bytes(&[9; 16]);

    type Change<'a> = Box<dyn Fn(&mut JoinRequest, &mut Puppet, Hash) + 'a>;
    let zero_ed25519 = |signature: &mut HybridSignature| signature.ed25519 = [0; 64];
    let zero_ml_dsa = |signature: &mut HybridSignature| signature.ml_dsa = [0; 3309];
    let changes: Vec<(&str, Change<'_>)> = vec![
        (
            "a proof by another invitation's key",
            Box::new(|request, joiner, session| {
                request.proof = Puppet::proof(group, &request.joiner, &wrong, &session, &mut joiner.rng);
            }),
        ),
        (
            "another invitation, with its proof",
            Box::new(|request, joiner, session| {
                request.invitation = wrong.key().public().clone();
                request.proof = Puppet::proof(group, &request.joiner, &wrong, &session, &mut joiner.rng);
            }),
        ),
        (
            "a proof of another session",
            Box::new(|request, joiner, _| {
                request.proof = Puppet::proof(group, &request.joiner, code.secret(), &Hash([3; 32]), &mut joiner.rng);
            }),
        ),
        (
            "a proof for another group",
            Box::new(|request, joiner, session| {
                let other = ChainId([3; 32]);
                request.proof = Puppet::proof(other, &request.joiner, code.secret(), &session, &mut joiner.rng);
            }),
        ),
        ("a proof without its Ed25519 half", Box::new(move |request, _, _| zero_ed25519(&mut request.proof))),
        ("a proof without its ML-DSA half", Box::new(move |request, _, _| zero_ml_dsa(&mut request.proof))),
        (
            "a binding without its Ed25519 half",
            Box::new(move |request, _, _| zero_ed25519(&mut request.joiner.signature)),
        ),
        (
            "a binding without its ML-DSA half",
            Box::new(move |request, _, _| zero_ml_dsa(&mut request.joiner.signature)),
        ),
        ("a binding without its author key's signature", Box::new(|request, _, _| request.joiner.by_author = [0; 64])),
        ("a binding without its transport key's signature", Box::new(|request, _, _| request.joiner.by_peer = [0; 64])),
        (
            "another's author key",
            Box::new(|request, joiner, session| {
                let mut binding = request.joiner.binding.clone();
                binding.author = AuthorSecret::from_seed(&[6; 32]).public();
                request.joiner = joiner.sign_binding(binding, group, &group.0).expect("its own keys");
                request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut joiner.rng);
            }),
        ),
        (
            "a binding for another group",
            Box::new(|request, joiner, session| {
                let binding = request.joiner.binding.clone();
                request.joiner = joiner.sign_binding(binding, group, &[4; 32]).expect("its own keys");
                request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut joiner.rng);
            }),
        ),
        (
            "a binding by another device",
            Box::new(|request, joiner, session| {
                let other = walytis_core::HybridSecret::generate(&mut joiner.rng);
                let transcript = request.joiner.binding.transcript(&group.0);
                request.joiner.signature = other.sign(&transcript, &mut joiner.rng);
                request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut joiner.rng);
            }),
        ),
        (
            "the founder's user as its own",
            Box::new(|request, joiner, session| {
                let mut binding = request.joiner.binding.clone();
                binding.path[0] = before.details.members[0].identity;
                request.joiner = joiner.sign_binding(binding, group, &group.0).expect("its own keys");
                request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut joiner.rng);
            }),
        ),
        (
            "another peer in its binding",
            Box::new(|request, joiner, session| {
                let mut binding = request.joiner.binding.clone();
                binding.peer = walytis_core::PeerId([8; 32]);
                request.joiner = joiner.sign_binding(binding, group, &group.0).expect("its own keys");
                request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut joiner.rng);
            }),
        ),
        (
            "no leaf key",
            Box::new(|request, joiner, session| {
                let mut binding = request.joiner.binding.clone();
                binding.leaf = None;
                request.joiner = joiner.sign_binding(binding, group, &group.0).expect("its own keys");
                request.proof = Puppet::proof(group, &request.joiner, code.secret(), &session, &mut joiner.rng);
            }),
        ),
        (
            "an identity whose signature is gone",
            Box::new(|request, _, _| {
                for raw in &mut request.identities {
                    raw.signature.fill(0);
                }
            }),
        ),
        ("no identity", Box::new(|request, _, _| request.identities.clear())),
    ];
    for (what, change) in changes {
        let told = ask(&mut world, &mut joiner, a, &code, &*change);
        assert_eq!(told, Some(Err(JoinRefusal::Invalid)), "{what}");
        assert_eq!(seen(&mut world, a, GROUP), before, "{what}");
        // A connection has so many handshakes, and a peer so many within a time: take a new one, later.
        world.cut(a, s);
        world.run_for(10_000);
        world.mend(a, s);
    }
    assert_eq!(ask(&mut world, &mut joiner, a, &code, &|_, _, _| {}), Some(Ok(())), "the honest request");
    assert_eq!(details(&mut world, a, GROUP).members.len(), 2);
    // The second use is taken by somebody else; then the invitation is spent, for a new identity too.
    join(&mut world, t, &code.to_text(), GROUP).expect("the second use");
    let [u] = nodes(&mut world);
    let mut late = Puppet::possess(&mut world, u).expect("a store");
    assert_eq!(ask(&mut world, &mut late, a, &code, &|_, _, _| {}), Some(Err(JoinRefusal::Spent)));
    assert_eq!(join_error(&mut world, &code), EngineError::Refused(JoinRefusal::Spent));
    assert_eq!(details(&mut world, a, GROUP).members.len(), 3);
    assert_sound(&world, a);
}

fn join_error(world: &mut World, code: &InvitationCode) -> EngineError {
    let [v] = nodes(world);
    join(world, v, &code.to_text(), GROUP).expect_err("the invitation is spent")
}

#[test]
fn attack_07_an_admission_without_valid_signatures_or_right_makes_no_member() {
    let mut world = calm(8);
    let [a, b, x, y] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    let code = code_of(&mut world, a, GROUP, 2);
    let spent = code_of(&mut world, a, GROUP, 1);
    let group = *code.group();
    converge(&mut world, GROUP, &[a, b]);
    let mut joiner = Puppet::possess(&mut world, x).expect("a store");
    let mut other = Puppet::possess(&mut world, y).expect("a store");
    // A member that is no manager, with the same honest request, admits nobody.
    let session = Hash([5; 32]);
    let request = joiner.join_request(group, code.secret(), &session).expect("a store");
    {
        let mut member = Puppet::possess(&mut world, b).expect("a store");
        let (admit, foreign) = member.admission(&request, session).expect("sound identities");
        let raw = unjudged(&mut member, &world, group, &Operation::Admit(Box::new(admit)), foreign);
        let block = wire_of(&member, raw);
        assert_refused(&mut world, &mut member, a, GROUP, block, "an admission by a member");
        let open = OpenInvitation { invitation: Hash([1; 32]), role: Role::Manage, uses: 9, expires_at_ms: None };
        let raw = unjudged(&mut member, &world, group, &Operation::OpenInvitation(open), Vec::new());
        assert_refused(&mut world, &mut member, a, GROUP, wire(raw, None), "an invitation by a member");
        world.start(b).expect("its store is sound");
    }
    converge(&mut world, GROUP, &[a, b]);

    // From here on the founder itself is malicious: it may admit, but it cannot forge what others have to sign.
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let (honest, foreign) = founder.admission(&request, session).expect("sound identities");
    let wrong = InvitationSecret::from_bytes(&[9; 16]);
    let request_of_other = other.join_request(group, code.secret(), &session).expect("a store");
    let mut forged: Vec<(&str, Admit)> = Vec::new();
    let mut forge = |what, change: &mut dyn FnMut(&mut Admit)| {
        let mut admit = honest.clone();
        change(&mut admit);
        forged.push((what, admit));
    };
    forge("a proof of another session", &mut |admit| admit.session = Hash([6; 32]));
    forge("a proof of another joiner", &mut |admit| admit.proof = request_of_other.proof.clone());
    forge("another invitation's key", &mut |admit| admit.invitation = wrong.key().public().clone());
    forge("another invitation's proof", &mut |admit| {
        admit.proof = Puppet::proof(group, &admit.joiner, &wrong, &session, &mut founder.rng);
    });
    forge("a proof for another group", &mut |admit| {
        admit.proof = Puppet::proof(ChainId([3; 32]), &admit.joiner, code.secret(), &session, &mut founder.rng);
    });
    forge("a proof without its Ed25519 half", &mut |admit| admit.proof.ed25519 = [0; 64]);
    forge("a proof without its ML-DSA half", &mut |admit| admit.proof.ml_dsa = [0; 3309]);
    forge("a binding without its Ed25519 half", &mut |admit| admit.joiner.signature.ed25519 = [0; 64]);
    forge("a binding without its ML-DSA half", &mut |admit| admit.joiner.signature.ml_dsa = [0; 3309]);
    forge("a binding without its author key's signature", &mut |admit| admit.joiner.by_author = [0; 64]);
    forge("a binding without its transport key's signature", &mut |admit| admit.joiner.by_peer = [0; 64]);
    forge("a binding by the admitter's device", &mut |admit| {
        let transcript = admit.joiner.binding.transcript(&group.0);
        admit.joiner.signature = founder.device.secret.sign(&transcript, &mut founder.rng);
        admit.proof = Puppet::proof(group, &admit.joiner, code.secret(), &session, &mut founder.rng);
    });
    forge("a binding with the admitter's leaf key", &mut |admit| {
        admit.joiner.binding.leaf = Some(keyring::leaf(&founder.view, group).expect("a member").public().clone());
        admit.proof = Puppet::proof(group, &admit.joiner, code.secret(), &session, &mut founder.rng);
    });
    for (what, admit) in forged {
        let raw = unjudged(&mut founder, &world, group, &Operation::Admit(Box::new(admit)), foreign.clone());
        let block = wire_of(&founder, raw);
        assert_refused(&mut world, &mut founder, b, GROUP, block, what);
    }
    let operation = Operation::Admit(Box::new(honest.clone()));
    let raw = unjudged(&mut founder, &world, group, &operation, foreign.clone());
    let mut block = wire_of(&founder, raw.clone());
    for from in [0, 64] {
        let mut half = block.clone();
        half.block.signature[from..from + 64].fill(0);
        assert_refused(&mut world, &mut founder, b, GROUP, half, "an operation without one half of its signature");
    }
    let foreign_blocks = std::mem::take(&mut block.foreign);
    assert_refused(&mut world, &mut founder, b, GROUP, block.clone(), "a joiner without its identities");
    block.foreign = foreign_blocks;
    let unrelated = founder.wire_chain(group).expect("a store").remove(0).block;
    block.foreign.push(unrelated);
    assert_refused(&mut world, &mut founder, b, GROUP, block.clone(), "blocks that the operation does not name");
    block.foreign.pop();

    assert_accepted(&mut world, &mut founder, b, GROUP, block, "the honest admission");
    assert_eq!(details(&mut world, b, GROUP).members.len(), 3);
    founder.take_in(&[raw]).expect("it is honest");

    // The same member again, the same author key again, and one more than a spent invitation allows.
    let again = unjudged(&mut founder, &world, group, &operation, foreign);
    let block = wire_of(&founder, again);
    assert_refused(&mut world, &mut founder, b, GROUP, block, "an admission of a member");
    let [z] = nodes(&mut world);
    let mut last = Puppet::possess(&mut world, z).expect("a store");
    for (position, joiner) in [&mut other, &mut last].into_iter().enumerate() {
        let request = joiner.join_request(group, spent.secret(), &session).expect("a store");
        let (admit, foreign) = founder.admission(&request, session).expect("sound identities");
        let raw = unjudged(&mut founder, &world, group, &Operation::Admit(Box::new(admit)), foreign);
        let block = wire_of(&founder, raw.clone());
        if position == 0 {
            assert_accepted(&mut world, &mut founder, b, GROUP, block, "the only use");
            founder.take_in(&[raw]).expect("it is honest");
        } else {
            assert_refused(&mut world, &mut founder, b, GROUP, block, "a use of a spent invitation");
        }
    }
    assert_eq!(details(&mut world, b, GROUP).members.len(), 4);
    assert_sound(&world, b);
}

#[test]
fn an_epoch_for_another_view_than_that_of_its_ancestors_is_refused() {
    let mut world = calm(9);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    converge(&mut world, GROUP, &[a, b]);
    let group = group_id(&mut world, a, GROUP);
    let mut member = Puppet::possess(&mut world, b).expect("a store");
    // Whose readers an epoch is for follows from its view: an older one would leave somebody out.
    let honest = chains::operation_heads(&member.view, group).expect("a store");
    let begin = |view| Operation::BeginEpoch(BeginEpoch { view, seed: Hash([1; 32]), wraps: Hash([2; 32]) });
    for (what, view) in [
        ("the genesis alone", vec![group.into()]),
        ("no view", Vec::new()),
        ("a view with more", [honest.clone(), vec![group.into()]].concat()),
    ] {
        let raw = unjudged(&mut member, &world, group, &begin(view), Vec::new());
        assert_refused(&mut world, &mut member, a, GROUP, wire(raw, None), what);
    }
    let raw = unjudged(&mut member, &world, group, &begin(honest), Vec::new());
    assert_accepted(&mut world, &mut member, a, GROUP, wire(raw, None), "the view of its ancestors");
}

/// A malicious inviter: answers a joiner, admits it, and serves the history that `change` makes of the real one.
fn serve_history(
    world: &mut World,
    founder: &mut Puppet,
    joiner: NodeId,
    code: &InvitationCode,
    change: Rewrite<'_>,
) -> Option<Result<walytis_offchain::Answer, EngineError>> {
    let group = *code.group();
    let ticket = world.ask(joiner, Command::Join { code: code.to_text(), name: Some(GROUP.into()) });
    for _ in 0..300 {
        for (peer, message) in founder.listen(world, 100) {
            let Some(from) = world.node_of(peer) else { continue };
            match message {
                Message::Join(request) => {
                    let session = founder.session_hash(&peer).expect("it came in one");
                    let member = request.joiner.binding.path[0];
                    let membership = founder.fold.current(&founder.view, group).expect("a group");
                    if !membership.members.contains_key(&member) {
                        let (admit, foreign) = founder.admission(&request, session).expect("an honest joiner");
                        let admit = Operation::Admit(Box::new(admit));
                        founder.operation(world, group, &admit, foreign).expect("a manager");
                        let (device, mut desk) = founder.desk(world);
                        device.begin_epoch(&mut desk, group).expect("a manager");
                    }
                    founder.tell(world, from, &Message::Joined);
                }
                Message::Sync(SyncMessage::Pull { chain, .. }) if chain == group => {
                    let mut blocks = founder.wire_chain(group).expect("a store");
                    for block in &mut blocks {
                        block.attachment = founder.wrap_for(&block.block, peer).expect("a store");
                    }
                    change(&mut blocks);
                    let portion = SyncMessage::Portion { chain, blocks, left: 0 };
                    founder.tell(world, from, &Message::Sync(portion));
                }
                _ => {}
            }
        }
        if let Some(answer) = world.take_answer(joiner, ticket) {
            return Some(answer);
        }
    }
    None
}

type Damage<'a> = &'a dyn Fn(&mut WireBlock);
type Rewrite<'a> = &'a dyn Fn(&mut Vec<WireBlock>);

#[test]
fn attack_12_a_history_with_one_forged_block_anywhere_is_not_joined() {
    let mut world = calm(12);
    let [a, b, honest, victim] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    for number in 0..3_u8 {
        post(&mut world, a, GROUP, &[number; 20]);
        post(&mut world, b, GROUP, &[100 + number; 20]);
    }
    let code = code_of(&mut world, a, GROUP, 5);
    converge(&mut world, GROUP, &[a, b]);
    world.kill(b);
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let joined = serve_history(&mut world, &mut founder, honest, &code, &|_| {});
    assert!(matches!(joined, Some(Ok(_))), "the real history is joined: {joined:?}");
    world.kill(honest);

    let attacker = AuthorSecret::from_seed(&[7; 32]);
    let length = founder.wire_chain(*code.group()).expect("a store").len();
    assert!(length > 9);
    let damage: [(&str, Damage<'_>); 4] = [
        ("a changed signature", &|wire| wire.block.signature[5] ^= 1),
        ("a changed header", &|wire| {
            let mut header = Header::decode(&wire.block.header).expect("an honest header");
            header.created_at_ms += 1;
            wire.block.header = header.encode();
        }),
        ("another creator", &|wire| {
            let mut header = Header::decode(&wire.block.header).expect("an honest header");
            header.author = attacker.public();
            wire.block.header = header.encode();
            let signature = attacker.sign(&transcript(header.suite, &wire.block.header));
            wire.block.signature[..64].copy_from_slice(&signature);
        }),
        ("changed content", &|wire| {
            if let Some(byte) = wire.block.content.last_mut() {
                *byte ^= 1;
            }
        }),
    ];
    // What came before the forged block is sound and is kept, so each attempt gets one block further: go upwards.
    for position in 0..length + 2 {
        for (what, damage) in damage {
            let joined = serve_history(&mut world, &mut founder, victim, &code, &|blocks| {
                if let Some(block) = blocks.get_mut(position) {
                    damage(block);
                }
            });
            assert!(matches!(joined, Some(Err(_))), "{what} in block {position}: {joined:?}");
            let groups = world.call(victim, Command::Groups, 1_000);
            assert_eq!(groups, Some(Ok(walytis_offchain::Answer::Groups(Vec::new()))), "{what} in block {position}");
            world.run_for(FORGIVEN_MS);
        }
    }
    // A history that ends before the own admission, or that leaves a block out, is none to join either.
    // (Blocks that lack the genesis wait for it, so whoever gets the rest later has the whole of it.)
    for (what, change) in [
        ("no genesis", &(|blocks: &mut Vec<WireBlock>| drop(blocks.remove(0))) as Rewrite<'_>),
        ("nothing", &|blocks| blocks.clear()),
        ("no admission", &|blocks| blocks.truncate(3)),
    ] {
        let [late] = nodes(&mut world);
        let joined = serve_history(&mut world, &mut founder, late, &code, change);
        assert!(matches!(joined, Some(Err(_))), "{what}: {joined:?}");
        world.run_for(FORGIVEN_MS);
    }
    assert_sound_or_empty(&world, victim);
    let joined = serve_history(&mut world, &mut founder, victim, &code, &|_| {});
    assert!(matches!(joined, Some(Ok(_))), "then the real history is joined: {joined:?}");
    assert_sound(&world, victim);
}

fn assert_sound_or_empty(world: &World, node: NodeId) {
    let report = walytis_offchain::check(world.store(node), &mut |_, _| {}).expect("the store can be read");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn attack_12_a_history_of_another_group_is_not_joined() {
    let mut world = calm(13);
    let [a, victim] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    group_of(&mut world, "others", a, &[]);
    let code = code_of(&mut world, a, GROUP, 1);
    let others = group_id(&mut world, a, "others");
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let other = founder.wire_chain(others).expect("a store");
    let joined = serve_history(&mut world, &mut founder, victim, &code, &|blocks| *blocks = other.clone());
    assert!(matches!(joined, Some(Err(_))), "{joined:?}");
    world.run_for(FORGIVEN_MS);
    // A chain of the attacker's own making under the group's name: every block is well signed, but the genesis differs.
    let author = AuthorSecret::from_seed(&[3; 32]);
    let fake = Draft {
        kind: BlockKind::Private,
        place: Place::After { chain: *code.group(), parents: vec![walytis_core::BlockId([1; 32])], previous: None },
        foreign: vec![],
        topics: vec![],
        content: vec![1],
    };
    let now = world.wall_clock(a);
    let fake = fake.sign(&author, &founder.device.secret, now, &mut founder.rng).expect("well formed");
    let fake = fake.parsed().raw().clone();
    let joined = serve_history(&mut world, &mut founder, victim, &code, &|blocks| {
        *blocks = vec![wire(fake.clone(), None)];
    });
    assert!(matches!(joined, Some(Err(_))), "{joined:?}");
    world.run_for(FORGIVEN_MS);
    let joined = serve_history(&mut world, &mut founder, victim, &code, &|_| {});
    assert!(matches!(joined, Some(Ok(_))), "{joined:?}");
}
