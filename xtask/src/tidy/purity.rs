//! The pure crates: time, randomness and bytes are arguments there, effects are return values.

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::{Package, Workspace};

use super::tree::Tree;
use super::{Violation, planted};

/// The crates that know neither clock, disk, network, thread nor generator.
pub(crate) const PURE: &[&str] = &["walytis-core", "walytis-engine", "walytis-identities", "walytis-offchain"];

/// Crates that bring a runtime or the system's generator with them.
const IMPURE_CRATES: &[&str] = &["tokio", "async-std", "smol", "mio", "getrandom", "rand"];

/// The modules of the standard library that reach outside, or know the time.
const IMPURE_MODULES: &[&str] = &["time", "fs", "net", "thread", "env", "process"];

/// Names that mean a clock, or an order that changes from run to run.
const IMPURE_NAMES: &[&str] = &["HashMap", "HashSet", "RandomState", "SystemTime", "Instant"];

/// orion's feature that draws keys and nonces from the system.
const ORION_SYSTEM_RANDOMNESS: &str = "safe_api";

/// No pure crate's manifest asks for a runtime or a generator, nor for orion's forms that draw from the system.
pub(crate) fn manifests(packages: &[Package]) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let file = format!("{}/Cargo.toml", package.name);
        for dependency in package.dependencies.iter().filter(|dependency| dependency.is_shipped()) {
            if IMPURE_CRATES.contains(&dependency.name.as_str()) {
                found.push(Violation::file(&file, format!("a pure crate may not depend on {}", dependency.name)));
            }
            let draws = dependency.uses_default_features
                || dependency.features.iter().any(|feature| feature == ORION_SYSTEM_RANDOMNESS || feature == "default");
            if dependency.name == "orion" && draws {
                let message = format!("a pure crate takes orion without its feature {ORION_SYSTEM_RANDOMNESS}");
                found.push(Violation::file(&file, message));
            }
        }
    }
    found
}

/// All that a crate ships with, resolved as if it were built alone: one `name version features` a line.
///
/// # Errors
/// Cargo cannot resolve the crate's dependencies.
pub(crate) fn list_dependencies(workspace: &Workspace, krate: &str) -> Result<String> {
    let mut command = process::cargo(&workspace.root);
    command.args(["tree", "--quiet", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p} {f}"]);
    command.args(["--package", krate]);
    process::output(&mut command).with_context(|| format!("cannot list what {krate} depends on"))
}

/// No pure crate ships with a runtime or a generator, however deep: features of others are part of this.
pub(crate) fn dependency_tree(krate: &str, list: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for line in list.lines() {
        let Some(name) = line.split(' ').next() else { continue };
        if IMPURE_CRATES.contains(&name) {
            let message =
                format!("a pure crate may not ship with {name}: see `cargo tree -p {krate} -e normal -i {name}`");
            found.push(Violation::file(format!("{krate}/Cargo.toml"), message));
        }
        let mut features = line.split([' ', ',']);
        if name == "orion" && features.any(|feature| feature == ORION_SYSTEM_RANDOMNESS) {
            let message = format!("a pure crate may not ship with orion's feature {ORION_SYSTEM_RANDOMNESS}");
            found.push(Violation::file(format!("{krate}/Cargo.toml"), message));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// No pure crate names what reaches outside, outside its tests.
pub(crate) fn names(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        // Planted bugs are in no build that anybody uses, and a test's process is told of its own by the environment.
        if !PURE.iter().any(|krate| path.starts_with(&format!("{krate}/src/"))) || path == planted::LIST {
            continue;
        }
        let modules =
            source.members_of("std").into_iter().filter(|token| IMPURE_MODULES.contains(&token.text.as_str()));
        for token in modules.filter(|token| !token.test) {
            let message =
                format!("a pure crate may not use std::{}: take it as an argument, or core's part", token.text);
            found.push(Violation::line(path, token.line, message));
        }
        let words = source.tokens.iter().filter(|token| IMPURE_NAMES.contains(&token.text.as_str()));
        for token in words.filter(|token| !token.test) {
            let message = format!("a pure crate may not use {}: its result changes from run to run", token.text);
            found.push(Violation::line(path, token.line, message));
        }
    }
    found
}

/// Clippy reads the nearest clippy.toml only: those of the pure crates are one text, and repeat the root's keys.
pub(crate) fn clippy_configurations(tree: &Tree) -> Vec<Violation> {
    let read = |path: &str| tree.text(path).unwrap_or_default().parse::<toml::Table>().unwrap_or_default();
    let root = read("clippy.toml");
    let first = PURE.first().map(|krate| format!("{krate}/clippy.toml")).unwrap_or_default();
    let mut found = Vec::new();
    for krate in PURE {
        let path = format!("{krate}/clippy.toml");
        let Some(text) = tree.text(&path) else {
            found.push(Violation::file(path, "a pure crate has a clippy.toml that disallows what is not pure"));
            continue;
        };
        let own = read(&path);
        for (key, _) in root.iter().filter(|(key, value)| own.get(*key) != Some(*value)) {
            found.push(Violation::file(&path, format!("`{key}` is not as in the root's clippy.toml")));
        }
        for key in ["disallowed-types", "disallowed-methods"].into_iter().filter(|key| !own.contains_key(*key)) {
            found.push(Violation::file(&path, format!("lacks `{key}`")));
        }
        if tree.text(&first).is_some_and(|expected| expected != text) {
            found.push(Violation::file(&path, format!("differs from {first}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{clippy_configurations, dependency_tree, manifests, names};
    use crate::tidy::tree::Tree;
    use crate::workspace::{Dependency, Package};

    #[test]
    fn impure_manifests_are_found() {
        let pure = |dependency: Dependency| {
            manifests(&[Package { name: "walytis-core".into(), dependencies: vec![dependency], ..Package::default() }])
        };
        let dependency = |name: &str| Dependency { name: name.into(), ..Dependency::default() };
        check(pure(dependency("rand_core")), &[]);
        check(pure(dependency("orion")), &[]);
        check(pure(Dependency { kind: Some("dev".into()), ..dependency("tokio") }), &[]);
        check(pure(dependency("tokio")), &["walytis-core/Cargo.toml: a pure crate may not depend on tokio"]);
        let orion = "walytis-core/Cargo.toml: a pure crate takes orion without";
        check(pure(Dependency { uses_default_features: true, ..dependency("orion") }), &[orion]);
        check(pure(Dependency { features: vec!["safe_api".into()], ..dependency("orion") }), &[orion]);
        let other =
            Package { name: "walytis-node".into(), dependencies: vec![dependency("tokio")], ..Package::default() };
        check(manifests(&[other]), &[]);
    }

    #[test]
    fn impure_dependencies_deep_down_are_found() {
        let list = "walytis-core v0.1.0 (/x) \norion v0.18.1 alloc,zeroize\nrand_core v0.10.0 \n";
        check(dependency_tree("walytis-core", list), &[]);
        let list = "walytis-core v0.1.0 (/x) \norion v0.18.1 alloc,safe_api\ngetrandom v0.4.1 \ngetrandom v0.4.1 \n";
        check(
            dependency_tree("walytis-core", list),
            &[
                "walytis-core/Cargo.toml: a pure crate may not ship with getrandom",
                "walytis-core/Cargo.toml: a pure crate may not ship with orion's feature safe_api",
            ],
        );
    }

    #[test]
    fn impure_names_are_found() {
        let code = "use core::time::Duration;\nuse std::{collections::HashMap, fs};\nstd::thread::spawn();\n\
                    #[cfg(test)] mod tests { use std::fs; }\n// std::env\n";
        let tree = Tree::of(&[
            ("walytis-core/src/chain.rs", code),
            ("walytis-core/tests/chain.rs", code),
            ("walytis-node/src/x.rs", code),
        ]);
        check(
            names(&tree),
            &[
                "walytis-core/src/chain.rs:2: a pure crate may not use std::fs",
                "walytis-core/src/chain.rs:3: a pure crate may not use std::thread",
                "walytis-core/src/chain.rs:2: a pure crate may not use HashMap",
            ],
        );
    }

    #[test]
    fn a_clippy_configuration_that_drifts_is_found() {
        let good = "allow-unwrap-in-tests = true\ndisallowed-types = []\ndisallowed-methods = []\n";
        let tree = |second: &str, third: &[(&str, &str)]| {
            let mut files = vec![
                ("clippy.toml", "allow-unwrap-in-tests = true"),
                ("walytis-core/clippy.toml", good),
                ("walytis-engine/clippy.toml", good),
                ("walytis-identities/clippy.toml", second),
            ];
            files.extend(third);
            Tree::of(&files)
        };
        let third = [("walytis-offchain/clippy.toml", good)];
        check(clippy_configurations(&tree(good, &third)), &[]);
        check(clippy_configurations(&tree(good, &[])), &["walytis-offchain/clippy.toml: a pure crate has"]);
        check(
            clippy_configurations(&tree("allow-unwrap-in-tests = false\ndisallowed-types = []\n", &third)),
            &[
                "walytis-identities/clippy.toml: `allow-unwrap-in-tests` is not",
                "walytis-identities/clippy.toml: lacks `disallowed-methods`",
                "walytis-identities/clippy.toml: differs from walytis-core/clippy.toml",
            ],
        );
    }
}
