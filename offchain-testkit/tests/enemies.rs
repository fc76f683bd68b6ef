//! Each class of enemies alone against three honest members: what it does changes nothing for them but what a member may
//! write.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::counting::Counting;
use common::*;
use offchain_testkit::enemies::{self, Class, Deeds, Outcome, Standing, TURN_MS_MAX, Turn};
use offchain_testkit::{NodeId, Puppet, World};
use walytis_core::{BlockId, ChainId, FRAME_BYTES_MAX, Header, Pending, Store, chains};
use walytis_engine::public::{ChainAnswer, ChainCommand, Sharing};
use walytis_identities::{Fold, InvitationCode, InvitationSecret};
use walytis_offchain::{Answer, Command};

const GROUP: &str = "friends";
/// A group of two of the honest members, which is none of the enemy's business.
const OTHERS: &str = "others";
/// What no frame may show.
const CANARY: &[u8] = b"the canary sings in the clear";
const TURNS: usize = 6;

/// What a class does to its victims, besides what holds for all.
#[derive(Clone, Copy, Default)]
struct Marks {
    /// Whether a victim ends the connection; `None` if that depends on what arrives first.
    shunned: Option<bool>,
    /// How many blocks it forges at least.
    forged: usize,
    /// How many valid blocks of it come into the sets at least.
    entered: usize,
    /// Whether its invitation is still open.
    open_invitation: bool,
}

const SHUNNED: Marks = Marks { shunned: Some(true), forged: 0, entered: 0, open_invitation: false };
const BORNE: Marks = Marks { shunned: Some(false), ..SHUNNED };

const fn forges(forged: usize) -> Marks {
    Marks { forged, ..SHUNNED }
}

const fn writes(entered: usize) -> Marks {
    Marks { entered, ..BORNE }
}

/// A world with three honest members, connected with each other, and one node in the enemy's hands.
struct Arena {
    world: World,
    honest: [NodeId; 3],
    group: ChainId,
    others: ChainId,
    puppet: Puppet,
    invitation: InvitationSecret,
    posts: Vec<BlockId>,
}

fn arena(seed: u64, class: &Class, marks: Marks) -> Arena {
    let mut world = calm(seed);
    world.keep_frames();
    let [a, b, c, m] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b]);
    if class.needs == Standing::Member {
        group_of_more(&mut world, a, m);
    }
    // By this invitation the last of the three comes in; it is spent then, if it is not to stay open.
    let code: InvitationCode = code_of(&mut world, a, GROUP, if marks.open_invitation { 9 } else { 1 });
    join(&mut world, c, &code.to_text(), GROUP).expect("the invitation admits");
    group_of(&mut world, OTHERS, b, &[a]);
    for (from, to) in [(a, b), (b, c), (a, c)] {
        world.link(from, to);
    }
    let mut posts = Vec::new();
    for node in [a, b, c] {
        posts.push(post(&mut world, node, GROUP, CANARY));
    }
    post(&mut world, b, OTHERS, CANARY);
    if class.is_public() {
        follow_openly(&mut world, [a, b, c]);
    }
    let group = group_id(&mut world, a, GROUP);
    let others = group_id(&mut world, a, OTHERS);
    if class.needs == Standing::Member {
        post(&mut world, m, GROUP, b"not yet an enemy");
        converge(&mut world, GROUP, &[a, b, c, m]);
    } else {
        converge(&mut world, GROUP, &[a, b, c]);
    }
    converge(&mut world, OTHERS, &[a, b]);
    let puppet = Puppet::possess(&mut world, m).expect("a store");
    let invitation = InvitationSecret::from_bytes(code.secret().as_bytes());
    Arena { world, honest: [a, b, c], group, others, puppet, invitation, posts }
}

/// A public chain of the first, which the others follow.
fn follow_openly(world: &mut World, [founder, others @ ..]: [NodeId; 3]) {
    let mut call = |node, command| match world.call(node, Command::Chain(command), 20_000) {
        Some(Ok(Answer::Chain(answer))) => answer,
        other => panic!("{other:?}"),
    };
    let chain = || "open".to_owned();
    call(founder, ChainCommand::New { name: chain() });
    let invite = ChainCommand::Invite { chain: chain(), uses: None, sharing: Sharing::Inviter };
    let ChainAnswer::Invitation(invitation) = call(founder, invite) else { panic!("no invitation") };
    let code = invitation.code.expect("it has addresses");
    for other in others {
        call(other, ChainCommand::Join { code: code.clone(), name: Some(chain()) });
    }
}

fn group_of_more(world: &mut World, founder: NodeId, other: NodeId) {
    let code = invite(world, founder, GROUP, 1);
    join(world, other, &code, GROUP).expect("the invitation admits");
}

impl Arena {
    fn post(&mut self, number: usize) {
        let node = self.honest[number % 3];
        let id = post(&mut self.world, node, GROUP, &[CANARY, &number.to_le_bytes()].concat());
        self.posts.push(id);
    }

    /// What a node lists, apart from what is its own affair: the order of arrival.
    fn listing(&mut self, node: NodeId) -> Vec<(BlockId, u64, ChainId, Option<Vec<u8>>)> {
        let entries = list(&mut self.world, node, GROUP).into_iter();
        let content = |entry: walytis_offchain::Entry| {
            (entry.id, entry.generation, entry.author, entry.content.map(|content| content.bytes))
        };
        entries.map(content).collect()
    }

    /// Lets the world run until the honest members agree. Returns how long that took, in virtual milliseconds.
    fn agree(&mut self, what: &str) -> u64 {
        let began_us = self.world.now_us();
        let honest = self.honest;
        for _ in 0..400 {
            let heads = honest.map(|node| details(&mut self.world, node, GROUP).heads);
            if heads.iter().all(|one| *one == heads[0]) {
                let lists = honest.map(|node| self.listing(node));
                if lists.iter().all(|one| *one == lists[0]) {
                    return (self.world.now_us() - began_us) / 1_000;
                }
            }
            self.world.run_for(500);
        }
        let all = honest.map(|node| details(&mut self.world, node, GROUP).summary);
        panic!("{what}: the honest members do not agree: {all:#?}");
    }

    fn set_of(&self, node: NodeId, ids: &BTreeSet<BlockId>) -> usize {
        let store: Arc<dyn Store> = self.world.store(node);
        let view = Pending::new(store);
        ids.iter().filter(|id| chains::contains(&view, **id).expect("a sound store")).count()
    }
}

/// Runs one class, and checks what holds for all of them, and its own marks.
fn fight(name: &str, marks: Marks) {
    let all = enemies::all();
    let (place, class) = all.iter().enumerate().find(|(_, class)| class.name == name).expect("a class of this name");
    let mut arena = arena(7_000 + u64::try_from(place).expect("small"), class, marks);
    let (honest, group) = (arena.honest, arena.group);
    let before = details(&mut arena.world, honest[0], GROUP);
    let mut enemy = (class.make)();
    let mut deeds = Deeds::default();
    let (mut acted, mut shunned) = (0, false);
    for number in 0..TURNS {
        arena.post(2 * number);
        let began_us = arena.world.now_us();
        let mut turn = Turn::new(&mut arena.world, &mut arena.puppet, &honest, group, &mut deeds)
            .with_invitation(&arena.invitation);
        assert_eq!(turn.standing(), class.needs, "{name}: it stays what it was");
        let outcome = enemy.act(&mut turn);
        let took_ms = (arena.world.now_us() - began_us) / 1_000;
        assert!(took_ms <= TURN_MS_MAX, "{name}: a turn of {took_ms} ms");
        arena.world.run_for(200);
        if outcome == Outcome::Acted {
            acted += 1;
            shunned |= honest.iter().any(|node| !arena.world.connected(arena.puppet.node(), *node));
        }
        arena.post(2 * number + 1);
        // Some turns come while the enemy is shunned.
        arena.world.run_for(if number % 3 == 0 { 2_000 } else { FORGIVEN_MS });
    }
    assert!(acted >= TURNS / 2, "{name}: it acted in {acted} turns only");
    assert_eq!(shunned, marks.shunned.unwrap_or(shunned), "{name}: whether a victim ended the connection");
    assert!(deeds.forged.len() >= marks.forged, "{name}: only {} forged blocks", deeds.forged.len());
    assert!(!deeds.admitted, "{name}: it was admitted");

    // Now it says nothing more.
    let healed_ms = arena.agree(name);
    assert!(healed_ms <= 60_000, "{name}: they agree after {healed_ms} ms only");
    let listed = arena.listing(honest[0]);
    let shown = listed.iter().find(|(listed, ..)| deeds.unreadable.contains(listed));
    assert!(shown.is_none(), "{name}: {shown:?} is shown, and nobody can read it");
    for id in &arena.posts {
        let entry = listed.iter().find(|(listed, ..)| listed == id);
        let content = entry.and_then(|(_, _, _, content)| content.as_ref());
        assert!(content.is_some_and(|content| content.starts_with(CANARY)), "{name}: an acknowledged post is missing");
    }
    for node in honest {
        assert!(arena.world.is_running(node) && arena.world.stopped(node).is_none(), "{name}: {node:?} stopped");
        assert_eq!(arena.set_of(node, &deeds.forged), 0, "{name}: {node:?} has forged blocks");
        let entered = arena.set_of(node, &deeds.valid);
        assert!(entered >= marks.entered, "{name}: {entered} of {} valid blocks came in", deeds.valid.len());
        assert_eq!(details(&mut arena.world, node, GROUP).members, before.members, "{name}: members changed");
        assert_sound(&arena.world, node);
    }
    assert_eq!(arena.puppet.served(arena.others), 0, "{name}: it was told about a group that it is not in");
    if class.needs == Standing::Stranger {
        assert_eq!(arena.puppet.served(group), 0, "{name}: a stranger was told about the group");
    }
    let shows = |frame: &&Vec<u8>| {
        frame.len() < FRAME_BYTES_MAX / 8 && frame.windows(CANARY.len()).any(|window| window == CANARY)
    };
    assert_eq!(arena.world.frames().iter().filter(shows).count(), 0, "{name}: content in the clear");
}

macro_rules! fights {
    ($($name:ident: $marks:expr;)*) => {
        $(#[test]
        fn $name() {
            fight(stringify!($name), $marks);
        })*

        #[test]
        fn every_class_is_fought() {
            let fought: BTreeSet<&str> = BTreeSet::from([$(stringify!($name)),*]);
            let all: BTreeSet<&str> = enemies::all().iter().map(|class| class.name).collect();
            assert_eq!(fought, all);
            assert_eq!(all.len(), enemies::all().len(), "each class has a name of its own");
        }
    };
}

fights! {
    backdated_blocks: writes(6);
    bad_parents: forges(6);
    broken_limits: forges(5);
    cheating_epochs: writes(12);
    cut_frames: SHUNNED;
    deep_chain: writes(180);
    depth_bomb: forges(2);
    empty_promises: Marks { forged: 100, ..BORNE };
    equivocation: writes(6);
    false_addresses: SHUNNED;
    false_codes: Marks { forged: 6, ..BORNE };
    forged_admissions: Marks { open_invitation: true, ..forges(6) };
    forged_epochs: forges(6);
    forged_invitations: SHUNNED;
    forged_signatures: forges(6);
    half_signatures: forges(6);
    handshake_flood: SHUNNED;
    huge_numbers: Marks { forged: 3, entered: 3, ..SHUNNED };
    knots: Marks { forged: 12, ..BORNE };
    late_content: writes(6);
    lying_lengths: SHUNNED;
    lying_portions: Marks { forged: 2, ..SHUNNED };
    moved_content: Marks { entered: 1, ..forges(2) };
    noise: SHUNNED;
    operation_fan: writes(100);
    orphan_flood: Marks { forged: 500, ..BORNE };
    outsider: Marks { forged: 6, ..BORNE };
    overlong_encodings: Marks { entered: 1, ..forges(3) };
    oversized_frames: SHUNNED;
    prying_stranger: SHUNNED;
    relayed_handshakes: Marks { shunned: None, ..SHUNNED };
    replayed_blocks: BORNE;
    replayed_frames: SHUNNED;
    rival_epochs: writes(6);
    second_genesis: forges(3);
    self_promotion: forges(6);
    session_churn: SHUNNED;
    spam: writes(300);
    spent_invitations: BORNE;
    stalled_handshakes: BORNE;
    stalled_joins: Marks { open_invitation: true, ..SHUNNED };
    stowaways: forges(6);
    strangers_blocks: forges(6);
    swapped_signatures: forges(6);
    two_faces: writes(12);
    unasked_answers: SHUNNED;
    unknown_numbers: Marks { forged: 3, ..BORNE };
    want_flood: BORNE;
    weak_signatures: forges(6);
    wide_fan: writes(300);
    withheld_content: writes(90);
    withheld_parents: Marks { forged: 12, ..BORNE };
    wrong_attachments: forges(4);
    wrong_chain: forges(3);
    wrong_content: forges(6);
    wrong_kinds: Marks { entered: 1, ..forges(4) };
    public_forgeries: forges(6);
    public_forks: writes(12);
    public_orphans: Marks { forged: 500, ..BORNE };
    public_promises: Marks { forged: 500, ..BORNE };
}

/// Two enemies at a time, of different classes, against the same three (C4). Each class has a turn.
#[test]
fn c4_two_enemies_at_once_do_no_more_than_each_alone() {
    let all: Vec<Class> = enemies::all().into_iter().filter(|class| class.needs == Standing::Member).collect();
    let mut world = calm(7_200);
    let [a, b, c, m, n] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, c, m, n]);
    for (from, to) in [(a, b), (b, c), (a, c)] {
        world.link(from, to);
    }
    converge(&mut world, GROUP, &[a, b, c, m, n]);
    let group = group_id(&mut world, a, GROUP);
    let honest = [a, b, c];
    let mut puppets = [m, n].map(|node| Puppet::possess(&mut world, node).expect("a store"));
    let (mut posts, mut deeds, mut acted) = (Vec::new(), Deeds::default(), 0);
    let (first, second) = all.split_at(all.len() / 2);
    for (number, other) in second.iter().enumerate() {
        posts.push(post(&mut world, honest[number % 3], GROUP, b"honest"));
        for (puppet, class) in puppets.iter_mut().zip([&first[number % first.len()], other]) {
            let mut enemy = (class.make)();
            let mut turn = Turn::new(&mut world, puppet, &honest, group, &mut deeds);
            acted += usize::from(enemy.act(&mut turn) == Outcome::Acted);
        }
        world.run_for(FORGIVEN_MS);
    }
    assert!(acted > all.len() / 2, "{acted} of {} acted", all.len());
    let mut arena = Arena {
        world,
        honest,
        group,
        others: group,
        puppet: puppets.into_iter().next().expect("two"),
        invitation: InvitationSecret::from_bytes(&[1; 16]),
        posts,
    };
    let took_ms = arena.agree("two enemies");
    assert!(took_ms <= 60_000, "{took_ms} ms");
    let listed = arena.listing(a);
    for id in &arena.posts {
        assert!(listed.iter().any(|(listed, _, _, content)| listed == id && content.is_some()), "a post is missing");
    }
    for node in honest {
        assert!(arena.world.is_running(node));
        assert_eq!(arena.set_of(node, &deeds.forged), 0, "{node:?} has forged blocks");
        assert_sound(&arena.world, node);
    }
}

/// More heads than one message names, of which each member was told another third, and nobody writes anything that would
/// gather them.
#[test]
fn c1_members_agree_on_more_heads_than_one_message_names() {
    let all = enemies::all();
    let class = all.iter().find(|class| class.name == "wide_fan").expect("a class of this name");
    let mut arena = arena(7_100, class, BORNE);
    let (honest, group) = (arena.honest, arena.group);
    let mut deeds = Deeds::default();
    let mut turn = Turn::new(&mut arena.world, &mut arena.puppet, &honest, group, &mut deeds);
    assert_eq!((class.make)().act(&mut turn), Outcome::Acted);
    let took_ms = arena.agree("a fan");
    for node in honest {
        assert_eq!(arena.set_of(node, &deeds.valid), deeds.valid.len(), "{took_ms} ms");
        assert_sound(&arena.world, node);
    }
    assert!(took_ms <= 60_000, "{took_ms} ms");

    // Nor does each message cost a look at all of them (R2).
    let store = Counting::over(arena.world.store(honest[0]));
    let view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
    let mut fold = Fold::default();
    let reads: Vec<usize> = (0..2)
        .map(|_| {
            let before = store.reads();
            fold.current(&view, group).expect("a group");
            store.reads() - before
        })
        .collect();
    assert!(reads[0] < 256 && reads[1] <= 3, "{reads:?} reads");
}

/// As above; one of the heads came while a member was cut off, and has so high an id that a list cut short in the order of
/// ids never names it.
#[test]
fn c1_a_member_that_was_away_learns_of_a_head_behind_more_than_one_message_names() {
    let all = enemies::all();
    let class = all.iter().find(|class| class.name == "wide_fan").expect("a class of this name");
    let mut arena = arena(7_101, class, BORNE);
    let (honest, group) = (arena.honest, arena.group);
    let [a, b, c] = honest;
    let mut deeds = Deeds::default();
    let mut turn = Turn::new(&mut arena.world, &mut arena.puppet, &honest, group, &mut deeds);
    assert_eq!((class.make)().act(&mut turn), Outcome::Acted);
    arena.agree("a fan");
    arena.world.cut(a, c);
    arena.world.cut(b, c);
    arena.world.run_for(100);
    let alone = [a];
    let mut turn = Turn::new(&mut arena.world, &mut arena.puppet, &alone, group, &mut deeds);
    let mut siblings = std::iter::repeat_with(|| turn.unkept(b"the last").expect("a member may write"));
    let (raw, attachment) = siblings.find(|(raw, _)| Header::id_of(&raw.header).0[0] == 0xFF).expect("one in 256");
    assert_eq!(turn.session(a), Some(()));
    assert_eq!(turn.offer(a, raw.clone(), Some(&attachment)), Some(()));
    arena.world.run_for(1_000);
    let last = BTreeSet::from([Header::id_of(&raw.header)]);
    assert_eq!(honest.map(|node| arena.set_of(node, &last)), [1, 1, 0]);
    arena.world.mend(a, c);
    arena.world.link(a, c);
    let took_ms = arena.agree("after the cut");
    assert!(took_ms <= 60_000, "{took_ms} ms");
}
