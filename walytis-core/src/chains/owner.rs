//! Whose a chain is. Its kind is a property of its genesis; until that is here, of what was asked for under its id.
//!
//! **Invariant:** each id has one owner, and a row says which. A genesis overrules whatever was claimed before it came.

use super::{ChainError, Location, locate, row};
use crate::{BlockKind, ChainId, CodecError, Header, Keys, Pending, Rows, Table, planted};

/// Chain id -> the number of its [`Owner`].
const OWNERS: Table = Table { name: "core.owners", keys: Keys::Hidden, rows: Rows::Changing };

/// The kind of a chain, which its genesis says, and with it every other block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Blocks of content: whoever knows the id may read them.
    Public,
    /// Operations, and what members of an identity write: nobody else is told of them.
    Private,
}

impl ChainKind {
    /// The kind of the chains on which blocks of a kind are.
    #[must_use]
    pub const fn of(kind: BlockKind) -> Self {
        match kind {
            BlockKind::Content => Self::Public,
            BlockKind::Private | BlockKind::Operation | BlockKind::Checkpoint => Self::Private,
        }
    }

    /// The kind that an encoded header says, `None` if it cannot be read.
    pub(super) fn of_header(header: &[u8]) -> Option<Self> {
        BlockKind::of_header(header).map(Self::of)
    }

    /// Whose a chain of this kind is as long as nobody says more of it.
    const fn settled(self) -> Owner {
        match self {
            Self::Public => Owner::Public,
            Self::Private => Owner::Identity,
        }
    }
}

/// Who handles a chain on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is a public chain.
    Public,
    /// It is being joined as a public chain.
    JoiningPublic,
    /// It is a group that this device is in.
    Group,
    /// It is being joined as a group, or a join of it broke off.
    JoiningGroup,
    /// It is the chain of a device's, a user's or another group's identity.
    Identity,
}

impl Owner {
    /// The kind of chains that it handles.
    #[must_use]
    pub const fn kind(self) -> ChainKind {
        match self {
            Self::Public | Self::JoiningPublic => ChainKind::Public,
            Self::Group | Self::JoiningGroup | Self::Identity => ChainKind::Private,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Public => 0,
            Self::JoiningPublic => 1,
            Self::Group => 2,
            Self::JoiningGroup => 3,
            Self::Identity => 4,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Public),
            1 => Some(Self::JoiningPublic),
            2 => Some(Self::Group),
            3 => Some(Self::JoiningGroup),
            4 => Some(Self::Identity),
            _ => None,
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public => "a public chain has this id here",
            Self::JoiningPublic => "this id is being joined as a public chain here",
            Self::Group => "a private group has this id here",
            Self::JoiningGroup => "this id is being joined as a private group here",
            Self::Identity => "an identity has this id here",
        })
    }
}

/// The kind of a chain whose genesis is here; `None` if it is not.
///
/// # Errors
/// [`ChainError`] if the store fails or the genesis cannot be read.
pub fn kind(view: &Pending, chain: ChainId) -> Result<Option<ChainKind>, ChainError> {
    let Some(location @ Location { position: 0, .. }) = locate(view, chain.into())? else { return Ok(None) };
    let Some(row) = row(view, location)? else { return Ok(None) };
    // An index that leads elsewhere says nothing about this chain.
    if Header::id_of(&row.header) != chain.into() {
        return Err(ChainError::Inconsistent { id: chain.into(), what: "its record holds another block" });
    }
    Ok(ChainKind::of_header(&row.header))
}

/// Whose a chain is by its row alone.
///
/// # Errors
/// [`ChainError`] if the store fails or the row cannot be read.
pub fn owner_noted(view: &Pending, chain: ChainId) -> Result<Option<Owner>, ChainError> {
    let Some(row) = view.get(OWNERS, &chain.0)? else { return Ok(None) };
    let owner = row.first().filter(|_| row.len() == 1).and_then(|number| Owner::from_number(*number));
    owner.map(Some).ok_or(ChainError::Record { table: OWNERS.name, reason: CodecError::Malformed })
}

/// Whose a chain is; `None` if nobody here knows its id. Stores of older programs have no rows for what they kept: there
/// its genesis alone says it.
///
/// # Errors
/// [`ChainError`] if the store fails or a record cannot be read.
pub fn owner(view: &Pending, chain: ChainId) -> Result<Option<Owner>, ChainError> {
    let claimed = owner_noted(view, chain)?;
    let Some(kind) = kind(view, chain)? else { return Ok(claimed) };
    Ok(Some(claimed.filter(|owner| owner.kind() == kind).unwrap_or(kind.settled())))
}

/// Whether an id has a row that fits its genesis, or has none yet. What does not is a mistake of this program's.
///
/// # Errors
/// As [`owner`].
pub fn recheck_owner(view: &Pending, chain: ChainId) -> Result<(), ChainError> {
    match (owner_noted(view, chain)?, kind(view, chain)?) {
        (Some(owner), Some(kind)) if owner.kind() != kind => {
            Err(ChainError::Inconsistent { id: chain.into(), what: "its owner is of another kind than its genesis" })
        }
        _ => Ok(()),
    }
}

/// Whether a chain may be handled as one of a kind: its genesis is of that kind, or it is not here yet and nobody claims the
/// id for another.
///
/// # Errors
/// As [`owner`].
pub fn may_be(view: &Pending, chain: ChainId, kind: ChainKind) -> Result<bool, ChainError> {
    let fits = owner(view, chain)?.is_none_or(|owner| owner.kind() == kind);
    Ok(fits || planted!(MistakeKind))
}

/// Notes whose a chain is. Changes nothing and gives its present owner if that one handles chains of another kind.
///
/// # Errors
/// As [`owner`].
pub fn claim(view: &mut Pending, chain: ChainId, by: Owner) -> Result<Result<(), Owner>, ChainError> {
    if !may_be(view, chain, by.kind())?
        && let Some(other) = owner(view, chain)?
    {
        return Ok(Err(other));
    }
    if owner_noted(view, chain)? != Some(by) {
        view.put(OWNERS, chain.0, [by.number()]);
    }
    Ok(Ok(()))
}

/// Gives up a claim on a chain of which nothing is here, if it is for this kind.
///
/// # Errors
/// As [`owner`].
pub fn release(view: &mut Pending, chain: ChainId, of: ChainKind) -> Result<(), ChainError> {
    if owner_noted(view, chain)?.is_some_and(|owner| owner.kind() == of) && kind(view, chain)?.is_none() {
        view.delete(OWNERS, chain.0);
    }
    Ok(())
}

/// Notes whose a chain is whose genesis is being inserted: whoever claimed it for that kind, and nobody else.
pub(super) fn founded(view: &mut Pending, chain: ChainId, kind: ChainKind) -> Result<(), ChainError> {
    if owner_noted(view, chain)?.is_none_or(|owner| owner.kind() != kind) {
        view.put(OWNERS, chain.0, [kind.settled().number()]);
    }
    Ok(())
}
