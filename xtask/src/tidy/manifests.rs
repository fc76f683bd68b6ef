//! What our crates' manifests say: inherited facts, a presentation to readers, versions of their siblings.

use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::{Package, Workspace};

use super::Violation;
use super::tree::Tree;

/// The fewest lines that say something about a crate.
const README_LINES_MIN: usize = 20;

/// What each package takes from the root manifest, so that it is written once.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license"];

/// A crate of ours: what cargo makes of its manifest, and what is written in it.
pub(crate) struct Manifest<'a> {
    package: &'a Package,
    /// The crate's folder, from the root.
    pub(crate) folder: String,
    written: toml::Table,
}

impl<'a> Manifest<'a> {
    /// Reads the manifests of all our packages.
    ///
    /// # Errors
    /// One is not in the tree, or not TOML.
    pub(crate) fn all(workspace: &'a Workspace, tree: &Tree) -> Result<Vec<Self>> {
        workspace.packages.iter().map(|package| Self::read(&workspace.root, package, tree)).collect()
    }

    fn read(root: &Path, package: &'a Package, tree: &Tree) -> Result<Self> {
        let folder = package.manifest_path.parent().and_then(|folder| folder.strip_prefix(root).ok());
        let folder = folder.with_context(|| format!("{} is outside the root", package.name))?;
        let folder = folder.to_string_lossy().replace('\\', "/");
        let path = format!("{folder}/Cargo.toml");
        let text = tree.text(&path).with_context(|| format!("there is no {path}"))?;
        let written = text.parse().with_context(|| format!("{path} is not TOML"))?;
        Ok(Self { package, folder, written })
    }

    fn violation(&self, message: impl Into<String>) -> Violation {
        Violation::file(format!("{}/Cargo.toml", self.folder), message)
    }
}

/// Version, edition, minimum Rust, licence and lints come from the root manifest.
pub(crate) fn inherits(manifest: &Manifest<'_>) -> Vec<Violation> {
    let from_workspace = |value: Option<&toml::Value>| {
        value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    let package = manifest.written.get("package");
    let mut found: Vec<Violation> = INHERITED
        .iter()
        .filter(|key| !from_workspace(package.and_then(|package| package.get(**key))))
        .map(|key| manifest.violation(format!("write `{key}.workspace = true`")))
        .collect();
    if !from_workspace(manifest.written.get("lints")) {
        found.push(manifest.violation("write `[lints]` with `workspace = true`"));
    }
    found
}

/// A published crate has a description, one to five keywords and a README that says something.
pub(crate) fn presents_itself(manifest: &Manifest<'_>, tree: &Tree) -> Vec<Violation> {
    let package = manifest.package;
    if !package.is_published() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if package.description.as_deref().is_none_or(|text| text.trim().is_empty()) {
        found.push(manifest.violation("a published crate needs a description"));
    }
    if package.keywords.is_empty() || package.keywords.len() > 5 {
        found.push(manifest.violation("a published crate needs one to five keywords"));
    }
    let Some(readme) = package.readme.as_deref() else {
        found.push(manifest.violation("a published crate needs a README, named by `readme`"));
        return found;
    };
    let path = format!("{}/{readme}", manifest.folder);
    match tree.text(&path).map(|text| text.lines().count()) {
        None => found.push(Violation::file(path, "the README that the manifest names does not exist")),
        Some(lines) if lines < README_LINES_MIN => {
            let message = format!("{lines} lines say too little: at least {README_LINES_MIN}");
            found.push(Violation::file(path, message));
        }
        Some(_) => {}
    }
    found
}

/// What a published crate ships with can be found in a registry: each path dependency has a version.
pub(crate) fn versions_its_paths(manifest: &Manifest<'_>) -> Vec<Violation> {
    let shipped = manifest.package.dependencies.iter().filter(|dependency| dependency.is_shipped());
    let unversioned = shipped.filter(|dependency| dependency.path.is_some() && dependency.req == "*");
    unversioned
        .filter(|_| manifest.package.is_published())
        .map(|dependency| manifest.violation(format!("the path dependency {} needs a version", dependency.name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{Manifest, inherits, presents_itself, versions_its_paths};
    use crate::tidy::tree::Tree;
    use crate::workspace::{Dependency, Package};

    fn manifest<'a>(package: &'a Package, written: &str) -> Manifest<'a> {
        Manifest { package, folder: "a".into(), written: written.parse().expect("TOML") }
    }

    fn good() -> Package {
        Package {
            name: "a".into(),
            description: Some("It does a thing".into()),
            keywords: vec!["thing".into()],
            readme: Some("README.md".into()),
            ..Package::default()
        }
    }

    #[test]
    fn what_is_not_inherited_is_found() {
        let package = good();
        let all = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                   license.workspace = true\n[lints]\nworkspace = true\n";
        check(inherits(&manifest(&package, all)), &[]);
        let edition = all.replace("edition.workspace = true", "edition = \"2024\"");
        check(inherits(&manifest(&package, &edition)), &["a/Cargo.toml: write `edition.workspace"]);
        let lints = all.replace("[lints]\nworkspace = true", "[lints]\nworkspace = false");
        check(inherits(&manifest(&package, &lints)), &["a/Cargo.toml: write `[lints]`"]);
        check(inherits(&manifest(&package, "")), &["a/"; 5]);
    }

    #[test]
    fn a_crate_that_does_not_present_itself_is_found() {
        let long = "line\n".repeat(20);
        let tree = Tree::of(&[("a/README.md", &long)]);
        let with = |package: Package| presents_itself(&manifest(&package, ""), &tree);
        check(with(good()), &[]);
        check(
            with(Package { description: Some(" ".into()), ..good() }),
            &["a/Cargo.toml: a published crate needs a desc"],
        );
        check(with(Package { keywords: Vec::new(), ..good() }), &["a/Cargo.toml: a published crate needs one to five"]);
        check(
            with(Package { keywords: vec!["k".into(); 6], ..good() }),
            &["a/Cargo.toml: a published crate needs one"],
        );
        check(with(Package { readme: None, ..good() }), &["a/Cargo.toml: a published crate needs a README"]);
        check(with(Package { readme: Some("GONE.md".into()), ..good() }), &["a/GONE.md: the README that"]);
        let short = Tree::of(&[("a/README.md", "# a\n")]);
        check(presents_itself(&manifest(&good(), ""), &short), &["a/README.md: 1 lines say too little"]);
        let private = Package { publish: Some(Vec::new()), ..Package::default() };
        check(presents_itself(&manifest(&private, ""), &short), &[]);
    }

    #[test]
    fn a_path_without_a_version_is_found() {
        let on = |req: &str, kind: Option<&str>| {
            let path = Some("b".into());
            let dependency = Dependency {
                name: "b".into(),
                req: req.into(),
                kind: kind.map(Into::into),
                path,
                ..Dependency::default()
            };
            let package = Package { dependencies: vec![dependency], ..good() };
            versions_its_paths(&manifest(&package, ""))
        };
        check(on("^0.1.0", None), &[]);
        check(on("*", Some("dev")), &[]);
        check(on("*", None), &["a/Cargo.toml: the path dependency b needs a version"]);
    }
}
