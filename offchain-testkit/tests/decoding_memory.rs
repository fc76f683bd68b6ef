//! What a peer's bytes make this node hold is paid for by them (A2). One test in this file: it counts the whole process.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use offchain_testkit::fuzz::{TARGETS, corpus, held};
use offchain_testkit::strangers::{Listener, full_messages, full_public_messages, longest_frames, varint};
use peak_alloc::PeakAlloc;
use walytis_core::FRAME_BYTES_MAX;
use walytis_engine::public::{ChainLimit, LimitsReached};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The most bytes that a frame of a stranger may cost, itself included.
const FRAME_COST_MAX: usize = 8 * 1024 * 1024;

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

/// What a node is, and one of that kind.
type Node = (&'static str, fn() -> Listener);

/// A frame of 2 MiB of a stranger costs at most 8 MiB before it is judged, and the tenth is not read.
fn strangers_frames_are_judged_before_they_are_decoded() {
    let nodes: [Node; 3] = [
        ("a node that follows a chain", || Listener::public(true).expect("an empty store")),
        ("a node that follows none", || Listener::public(false).expect("an empty store")),
        ("a node with groups alone", || Listener::groups().expect("an empty store")),
    ];
    for (node, open) in nodes {
        for (number, frame) in longest_frames().enumerate() {
            let mut listener = open();
            listener.meet();
            let mut answered = 0;
            for time in 1..=10 {
                let before = listener.limits_reached().clone();
                let bytes = frame.clone();
                let (sent, cost) = held(|| listener.hear(bytes));
                let cost = cost + frame.len();
                assert!(cost <= FRAME_COST_MAX, "{node}: frame {number} costs {cost} bytes");
                answered += sent;
                if time == 10 {
                    // Nothing is decoded of it: it is passed over, or its sender was let go.
                    assert_eq!(sent, 0, "{node}: frame {number} is answered the tenth time");
                    assert!(cost <= frame.len() + 4096, "{node}: frame {number} has {cost} bytes held the tenth time");
                    let times = |reached: &LimitsReached| reached.get(&ChainLimit::Work).copied().unwrap_or_default();
                    let reached = listener.limits_reached();
                    assert!(times(reached) > times(&before) || *reached == before, "{node}: frame {number}");
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
