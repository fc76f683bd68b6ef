//! Planted bugs stay where they are meant: no build has them unless the compiler is told so by hand.

use std::collections::BTreeMap;

use super::Violation;
use super::purity::PURE;
use super::rust::{Source, Token};
use super::tree::Tree;

/// The cfg, the macro and the module.
const NAME: &str = "planted";

/// Where the faults are listed.
pub(super) const LIST: &str = "walytis-core/src/planted.rs";

/// The crate whose runner activates them, besides the pure crates that have them.
const RUNNER: &str = "offchain-testkit";

/// The one setting that may name the cfg: it tells the compiler that there is such a thing.
const DECLARATION: &[&str] = &["workspace", "lints", "rust", "unexpected_cfgs", "check-cfg"];

/// No manifest, no cargo configuration and no build script sets the cfg, and no feature is called so.
pub(crate) fn settings(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        let mut parts = path.rsplit('/');
        let (file, folder) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if file == "build.rs" && has_name(text) {
            found.push(Violation::file(path, "a build script does not speak of planted bugs"));
        }
        if file != "Cargo.toml" && !(folder == ".cargo" && matches!(file, "config.toml" | "config")) {
            continue;
        }
        let Ok(table) = text.parse::<toml::Table>() else {
            found.push(Violation::file(path, "is not TOML"));
            continue;
        };
        let mut named = Vec::new();
        search(&toml::Value::Table(table), &mut Vec::new(), &mut named);
        for place in named.into_iter().filter(|place| path != "Cargo.toml" || place != &DECLARATION.join(".")) {
            let message = format!("`{place}`: `--cfg planted` is given by hand alone, and no feature is called so");
            found.push(Violation::file(path, message));
        }
    }
    found
}

/// Collects the places in a TOML value whose key or text has the name.
fn search(value: &toml::Value, at: &mut Vec<String>, named: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if has_name(text) => named.push(at.join(".")),
        toml::Value::Array(values) => values.iter().for_each(|value| search(value, at, named)),
        toml::Value::Table(table) => {
            for (key, value) in table {
                at.push(key.clone());
                if has_name(key) {
                    named.push(at.join("."));
                }
                search(value, at, named);
                at.pop();
            }
        }
        _ => {}
    }
}

fn has_name(text: &str) -> bool {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').any(|word| word == NAME)
}

/// Only the pure crates have planted bugs, and only they and the testkit know of them.
pub(crate) fn places(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        let krate = path.split('/').next().unwrap_or_default();
        if PURE.contains(&krate) || krate == RUNNER {
            continue;
        }
        let conditions = source.attributes().into_iter().filter_map(|attribute| {
            let is_condition = attribute.first().is_some_and(|token| token.text.starts_with("cfg"));
            attribute.iter().find(|token| token.text == NAME).filter(|_| is_condition)
        });
        for token in conditions.chain(source.find(&[NAME, "!"])).chain(source.find(&["cfg", "!", "(", NAME])) {
            found.push(Violation::line(path, token.line, "bugs are planted in the pure crates alone"));
        }
    }
    found
}

/// Each fault in the list is planted in one place, and each that is planted is in the list.
pub(crate) fn faults(tree: &Tree) -> Vec<Violation> {
    let Some((_, list)) = tree.rust().find(|(path, _)| *path == LIST) else {
        return vec![Violation::file(LIST, "the list of planted bugs is missing")];
    };
    let mut planted: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    for (path, source) in tree.rust() {
        for window in source.tokens.windows(5) {
            let [name, bang, open, fault, close] = window else { continue };
            let pattern = [name, bang, open, close].map(|token| token.text.as_str());
            if pattern == [NAME, "!", "(", ")"] && !name.test {
                planted.entry(&fault.text).or_default().push((path, name.line));
            }
        }
    }
    let mut found = Vec::new();
    for fault in listed(list) {
        let places = planted.remove(fault.text.as_str()).unwrap_or_default();
        if places.is_empty() {
            found.push(Violation::line(LIST, fault.line, format!("{} is planted nowhere", fault.text)));
        }
        for (path, line) in places.into_iter().skip(1) {
            found.push(Violation::line(path, line, format!("{} is planted elsewhere, too", fault.text)));
        }
    }
    for (fault, places) in planted {
        for (path, line) in places {
            found.push(Violation::line(path, line, format!("{fault} is not in {LIST}")));
        }
    }
    found
}

/// The names between the braces of `faults! { ... }`.
fn listed(list: &Source) -> impl Iterator<Item = &Token> {
    let begin = list.tokens.windows(3).position(|window| {
        let window: Vec<&str> = window.iter().map(|token| token.text.as_str()).collect();
        window == ["faults", "!", "{"]
    });
    let names = list.tokens.iter().skip(begin.map_or(usize::MAX, |begin| begin.saturating_add(3)));
    names.take_while(|token| token.text != "}").filter(|token| token.text != ",")
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{LIST, faults, places, settings};
    use crate::tidy::tree::Tree;

    #[test]
    fn settings_that_plant_bugs_are_found() {
        let declared =
            "[workspace.lints.rust]\nunexpected_cfgs = { level = \"deny\", check-cfg = [\"cfg(planted)\"] }\n";
        let fine = Tree::of(&[
            ("Cargo.toml", declared),
            ("a/Cargo.toml", "# planted\n[dependencies]\nplanted_trees = \"1\""),
            (".cargo/config.toml", "[alias]\nx = \"run\""),
            ("a/src/b.rs", "const FLAGS: &str = \"--cfg planted\";"),
        ]);
        check(settings(&fine), &[]);
        let message = "`--cfg planted` is given by hand alone";
        for (path, text, place) in [
            ("a/Cargo.toml", declared, "workspace.lints.rust.unexpected_cfgs.check-cfg"),
            ("a/Cargo.toml", "[features]\nplanted = []", "features.planted"),
            ("a/Cargo.toml", "[features]\nx = [\"walytis-core/planted\"]", "features.x"),
            ("a/Cargo.toml", "[target.'cfg(planted)'.dependencies]\nb = \"1\"", "target.cfg(planted)"),
            ("Cargo.toml", "[profile.dev]\nrustflags = [\"--cfg\", \"planted\"]", "profile.dev.rustflags"),
            (".cargo/config.toml", "[build]\nrustflags = \"--cfg planted\"", "build.rustflags"),
            ("a/.cargo/config", "[env]\nRUSTFLAGS = \"--cfg=planted\"", "env.RUSTFLAGS"),
        ] {
            check(settings(&Tree::of(&[(path, text)])), &[&format!("{path}: `{place}`: {message}")]);
        }
        check(
            settings(&Tree::of(&[("a/build.rs", "println!(\"cargo:rustc-cfg=planted\")")])),
            &["a/build.rs: a build"],
        );
        check(settings(&Tree::of(&[("a/Cargo.toml", "[")])), &["a/Cargo.toml: is not TOML"]);
    }

    #[test]
    fn bugs_planted_elsewhere_are_found() {
        let code = "// cfg(planted)\n#[cfg(all(test, planted))]\nfn f() {}\nfn g() { planted!(A); cfg!(planted); }\n";
        let fine =
            [("walytis-core/src/b.rs", code), ("offchain-testkit/src/b.rs", code), ("xtask/b.rs", "mod planted;")];
        check(places(&Tree::of(&fine)), &[]);
        check(
            places(&Tree::of(&[("walytis-node/src/b.rs", code)])),
            &["walytis-node/src/b.rs:2: ", "walytis-node/src/b.rs:4: ", "walytis-node/src/b.rs:4: "],
        );
    }

    #[test]
    fn a_fault_is_planted_once() {
        let list = "macro_rules! faults { () => {} }\nfaults! {\n/// One.\nOne,\n/// Two.\nTwo,\n}\nfn Three() {}\n\
                    #[cfg(test)] mod tests { fn f() { planted!(One) } }";
        check(faults(&Tree::of(&[])), &["walytis-core/src/planted.rs: the list"]);
        let fine = "if planted!(One) {}\n // planted!(Two)\nlet x = y && !walytis_core::planted!(Two);";
        check(faults(&Tree::of(&[(LIST, list), ("walytis-core/src/b.rs", fine)])), &[]);
        let bad = "if planted!(One) {}\nif planted!(One) {}\nplanted!(Three)";
        check(
            faults(&Tree::of(&[(LIST, list), ("walytis-core/src/b.rs", bad)])),
            &[
                "walytis-core/src/b.rs:2: One is planted elsewhere, too",
                "walytis-core/src/planted.rs:6: Two is planted nowhere",
                "walytis-core/src/b.rs:3: Three is not in",
            ],
        );
    }
}
