//! `cargo xtask tidy`: the rules of the house that no other tool knows.
//!
//! Each rule is a function from the workspace's packages, manifests or files to violations, with a test that shows it
//! failing. A rule says in its message what to do.

mod code;
mod documents;
mod layers;
mod layout;
mod manifests;
pub(crate) mod mutants;
mod planted;
mod purity;
mod rust;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use manifests::Manifest;
use tree::Tree;

/// Check the rules of the house: layers, purity, manifests, files, documents
///
/// Prints every violation as `file:line: message` and fails if there is one. The allowed edges between our crates are
/// one table in xtask/src/tidy/layers.rs.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    file: String,
    line: Option<usize>,
    message: String,
}

impl Violation {
    /// A violation in a whole file.
    fn file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, message: message.into() }
    }

    /// A violation in a line, counted from one.
    fn line(file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.file, self.message),
            None => write!(out, "{}: {}", self.file, self.message),
        }
    }
}

/// Prints all violations.
///
/// # Errors
/// There is a violation, or the workspace cannot be read.
pub(crate) fn run(_: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let violations = check(&workspace)?;
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy found {} violations", violations.len());
    }
    println!("tidy: {} crates follow the rules", workspace.packages.len());
    Ok(())
}

/// Applies every rule.
fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    let tree = Tree::read(&workspace.root)?;
    let manifests = Manifest::all(workspace, &tree)?;
    let mut found = Vec::new();
    found.extend(layers::edges(&workspace.packages));
    found.extend(layers::owned_dependencies(&workspace.packages));
    found.extend(layers::owned_names(&tree));
    found.extend(purity::manifests(&workspace.packages));
    for krate in purity::PURE {
        found.extend(purity::dependency_tree(krate, &purity::list_dependencies(workspace, krate)?));
    }
    found.extend(purity::names(&tree));
    found.extend(purity::clippy_configurations(&tree));
    for manifest in &manifests {
        found.extend(manifests::inherits(manifest));
        found.extend(manifests::presents_itself(manifest, &tree));
        found.extend(manifests::versions_its_paths(manifest));
    }
    found.extend(layout::root_entries(&tree, &manifests));
    found.extend(layout::sizes(&tree));
    found.extend(layout::tables_of_contents(&tree));
    found.extend(code::ignored_tests(&tree));
    found.extend(code::sleeping_tests(&tree));
    found.extend(code::unfinished(&tree));
    found.extend(code::exceptions(&tree));
    found.extend(code::unsafe_uses(&tree));
    found.extend(code::machine_paths(&tree));
    found.extend(planted::settings(&tree));
    found.extend(planted::places(&tree));
    found.extend(planted::faults(&tree));
    found.extend(mutants::rules(&tree));
    found.extend(documents::required(&tree));
    found.extend(documents::rust_version(&tree));
    found.extend(documents::links(&tree));
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::Violation;

    /// Compares violations with what `file:line: message` should begin with.
    pub(super) fn check(found: impl IntoIterator<Item = Violation>, expected: &[&str]) {
        let found: Vec<String> = found.into_iter().map(|violation| violation.to_string()).collect();
        let same = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.starts_with(e));
        assert!(same, "found {found:#?}\nexpected {expected:#?}");
    }

    #[test]
    fn a_violation_names_its_place() {
        check([Violation::file("a", "m"), Violation::line("b", 3, "n")], &["a: m", "b:3: n"]);
    }
}
