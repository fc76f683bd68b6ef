//! A run as data: who takes part, how the world is, and what happens in it, step by step.
//!
//! A plan is kept as text, one step a line, so that a person can read what is left of it after shrinking.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Damage, Mangle};

/// The most nodes of a plan.
pub const NODES_MAX: usize = 64;

/// What stands between the classes of one malicious peer.
pub(super) const CLASSES_APART: char = '+';

/// Everything that a run follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who takes part, and how the world is.
    pub setting: Setting,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

/// Who takes part, and how the world is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What the world draws from: delays, and the nodes' own randomness.
    pub seed: u64,
    /// How many honest nodes there are. The first founds the group.
    pub nodes: usize,
    /// How many of them are members from the beginning, the founder included.
    pub members: usize,
    /// How many of the honest nodes, the last ones, have the production store on a simulated disk. The others have rows in
    /// memory.
    pub disks: usize,
    /// Whether members know some others' addresses from the beginning, not the founder's alone.
    pub mesh: bool,
    /// The longest way of a frame that is not delayed, in milliseconds.
    pub latency_ms: u64,
    /// How long a commit takes, in microseconds.
    pub commit_us: u64,
    /// How many frames of a thousand take seconds.
    pub tail_permille: u16,
    /// The malicious peers, one more node each: the names of its classes, with a `+` between them.
    pub enemies: Vec<String>,
    /// Whether a member has another group of its own, whose history begins with joining.
    #[serde(default)]
    pub circle: bool,
    /// Whether the members follow a public chain, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
}

/// Something that happens, so many milliseconds after what came before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How long the world runs before it.
    pub wait_ms: u64,
    /// What happens.
    pub action: Action,
}

/// What can happen. Nodes are numbers, taken modulo how many honest ones there are; what makes no sense does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A member posts so many bytes, behind a few that name the post.
    Post {
        /// Who.
        node: usize,
        /// How many more bytes.
        bytes: usize,
    },
    /// A node posts so many bytes to the public chain, behind a few that name the post.
    PublicPost {
        /// Who.
        node: usize,
        /// How many more bytes.
        bytes: usize,
    },
    /// A node is cut off from all others, and both it and another one post so many blocks to the public chain.
    PublicApart {
        /// Who is cut off.
        node: usize,
        /// Who posts, too.
        other: usize,
        /// How many blocks each.
        posts: usize,
    },
    /// A node blocks an author of the public chain, or, if it is blocked there, takes its blocks again.
    PublicRule {
        /// Whose rule it is.
        node: usize,
        /// Whose blocks.
        author: usize,
    },
    /// Somebody who is no member asks to become one.
    Join {
        /// Who.
        node: usize,
    },
    /// A member reads the whole group, and must see what was written.
    Read {
        /// Who.
        node: usize,
    },
    /// Does something to the next frame of a direction.
    Mangle {
        /// From whom.
        from: usize,
        /// To whom.
        to: usize,
        /// What.
        how: Mangle,
    },
    /// Breaks a connection; the way stays open.
    Break {
        /// One end.
        a: usize,
        /// The other end.
        b: usize,
    },
    /// One end loses a connection, and the other does not notice.
    HalfOpen {
        /// The end that loses it.
        loses: usize,
        /// The end that goes on.
        keeps: usize,
    },
    /// Closes ways in both directions.
    Partition(Partition),
    /// Lets nothing through in one direction.
    OneWay {
        /// From whom.
        from: usize,
        /// To whom.
        to: usize,
    },
    /// Mends the way between two nodes.
    Mend {
        /// One end.
        a: usize,
        /// The other end.
        b: usize,
    },
    /// Mends all ways.
    MendAll,
    /// Kills a node.
    Kill {
        /// Who.
        node: usize,
        /// 0: at once. Otherwise while it writes, and one batch less than this reaches the disk all the same.
        keep: usize,
    },
    /// Starts a node that is off.
    Start {
        /// Who.
        node: usize,
    },
    /// Starts a node that is off and kills it so many microseconds later, then starts it again.
    CrashInRecovery {
        /// Who.
        node: usize,
        /// After how many microseconds.
        after_us: u64,
    },
    /// Lets a commit of a node fail.
    FailCommit {
        /// Who.
        node: usize,
        /// How many commits succeed before.
        after: u64,
        /// Whether it is for want of space.
        full: bool,
    },
    /// Kills a node that has a disk and damages it. That is found, or harmless; then the disk is put back as it was.
    Damage {
        /// Who.
        node: usize,
        /// How.
        how: Damage,
    },
    /// Kills a node, puts back the copy of its store that was made last, or at the beginning, and starts it.
    PutBack {
        /// Who.
        node: usize,
    },
    /// Makes a copy of a node's store.
    Copy {
        /// Who.
        node: usize,
    },
    /// A node stands still.
    Pause {
        /// Who.
        node: usize,
        /// For how long.
        ms: u64,
    },
    /// A node is switched off for a long time.
    Leave {
        /// Who.
        node: usize,
        /// For how long.
        ms: u64,
    },
    /// A wall clock is wrong by so much.
    Skew {
        /// Whose.
        node: usize,
        /// By how many milliseconds.
        ms: i64,
    },
    /// A wall clock stands still.
    Freeze {
        /// Whose.
        node: usize,
    },
    /// A wall clock goes backwards.
    Backwards {
        /// Whose.
        node: usize,
    },
    /// A malicious peer has a turn.
    Enemy {
        /// Which, modulo how many there are.
        which: usize,
    },
}

/// Which ways are closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partition {
    /// Between two halves: of those whose bit is set and the others.
    Split {
        /// A bit for each node.
        mask: u64,
    },
    /// All of one node's.
    Isolate {
        /// Who.
        node: usize,
    },
    /// All but those between neighbours in a ring.
    Ring,
    /// One.
    Pair {
        /// One end.
        a: usize,
        /// The other end.
        b: usize,
    },
}

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A line cannot be read.
    #[error("line {line}: {error}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// There is no first line.
    #[error("the plan is empty: its first line is the setting")]
    Empty,
    /// There are too few or too many nodes.
    #[error("a plan has 1 to {NODES_MAX} nodes, of whom at least one is a member")]
    Nodes,
}

impl fmt::Display for Plan {
    /// The setting, then each step, a line of JSON each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", serde_json::to_string(&self.setting).map_err(|_| fmt::Error)?)?;
        self.steps.iter().try_for_each(|step| {
            let step = serde_json::to_string(step).map_err(|_| fmt::Error)?;
            writeln!(f, "{step}")
        })
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    /// Lines that are empty or begin with `#` say nothing.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut lines = lines.map(|(number, line)| (number.saturating_add(1), line));
        let (line, first) = lines.next().ok_or(PlanError::Empty)?;
        let setting: Setting = serde_json::from_str(first).map_err(|error| PlanError::Line { line, error })?;
        if setting.members == 0 || setting.members > setting.nodes || setting.nodes > NODES_MAX {
            return Err(PlanError::Nodes);
        }
        let step = |(line, text)| serde_json::from_str(text).map_err(|error| PlanError::Line { line, error });
        Ok(Self { setting, steps: lines.map(step).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let setting = Setting {
            seed: u64::MAX,
            nodes: 5,
            members: 2,
            disks: 1,
            mesh: true,
            latency_ms: 30,
            commit_us: 400,
            tail_permille: 3,
            enemies: vec!["random_bytes".to_owned(), "spam+knots".to_owned()],
            circle: true,
            public: false,
        };
        let actions = [
            Action::Post { node: 1, bytes: 20 },
            Action::Mangle { from: 0, to: 1, how: Mangle::Cut(500) },
            Action::Mangle { from: 0, to: 1, how: Mangle::Drop },
            Action::Partition(Partition::Ring),
            Action::Partition(Partition::Split { mask: 5 }),
            Action::MendAll,
            Action::PublicApart { node: 0, other: 1, posts: 9 },
            Action::PublicRule { node: 0, author: 1 },
            Action::Skew { node: 3, ms: -1 },
        ];
        let steps = actions.into_iter().map(|action| Step { wait_ms: 7, action }).collect();
        let plan = Plan { setting, steps };
        let text = plan.to_string();
        assert_eq!(format!("# why\n\n{text}").parse::<Plan>().expect("a plan"), plan, "{text}");
        assert_eq!(text.lines().count(), 10);
        assert!(text.contains(r#"{"wait_ms":7,"action":{"post":{"node":1,"bytes":20}}}"#), "{text}");
    }

    #[test]
    fn what_is_no_plan_is_refused_with_its_line() {
        let setting = r#"{"seed":1,"nodes":2,"members":1,"disks":0,"mesh":true,"latency_ms":1,"commit_us":1,"tail_permille":0,"enemies":[]}"#;
        let error = |text: &str| text.parse::<Plan>().expect_err("no plan").to_string();
        assert!(error("").starts_with("the plan is empty"));
        assert!(error(&format!("{setting}\n{{\"wait_ms\":1}}\n")).starts_with("line 2: "));
        assert!(error(&setting.replace("\"members\":1", "\"members\":3")).contains("1 to 64 nodes"));
    }
}
