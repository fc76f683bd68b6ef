//! What our code may not say.

use super::Violation;
use super::tree::Tree;

/// Marks of unfinished work in words. Written apart, so that this file holds none.
const MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

/// Places of one machine, which mean nothing on another. Written apart for the same reason.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// The one crate that may have unsafe code: its callers are not Rust.
const UNSAFE_CRATE: &str = "walytis-android";

/// No test is switched off: it asserts today's behaviour or goes.
pub(crate) fn ignored_tests(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        for token in source.find(&["#", "[", "ignore"]) {
            found.push(Violation::line(path, token.line, "no test is ignored: assert today's behaviour"));
        }
    }
    found
}

/// No test sleeps: it waits for what it wants to see, or runs on a clock of its own.
pub(crate) fn sleeping_tests(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        let calls = ["sleep", "sleep_until"].into_iter().flat_map(|name| source.calls(name));
        for token in calls.filter(|token| token.test) {
            found.push(Violation::line(path, token.line, "a test does not sleep: wait for the event itself"));
        }
    }
    found
}

/// Nothing unfinished is committed.
pub(crate) fn unfinished(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        for token in source.find(&["todo", "!"]) {
            found.push(Violation::line(path, token.line, "unfinished work is not committed"));
        }
    }
    for (path, line, text) in lines(tree) {
        if MARKS.iter().any(|mark| has_word(text, mark)) {
            found.push(Violation::line(path, line, "unfinished work is not committed: open an issue instead"));
        }
    }
    found
}

/// A lint's exception is `#[expect(..., reason = "...")]`: it disappears with its cause.
pub(crate) fn exceptions(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        for attribute in source.attributes() {
            let calls = |name: &str| {
                attribute.windows(2).any(|pair| pair.iter().map(|token| token.text.as_str()).eq([name, "("]))
            };
            let line = attribute.first().map_or(0, |token| token.line);
            if calls("allow") {
                found.push(Violation::line(path, line, "write `#[expect(..., reason = \"...\")]` instead of `allow`"));
            }
            if calls("expect") && attribute.iter().all(|token| token.text != "reason") {
                found.push(Violation::line(path, line, "an expected lint needs its `reason = \"...\"`"));
            }
        }
    }
    found
}

/// Unsafe code is in the sources of one crate alone, and each use there says itself why it is expected.
pub(crate) fn unsafe_uses(tree: &Tree) -> Vec<Violation> {
    let sources = format!("{UNSAFE_CRATE}/src/");
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        for token in source.tokens.iter().filter(|token| matches!(token.text.as_str(), "unsafe" | "unsafe_code")) {
            if !path.starts_with(&sources) || token.test {
                let message = format!("only the sources of {UNSAFE_CRATE} may have unsafe code");
                found.push(Violation::line(path, token.line, message));
            }
        }
        for token in source.find(&["#", "!", "[", "expect", "(", "unsafe_code"]) {
            let message = "each item with unsafe code expects it for itself, not a whole module for all";
            found.push(Violation::line(path, token.line, message));
        }
    }
    found
}

/// Nothing names a place of the machine that it was written on.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<Violation> {
    let named = |text: &str| MACHINE_PATHS.iter().find(|place| text.contains(**place));
    lines(tree)
        .filter_map(|(path, line, text)| {
            Some(Violation::line(path, line, format!("names a place of one machine: {}", named(text)?)))
        })
        .collect()
}

/// Every line of every text, counted from one.
fn lines(tree: &Tree) -> impl Iterator<Item = (&str, usize, &str)> {
    tree.texts().flat_map(|(path, text)| text.lines().zip(1..).map(move |(line, number)| (path, number, line)))
}

/// Whether a word stands by itself in a line.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|char: char| !char.is_alphanumeric() && char != '_').any(|each| each == word)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{
        MACHINE_PATHS, MARKS, UNSAFE_CRATE, exceptions, ignored_tests, machine_paths, sleeping_tests, unfinished,
        unsafe_uses,
    };
    use crate::tidy::tree::Tree;

    #[test]
    fn ignored_tests_are_found() {
        check(ignored_tests(&Tree::of(&[("a/src/b.rs", "// #[ignore]\n#[test] fn ignore() {}")])), &[]);
        let tree = Tree::of(&[("a/tests/b.rs", "#[test]\n#[ignore = \"slow\"]\nfn c() {}")]);
        check(ignored_tests(&tree), &["a/tests/b.rs:2: no test is ignored"]);
    }

    #[test]
    fn sleeping_tests_are_found() {
        let code = "fn f() { tokio::time::sleep(x); }\n#[cfg(test)]\nmod tests { fn g() { std::thread::sleep(y); } }";
        check(sleeping_tests(&Tree::of(&[("a/src/b.rs", code)])), &["a/src/b.rs:3: a test does not sleep"]);
        let code = "use tokio::time::{sleep, sleep_until};\nsleep(x).await;\nsleep_until(y).await;\nfn sleep() {}";
        check(sleeping_tests(&Tree::of(&[("a/tests/b.rs", code)])), &["a/tests/b.rs:2: ", "a/tests/b.rs:3: "]);
    }

    #[test]
    fn unfinished_work_is_found() {
        check(
            unfinished(&Tree::of(&[("a/src/b.rs", "let todo = 1;\n// the todo!() macro\n\"X\""), ("c.md", "XXXX")])),
            &[],
        );
        let marks = MARKS.join(": later\n");
        let tree = Tree::of(&[("a/src/b.rs", "\ntodo!()"), ("docs/c.md", &marks)]);
        check(unfinished(&tree), &["a/src/b.rs:2: ", "docs/c.md:1: ", "docs/c.md:2: "]);
    }

    #[test]
    fn exceptions_without_a_reason_are_found() {
        let fine = "#[expect(dead_code, reason = \"allow(x)\")] fn allow() { x.allow(y); option.expect(\"z\"); }";
        check(exceptions(&Tree::of(&[("a/src/b.rs", fine)])), &[]);
        let bad = "#![allow(dead_code)]\n#[cfg_attr(test, allow(x))]\n#[expect(\n    y\n)]\nfn f() {}";
        check(
            exceptions(&Tree::of(&[("a/src/b.rs", bad)])),
            &["a/src/b.rs:1: write `#[expect", "a/src/b.rs:2: write `#[expect", "a/src/b.rs:3: an expected lint"],
        );
    }

    #[test]
    fn unsafe_code_elsewhere_is_found() {
        let code = "// unsafe\n#[expect(unsafe_code, reason = \"C\")]\npub unsafe fn f() { unsafe { g() } }";
        let inside = format!("{UNSAFE_CRATE}/src/a.rs");
        check(unsafe_uses(&Tree::of(&[(&inside, code), ("a/src/b.rs", "let safe = \"unsafe\"; // unsafe")])), &[]);
        let message = "only the sources of walytis-android may have unsafe code";
        let expected = [2, 3, 3].map(|line| format!("a/src/b.rs:{line}: {message}"));
        check(unsafe_uses(&Tree::of(&[("a/src/b.rs", code)])), &expected.each_ref().map(String::as_str));
        // Its tests are C programs, and what stands beside it is no part of it.
        let in_test = "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }";
        check(unsafe_uses(&Tree::of(&[(&inside, in_test)])), &["walytis-android/src/a.rs:1: only"]);
        let beside = "walytis-android-more/src/a.rs";
        check(unsafe_uses(&Tree::of(&[(beside, "unsafe {}")])), &["walytis-android-more/src/a.rs:1: only"]);
        let whole = "#![expect(unsafe_code, reason = \"C\")]";
        check(unsafe_uses(&Tree::of(&[(&inside, whole)])), &["walytis-android/src/a.rs:1: each item"]);
    }

    #[test]
    fn machine_paths_are_found() {
        check(machine_paths(&Tree::of(&[("a.md", "network/protocol\n~/.walytis\n")])), &[]);
        let text = MACHINE_PATHS.join("x\n");
        check(machine_paths(&Tree::of(&[("a.md", &text)])), &["a.md:1: names a place", "a.md:2: names a place"]);
    }
}
