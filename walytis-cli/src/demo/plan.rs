//! What a demonstration does.

use std::path::PathBuf;
use std::time::Duration;

/// A demonstration.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes, at least two.
    pub peers: usize,
    /// What is posted, in turn by all.
    pub lines: Vec<Vec<u8>>,
    /// Where the nodes' folders are made.
    pub folder: PathBuf,
    /// How long nothing may arrive anywhere before the nodes count as done, whether they agree or not.
    pub patience: Duration,
    /// What is broken on purpose.
    pub fault: Fault,
}

impl Plan {
    /// A demonstration in which nothing is broken.
    #[must_use]
    pub fn new(peers: usize, lines: Vec<Vec<u8>>, folder: PathBuf) -> Self {
        Self { peers, lines, folder, patience: Duration::from_secs(30), fault: Fault::None }
    }
}

/// What is broken on purpose, to show that the checks see it. Nodes count from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The store of this node is not sealed.
    Unsealed {
        /// The node.
        node: usize,
    },
    /// This node hands a frame with a line in clear to its transport.
    LeakedFrame {
        /// The node.
        node: usize,
    },
    /// A byte in each page of this node's store is changed on the disk.
    ChangedFile {
        /// The node.
        node: usize,
    },
    /// A byte of a content is changed beneath the seal, and sealed again.
    ChangedContent {
        /// The node.
        node: usize,
    },
    /// What this node sends stops reaching the others when two thirds of the lines are posted.
    Withheld {
        /// The node.
        node: usize,
    },
}

/// The lines of a text, without their ends.
#[must_use]
pub fn lines_of(text: &[u8]) -> Vec<Vec<u8>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::lines_of;

    #[test]
    fn lines_end_where_they_end() {
        let check = |text: &[u8], expected: &[&[u8]]| assert_eq!(lines_of(text), expected);
        check(b"", &[]);
        check(b"\n", &[]);
        check(b"a", &[b"a"]);
        check(b"a\n\nb\n", &[b"a", b"", b"b"]);
    }
}
