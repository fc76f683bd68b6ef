//! What was acknowledged survives a kill.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ChildStdin;

use crate::common::{Home, Place, Running, pair, text};

/// Where the points come from.
const SEED: u64 = 0x5EED_0002;
const POINTS: usize = 20;
/// The most ids that are printed before a kill.
const IDS_MAX: u64 = 200;

/// The generator of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators".
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Writes lines for as long as anybody reads them.
fn feed(mut stdin: ChildStdin, point: usize) {
    std::thread::spawn(move || {
        for line in 0_u64.. {
            if writeln!(stdin, "point {point}, line {line}").is_err() {
                return;
            }
        }
    });
}

fn ids(home: &Home) -> BTreeSet<String> {
    home.read("g").iter().map(|block| text(block, "id").to_owned()).collect()
}

#[test]
fn what_was_printed_is_there_after_a_kill() {
    let place = Place::new();
    let (a, serving, b, _) = pair(&place, "/ip4/127.0.0.1/tcp/0");
    drop(serving.kill());
    let mut random = SplitMix(SEED);
    let mut printed = BTreeSet::new();
    for point in 0..POINTS {
        let count = usize::try_from(random.next() % IDS_MAX + 1).expect("small");
        // Whoever writes to the disk is killed: by turns the command itself, and a serving node behind it.
        let serving = (point % 2 == 1).then(|| a.serve(&[], 1));
        let mut posting = Running::start(a.command(&["post", "g", "--lines"]));
        feed(posting.stdin.take().expect("its input"), point);
        printed.extend(posting.lines(count));
        match serving {
            None => printed.extend(posting.kill()),
            Some(serving) => {
                drop(serving.kill());
                let (status, rest) = posting.end();
                assert_eq!(status.code(), Some(1), "the command says that the node is gone");
                printed.extend(rest);
            }
        }
        let missing = printed.difference(&ids(&a)).count();
        assert_eq!(missing, 0, "seed {SEED:#x}, point {point} after {count} ids: acknowledged blocks are lost");
    }

    // Some that were never printed may be there: both sides agree in the end.
    let serving = a.serve(&[], 1);
    let held = ids(&a);
    let status = &crate::common::json(&a.ok(&["--json", "status"]))[0];
    let address = status["addresses"][0].as_str().expect("an address");
    let serving_b = b.serve(&["--listen", "/ip4/127.0.0.1/tcp/0", "--peer", address], 1);
    let mut following = Running::start(b.locked(&["read", "g", "--follow", "--json"]));
    let mut arrived = BTreeSet::new();
    while arrived.len() < held.len() {
        let block = &crate::common::json(&following.line())[0];
        if !block["content"].is_null() {
            arrived.insert(text(block, "id").to_owned());
        }
    }
    assert!(arrived == held && printed.is_subset(&arrived), "seed {SEED:#x}");
    drop((serving.kill(), serving_b.kill()));
    for home in [&a, &b] {
        let report = &crate::common::json(&home.ok(&["--json", "check"]))[0];
        assert!(report["ok"] == true && report["contents"] == held.len(), "seed {SEED:#x}: {report}");
    }
}
