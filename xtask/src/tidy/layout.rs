//! Where files are and how large they may be.

use std::collections::BTreeSet;

use super::Violation;
use super::manifests::Manifest;
use super::tree::Tree;

/// Past this a source file has a second concept in it.
const SOURCE_LINES_MAX: usize = 600;

/// A table of contents fits on a few screens.
const LIB_LINES_MAX: usize = 150;

/// Larger files belong elsewhere: every clone carries them for ever.
const FILE_BYTES_MAX: u64 = 512 * 1024;

/// What the root may hold besides the crates. Files whose names begin with `LICENSE` may be there too.
const ROOT: &[&str] = &[
    "README.md",
    "Cargo.toml",
    "Cargo.lock",
    "CHANGELOG.md",
    "SECURITY.md",
    ".gitignore",
    "clippy.toml",
    "rustfmt.toml",
    "deny.toml",
    ".cargo",
    ".ci",
    "docs",
    "fuzz",
];

/// The root holds the crates and what the list names, nothing else: no toolchain file, no notes.
pub(crate) fn root_entries(tree: &Tree, manifests: &[Manifest<'_>]) -> Vec<Violation> {
    let entries: BTreeSet<&str> = tree.files.keys().filter_map(|path| path.split('/').next()).collect();
    let allowed = |entry: &str| {
        ROOT.contains(&entry)
            || entry.starts_with("LICENSE")
            || manifests.iter().any(|manifest| manifest.folder == entry)
    };
    let foreign = entries.into_iter().filter(|entry| !allowed(entry));
    foreign.map(|entry| Violation::file(entry, "does not belong in the root")).collect()
}

/// No source file and no file at all is too large.
pub(crate) fn sizes(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust().filter(|(path, _)| path.split('/').any(|part| part == "src")) {
        if source.lines > SOURCE_LINES_MAX {
            let message = format!("{} lines, at most {SOURCE_LINES_MAX}: look for the second concept", source.lines);
            found.push(Violation::file(path, message));
        }
    }
    for (path, file) in tree.files.iter().filter(|(_, file)| file.bytes > FILE_BYTES_MAX) {
        found.push(Violation::file(path, format!("{} bytes, at most {FILE_BYTES_MAX}", file.bytes)));
    }
    found
}

/// Each lib.rs is a table of contents: short, and without functions outside its examples and tests.
pub(crate) fn tables_of_contents(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust().filter(|(path, _)| path.ends_with("/src/lib.rs")) {
        if source.lines > LIB_LINES_MAX {
            let message = format!("{} lines, at most {LIB_LINES_MAX}: it is a table of contents", source.lines);
            found.push(Violation::file(path, message));
        }
        for token in source.find(&["fn"]).filter(|token| !token.test) {
            found.push(Violation::line(path, token.line, "a function belongs in a module, not in lib.rs"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{root_entries, sizes, tables_of_contents};
    use crate::tidy::tree::Tree;

    #[test]
    fn strangers_in_the_root_are_found() {
        let tree = Tree::of(&[("README.md", ""), ("LICENSE-X", ""), ("docs/a.md", ""), (".ci/run", "")]);
        check(root_entries(&tree, &[]), &[]);
        let tree = Tree::of(&[("notes.txt", ""), ("rust-toolchain.toml", ""), ("some/deep/file", "")]);
        let message = "does not belong in the root";
        let expected = ["notes.txt", "rust-toolchain.toml", "some"].map(|entry| format!("{entry}: {message}"));
        check(root_entries(&tree, &[]), &expected.each_ref().map(String::as_str));
    }

    #[test]
    fn large_files_are_found() {
        let lines = |count: usize| "x\n".repeat(count);
        let tree = Tree::of(&[("a/src/b.rs", &lines(600)), ("a/tests/c.rs", &lines(601)), ("d", &"x".repeat(524_288))]);
        check(sizes(&tree), &[]);
        let tree = Tree::of(&[("a/src/b.rs", &lines(601)), ("c", &"x".repeat(524_289))]);
        check(sizes(&tree), &["a/src/b.rs: 601 lines", "c: 524289 bytes"]);
    }

    #[test]
    fn a_lib_that_is_no_table_of_contents_is_found() {
        let fine = "//! ```\n//! fn main() {}\n//! ```\nmod a;\n#[cfg(test)]\nmod tests { fn b() {} }\n";
        check(tables_of_contents(&Tree::of(&[("a/src/lib.rs", fine), ("a/src/b.rs", "fn c() {}")])), &[]);
        let long = format!("mod a;\npub fn b() {{}}\n{}", "\n".repeat(150));
        check(
            tables_of_contents(&Tree::of(&[("a/src/lib.rs", &long)])),
            &["a/src/lib.rs: 152", "a/src/lib.rs:2: a func"],
        );
    }
}
