//! Mutants: each check in the list is somewhere in the code, each has a test that exists, and docs/mutants.md says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Violation;
use super::tree::Tree;

/// Where the mutants are listed.
const LIST: &str = "walytis-core/src/planted/mutants.rs";

/// Where their table is.
pub(crate) const DOCUMENT: &str = "docs/mutants.md";

/// The macros whose braces hold the entries, and the macro by which each of their checks is taken out.
const LISTS: &[(&str, &str)] = &[("mutants! {", "mutant"), ("noticed! {", "planted")];

/// What stands in front of the table.
const INTRODUCTION: &str = "\
# Checks that a test would miss

Each line is a check whose loss would be grave, and a test that fails without it. The switch is the one of planted bugs
(`--cfg planted`, see [simulation](simulation.md)): one build has all of them, and the variable `WALYTIS_MUTANT` takes one out of a
process. `cargo xtask mutants` builds once, runs each test as it is, which has to pass, and with its check taken out, which has
to fail. `cargo xtask mutants NAME` does so for one.

The list is `walytis-core/src/planted/mutants.rs`; `cargo xtask mutants --write` writes this table from it, and `cargo xtask
tidy` refuses an entry whose check or test is gone. A check that has `planted!` in its place is also a planted bug that the swarm
finds.

Run whole on 2026-12-01, on two cores: 138 of 138 were noticed, in 3.9 minutes with the build of our crates. The first run of that
day noticed 108 of 109, and two of the first eleven that were added then went unnoticed: `ForgetHandshakes`, `ReadUnpaid` and
`MixKinds` have tests of their own since.

| check | name | place | test |
|---|---|---|---|
";

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// What the check keeps up.
    check: String,
    /// Package, target and the test's path in it, with `::` between them.
    pub(crate) test: Test,
    /// The macro in whose braces it is placed.
    switch: &'static str,
    line: usize,
}

/// A named test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    pub(crate) package: String,
    /// `lib`, or the name of an integration test.
    pub(crate) target: String,
    pub(crate) path: String,
}

impl Test {
    /// Reads `package::target::path`, in which a package's name has underscores.
    fn read(text: &str) -> Option<Self> {
        let (package, rest) = text.split_once("::")?;
        let (target, path) = rest.split_once("::")?;
        Some(Self { package: package.replace('_', "-"), target: target.to_owned(), path: path.to_owned() })
    }

    /// As it is shown in the table.
    pub(crate) fn shown(&self) -> String {
        let Self { package, target, path } = self;
        match target.as_str() {
            "lib" => format!("{package}, `{path}`"),
            target => format!("{package}, {target}, `{path}`"),
        }
    }

    /// Whether a file can have it.
    fn may_be_in(&self, path: &str) -> bool {
        let Self { package, target, .. } = self;
        match target.as_str() {
            "lib" => path.starts_with(&format!("{package}/src/")),
            target => {
                path == format!("{package}/tests/{target}.rs")
                    || path.starts_with(&format!("{package}/tests/{target}/"))
            }
        }
    }
}

/// Reads the list: lines of documentation, then `Name: test::path,`.
fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut switch, mut check) = (None, String::new());
    for (place, line) in text.lines().enumerate() {
        if let Some((_, found)) = LISTS.iter().find(|(begin, _)| line == *begin) {
            switch = Some(*found);
        }
        if line == "}" {
            switch = None;
        }
        let Some(switch) = switch else { continue };
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            check = format!("{check} {}", text.trim()).trim().to_owned();
            continue;
        }
        let entry = line.strip_suffix(',').and_then(|entry| entry.split_once(": "));
        if let Some((name, test)) = entry.and_then(|(name, test)| Some((name, Test::read(test)?))) {
            let (name, check) = (name.to_owned(), std::mem::take(&mut check));
            entries.push(Entry { name, check, test, switch, line: place.saturating_add(1) });
        }
    }
    entries
}

/// The files in which each check is placed, by its switch and name, each with the line.
fn placed(tree: &Tree) -> BTreeMap<(&'static str, String), Vec<(String, usize)>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (path, source) in tree.rust() {
        for window in source.tokens.windows(5) {
            let [name, bang, open, check, close] = window else { continue };
            let Some((_, switch)) = LISTS.iter().find(|(_, switch)| name.text == *switch) else { continue };
            let around = [bang, open, close].map(|token| token.text.as_str());
            if around == ["!", "(", ")"] && !name.test {
                found.entry((*switch, check.text.clone())).or_default().push((path.to_owned(), name.line));
            }
        }
    }
    found
}

/// Each entry's check is in one place and its test exists; each check that can be taken out is in the list; and the document
/// has the table.
pub(crate) fn rules(tree: &Tree) -> Vec<Violation> {
    let Some(text) = tree.text(LIST) else { return vec![Violation::file(LIST, "the list of mutants is missing")] };
    let entries = parse(text);
    let placed = placed(tree);
    let mut found = Vec::new();
    for Entry { name, test, switch, line, .. } in &entries {
        match placed.get(&(*switch, name.clone())).map(Vec::len) {
            None => found.push(Violation::line(LIST, *line, format!("no `{switch}!({name})` takes the check out"))),
            Some(1) => {}
            Some(_) => found.push(Violation::line(LIST, *line, format!("`{switch}!({name})` is in several places"))),
        }
        let own = test.path.rsplit("::").next().unwrap_or_default();
        let mut sources = tree.rust().filter(|(path, _)| test.may_be_in(path));
        if !sources.any(|(_, source)| source.find(&["fn", own]).any(|token| token.test)) {
            found.push(Violation::line(LIST, *line, format!("the test of {name} is gone: {}", test.shown())));
        }
    }
    let listed = |name: &str| entries.iter().any(|entry| entry.switch == "mutant" && entry.name == name);
    for ((switch, name), places) in &placed {
        for (path, line) in places.iter().filter(|_| *switch == "mutant" && !listed(name)) {
            found.push(Violation::line(path, *line, format!("{name} is not in {LIST}")));
        }
    }
    if tree.text(DOCUMENT) != Some(&document(&entries, &placed)) {
        found.push(Violation::file(DOCUMENT, "is not what the list says: `cargo xtask mutants --write`"));
    }
    found
}

fn document(entries: &[Entry], placed: &BTreeMap<(&'static str, String), Vec<(String, usize)>>) -> String {
    let mut text = INTRODUCTION.to_owned();
    for Entry { name, check, test, switch, .. } in entries {
        let places = placed.get(&(*switch, name.clone())).into_iter().flatten();
        let places: Vec<String> = places.map(|(path, _)| format!("`{path}`")).collect();
        let switch = if *switch == "planted" { " (`planted!`)" } else { "" };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| {check} | `{name}`{switch} | {} | {} |", places.join(", "), test.shown());
    }
    text
}

/// The entries of the workspace's list.
///
/// # Errors
/// The list cannot be read, or is empty.
pub(crate) fn read(root: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let entries = parse(&text);
    ensure!(!entries.is_empty(), "{LIST} has no entry");
    Ok(entries)
}

/// Writes the document anew.
///
/// # Errors
/// The workspace cannot be read, or the document not be written.
pub(crate) fn write(root: &Path) -> Result<()> {
    let text = document(&read(root)?, &placed(&Tree::read(root)?));
    std::fs::write(root.join(DOCUMENT), text).with_context(|| format!("cannot write {DOCUMENT}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{DOCUMENT, LIST, Test, document, parse, placed, rules};
    use crate::tidy::tree::Tree;

    const ENTRIES: &str = "macro_rules! mutants {\n    () => {}\n}\n\nmutants! {\n    // Blocks.\n\n    /// It\n    \
                           /// holds.\n    SkipIt: walytis_core::lib::a::tests::it_holds,\n}\n\nnoticed! {\n    /// That.\n    \
                           SkipThat: offchain_testkit::attacks::that_holds,\n}\n";
    const CODE: &str = "fn f() { x || mutant!(SkipIt); y || planted!(SkipThat) }\n\
                        #[cfg(test)] mod tests { #[test] fn it_holds() { mutant!(SkipIt) } }";

    fn tree(list: &str, code: &str, test: &str) -> Tree {
        let files = [(LIST, list), ("walytis-core/src/a.rs", code), ("offchain-testkit/tests/attacks.rs", test)];
        let bare = Tree::of(&files);
        let document = document(&parse(list), &placed(&bare));
        Tree::of(&[&files[..], &[(DOCUMENT, document.as_str())]].concat())
    }

    #[test]
    fn the_list_is_read_with_its_checks_and_tests() {
        let entries = parse(ENTRIES);
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].name.as_str(), entries[0].check.as_str()), ("SkipIt", "It holds."));
        let test = |package: &str, target: &str, path: &str| Test {
            package: package.to_owned(),
            target: target.to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(entries[0].test, test("walytis-core", "lib", "a::tests::it_holds"));
        assert_eq!((entries[1].switch, entries[1].line), ("planted", 15));
        assert_eq!(entries[1].test, test("offchain-testkit", "attacks", "that_holds"));
    }

    #[test]
    fn a_check_or_a_test_that_is_gone_is_refused() {
        let test = "#[test] fn that_holds() {}";
        check(rules(&tree(ENTRIES, CODE, test)), &[]);
        let line = format!("{LIST}:10: ");
        check(
            rules(&tree(ENTRIES, &CODE.replacen("mutant!(SkipIt)", "true", 1), test)),
            &[&format!("{line}no `mutant!(")],
        );
        let twice = format!("{CODE}\nfn g() {{ mutant!(SkipIt) }}");
        check(rules(&tree(ENTRIES, &twice, test)), &[&format!("{line}`mutant!(SkipIt)` is in several")]);
        let renamed = CODE.replace("fn it_holds", "fn it_held");
        check(rules(&tree(ENTRIES, &renamed, test)), &[&format!("{line}the test of SkipIt is gone")]);
        check(rules(&tree(ENTRIES, CODE, "")), &[&format!("{LIST}:15: the test of SkipThat is gone")]);
        let unlisted = format!("{CODE}\nfn g() {{ mutant!(Other) }}");
        check(rules(&tree(ENTRIES, &unlisted, test)), &["walytis-core/src/a.rs:3: Other is not in"]);
        check(rules(&Tree::of(&[])), &[&format!("{LIST}: the list")]);
    }

    #[test]
    fn the_document_has_the_lists_table() {
        let files = [(LIST, ENTRIES), ("walytis-core/src/a.rs", CODE)];
        let text = document(&parse(ENTRIES), &placed(&Tree::of(&files)));
        let row = "| It holds. | `SkipIt` | `walytis-core/src/a.rs` | walytis-core, `a::tests::it_holds` |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("`SkipThat` (`planted!`)"), "{text}");
        let other = [(LIST, ENTRIES), ("walytis-core/src/a.rs", CODE), (DOCUMENT, "other")];
        let found = rules(&Tree::of(&other));
        assert!(found.iter().any(|violation| violation.to_string().contains("is not what the list says")), "{found:?}");
    }
}
