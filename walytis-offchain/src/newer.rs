//! What came from newer programs, counted by its number: it is kept or passed over, and a person can see that it was there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use walytis_core::BlockId;

/// How many numbers are counted apart, of all kinds together; more of a kind are counted as one. So a peer that makes up
/// numbers takes no room.
pub(crate) const NEWER_NUMBERS_MAX: usize = 16;

/// The overlay whose blocks are a group's own posts.
pub(crate) const OWN_OVERLAY: u32 = 0;

/// What of a newer program's this one does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NewerKind {
    /// Private blocks whose bodies are of this version.
    Body,
    /// Private blocks of this overlay, which are no posts.
    Overlay,
    /// Blocks that came with what is of this kind beside them, or sealed or opened content of another version.
    Attachment,
    /// Blocks of a newer format. They are not in the set, nor is what rests on them.
    Block,
    /// Operations of a kind that is not known. They are not in the set, nor is what rests on them.
    Operation,
    /// Messages of this kind, which were passed over.
    Message,
    /// Messages of this version, which were passed over.
    MessageVersion,
    /// Frames of this kind, which were passed over.
    Frame,
    /// Private blocks with a body of this version, which is known, that cannot be read by any program that knows it: the body
    /// is damaged, or names an epoch that is none of the block's ancestors. They are in the set, and never shown.
    Unreadable,
}

/// How many things of one kind and number came that this program does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Newer {
    /// What they are.
    pub kind: NewerKind,
    /// Their number; `None` for those of all further numbers together.
    pub number: Option<u32>,
    /// How many.
    pub count: u64,
}

/// Counts by kind and number.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewerCounts(BTreeMap<(NewerKind, Option<u32>), u64>);

impl NewerCounts {
    pub(crate) fn of(all: Vec<Newer>) -> Self {
        Self(all.into_iter().map(|newer| ((newer.kind, newer.number), newer.count)).collect())
    }

    pub(crate) fn add(&mut self, kind: NewerKind, number: u32) {
        let mut place = (kind, Some(number));
        let apart = self.0.keys().filter(|(_, number)| number.is_some()).count();
        if !self.0.contains_key(&place) && apart >= NEWER_NUMBERS_MAX {
            place.1 = None;
        }
        let count = self.0.entry(place).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn all(&self) -> Vec<Newer> {
        self.0.iter().map(|((kind, number), count)| Newer { kind: *kind, number: *number, count: *count }).collect()
    }
}

/// How many blocks are remembered that were refused as a newer program's; the oldest one makes room.
pub(crate) const REFUSED_MAX: usize = 256;

/// Blocks that this program is too old for, and those that rest on them. Each is refused for what its own bytes say, so it
/// is refused again whenever it comes: it is neither asked for nor looked at.
#[derive(Debug, Default)]
pub(crate) struct RefusedBlocks {
    ids: BTreeSet<BlockId>,
    oldest_first: VecDeque<BlockId>,
}

impl RefusedBlocks {
    pub(crate) fn add(&mut self, id: BlockId) {
        if !self.ids.insert(id) {
            return;
        }
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > REFUSED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, id: BlockId) -> bool {
        self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_refused_blocks_are_remembered_as_may_be() {
        let mut refused = RefusedBlocks::default();
        let id = |number: usize| BlockId([u8::try_from(number % 256).unwrap_or(0); 32]);
        let other = BlockId([[1; 16], [2; 16]].concat().try_into().unwrap_or([0; 32]));
        refused.add(other);
        for number in 1..REFUSED_MAX {
            refused.add(id(number));
            refused.add(id(number));
        }
        assert!(refused.contains(other));
        refused.add(id(0));
        assert!(!refused.contains(other), "the oldest one made room");
        assert!((0..REFUSED_MAX).all(|number| refused.contains(id(number))));
    }

    #[test]
    fn made_up_numbers_are_counted_together() {
        let mut counts = NewerCounts::default();
        for number in 0..100_000 {
            counts.add(NewerKind::Overlay, number);
            counts.add(NewerKind::Message, number);
        }
        counts.add(NewerKind::Overlay, 1);
        let all = counts.all();
        assert_eq!(all.len(), NEWER_NUMBERS_MAX + 2);
        assert_eq!(all.iter().map(|newer| newer.count).sum::<u64>(), 200_001);
        assert_eq!(all.iter().find(|newer| newer.number == Some(1)).map(|newer| newer.count), Some(2));
        assert_eq!(NewerCounts::of(all.clone()).all(), all);
    }
}
