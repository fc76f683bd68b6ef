//! Authorisation across things that are each correct: another group's content asked for in one's own group, another
//! device's signed binding in one's own session, an operation that names what only an admission names. Each test also
//! shows that the honest variant is accepted.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::BTreeMap;

use common::*;
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::{AuthorSecret, BlockId, ChainId, ForeignHead, Hash, Header, RawBlock, Suite, chains};
use walytis_engine::sync::SyncMessage;
use walytis_identities::{BeginEpoch, Binding, InvitationSecret, OpenInvitation, Operation, Role};
use walytis_offchain::{Attachment, JoinRefusal, JoinRequest, Message, OpenContent};

const GROUP: &str = "friends";
const OTHERS: &str = "others";

/// What a joiner in the attacker's hands is told, when it asks with what `make` makes of the session's hash.
fn ask(
    world: &mut World,
    joiner: &mut Puppet,
    inviter: NodeId,
    (group, invitation): (ChainId, &InvitationSecret),
    make: &mut dyn FnMut(&mut Puppet, Hash) -> JoinRequest,
) -> Option<Result<(), JoinRefusal>> {
    let ready = joiner.begin_join(world, inviter, group, invitation)?;
    let session = *ready.session_hash();
    let request = make(joiner, session);
    assert!(joiner.finish(world, inviter, ready, &Message::Join(Box::new(request))), "the request fits a frame");
    joiner.listen(world, 500).into_iter().find_map(|(_, message)| match message {
        Message::Joined => Some(Ok(())),
        Message::JoinRefused(reason) => Some(Err(reason)),
        _ => None,
    })
}

/// What a member is given of these blocks when it names a chain, by block; an empty answer is left out.
fn given(
    world: &mut World,
    member: &mut Puppet,
    of: NodeId,
    chain: ChainId,
    ids: &[BlockId],
) -> BTreeMap<BlockId, Vec<u8>> {
    member.listen(world, 100);
    let want = SyncMessage::WantAttachments { chain, ids: ids.to_vec() };
    assert!(member.tell(world, of, &Message::Sync(want)), "there is a session");
    let answers = member.listen(world, 1_000).into_iter().filter_map(|(_, message)| match message {
        Message::Sync(SyncMessage::Attachment { id, attachment, .. }) => Some((id, attachment.into_vec())),
        _ => None,
    });
    answers.filter(|(_, attachment)| !attachment.is_empty()).collect()
}

#[test]
fn s2_a_member_of_one_group_is_given_nothing_of_another_by_naming_its_own() {
    let mut world = calm(201);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    group_of(&mut world, OTHERS, a, &[m]);
    let secret = post(&mut world, a, GROUP, b"for b alone");
    let secret_epoch = details(&mut world, a, GROUP).epoch.expect("it is sealed under one");
    let shared = post(&mut world, a, OTHERS, b"for m, too");
    let shared_epoch = details(&mut world, a, OTHERS).epoch.expect("it is sealed under one");
    converge(&mut world, OTHERS, &[a, m]);
    converge(&mut world, GROUP, &[a, b]);
    let (friends, others) = (group_id(&mut world, a, GROUP), group_id(&mut world, a, OTHERS));

    let mut member = Puppet::possess(&mut world, m).expect("a store");
    assert!(member.open_session(&mut world, a, others));
    let all = [secret, secret_epoch, shared, shared_epoch];
    let mine = given(&mut world, &mut member, a, others, &all);
    assert_eq!(mine.keys().copied().collect::<Vec<_>>(), sorted([shared, shared_epoch]), "its own group's alone");
    assert!(given(&mut world, &mut member, a, friends, &all).is_empty(), "and nothing where it is no member");
}

fn sorted<const N: usize>(mut ids: [BlockId; N]) -> Vec<BlockId> {
    ids.sort_unstable();
    ids.to_vec()
}

/// A request whose binding is what `change` makes of the joiner's honest one, signed by the device key of one and the
/// transport key of another, or by the joiner's own, with the proof of this session: whoever has the code can make that.
fn request(
    joiner: &mut Puppet,
    (device, transport): (Option<&Puppet>, Option<&Puppet>),
    (group, invitation): (ChainId, &InvitationSecret),
    session: Hash,
    change: &dyn Fn(&mut Binding),
) -> JoinRequest {
    let mut request = joiner.join_request(group, invitation, &session).expect("a store");
    let author = joiner.author(group).expect("it has just made one");
    let mut binding = request.joiner.binding.clone();
    change(&mut binding);
    let transport = AuthorSecret::from_seed(&transport.map_or(&joiner.device, |other| &other.device).transport);
    let device = &device.map_or(&joiner.device, |other| &other.device).secret;
    request.joiner = binding.sign(&group.0, device, &author, &transport, &mut joiner.rng);
    request.proof = Puppet::proof(group, &request.joiner, invitation, &session, &mut joiner.rng);
    request
}

/// Whoever has a code and somebody else's signed binding could otherwise make a member of it, in a session of its own.
#[test]
fn attack_07_an_admission_is_of_the_device_and_the_peer_of_its_session() {
    let mut world = calm(202);
    let [a, m, s] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 2);
    let ticket = (*code.group(), code.secret());
    let before = seen(&mut world, a, GROUP);
    let other = Puppet::possess(&mut world, s).expect("a store");
    let mut joiner = Puppet::possess(&mut world, m).expect("a store");
    let (other_peer, own_peer) = (other.device.peer(), joiner.device.peer());

    // Every signature holds: of the other's transport key, which binds itself to the joiner's device.
    let told = ask(&mut world, &mut joiner, a, ticket, &mut |joiner, session| {
        request(joiner, (None, Some(&other)), ticket, session, &|binding| binding.peer = other_peer)
    });
    assert_eq!(told, Some(Err(JoinRefusal::Invalid)), "another peer than the session's");
    assert_eq!(seen(&mut world, a, GROUP), before);

    // And of the other's device, with its identities, bound to the joiner's transport key.
    let (path, device) = (vec![other.device.user, other.device.identity], other.device.secret.public().id());
    let mut identities = other.wire_chain(other.device.identity).expect("a store");
    identities.extend(other.wire_chain(other.device.user).expect("a store"));
    let told = ask(&mut world, &mut joiner, a, ticket, &mut |joiner, session| {
        let mut request = request(joiner, (Some(&other), None), ticket, session, &|binding| {
            (binding.path, binding.device, binding.peer) = (path.clone(), device, own_peer);
        });
        request.identities = identities.iter().map(|wire| wire.block.clone()).collect();
        request
    });
    assert_eq!(told, Some(Err(JoinRefusal::Invalid)), "another device than the session's");
    assert_eq!(seen(&mut world, a, GROUP), before);

    let told = ask(&mut world, &mut joiner, a, ticket, &mut |joiner, session| {
        request(joiner, (None, None), ticket, session, &|_| {})
    });
    assert_eq!(told, Some(Ok(())), "the honest request");
    assert_eq!(details(&mut world, a, GROUP).members.len(), 2);
    assert_sound(&world, a);
}

#[test]
fn an_invitation_admits_until_it_expires_by_the_inviters_clock() {
    const VALID_MS: u64 = 5 * 60_000;
    let mut world = calm(203);
    let [a, b, early, late] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    converge(&mut world, GROUP, &[a, b]);
    let group = group_id(&mut world, a, GROUP);

    // No command of today opens an invitation that expires. The founder's device does, and its honest engine hears of it.
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let secret = InvitationSecret::generate(&mut founder.rng);
    let expires_at_ms = world.wall_clock(a).0 + VALID_MS;
    let open =
        OpenInvitation { invitation: secret.id().0, role: Role::Write, uses: 2, expires_at_ms: Some(expires_at_ms) };
    let raw = unjudged(&mut founder, &world, group, &Operation::OpenInvitation(open), Vec::new());
    assert_accepted(&mut world, &mut founder, b, GROUP, wire(raw, None), "an invitation that expires");
    world.cut(a, b);
    world.run_for(10);
    world.mend(a, b);
    world.start(a).expect("its store is sound");
    world.link(a, b);
    converge(&mut world, GROUP, &[a, b]);

    let honest = &mut |joiner: &mut Puppet, session| joiner.join_request(group, &secret, &session).expect("a store");
    let mut joiner = Puppet::possess(&mut world, early).expect("a store");
    assert_eq!(ask(&mut world, &mut joiner, a, (group, &secret), honest), Some(Ok(())));
    while world.wall_clock(a).0 < expires_at_ms {
        world.run_for(1_000);
    }
    let before = seen(&mut world, a, GROUP);
    let mut joiner = Puppet::possess(&mut world, late).expect("a store");
    assert_eq!(ask(&mut world, &mut joiner, a, (group, &secret), honest), Some(Err(JoinRefusal::Expired)));
    assert_eq!(seen(&mut world, a, GROUP), before);
    assert_eq!(before.details.members.len(), 3);
}

/// Blocks of other chains travel along with what names them, and are kept: an operation that needs none names none.
#[test]
fn only_an_admission_names_other_chains() {
    let mut world = calm(204);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    converge(&mut world, GROUP, &[a, b]);
    let group = group_id(&mut world, a, GROUP);
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let user = founder.device.user;
    let heads = chains::heads(&founder.view, user).expect("a store");
    let named: Vec<ForeignHead> = heads.into_iter().map(|block| ForeignHead { chain: user, block }).collect();
    assert!(!named.is_empty());

    let open = OpenInvitation { invitation: Hash([1; 32]), role: Role::Write, uses: 1, expires_at_ms: None };
    let view = chains::operation_heads(&founder.view, group).expect("a store");
    let begin = BeginEpoch { view, seed: Hash([2; 32]), wraps: Hash([3; 32]) };
    let operations = [
        ("a merge", Operation::Merge),
        ("an invitation", Operation::OpenInvitation(open)),
        ("an epoch", Operation::BeginEpoch(begin)),
    ];
    for (what, operation) in &operations {
        let raw = unjudged(&mut founder, &world, group, operation, named.clone());
        let block = wire_of(&founder, raw);
        assert!(!block.foreign.is_empty(), "what it names travels along");
        assert_refused(&mut world, &mut founder, b, GROUP, block, what);
    }
    for (what, operation) in &operations {
        let raw = unjudged(&mut founder, &world, group, operation, Vec::new());
        // An epoch is for the view of its ancestors, so each stands beside the others.
        let block = wire(raw, None);
        let id = walytis_core::Header::id_of(&block.block.header);
        assert!(founder.open_session(&mut world, b, group));
        assert!(founder.push(&mut world, b, group, block));
        world.run_for(200);
        assert!(details(&mut world, b, GROUP).heads.contains(&id), "{what} that names none");
    }
    assert_sound(&world, b);
}

/// Sealed content opens for its own block alone, so a forged block with content beside it is refused for that, whatever else
/// is wrong. With nothing beside it, each rule stands for itself.
#[test]
fn b3_what_does_not_hold_is_refused_with_nothing_beside_it() {
    let mut world = calm(205);
    let [a, b, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, m]);
    post(&mut world, a, GROUP, b"by another");
    converge(&mut world, GROUP, &[a, b, m]);
    post(&mut world, m, GROUP, b"its author's block before");
    converge(&mut world, GROUP, &[a, b, m]);
    let group = group_id(&mut world, a, GROUP);
    let of_a = *membership(&world, b, group).device_of_peer(&world.identity(a).peer).expect("a member").0;
    let mut puppet = Puppet::possess(&mut world, m).expect("a store");
    let own = puppet.author(group).expect("a member");
    let stranger = AuthorSecret::from_seed(&[7; 32]);
    let (last_of_a, _) = chains::previous(&puppet.view, group, of_a).expect("a store").expect("it wrote");
    let sequence_of_a = chains::header(&puppet.view, last_of_a).expect("a store").expect("it is there").sequence;
    let merge = unjudged(&mut puppet, &world, group, &Operation::Merge, Vec::new());
    let (stored, _) = puppet.private(&world, group, b"mine").expect("a member may");
    let raw = stored.block.raw().clone();
    let resigned = |by: &AuthorSecret, change: &dyn Fn(&mut Header)| {
        let mut header = Header::decode(&raw.header).expect("an honest header");
        change(&mut header);
        let header = header.encode();
        let signature = by.sign(&transcript(Suite::Ed25519, &header)).to_vec();
        RawBlock { header, signature, content: raw.content.clone() }
    };
    let mut other_content = raw.clone();
    *other_content.content.last_mut().expect("a body") ^= 1;
    let forged = [
        ("a number that leaves one out", resigned(&own, &|header| header.sequence += 1)),
        ("a length that is not the content's", resigned(&own, &|header| header.content_bytes += 1)),
        ("content of another hash", other_content),
        (
            "the previous block of another",
            resigned(&own, &|header| {
                header.parents.extend(header.previous.replace(last_of_a));
                header.parents.retain(|parent| *parent != last_of_a);
                header.parents.sort_unstable();
                header.sequence = sequence_of_a + 1;
            }),
        ),
        (
            "an author who is no member",
            resigned(&stranger, &|header| {
                header.author = stranger.public();
                header.parents.extend(header.previous.take());
                header.parents.sort_unstable();
                header.sequence = 0;
            }),
        ),
    ];
    for (what, block) in forged {
        assert_refused(&mut world, &mut puppet, b, GROUP, wire(block, None), what);
    }

    // An honest block by its header, with content that is another's beside it.
    let open = OpenContent::new(Vec::new(), b"not this".to_vec(), &mut puppet.rng).expect("small content");
    let other = Attachment::Open(open.encode().into());
    assert_refused(&mut world, &mut puppet, b, GROUP, wire(raw.clone(), Some(&other)), "content of another block");
    // An operation that needs nothing, with something beside it.
    assert_refused(&mut world, &mut puppet, b, GROUP, wire(merge, Some(&other)), "what no block needs");
    assert_accepted(&mut world, &mut puppet, b, GROUP, wire(raw, None), "the honest block");
}
