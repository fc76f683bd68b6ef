//! Findings of a hostile review against the fold: the membership follows from the set of operations alone, and no set
//! that may exist is too deep to be folded.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use offchain_testkit::{MemoryStore, Puppet};
use proptest::prelude::*;
use proptest::sample::Index;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::limits::NESTING_MAX;
use walytis_core::{
    AuthorSecret, BlockId, BlockKind, ChainId, Draft, ForeignHead, Hash, ParsedBlock, Pending, Place, RawBlock, Store,
    Timestamp, VerifiedBlock, chains,
};
use walytis_identities::{
    Admit, Binding, Desk, Fold, Founder, Genesis, History, InvitationSecret, LocalDevice, Membership, OpenInvitation,
    Operation, Purpose, Refusal, Role, SignedBinding, give_wrap, keyring,
};

const NOW: Timestamp = Timestamp(1);
const SESSION: Hash = Hash([1; 32]);

/// Whoever writes on the chain in question: a device, and its key there.
struct Writer {
    device: LocalDevice,
    author: AuthorSecret,
}

/// Everything that operations are made of, over one store.
struct Bench {
    view: Pending,
    rng: ChaCha20Rng,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        Self { view: Pending::new(store), rng: ChaCha20Rng::seed_from_u64(seed) }
    }

    fn device(&mut self) -> LocalDevice {
        let mut fold = Fold::default();
        let mut desk = Desk { view: &mut self.view, fold: &mut fold, now: NOW, rng: &mut self.rng };
        LocalDevice::create(&mut desk).expect("a store")
    }

    fn writer(&mut self) -> Writer {
        Writer { device: self.device(), author: AuthorSecret::generate(&mut self.rng) }
    }

    fn foreign(&self, chain: ChainId) -> Vec<ForeignHead> {
        let heads = chains::heads(&self.view, chain).expect("a store");
        heads.into_iter().map(|block| ForeignHead { chain, block }).collect()
    }

    /// A signed operation, whatever anybody thinks of it.
    fn sign(
        &mut self,
        writer: &Writer,
        place: Place,
        operation: &Operation,
        foreign: Vec<ForeignHead>,
        at: Timestamp,
    ) -> VerifiedBlock {
        let draft = Draft { kind: BlockKind::Operation, place, foreign, topics: vec![], content: operation.encode() };
        draft.sign(&writer.author, &writer.device.secret, at, &mut self.rng).expect("a well-formed block")
    }

    /// Judges a block by a fold that remembers nothing, and takes it in.
    fn enter(&mut self, block: &VerifiedBlock) -> Result<BlockId, Refusal> {
        enter(&mut self.view, &mut Fold::default(), block.parsed())
    }

    /// An identity chain that the writer founds, acting over this path.
    fn found(&mut self, writer: &Writer, path: Vec<ChainId>, number: u8) -> Result<ChainId, Refusal> {
        let place = [number; 32];
        let foreign = path.first().map(|member| self.foreign(*member)).unwrap_or_default();
        let founder = writer.device.bind(path, &place, &writer.author, None, &mut self.rng);
        let founder = Founder::Identity(Box::new(founder));
        let genesis = Operation::Genesis(Genesis { purpose: Purpose::Identity, founder, history: History::All });
        let block = self.sign(writer, Place::Genesis(place), &genesis, foreign, NOW);
        self.enter(&block).map(|_| block.chain())
    }

    /// What a joiner signs to be admitted to an identity chain.
    fn binding(&mut self, joiner: &Writer, chain: ChainId, path: Vec<ChainId>) -> SignedBinding {
        joiner.device.bind(path, &chain.0, &joiner.author, None, &mut self.rng)
    }

    fn admit(&mut self, chain: ChainId, joiner: SignedBinding, invitation: &InvitationSecret) -> Operation {
        let proof = Puppet::proof(chain, &joiner, invitation, &SESSION, &mut self.rng);
        let invitation = invitation.key().public().clone();
        Operation::Admit(Box::new(Admit { joiner, invitation, session: SESSION, proof }))
    }

    fn behind_heads(&self, chain: ChainId) -> Place {
        let parents = chains::heads(&self.view, chain).expect("a store");
        Place::After { chain, parents, previous: None }
    }
}

fn open(invitation: &InvitationSecret, uses: u32) -> Operation {
    let invitation = invitation.id().0;
    Operation::OpenInvitation(OpenInvitation { invitation, role: Role::Manage, uses, expires_at_ms: None })
}

fn enter(view: &mut Pending, fold: &mut Fold, block: &ParsedBlock) -> Result<BlockId, Refusal> {
    let judged = fold.judge(view, block.clone())?;
    chains::insert(view, &judged.block)?;
    Ok(judged.block.id())
}

fn cold(view: &Pending, chain: ChainId, operations: &[BlockId]) -> Arc<Membership> {
    Fold::default().at(view, chain, operations).expect("a set that was judged can be folded")
}

/// B3: a public chain's genesis is a block of content, which takes one signature; nobody founds an identity with that.
#[test]
fn b3_a_genesis_of_content_founds_no_identity() {
    let mut bench = Bench::new(3);
    let device = bench.device();
    let genesis = chains::block_at(&bench.view, device.identity, 0).expect("a store").expect("its first block");
    let (topics, content) = (Vec::new(), genesis.block.content().to_vec());
    let place = Place::Genesis([9; 32]);
    let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics, content };
    let block = draft.sign_alone(&AuthorSecret::generate(&mut bench.rng), NOW).expect("a well-formed block");
    assert!(matches!(bench.enter(&block), Err(Refusal::Rule { rule, .. }) if rule.contains("an operation")));
}

/// Chains each of which has the one below as a member, over a path that names only that and the device.
#[test]
fn r3_chains_nest_eight_deep_over_short_paths_and_no_deeper() {
    let mut bench = Bench::new(2);
    let writer = bench.writer();
    let device = writer.device.identity;
    let mut below = bench.found(&writer, vec![device], 0).expect("one level");
    for level in 2..=NESTING_MAX + 2 {
        let number = u8::try_from(level).expect("few levels");
        let chain = bench.found(&writer, vec![device], number).expect("an identity of the device alone");
        let invitation = InvitationSecret::from_bytes(&[number; 16]);
        let place = bench.behind_heads(chain);
        let opening = bench.sign(&writer, place, &open(&invitation, 1), Vec::new(), NOW);
        bench.enter(&opening).expect("by the founder");
        // The writer's device acts for the chain below, under a new key.
        let author = AuthorSecret::generate(&mut bench.rng);
        let joiner = writer.device.bind(vec![below, device], &chain.0, &author, None, &mut bench.rng);
        let admit = bench.admit(chain, joiner, &invitation);
        let (place, foreign) = (bench.behind_heads(chain), bench.foreign(below));
        let admission = bench.sign(&writer, place, &admit, foreign, NOW);
        let entered = bench.enter(&admission);
        if level <= NESTING_MAX {
            let id = entered.unwrap_or_else(|error| panic!("level {level}: {error}"));
            let membership = cold(&bench.view, chain, &[id]);
            assert_eq!(usize::from(membership.depth), level);
            assert_eq!(membership.members.len(), 2, "level {level}");
        } else {
            assert!(matches!(entered, Err(Refusal::Rule { .. })), "level {level}: {entered:?}");
            break;
        }
        below = chain;
    }
}

/// The same with chains founded one above the other, each over the whole path.
#[test]
fn r3_chains_nest_eight_deep_over_long_paths_and_no_deeper() {
    let mut bench = Bench::new(3);
    let writer = bench.writer();
    let mut path = vec![writer.device.identity];
    for level in 1..=NESTING_MAX {
        let number = u8::try_from(level).expect("few levels");
        let founded = bench.found(&writer, path.clone(), number);
        let chain = founded.unwrap_or_else(|error| panic!("level {level}: {error}"));
        assert_eq!(usize::from(cold(&bench.view, chain, &[chain.into()]).depth), level);
        path.insert(0, chain);
    }
    let beyond = bench.found(&writer, path, 99);
    assert!(matches!(beyond, Err(Refusal::Rule { .. } | Refusal::Fold(_))), "{beyond:?}");
}

/// A chain, and some who may be admitted to it: what random operations are made over.
struct Stage {
    bench: Bench,
    chain: ChainId,
    founder: Writer,
    joiners: Vec<Writer>,
    invitations: Vec<InvitationSecret>,
    /// By joiner, then invitation: the admission, ready to be written by anybody who may.
    admissions: Vec<Vec<Operation>>,
    clock: u64,
}

impl Stage {
    fn new(seed: u64, joiners: usize, invitations: u8) -> Self {
        let mut bench = Bench::new(seed);
        let founder = bench.writer();
        let chain = bench.found(&founder, vec![founder.device.identity], 7).expect("an identity of one device");
        let joiners: Vec<Writer> = (0..joiners).map(|_| bench.writer()).collect();
        let mut invitations: Vec<_> =
            (0..invitations).map(|number| InvitationSecret::from_bytes(&[number; 16])).collect();
        invitations.sort_by_key(|invitation| invitation.id().0);
        let admissions = joiners
            .iter()
            .map(|joiner| {
                let path = vec![joiner.device.user, joiner.device.identity];
                let binding = bench.binding(joiner, chain, path);
                invitations.iter().map(|invitation| bench.admit(chain, binding.clone(), invitation)).collect()
            })
            .collect();
        Self { bench, chain, founder, joiners, invitations, admissions, clock: 0 }
    }

    /// An operation on top of these, by the founder or, counted from 1, a joiner. Each is another block.
    fn make(&mut self, writer: usize, parents: &[BlockId], operation: &Operation) -> VerifiedBlock {
        self.clock += 1;
        let foreign = match operation {
            Operation::Admit(admit) => self.bench.foreign(admit.joiner.binding.path[0]),
            _ => Vec::new(),
        };
        let writer = writer.checked_sub(1).map_or(&self.founder, |joiner| &self.joiners[joiner]);
        let place = Place::After { chain: self.chain, parents: parents.to_vec(), previous: None };
        self.bench.sign(writer, place, operation, foreign, Timestamp(self.clock))
    }

    fn write(&mut self, writer: usize, parents: &[BlockId], operation: &Operation) -> BlockId {
        let block = self.make(writer, parents, operation);
        self.bench.enter(&block).expect("a valid operation")
    }

    fn open(&mut self, writer: usize, parents: &[BlockId], invitation: usize, uses: u32) -> BlockId {
        let opening = open(&self.invitations[invitation], uses);
        self.write(writer, parents, &opening)
    }

    fn admit(&mut self, writer: usize, parents: &[BlockId], joiner: usize, invitation: usize) -> BlockId {
        let admission = self.admissions[joiner - 1][invitation].clone();
        self.write(writer, parents, &admission)
    }

    fn is_member(&self, membership: &Membership, joiner: usize) -> bool {
        membership.members.contains_key(&self.joiners[joiner - 1].device.user)
    }

    /// The membership on top of one operation, computed from nothing; it must not matter that what lies below was known.
    fn warm_and_cold(&self, below: &[BlockId], top: BlockId) -> Arc<Membership> {
        let mut warm = Fold::default();
        warm.at(&self.bench.view, self.chain, below).expect("a set that was judged can be folded");
        let warm = warm.at(&self.bench.view, self.chain, &[top]).expect("a set that was judged can be folded");
        let cold = cold(&self.bench.view, self.chain, &[top]);
        assert_eq!(warm, cold);
        cold
    }
}

#[test]
fn c2_of_two_openings_at_once_of_one_invitation_the_first_counts_for_everybody() {
    for swapped in [false, true] {
        let mut stage = Stage::new(4, 2, 1);
        let genesis = BlockId::from(stage.chain);
        let many = stage.open(0, &[genesis], 0, 5);
        let one = loop {
            let opening = open(&stage.invitations[0], 1);
            let block = stage.make(0, &[genesis], &opening);
            if (block.id() < many) == swapped {
                break stage.bench.enter(&block).expect("it is as new as the other");
            }
        };
        let merge = stage.write(0, &[many, one], &Operation::Merge);
        let first = stage.admit(0, &[merge], 1, 0);
        let admission = stage.admissions[1][0].clone();
        let second = stage.make(0, &[first], &admission);
        let entered = stage.bench.enter(&second);
        if swapped {
            assert!(matches!(entered, Err(Refusal::Rule { .. })), "the first has one use: {entered:?}");
        } else {
            let second = entered.expect("the first has five uses");
            assert_eq!(stage.warm_and_cold(&[first], second).members.len(), 3);
        }
    }
}

/// An admission falls because a senior one claims the same use; another that had fallen for it must not stay away for those
/// only who compute the whole set at once.
#[test]
fn c2_an_admission_that_was_valid_stands_although_void_ones_claimed_its_use() {
    let (x, y, p, q, r, z) = (1, 2, 3, 4, 5, 6);
    let mut stage = Stage::new(5, 6, 3);
    let genesis = BlockId::from(stage.chain);
    let (wide, narrow, own) = (0, 1, 2);
    let opened = stage.open(0, &[genesis], wide, 2);
    let opened = stage.open(0, &[opened], narrow, 1);
    let opened = stage.open(0, &[opened], own, 1);
    // The founder forks: of the narrow invitation's one use P has the first, so that X is nobody in the end.
    let first = stage.admit(0, &[opened], p, narrow);
    let first = stage.admit(0, &[first], r, wide);
    let later = stage.write(0, &[opened], &Operation::Merge);
    let fallen = stage.admit(0, &[later], x, narrow);
    let by_fallen = stage.admit(x, &[fallen], q, wide);
    let merge = stage.write(0, &[first, by_fallen], &Operation::Merge);
    // Y is junior to X, and takes the wide invitation's second use.
    let junior = stage.admit(0, &[merge], y, own);
    let last = stage.admit(y, &[junior], z, wide);
    let membership = stage.warm_and_cold(&[junior], last);
    for (joiner, stands) in [(x, false), (q, false), (p, true), (r, true), (y, true), (z, true)] {
        assert_eq!(stage.is_member(&membership, joiner), stands, "joiner {joiner}");
    }
}

#[derive(Clone, Debug)]
enum Choice {
    Merge,
    Open { invitation: usize, uses: u32 },
    Admit { joiner: usize, invitation: usize },
}

const JOINERS: usize = 5;
const INVITATIONS: usize = 3;

/// Who writes, on top of which of the operations so far, and what.
fn choice() -> impl Strategy<Value = (usize, Vec<Index>, Choice)> {
    let invitation = 0..INVITATIONS;
    let what = prop_oneof![
        1 => Just(Choice::Merge),
        3 => (invitation.clone(), 1..3_u32).prop_map(|(invitation, uses)| Choice::Open { invitation, uses }),
        6 => (1..=JOINERS, invitation).prop_map(|(joiner, invitation)| Choice::Admit { joiner, invitation }),
    ];
    (prop_oneof![2 => Just(0), 1 => 1..=JOINERS], proptest::collection::vec(any::<Index>(), 1..4), what)
}

/// Feeds a fold block by block, and compares what it says of the set so far, and of each block's own past, with what a fold
/// says that begins anew. Returns what it says of the whole.
fn feed(store: &Arc<dyn Store>, chain: ChainId, blocks: &[&VerifiedBlock]) -> Arc<Membership> {
    let mut view = Pending::new(Arc::clone(store));
    let mut fold = Fold::default();
    for block in blocks {
        let id = enter(&mut view, &mut fold, block.parsed()).expect("what one order accepts, each does");
        let heads = chains::operation_heads(&view, chain).expect("a store");
        for set in [vec![id], heads] {
            let warm = fold.at(&view, chain, &set).expect("a set that was judged can be folded");
            assert_eq!(warm, cold(&view, chain, &set));
        }
    }
    fold.current(&view, chain).expect("a set that was judged can be folded")
}

/// Every order in which each block comes behind its parents can be had: the free block of the least number comes next.
fn ordered<'a>(blocks: &'a [VerifiedBlock], numbers: &[u32]) -> Vec<&'a VerifiedBlock> {
    let known: BTreeSet<BlockId> = blocks.iter().map(|block| block.id()).collect();
    let mut open: Vec<(u32, &VerifiedBlock)> = numbers.iter().copied().zip(blocks).collect();
    let (mut done, mut order) = (BTreeSet::new(), Vec::new());
    while !open.is_empty() {
        let free = |block: &VerifiedBlock| {
            block.header().all_parents().all(|parent| !known.contains(&parent) || done.contains(&parent))
        };
        let next = (0..open.len()).filter(|at| free(open[*at].1)).min_by_key(|at| open[*at].0);
        let (_, block) = open.remove(next.expect("a graph without circles"));
        done.insert(block.id());
        order.push(block);
    }
    order
}

/// Random sets of operations by a founder and by managers whom it admits, with forks, invitations that are used more often
/// than they allow, and admissions that fall with their author.
#[test]
fn b4_c2_the_fold_over_a_set_is_the_same_in_any_order_and_from_whatever_was_remembered() {
    let mut stage = Stage::new(6, JOINERS, 3);
    let (_, batch) = stage.bench.view.close_step().expect("there is something");
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    store.commit(&batch).expect("a new store");
    let genesis = BlockId::from(stage.chain);
    let (mut valid, mut fallen) = (0_usize, 0_usize);
    let strategy = (
        proptest::collection::vec(choice(), 8..40),
        proptest::collection::vec(proptest::collection::vec(any::<u32>(), 40), 3),
    );
    let stage = std::cell::RefCell::new((&mut stage, &mut valid, &mut fallen));
    runner(48)
        .run(&strategy, |(choices, orders)| {
            let (stage, valid, fallen) = &mut *stage.borrow_mut();
            stage.bench.view = Pending::new(Arc::clone(&store));
            let mut ids = vec![genesis];
            let mut blocks = Vec::new();
            let mut admitted = 0;
            for (writer, parents, choice) in choices {
                let operation = match choice {
                    Choice::Merge => Operation::Merge,
                    Choice::Open { invitation, uses } => open(&stage.invitations[invitation], uses),
                    Choice::Admit { joiner, invitation } => stage.admissions[joiner - 1][invitation].clone(),
                };
                let parents: BTreeSet<BlockId> = parents.iter().map(|at| *at.get(&ids)).collect();
                let parents: Vec<BlockId> = parents.into_iter().collect();
                let block = stage.make(writer, &parents, &operation);
                // Many are not valid over their ancestors. Those are no part of any set.
                if let Ok(id) = stage.bench.enter(&block) {
                    ids.push(id);
                    blocks.push(block);
                    admitted += usize::from(matches!(operation, Operation::Admit(_)));
                }
            }
            let whole = feed(&store, stage.chain, &blocks.iter().collect::<Vec<_>>());
            for numbers in &orders {
                prop_assert_eq!(&feed(&store, stage.chain, &ordered(&blocks, numbers)), &whole);
            }
            **valid += blocks.len();
            **fallen += admitted + 1 - whole.members.len();
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let (_, valid, fallen) = stage.into_inner();
    assert!(*valid > 200 && *fallen > 20, "not worth much: {valid} operations, {fallen} admissions fell");
}

/// How the admissions of two who claim one leaf key stand to each other.
#[derive(Clone, Copy, Debug)]
enum Claims {
    HolderFirst,
    ClaimerFirst,
    AtOnce,
}

/// That a device holds a leaf key it can prove to nobody but who wraps for it. So a founder can seat anybody under another's
/// leaf key, before, behind or beside the other's admission. That takes nothing from who holds it, and gives nothing.
#[test]
fn s4_who_claims_anothers_leaf_key_keeps_no_epoch_from_who_holds_it() {
    for claims in [Claims::HolderFirst, Claims::ClaimerFirst, Claims::AtOnce] {
        let mut world = calm(7);
        let [a] = nodes(&mut world);
        group_of(&mut world, "g", a, &[]);
        let code = code_of(&mut world, a, "g", 2);
        let group = *code.group();
        let mut founder = Puppet::possess(&mut world, a).expect("a store");
        let [mut holder, mut claimer] =
            nodes::<2>(&mut world).map(|node| Puppet::possess(&mut world, node).expect("a store"));
        let asks = |joiner: &mut Puppet| joiner.join_request(group, code.secret(), &SESSION).expect("a store");
        let (honest, mut forged) = (asks(&mut holder), asks(&mut claimer));
        let leaf = honest.joiner.binding.leaf.clone().expect("a group has leaf keys");
        let binding = Binding { leaf: Some(leaf.clone()), ..forged.joiner.binding };
        forged.joiner = claimer.sign_binding(binding, group, &group.0).expect("its own keys");
        forged.proof = Puppet::proof(group, &forged.joiner, code.secret(), &SESSION, &mut claimer.rng);

        let before = founder.fold.current(&founder.view, group).expect("a group");
        let mut admissions = [&honest, &forged].map(|request| {
            let (admit, foreign) = founder.admission(request, SESSION).expect("sound identities");
            (Operation::Admit(Box::new(admit)), foreign)
        });
        if !matches!(claims, Claims::HolderFirst) {
            admissions.reverse();
        }
        if matches!(claims, Claims::AtOnce) {
            // The one who claims it comes first in the order of the fold, if that is by id.
            let mut blocks: Vec<_> = admissions
                .map(|(operation, foreign)| unjudged(&mut founder, &world, group, &operation, foreign))
                .to_vec();
            let id = |raw: &RawBlock| walytis_core::Header::id_of(&raw.header);
            while id(&blocks[0]) > id(&blocks[1]) {
                let (operation, foreign) = (Operation::decode(&blocks[0].content), founder_names(&blocks[0]));
                let operation = operation.expect("our own");
                world.run_for(1);
                blocks[0] = unjudged(&mut founder, &world, group, &operation, foreign);
            }
            founder.take_in(&blocks).expect("each is valid over its own past");
        } else {
            for (operation, foreign) in admissions {
                founder.operation(&world, group, &operation, foreign).expect("whoever comes second is admitted, too");
            }
        }
        let heads = chains::operation_heads(&founder.view, group).expect("a store");
        let membership = founder.fold.current(&founder.view, group).expect("a group");
        assert_eq!(membership, cold(&founder.view, group, &heads), "{claims:?}");
        assert_eq!((membership.members.len(), membership.devices.len()), (3, 3), "{claims:?}");
        assert!(!before.has_readers_of(&membership) && before.readers_tag != membership.readers_tag, "{claims:?}");

        let (device, mut desk) = founder.desk(&world);
        let epoch = device.begin_epoch(&mut desk, group).expect("a manager");
        let stored = chains::block(&founder.view, epoch).expect("a store").expect("it was written");
        let Ok(Operation::BeginEpoch(begin)) = Operation::decode(stored.block.content()) else { panic!("an epoch") };
        for (joiner, request, holds) in [(&mut holder, &honest, true), (&mut claimer, &forged, false)] {
            let author = request.joiner.binding.author;
            let seated = Arc::clone(&membership.devices[&author]);
            assert!(membership.names_reader(&author, &seated), "{claims:?}: {holds}");
            let reader = (&author, &*seated);
            let given = give_wrap(&founder.view, &mut founder.fold, &mut founder.rng, group, (epoch, &begin), reader);
            let given = given.expect("a store").expect("the epoch names it").encode();
            let accepted = joiner.device.accept_wrap(&mut joiner.view, group, epoch, &begin, &given);
            assert_eq!(accepted.is_ok(), holds, "{claims:?}: {accepted:?}");
            let opened = keyring::epoch(&joiner.view, epoch).expect("a store").is_some();
            assert_eq!(opened, holds, "{claims:?}: who holds the key reads, and nobody else");
        }
    }
}

/// The heads of other chains that a block names.
fn founder_names(raw: &RawBlock) -> Vec<ForeignHead> {
    walytis_core::Header::decode(&raw.header).expect("our own").foreign
}
