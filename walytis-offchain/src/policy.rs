//! Who may be given the content of a private block.

use walytis_core::{AuthorKey, ChainId, Pending, planted};
use walytis_identities::{Device, Fold, FoldError, History, Role};

use crate::content::PrivateBody;

/// Whether a group's policy lets a member's device have the content of a block: everybody who reads, or only devices for
/// whom the block's epoch was made.
pub(crate) fn grants(
    fold: &mut Fold,
    view: &Pending,
    chain: ChainId,
    body: &PrivateBody,
    (author, device): (&AuthorKey, &Device),
) -> Result<bool, FoldError> {
    if device.role < Role::Read {
        return Ok(false);
    }
    let membership = fold.current(view, chain)?;
    match membership.history {
        History::All => Ok(true),
        History::SinceJoin => {
            let Some(epoch) = membership.epochs.get(&body.epoch) else { return Ok(false) };
            Ok(fold.at(view, chain, &epoch.view)?.names_reader(author, device) || planted!(ServeHistory))
        }
    }
}

/// The same for the device that writes under this key; `false` if it is no member.
pub(crate) fn grants_author(
    fold: &mut Fold,
    view: &Pending,
    chain: ChainId,
    body: &PrivateBody,
    author: &AuthorKey,
) -> Result<bool, FoldError> {
    let membership = fold.current(view, chain)?;
    match membership.devices.get(author) {
        Some(device) => grants(fold, view, chain, body, (author, device)),
        None => Ok(false),
    }
}
