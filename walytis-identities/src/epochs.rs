//! The seeds of epochs on their way between devices: each device is given its own wrap, by the maker or by whoever opened
//! the epoch, and no other.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use walytis_core::{AuthorKey, BlockId, ChainId, Hash, Keys, Pending, Rows, Table};

use crate::fold::Fold;
use crate::keyring::{self, LocalDevice};
use crate::operation::BeginEpoch;
use crate::{Device, EpochContext, GivenWrap, Wrap, WrapError, Wraps, WriteError};

/// Block id of an epoch that this device made -> the wraps for all.
const WRAPS: Table = Table { name: "identities.wraps", keys: Keys::Hidden, rows: Rows::Permanent };
/// Block id of an epoch -> this device's wrap, which is proven to be the maker's and does not open.
const USELESS: Table = Table { name: "identities.useless_wraps", keys: Keys::Hidden, rows: Rows::Permanent };

pub(crate) fn put_wraps(view: &mut Pending, epoch: BlockId, wraps: &Wraps) {
    view.put(WRAPS, epoch.0, wraps.encode());
}

/// All wraps of an epoch that this device made, for each device its own; none of other epochs.
///
/// # Errors
/// [`WriteError`] if the store fails, or what it kept is not what the operation names.
pub fn own_wraps(
    view: &Pending,
    fold: &mut Fold,
    group: ChainId,
    epoch: BlockId,
    begin: &BeginEpoch,
) -> Result<BTreeMap<Hash, GivenWrap>, WriteError> {
    let Some(bytes) = view.get(WRAPS, &epoch.0)? else { return Ok(BTreeMap::new()) };
    let readers: Vec<Hash> = fold.at(view, group, &begin.view)?.readers().into_keys().collect();
    Ok(Wraps::decode(&bytes, &begin.wraps, &readers)?.given().collect())
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
    if !fold.at(view, group, &begin.view)?.names_reader(author, device) {
        return Ok(None);
    }
    let Some(leaf) = &device.leaf else { return Ok(None) };
    if let Some(given) = own_wraps(view, fold, group, epoch, begin)?.remove(&leaf.id()) {
        return Ok(Some(given));
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

    /// Takes this device's wrap of an epoch that another one made, and keeps the seed. A wrap that does not open and is
    /// proven to be the maker's is kept as it is: that is no reason to refuse the epoch, which others can read, and
    /// they give this device the content.
    ///
    /// # Errors
    /// [`WriteError::Wrap`] if it is not a wrap of this epoch for this device.
    pub fn accept_wrap(
        &self,
        view: &mut Pending,
        group: ChainId,
        epoch: BlockId,
        begin: &BeginEpoch,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        let given = GivenWrap::decode(bytes).map_err(WrapError::from)?;
        let Some(leaf) = self.leaf(view, group)? else { return Err(WriteError::NoRight) };
        match given.open(&leaf, &EpochContext::new(group, &begin.view), begin)? {
            Some(seed) => keyring::put_epoch(view, epoch, &seed),
            None => view.put(USELESS, epoch.0, bytes),
        }
        Ok(())
    }
}

/// Whether what this device owns of an epoch that names it is here: its seed, or a wrap that its maker spoiled.
///
/// # Errors
/// [`WriteError`] if the store fails.
pub fn is_settled(view: &Pending, epoch: BlockId) -> Result<bool, WriteError> {
    Ok(keyring::epoch(view, epoch)?.is_some() || view.get(USELESS, &epoch.0)?.is_some())
}
