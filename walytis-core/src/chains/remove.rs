//! Forgetting a whole chain.

use crate::{BlockId, ChainId, Pending, codec};

use super::postings::{self, Term};
use super::{
    BLOCKS, CHAINS, CONTENTS, ChainError, ChainKind, ChainRow, HEADS, IDS, Location, OPERATION_HEADS, ORDER, chain_row,
    kind, order_key, row, sums,
};

/// Removes up to `limit` blocks of a chain from the set, the last to arrive first, and the chain's own row behind its
/// genesis. Returns how many are left: 0 once nothing of the chain is there any more.
///
/// A record that is damaged ends nothing: it goes, and of its entries in indexes those stay that only it could name. Its
/// place in the order is one of them, and keeps the chain's number from being given to another.
///
/// What has been removed in part is no chain: it has no heads, and must not be read or added to. Whoever removes a chain
/// writes that down in the first step, and goes on after a restart.
///
/// # Errors
/// [`ChainError::NotPublic`] if its genesis is not a public chain's: no member takes back what is on a private one.
/// [`ChainError`] if the store fails.
pub fn remove(view: &mut Pending, chain: ChainId, limit: usize) -> Result<u64, ChainError> {
    match kind(view, chain) {
        Ok(Some(ChainKind::Private)) => Err(ChainError::NotPublic { chain }),
        Err(ChainError::Store(error)) => Err(error.into()),
        // A genesis that is damaged goes with the rest.
        _ => remove_any(view, chain, limit),
    }
}

/// As [`remove`], of a chain of any kind.
pub(super) fn remove_any(view: &mut Pending, chain: ChainId, limit: usize) -> Result<u64, ChainError> {
    let Some((number, row_of_chain)) = chain_row(view, chain)? else { return Ok(0) };
    let mut left = row_of_chain.length;
    for _ in 0..limit {
        let Some(position) = left.checked_sub(1) else { break };
        let location = Location { chain: number, position };
        let found = match row(view, location) {
            Ok(found) => found,
            Err(ChainError::Store(error)) => return Err(error.into()),
            Err(_) => None,
        };
        if let Some(found) = found {
            view.delete(ORDER, order_key(number, found.generation, position));
            sums::forget(view, number, found.generation);
            let id: BlockId = crate::Header::id_of(&found.header);
            view.delete(IDS, id.0);
            if let Ok(header) = crate::Header::decode(&found.header) {
                let topics = header.topics.iter().map(|topic| Term::Topic(topic));
                for term in topics.chain([Term::Author(header.author)]) {
                    match postings::forget(view, number, term) {
                        Err(ChainError::Store(error)) => return Err(error.into()),
                        Err(_) => view.delete(term.table(), term.key(number)),
                        Ok(()) => {}
                    }
                }
            }
        } else if position == 0 {
            view.delete(IDS, chain.0);
        }
        for table in [HEADS, OPERATION_HEADS, CONTENTS, BLOCKS] {
            view.delete(table, location.key());
        }
        left = position;
    }
    if left == 0 {
        view.delete(CHAINS, number.0.to_be_bytes());
    } else {
        let rest = ChainRow::of(chain, left);
        view.put(CHAINS, number.0.to_be_bytes(), codec::encode(&rest));
    }
    Ok(left)
}
