//! Documents that exist, agree with the manifests and lead somewhere.

use super::Violation;
use super::tree::Tree;

/// What a reader may count on finding.
const REQUIRED: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE-MIT-0",
    "LICENSE-CC0-1.0",
    "docs/architecture.md",
    "docs/format.md",
];

/// The documents that every reader looks for are there, and not empty.
pub(crate) fn required(tree: &Tree) -> Vec<Violation> {
    let missing = REQUIRED.iter().filter(|path| tree.text(path).is_none_or(|text| text.trim().is_empty()));
    missing.map(|path| Violation::file(*path, "this document is missing")).collect()
}

/// The README names the minimum Rust that the root manifest fixes, and no other.
pub(crate) fn rust_version(tree: &Tree) -> Vec<Violation> {
    let manifest: toml::Table = tree.text("Cargo.toml").and_then(|text| text.parse().ok()).unwrap_or_default();
    let version = ["workspace", "package", "rust-version"]
        .into_iter()
        .try_fold(&toml::Value::Table(manifest), |value, key| value.get(key))
        .and_then(toml::Value::as_str)
        .map(str::to_owned);
    let Some(version) = version else {
        return vec![Violation::file("Cargo.toml", "`[workspace.package]` needs `rust-version`")];
    };
    let mut named = 0_usize;
    let mut found = Vec::new();
    for (line, number) in tree.text("README.md").unwrap_or_default().lines().zip(1..) {
        for rest in line.split("Rust 1.").skip(1) {
            let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
            named = named.saturating_add(1);
            if version != format!("1.{minor}") {
                let message = format!("names Rust 1.{minor}, the manifest Rust {version}");
                found.push(Violation::line("README.md", number, message));
            }
        }
    }
    if named == 0 {
        found.push(Violation::file("README.md", format!("does not name the minimum, \"Rust {version}\"")));
    }
    found
}

/// Links from the root's documents and from docs/ to files lead to files that exist.
pub(crate) fn links(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let documents = tree.texts().filter(|(path, _)| path.ends_with(".md"));
    for (path, text) in documents.filter(|(path, _)| !path.contains('/') || path.starts_with("docs/")) {
        for (line, target) in link_targets(text) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if elsewhere || resolve(path, file).is_some_and(|place| tree.has(&place)) {
                continue;
            }
            found.push(Violation::line(path, line, format!("the link to {target} leads nowhere")));
        }
    }
    found
}

/// Where links of a Markdown text lead: `[..](target)` and `[..]: target`, outside of code.
fn link_targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        for (index, _) in line.match_indices("](") {
            let (before, after) = line.split_at(index);
            let in_code = before.matches('`').count() % 2 == 1;
            let target = after.trim_start_matches("](").split([')', ' ']).next();
            found.extend(target.filter(|_| !in_code).map(|target| (number, target)));
        }
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        let target = definition.and_then(|(_, target)| target.split_whitespace().next());
        found.extend(target.map(|target| (number, target)));
    }
    found
}

/// The path from the root that a link in a document means; `None` if it leaves the root.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{REQUIRED, links, required, rust_version};
    use crate::tidy::tree::Tree;

    #[test]
    fn missing_documents_are_found() {
        let all: Vec<(&str, &str)> = REQUIRED.iter().map(|path| (*path, "words")).collect();
        check(required(&Tree::of(&all)), &[]);
        let mut some = all.clone();
        some[0] = ("README.md", " \n");
        some.pop();
        check(required(&Tree::of(&some)), &["README.md: this document", "docs/format.md: this document"]);
    }

    #[test]
    fn another_rust_version_is_found() {
        let with = |readme: &str| {
            rust_version(&Tree::of(&[
                ("Cargo.toml", "[workspace.package]\nrust-version = \"1.95\""),
                ("README.md", readme),
            ]))
        };
        check(with("Needs Rust 1.95, nothing else."), &[]);
        check(with("Needs Rust 1.95.\nOr Rust 1.9."), &["README.md:2: names Rust 1.9, the manifest Rust 1.95"]);
        check(with("Needs Rust."), &["README.md: does not name the minimum"]);
        check(rust_version(&Tree::of(&[("Cargo.toml", "")])), &["Cargo.toml: `[workspace.package]`"]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let good =
            "[a](docs/format.md#x) [b](https://example.org/y) [c](#d) [e](docs/) `[f](gone)`\n```\n[g](gone)\n```\n";
        let back = "[a](../README.md) [b](format.md \"title\")\n[c]: ../docs/format.md\n";
        let tree = Tree::of(&[("README.md", good), ("docs/format.md", back), ("a/README.md", "[x](gone)")]);
        check(links(&tree), &[]);
        let bad = "[a](gone.md)\n[b]: ../README.md\n\n[c](../../README.md)\n";
        let tree = Tree::of(&[("docs/format.md", bad), ("docs/README.md", "")]);
        let found = ["1: the link to gone.md", "2: the link to ../README.md", "4: the link to ../../README.md"];
        check(links(&tree), &found.map(|place| format!("docs/format.md:{place}")).each_ref().map(String::as_str));
    }
}
