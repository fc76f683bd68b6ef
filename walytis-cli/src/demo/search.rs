//! Looking for what must not be seen.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aho_corasick::{AhoCorasick, BuildError};

/// Shorter lines are not looked for: they would be found by chance.
pub(super) const NEEDLE_BYTES_MIN: usize = 16;

/// How much of a file is looked through at a time.
const PART_BYTES: usize = 1024 * 1024;

/// Texts that must stay sealed.
pub(super) struct Search {
    needles: Vec<Vec<u8>>,
    automaton: AhoCorasick,
}

impl Search {
    /// Looks for the lines that are long enough, and for the canaries.
    pub(super) fn new(lines: &[Vec<u8>], canaries: &[Vec<u8>]) -> Result<Self, BuildError> {
        let long = lines.iter().filter(|line| line.len() >= NEEDLE_BYTES_MIN);
        let mut needles: Vec<Vec<u8>> = long.chain(canaries).cloned().collect();
        needles.sort_unstable();
        needles.dedup();
        Ok(Self { automaton: AhoCorasick::new(&needles)?, needles })
    }

    /// How many texts are looked for.
    pub(super) fn len(&self) -> usize {
        self.needles.len()
    }

    /// The first that is found.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<String> {
        let found = self.automaton.find(bytes)?;
        let needle = self.needles.get(found.pattern().as_usize())?;
        Some(format!("{:?}", String::from_utf8_lossy(needle)))
    }

    /// Looks through a file: how long it is, and the first text that is found.
    pub(super) fn find_in_file(&self, path: &Path) -> io::Result<(u64, Option<String>)> {
        // What may begin at the end of one part is looked at again with the next.
        let overlap = self.needles.iter().map(Vec::len).max().unwrap_or(1).saturating_sub(1);
        let mut file = File::open(path)?;
        let mut length = 0_u64;
        let mut part = Vec::new();
        loop {
            let tail = part.len().saturating_sub(overlap);
            part.drain(..tail);
            let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part)?;
            length = length.saturating_add(read as u64);
            if let Some(found) = self.find(&part) {
                return Ok((length, Some(found)));
            }
            if read == 0 {
                return Ok((length, None));
            }
        }
    }

    /// Whether each text is found in itself: a search that finds nothing anywhere would prove nothing.
    pub(super) fn finds_itself(&self) -> bool {
        !self.needles.is_empty() && self.needles.iter().all(|needle| self.find(needle).is_some())
    }
}

/// The files below a folder.
pub(super) fn files(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_and_canaries_are_found_wherever_they_are() {
        let lines = [b"sixteen bytes it".to_vec(), b"fifteen bytes..".to_vec()];
        let search = Search::new(&lines, &[b"canary".to_vec()]).expect("built");
        assert!(search.len() == 2 && search.finds_itself());
        assert_eq!(search.find(b"..sixteen bytes it.."), Some("\"sixteen bytes it\"".to_owned()));
        assert_eq!(search.find(b"fifteen bytes..sixteen bytes i"), None);

        let folder = tempfile::tempdir().expect("a folder");
        let check = |before: usize, found: bool| {
            let path = folder.path().join("file");
            let content = [vec![b'.'; before], if found { b"canary".to_vec() } else { b"canar".to_vec() }].concat();
            std::fs::write(&path, &content).expect("written");
            let (length, hit) = search.find_in_file(&path).expect("read");
            assert_eq!((length, hit.is_some()), (content.len() as u64, found), "{before}");
        };
        for before in [0, PART_BYTES - 6, PART_BYTES - 3, PART_BYTES, 2 * PART_BYTES - 1] {
            check(before, true);
            check(before, false);
        }
        assert_eq!(files(folder.path()).expect("listed").len(), 1);
    }

    #[test]
    fn a_search_for_nothing_proves_nothing() {
        assert!(!Search::new(&[b"short".to_vec()], &[]).expect("built").finds_itself());
    }
}
