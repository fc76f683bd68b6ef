//! Dependencies point down: which of our crates may use which, and who alone may name redb and libp2p.

use crate::workspace::{Dependency, Package};

use super::Violation;
use super::tree::Tree;

/// The allowed edges: each crate of ours, and those of ours that it may ship with. Edges that only tests need are free.
const EDGES: &[(&str, &[&str])] = &[
    ("walytis-core", &[]),
    ("walytis-engine", &["walytis-core"]),
    ("walytis-identities", &["walytis-core"]),
    ("walytis-offchain", &["walytis-core", "walytis-engine", "walytis-identities"]),
    ("offchain-store", &["walytis-core"]),
    ("offchain-net", &["walytis-core"]),
    (
        "walytis-node",
        &["walytis-core", "walytis-engine", "walytis-identities", "walytis-offchain", "offchain-store", "offchain-net"],
    ),
    (
        "walytis-cli",
        &["walytis-core", "walytis-identities", "walytis-offchain", "offchain-store", "offchain-net", "walytis-node"],
    ),
    ("walytis-android", &["walytis-core", "walytis-node"]),
    (
        "offchain-testkit",
        &["walytis-core", "walytis-engine", "walytis-identities", "walytis-offchain", "offchain-store", "walytis-node"],
    ),
    ("xtask", &[]),
];

/// What one crate alone may depend on and name: the beginning of the foreign crate's name, and our crate.
const OWNED: &[(&str, &str)] = &[("redb", "offchain-store"), ("libp2p", "offchain-net")];

/// Each edge between our crates is in the table, and the table names our crates.
pub(crate) fn edges(packages: &[Package]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, _) in EDGES {
        if packages.iter().all(|package| package.name != *name) {
            found.push(Violation::file(
                "xtask/src/tidy/layers.rs",
                format!("the table names {name}, which is no crate here"),
            ));
        }
    }
    for package in packages {
        let file = format!("{}/Cargo.toml", package.name);
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            let message = format!("{} is not in the table of layers (xtask/src/tidy/layers.rs)", package.name);
            found.push(Violation::file(file, message));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.is_shipped()) {
            let ours = packages.iter().any(|other| other.name == dependency.name);
            if ours && !allowed.contains(&dependency.name.as_str()) {
                found.push(Violation::file(&file, format!("{} may not depend on {}", package.name, dependency.name)));
            }
        }
    }
    found
}

/// redb and libp2p's crates are dependencies of their owners only, tests included.
pub(crate) fn owned_dependencies(packages: &[Package]) -> Vec<Violation> {
    let owner = |dependency: &Dependency| {
        OWNED.iter().find(|(name, _)| belongs_to(&dependency.name, name)).map(|(_, owner)| *owner)
    };
    let mut found = Vec::new();
    for package in packages {
        for dependency in &package.dependencies {
            if let Some(owner) = owner(dependency).filter(|owner| *owner != package.name) {
                let message = format!("only {owner} may depend on {}", dependency.name);
                found.push(Violation::file(format!("{}/Cargo.toml", package.name), message));
            }
        }
    }
    found
}

/// redb and libp2p's crates are named by their owners' sources only.
pub(crate) fn owned_names(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        for (index, token) in source.tokens.iter().enumerate() {
            let owned = OWNED.iter().find(|(name, _)| belongs_to(&token.text, name));
            let Some((_, owner)) = owned.filter(|(_, owner)| !path.starts_with(&format!("{owner}/"))) else { continue };
            let near = |distance: isize| {
                let place = index.checked_add_signed(distance);
                place.and_then(|place| source.tokens.get(place)).map_or("", |token| token.text.as_str())
            };
            let is_path = near(1) == ":" && near(2) == ":";
            if is_path || near(-1) == "use" || (near(-2) == "extern" && near(-1) == "crate") {
                found.push(Violation::line(path, token.line, format!("only {owner} may name {}", token.text)));
            }
        }
    }
    found
}

/// Whether a crate's name is this one, or one of its family: `libp2p-swarm` or `libp2p_swarm` of `libp2p`.
fn belongs_to(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::{EDGES, edges, owned_dependencies, owned_names};
    use crate::tidy::tree::Tree;
    use crate::workspace::{Dependency, Package};

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).into(),
            kind: kind.map(Into::into),
            ..Dependency::default()
        };
        Package { name: name.into(), dependencies: dependencies.iter().map(dependency).collect(), ..Package::default() }
    }

    /// All crates of the table, without edges, but for those given.
    fn all_with(changed: Package) -> Vec<Package> {
        let mut packages: Vec<Package> = EDGES.iter().map(|(name, _)| package(name, &[])).collect();
        packages.retain(|package| package.name != changed.name);
        packages.push(changed);
        packages
    }

    #[test]
    fn edges_outside_the_table_are_found() {
        check(edges(&all_with(package("walytis-offchain", &[("walytis-core", None), ("serde", None)]))), &[]);
        check(edges(&all_with(package("walytis-core", &[("offchain-testkit", Some("dev"))]))), &[]);
        check(
            edges(&all_with(package("walytis-core", &[("walytis-node", None)]))),
            &["walytis-core/Cargo.toml: walytis-core may not depend on walytis-node"],
        );
        check(
            edges(&all_with(package("walytis-cli", &[("offchain-testkit", None)]))),
            &["walytis-cli/Cargo.toml: walytis-cli may not depend on offchain-testkit"],
        );
        check(
            edges(&all_with(package("walytis-identities", &[("xtask", Some("build"))]))),
            &["walytis-identities/Cargo.toml: walytis-identities may not depend on xtask"],
        );
        check(
            edges(&all_with(package("walytis-new", &[]))),
            &["walytis-new/Cargo.toml: walytis-new is not in the table"],
        );
        let without_core: Vec<Package> = EDGES.iter().skip(1).map(|(name, _)| package(name, &[])).collect();
        check(edges(&without_core), &["xtask/src/tidy/layers.rs: the table names walytis-core"]);
    }

    #[test]
    fn owned_dependencies_elsewhere_are_found() {
        let fine = [package("offchain-store", &[("redb", None)]), package("offchain-net", &[("libp2p-stream", None)])];
        check(owned_dependencies(&fine), &[]);
        let bad = [package("walytis-node", &[("libp2p-swarm", Some("dev")), ("redb", None), ("redbus", None)])];
        check(
            owned_dependencies(&bad),
            &[
                "walytis-node/Cargo.toml: only offchain-net may depend on libp2p-swarm",
                "walytis-node/Cargo.toml: only offchain-store may depend on redb",
            ],
        );
    }

    #[test]
    fn owned_names_elsewhere_are_found() {
        let tree = Tree::of(&[
            ("offchain-store/src/file.rs", "use redb::Database;"),
            ("walytis-node/src/fine.rs", "// redb::Database\nlet redb = \"libp2p::Swarm\"; my_redb::x();"),
            ("walytis-node/src/lib.rs", "\nuse redb::Database;\nlet x = libp2p_swarm::y();\nuse libp2p as transport;"),
        ]);
        check(
            owned_names(&tree),
            &[
                "walytis-node/src/lib.rs:2: only offchain-store may name redb",
                "walytis-node/src/lib.rs:3: only offchain-net may name libp2p_swarm",
                "walytis-node/src/lib.rs:4: only offchain-net may name libp2p",
            ],
        );
    }
}
