//! What a peer's bytes make this node hold is paid for by them (A2). One test in this file: it counts the whole process.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]
#![expect(clippy::print_stdout, reason = "what it measured is told beside what it asserts")]

use std::sync::Arc;

use offchain_testkit::MemoryStore;
use offchain_testkit::fuzz::{TARGETS, corpus, held};
use peak_alloc::PeakAlloc;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use walytis_core::engine::{Effect, Event};
use walytis_core::public::{ChainCommand, ChainLimit, LimitsReached};
use walytis_core::{ChainId, Dialer, FRAME_BYTES_MAX, PeerId, RawBlock, Store, Ticket, Timestamp, codec};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The most bytes that a frame of a stranger may cost, itself included.
const FRAME_COST_MAX: usize = 8 * 1024 * 1024;

/// A number as lists begin with it.
fn varint(number: usize) -> Vec<u8> {
    codec::encode(&u64::try_from(number).expect("64 bits"))
}

/// As many copies of an element as fit, behind a head that is told how many.
fn full(bytes_max: usize, element: &[u8], head: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let count = bytes_max.saturating_sub(head(bytes_max).len()) / element.len();
    [head(count), element.repeat(count)].concat()
}

/// Honest inputs in which each byte, one at a time, becomes the length of a list: one that is announced and does not come,
/// and one that is full of the smallest elements.
fn lists_in(honest: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let places = (0..honest.len()).filter(|place| *place < 400 || place % 97 == 0);
    let lists =
        [(3, 0), (60, 0), (60, 60), (2_000, 0), (2_000, 2_000), (70_000, 300), (70_000, 70_000), (usize::MAX >> 34, 9)];
    places.flat_map(move |place| {
        lists.into_iter().flat_map(move |(announced, come)| {
            let list = |filling: u8| [&honest[..place], &varint(announced), &vec![filling; come]].concat();
            let before = list(0);
            let behind = [before.as_slice(), &honest[place + 1..]].concat();
            [before, behind, list(1)]
        })
    })
}

/// The smallest blocks, as a message about public chains has them: whole ones, and those that can be left out.
fn smallest_blocks() -> [Vec<u8>; 4] {
    let whole = [&[1, 0, 64][..], &[7; 64], &[64], &[8; 64]].concat();
    // No genesis, no parents, a known author, no previous block, a number, a time, no topics, a signature, no content.
    let short = [&[0, 0, 0, 0, 0, 0, 1, 2, 0, 64][..], &[7; 64], &[0]].concat();
    let by_new = [&[0, 0, 0, 1][..], &[9; 32], &[0, 1, 2, 0, 64], &[7; 64], &[0]].concat();
    [vec![1, 0, 0, 0], whole, short, by_new]
}

fn portion(chain: ChainId, count: usize) -> Vec<u8> {
    [&[1, 1][..], &chain.0, &[0], &varint(count)].concat()
}

/// Frames, without their kind, that are full of the smallest of what they may have.
fn full_public_messages(bytes_max: usize) -> Vec<Vec<u8>> {
    let chain = ChainId([4; 32]);
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for block in smallest_blocks() {
        messages.push(full(bytes_max, &block, |count| portion(chain, count)));
        messages.push(full(bytes_max, &block, |count| [&[1, 3][..], &chain.0, &varint(count)].concat()));
    }
    // One author, and then blocks behind the one before with as many parents as there may be, all of them that one.
    let [.., by_new] = smallest_blocks();
    let behind = [&[0, 0, 32][..], &[0; 64], &[0, 0, 1, 0, 1, 2, 0, 64], &[7; 64], &[0]].concat();
    messages.push(full(bytes_max, &behind, |count| [portion(chain, count + 1), by_new.clone()].concat()));
    // Marks, addresses, and blocks as no honest peer sends them.
    messages.push(full(bytes_max, &[3; 32], |count| [&[1, 0, 0][..], &varint(count)].concat()));
    messages.push(full(bytes_max, &[0], |count| [&[1, 0, 1][..], &varint(count)].concat()));
    messages.push([&[1, 0, 1, 1][..], &varint(bytes_max - 10), &vec![b'a'; bytes_max - 10]].concat());
    messages.push(full(bytes_max, &[0; 5], |count| [&[1, 0, 5, 3][..], &chain.0, &varint(count)].concat()));
    messages.push(full(bytes_max, &[0; 5], |count| [&[1, 0, 6][..], &chain.0, &varint(count)].concat()));
    messages
}

/// Messages of sessions, full of the smallest of what they may have.
fn full_messages(bytes_max: usize) -> Vec<Vec<u8>> {
    let block = RawBlock { header: vec![7; 64], signature: vec![8; 64], content: Vec::new() };
    let raw = codec::encode(&block);
    let wire = [raw.as_slice(), &[0, 0]].concat();
    let sync = |number: u8, count: usize| [&[1, 1, number][..], &[4; 32], &varint(count)].concat();
    let mut messages = vec![
        full(bytes_max, &[0; 5], |count| sync(3, count)),
        full(bytes_max, &wire, |count| sync(3, count)),
        full(bytes_max, &raw, |count| [&[1, 1, 4][..], &[4; 32], &raw, &[0], &varint(count)].concat()),
        full(bytes_max, &[0; 3], |count| [&[1, 1, 4][..], &[4; 32], &raw, &[0], &varint(count)].concat()),
        full(bytes_max, &[0], |count| [&[1, 0][..], &varint(count)].concat()),
    ];
    messages.extend([0, 1, 5].map(|number| full(bytes_max, &[5; 32], |count| sync(number, count))));
    messages
}

fn compares_and_differs() -> [(&'static str, Vec<Vec<u8>>); 2] {
    let compare = |element: &[u8], count: usize| [&[1; 8][..], &[0], &varint(count), &element.repeat(count)].concat();
    let differ = |element: &[u8], count: usize| [&[1; 8][..], &varint(count), &element.repeat(count), &[0]].concat();
    let parts = |count: usize| [&[0, 2, 0, 0][..], &varint(count), &[0, 0].repeat(count)].concat();
    let shorts = |count: usize| [&[0, 1][..], &varint(count), &[3; 6].repeat(count)].concat();
    [
        ("compare", [40, 512, 9_000].map(|count| compare(&[0, 1, 0, 0], count)).into()),
        (
            "differ",
            [differ(&[0, 0], 512), differ(&parts(2_048), 1), differ(&parts(9_000), 3), differ(&shorts(3_072), 2)]
                .into(),
        ),
    ]
}

/// Runs a target, which asserts what it holds.
fn run(name: &str, inputs: impl IntoIterator<Item = Vec<u8>>) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("it is in the table");
    for input in inputs {
        let _ = (target.run)(&input);
    }
}

fn decoders_hold_what_is_paid_for() {
    let corpus = corpus();
    for target in TARGETS {
        // The first call makes what all of them share.
        for input in &corpus[target.name] {
            let _ = (target.run)(input);
        }
        let honest = &corpus[target.name];
        // Each input of a store opens it: a few of them show how rows are decoded.
        let (inputs, places) = if target.name == "stored_row" { (16, 24) } else { (honest.len(), 8) };
        for (number, input) in honest.iter().take(inputs).enumerate() {
            let few = usize::from(target.name == "stored_row" || number > 1);
            run(target.name, lists_in(input).step_by(1 + few * places));
        }
    }
    for bytes in [200, 3_000, 40_000, FRAME_BYTES_MAX - 1] {
        run("public_message", full_public_messages(bytes));
        run("message", full_messages(bytes));
    }
    for (name, inputs) in compares_and_differs() {
        run(name, inputs);
    }
}

/// Processor time of this thread, in microseconds, as far as the system tells it.
fn thread_us() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or_default() / 1_000
}

/// A node to which a stranger speaks.
trait Hears {
    fn hear(&mut self, event: Told) -> usize;
    fn reached(&self) -> LimitsReached;
}

enum Told {
    Connected,
    Frame(Vec<u8>),
}

const STRANGER: PeerId = PeerId([0xEE; 32]);

struct Public(walytis_core::Engine);

impl Hears for Public {
    fn hear(&mut self, event: Told) -> usize {
        let event = match event {
            Told::Connected => Event::Connected { peer: STRANGER, dialer: Dialer::Peer, address: None },
            Told::Frame(bytes) => Event::Frame { peer: STRANGER, bytes },
        };
        let mut effects = Vec::new();
        self.0.handle(Timestamp(1), event, &mut effects);
        effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count()
    }

    fn reached(&self) -> LimitsReached {
        self.0.public().limits_reached().clone()
    }
}

struct Groups(walytis_offchain::Engine);

impl Hears for Groups {
    fn hear(&mut self, event: Told) -> usize {
        use walytis_offchain::{Effect, Event};
        let event = match event {
            Told::Connected => Event::Connected { peer: STRANGER, dialer: Dialer::Peer, address: None },
            Told::Frame(bytes) => Event::Frame { peer: STRANGER, bytes },
        };
        let mut effects = Vec::new();
        self.0.handle(Timestamp(1), event, &mut effects);
        effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count()
    }

    fn reached(&self) -> LimitsReached {
        self.0.public().limits_reached().clone()
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(3)
}

fn public_node(follows: bool) -> Box<dyn Hears> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    walytis_core::Engine::create(&store, &mut rng()).expect("an empty store");
    let mut engine = walytis_core::Engine::open(store, Timestamp(0), Box::new(rng())).expect("a sound store");
    if follows {
        let command = walytis_core::engine::Command::Chain(ChainCommand::New { name: "news".to_owned() });
        let mut effects = Vec::new();
        engine.handle(Timestamp(0), Event::Command { ticket: Ticket(1), command }, &mut effects);
        let commits = effects.iter().filter(|effect| matches!(effect, Effect::Commit { .. })).count();
        assert!(commits > 0, "it follows a chain");
    }
    Box::new(Public(engine))
}

fn groups_node() -> Box<dyn Hears> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    walytis_offchain::Engine::create(&store, Timestamp(0), &mut rng()).expect("an empty store");
    Box::new(Groups(walytis_offchain::Engine::open(store, Timestamp(0), Box::new(rng())).expect("a sound store")))
}

/// What a node is, and one of that kind.
type Node = (&'static str, fn() -> Box<dyn Hears>);

/// A frame of 2 MiB of a stranger costs at most 8 MiB before it is judged, and the tenth is not read.
fn strangers_frames_are_judged_before_they_are_decoded() {
    let nodes: [Node; 3] = [
        ("a node that follows a chain", || public_node(true)),
        ("a node that follows none", || public_node(false)),
        ("a node with groups alone", groups_node),
    ];
    for (node, open) in nodes {
        let public = full_public_messages(FRAME_BYTES_MAX - 1).into_iter().map(|rest| [&[5][..], &rest].concat());
        let sessions = (1..=4_u8).map(|kind| [&[kind][..], &vec![1; FRAME_BYTES_MAX - 1]].concat());
        for (number, frame) in public.chain(sessions).enumerate() {
            let mut hears = open();
            hears.hear(Told::Connected);
            let mut answered = 0;
            for time in 1..=10 {
                let (before, us) = (hears.reached(), thread_us());
                let bytes = frame.clone();
                let (sent, cost) = held(|| hears.hear(Told::Frame(bytes)));
                let (cost, us) = (cost + frame.len(), thread_us().saturating_sub(us));
                assert!(cost <= FRAME_COST_MAX, "{node}: frame {number} costs {cost} bytes");
                if time == 1 {
                    println!("{node}: frame {number}: {cost} bytes, {us} us");
                }
                answered += sent;
                if time == 10 {
                    // Nothing is decoded of it: it is passed over, or its sender was let go.
                    assert_eq!(sent, 0, "{node}: frame {number} is answered the tenth time");
                    assert!(cost <= frame.len() + 4096, "{node}: frame {number} has {cost} bytes held the tenth time");
                    let times = |reached: &LimitsReached| reached.get(&ChainLimit::Work).copied().unwrap_or_default();
                    let passed_over = times(&hears.reached()) > times(&before);
                    assert!(passed_over || hears.reached() == before, "{node}: frame {number}");
                }
            }
            assert!(answered <= 9, "{node}: frame {number} is answered {answered} times");
        }
    }
}

#[test]
fn what_a_peers_bytes_make_us_hold_is_paid_for_by_them() {
    decoders_hold_what_is_paid_for();
    strangers_frames_are_judged_before_they_are_decoded();
}
