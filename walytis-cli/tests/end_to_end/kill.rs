//! 200 kills of whoever writes to a home, each between two runs that go on in it. After each kill:
//!
//! - W1: every block whose id was printed is there, with the line that it was given for;
//! - W2: of what was not acknowledged, each block is there as a whole or not at all: what is listed for a run is the
//!   lines that it was given from the first one on, each once, none of them changed;
//! - W3: the home opens, and what it holds can be listed; every few kills, and at the end, `check` verifies all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ChildStdin;

use crate::common::{Home, Place, Running, json, pair, text};

/// Where the moments come from.
const SEED: u64 = 0x5EED_0002;
/// Kills of commands that have the home themselves.
const WRITER_KILLS: usize = 140;
/// Kills of a serving node to which a command posts.
const NODE_KILLS: usize = 60;
/// Kills that one home goes through: enough for a store with a past, few enough for listing all of it each time.
const HOME_KILLS: usize = 20;
/// The most ids that are printed before a kill.
const IDS_MAX: u64 = 40;
/// The most lines that are given beyond those: they are under way when the kill comes.
const EXTRA_MAX: u64 = 64;
/// The most looks at a process before it is killed without regard to ids: more than opening a home takes.
const LOOKS_MAX: u64 = 50_000;

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

    fn up_to(&mut self, most: u64) -> u64 {
        self.next() % (most + 1)
    }
}

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After so many ids, with so many more lines under way.
    Ids { count: usize, extra: usize },
    /// After so many looks at it: while it starts, opens the home, or posts its first lines.
    Opening { looks: u64, given: usize },
}

impl Moment {
    fn draw(random: &mut SplitMix) -> Self {
        let extra = usize::try_from(random.up_to(EXTRA_MAX)).expect("small");
        match random.up_to(3) {
            0 => Self::Opening { looks: random.up_to(LOOKS_MAX), given: extra },
            _ => Self::Ids { count: usize::try_from(random.up_to(IDS_MAX)).expect("small"), extra },
        }
    }

    fn given(self) -> usize {
        match self {
            Self::Ids { count, extra } => count + extra,
            Self::Opening { given, .. } => given,
        }
    }
}

/// Looks at a process so many times: a length of time that depends on nothing but how fast the machine is.
fn look(running: &mut Running, looks: u64) {
    for _ in 0..looks {
        assert!(running.child.try_wait().expect("looked at").is_none(), "it ended by itself");
    }
}

/// One run's line. Its length depends on its numbers, so that no part of one line is another.
fn line(run: usize, number: usize) -> String {
    format!("run {run} line {number} {}.", "x".repeat((run * 31 + number * 17) % 300))
}

/// Gives a process so many lines, and leaves its input open.
fn give(stdin: &mut ChildStdin, run: usize, lines: usize) {
    let text: String = (0..lines).map(|number| line(run, number) + "\n").collect();
    // It fits into the pipe, or the process reads it; if that has been killed meanwhile, nobody needs it.
    drop(stdin.write_all(text.as_bytes()));
}

/// What was done to a home, and must be found in it.
#[derive(Default)]
struct Expected {
    /// The line for which each id was printed.
    printed: BTreeMap<String, String>,
    /// How many lines each run was given.
    given: BTreeMap<usize, usize>,
    kills: usize,
}

impl Expected {
    fn add(&mut self, run: usize, moment: Moment, ids: Vec<String>) {
        assert!(ids.len() <= moment.given(), "seed {SEED:#x}, kill {run}, {moment:?}: more ids than lines");
        let lines = (0..).map(|number| line(run, number));
        self.printed.extend(ids.into_iter().zip(lines));
        self.given.insert(run, moment.given());
        self.kills += 1;
    }

    /// Compares the home with what was done to it, and gives its ids.
    fn hold(&self, home: &Home, moment: &str) -> BTreeSet<String> {
        let listed: BTreeMap<String, String> = home
            .read("g")
            .iter()
            .map(|block| (text(block, "id").to_owned(), text(block, "content").to_owned()))
            .collect();
        for (id, line) in &self.printed {
            assert_eq!(listed.get(id), Some(line), "{moment}: W1: the acknowledged block {id} is not there as given");
        }
        let mut contents: Vec<&str> = listed.values().map(String::as_str).collect();
        contents.sort_unstable();
        let mut count = 0;
        for (&run, &given) in &self.given {
            let is_there = |number: &usize| contents.binary_search(&line(run, *number).as_str()).is_ok();
            count += (0..given).take_while(is_there).count();
        }
        // Each of those is there at least once: with as many in all, each is there once, and nothing else is.
        assert_eq!(count, listed.len(), "{moment}: W2: a block is torn, or there twice, or one before it is missing");
        listed.into_keys().collect()
    }

    fn check(&self, home: &Home, moment: &str) {
        let held = self.hold(home, moment);
        let report = &json(&home.ok(&["--json", "check"]))[0];
        assert!(report["ok"] == true && report["contents"] == held.len(), "{moment}: W3: {report}");
    }
}

/// Kills a command that writes to its home itself.
fn kill_writer(home: &Home, run: usize, moment: Moment) -> Vec<String> {
    let mut posting = Running::start(home.command(&["post", "g", "--lines"]));
    let mut stdin = posting.stdin.take().expect("its input");
    give(&mut stdin, run, moment.given());
    let mut ids = Vec::new();
    match moment {
        Moment::Ids { count, .. } => ids = posting.lines(count),
        Moment::Opening { looks, .. } => look(&mut posting, looks),
    }
    ids.extend(posting.kill());
    ids
}

/// Kills the node behind a command that posts, or the node while it starts.
fn kill_node(home: &Home, run: usize, moment: Moment) -> Vec<String> {
    let (count, extra) = match moment {
        Moment::Ids { count, extra } => (count, extra),
        Moment::Opening { looks, .. } => {
            let mut serving = Running::start(home.command(&["serve", "--no-mdns", "--no-relay"]));
            look(&mut serving, looks);
            drop(serving.kill());
            return Vec::new();
        }
    };
    let serving = home.serve(&[], 1);
    let mut posting = Running::start(home.command(&["post", "g", "--lines"]));
    let mut stdin = posting.stdin.take().expect("its input");
    give(&mut stdin, run, count + extra);
    let mut ids = posting.lines(count);
    drop(serving.kill());
    let (status, rest) = posting.end();
    assert_eq!(status.code(), Some(1), "the command says that the node is gone");
    drop(stdin);
    ids.extend(rest);
    ids
}

/// Kills so many processes in one home, and holds what it lists against what was done to it after each.
fn check_kills(
    home: &Home,
    kills: usize,
    random: &mut SplitMix,
    kill: fn(&Home, usize, Moment) -> Vec<String>,
) -> Expected {
    let mut expected = Expected::default();
    for run in 0..kills {
        let moment = Moment::draw(random);
        let ids = kill(home, run, moment);
        expected.add(run, moment, ids);
        expected.hold(home, &format!("seed {SEED:#x}, kill {run}, {moment:?}"));
    }
    assert_eq!(expected.kills, kills);
    expected.check(home, &format!("seed {SEED:#x}, after {kills} kills"));
    expected
}

#[test]
fn what_was_printed_is_there_after_kills_of_the_command() {
    let mut random = SplitMix(SEED);
    for _ in 0..WRITER_KILLS / HOME_KILLS {
        let place = Place::new();
        let home = place.home("a");
        home.ok(&["group", "new", "g"]);
        check_kills(&home, HOME_KILLS, &mut random, kill_writer);
    }
}

#[test]
fn what_was_printed_is_there_after_kills_of_the_node() {
    let mut random = SplitMix(SEED ^ 1);
    for _ in 0..NODE_KILLS / HOME_KILLS {
        let place = Place::new();
        let (a, serving, b, _) = pair(&place, "/ip4/127.0.0.1/tcp/0");
        drop(serving.kill());
        let expected = check_kills(&a, HOME_KILLS, &mut random, kill_node);

        // Some that were never printed may be there: both sides agree in the end.
        let held = expected.hold(&a, "at the end");
        let serving = a.serve(&[], 1);
        let status = &json(&a.ok(&["--json", "status"]))[0];
        let address = status["addresses"][0].as_str().expect("an address");
        let serving_b = b.serve(&["--listen", "/ip4/127.0.0.1/tcp/0", "--peer", address], 1);
        let mut following = Running::start(b.locked(&["read", "g", "--follow", "--json"]));
        let mut arrived = BTreeSet::new();
        while arrived.len() < held.len() {
            let block = &json(&following.line())[0];
            if !block["content"].is_null() {
                arrived.insert(text(block, "id").to_owned());
            }
        }
        assert!(arrived == held, "seed {SEED:#x}");
        drop((serving.kill(), serving_b.kill()));
        expected.check(&b, "the other home");
    }
}
