//! The side that lacks blocks.

use super::reply::{part, short_names};
use super::span::Sums;
use super::{
    Bound, Compare, Differ, Holding, Index, Key, LISTED_MAX, LOOKED_AT_MAX, Part, RANGES_MAX, ROUNDS_MAX, SHORTS_MAX,
    Salt, Short, Span, Where,
};
use crate::ChainId;

/// A comparison under way, as the side that lacks blocks keeps it: what it told last, and what has become clear.
#[derive(Clone, Debug)]
pub struct Asking {
    salt: Salt,
    key: Key,
    rounds: u32,
    /// The ranges that were told last, and how many blocks are in each.
    told: Vec<(Span, u64)>,
    /// Ranges of which it is clear what is to be told in the end.
    clear: Vec<(Span, Clear)>,
    /// Nothing is asked for from here on: there was too much to say.
    cut: Bound,
}

/// What is to be told of a range in the end.
#[derive(Clone, Debug)]
enum Clear {
    Nothing,
    List,
    Lacking(Vec<Short>),
}

/// What is to be done with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Tell this.
    Tell(Compare),
    /// Nothing comes of this comparison.
    GiveUp,
    /// No honest side answers so.
    Misbehaved,
}

impl Asking {
    /// Begins a comparison of all blocks from a place on: the ranges of the first message are twice as long each as the one
    /// above it. `None` if there is too much to look at.
    ///
    /// # Errors
    /// The index's.
    pub fn begin<I: Index>(
        index: &mut I,
        chain: ChainId,
        salt: Salt,
        from: Bound,
    ) -> Result<Option<(Self, Compare)>, I::Error> {
        let key = Key::new(chain, salt);
        let top = index.generations();
        let mut told = ladder(top);
        told.retain(|span| from < span.to);
        if let Some(first) = told.first_mut() {
            first.from = from.max(first.from);
        }
        let Some(sums) = index.sums(&told)? else { return Ok(None) };
        let mut ranges: Vec<(Span, Holding)> = told
            .iter()
            .zip(&sums)
            .map(|(span, sum)| (*span, if sum.count > 0 { Holding::Some(part(&key, sum)) } else { Holding::Nothing }))
            .collect();
        let above = Span { from: from.max(Bound::before(top)), to: Bound::END };
        ranges.push((above, Holding::Nothing));
        let told = told.into_iter().zip(sums.iter().map(|sum| sum.count)).collect();
        let asking = Self { salt, key, rounds: 0, told, clear: vec![(above, Clear::Nothing)], cut: Bound::END };
        Ok(Some((asking, Compare::new(salt, false, ranges))))
    }

    /// Where another comparison has to begin once what this one asked for is here; `None` if it asked for everything.
    #[must_use]
    pub fn rest(&self) -> Option<Bound> {
        (self.cut < Bound::END).then_some(self.cut)
    }

    /// Whether this is an answer to this comparison, and not to one before.
    #[must_use]
    pub fn is_answered_by(&self, differ: &Differ) -> bool {
        differ.salt == self.salt && !self.told.is_empty()
    }

    /// Goes on with an answer.
    ///
    /// # Errors
    /// The index's.
    pub fn go_on<I: Index>(&mut self, index: &mut I, differ: &Differ) -> Result<Next, I::Error> {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds >= ROUNDS_MAX {
            return Ok(Next::GiveUp);
        }
        if let Some(cut) = differ.cut.map(usize::from) {
            // What is above is of no use before what is below.
            let Some((first, _)) = self.told.get(cut).copied() else { return Ok(Next::Misbehaved) };
            self.cut_at(first.from);
        }
        let (mut parts, mut theirs) = (Vec::new(), Vec::new());
        let (mut listed, mut lists) = (Vec::new(), Vec::new());
        for open in differ.open.iter() {
            let Some((span, count)) = self.told.get(usize::from(open.told)).copied() else {
                return Ok(Next::Misbehaved);
            };
            match open.there {
                Where::List => self.clear.push((span, Clear::List)),
                // To look for a few among many is more than the few are worth: they are sent, whether they are here or not.
                Where::Mine(list) if usize::try_from(count).map_or(true, |count| count > SHORTS_MAX) => {
                    self.clear.push((span, Clear::Lacking(list)));
                }
                Where::Mine(list) => {
                    listed.push(span);
                    lists.push(list);
                }
                Where::Parts { grid, parts: told } => {
                    let divided = span.parts(grid, told.len());
                    if divided.len() != told.len() {
                        return Ok(Next::Misbehaved);
                    }
                    parts.extend(divided);
                    theirs.extend(told.iter());
                }
            }
        }
        // All of them together, so that one message has no more than so many blocks looked at.
        let ours = short_names(index, &self.key, &listed, LOOKED_AT_MAX)?;
        for ((span, list), ours) in listed.into_iter().zip(lists).zip(ours) {
            let lacks: Vec<Short> = list.iter().copied().filter(|short| !ours.contains(short)).collect();
            if !lacks.is_empty() {
                self.clear.push((span, Clear::Lacking(lacks)));
            }
        }
        let Some(open) = self.compare_parts(index, parts, &theirs)? else { return Ok(Next::GiveUp) };
        self.clear.sort_unstable_by_key(|(span, _)| span.from);
        if open.is_empty() { self.finish(index) } else { Ok(Next::Tell(self.tell(open))) }
    }

    /// Compares parts with what the other side has in them. What stays open is returned; `None` if there is too much to
    /// look at.
    fn compare_parts<I: Index>(
        &mut self,
        index: &mut I,
        parts: Vec<Span>,
        theirs: &[Part],
    ) -> Result<Option<Vec<(Span, Part)>>, I::Error> {
        let Some(sums) = index.sums(&parts)? else { return Ok(None) };
        let mut open = Vec::new();
        for ((span, sum), theirs) in parts.into_iter().zip(&sums).zip(theirs) {
            let ours = part(&self.key, sum);
            if theirs.count == 0 || ours == *theirs {
                continue;
            }
            match ours.count {
                0 => self.clear.push((span, Clear::Nothing)),
                1..=LISTED_MAX => self.clear.push((span, Clear::List)),
                _ => open.push((span, ours)),
            }
        }
        Ok(Some(open))
    }

    /// What is above is of no use before what is below: it is left for another comparison.
    fn cut_at(&mut self, end: Bound) {
        self.cut = self.cut.min(end);
        self.clear.retain(|(span, _)| span.from < end);
    }

    /// The message about ranges that are still open.
    fn tell(&mut self, mut open: Vec<(Span, Part)>) -> Compare {
        if let Some((cut, _)) = open.get(RANGES_MAX).copied() {
            self.cut_at(cut.from);
            open.truncate(RANGES_MAX);
        }
        self.told = open.iter().map(|(span, part)| (*span, part.count)).collect();
        let ranges = open.into_iter().map(|(span, part)| (span, Holding::Some(part))).collect();
        Compare::new(self.salt, !self.clear.is_empty(), ranges)
    }

    /// The last message: what is here in all ranges that differ, or as much of it as one message holds, from below.
    fn finish<I: Index>(&mut self, index: &mut I) -> Result<Next, I::Error> {
        let clear = std::mem::take(&mut self.clear);
        let lists: Vec<Span> =
            clear.iter().filter(|(_, way)| matches!(way, Clear::List)).map(|(span, _)| *span).collect();
        let names = short_names(index, &self.key, &lists, SHORTS_MAX.saturating_add(1))?;
        let mut names = names.into_iter();
        let mut ranges: Vec<(Span, Holding)> = Vec::new();
        let mut left = SHORTS_MAX;
        for (span, way) in clear {
            let holding = match way {
                Clear::Nothing => Holding::Nothing,
                Clear::List => Holding::These(names.next().unwrap_or_default().into_iter().collect()),
                Clear::Lacking(list) => Holding::Lacking(list),
            };
            let holding = match holding {
                Holding::These(list) if list.is_empty() => Holding::Nothing,
                Holding::These(list) | Holding::Lacking(list) if list.len() > left => {
                    // Alone, it is too much for any message: all of it is sent, and some of it is here.
                    if ranges.is_empty() {
                        ranges.push((span, Holding::Nothing));
                        self.cut = self.cut.min(span.to);
                    } else {
                        self.cut = self.cut.min(span.from);
                    }
                    break;
                }
                other => other,
            };
            if let Holding::These(list) | Holding::Lacking(list) = &holding {
                left = left.saturating_sub(list.len());
            }
            if let Some((before, Holding::Nothing)) = ranges.last_mut()
                && holding == Holding::Nothing
                && before.to == span.from
            {
                before.to = span.to;
            } else if ranges.len() < RANGES_MAX {
                ranges.push((span, holding));
            } else {
                self.cut = self.cut.min(span.from);
                break;
            }
        }
        self.told.clear();
        Ok(if ranges.is_empty() { Next::GiveUp } else { Next::Tell(Compare::new(self.salt, false, ranges)) })
    }
}

/// Ranges that cover everything below a generation, from the lowest up: the highest has two generations, and each is twice
/// as long as the one above it. Long ones end where the store's sums do.
fn ladder(top: u64) -> Vec<Span> {
    let mut ends = vec![top];
    let mut length = 2_u64;
    while let Some(from) = top.checked_sub(length).filter(|from| *from > 0) {
        let whole = match length {
            ..64 => 0,
            64..4096 => Sums::SHORT_LOG2,
            4096.. => Sums::LONG_LOG2,
        };
        let from = from & !(1_u64 << whole).saturating_sub(1);
        if from > 0 && ends.last().is_some_and(|last| from < *last) {
            ends.push(from);
        }
        length = length.saturating_mul(2);
    }
    ends.push(0);
    ends.reverse();
    ends.dedup();
    ends.windows(2)
        .filter_map(|pair| match pair {
            [from, to] => Some(Span { from: Bound::before(*from), to: Bound::before(*to) }),
            _ => None,
        })
        .collect()
}
