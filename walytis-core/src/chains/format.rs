//! Format versions along a chain: what a new block's is, and what ties blocks of version 2 to those of version 1 below.

use std::collections::BTreeSet;

use super::{BlockRow, ChainError, Parent, chain_row, locate, missing_row, row};
use crate::format::{ancestor_digest, ancestry};
use crate::{BlockId, Format, FormatVersion, Hash, Header, ParsedBlock, Pending, Place};

/// How a block's format does not fit its parents'.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatFault {
    /// Its version is below a parent's.
    #[error("its format has version {version}, and its parent {parent} has version {parent_version}")]
    Older {
        /// Its version.
        version: FormatVersion,
        /// The parent.
        parent: BlockId,
        /// The parent's version.
        parent_version: FormatVersion,
    },
    /// A parent is of an older version, and the block has no root over its ancestors.
    #[error("it has parents of an older format, and no root over its ancestors")]
    NoAncestry,
    /// No parent is of an older version, and the block has a root over its ancestors.
    #[error("it has a root over its ancestors, and no parent of an older format")]
    NeedlessAncestry,
    /// Its root over its ancestors is another one.
    #[error("its root over its ancestors is not the one that they give")]
    WrongAncestry,
}

impl Parent {
    pub(super) fn version(&self) -> FormatVersion {
        self.row.version()
    }

    /// The block and all below it, in the hash of version 2.
    fn digest(&self) -> Hash {
        // A block of version 2 names what is below it in that hash already.
        self.row.digest.unwrap_or(Hash(self.id.0))
    }
}

impl BlockRow {
    /// The version is the header's first byte. One that is damaged counts as the first: its header is read nowhere.
    pub(super) fn version(&self) -> FormatVersion {
        FormatVersion::of_header(&self.header).unwrap_or_default()
    }
}

/// The digests of a block's parents, in the header's order.
fn digests(header: &Header, parents: &[Parent]) -> impl Iterator<Item = Hash> {
    let find = |id| parents.iter().find(move |parent| parent.id == id);
    header.all_parents().filter_map(find).map(Parent::digest)
}

/// What is kept of a new block to tie later ones of a newer version to it; `None` if its id does.
pub(super) fn digest(block: &ParsedBlock, parents: &[Parent]) -> Option<Hash> {
    let header = block.header();
    (header.version == FormatVersion::V1)
        .then(|| ancestor_digest(&block.raw().header, block.content(), digests(header, parents)))
}

/// A block's version is not below its parents', and it binds those that are of an older one.
pub(super) fn check(block: &ParsedBlock, parents: &[Parent]) -> Result<(), ChainError> {
    let (id, header) = (block.id(), block.header());
    let fault = |fault| Err(ChainError::Format { id, fault });
    let version = header.version;
    if let Some(newer) = parents.iter().find(|parent| parent.version() > version && !crate::mutant!(AcceptOlderFormat))
    {
        return fault(FormatFault::Older { version, parent: newer.id, parent_version: newer.version() });
    }
    let moves = parents.iter().any(|parent| parent.version() < version);
    match header.ancestry {
        None if moves => fault(FormatFault::NoAncestry),
        Some(_) if !moves => fault(FormatFault::NeedlessAncestry),
        Some(told) if told != ancestry(digests(header, parents)) && !crate::mutant!(SkipAncestry) => {
            fault(FormatFault::WrongAncestry)
        }
        _ => Ok(()),
    }
}

/// The format of a new block at a place: of the version that is wished for, or of its parents' if theirs is newer.
///
/// # Errors
/// [`ChainError::Orphan`] if a parent is not in the set, or the store fails.
pub fn format_at(view: &Pending, place: &Place, wish: FormatVersion) -> Result<Format, ChainError> {
    let only = |version| Ok(Format { version, ancestry: None });
    let Place::After { chain, .. } = place else { return only(wish) };
    let Some((_, known)) = chain_row(view, *chain)? else { return only(wish) };
    if wish.max(known.newest_format()) == FormatVersion::V1 {
        return only(FormatVersion::V1);
    }
    let (parents, previous) = place.parents();
    let mut above = Vec::new();
    for id in parents.into_iter().chain(previous) {
        let location = locate(view, id)?.ok_or(ChainError::Orphan { id })?;
        let row = row(view, location)?.ok_or_else(|| missing_row(id))?;
        above.push(Parent { id, position: location.position, row });
    }
    let version = above.iter().map(Parent::version).fold(wish, FormatVersion::max);
    let moves = above.iter().any(|parent| parent.version() < version);
    Ok(Format { version, ancestry: moves.then(|| ancestry(above.iter().map(Parent::digest))) })
}

/// The format versions of blocks, ascending, each once. Ids that are not in the set are passed over.
///
/// # Errors
/// [`ChainError`] if the store fails.
pub fn formats(view: &Pending, blocks: &[BlockId]) -> Result<Vec<FormatVersion>, ChainError> {
    let mut versions = BTreeSet::new();
    for id in blocks {
        let Some(location) = locate(view, *id)? else { continue };
        versions.extend(row(view, location)?.map(|row| row.version()));
    }
    Ok(versions.into_iter().collect())
}
