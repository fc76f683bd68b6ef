//! What `cargo metadata` says about our own packages.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// Our packages, without anybody else's.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    pub(crate) target_directory: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One of our packages, with what it inherits from the root manifest filled in.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    pub(crate) description: Option<String>,
    pub(crate) readme: Option<String>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    /// The registries that it may go to: `None` is any, an empty list none.
    pub(crate) publish: Option<Vec<String>>,
}

/// One line of a manifest's dependencies.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// The versions accepted; `*` where the manifest gives none.
    pub(crate) req: String,
    /// `None` is a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    pub(crate) path: Option<PathBuf>,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    #[serde(default)]
    pub(crate) uses_default_features: bool,
}

/// A library, binary, test or bench target.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace that we were built from. It needs neither network nor a lock file.
    ///
    /// # Errors
    /// Cargo refuses a manifest, or its answer lacks a field.
    pub(crate) fn load() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?;
        let mut command = process::cargo(root);
        command.args(["metadata", "--format-version", "1", "--no-deps"]);
        let answer = process::output(&mut command)?;
        serde_json::from_str(&answer).context("cargo's answer is not what we know")
    }

    /// The package of this name.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    /// Whether it may go to a registry.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// Whether it has a target of this kind and name.
    pub(crate) fn has_target(&self, kind: &str, name: &str) -> bool {
        self.targets.iter().any(|target| target.name == name && target.kind.iter().any(|each| each == kind))
    }
}

impl Dependency {
    /// Whether it ends up in what users of the package build.
    pub(crate) fn is_shipped(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

#[cfg(test)]
mod tests {
    use super::{Package, Workspace};

    #[test]
    fn cargo_tells_about_ourselves() {
        let workspace = Workspace::load().expect("cargo metadata works");
        let xtask = workspace.package("xtask").expect("xtask is a member");
        assert!(!xtask.is_published());
        assert!(xtask.has_target("bin", "xtask"));
        assert!(!xtask.has_target("bench", "xtask"));
    }

    #[test]
    fn publish_is_read() {
        let publish = |publish| Package { publish, ..Package::default() }.is_published();
        assert!(publish(None));
        assert!(publish(Some(vec!["crates-io".into()])));
        assert!(!publish(Some(Vec::new())));
    }
}
