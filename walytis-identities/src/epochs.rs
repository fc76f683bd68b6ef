//! The seeds of epochs on their way between devices: each device is given its own wrap, by the maker or by whoever opened
//! the epoch, and no other.

use rand_core::CryptoRng;
use walytis_core::{AuthorKey, BlockId, ChainId, Hash, Keys, Pending, Rows, Table};

use crate::fold::Fold;
use crate::keyring::{self, LocalDevice};
use crate::operation::BeginEpoch;
use crate::{Device, EpochContext, GivenWrap, Wrap, WrapError, Wraps, WriteError};

/// A hash of an epoch that this device made and of a leaf key -> the wrap for that key, as it is given.
const WRAPS: Table = Table { name: "identities.wraps", keys: Keys::Hidden, rows: Rows::Permanent };

/// Under one hash, since of a key all but its last 32 bytes stay in clear.
fn wrap_key(epoch: BlockId, leaf: &Hash) -> [u8; 32] {
    blake3::derive_key("walytis v1 kept wrap", &[epoch.0, leaf.0].concat())
}

pub(crate) fn put_wraps(view: &mut Pending, epoch: BlockId, wraps: &Wraps) {
    for (leaf, given) in wraps.given() {
        view.put(WRAPS, wrap_key(epoch, &leaf), given.encode());
    }
}

/// The wrap for one leaf key of an epoch that this device made; `None` of other epochs. It is one row.
///
/// # Errors
/// [`WriteError`] if the store fails; [`WriteError::Wrap`] if what it kept is not what the operation names.
pub fn own_wrap(
    view: &Pending,
    epoch: BlockId,
    begin: &BeginEpoch,
    leaf: &Hash,
) -> Result<Option<GivenWrap>, WriteError> {
    let Some(bytes) = view.get(WRAPS, &wrap_key(epoch, leaf))? else { return Ok(None) };
    let given = GivenWrap::decode(&bytes).map_err(WrapError::from)?;
    if given.leaf() != leaf {
        return Err(WrapError::Unexpected { leaf: *given.leaf() }.into());
    }
    given.verify(begin)?;
    Ok(Some(given))
}

/// The wrap of an epoch for another device: the one that was made for it, or the seed wrapped anew. `None` if the epoch
/// does not name that device, or was not opened here.
///
/// # Errors
/// [`WriteError`] if the store fails.
pub fn give_wrap(
    view: &Pending,
    fold: &mut Fold,
    rng: &mut dyn CryptoRng,
    group: ChainId,
    (epoch, begin): (BlockId, &BeginEpoch),
    (author, device): (&AuthorKey, &Device),
) -> Result<Option<GivenWrap>, WriteError> {
    if !fold.at(view, group, &begin.view)?.names_reader(author, device) && !walytis_core::mutant!(WrapForUnnamed) {
        return Ok(None);
    }
    let Some(leaf) = &device.leaf else { return Ok(None) };
    match own_wrap(view, epoch, begin, &leaf.id()) {
        Ok(Some(given)) => return Ok(Some(given)),
        // Of a damaged row nobody has anything; the seed can be wrapped anew.
        Ok(None) | Err(WriteError::Wrap(_)) => {}
        Err(error) => return Err(error),
    }
    let Some(seed) = keyring::epoch(view, epoch)? else { return Ok(None) };
    let wrap = Wrap::make(&seed, leaf, &EpochContext::new(group, &begin.view), rng)?;
    Ok(Some(GivenWrap::anew(wrap)))
}

impl LocalDevice {
    /// Whether an epoch names this device: then somebody owes it a wrap.
    ///
    /// # Errors
    /// [`WriteError`] if the store fails.
    pub fn is_named(
        &self,
        view: &Pending,
        fold: &mut Fold,
        group: ChainId,
        (epoch, begin): (BlockId, &BeginEpoch),
    ) -> Result<bool, WriteError> {
        let Some(leaf) = self.leaf(view, group)? else { return Ok(false) };
        let membership = fold.at(view, group, &begin.view)?;
        // While the view's membership is at hand.
        fold.readers_tag(view, group, epoch, &begin.view)?;
        let author = self.author(view, group)?.public();
        Ok(membership.devices.get(&author).is_some_and(|device| device.leaf.as_ref() == Some(leaf.public())))
    }

    /// Takes this device's wrap of an epoch that another one made, and keeps the seed. Returns whether it could: a wrap that
    /// does not open and is proven to be the maker's is no reason to refuse the epoch, nor who passed it on. Others can
    /// read it, and whoever has opened it wraps the seed anew.
    ///
    /// # Errors
    /// [`WriteError::Wrap`] if it is not a wrap of this epoch for this device, or of a suite that this program does not know.
    pub fn accept_wrap(
        &self,
        view: &mut Pending,
        group: ChainId,
        epoch: BlockId,
        begin: &BeginEpoch,
        bytes: &[u8],
    ) -> Result<bool, WriteError> {
        let given = GivenWrap::decode(bytes).map_err(WrapError::from)?;
        let Some(leaf) = self.leaf(view, group)? else { return Err(WriteError::NoRight) };
        let seed = given.open(&leaf, &EpochContext::new(group, &begin.view), begin)?;
        if let Some(seed) = &seed {
            keyring::put_epoch(view, epoch, seed);
        }
        Ok(seed.is_some())
    }
}
