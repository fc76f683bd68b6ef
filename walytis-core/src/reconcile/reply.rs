//! The side that has blocks to send.

use std::collections::BTreeSet;

use crate::codec::EncodedList;

use super::{
    Bound, Compare, Differ, Grid, Holding, Index, Key, LISTED_MAX, LOOKED_AT_MAX, Open, PARTS_MAX, Part, SHORTS_MAX,
    Short, Span, Sum, Where,
};

/// What a comparison is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is clear what is missing: the blocks at these positions, ascending. Of more than
    /// [`LOOKED_AT_MAX`] blocks in the ranges, those of the lowest generations.
    Send(Vec<u64>),
    /// It is not clear yet.
    Differ(Differ),
}

/// What is said of a range that is not equal, before parts and lists are filled in.
enum Plan {
    List,
    Mine,
    Parts(Grid, usize),
}

/// Answers a comparison. Nothing is kept for the next one.
///
/// # Errors
/// The index's.
pub fn reply<I: Index>(index: &mut I, key: &Key, compare: &Compare) -> Result<Reply, I::Error> {
    // The decoder lets no others through.
    let spans = compare.spans().unwrap_or_default();
    let holdings: Vec<Holding> = compare.told.iter().map(|told| told.holding).collect();
    let told = || spans.iter().copied().zip(&holdings);
    let marked: Vec<Span> =
        told().filter(|(_, holding)| matches!(holding, Holding::Some(_))).map(|(span, _)| span).collect();
    let Some(sums) = index.sums(&marked)? else {
        return Ok(Reply::Differ(Differ { salt: compare.salt, open: EncodedList::default(), cut: Some(0) }));
    };
    let mut sums = sums.into_iter();
    let mut differing = Vec::new();
    for (number, (span, holding)) in (0_u16..).zip(told()) {
        let Holding::Some(theirs) = *holding else { continue };
        let ours = sums.next().unwrap_or_default();
        // What is not here cannot be sent.
        if ours.count > 0 && part(key, &ours) != theirs {
            differing.push((number, span, ours.count, theirs.count));
        }
    }
    if differing.is_empty() && !compare.goes_on {
        let ranges: Vec<(Span, &Holding)> = told().collect();
        return send(index, key, &ranges).map(Reply::Send);
    }
    let (open, cut) = differ(index, key, &differing)?;
    Ok(Reply::Differ(Differ { salt: compare.salt, open: open.into(), cut }))
}

/// What is told of a sum.
pub(super) fn part(key: &Key, sum: &Sum) -> Part {
    Part { count: sum.count, mark: (sum.count > 0).then(|| key.mark(sum)) }
}

/// The blocks that are in ranges, and that the other side lacks.
fn send<I: Index>(index: &mut I, key: &Key, told: &[(Span, &Holding)]) -> Result<Vec<u64>, I::Error> {
    let clear: Vec<(Span, &Holding)> =
        told.iter().copied().filter(|(_, holding)| !matches!(holding, Holding::Some(_))).collect();
    let spans: Vec<Span> = clear.iter().map(|(span, _)| *span).collect();
    let mut positions = Vec::new();
    for (range, item) in index.items(&spans, LOOKED_AT_MAX)? {
        let lacks = match clear.get(range) {
            Some((_, Holding::Nothing)) => true,
            Some((_, Holding::These(list))) => list.binary_search(&key.short(item.id)).is_err(),
            Some((_, Holding::Lacking(list))) => list.binary_search(&key.short(item.id)).is_ok(),
            Some((_, Holding::Some(_))) | None => false,
        };
        if lacks {
            positions.push(item.position);
        }
    }
    positions.sort_unstable();
    Ok(positions)
}

/// Says where ranges differ, and from which on nothing is said: each with its number, and how many blocks there are here
/// and there.
fn differ<I: Index>(
    index: &mut I,
    key: &Key,
    differing: &[(u16, Span, u64, u64)],
) -> Result<(Vec<Open>, Option<u16>), I::Error> {
    let below = index.generations();
    let (mut plans, mut cut) = (Vec::new(), None);
    let (mut parts, mut listed) = (Vec::new(), Vec::new());
    let mut shorts = 0_u64;
    for (done, (number, span, ours, theirs)) in differing.iter().copied().enumerate() {
        let left = PARTS_MAX.saturating_sub(parts.len()) / differing.len().saturating_sub(done).max(1);
        let inside = Span { to: span.to.min(Bound::before(below)), ..span };
        let grid = Grid::for_span(&inside, ours, below, u64::try_from(left).unwrap_or(u64::MAX));
        let plan = match grid {
            _ if theirs <= LISTED_MAX && theirs <= ours => Plan::List,
            _ if ours <= LISTED_MAX => Plan::Mine,
            Some(grid) => {
                let of_grid = inside.parts(grid, left.max(2));
                let count = of_grid.len();
                parts.extend(of_grid);
                Plan::Parts(grid, count)
            }
            // Too many blocks with ids that begin alike.
            None => Plan::List,
        };
        if let Plan::Mine = plan {
            shorts = shorts.saturating_add(ours);
            listed.push(span);
        }
        if shorts > u64::try_from(SHORTS_MAX).unwrap_or(u64::MAX) || parts.len() > PARTS_MAX {
            cut = Some(number);
            break;
        }
        plans.push((number, plan));
    }
    let Some(sums) = index.sums(&parts)? else { return Ok((Vec::new(), Some(0))) };
    let mut sums = sums.into_iter();
    let mut mine = short_names(index, key, &listed, SHORTS_MAX)?.into_iter();
    let mut open = Vec::new();
    for (number, plan) in plans {
        let there = match plan {
            Plan::List => Where::List,
            Plan::Mine => Where::Mine(mine.next().unwrap_or_default().into_iter().collect()),
            Plan::Parts(grid, count) => {
                Where::Parts { grid, parts: sums.by_ref().take(count).map(|sum| part(key, &sum)).collect() }
            }
        };
        open.push(Open { told: number, there });
    }
    Ok((open, cut))
}

/// The short names of the blocks in each of some ranges; no more than `limit` blocks are looked at.
pub(super) fn short_names<I: Index>(
    index: &mut I,
    key: &Key,
    spans: &[Span],
    limit: usize,
) -> Result<Vec<BTreeSet<Short>>, I::Error> {
    let mut names = vec![BTreeSet::new(); spans.len()];
    for (range, item) in index.items(spans, limit)? {
        if let Some(names) = names.get_mut(range) {
            names.insert(key.short(item.id));
        }
    }
    Ok(names)
}
