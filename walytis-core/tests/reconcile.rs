//! Comparing two sets of blocks that are closed under ancestors: each side learns what it lacks, at a price that the
//! difference sets and the length of the chain does not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers that cannot go on fail their tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use walytis_core::reconcile::{
    Asking, Bound, Compare, Differ, Grid, Holding, Index, Item, Key, LISTED_MAX, Next, Open, Part, RANGES_MAX,
    ROUNDS_MAX, Reply, SHORTS_MAX, Salt, Short, Span, Sum, Told, Where, reply,
};
use walytis_core::{BlockId, ChainId, codec};

const CHAIN: ChainId = ChainId([7; 32]);
const SALT: Salt = Salt([9; 8]);
/// What a message may have at most, a few bytes of the frame aside.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// A set in memory, by (generation, id).
#[derive(Clone, Debug, Default)]
struct Set(BTreeSet<Item>);

impl Index for Set {
    type Error = ();

    fn generations(&self) -> u64 {
        self.0.last().map_or(0, |item| item.generation + 1)
    }

    fn sums(&mut self, spans: &[Span]) -> Result<Option<Vec<Sum>>, ()> {
        let sum_of = |span: &Span| {
            let mut sum = Sum::default();
            self.0.iter().filter(|item| contains(span, item)).for_each(|item| sum.add(Sum::of(item.id)));
            sum
        };
        Ok(Some(spans.iter().map(sum_of).collect()))
    }

    fn items(&mut self, spans: &[Span], limit: usize) -> Result<Vec<(usize, Item)>, ()> {
        let of = |item: &Item| spans.iter().position(|span| contains(span, item));
        Ok(self.0.iter().filter_map(|item| Some((of(item)?, *item))).take(limit).collect())
    }
}

fn contains(span: &Span, item: &Item) -> bool {
    span.contains(Bound::of(item.generation, item.id))
}

/// A block of a made-up chain.
#[derive(Clone, Debug)]
struct Made {
    parents: Vec<usize>,
    item: Item,
}

fn made(parents: Vec<usize>, before: &[Made]) -> Made {
    let position = before.len() as u64;
    let generation = parents.iter().map(|parent| before[*parent].item.generation + 1).max().unwrap_or(0);
    let id = BlockId(*blake3::hash(&position.to_le_bytes()).as_bytes());
    Made { parents, item: Item { generation, id, position } }
}

/// What somebody has who has these blocks.
fn closed(chain: &[Made], heads: &[usize]) -> Set {
    let (mut open, mut has) = (heads.to_vec(), BTreeSet::from([0]));
    while let Some(block) = open.pop() {
        if has.insert(block) {
            open.extend(&chain[block].parents);
        }
    }
    Set(has.into_iter().map(|block| chain[block].item).collect())
}

/// What one comparison cost.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    bytes: usize,
    /// Messages of the side that asks.
    rounds: u32,
}

/// Lets a message travel.
fn travel<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
    message: &T,
    is_bounded: fn(&T) -> bool,
) -> usize {
    let bytes = codec::encode(message);
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(message));
    assert!(is_bounded(message), "an honest message keeps to its bounds");
    assert!(bytes.len() <= MESSAGE_BYTES_MAX, "{} bytes", bytes.len());
    bytes.len()
}

/// Compares once. What `ours` is sent of `theirs`; `None` if it gave up.
fn compare(ours: &mut Set, theirs: &mut Set) -> (Option<Vec<u64>>, Cost) {
    let (sent, cost, rest) = compare_from(Bound::START, ours, theirs);
    assert_eq!(rest, None, "one comparison is enough");
    (sent, cost)
}

/// Compares once from a place on. Also where another comparison has to begin.
fn compare_from(from: Bound, ours: &mut Set, theirs: &mut Set) -> (Option<Vec<u64>>, Cost, Option<Bound>) {
    let mut cost = Cost::default();
    let (mut asking, mut message) = Asking::begin(ours, CHAIN, SALT, from).unwrap().unwrap();
    let key = Key::new(CHAIN, SALT);
    loop {
        cost.bytes += travel(&message, Compare::is_bounded);
        cost.rounds += 1;
        assert!(cost.rounds <= ROUNDS_MAX);
        match reply(theirs, &key, &message).unwrap() {
            Reply::Send(positions) => return (Some(positions), cost, asking.rest()),
            Reply::Differ(differ) => {
                cost.bytes += travel(&differ, Differ::is_bounded);
                match asking.go_on(ours, &differ).unwrap() {
                    Next::Tell(next) => message = next,
                    Next::GiveUp => return (None, cost, asking.rest()),
                    Next::Misbehaved => panic!("an honest answer: {differ:?}"),
                }
            }
        }
    }
}

fn lacking(ours: &Set, theirs: &Set) -> Vec<u64> {
    let mut lacking: Vec<u64> = theirs.0.difference(&ours.0).map(|item| item.position).collect();
    lacking.sort_unstable();
    lacking
}

/// Compares in both directions, and looks whether each learns exactly what it lacks. What both cost.
fn check(a: &mut Set, b: &mut Set) -> [Cost; 2] {
    [(a.clone(), b.clone()), (b.clone(), a.clone())].map(|(mut ours, mut theirs)| {
        let (sent, cost) = compare(&mut ours, &mut theirs);
        assert_eq!(sent.unwrap_or_default(), lacking(&ours, &theirs));
        cost
    })
}

/// A chain of a length with one block a generation, of which two nodes wrote so many blocks apart from each other.
fn forked(length: usize, apart: usize) -> (Set, Set) {
    let mut chain = Vec::new();
    for block in 0..length {
        chain.push(made(if block == 0 { vec![] } else { vec![block - 1] }, &chain));
    }
    let mut tips = [length - 1, length - 1];
    for _ in 0..apart {
        for tip in &mut tips {
            chain.push(made(vec![*tip], &chain));
            *tip = chain.len() - 1;
        }
    }
    (closed(&chain, &[tips[0]]), closed(&chain, &[tips[1]]))
}

#[test]
fn what_two_lack_costs_the_same_whatever_they_have_in_common() {
    for apart in [1, 3, 100, 1_000] {
        let mut before = None;
        for length in [1_000, 10_000, 30_000] {
            let (mut a, mut b) = forked(length, apart);
            for cost in check(&mut a, &mut b) {
                assert!(cost.rounds <= 3, "{length} {apart}: {cost:?}");
                assert!(cost.bytes <= 400 + 20 * apart, "{length} {apart}: {cost:?}");
                // A ladder has a step for each doubling.
                let first: Cost = *before.get_or_insert(cost);
                assert!(cost.bytes <= first.bytes + 150 + first.bytes / 4, "{length} {apart}: {cost:?} {first:?}");
            }
        }
    }
}

#[test]
fn many_concurrent_blocks_are_compared_by_parts_of_a_generation() {
    let mut chain = vec![made(vec![], &[])];
    for _ in 0..10_200 {
        chain.push(made(vec![0], &chain));
    }
    let common: Vec<usize> = (1..=10_000).collect();
    let mut a = closed(&chain, &[&common[..], &(10_001..=10_100).collect::<Vec<_>>()].concat());
    let mut b = closed(&chain, &[&common[..], &(10_101..=10_200).collect::<Vec<_>>()].concat());
    for cost in check(&mut a, &mut b) {
        assert!(cost.rounds <= 3 && cost.bytes <= 32 * 1024, "{cost:?}");
    }
}

#[test]
fn who_is_far_ahead_asks_for_little_and_lists_little() {
    let (mut a, mut b) = forked(2_000, 3_000);
    // One of them has all, the other lacks its own end.
    b.0.retain(|item| item.generation < 2_010);
    let mut all = Set(a.0.union(&b.0).copied().collect());
    for cost in check(&mut all, &mut a) {
        assert!(cost.bytes <= 32 * 1024, "{cost:?}");
    }
    let [of_a, of_b] = check(&mut a, &mut b);
    assert!(of_a.bytes <= 2_000 && of_b.bytes <= 2_000, "{of_a:?} {of_b:?}");
}

#[test]
fn what_is_too_much_for_one_message_comes_from_below_and_the_rest_later() {
    // Each of many generations differs, and there are more than one message has room for.
    let mut chain = vec![made(vec![], &[])];
    let mut sides = [vec![], vec![]];
    for generation in 0..6_000 {
        let trunk = if generation == 0 { 0 } else { generation * 3 };
        for side in &mut sides {
            chain.push(made(vec![trunk], &chain));
            side.push(chain.len() - 1);
        }
        chain.push(made(vec![trunk], &chain));
        for side in &mut sides {
            side.push(chain.len() - 1);
        }
    }
    let (mut a, b) = (closed(&chain, &sides[0]), closed(&chain, &sides[1]));
    let (mut times, mut rest) = (0, Some(Bound::START));
    while let Some(from) = rest {
        let missing = lacking(&a, &b);
        times += 1;
        let (sent, _, next) = compare_from(from, &mut a, &mut b.clone());
        assert!(next.is_none_or(|next| from < next), "it gets on");
        rest = next;
        let sent = sent.expect("something is missing");
        assert!(!sent.is_empty() && sent.iter().all(|position| missing.contains(position)), "each comes once");
        a.0.extend(sent.iter().map(|position| chain[usize::try_from(*position).unwrap()].item));
        let has: BTreeSet<u64> = a.0.iter().map(|item| item.position).collect();
        let parents = sent.iter().flat_map(|position| &chain[usize::try_from(*position).unwrap()].parents);
        assert!(parents.into_iter().all(|parent| has.contains(&(*parent as u64))), "parents come first");
    }
    assert_eq!(lacking(&a, &b), []);
    assert!((2..=8).contains(&times), "{times}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_closed_sets_learn_exactly_what_they_lack(
        shape in prop::collection::vec((1_usize..40, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..800),
        spread in prop_oneof![Just(1_usize), Just(3), Just(1_000)],
        heads in prop::array::uniform2(prop::collection::vec(any::<prop::sample::Index>(), 1..20)),
    ) {
        let mut chain = vec![made(vec![], &[])];
        for (back, first, second) in shape {
            // Parents are among the last blocks: few for a deep chain, all for a wide one.
            let back = back.min(spread).max(spread / 2).min(chain.len());
            let parent = |choice: prop::sample::Index| chain.len() - 1 - choice.index(back);
            let parents = BTreeSet::from([parent(first), parent(second)]).into_iter().collect();
            chain.push(made(parents, &chain));
        }
        let [mut a, mut b] = heads.map(|heads| {
            closed(&chain, &heads.iter().map(|head| head.index(chain.len())).collect::<Vec<_>>())
        });
        for cost in check(&mut a, &mut b) {
            prop_assert!(cost.rounds <= 4, "{:?}", cost);
        }
    }

    #[test]
    fn no_message_of_a_stranger_is_trouble(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        marks in prop::collection::vec((any::<u8>(), 0_u64..400, 0_u8..70, 0_u8..40, 0_u64..3), 0..20),
    ) {
        let (mut a, _) = forked(300, 20);
        let key = Key::new(CHAIN, SALT);
        if let Ok(message) = codec::decode::<Compare>(&bytes) && message.is_bounded() {
            let _ = reply(&mut a, &key, &message).unwrap();
        }
        // What it tells is possible and a lie.
        let mut end = 0;
        let mut told = Vec::new();
        for (kind, length, ..) in &marks {
            let to = Bound { generation: end + 1 + length, prefix: u32::from(*kind) << 20 };
            end = to.generation + 1;
            let some = Part { count: length + 1, mark: Some(walytis_core::reconcile::Mark([*kind; 8])) };
            let holding = match kind % 4 {
                0 => Holding::Nothing,
                1 => Holding::Some(some),
                2 => Holding::These(vec![Short([*kind; 6])]),
                _ => Holding::Lacking(vec![Short([*kind; 6])]),
            };
            told.push(Told { from: None, to, holding });
        }
        let message = Compare { salt: SALT, goes_on: false, told: told.into() };
        prop_assert!(message.is_bounded());
        if let Reply::Differ(differ) = reply(&mut a, &key, &message).unwrap() {
            prop_assert!(differ.is_bounded());
        }
        // Answers that are lies end, too.
        let (mut asking, mut message) = Asking::begin(&mut a, CHAIN, SALT, Bound::START).unwrap().unwrap();
        for round in 0..=ROUNDS_MAX {
            prop_assert!(message.is_bounded());
            let open = marks.iter().map(|(told, length, generations_log2, prefixes_log2, kind)| {
                let parts = vec![Part { count: 999, mark: Some(walytis_core::reconcile::Mark([*told; 8])) }; 1 + usize::try_from(*length).unwrap() % 9];
                let there = match kind {
                    0 => Where::List,
                    1 => Where::Mine(vec![Short([*told; 6])]),
                    _ => Where::Parts {
                        grid: Grid { generations_log2: *generations_log2, prefixes_log2: *prefixes_log2 },
                        parts: parts.into(),
                    },
                };
                Open { told: u16::from(*told) % 12, there }
            });
            let mut open: Vec<Open> = open.collect();
            open.sort_by_key(|open| open.told);
            open.dedup_by_key(|open| open.told);
            let differ = Differ { salt: SALT, open: open.into(), cut: None };
            if !differ.is_bounded() {
                break;
            }
            match asking.go_on(&mut a, &differ).unwrap() {
                Next::Tell(next) => message = next,
                Next::GiveUp | Next::Misbehaved => break,
            }
            prop_assert!(round < ROUNDS_MAX, "it ends");
        }
    }
}

#[test]
fn messages_keep_to_their_bounds_or_are_refused() {
    let told = |from, to, holding| Told { from, to: Bound::before(to), holding };
    let compare = |told: Vec<Told>| Compare { salt: SALT, goes_on: false, told: told.into() };
    let some = |count| Holding::Some(Part { count, mark: Some(walytis_core::reconcile::Mark([1; 8])) });
    let short = |number: usize| Short([0, 0, 0, 0, (number / 256) as u8, (number % 256) as u8]);
    let check = |compare: &Compare, fits: bool| assert_eq!(compare.is_bounded(), fits, "{compare:?}");
    check(&compare(vec![told(None, 3, some(1)), told(Some(Bound::before(4)), 5, Holding::Nothing)]), true);
    check(&compare(vec![told(None, 3, some(1)), told(Some(Bound::before(3)), 5, Holding::Nothing)]), false);
    check(&compare(vec![told(None, 3, some(1)), told(None, 3, some(1))]), false);
    check(&compare(vec![told(Some(Bound::START), 3, some(1))]), false);
    check(&compare(vec![told(None, 3, some(0))]), false);
    check(&compare(vec![told(None, 3, Holding::Some(Part { count: 1, mark: None }))]), false);
    check(&compare(vec![told(None, 3, Holding::These(vec![]))]), false);
    check(&compare(vec![told(None, 3, Holding::These(vec![short(1), short(1)]))]), false);
    check(&compare(vec![told(None, 3, Holding::These((0..SHORTS_MAX).map(short).collect()))]), true);
    check(&compare(vec![told(None, 3, Holding::These((0..=SHORTS_MAX).map(short).collect()))]), false);
    let ranges = |count: usize| compare((1..=count).map(|to| told(None, to as u64, Holding::Nothing)).collect());
    check(&ranges(RANGES_MAX), true);
    check(&ranges(RANGES_MAX + 1), false);

    let check =
        |open: Vec<Open>, cut, fits: bool| assert_eq!(Differ { salt: SALT, open: open.into(), cut }.is_bounded(), fits);
    let parts = |grid, count| Where::Parts { grid, parts: vec![Part { count: 0, mark: None }; count].into() };
    let grid = |generations_log2, prefixes_log2| Grid { generations_log2, prefixes_log2 };
    check(vec![Open { told: 1, there: parts(grid(63, 0), 2048) }], Some(2), true);
    check(vec![Open { told: 1, there: parts(grid(63, 0), 2049) }], None, false);
    check(vec![Open { told: 1, there: parts(grid(64, 0), 1) }], None, false);
    check(vec![Open { told: 1, there: parts(grid(1, 1), 1) }], None, false);
    check(vec![Open { told: 1, there: parts(grid(0, 33), 1) }], None, false);
    check(vec![Open { told: 1, there: parts(grid(0, 0), 0) }], None, false);
    check(vec![Open { told: 1, there: Where::List }; 2], None, false);
    check(vec![Open { told: 1, there: Where::List }], Some(1), false);
    assert!(LISTED_MAX <= SHORTS_MAX as u64);
}
