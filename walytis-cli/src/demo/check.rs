//! What must hold at the end.

use std::collections::BTreeMap;

use walytis_node::BlockId;

use super::member::{Folder, Member};
use super::report::Check;
use super::search::{self, Search};

/// The group's blocks at each node, in the order in which it lists them.
pub(super) struct Listings(Vec<Vec<(BlockId, Option<Vec<u8>>)>>);

impl Listings {
    pub(super) async fn of(members: &[Member], group: &str) -> anyhow::Result<Self> {
        let mut listings = Vec::new();
        for member in members {
            listings.push(member.list(group).await?);
        }
        Ok(Self(listings))
    }

    /// How many blocks a node lists.
    pub(super) fn blocks(&self, node: usize) -> usize {
        self.0.get(node).map_or(0, Vec::len)
    }

    pub(super) fn first_block(&self) -> Option<BlockId> {
        Some(self.0.first()?.first()?.0)
    }

    /// Every node holds exactly what was posted.
    pub(super) fn same_set(&self, posted: &[&[u8]]) -> Check {
        let mut expected: BTreeMap<&[u8], i64> = BTreeMap::new();
        for content in posted {
            *expected.entry(content).or_default() += 1;
        }
        let sets = self.0.iter().map(|listing| {
            let mut ids: Vec<BlockId> = listing.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            ids
        });
        let sets: Vec<Vec<BlockId>> = sets.collect();
        let wrong = self.0.iter().zip(&sets).zip(1..).find_map(|((listing, set), node)| {
            let mut left = expected.clone();
            let mut without = 0_usize;
            for (_, content) in listing {
                match content {
                    Some(content) => *left.entry(content).or_default() -= 1,
                    None => without += 1,
                }
            }
            let strange = left.values().filter(|count| **count != 0).count();
            if strange == 0 && without == 0 && sets.first() == Some(set) {
                return None;
            }
            Some(format!(
                "node {node} holds {} blocks of {} that were posted, {without} without content",
                set.len(),
                posted.len()
            ))
        });
        let held = format!("{} blocks each, with what was posted", posted.len());
        Check::new("every node holds the same blocks, all that were posted", wrong.map_or(Ok(held), Err))
    }

    /// Every node lists them in one order.
    pub(super) fn same_listing(&self) -> Check {
        let order =
            |listing: &[(BlockId, Option<Vec<u8>>)]| -> Vec<BlockId> { listing.iter().map(|(id, _)| *id).collect() };
        let first = self.0.first().map(|listing| order(listing)).unwrap_or_default();
        let other = self.0.iter().zip(1..).find(|(listing, _)| order(listing) != first);
        let outcome = match other {
            Some((_, node)) => Err(format!("node {node} lists them otherwise than node 1")),
            None => Ok(format!("{} orders are equal", self.0.len())),
        };
        Check::new("every node lists them in the same order", outcome)
    }
}

/// Nothing that must stay sealed was in a frame before the transport encrypts it.
pub(super) fn frames(frames: &[(u64, Vec<String>)], search: &Search) -> Check {
    let leak = frames.iter().zip(1..).find_map(|((_, leaks), node)| Some((node, leaks.first()?)));
    let looked: u64 = frames.iter().map(|(frames, _)| frames).sum();
    let outcome = match leak {
        Some((node, found)) => Err(format!("node {node} handed {found} to its transport")),
        None if looked == 0 || !search.finds_itself() => Err("nothing could be looked at".to_owned()),
        None => Ok(format!("{looked} frames hold none of {} texts", search.len())),
    };
    Check::new("no line and no canary is in a frame", outcome)
}

/// Nothing that must stay sealed is in a node's files.
pub(super) fn files(folders: &[Folder], search: &Search) -> Check {
    Check::new("no line and no canary is in a file", look_through(folders, search))
}

fn look_through(folders: &[Folder], search: &Search) -> Result<String, String> {
    let mut bytes = 0_u64;
    let mut count = 0_usize;
    for folder in folders {
        for file in search::files(&folder.path).map_err(|error| error.to_string())? {
            let (length, found) = search.find_in_file(&file).map_err(|error| error.to_string())?;
            if let Some(found) = found {
                return Err(format!("{found} is in {}", file.display()));
            }
            bytes = bytes.saturating_add(length);
            count = count.saturating_add(1);
        }
    }
    if bytes == 0 || !search.finds_itself() {
        return Err("nothing could be looked at".to_owned());
    }
    Ok(format!("{count} files with {bytes} bytes hold none of {} texts", search.len()))
}

/// Every block, signature, commitment and index of every node verifies.
pub(super) fn signatures(folders: &[Folder]) -> Check {
    Check::new("every signature and commitment verifies", verify(folders))
}

fn verify(folders: &[Folder]) -> Result<String, String> {
    let (mut blocks, mut contents) = (0_u64, 0_u64);
    for (folder, node) in folders.iter().zip(1..) {
        let report = folder.check().map_err(|error| format!("node {node}: {error}"))?;
        if let Some(problem) = report.problems.first() {
            return Err(format!("node {node}: {problem}"));
        }
        blocks = blocks.saturating_add(report.blocks);
        contents = contents.saturating_add(report.contents);
    }
    if contents == 0 {
        return Err("there was nothing to verify".to_owned());
    }
    Ok(format!("{blocks} blocks and {contents} contents on {} nodes", folders.len()))
}
