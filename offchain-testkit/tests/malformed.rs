//! No decoder panics on any input, nor accepts bytes that are not the one encoding of their value.
//!
//! The harnesses and what they assert are in `offchain_testkit::fuzz`.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::fs;
use std::path::Path;

use offchain_testkit::fuzz::{Damager, TARGETS, Target, Verdict, corpus};

/// How many inputs each decoder refuses.
const REFUSED: u32 = 50_000;
/// How many of them may be tried: damage may make another encoding, which is rightly accepted.
const TRIED_MAX: u32 = 500_000;

/// Gives the target damaged inputs until it has refused so many.
fn refuses(target: &Target, refused_wanted: u32) {
    let corpus = corpus();
    let inputs = corpus.get(target.name).expect("each target has a corpus");
    for input in inputs {
        assert_eq!((target.run)(input), Verdict::Accepted, "{}: an honest input", target.name);
    }
    let mut damager = Damager::new(7);
    let (mut refused, mut tried) = (0, 0);
    while refused < refused_wanted {
        let honest = &inputs[damager.below(inputs.len())];
        let damaged = damager.damaged(honest);
        refused += u32::from((target.run)(&damaged) == Verdict::Refused);
        tried += 1;
        assert!(tried < TRIED_MAX, "{}: of {tried} damaged inputs only {refused} are refused", target.name);
    }
}

#[test]
fn the_committed_corpus_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for target in TARGETS {
        let files = fs::read_dir(folder.join(target.name)).expect("each target has a corpus");
        let verdicts = files.map(|file| {
            let path = file.expect("it can be listed").path();
            (target.run)(&fs::read(&path).expect("it can be read"))
        });
        let accepted = verdicts.filter(|verdict| *verdict == Verdict::Accepted).count();
        assert!(accepted > 0, "{}: write it anew: cargo run -p offchain-testkit --example fuzz_corpus", target.name);
    }
}

macro_rules! decoders {
    ($($name:ident: $refused:expr,)*) => {
        $(#[test]
        fn $name() {
            let target = TARGETS.iter().find(|target| target.name == stringify!($name)).expect("it is in the table");
            refuses(target, $refused);
        })*

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
        }
    };
}

decoders! {
    header: REFUSED,
    block: REFUSED,
    operation: REFUSED,
    private_body: REFUSED,
    message: REFUSED,
    attachment: REFUSED,
    open_content: REFUSED,
    sealed_content: REFUSED,
    wraps: REFUSED,
    given_wrap: REFUSED,
    invitation_code: REFUSED,
    first_flight: REFUSED,
    second_flight: REFUSED,
    // Each opens a whole store: no decoder, but all that read rows.
    stored_row: 2_000,
    public_message: REFUSED,
    chain_code: REFUSED,
    archive: REFUSED,
}
