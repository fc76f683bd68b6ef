//! What was posted, and whether a host lists it.

use std::collections::BTreeSet;

/// The lines of all hosts so far. Each is different from every other.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Lines that were handed to a host.
    given: BTreeSet<String>,
    /// Those of them whose ids were printed.
    acknowledged: BTreeSet<String>,
}

/// How a listing differs from what was posted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All that was acknowledged is there, once each, and nothing that was never given.
    Complete,
    /// So many acknowledged lines are not there. More time may help.
    Missing(usize),
    /// A line that nobody gave, or that is there twice. No time helps.
    Wrong(String),
}

impl Ledger {
    /// Notes lines that are handed to a host.
    pub(super) fn give(&mut self, lines: &[String]) {
        self.given.extend(lines.iter().cloned());
    }

    /// Notes that these were acknowledged.
    pub(super) fn acknowledge(&mut self, lines: &[String]) {
        self.acknowledged.extend(lines.iter().cloned());
    }

    /// How many lines were acknowledged.
    pub(super) fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Judges what `read --raw` printed.
    pub(super) fn judge(&self, listing: &str) -> Verdict {
        let mut seen = BTreeSet::new();
        for line in listing.lines() {
            if !self.given.contains(line) {
                return Verdict::Wrong(format!("nobody posted {:?}", shown(line)));
            }
            if !seen.insert(line) {
                return Verdict::Wrong(format!("{:?} is there twice", shown(line)));
            }
        }
        match self.acknowledged.iter().filter(|line| !seen.contains(line.as_str())).count() {
            0 => Verdict::Complete,
            missing => Verdict::Missing(missing),
        }
    }
}

/// As much of a line as one wants to see.
fn shown(line: &str) -> String {
    line.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Verdict};

    #[test]
    fn a_listing_holds_what_was_acknowledged_and_at_most_what_was_given() {
        let mut ledger = Ledger::default();
        let lines: Vec<String> = ["one", "two", "three"].map(str::to_owned).into();
        ledger.give(&lines);
        ledger.acknowledge(&lines[..2]);
        for (listing, verdict) in [
            ("two\none\n", Verdict::Complete),
            ("three\ntwo\none\n", Verdict::Complete),
            ("three\ntwo\n", Verdict::Missing(1)),
            ("", Verdict::Missing(2)),
            ("one\ntwo\none\n", Verdict::Wrong("\"one\" is there twice".to_owned())),
            ("one\ntw\n", Verdict::Wrong("nobody posted \"tw\"".to_owned())),
        ] {
            assert_eq!(ledger.judge(listing), verdict, "{listing:?}");
        }
        assert_eq!(ledger.len(), 2);
    }
}
