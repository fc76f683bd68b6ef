//! The workspace's files, as the rules see them. Tests build small trees in memory.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::rust::Source;

/// Every file that belongs to the repository, by its path from the root, with `/` between the parts.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, File>,
}

/// One file.
pub(crate) struct File {
    pub(crate) bytes: u64,
    /// `None` when it is not UTF-8.
    pub(crate) text: Option<String>,
    /// Present for Rust sources.
    pub(crate) rust: Option<Source>,
}

impl Tree {
    /// Reads everything below the root but what `.gitignore` names there.
    ///
    /// # Errors
    /// A directory or file cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let ignored = match std::fs::read_to_string(root.join(".gitignore")) {
            Ok(text) => text.lines().filter_map(|line| line.strip_prefix('/')).map(str::to_owned).collect(),
            Err(_) => Vec::new(),
        };
        let mut tree = Self::default();
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            let place = root.join(&folder);
            for entry in std::fs::read_dir(&place).with_context(|| format!("cannot list {}", place.display()))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if path == ".git" || ignored.contains(&path) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    open.push(path);
                } else {
                    let content = std::fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                    tree.insert(path, content);
                }
            }
        }
        Ok(tree)
    }

    /// Adds one file.
    fn insert(&mut self, path: String, content: Vec<u8>) {
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let text = String::from_utf8(content).ok();
        let is_rust = path.ends_with(".rs");
        let rust = text.as_deref().filter(|_| is_rust).map(|text| Source::read(&path, text));
        self.files.insert(path, File { bytes, text, rust });
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// All texts with their paths.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, file)| Some((path.as_str(), file.text.as_deref()?)))
    }

    /// All Rust sources with their paths.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.files.iter().filter_map(|(path, file)| Some((path.as_str(), file.rust.as_ref()?)))
    }

    /// Whether there is such a file, or a folder with a file in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.files.contains_key(path)
            || self.files.range(inside.clone()..).next().is_some_and(|(p, _)| p.starts_with(&inside))
    }

    /// A tree in memory.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.insert((*path).to_owned(), text.as_bytes().to_vec());
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn a_folder_is_there_when_a_file_is_in_it() {
        let tree = Tree::of(&[("docs/format.md", ""), ("docs-old.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/format.md"));
        assert!(!tree.has("doc") && !tree.has("docs/for"));
    }

    #[test]
    fn what_is_ignored_is_not_read() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent");
        let tree = Tree::read(root).expect("the workspace can be read");
        assert!(tree.has("xtask/src/tidy/tree.rs"));
        assert!(!tree.has("target") && !tree.has(".git"));
    }
}
